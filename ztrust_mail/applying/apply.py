"""Applies a plan: resolves secrets and records the run, then reads, writes and reads back wave by wave."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

from ztrust_mail.applying.options import ApplyContext, ApplyOptions, Wave, never
from ztrust_mail.applying.outcome import RealmOutcome, Result
from ztrust_mail.applying.readback import not_read_back, read_back
from ztrust_mail.applying.recorder import Recorder
from ztrust_mail.applying.writer import FreshReads, Writer
from ztrust_mail.core.errors import CIRCUIT_OPEN, ExitStatus, JournalError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.core.text import pluralise
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import LOCK_LOST, NewRun, Outcome, Step
from ztrust_mail.planning.compare import SecretMode, secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan, Status, of_plan
from ztrust_mail.secrets.store import ResolvedSecrets

INTENT_BATCH = 32
"""How many intents are recorded at once: recording them one by one would slow the writes down."""

SIGNAL_CHECK_S = 0.2
"""How often a waiting thread looks for Ctrl-C, in seconds: a signal that arrives just before a wait does not end it."""

_LOG = logging.getLogger("ztrust_mail.apply")


class Queue:
    """Realms to be written. ``mark`` records intents before their realms are handed out; ``should_stop`` ends it.

    Realms that are ``cancelled`` when their turn comes are left out.
    """

    def __init__(
        self,
        realms: Sequence[RealmPlan],
        mark: Callable[[list[str]], None],
        should_stop: Callable[[], bool],
        is_cancelled: Callable[[str], bool] = never,
    ) -> None:
        self._waiting = deque(realms)
        self._marked: deque[RealmPlan] = deque()
        self._mark = mark
        self._should_stop = should_stop
        self._is_cancelled = is_cancelled
        self._lock = threading.Lock()

    def next(self) -> RealmPlan | None:
        """Return the next realm to write, None at the end. Raises what ``mark`` raises."""
        with self._lock:
            while not self._should_stop():
                self._mark_next()
                if not self._marked:
                    break
                realm = self._marked.popleft()
                if not self._is_cancelled(realm.realm):
                    return realm
            return None

    def _mark_next(self) -> None:
        """Record the intents of the next realms, if all that were marked before have been handed out."""
        while self._waiting and not self._marked:
            batch = [self._waiting.popleft() for _ in range(min(INTENT_BATCH, len(self._waiting)))]
            left = [realm for realm in batch if not self._is_cancelled(realm.realm)]
            if left:
                self._mark([realm.realm for realm in left])
                self._marked.extend(left)


def in_parallel(work: Callable[[], None], threads: int, interrupted: Callable[[], None]) -> None:
    """Run the same work in several threads until all have ended.

    Ctrl-C calls ``interrupted`` and continues to wait, so that work in progress finishes, even after other work has
    failed. Raises what the work raises.
    """
    jobs: list[Future[None]] = []
    with ThreadPoolExecutor(threads) as pool:
        is_over = False
        while not is_over:
            try:
                while len(jobs) < threads:
                    jobs.append(pool.submit(work))
                while wait(jobs, SIGNAL_CHECK_S).not_done:
                    pass
                is_over = True
            except KeyboardInterrupt:
                interrupted()
    for job in jobs:
        job.result()


def _reason(e: JournalError) -> str:
    """Return why a run stops after a journal error."""
    return "the lock on the server was lost" if e.rule == LOCK_LOST else "the journal cannot be written"


class ApplyRun:
    """An apply in progress. :meth:`run` applies the plan; the attributes then have the outcome."""

    def __init__(
        self, plan: Plan, context: ApplyContext, options: ApplyOptions, writer: Writer, recorder: Recorder
    ) -> None:
        self._todo, self._mode = plan.changed, plan.secrets
        self._left_out = any(realm.is_left_out for realm in plan.realms)
        self._context, self._options, self._writer, self._recorder = context, options, writer, recorder
        self._gateway = context.gateway
        self._attempts: dict[str, RealmOutcome] = {}
        self._lock = threading.Lock()
        self._failures = 0
        self.done: dict[str, RealmOutcome] = {}
        self.findings: list[Finding] = []
        self.exit_statuses: list[ExitStatus] = []
        self.stopped = ""
        self.interrupted = False

    def run(self) -> None:
        """Apply all waves, and record the end of the run whatever happens."""
        try:
            self._run_waves()
        except KeyboardInterrupt:
            self.interrupted = True
        except JournalError as e:
            self._on_journal_error(e)
        except BaseException:  # a caller's progress may raise anything; the outcome of marked writes stays unknown
            with suppress(JournalError):
                self._recorder.finish(Outcome.STOPPED, ())
            raise
        left = {name: one for name, one in self._attempts.items() if name not in self.done}
        self.done |= not_read_back(left, "interrupted" if self.interrupted else self.stopped)
        untouched = [RealmOutcome.of(realm) for realm in self._todo if realm.realm not in self._attempts]
        self.done |= {realm.realm: realm.move_to(Status.SKIPPED, Step.SKIPPED) for realm in untouched}
        try:
            self._recorder.finish(self._outcome(is_whole=not untouched), [realm.realm for realm in untouched])
        except JournalError as e:
            self._on_journal_error(e)

    def _run_waves(self) -> None:
        for wave in self._options.waves.of(self._todo):
            if self._should_stop():
                return
            self._write_wave(wave)
            names = [realm.realm for realm in wave.realms if realm.realm in self._attempts]
            if self.stopped:
                self._gateway.allow_probe()  # one list may show the outcome of writes that the server did not answer
            outcomes = read_back({name: self._attempts[name] for name in names}, self._gateway, self._mode)
            self.done |= outcomes
            self._recorder.record_readback(outcomes.values())
            if wave.canary and not self._should_stop():
                self._test_canary(names)

    def _write_wave(self, wave: Wave) -> None:
        queue = Queue(wave.realms, self._mark_intents, self._should_stop, self._options.is_cancelled)
        fresh_reads = FreshReads(self._gateway, wave.realms)

        def work() -> None:
            try:
                while (planned := queue.next()) is not None:
                    self._record_attempt(self._writer.write(planned, fresh_reads))
            except BaseException:
                self.stopped = self.stopped or "an internal error"  # for the threads that are still writing
                raise

        in_parallel(work, self._gateway.connections, self._interrupt)

    def _mark_intents(self, realms: Sequence[str]) -> None:
        try:
            self._recorder.mark_intents(realms)
        except JournalError as e:
            self.stopped = _reason(e)  # for the threads that are still writing
            raise

    def _record_attempt(self, attempt: RealmOutcome) -> None:
        with self._lock:
            self._attempts[attempt.realm] = attempt
            self._failures += attempt.status is Status.FAILED
            if self._options.waves.stops_at(self._failures):
                self.stopped = f"{pluralise(self._failures, 'realm')} failed"
            elif any(finding.rule == CIRCUIT_OPEN for finding in attempt.findings):
                self.stopped = "the server is down"
        self._recorder.record_attempt(attempt)
        if self._options.progress:
            self._options.progress(attempt)

    def _should_stop(self) -> bool:
        """Return whether to stop before the next write. Raises :class:`JournalError` when the lock is lost."""
        if self._context.lock_lost.is_set():
            from ztrust_mail.journal.lease import lost_to_another  # imported late: drift and plan need no lock

            lost = lost_to_another(self._gateway.url)
            self.stopped = _reason(lost)
            raise lost
        if self._options.cancel.is_set():
            self.interrupted = True
        return bool(self.stopped) or self.interrupted

    def _interrupt(self) -> None:
        is_first, self.interrupted = not self.interrupted, True
        self._options.cancel.set()  # writes in progress finish, no others start
        self._gateway.stop_waiting()
        if is_first:
            with suppress(KeyboardInterrupt):  # a second Ctrl-C changes nothing
                _LOG.info("finishing the writes in progress; no others are started", extra={"rule": "interrupted"})

    def _test_canary(self, names: Sequence[str]) -> None:
        if any(self.done[name].status is not Status.APPLIED for name in names):
            self.stopped = "a canary realm failed"
            return
        found = self._context.test_canary(names)
        self.findings += found
        if has_errors(found):
            self.exit_statuses.append(ExitStatus.DIFFERS)
            self.stopped = "the test mail of the canary failed"

    def _on_journal_error(self, e: JournalError) -> None:
        finding = Finding(Severity.ERROR, e.rule or "journal", e.message, e.hint)
        if finding not in self.findings:  # the end of the run cannot be recorded either
            self.findings.append(finding)
        self.exit_statuses.append(e.exit_status)
        self.stopped = self.stopped or _reason(e)

    def _outcome(self, *, is_whole: bool) -> Outcome:
        if self.interrupted:
            return Outcome.INTERRUPTED
        if self.stopped:
            return Outcome.STOPPED
        if not is_whole:
            return Outcome.INTERRUPTED  # for realms that were cancelled by themselves
        bad = any(realm.status is not Status.APPLIED for realm in self.done.values())
        return Outcome.FAILED if bad or self._left_out else Outcome.DONE


def apply_plan(plan: Plan, context: ApplyContext, options: ApplyOptions) -> Result:
    """Apply a plan, and read the realms back.

    Secrets are resolved before the first write. A realm whose secret cannot be resolved fails alone, as does a realm
    whose settings changed after the plan was made. Raises :class:`JournalError` if the journal cannot be written
    before the first write; later, that stops the run.
    """
    todo = plan.changed
    if not todo:
        return Result.of_unchanged(plan, options.command)
    gateway = context.gateway
    values: ResolvedSecrets = {}
    if plan.secrets is not SecretMode.KEEP:
        values = context.secrets.get(ref for realm in todo for ref in secret_fields(realm.wanted.fields).values())
    recorder = Recorder(context.journal, gateway.dialect)
    warnings = _find_unsupported(plan, gateway)
    writer = Writer(gateway, plan.secrets, values, warnings, context.lock_lost, context.journal)
    recorder.begin(_new_run(plan, context, options), plan, values, context.memory)
    run = ApplyRun(plan, context, options, writer, recorder)
    run.run()
    return Result(
        plan,
        tuple(run.done.get(realm.realm) or RealmOutcome.of(realm) for realm in plan.realms),
        run.interrupted,
        recorder.number,
        run.stopped,
        tuple(run.findings),
        tuple(run.exit_statuses),
        options.command,
    )


def _new_run(plan: Plan, context: ApplyContext, options: ApplyOptions) -> NewRun:
    gateway = context.gateway
    plan_digest = options.plan_digest or of_plan(plan, gateway.dialect)
    message = context.secrets.redact(options.message)
    return NewRun(gateway.url, options.command, context.who, options.spec_digest, plan_digest, message, options.request)


def _find_unsupported(plan: Plan, gateway: Gateway) -> dict[str, tuple[Finding, ...]]:
    """Return by realm a warning for each field that needs a newer server."""
    fields = {r.realm: [c.field for c in r.changes if c.field in r.wanted.fields] for r in plan.changed}
    recent = any(gateway.dialect.unsupported_since(names, (0,)) for names in fields.values())
    version = gateway.version() if recent else ()
    found: dict[str, tuple[Finding, ...]] = {}
    for realm, names in fields.items() if version else ():
        found[realm] = tuple(
            Finding(
                Severity.WARNING,
                "too-new",
                f"`{row.field}` has no effect: this server is {'.'.join(map(str, version))}",
                f"it needs {' or '.join('.'.join(map(str, v)) for v in row.since)}; the value is stored anyway",
                realm=realm,
                field=row.field,
            )
            for row in gateway.dialect.unsupported_since(names, version)
        )
    return found
