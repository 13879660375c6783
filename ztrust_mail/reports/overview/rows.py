"""The one form that every report can take: a verdict, realms with their changes, findings, and tables.

All text of an overview is printable: control, escape and bidi characters are visible escapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import printable
from ztrust_mail.reports.grouping import Block, Statement, group_realms

CHANGE_RULES = frozenset({"drifted", "planned-change", "runs-differ", "servers-differ"})
"""The rules of findings that only say which changes a realm has: a format that shows changes leaves them out."""

GRAVE = (Severity.CRITICAL, Severity.ERROR)
"""The severities of findings that something failed for."""


class ChangeRow(NamedTuple):  # not a dataclass, since there may be hundreds of thousands
    """One field of a realm with its values before and after; for a secret, only its reference.

    ``sign`` is ``+``, ``~`` or ``-``; ``cause`` is the cause of a drift as in JSON reports, or empty. ``place`` is
    where the spec defines the value.
    """

    sign: str
    field: str
    label: str
    old: str
    new: str
    cause: str = ""
    place: Location | None = None
    is_critical: bool = False


@dataclass(frozen=True)
class RealmRow:
    """One realm. ``status`` is a word of reports in JSON; ``place`` is where the spec has the realm's entry."""

    realm: str
    status: str
    changes: tuple[ChangeRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    note: str = ""
    place: Location | None = None


@dataclass(frozen=True)
class Table:
    """Content of a report besides realms and findings, such as checks or runs."""

    heading: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Overview:
    """A report. ``findings`` belong to no single realm; ``verdict`` has a line for each sentence.

    ``text`` is shown verbatim: the output of a conversion, or commands to run; empty for other reports. ``specs`` are
    the files and folders that the command was given. ``step_label`` introduces ``next_step``.
    """

    command: str
    exit_status: ExitStatus
    server: str = ""
    title: str = ""
    verdict: tuple[str, ...] = ()
    realms: tuple[RealmRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    next_step: str = ""
    text: str = ""
    specs: tuple[str, ...] = ()
    step_label: str = ""

    @property
    def statuses(self) -> Mapping[str, int]:
        """The number of realms in each status."""
        return Counter(row.status for row in self.realms)

    def all_findings(self) -> list[Finding]:
        """Return every finding once, each with the place in a spec that it is about, if that is known."""
        placed = [place_finding(one, row) for row in self.realms for one in row.findings]
        return list(dict.fromkeys([*self.findings, *placed]))

    def blocks(self, realms: Iterable[RealmRow] | None = None, *, details: bool = False) -> list[Block]:
        """Return realms in groups as in text: those of a block have the same status, changes and note.

        A statement about a change has its sign as ``kind`` and its field as ``subject``; that of a note has neither.
        """
        rows = self.realms if realms is None else realms
        return group_realms(((row.realm, row.status, list(_statements(row))) for row in rows), details=details)


def place_finding(found: Finding, row: RealmRow) -> Finding:
    """Return a realm's finding with the line of its field in the spec, else of the realm's entry."""
    if found.location:
        return found
    field = next((one.place for one in row.changes if one.field == found.field and one.place), None)
    return replace(found, location=field or row.place)


def name_field(row: ChangeRow) -> str:
    """Return a field's name, with its label in the server's console."""
    return f"{row.field} ({row.label})" if row.label else row.field


def _statements(row: RealmRow) -> Iterator[Statement]:
    for one in row.changes:
        values = {"+": (one.new,), "-": (one.old,)}.get(one.sign, (one.old, one.new))
        cause = (f"{one.cause.replace('_', ' ')}{', critical' if one.is_critical else ''}",) if one.cause else ()
        yield Statement(one.sign, name_field(one), (*values, *cause))
    if row.note:
        yield Statement("", "", (row.note,))


def make_printable(shown: Overview) -> Overview:
    """Return an overview without invisible characters."""
    return replace(
        shown,
        command=printable(shown.command),
        server=printable(shown.server),
        title=printable(shown.title),
        verdict=tuple(map(printable, shown.verdict)),
        realms=tuple(map(_printable_row, shown.realms)),
        findings=tuple(map(_printable_finding, shown.findings)),
        tables=tuple(map(_printable_table, shown.tables)),
        next_step=printable(shown.next_step),
        text="\n".join(map(printable, shown.text.split("\n"))),
        specs=tuple(map(printable, shown.specs)),
    )


def _printable_row(row: RealmRow) -> RealmRow:
    return RealmRow(
        printable(row.realm),
        row.status,
        tuple(map(_printable_change, row.changes)),
        tuple(map(_printable_finding, row.findings)),
        printable(row.note),
        _printable_place(row.place),
    )


def _printable_change(one: ChangeRow) -> ChangeRow:
    return one._replace(
        field=printable(one.field),
        label=printable(one.label),
        old=printable(one.old),
        new=printable(one.new),
        place=_printable_place(one.place),
    )


def _printable_finding(one: Finding) -> Finding:
    return replace(
        one,
        message=printable(one.message),
        hint=printable(one.hint),
        location=_printable_place(one.location),
        realm=printable(one.realm) if one.realm else None,
        field=printable(one.field) if one.field else None,
    )


def _printable_place(place: Location | None) -> Location | None:
    return replace(place, path=printable(place.path), key=printable(place.key)) if place else None


def _printable_table(table: Table) -> Table:
    rows: Sequence[tuple[str, ...]] = [tuple(map(printable, row)) for row in table.rows]
    return Table(printable(table.heading), table.heads, tuple(rows))
