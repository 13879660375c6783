"""A worker: drains the requests of servers as their jobs arrive, and periodically sweeps for left-over requests."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Status
from psycopg_pool import AsyncConnectionPool

from ztrust_mail.core.errors import JournalError, ZtrustMailError
from ztrust_mail.fleet.queue import DRAIN
from ztrust_mail.journal.errors import journal_error
from ztrust_mail.journal.opening import NewerJournal
from ztrust_mail.journal.postgresql import ANSWER_TIMEOUT

if TYPE_CHECKING:
    from ztrust_mail.fleet.queue import WorkerEngine
    from ztrust_mail.journal.database import PostgresqlUrl
    from ztrust_mail.journal.requests import RequestTable

_LOG: Final = logging.getLogger("ztrust_mail.worker")

_TAKEN_FOR_DEAD: Final = psycopg.errors.ForeignKeyViolation
"""Raised when a worker fetches a job after other workers deleted its registration for lack of heartbeats."""


_NO_CONNECTION: Final = psycopg.errors.TooManyConnections


@dataclass(frozen=True)
class WorkerTiming:
    """Intervals in seconds. A worker without a heartbeat for ``stalled_after`` is dead, and a sweep deletes its jobs.

    The lease on a server's requests lasts 60 s, longer than ``stalled_after``. The first drain after a worker is killed
    may therefore find the lease still held and end immediately; the next sweep starts another one.

    No notification is sent for a job that is stored while the previous job of its server ends: ``poll`` finds it.
    """

    heartbeat: float = 10.0
    stalled_after: float = 30.0
    sweep: float = 10.0
    poll: float = 0.5
    reconnect: float = 2.0
    longest_reconnect: float = 30.0
    answer: float = ANSWER_TIMEOUT
    """For the first answer of a new connection; twice as long for any connection to become free."""
    prune: float = 3600.0


@dataclass(frozen=True)
class WorkerOptions:
    """The queues that a worker serves, and how many servers it processes at once."""

    queues: tuple[str, ...] = ("default",)
    concurrency: int = 4
    keep: timedelta = timedelta(days=90)
    timing: WorkerTiming = field(default_factory=WorkerTiming)


@dataclass
class WorkerState:
    """The state that health checks report. Threads may read it."""

    is_connected: bool = False
    is_stopping: bool = False
    draining: set[str] = field(default_factory=set)
    last_sweep: float = 0.0
    """When the last sweep without an error ended, by the event loop's clock; 0 before the first."""


class Worker:
    """Processes requests until it is stopped. ``sweeps`` are called at each sweep, for example to submit schedules."""

    def __init__(
        self,
        engine: WorkerEngine,
        url: PostgresqlUrl,
        options: WorkerOptions,
        sweeps: tuple[Callable[[], object], ...] = (),
    ) -> None:
        self._engine, self._url, self._options = engine, url, options
        self._sweeps = (*sweeps, engine.wake_all)
        self._stop = asyncio.Event()
        self._failure: NewerJournal | None = None
        self._is_starved = False
        self.state = WorkerState()

    @property
    def requests(self) -> RequestTable:
        """The requests in the worker's journal."""
        return self._engine.journal.requests

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then finish writes in progress and return unfinished requests to the queue.

        Raises :class:`NewerJournal` after the same if a newer version has migrated the journal.
        """
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_report_unstored_end)
        loop.set_default_executor(ThreadPoolExecutor(self._options.concurrency + 2, "ztrust-mail worker"))
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self.stop)
        pause = self._options.timing.reconnect
        while not self._stop.is_set():
            began = loop.time()
            try:
                await self._work()
            except (ConnectorException, psycopg.Error) as e:
                cause = _NO_CONNECTION() if self._is_starved else e.__cause__ or e
                _LOG.warning("%s", _describe_failure(cause, self._engine.journal.where))
            self._is_starved = False
            self.state.is_connected = False
            if loop.time() - began > self._options.timing.longest_reconnect:
                pause = self._options.timing.reconnect
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2 * pause, self._options.timing.longest_reconnect)
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Shut down gracefully. A second signal ends the process immediately."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)  # otherwise Ctrl-C would also wait for the threads
        self._begin_stop()

    def _begin_stop(self) -> None:
        self.state.is_stopping = True
        _LOG.info("stopping after the writes in progress; a second signal ends the process immediately")
        self._engine.options.stop.set()
        self._stop.set()

    async def _work(self) -> None:
        """Work until the connection is lost or the worker is stopped."""
        timing, options = self._options.timing, self._options
        app = self._make_app()
        async with app.open_async():
            self.state.is_connected = True
            _LOG.info("serving the queues %s, %d servers at once", ", ".join(options.queues), options.concurrency)
            work = app.run_worker_async(
                queues=[*options.queues],
                concurrency=options.concurrency,
                install_signal_handlers=False,
                delete_jobs=DeleteJobCondition.ALWAYS,
                fetch_job_polling_interval=timing.poll,
                update_heartbeat_interval=timing.heartbeat,
                stalled_worker_timeout=timing.stalled_after,
            )
            ended = asyncio.Event()
            await _until_first_ends(ended, work, self._sweep_until(ended, app), self._stop.wait())

    def _make_app(self) -> App:
        arguments = {**self._url.connection_arguments(), "client_encoding": "utf8", "connect_timeout": "10"}
        app = App(
            connector=PsycopgConnector(
                kwargs={**arguments, "application_name": "ztrust-mail worker", "prepare_threshold": None},
                min_size=1,
                max_size=self._options.concurrency + 2,
                timeout=2 * self._options.timing.answer,
                configure=self._await_answer,
            )
        )
        app.task(name=DRAIN)(self._drain)
        return app

    async def _await_answer(self, connection: psycopg.AsyncConnection) -> None:
        """Raise the error of a server without a free connection if a pooler gives a new one no session."""
        try:
            await asyncio.wait_for(AsyncConnectionPool.check_connection(connection), self._options.timing.answer)
        except TimeoutError:
            self._is_starved = True
            raise _NO_CONNECTION from None

    def _drain(self, server: str) -> None:
        self.state.draining.add(server)
        try:
            self._engine.drain(server)
        except ZtrustMailError as e:
            _LOG.warning("requests for %s are left to the next sweep: %s; %s", server, e.message, e.hint)
        finally:
            self.state.draining.discard(server)

    async def _sweep_until(self, ended: asyncio.Event, app: App) -> None:
        loop, pruned = asyncio.get_running_loop(), 0.0
        while not ended.is_set():
            await self._free_stalled(app)
            failed = False
            for sweep in self._sweeps:
                try:
                    await asyncio.to_thread(sweep)
                except NewerJournal as e:
                    self._failure = e
                    self._begin_stop()
                    return
                except JournalError as e:
                    failed = True
                    _LOG.warning("a sweep failed: %s; %s", e.message, e.hint)
            if not pruned or loop.time() - pruned > self._options.timing.prune:
                with suppress(JournalError):
                    await asyncio.to_thread(self._engine.journal.requests.prune, self._options.keep)
                pruned = loop.time()
            if not failed:
                self.state.last_sweep = loop.time()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self._options.timing.sweep)

    async def _free_stalled(self, app: App) -> None:
        """Delete the jobs of dead workers, so that another job for the same server can run."""
        manager = app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=self._options.timing.stalled_after):
            if job.task_name == DRAIN and job.id is not None:
                _LOG.warning("a worker died while it was processing %s", job.lock)
                with suppress(ConnectorException):  # another worker has deleted it
                    await manager.finish_job_by_id_async(job.id, Status.FAILED, delete_job=True)


def _report_unstored_end(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log that the end of a job could not be stored: other workers declared this one dead, or the database went down.

    Procrastinate leaves this as an unretrieved task exception. A sweep deletes the job, unless another worker has.
    """
    if isinstance(context.get("exception"), ConnectorException):
        _LOG.warning("the end of a job could not be stored; a sweep will delete the job")
    else:
        loop.default_exception_handler(context)


def _describe_failure(cause: BaseException, where: str) -> str:
    """Return why a worker reconnects. It retries after every error: permissions may be granted, backups restored."""
    if isinstance(cause, _TAKEN_FOR_DEAD):
        return "other workers declared this one dead because its heartbeats were late; registering again"
    if isinstance(cause, psycopg.Error):
        error = journal_error(where, cause)
        return f"{error.message}; retrying; to fix it: {error.hint}"
    return f"cannot read the jobs in {where} ({type(cause).__name__}); retrying"


async def _until_first_ends(ended: asyncio.Event, *several: Awaitable[object]) -> None:
    """Wait for the first to end, set ``ended``, cancel the others and wait for them. Reraises the first's exception.

    The event stops tasks that miss their cancellation, which psycopg may swallow when a query returns.
    """
    tasks = [asyncio.ensure_future(one) for one in several]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
