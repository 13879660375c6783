"""Processes the requests of one server, in order, until none is left or the drain is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from ztrust_mail import api
from ztrust_mail import settings as config
from ztrust_mail.api.session import Session, local_user
from ztrust_mail.core.errors import ConfigError, ExitStatus, JournalError, Unsafe, ZtrustMailError
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.fleet.execute import (
    WorkCall,
    end_of,
    end_of_error,
    execute,
    has_lost_server,
    is_transient,
    require_journal,
)
from ztrust_mail.fleet.execute import until_window as find_closed_window
from ztrust_mail.fleet.mail_marks import has_unknown_mail
from ztrust_mail.fleet.onboarding import Batch, Ends, choose_batch
from ztrust_mail.fleet.work import (
    ApplySavedPlan,
    ApplySpec,
    OnboardRealms,
    RotateSecrets,
    TestSpec,
    TestStored,
    Work,
    read_content,
)
from ztrust_mail.gateways.gateway import TEST_UNKNOWN
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.lease import DEFAULT_TIMING, LOCKED, Monitor, Timing
from ztrust_mail.journal.requests import Postponed, RequestEnd, RequestState, StoredRequest
from ztrust_mail.planning.safety import Reason
from ztrust_mail.settings import PROCESS, Variables
from ztrust_mail.settings.urls import is_file_url

_LOG: Final = logging.getLogger("ztrust_mail.fleet")

_LOGIN_RULES: Final = ("login-refused", "token-refused")
_SENDS_ONLY_MAIL: Final = (TestSpec.kind, TestStored.kind)


@dataclass(frozen=True)
class RetryPolicy:
    """When to give up on a request; times are in seconds.

    A request is dead after ``attempts`` attempts in which its worker was killed, or if its server is still unavailable
    ``patience`` seconds after it was submitted. Until then, its pauses are a quarter of its age, within the two bounds.
    """

    attempts: int = 5
    patience: float = 86_400.0
    shortest_pause: float = 5.0
    longest_pause: float = 300.0
    login_pause: float = 60.0
    """How long other requests wait after a rejected login: a login for each of them could lock the account."""
    wait_for_lock: float = 60.0
    """How long to wait for another run on the server."""
    watch: float = 1.0
    """The interval between checks for cancelled requests."""

    def pause_at(self, age: timedelta) -> timedelta | None:
        """Return how long a request of this age waits for its server; None to give it up."""
        if age.total_seconds() >= self.patience:
            return None
        return timedelta(seconds=min(max(age.total_seconds() / 4, self.shortest_pause), self.longest_pause))


@dataclass(frozen=True)
class DrainOptions:
    """The settings and timing of a drain. Setting ``stop`` ends it after the writes in progress.

    ``lease`` has the duration of the leases on a server and on its requests.
    """

    config_path: str | None = None
    environ: Variables = PROCESS
    stop: threading.Event = field(default_factory=threading.Event)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    lease: Timing = DEFAULT_TIMING


class Drain:
    """Processes the requests of a server. Only one drain at a time works on a server, across all machines.

    The lease on the requests of a server expires 60 s after its worker was killed. Only then can another drain start
    and continue the requests that the worker left in state running.
    """

    def __init__(self, journal: Journal, server: str, options: DrainOptions) -> None:
        self._journal, self._server, self._options = journal, server, options
        self._requests = journal.requests
        self._lost = threading.Event()
        self._cancelled: Collection[int] = ()
        self._is_paused = False

    def run(self) -> int:
        """Process all due requests, and return how many ended. Raises :class:`JournalError`.

        Returns 0 immediately if another drain is working on the server.
        """
        ended = 0
        while self._has_work():
            try:
                with self._journal.lease(f"requests of {self._server}", local_user(), monitor=Monitor(self._lost.set)):
                    ended += self._work_off()
            except Unsafe as e:
                if e.rule == LOCKED:
                    return ended
                raise
        return ended

    def _has_work(self) -> bool:
        """Tell whether requests are due. Asked again after the lease is released, for requests submitted meanwhile."""
        return not self._is_stopping and not self._is_paused and self._requests.has_waiting(self._server)

    @property
    def _is_stopping(self) -> bool:
        return self._options.stop.is_set() or self._lost.is_set()

    def _work_off(self) -> int:
        ended = 0
        while not self._is_stopping and not self._is_paused:
            chosen = choose_batch(self._requests.waiting_for(self._server))
            batch = self._requests.take(chosen) if chosen else []
            if not batch:
                break
            was_killed = chosen[0].state is RequestState.RUNNING
            outcomes = list(zip(batch, self._do(batch, was_killed=was_killed), strict=True))
            self._requests.store(outcomes)
            for request, end in outcomes:
                if isinstance(end, RequestEnd):
                    ended += 1
                    _LOG.info("%s is %s: %s", _describe([request]), end.state, end.summary)
        return ended + self._end_damaged()

    def _end_damaged(self) -> int:
        """End the requests with unreadable rows, which would otherwise be taken again and again."""
        damaged = self._requests.end_damaged(self._server)
        for number, column in damaged.items():
            _LOG.warning("request %d failed: column `%s` of its row in the journal cannot be read", number, column)
        return len(damaged)

    def _do(self, batch: Sequence[StoredRequest], *, was_killed: bool) -> list[RequestEnd | Postponed]:
        """Process requests that were taken together; return how each ended, in the same order.

        ``was_killed`` means that an earlier worker was killed while processing it; the batch then has one request.
        """
        ends: dict[int, RequestEnd | Postponed] = {
            one.number: end for one in batch if (end := self._without_work(one, was_killed=was_killed))
        }
        if left := [one for one in batch if one.number not in ends]:
            ends.update(self._attempt(left))
        return [_mention_mails(one, ends[one.number]) for one in batch]

    def _attempt(self, batch: Sequence[StoredRequest]) -> Ends:
        first = batch[0]
        _LOG.info("%s of %s: %s", _describe(batch), quoted(first.name or first.server), first.kind)
        if problem := self._find_settings_problem():
            return dict(zip(_numbers(batch), self._wait_for_server(batch, problem), strict=True))
        try:
            ends = self._call(batch)
        except JournalError:
            raise
        except ZtrustMailError as e:
            if is_transient(e):
                waiting = self._wait_for_server(batch, e.message)
                return dict(zip(_numbers(batch), waiting, strict=True))
            if e.rule in _LOGIN_RULES:
                self._hold_back(self._options.retry.login_pause, e.message, later_ones=True)
            return {one.number: end_of_error(one.kind, e) for one in batch}
        if lost := [one for one in batch if isinstance(end := ends[one.number], Postponed) and end.is_server_down]:
            waiting = self._wait_for_server(lost, "the server went down")
            return {**ends, **dict(zip(_numbers(lost), waiting, strict=True))}
        return ends

    def _find_settings_problem(self) -> str:
        """Return why the settings cannot be read now, such as while somebody edits them; empty if they can."""
        try:
            config.load(self._options.config_path, self._options.environ)
        except ZtrustMailError as e:
            return f"the settings of this worker cannot be used: {e.message}"
        return ""

    def _wait_for_server(self, batch: Sequence[StoredRequest], why: str) -> list[RequestEnd | Postponed]:
        """Postpone these requests, and all others for the same unavailable server; this drain ends.

        The others wait for a shorter time, so they come first: these requests may be what makes the server fail.
        """
        now, retry = self._requests.now(), self._options.retry
        pauses = [retry.pause_at(now - one.submitted) for one in batch]
        self._hold_back(retry.shortest_pause, why)
        hours = f"{retry.patience / 3600:g} hours"
        dead = RequestEnd(RequestState.DEAD, summary=f"given up after {hours}: {why}")
        return [Postponed(why, pause) if pause else dead for pause in pauses]

    def _hold_back(self, seconds: float, why: str, *, later_ones: bool = False) -> None:
        """Let all waiting requests for the server, or later ones too, wait at least this long; this drain ends."""
        self._is_paused = True
        self._requests.hold_back(self._server, timedelta(seconds=seconds), later_ones=later_ones)
        _LOG.warning("requests for %s are waiting: %s", quoted(self._server), why)

    def _without_work(self, request: StoredRequest, *, was_killed: bool) -> RequestEnd | None:
        """Return the outcome of a request that must not be attempted again, None for all others."""
        if request.is_cancelled:
            return RequestEnd(RequestState.CANCELLED, summary="cancelled after its worker was killed")
        if request.attempts > self._options.retry.attempts:
            tried = f"given up after {self._options.retry.attempts} attempts"
            return RequestEnd(RequestState.DEAD, summary=f"{tried}: its worker died each time")
        if request.kind in _SENDS_ONLY_MAIL and was_killed:
            why = "its worker was killed; test mails may have been sent, so they are not sent again"
            return RequestEnd(RequestState.FAILED, summary=why)
        return None

    def _call(self, batch: Sequence[StoredRequest]) -> Ends:
        with self._connect(batch[0]) as session, self._watching(batch) as cancel:
            call = WorkCall(batch[0], session, cancel, self._options.retry.wait_for_lock, self._is_cancelled)
            try:
                if call.request.kind == OnboardRealms.kind:
                    return Batch(call, batch).run()
                work = read_content(call.request.kind, call.request.content, call.request.tool_version)
                return {call.request.number: self._execute(call, work)}
            except Unsafe as e:  # the window closed while the request waited for the lock
                if e.rule == Reason.WINDOW and (closed := find_closed_window(session)):
                    return dict.fromkeys(_numbers(batch), closed)
                raise

    def _is_cancelled(self, number: int) -> bool:
        """Tell whether a request that is worked on was cancelled, as far as is known by now."""
        return number in self._cancelled

    def _execute(self, call: WorkCall, work: Work) -> RequestEnd | Postponed:
        if isinstance(work, ApplySpec | ApplySavedPlan | RotateSecrets) and (
            closed := find_closed_window(call.session, work.allow)
        ):
            return closed
        result = execute(call, work)
        require_journal(result)
        if result.exit_status is ExitStatus.INTERRUPTED:
            if not self._is_stopping:
                return replace(end_of(result), state=RequestState.CANCELLED)
            if not isinstance(work, TestSpec | TestStored):
                return Postponed("the worker was stopped")
        if has_lost_server(result) and not isinstance(work, TestSpec | TestStored):
            return Postponed(str(result), is_server_down=True)
        return end_of(result, work)

    def _connect(self, request: StoredRequest) -> Session:
        options = self._options
        server = request.name or request.server
        self._require_known(server)
        session = api.connect(server, config_path=options.config_path, environ=options.environ)
        session = replace(session, shared_journal=self._journal)  # a new connection would cost more than the work
        if session.gateway.url != request.server:
            session.close()
            here, there = quoted(session.server.url), quoted(request.server)
            message = f"in this worker's settings, server {quoted(request.name)} is {here}, not {there}"
            raise Unsafe(message, "make the settings match, then: ztrust-mail requests N --retry")
        return session

    def _require_known(self, server: str) -> None:
        """Raise for a server missing from this worker's settings: a URL would receive the general login."""
        options = self._options
        settings = config.load(options.config_path, options.environ)
        is_named = server in settings.servers or server in settings.untrusted.servers
        if not is_named and not config.has_server_at(settings, server, options.environ):
            error = Unsafe if "://" in server or is_file_url(server) else ConfigError
            message = f"this worker's settings have no server {quoted(server, 200)}"
            raise error(message, "add it to the worker's settings, then: ztrust-mail requests N --retry")

    @contextmanager
    def _watching(self, batch: Sequence[StoredRequest]) -> Iterator[threading.Event]:
        """Yield an event that is set when the drain is stopped or all requests of the batch are cancelled.

        Until then, looks for requests that are cancelled one by one.
        """
        cancel, done = threading.Event(), threading.Event()
        numbers, self._cancelled = {*_numbers(batch)}, ()

        def watch() -> None:
            while not done.wait(self._options.retry.watch) and not cancel.is_set():
                with suppress(JournalError):  # try again next time; a run that needs the journal stops by itself
                    if not self._is_stopping:
                        self._cancelled = self._requests.find_cancelled()
                if self._is_stopping or numbers.issubset(self._cancelled):
                    cancel.set()

        watcher = threading.Thread(target=watch, name="cancelled requests", daemon=True)
        watcher.start()
        try:
            yield cancel
        finally:
            done.set()
            watcher.join()


def _numbers(batch: Sequence[StoredRequest]) -> list[int]:
    return [one.number for one in batch]


def _mention_mails(request: StoredRequest, end: RequestEnd | Postponed) -> RequestEnd | Postponed:
    """Name test mails of unknown outcome from an earlier attempt in the summary, unless the report has them."""
    if isinstance(end, Postponed) or not has_unknown_mail(request) or f'"{TEST_UNKNOWN}"' in end.report:
        return end
    return replace(end, summary=f"{end.summary}; a test mail may have been sent, so check the mailbox")


def _describe(batch: Sequence[StoredRequest]) -> str:
    more = f" and {pluralise(len(batch) - 1, 'more request')}" if batch[1:] else ""
    return f"request {batch[0].number}{more}"
