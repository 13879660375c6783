"""Findings, and the rules that they break, as lines of text."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.rules import GROUPS, Rule
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports.grouping import FindingGroup, group_findings, name_realms
from ztrust_mail.reports.style import HANG, PLACE, Line, Span, line

SEVERITY_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.ERROR: "bold red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "dim",
}


def finding_line(found: Finding) -> Line:
    """Return ``path:line:col: error: what; hint [rule]``; without a location, the line begins with the realm."""
    return _line(found, f"realm {name_realms([found.realm])}" if found.realm else "", with_hint=True)


def finding_lines(found: Iterable[Finding], *, fold: bool = False) -> Iterator[Line]:
    """Yield a line per distinct finding, and one for equal findings of several realms.

    A hint that the next finding has as well is left out. With ``fold``, long lists of findings about realms are
    shortened.
    """
    groups = group_findings(found, fold=fold)
    for one, following in zip_longest(groups, groups[1:]):
        is_repeated = following and one.realms and not one.finding.location and _advice(one) == _advice(following)
        yield _group_line(one, with_hint=not is_repeated)


def _advice(one: FindingGroup) -> tuple[str, str]:
    return one.finding.rule, one.finding.hint


def _group_line(one: FindingGroup, *, with_hint: bool) -> Line:
    found = one.finding
    realms = f"{'realm ' if len(one.realms) == 1 else ''}{name_realms(one.realms)}" if one.realms else ""
    if one.places:
        realms = ", ".join(filter(None, [f"and {pluralise(one.places, 'more place')}", realms]))
    if not one.more:
        return _line(found, realms, with_hint=with_hint)
    severity = Span(found.severity.value, SEVERITY_STYLES[found.severity])
    message = f": {pluralise(one.more, 'more finding')} of this kind; --details shows each "
    return line(f"{realms}: ", severity, message, Span(f"[{found.rule}]", "dim"))


def _line(found: Finding, realms: str, *, with_hint: bool) -> Line:
    where = ": ".join(filter(None, [str(found.location or ""), realms])) or "ztrust-mail"
    hint = f"; {found.hint}" if found.hint and with_hint else ""
    severity = Span(found.severity.value, SEVERITY_STYLES[found.severity])
    place = Span(f"{where}: ", PLACE if found.location else "")
    return line(place, severity, f": {found.message}{hint} ", Span(f"[{found.rule}]", "dim"))


def rule_lines(found: Rule) -> Iterator[Line]:
    """Yield a rule with its severity, title and help."""
    yield line(Span(found.id, "bold"), "  ", Span(found.severity.value, SEVERITY_STYLES[found.severity]))
    yield line(f"  {found.title}")
    yield line()
    for one in wrap(found.help, 78, break_long_words=False, break_on_hyphens=False):
        yield line(f"  {one}")


def rule_table(rules: Sequence[Rule]) -> Iterator[Line]:
    """Yield the rules by group, a line for each."""
    width = max(len(rule.id) for rule in rules)
    for group, heading in GROUPS.items():
        yield line(Span(heading, "bold"))
        for rule in rules:
            if rule.group == group:
                severity = Span(f"{rule.severity:<8}", SEVERITY_STYLES[rule.severity])
                yield line(f"  {rule.id:<{width}}  ", severity, "  ", Span("", HANG), rule.title)
