"""Lines that several reports have: findings, the server, blocks of realms, values, and commands to copy."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports.grouping import Block, FindingGroup, Statement, group_findings, name_realm, name_realms
from ztrust_mail.reports.style import HANG, PLACE, WHOLE, Line, Span, line

HEADING = "ztrust-mail report: "
"""The start of a text report's first line, which permits a later report to overwrite it."""

REMOVED = "remove"
"""The kind of a statement about a value that is removed."""

_EXAMPLE, _MOST_NAME = " " * 8, 30
"""What indents an example, and the most columns to which names of realms are padded."""

SEVERITY_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.ERROR: "bold red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "dim",
}


class TextReport(NamedTuple):
    """A report as lines: the whole result, and the verdict with the next step."""

    body: Iterable[Line] = ()
    verdict: Iterable[Line] = ()


def server_lines(title: str, account: object, intro: Iterable[str] = ()) -> Iterator[Line]:
    """Yield the server and the account, further lines, and an empty line."""
    yield line(f"{title}, as {account}")
    yield from map(line, intro)
    yield line()


def command_line(words: str, command: str) -> Line:
    """Return a line with a command that can be copied."""
    return line(f"{words}: ", Span(command, WHOLE))


def block_lines(
    blocks: Iterable[Block],
    describe: Callable[[Block], Sequence[str | Span]],
    render: Callable[[Sequence[Statement]], Iterator[Line]],
) -> Iterator[Line]:
    """Yield each block: its realms and description, what all of them have in common, and what some have on top."""
    for block in blocks:
        yield line(Span(name_realms(block.realms), "bold"), *describe(block))
        yield from render(block.statements)
        for other in block.others:
            yield line(Span(f"{name_realms(other.realms)} also", "bold"))
            yield from render(other.statements)


def value_lines(start: Sequence[str | Span], one: Statement, style: str = "") -> Iterator[Line]:
    """Yield the values of a statement after ``start``; those that differ by realm as examples, each on its own line.

    ``style`` is that of a statement that is no change, such as a remark.
    """
    if not one.examples:
        yield line(*start, *([Span(one.texts[0], style)] if style else _value_spans(one)))
        return
    yield line(*start, Span("differs by realm (--details shows each):", "dim"))
    names = [name_realm(realm) for realm, _ in one.examples]
    width = min(max(map(len, names)), _MOST_NAME)
    for name, (_, texts) in zip(names, one.examples, strict=True):
        yield line(f"{_EXAMPLE}{name:<{width}}  ", Span("", HANG), Span(" → ".join(texts), style))
    yield line(Span(f"{_EXAMPLE}…", "dim"))


def _value_spans(one: Statement) -> Iterator[Span]:
    if len(one.texts) == 2:
        yield from (Span(one.texts[0], "red"), Span(" → "), Span(one.texts[1], "green"))
    else:
        yield Span(one.texts[0], "red" if one.kind == REMOVED else "green")


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


def note_lines(found: Iterable[Finding], *, fold: bool = False) -> Iterator[Line]:
    """Yield findings and, if there are any, an empty line."""
    lines = list(finding_lines(found, fold=fold))
    yield from [*lines, line()] if lines else []


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
