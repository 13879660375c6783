"""The options of an apply, such as canary and waves, and its context."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ztrust_mail.applying.outcome import RealmOutcome
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.text import glob_matches, printable, quoted
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import NOTHING_REMEMBERED, JournalState
from ztrust_mail.model.fields import HOST
from ztrust_mail.planning.compare import Credential, credential_of
from ztrust_mail.planning.plan import RealmPlan
from ztrust_mail.planning.safety import Reason
from ztrust_mail.secrets.store import SecretStore

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal


_LONGEST_NUMBER = 9  # digits; int() does not take a number of any length


@dataclass(frozen=True)
class Wave:
    """Realms that are written together. After a canary the server tests the connection of each."""

    realms: tuple[RealmPlan, ...]
    canary: bool = False


@dataclass(frozen=True)
class Waves:
    """How to split a plan. ``canary`` is a number of realms or a glob; ``size`` 0 writes all at once.

    A number chooses among the realms that will have a relay: the others cannot be tested. After ``stop_after`` failed
    realms no further write starts; 0 never stops. With ``per_credential`` the number is one of realms with the same
    relay, user name and reference, and a glob gets one realm of each such credential that it leaves out.

    Raises :class:`UsageError` for a negative number.
    """

    canary: str = ""
    size: int = 0
    stop_after: int = 0
    per_credential: bool = False

    def __post_init__(self) -> None:
        if self.size < 0 or self.stop_after < 0:
            raise UsageError("the size of waves and the number of failures cannot be negative", "give 0 for no limit")

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
        """Raise :class:`UsageError` if the canary is ambiguous, or matches no realm that can be tested."""
        if not todo or not self.canary:
            return
        what = f"--canary {quoted(self.canary)}"
        count = self._is_number and self.canary.strip("0")
        if count and any(realm.realm == self.canary for realm in todo):
            hint = f"for the realm pass --canary '{self.canary}*' or --realm; for that many realms pass a glob"
            raise UsageError(f"{what} is ambiguous: it is a number and the name of a realm", hint)
        if count and len(self.canary) > _LONGEST_NUMBER:
            hint = "give the number of realms to write first, such as 5, or a glob of their names"
            raise UsageError(f"{what} is a number of more than {_LONGEST_NUMBER} digits", hint)
        first = self._first(todo)
        if not first and not count:
            hint = "name a realm that the plan changes, or pass a number of realms"
            raise UsageError(f"{what} matches none of the realms to be written", hint)
        if not any(map(_has_relay, first)):
            hint = "name a realm that will have a relay, or leave out --canary"
            raise UsageError(f"{what} matches no realm that can be tested: they will have no e-mail", hint)

    @property
    def _is_number(self) -> bool:
        return self.canary.isascii() and self.canary.isdigit()

    def _first(self, todo: Sequence[RealmPlan]) -> tuple[RealmPlan, ...]:
        testable = [realm for realm in todo if _has_relay(realm)]
        if self._is_number:
            most = int(self.canary[-_LONGEST_NUMBER:])
            return _first_of_each_credential(testable, most) if self.per_credential else tuple(testable[:most])
        named = tuple(realm for realm in todo if self.canary and glob_matches(self.canary, realm.realm))
        if not (named and self.per_credential):
            return named
        covered = {credential_of(realm.wanted.fields) for realm in named}
        others = [realm for realm in testable if credential_of(realm.wanted.fields) not in covered]
        return (*named, *_first_of_each_credential(others, 1))

    def stops_at(self, failed: int) -> bool:
        """Return whether to stop after this number of failures."""
        return 0 < self.stop_after <= failed


def _first_of_each_credential(todo: Sequence[RealmPlan], most: int) -> tuple[RealmPlan, ...]:
    chosen: list[RealmPlan] = []
    counts: Counter[Credential] = Counter()
    for realm in todo:
        credential = credential_of(realm.wanted.fields)
        counts[credential] += 1
        if counts[credential] <= most:
            chosen.append(realm)
    return tuple(chosen)


def _has_relay(realm: RealmPlan) -> bool:
    return not realm.wanted.disabled and HOST in realm.wanted.fields


LONGEST_MESSAGE = 500
"""How many characters a message in the journal may have."""


def check_message(message: str) -> None:
    """Raise :class:`UsageError` for a message that is not one line of printable text, or is too long."""
    if len(message) > LONGEST_MESSAGE:
        problem = f"the message has {len(message):,} characters, and may have {LONGEST_MESSAGE}"
        raise UsageError(problem, "shorten it, or name the ticket that has the rest")
    if printable(message) != message:
        raise UsageError("the message has control or invisible characters", "write it as one line of plain text")


Progress = Callable[[RealmOutcome], None]

CanaryTest = Callable[[Sequence[str]], Sequence[Finding]]
"""Has the server test the connection of realms; returns its answers, an error for each test that failed."""


def never(realm: str) -> bool:
    """Return that a realm is not cancelled."""
    return False


@dataclass(frozen=True)
class ApplyOptions:
    """The options of an apply.

    ``allow`` names the dangers that are intended. ``wait`` is how many seconds to wait for the lock on the server.
    ``progress`` is called, from any thread, with each realm that was written or has failed. Setting ``cancel`` lets
    writes in progress finish and skips the rest; ``is_cancelled``, called with each realm at its turn, skips that realm
    alone. ``command``, ``spec_digest`` and ``plan_digest`` are recorded in the journal, as is ``message``, which says
    why; without ``plan_digest`` it is the digest of the plan itself. ``request`` is the number of the request in the
    journal that the plan is applied for.

    Raises :class:`UsageError` for a message that is not one line of printable text, or is too long.
    """

    allow: frozenset[Reason] = frozenset()
    waves: Waves = field(default_factory=Waves)
    wait: float = 0.0
    progress: Progress | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    command: str = "apply"
    spec_digest: str = ""
    plan_digest: str = ""
    message: str = ""
    request: int | None = None
    is_cancelled: Callable[[str], bool] = never

    def __post_init__(self) -> None:
        check_message(self.message)


def _skip_test(realms: Sequence[str]) -> Sequence[Finding]:
    return ()


@dataclass(frozen=True)
class ApplyContext:
    """The context of an apply.

    ``who`` is recorded in the journal. ``memory`` is what the journal holds of realms whose stored secrets the plan
    keeps. ``test_canary`` is called after the canary was written. ``lock_lost`` is set when this run loses its lock on
    the server; no write starts after that.
    """

    gateway: Gateway
    secrets: SecretStore
    journal: Journal
    who: str
    memory: JournalState = NOTHING_REMEMBERED
    test_canary: CanaryTest = _skip_test
    lock_lost: threading.Event = field(default_factory=threading.Event)
