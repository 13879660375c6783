"""Specs and connections: what every other verb begins with."""

from __future__ import annotations

import getpass
import platform
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ztrust_mail import settings as config
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import JournalState
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings import Server
from ztrust_mail.settings.policy import Policy
from ztrust_mail.specfile import load
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.load import Given

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal
    from ztrust_mail.journal.records import Holder
    from ztrust_mail.planning.planners.from_spec import PlanningContext
    from ztrust_mail.planning.saved import SavedPlan


@dataclass
class _Hold:
    """The lock on a server while one thread holds it. ``listeners`` are called once, when the lock is lost."""

    thread: int = field(default_factory=threading.get_ident)
    listeners: list[Callable[[], None]] = field(default_factory=list)
    is_lost: bool = False
    guard: threading.Lock = field(default_factory=threading.Lock)

    def lose(self) -> None:
        """Call all listeners, in the thread that noticed the loss."""
        with self.guard:
            self.is_lost, listeners = True, list(self.listeners)
        for listener in listeners:
            listener()

    @contextmanager
    def listening(self, lost: Callable[[], None] | None) -> Iterator[None]:
        """Call ``lost`` when the lock is lost, at once if it is lost already."""
        if lost is None:
            yield
            return
        with self.guard:
            self.listeners.append(lost)
            is_lost = self.is_lost
        if is_lost:
            lost()
        try:
            yield
        finally:
            with self.guard:
                self.listeners.remove(lost)


@dataclass(frozen=True)
class Session:
    """A server to work with. A context manager; may be shared by threads.

    ``opened`` is the server's own gateway.
    ``findings`` tell of the settings. ``journal_url`` is None for the journal in the user's state folder.
    """

    server: Server
    opened: Gateway
    reach: Reach
    findings: tuple[Finding, ...] = ()
    policy: Policy = field(default_factory=Policy)
    journal_url: Secret | None = None
    _holds: list[_Hold] = field(default_factory=list, repr=False, compare=False)
    _opening: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, the journal's too."""
        self.opened.close()
        for name in ("journal", "_read_journal"):
            if opened := vars(self).pop(name, None):
                opened.close()

    @cached_property
    def gateway(self) -> Gateway:
        """The gateway to work with: of a server that shows nothing, what was last applied stands for what is live."""
        if self.opened.capabilities.read:
            return self.opened
        from ztrust_mail.gateways.last_applied import LastApplied

        return LastApplied(self.opened, self.memory)

    @cached_property
    def secrets(self) -> SecretStore:
        """The values of references, each fetched once."""
        return SecretStore(self.reach, self.opened.redactor)

    @cached_property
    def journal(self) -> Journal:
        """The journal, made where there is none. Raises :class:`JournalError`."""
        from ztrust_mail.journal.journal import open_journal

        opened = open_journal(self.journal_url, writable=True)
        assert opened is not None  # a writable one is always there
        return opened

    @cached_property
    def _read_journal(self) -> Journal | None:
        from ztrust_mail.journal.journal import open_journal

        return open_journal(self.journal_url, writable=False)

    @property
    def journal_for_reading(self) -> Journal | None:
        """The journal for reading, None where there is none yet. Raises :class:`JournalError`."""
        with self._opening:  # the journal is read while the server is asked
            return vars(self).get("journal") or self._read_journal

    def missing_journal_note(self) -> tuple[Finding, ...]:
        """Return a note where a journal was named and is not there: perhaps its name is mistyped."""
        from ztrust_mail.journal.database import location_of

        place = location_of(self.journal_url)
        if place.usual or (place.is_there if place.file else self.journal_for_reading):
            return ()
        message = f"{place.where} is not there yet, so nothing is known of earlier runs"
        hint = "the first apply begins it; if there was one, correct its URL in the settings or ZTRUST_MAIL_JOURNAL"
        return (Finding(Severity.NOTE, "no-journal", message, hint),)

    def holder(self) -> Holder | None:
        """Return who else works on this server just now, as far as the journal knows."""
        journal = None if self._holds else self.journal_for_reading
        return journal.holder(self.gateway.url) if journal else None

    def memory(self) -> JournalState:
        """Return what the journal holds of this server's realms now."""
        journal = self.journal_for_reading
        if not journal:
            return JournalState()
        known = journal.last_known(self.gateway.url)
        return JournalState(known, journal.fingerprint, fingerprints=journal.fingerprints)

    @contextmanager
    def journal_state_in_background(self) -> Iterator[Callable[[], JournalState]]:
        """Read the journal while the server is asked: both take their time. Gives what returns the memory."""
        with ThreadPoolExecutor(1) as pool:
            recalled: Future[JournalState] = pool.submit(self.memory)
            yield recalled.result

    @contextmanager
    def lock_out_runs(self) -> Iterator[Journal]:
        """Give the journal while no run can begin, without asking the server.

        Raises :class:`UsageError` where there is no journal, else as :meth:`lock` does.
        """
        if not self.journal_for_reading:
            raise UsageError("there is no journal yet", "the first apply begins it")
        with self.journal.lease(self.gateway.url, _person()):
            yield self.journal

    def planning_context(
        self, mode: SecretMode, memory: Callable[[], JournalState], *, resolve: bool = True
    ) -> PlanningContext:
        """Return what planning may use here.

        Raises :class:`UsageError` for a mode that the product cannot serve.
        """
        from ztrust_mail.gateways.capabilities import Operation, require
        from ztrust_mail.planning.planners.from_spec import PlanningContext

        if mode is SecretMode.KEEP:
            require(self.gateway, Operation.KEEP)
        return PlanningContext(mode, self.policy, memory, self.secrets if resolve else None)

    @property
    def who(self) -> str:
        """Who works here: the server's account, and the person as far as this machine knows."""
        return f"{self.gateway.account(with_email=False)}, {_person()}"

    @contextmanager
    def lock(self, *, wait: float = 0.0, lost: Callable[[], None] | None = None) -> Iterator[bool]:
        """Hold the lock on this server, so that no other run writes to it; ``wait`` is in seconds.

        Calls of one thread may be nested: the outermost takes the lock. Yields whether this call took it. Another
        thread of the same connection waits for the lock like any other run. ``lost`` is called, from another thread,
        when the lock is lost, also for a nested call.

        Raises :class:`Unsafe` naming the run that holds the lock.
        """
        held = next((hold for hold in list(self._holds) if hold.thread == threading.get_ident()), None)
        if held:
            with held.listening(lost):
                yield False
            return
        with ThreadPoolExecutor(1) as pool:
            login = pool.submit(self.gateway.login)  # the journal is opened meanwhile
            _ = self.journal
            login.result()
        from ztrust_mail.journal.lease import Monitor

        hold = _Hold()
        monitor = Monitor(hold.lose, self.opened.is_stuck)
        with self.journal.lease(self.gateway.url, self.who, wait=wait, monitor=monitor), hold.listening(lost):
            self._holds.append(hold)
            try:
                yield True
            finally:
                self._holds.remove(hold)


def _person() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user on this machine, as in some containers
        user = "unknown"
    return f"{user} on {platform.node() or 'this machine'}"


def load_spec(given: Given) -> Spec:
    """Return the spec in a file, files, a folder or a dict.

    Raises :class:`SpecError` holding every problem of every file.
    """
    return load.load(given, KEYCLOAK.attribute_names)


def validate(given: Given) -> tuple[Spec, list[Finding]]:
    """Return the spec as far as it is right, and all findings; offline."""
    return load.validate(given, KEYCLOAK.attribute_names)


def connect(
    server: str | None = None,
    *,
    spec: Spec | None = None,
    plan: SavedPlan | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> Session:
    """Return a connection to a server named by a settings entry or a URL; nothing is sent yet.

    The spec's server guard is honoured. Raises :class:`ConfigError`.

    ``plan`` is the saved plan that is to be applied. It chooses no server, since anybody can write a URL into a file:
    raises :class:`Unsafe` where ``server``, the settings or the environment choose another server
    than the plan's, or none. Only a plan whose digest was expected may choose its server, where nothing else does.
    """
    from ztrust_mail.gateways import connect as open_gateway

    environ = config.Environment(environ)  # else an exception would hold the variables as a local of this function
    settings = config.load(config_path, environ)
    guard = spec.servers if spec else ()
    if plan is None:
        chosen = config.choose_server(settings, server, guard, environ)
    else:
        from ztrust_mail.planning.saved.checks import choose_server_of  # most runs have no saved plan

        chosen = choose_server_of(plan, settings, server, guard, environ)
    reach = Reach(settings.permissions, settings.paths, environ.reveal(), chosen.isolated)
    journal = config.journal_url(settings, environ)
    findings = (*settings.findings, *chosen.findings)
    return Session(chosen, open_gateway(chosen), reach, findings, settings.policy, journal)
