"""Groups equal changes of several realms, and returns the remaining changes of each realm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ztrust_mail.core.text import pluralise
from ztrust_mail.drift_detection.attribution import Cause
from ztrust_mail.reports.grouping import Block, Statement, group_realms, name_realm, name_realms
from ztrust_mail.reports.overview.rows import ChangeRow, Overview, RealmRow
from ztrust_mail.reports.text.drift import CAUSES


class ShownChange(NamedTuple):
    """A change on the page. ``varies`` tells that its values hold for a group only, by a placeholder or examples.

    ``cause`` is empty if all changes of the row or group have the same, which is said of them together.
    """

    sign: str
    field: str
    label: str
    old: str
    new: str
    cause: str
    is_critical: bool
    varies: bool = False
    examples: str = ""


@dataclass(frozen=True)
class Group:
    """Realms with equal changes; ``others`` are some of these realms, with further changes."""

    number: int
    title: str
    changes: tuple[ShownChange, ...]
    others: tuple[Group, ...] = ()


class Remainder(NamedTuple):
    """The content of a realm's row: its own changes, the group with its ``shared`` changes, and their common cause."""

    own: tuple[ShownChange, ...]
    group: int
    shared: int
    cause: str


class Groups:
    """The groups of an overview's realms with equal changes, at least two realms in each."""

    def __init__(self, shown: Overview) -> None:
        self._rows: dict[str, ChangeRow] = {}
        """A change by the subject of its statement, for what all changes of that subject have in common."""
        changed = [row for row in shown.realms if row.changes]
        said = [(row.realm, row.status, [self._statement(one) for one in row.changes]) for row in changed]
        first = {realm: statements for realm, _, statements in said}
        self._of_realm: dict[str, tuple[int, frozenset[Statement]]] = {}
        self._mixed: set[int] = set()
        """The groups whose changes have several causes."""
        groups: list[Group] = []
        for block in group_realms(said):
            if len(block.realms) > 1:
                groups.append(self._group(block, len(groups) + 1, first))
        self.shown = tuple(groups)

    def of_realm(self, row: RealmRow) -> Remainder:
        """Return the changes that a realm's group does not show literally."""
        number, statements = self._of_realm.get(row.realm, (0, frozenset[Statement]()))
        causes = {one.cause for one in row.changes}
        is_mixed = len(causes) > 1 or number in self._mixed
        own = tuple(_show(one, with_cause=is_mixed) for one in row.changes if self._statement(one) not in statements)
        shared = len(row.changes) - len(own)
        return Remainder(own, number if shared else 0, shared, "" if is_mixed else _name_cause(next(iter(causes), "")))

    def _statement(self, one: ChangeRow) -> Statement:
        subject = f"{one.field} {one.cause} {one.is_critical}"
        self._rows.setdefault(subject, one)
        return Statement(one.sign, subject, (one.old, one.new))

    def _group(self, block: Block, number: int, said: dict[str, list[Statement]]) -> Group:
        members = [realm for realm in block.realms if all(realm not in other.realms for other in block.others)]
        literal = frozenset(said[members[0]]) & frozenset(block.statements)
        for realm in block.realms:
            self._of_realm[realm] = (number, literal)
        every = [*block.statements, *(one for other in block.others for one in other.statements)]
        causes = {self._rows[one.subject].cause for one in every}
        if is_mixed := len(causes) > 1:
            self._mixed.add(number)
        changes = tuple(self._change(one, is_mixed)._replace(varies=one not in literal) for one in block.statements)
        others = tuple(
            Group(
                0,
                f"{name_realms(other.realms)} also",
                tuple(self._change(one, is_mixed) for one in other.statements),
            )
            for other in block.others
        )
        cause = "" if is_mixed else _name_cause(causes.pop())
        what = f"the same {pluralise(len(block.statements), 'change')}{f', {cause}' if cause else ''}"
        return Group(number, f"{name_realms(block.realms)}: {what}", changes, others)

    def _change(self, one: Statement, with_cause: bool) -> ShownChange:
        old, new = one.texts if one.texts else ("", "")
        row = self._rows[one.subject]._replace(sign=one.kind, old=old, new=new)
        return _show(row, with_cause=with_cause)._replace(examples="; ".join(_examples(one)))


def _show(one: ChangeRow, *, with_cause: bool) -> ShownChange:
    cause = _name_cause(one.cause) if with_cause else ""
    old, new = _values(one.sign, one.old, one.new)
    return ShownChange(one.sign, one.field, one.label, old, new, cause, one.is_critical)


def _name_cause(cause: str) -> str:
    return CAUSES[Cause(cause)] if cause else ""


def _values(sign: str, old: str, new: str) -> tuple[str, str]:
    """Return the values before and after of those that the change has."""
    return "" if sign == "+" else old, "" if sign == "-" else new


def _examples(one: Statement) -> Iterator[str]:
    for realm, (old, new) in one.examples:
        yield f"{name_realm(realm)} {' → '.join(filter(None, _values(one.kind, old, new)))}"
