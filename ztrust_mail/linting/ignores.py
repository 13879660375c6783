"""Applies comments such as ``# ztrust-mail: ignore[port-25]``, and reports those that ignore nothing."""

from collections.abc import Iterable, Iterator, Sequence

from ztrust_mail.core.findings import Finding
from ztrust_mail.core.text import quoted
from ztrust_mail.linting.check import SERVER_RULES
from ztrust_mail.linting.registry import RULES, UNUSED
from ztrust_mail.linting.selection import RuleSelection, explain_unknown
from ztrust_mail.specfile.entries import InlineIgnore


def drop_ignored(
    found: Iterable[Finding], ignores: Sequence[InlineIgnore]
) -> tuple[list[Finding], frozenset[InlineIgnore]]:
    """Return the findings that no comment in their line ignores, and the comments that ignored one.

    Errors of correctness cannot be ignored.
    """
    if not ignores:
        return list(found), frozenset()
    by_line = {(one.location.path, one.location.line, one.rule): one for one in ignores}
    kept, used = [], set()
    for finding in found:
        where = finding.location
        ignore = by_line.get((where.path, where.line, finding.rule)) if where else None
        if ignore and finding.rule in RULES:
            used.add(ignore)
        else:
            kept.append(finding)
    return kept, frozenset(used)


def find_unused(
    ignores: Iterable[InlineIgnore], used: frozenset[InlineIgnore], selection: RuleSelection, *, with_server: bool
) -> Iterator[Finding]:
    """Yield a warning for each comment that ignores nothing. One for a rule that was not run is not judged."""
    if UNUSED.rule not in selection.rules:
        return
    not_run = frozenset() if with_server else {rule.rule for rule in SERVER_RULES}
    for one in ignores:
        if one in used or (one.rule in RULES and (one.rule not in selection.rules or one.rule in not_run)):
            continue
        message, hint = f"no finding {quoted(one.rule)} in this line", "remove the comment"
        if one.rule not in RULES:
            message, hint = explain_unknown(one.rule, f"lint rule {quoted(one.rule)}")
        yield Finding(UNUSED.severity, UNUSED.rule, message, hint, one.location)
