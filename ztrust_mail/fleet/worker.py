"""A worker: drains the requests of servers as jobs for them arrive, and sweeps up what others have left."""

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

from ztrust_mail.core.errors import JournalError, ZtrustMailError
from ztrust_mail.fleet.queue import DRAIN
from ztrust_mail.journal.errors import journal_error

if TYPE_CHECKING:
    from ztrust_mail.fleet.queue import WorkerEngine
    from ztrust_mail.journal.database import PostgresqlUrl
    from ztrust_mail.journal.requests import RequestTable

_LOG: Final = logging.getLogger("ztrust_mail.worker")

_TAKEN_FOR_DEAD: Final = psycopg.errors.ForeignKeyViolation
"""What a worker gets that wants a job after others have deleted it, as it was without a heartbeat for too long."""


@dataclass(frozen=True)
class WorkerTiming:
    """In seconds. A worker without a heartbeat for ``stalled_after`` is dead, and a sweep takes its jobs away.

    The lease on the requests of a server lasts 60 s: longer than ``stalled_after``, so the drain that follows a killed
    worker may find the lease still held and ends at once; the next sweep begins another one.

    A job that is stored while the last one of its server ends is not notified of again: it waits for ``poll``.
    """

    heartbeat: float = 10.0
    stalled_after: float = 30.0
    sweep: float = 10.0
    poll: float = 0.5
    reconnect: float = 2.0
    longest_reconnect: float = 30.0
    prune: float = 3600.0


@dataclass(frozen=True)
class WorkerOptions:
    """Which queues a worker serves, and on how many servers it works at once."""

    queues: tuple[str, ...] = ("default",)
    concurrency: int = 4
    keep: timedelta = timedelta(days=90)
    timing: WorkerTiming = field(default_factory=WorkerTiming)


@dataclass
class WorkerState:
    """What a health check asks for. Threads may read it."""

    is_connected: bool = False
    is_stopping: bool = False
    draining: set[str] = field(default_factory=set)
    last_sweep: float = 0.0
    """The time of the loop's clock at which the last sweep ended, 0 before the first."""


class Worker:
    """Runs until it is stopped. ``sweeps`` are called at each sweep, such as the one that submits schedules."""

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
        self.state = WorkerState()

    @property
    def requests(self) -> RequestTable:
        """The requests in the worker's journal."""
        return self._engine.journal.requests

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then finish the writes under way and put the rest back."""
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
                _LOG.warning("%s", _describe_failure(e.__cause__ or e, self._engine.journal.where))
            self.state.is_connected = False
            if loop.time() - began > self._options.timing.longest_reconnect:
                pause = self._options.timing.reconnect
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2 * pause, self._options.timing.longest_reconnect)

    def stop(self) -> None:
        """Let the worker end. A second signal ends the process at once."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)  # else Ctrl-C would wait for the threads, too
        self.state.is_stopping = True
        _LOG.info("stopping: the writes under way finish; a second signal ends the process at once")
        self._engine.options.stop.set()
        self._stop.set()

    async def _work(self) -> None:
        """Work until the connection is lost or the worker is to stop."""
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
                timeout=30.0,
            )
        )
        app.task(name=DRAIN)(self._drain)
        return app

    def _drain(self, server: str) -> None:
        self.state.draining.add(server)
        try:
            self._engine.drain(server)
        except ZtrustMailError as e:
            _LOG.warning("the requests of %s wait for the next sweep: %s", server, e.message)
        finally:
            self.state.draining.discard(server)

    async def _sweep_until(self, ended: asyncio.Event, app: App) -> None:
        loop, pruned = asyncio.get_running_loop(), 0.0
        while not ended.is_set():
            await self._free_stalled(app)
            for sweep in self._sweeps:
                try:
                    await asyncio.to_thread(sweep)
                except JournalError as e:
                    _LOG.warning("a sweep failed: %s", e.message)
            if not pruned or loop.time() - pruned > self._options.timing.prune:
                with suppress(JournalError):
                    await asyncio.to_thread(self._engine.journal.requests.prune, self._options.keep)
                pruned = loop.time()
            self.state.last_sweep = loop.time()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self._options.timing.sweep)

    async def _free_stalled(self, app: App) -> None:
        """Remove the jobs of dead workers, so that another job for the same server can run."""
        manager = app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=self._options.timing.stalled_after):
            if job.task_name == DRAIN and job.id is not None:
                _LOG.warning("a worker died while it worked on %s", job.lock)
                with suppress(ConnectorException):  # another worker was faster
                    await manager.finish_job_by_id_async(job.id, Status.FAILED, delete_job=True)


def _report_unstored_end(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log that the end of a job could not be stored: others took its worker for dead, or the database went down.

    Procrastinate lets this be an error that nobody retrieves. A sweep removes the job, if no other worker has done so.
    """
    if isinstance(context.get("exception"), ConnectorException):
        _LOG.warning("the end of a job could not be stored; a sweep removes the job")
    else:
        loop.default_exception_handler(context)


def _describe_failure(cause: BaseException, where: str) -> str:
    """Return why a worker connects again; it does so after all errors, as rights are granted and backups restored."""
    if isinstance(cause, _TAKEN_FOR_DEAD):
        return "other workers took this one for dead, as it was late; registering again"
    if isinstance(cause, psycopg.Error):
        error = journal_error(where, cause)
        return f"{error.message}; trying again, but: {error.hint}"
    return f"the jobs in {where} cannot be read ({type(cause).__name__}); trying again"


async def _until_first_ends(ended: asyncio.Event, *several: Awaitable[object]) -> None:
    """Wait until one of several ends, set ``ended``, cancel the others and wait for them. Raises what the first raised.

    The event is for those that lose their cancellation: psycopg may answer it with the result of a query.
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
