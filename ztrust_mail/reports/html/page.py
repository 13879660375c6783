"""The content of an HTML report: an overview with counts, with equal changes and findings merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.rules import Rule, registry
from ztrust_mail.core.text import pluralise
from ztrust_mail.drift_detection.attribution import Cause
from ztrust_mail.drift_detection.drift import EDITED_BY, OUT_OF_BAND
from ztrust_mail.reports.grouping import EXAMPLES, group_findings, name_realms
from ztrust_mail.reports.html.changes import Group, Groups, Remainder
from ztrust_mail.reports.overview.rows import CHANGE_RULES, Overview, RealmRow, Table, place_finding

GOOD, WARN, BAD, CRITICAL, NEUTRAL = "good", "warn", "bad", "critical", "neutral"

TONES: Mapping[str, str] = {
    **dict.fromkeys(("in_sync", "applied", "sent", "verified", "accepted"), GOOD),
    **dict.fromkeys(("changed", "skipped", "planned", "writing", "written", Severity.WARNING.value), WARN),
    **dict.fromkeys(("failed", "missing", "unreadable", Severity.ERROR.value), BAD),
    Severity.CRITICAL.value: CRITICAL,
}
"""The colour of a status or severity; others are neutral."""

_TONE_ORDER = (CRITICAL, BAD, WARN, NEUTRAL, GOOD)
"""Realms of the first colour are shown first."""

_VERDICTS: Mapping[ExitStatus, tuple[str, str]] = {
    ExitStatus.OK: ("OK", GOOD),
    ExitStatus.DIFFERS: ("Differs", WARN),
    ExitStatus.USAGE: ("Invalid", BAD),
    ExitStatus.UNREACHABLE: ("Unreachable", BAD),
    ExitStatus.PARTIAL: ("Partly failed", BAD),
    ExitStatus.UNSAFE: ("Refused", BAD),
    ExitStatus.BUG: ("Internal error", BAD),
    ExitStatus.INTERRUPTED: ("Interrupted", BAD),
}

_CHANGED: Mapping[str, str] = {"drift": "drifted", "diff": "different", "compare": "different"}
"""The word for a changed realm, by command; otherwise "to change"."""

_WARNED = Severity.WARNING.value
"""The word to filter by for realms that have warnings, whatever their status."""

_MAX_NOTE = 60
"""A longer note of a realm, and one of a realm with changes, is shown when its row is opened."""

_MAX_OPEN = 3
"""So many realms are shown open from the start."""


@dataclass(frozen=True)
class Count:
    """A number of rows with a status or severity, by which they can be filtered."""

    key: str
    label: str
    number: int
    tone: str


class Share(NamedTuple):
    """A part of the bar that shows the numbers of realms, in thousandths."""

    tone: str
    start: float
    width: float


@dataclass(frozen=True)
class ShownRealm:
    """A realm's row. ``see`` are the realm's findings, by their numbers and rules."""

    realm: str
    status: str
    tone: str
    kinds: str
    summary: str
    changes: Remainder
    see: Mapping[int, str]
    note: str
    is_open: bool

    @property
    def has_details(self) -> bool:
        """Tell whether the row can be opened."""
        return bool(self.changes.own or self.changes.group or self.see or self.note)


@dataclass(frozen=True)
class ShownFinding:
    """A finding, and its realms. ``names`` are all of them if they have no rows."""

    finding: Finding
    realms: str
    tone: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """The data for the template."""

    overview: Overview
    status: str
    tone: str
    counts: tuple[Count, ...]
    shares: tuple[Share, ...]
    groups: tuple[Group, ...]
    tables: tuple[Table, ...]
    realms: tuple[ShownRealm, ...]
    findings: tuple[ShownFinding, ...]
    severities: tuple[Count, ...]
    rules: Mapping[str, Rule]

    @property
    def can_open(self) -> bool:
        """Tell whether any row can be opened."""
        return any(one.has_details for one in self.realms)


def make_page(shown: Overview) -> Page:
    """Return the page of an overview."""
    status, tone = _VERDICTS[shown.exit_status]
    findings = FindingIndex(shown)
    groups = Groups(shown)
    realms = _realms(shown, groups, findings)
    if tone == WARN and any(one.tone == CRITICAL for one in realms):
        tone = BAD
    return Page(
        shown, status, tone,
        counts=_status_counts(shown, realms),
        shares=tuple(_shares(realms)),
        groups=groups.shown,
        tables=tuple(map(_without_empty_columns, shown.tables)),
        realms=tuple(sorted(realms, key=lambda one: _TONE_ORDER.index(one.tone))),
        findings=findings.shown,
        severities=_severity_counts(findings.shown),
        rules=_rules(shown),
    )  # fmt: skip


def _rules(shown: Overview) -> Mapping[str, Rule]:
    found = (*shown.findings, *(one for row in shown.realms for one in row.findings))
    ids = dict.fromkeys(one.rule for one in found if one.rule not in CHANGE_RULES)
    return {one: registry()[one] for one in ids if one in registry()}


def tone_of(word: str) -> str:
    """Return the colour of a status or severity."""
    return TONES.get(word, NEUTRAL)


class FindingIndex:
    """All findings of an overview, equal ones of several realms once, and which of them each realm has."""

    def __init__(self, shown: Overview) -> None:
        placed = [place_finding(one, row) for row in shown.realms for one in _not_said(row)]
        groups = group_findings([*shown.findings, *placed], fold=False)
        groups.sort(key=lambda one: list(Severity).index(one.finding.severity))
        rows = {row.realm for row in shown.realms}
        self.shown = tuple(
            ShownFinding(
                one.finding,
                name_realms(one.realms) if one.realms else "",
                tone_of(one.finding.severity),
                one.realms if len(one.realms) > EXAMPLES and not rows.issuperset(one.realms) else (),
            )
            for one in groups
        )
        self._numbers: dict[tuple[str, str, str | None], dict[int, str]] = {}
        for number, group in enumerate(groups, 1):
            found = group.finding
            for realm in group.realms:
                self._numbers.setdefault((realm, found.rule, found.field), {})[number] = found.rule

    def of_realm(self, row: RealmRow) -> Mapping[int, str]:
        """Return the numbers of a realm's findings, with their rules."""
        keys = dict.fromkeys((row.realm, one.rule, one.field) for one in _not_said(row))
        return {number: rule for key in keys for number, rule in self._numbers.get(key, {}).items()}


def _not_said(row: RealmRow) -> Sequence[Finding]:
    """Return a realm's findings without those that repeat its changes and its note."""
    edited = {one.field for one in row.changes if one.cause == Cause.OUT_OF_BAND}
    if edited and row.note:
        return [f for f in row.findings if f.rule not in CHANGE_RULES and not _is_about_edit(f, edited)]
    return [one for one in row.findings if one.rule not in CHANGE_RULES]


def _is_about_edit(found: Finding, edited: Container[str | None]) -> bool:
    return found.rule == EDITED_BY or (found.rule == OUT_OF_BAND and found.field in edited)


def _realms(shown: Overview, groups: Groups, findings: FindingIndex) -> list[ShownRealm]:
    tones = [CRITICAL if _is_critical(row) else tone_of(row.status) for row in shown.realms]
    urgent = Counter(tones)[CRITICAL] + Counter(tones)[BAD]
    opened = {CRITICAL, BAD} if urgent <= _MAX_OPEN else set()
    if len(tones) <= _MAX_OPEN:
        opened = set(_TONE_ORDER)
    return [
        _realm(shown.command, row, tone, groups, findings, tone in opened)
        for row, tone in zip(shown.realms, tones, strict=True)
    ]


def _realm(command: str, row: RealmRow, tone: str, groups: Groups, findings: FindingIndex, is_open: bool) -> ShownRealm:
    rest = groups.of_realm(row)
    found = _not_said(row)
    kinds = [row.status, *([CRITICAL] if tone == CRITICAL else [])]
    if any(one.severity is Severity.WARNING for one in found):
        kinds.append(_WARNED)
    status = CRITICAL if tone == CRITICAL else _label(command, row.status)
    parts = [pluralise(len(row.changes), "change"), rest.cause] if row.changes else []
    numbers = Counter(one.severity for one in found)
    parts += [pluralise(numbers[s], s.value) for s in Severity if numbers[s] and s is not Severity.CRITICAL]
    in_summary = row.note if not row.changes and len(row.note) <= _MAX_NOTE else ""
    summary = " · ".join(filter(None, [*parts, in_summary]))
    see = findings.of_realm(row)
    note = "" if in_summary else row.note
    return ShownRealm(row.realm, status, tone, " ".join(kinds), summary, rest, see, note, is_open)


def _is_critical(row: RealmRow) -> bool:
    return any(one.is_critical for one in row.changes) or any(one.severity is Severity.CRITICAL for one in row.findings)


def _label(command: str, status: str) -> str:
    return _CHANGED.get(command, "to change") if status == "changed" else status.replace("_", " ")


def _status_counts(shown: Overview, realms: Sequence[ShownRealm]) -> tuple[Count, ...]:
    numbers = Counter(kind for one in realms for kind in one.kinds.split())
    words = sorted(numbers, key=lambda word: (word == _WARNED, _TONE_ORDER.index(tone_of(word))))
    labels = {_WARNED: "with warnings"}
    return tuple(
        Count(word, labels.get(word) or _label(shown.command, word), numbers[word], tone_of(word)) for word in words
    )


def _severity_counts(findings: Sequence[ShownFinding]) -> tuple[Count, ...]:
    numbers = Counter(one.finding.severity for one in findings)
    return tuple(Count(s.value, s.value, numbers[s], tone_of(s)) for s in Severity if numbers[s])


def _without_empty_columns(table: Table) -> Table:
    """Return a table without columns that say nothing, which a phone has no room for."""
    kept = [place for place in range(len(table.heads)) if any(row[place] for row in table.rows)]
    heads = tuple(table.heads[place] for place in kept)
    return replace(table, heads=heads, rows=tuple(tuple(row[place] for place in kept) for row in table.rows))


def _shares(realms: Sequence[ShownRealm]) -> Iterator[Share]:
    numbers = Counter(one.tone for one in realms)
    start = 0.0
    for tone in _TONE_ORDER:
        width = 1000 * numbers[tone] / len(realms) if realms else 0
        if width:
            yield Share(tone, round(start, 1), round(width, 1))
        start += width
