"""One apply under way: wave by wave, with the journal kept, until all is done or something stops it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ztrust_mail.applying.readback import not_read_back, read_back
from ztrust_mail.applying.recorder import Recorder
from ztrust_mail.applying.waves import Wave, Waves
from ztrust_mail.applying.writer import Attempt, Writer
from ztrust_mail.core.errors import CIRCUIT_OPEN, ExitStatus, JournalError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.core.text import pluralise
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import LOCK_LOST, Outcome
from ztrust_mail.planning.plan import Plan, RealmPlan, Status

SLICE = 32
"""So many realms are marked at once: a mark on disk for each alone would slow the writes down."""


class Queue:
    """Realms waiting to be written. ``mark`` puts on disk that some are about to be; ``stops`` ends the queue."""

    def __init__(
        self, realms: Sequence[RealmPlan], mark: Callable[[list[str]], None], stops: Callable[[], bool]
    ) -> None:
        self._waiting = deque(realms)
        self._marked: deque[RealmPlan] = deque()
        self._mark = mark
        self._stops = stops
        self._lock = threading.Lock()

    def next(self) -> RealmPlan | None:
        """Return the next realm to be written, None when there is none. Raises what ``mark`` raises."""
        with self._lock:
            if self._stops():
                return None
            if not self._marked and self._waiting:
                portion = [self._waiting.popleft() for _ in range(min(SLICE, len(self._waiting)))]
                self._mark([realm.realm for realm in portion])
                self._marked.extend(portion)
            return self._marked.popleft() if self._marked else None


def in_parallel(work: Callable[[], None], threads: int, interrupted: Callable[[], None]) -> None:
    """Run the same work in several threads until all have ended.

    Ctrl-C calls ``interrupted`` and goes on waiting: what is under way finishes. Raises what the work raises.
    """
    jobs: list[Future[None]] = []
    with ThreadPoolExecutor(threads) as pool:
        while True:
            try:
                while len(jobs) < threads:
                    jobs.append(pool.submit(work))
                for job in jobs:
                    job.result()
                return
            except KeyboardInterrupt:
                interrupted()


Progress = Callable[[RealmPlan], None]

Check = Callable[[Sequence[str]], Sequence[Finding]]
"""Has the server test the connection of realms; returns what it said, with an error for each that failed."""


def _checks_nothing(realms: Sequence[str]) -> Sequence[Finding]:
    return ()


@dataclass(frozen=True)
class Conduct:
    """How a plan is to be applied, beside what it says.

    ``check`` is asked after a canary. ``progress`` is called, from any thread, when a realm is written or has
    failed. Setting ``cancel`` lets the writes under way finish and leaves the rest, and so does ``lock_lost``, which
    is set when this run no longer holds the lock on the server.
    """

    waves: Waves = field(default_factory=Waves)
    check: Check = _checks_nothing
    progress: Progress | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    lock_lost: threading.Event = field(default_factory=threading.Event)


def _reason(e: JournalError) -> str:
    """Return why a run stops at an error of the journal."""
    return "the lock on the server was lost" if e.rule == LOCK_LOST else "the journal cannot be written"


class ApplyRun:
    """An apply under way; :meth:`go` does it, the attributes then say what became of it."""

    def __init__(self, plan: Plan, gateway: Gateway, writer: Writer, recorder: Recorder, conduct: Conduct) -> None:
        self._todo, self._mode = plan.changed, plan.secrets
        self._left_out = any(realm.is_left_out for realm in plan.realms)
        self._gateway, self._writer, self._recorder, self._conduct = gateway, writer, recorder, conduct
        self._attempts: dict[str, Attempt] = {}
        self._lock = threading.Lock()
        self._failures = 0
        self.done: dict[str, RealmPlan] = {}
        self.findings: list[Finding] = []
        self.exit_statuses: list[ExitStatus] = []
        self.stopped = ""
        self.interrupted = False

    def go(self) -> None:
        """Apply all waves, and end the run in the journal whatever happens."""
        broken_off = True
        try:
            self._waves()
            broken_off = False
        except KeyboardInterrupt:
            self.interrupted, broken_off = True, False
        except JournalError as e:
            broken_off = False
            self._lose_journal(e)
        finally:  # a caller's progress may raise anything: what is marked stays in doubt
            if broken_off:
                with suppress(JournalError):
                    self._recorder.finish(Outcome.STOPPED, ())
        self.done = {**not_read_back(self._attempts), **self.done}
        untouched = [replace(r, status=Status.SKIPPED) for r in self._todo if r.realm not in self._attempts]
        self.done |= {realm.realm: realm for realm in untouched}
        try:
            self._recorder.finish(self._outcome(), [realm.realm for realm in untouched])
        except JournalError as e:
            self._lose_journal(e)

    def _waves(self) -> None:
        for wave in self._conduct.waves.of(self._todo):
            if self._stops():
                return
            self._write(wave)
            names = [realm.realm for realm in wave.realms if realm.realm in self._attempts]
            if self.stopped:
                self._gateway.allow_probe()  # one list may settle what a server that broke off made of the writes
            seen = read_back({name: self._attempts[name] for name in names}, self._gateway, self._mode)
            self.interrupted = self.interrupted or seen.interrupted
            self.done |= seen.realms
            self._recorder.looked(seen)
            if wave.canary and not self._stops():
                self._listen_to_canary(names)

    def _write(self, wave: Wave) -> None:
        queue = Queue(wave.realms, self._mark, self._stops)

        def work() -> None:
            while (planned := queue.next()) is not None:
                self._take(self._writer.write(planned))

        in_parallel(work, self._gateway.connections, self._interrupt)

    def _mark(self, realms: Sequence[str]) -> None:
        try:
            self._recorder.writing(realms)
        except JournalError as e:
            self.stopped = _reason(e)  # for the threads that are still writing
            raise

    def _take(self, attempt: Attempt) -> None:
        realm = attempt.realm
        with self._lock:
            self._attempts[realm.realm] = attempt
            self._failures += realm.status is Status.FAILED
            if self._conduct.waves.stops_at(self._failures):
                self.stopped = f"{pluralise(self._failures, 'realm')} failed"
            elif any(finding.rule == CIRCUIT_OPEN for finding in realm.findings):
                self.stopped = "the server is down"
        self._recorder.attempted(attempt)
        if self._conduct.progress:
            self._conduct.progress(realm)

    def _stops(self) -> bool:
        """Return whether no further write may begin. Raises :class:`JournalError` when the lock is lost."""
        if self._conduct.lock_lost.is_set():
            from ztrust_mail.journal.lease import lost_to_another  # only now: drift and plan need no lock

            lost = lost_to_another(self._gateway.url)
            self.stopped = _reason(lost)
            raise lost
        if self._conduct.cancel.is_set():
            self.interrupted = True
        return bool(self.stopped) or self.interrupted

    def _interrupt(self) -> None:
        self.interrupted = True
        self._conduct.cancel.set()  # the writes under way finish, no other is begun
        self._gateway.stop_waiting()

    def _listen_to_canary(self, names: Sequence[str]) -> None:
        if any(self.done[name].status is not Status.APPLIED for name in names):
            self.stopped = "a realm of the canary failed"
            return
        told = self._conduct.check(names)
        self.findings += told
        if has_errors(told):
            self.exit_statuses.append(ExitStatus.DIFFERS)
            self.stopped = "the server's test of the canary failed"

    def _lose_journal(self, e: JournalError) -> None:
        self.findings.append(Finding(Severity.ERROR, e.rule or "journal", e.message, e.hint))
        self.exit_statuses.append(e.exit_status)
        self.stopped = self.stopped or _reason(e)

    def _outcome(self) -> Outcome:
        if self.interrupted:
            return Outcome.INTERRUPTED
        if self.stopped:
            return Outcome.STOPPED
        bad = any(realm.status is not Status.APPLIED for realm in self.done.values())
        return Outcome.FAILED if bad or self._left_out else Outcome.DONE
