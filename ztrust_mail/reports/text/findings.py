"""Findings as lines of text."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports.grouping import FindingGroup, group_findings, name_realms
from ztrust_mail.reports.style import PLACE, Line, Span, line

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
