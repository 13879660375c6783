"""Compares what two servers hold, realm by realm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ztrust_mail.core.errors import ExitStatus, RealmError, RealmMissing
from ztrust_mail.core.findings import Finding, has_errors
from ztrust_mail.core.results import ResultMethods, flatten, summarise
from ztrust_mail.core.text import is_selected
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.gateways.gateway import Gateway, LiveRealm
from ztrust_mail.journal.records import JournalState
from ztrust_mail.planning.plan import finding_of
from ztrust_mail.planning.planners.from_spec import find_unmatched
from ztrust_mail.planning.run_diff import RealmDiff, RealmState, compare_states
from ztrust_mail.planning.secret_state import changed_login_fields


@dataclass(frozen=True)
class Side:
    """One of the two servers: its name, or its URL where it has none, and its live realms or why they are unreadable.

    ``is_whole`` tells that these are all realms that the account sees. ``memory`` is what the journal knows of them.
    """

    name: str
    url: str
    dialect: Dialect
    realms: Mapping[str, LiveRealm | RealmError]
    is_whole: bool
    memory: JournalState

    def state_of(self, realm: str) -> RealmState:
        """Return a realm's masked attributes, and the fingerprints of its secrets unless its login changed since."""
        live, last = self.realms[realm], self.memory.of(realm).last
        assert isinstance(live, LiveRealm)
        known = last.fingerprints if last and not changed_login_fields(self.dialect, last, live.attributes) else {}
        return RealmState(self.dialect.mask_secrets(live.attributes), known)


@dataclass(frozen=True, repr=False)
class ServerDiff(ResultMethods):
    """How two servers differ: ``first`` and ``second`` are their names, else their URLs.

    ``own_findings`` are those of no single realm. A realm that only one of them has is different.
    """

    first: str
    second: str
    urls: tuple[str, str]
    realms: tuple[RealmDiff, ...]
    own_findings: tuple[Finding, ...] = ()

    accepted: ClassVar[frozenset[ExitStatus]] = frozenset({ExitStatus.OK, ExitStatus.DIFFERS})

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, with those of the realms."""
        return flatten(self.own_findings, (realm.findings for realm in self.realms))

    @property
    def summary(self) -> str:
        """The servers, and how many realms differ."""
        counts = Counter("different" if realm.is_different else "same" for realm in self.realms)
        return summarise(f"{self.first} and {self.second}", counts)

    @property
    def exit_status(self) -> ExitStatus:
        """PARTIAL where a realm could not be read, else DIFFERS where one differs."""
        unread = [ExitStatus.PARTIAL] if has_errors(self.findings) else []
        differs = [ExitStatus.DIFFERS] if any(realm.is_different for realm in self.realms) else []
        return ExitStatus.worst([ExitStatus.OK, *differs, *unread])


def read_side(gateway: Gateway, name: str, memory: JournalState, names: Collection[str] | None) -> Side:
    """Read the named realms of a server, or all that it lists. Raises :class:`ServerError`."""
    reading = gateway.read([*(names or ())], everything=names is None)
    whole = names is None and reading.complete
    return Side(name or gateway.url, gateway.url, gateway.dialect, reading.realms, whole, memory)


def compare_sides(
    first: Side, second: Side, *, globs: Sequence[str] = (), same_journal: bool, found: Sequence[Finding] = ()
) -> ServerDiff:
    """Compare the realms that the globs select. Fingerprints say something only where both are of the same journal."""
    there = [side.realms.keys() - _missing(side) for side in (first, second)]
    names = [name for name in sorted(first.realms.keys() | second.realms.keys()) if is_selected(name, globs)]
    realms = []
    for name in names:
        errors = tuple(_unread(side, name) for side in (first, second) if _is_unread(side, name))
        if errors:
            realms.append(RealmDiff(name, findings=errors))
        elif name in there[0] and name in there[1]:
            states = (first.state_of(name), second.state_of(name))
            if not same_journal:
                states = (replace(states[0], fingerprints={}), replace(states[1], fingerprints={}))
            realms.append(compare_states(first.dialect, name, *states, second_dialect=second.dialect))
        elif name in there[0] or name in there[1]:
            realms.append(RealmDiff(name, only=first.name if name in there[0] else second.name))
    unmatched = find_unmatched(globs, {realm.realm for realm in realms}, of="")
    return ServerDiff(first.name, second.name, (first.url, second.url), tuple(realms), (*found, *unmatched))


def _missing(side: Side) -> set[str]:
    return {name for name, live in side.realms.items() if isinstance(live, RealmMissing)}


def _is_unread(side: Side, name: str) -> bool:
    live = side.realms.get(name)
    return isinstance(live, RealmError) and not isinstance(live, RealmMissing)


def _unread(side: Side, name: str) -> Finding:
    live = side.realms[name]
    assert isinstance(live, RealmError)
    found = finding_of(live, name)
    return replace(found, message=f"on {side.name}: {found.message}")
