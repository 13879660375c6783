"""In which portions a plan is applied, and when to stop: a canary first, then waves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ztrust_mail.errors import UsageError
from ztrust_mail.spec.resolve import glob_matches
from ztrust_mail.sync.plan import RealmPlan
from ztrust_mail.text import quoted


@dataclass(frozen=True)
class Wave:
    """Realms that are written together. After a canary the server tests the connection of each."""

    realms: tuple[RealmPlan, ...]
    canary: bool = False


@dataclass(frozen=True)
class Waves:
    """How to portion a plan. ``canary`` is a number of realms or a glob; ``size`` 0 is all at once.

    ``stop_after`` so many failed realms no further one is begun; 0 never stops.
    """

    canary: str = ""
    size: int = 0
    stop_after: int = 0

    def of(self, todo: Sequence[RealmPlan]) -> Iterator[Wave]:
        """Yield the waves in turn, the canary first."""
        first = self._first(todo)
        if first:
            yield Wave(first, canary=True)
        names = {realm.realm for realm in first}
        rest = [realm for realm in todo if realm.realm not in names]
        size = self.size or len(rest)
        for start in range(0, len(rest), size or 1):
            yield Wave(tuple(rest[start : start + size]))

    def check(self, todo: Sequence[RealmPlan]) -> None:
        """Raise :class:`UsageError` where the canary names no realm to be written."""
        if todo and self.canary and not self._first(todo):
            hint = "name a realm that the plan changes, or how many of them"
            raise UsageError(f"--canary {quoted(self.canary)} chooses none of the realms to be written", hint)

    def _first(self, todo: Sequence[RealmPlan]) -> tuple[RealmPlan, ...]:
        if self.canary.isascii() and self.canary.isdigit():
            return tuple(todo[: int(self.canary)])
        return tuple(realm for realm in todo if self.canary and glob_matches(self.canary, realm.realm))

    def stops_at(self, failed: int) -> bool:
        """Tell whether so many failures are too many."""
        return 0 < self.stop_after <= failed
