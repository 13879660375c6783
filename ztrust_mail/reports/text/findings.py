"""Findings as lines of text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more, pluralise
from ztrust_mail.reports.style import Line, Span, line

SEVERITY_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.ERROR: "bold red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "dim",
}


def finding_line(found: Finding) -> Line:
    """Return ``path:line:col: error: what; hint [rule]``; without a location, the line begins with the realm."""
    where = str(found.location) if found.location else f"realm {found.realm}" if found.realm else "ztrust-mail"
    if found.location and found.realm:
        where += f": realm {found.realm}"
    hint = f"; {found.hint}" if found.hint else ""
    severity = Span(found.severity.value, SEVERITY_STYLES[found.severity])
    return line(f"{where}: ", severity, f": {found.message}{hint} ", Span(f"[{found.rule}]", "dim"))


def finding_lines(found: Iterable[Finding]) -> Iterator[Line]:
    """Return a line per distinct finding; equal findings of one location in several realms are one line."""
    groups: dict[Finding, list[Finding]] = {}
    for one in dict.fromkeys(found):
        groups.setdefault(replace(one, realm=None) if one.location else one, []).append(one)
    return (_merge_realms(several) for several in groups.values())


def _merge_realms(several: Sequence[Finding]) -> Line:
    first, realms = several[0], [one.realm for one in several if one.realm]
    if len(several) == 1:
        return finding_line(first)
    where, *rest = finding_line(replace(first, realm=None))
    return line(f"{where.text}{pluralise(len(realms), 'realm')} ({first_and_more(realms)}): ", *rest)
