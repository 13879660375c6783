"""Connects to servers; the other functions need a session."""

from __future__ import annotations

import getpass
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from ztrust_mail import settings as config
from ztrust_mail.api.keywords import LoginKeywords, check_login, hide, refuse_untrusted, use_login
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import JournalState
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.secrets.sources import GivenSecrets, Reach, Secrets
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings import LintSettings, Server
from ztrust_mail.settings.policy import Policy
from ztrust_mail.settings.server_entry import known_references
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal
    from ztrust_mail.journal.records import Holder
    from ztrust_mail.planning.planners.from_spec import PlanningContext
    from ztrust_mail.planning.saved.write import SavedPlan


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
        """Call ``lost`` when the lock is lost, immediately if it already is."""
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


@dataclass(frozen=True, repr=False)
class Session:
    """A server with everything needed to work on it. A context manager; threads may share it.

    ``opened`` is the gateway to the server; see :attr:`gateway`. ``findings`` are about the settings. ``journal_url``
    is None for the journal in the user's state folder. ``lint`` selects lint rules. ``clock`` returns the time, for the
    windows of the server. ``shared_journal`` is an open journal to use; it is not closed with the session.
    """

    server: Server
    opened: Gateway
    reach: Reach
    findings: tuple[Finding, ...] = ()
    policy: Policy = field(default_factory=Policy)
    journal_url: Secret | None = None
    lint: LintSettings = field(default_factory=LintSettings)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False, compare=False)
    shared_journal: Journal | None = field(default=None, compare=False)
    _holds: list[_Hold] = field(default_factory=list, repr=False, compare=False)
    _opening: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<Session {self.server.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, also those of the journal, unless it is shared."""
        self.opened.close()
        for name in ("journal", "_read_journal"):
            opened = vars(self).pop(name, None)
            if opened and opened is not self.shared_journal:
                opened.close()

    @cached_property
    def gateway(self) -> Gateway:
        """The gateway to work with. For a server that shows no settings, it returns the last applied ones as live."""
        if self.opened.capabilities.read:
            return self.opened
        from ztrust_mail.gateways.last_applied import LastAppliedGateway

        return LastAppliedGateway(self.opened, self.memory)

    @cached_property
    def secrets(self) -> SecretStore:
        """The values of secret references, each resolved once."""
        return SecretStore(self.reach, self.opened.redactor)

    @cached_property
    def journal(self) -> Journal:
        """The journal, created if it does not exist. Raises :class:`JournalError`."""
        from ztrust_mail.journal.journal import open_journal

        with self._opening:  # from Python 3.12 on, several threads may be here at once; a lease belongs to one journal
            opened: Journal | None = vars(self).get("journal") or self.shared_journal
            opened = opened or open_journal(self.journal_url, writable=True)
            vars(self)["journal"] = opened
        assert opened is not None  # a writable one is created
        return opened

    @cached_property
    def _read_journal(self) -> Journal | None:
        from ztrust_mail.journal.journal import open_journal

        return open_journal(self.journal_url, writable=False)

    @property
    def journal_for_reading(self) -> Journal | None:
        """The journal for reading, None if there is none yet. Raises :class:`JournalError`."""
        with self._opening:  # a background thread reads the journal too
            return vars(self).get("journal") or self.shared_journal or self._read_journal

    def missing_journal_note(self) -> tuple[Finding, ...]:
        """Return a note if a named journal does not exist: its name may have a typo."""
        from ztrust_mail.journal.database import location_of

        place = location_of(self.journal_url)
        if place.usual or (place.is_there if place.file else self.journal_for_reading):
            return ()
        message = f"{place.where} does not exist yet, so earlier runs are unknown"
        hint = "the first apply creates it; if it should exist, correct its URL in the settings or ZTRUST_MAIL_JOURNAL"
        return (Finding(Severity.NOTE, "no-journal", message, hint),)

    def lock_holder(self) -> Holder | None:
        """Return which other run holds the lock on this server, as far as the journal knows."""
        journal = None if self._holds else self.journal_for_reading
        return journal.holder(self.gateway.url) if journal else None

    def memory(self, realms: Iterable[str] | None = None) -> JournalState:
        """Return the current state of realms in the journal; of all of this server without a choice."""
        journal = self.journal_for_reading
        if not journal:
            return JournalState()
        known = journal.last_known(self.gateway.url, realms)
        return JournalState(known, journal.fingerprint, fingerprints=journal.fingerprints)

    @contextmanager
    def journal_state_in_background(self, realms: Iterable[str] | None = None) -> Iterator[Callable[[], JournalState]]:
        """Read the journal in a background thread. Yields a function that waits for it and returns its state.

        ``realms`` are all that will be looked up in it; without a choice it has those of the whole server.
        """
        with ThreadPoolExecutor(1) as pool:
            state: Future[JournalState] = pool.submit(self.memory, realms)
            yield state.result

    @contextmanager
    def lock_out_runs(self) -> Iterator[Journal]:
        """Yield the journal while no run can start. Sends nothing to the server.

        Raises :class:`UsageError` if there is no journal, else as :meth:`lock` does.
        """
        if not self.journal_for_reading:
            raise UsageError("there is no journal yet", "the first apply creates it")
        with self.journal.lease(self.gateway.url, local_user()):
            yield self.journal

    def planning_context(
        self, mode: SecretMode, memory: Callable[[], JournalState], *, resolve: bool = True
    ) -> PlanningContext:
        """Return the context of a plan.

        Raises :class:`UsageError` for a mode that the product does not support.
        """
        from ztrust_mail.gateways.capabilities import Operation, require
        from ztrust_mail.planning.planners.from_spec import PlanningContext

        if mode is SecretMode.KEEP:
            require(self.gateway, Operation.KEEP)
        return PlanningContext(mode, self.policy, memory, self.secrets if resolve else None)

    @property
    def identity(self) -> str:
        """The account on the server, and the user on this machine, for the journal."""
        return f"{self.gateway.account(with_email=False)}, {local_user()}"

    @contextmanager
    def lock(
        self, *, wait: float = 0.0, lost: Callable[[], None] | None = None, cancel: threading.Event | None = None
    ) -> Iterator[bool]:
        """Hold the lock on this server, so that no other run writes to it; ``wait`` is in seconds, ``cancel`` ends it.

        Calls of one thread may be nested: the outermost takes the lock. Yields whether this call took it. Another
        thread of the same session waits for the lock like any other run. ``lost`` is called, from another thread,
        when the lock is lost, also for a nested call.

        Raises :class:`Unsafe` naming the run that holds the lock.
        """
        outer = next((hold for hold in list(self._holds) if hold.thread == threading.get_ident()), None)
        if outer:
            with outer.listening(lost):
                yield False
            return
        from ztrust_mail.journal.lease import Monitor

        with ThreadPoolExecutor(1) as pool:
            login = pool.submit(self.gateway.login)  # meanwhile, open the journal
            _ = self.journal
            login.result()
        hold = _Hold()
        monitor = Monitor(hold.lose, self.opened.is_stuck, (cancel or threading.Event()).is_set)
        with self.journal.lease(self.gateway.url, self.identity, wait=wait, monitor=monitor), hold.listening(lost):
            self._holds.append(hold)
            try:
                yield True
            finally:
                self._holds.remove(hold)


def local_user() -> str:
    """Return the user of this process and the machine, for the journal."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user on this machine, as in some containers
        user = "unknown"
    return f"{user} on {platform.node() or 'this machine'}"


def connect(
    server: str | None = None,
    *,
    spec: Spec | None = None,
    plan: SavedPlan | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
    secrets: Secrets | GivenSecrets | None = None,
    **login: Unpack[LoginKeywords],
) -> Session:
    """Return a session for a server, given by the name of a settings entry or a URL. Sends nothing yet.

    The spec's server guard is honoured. ``login`` completely replaces the login in settings and environment.
    ``secrets`` resolves the spec's ``env`` references: a mapping, or a function that returns None for unknown names;
    these are taken from ``environ``. Raises :class:`ConfigError`.

    ``plan`` is the saved plan to apply. It does not choose the server, since anybody can write a URL into a file:
    raises :class:`Unsafe` if ``server``, the settings or the environment choose a server other than the plan's, or
    none. Only a plan with a verified digest may choose the server, and only if nothing else does.
    """
    from ztrust_mail.gateways import connect as open_gateway

    # else an exception would hold the variables and secrets as locals of this function
    environ, secrets = config.Environment(environ), GivenSecrets(secrets)
    sealed = hide(login)
    del login
    check_login(sealed, "connect")
    settings = config.load(config_path, environ)
    logins = known_references(settings.path, settings.servers)  # out of a spec's reach, even if another login is given
    settings, environ = use_login(settings, environ, sealed)
    chosen = _choose_server(plan, settings, server, spec.servers if spec else (), environ)
    refuse_untrusted(chosen, sealed)
    reach = Reach(settings.permissions, settings.paths, environ.reveal(), chosen.isolated, secrets, reserved=logins)
    journal = config.journal_url(settings, environ)
    findings = (*settings.findings, *chosen.findings)
    return Session(chosen, open_gateway(chosen), reach, findings, settings.policy, journal, settings.lint)


def _choose_server(
    plan: SavedPlan | None,
    settings: config.Settings,
    server: str | None,
    guard: Sequence[str],
    environ: config.Environment,
) -> Server:
    """Return the server that the arguments, the settings or the environment choose; the plan's, if there is one."""
    if plan is None:
        return config.choose_server(settings, server, guard, environ)
    from ztrust_mail.planning.saved.checks import choose_server_of  # most runs have no saved plan

    return choose_server_of(plan, settings, server, guard, environ)
