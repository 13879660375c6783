"""``worker``: process requests as they arrive, until stopped."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ztrust_mail import settings
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.output import Output, exit_with
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.text import did_you_mean, first_and_more, printable, quoted
from ztrust_mail.settings.server_entry import DEFAULT_QUEUE

if TYPE_CHECKING:
    from ztrust_mail.core.secret import Secret

_LOG: Final = logging.getLogger("ztrust_mail.worker")

NAME = "worker"
MOST_SERVERS = 64

OURS: Final = "ztrust_mail"
_QUEUE: Final = "procrastinate"
_PACKAGE: Final = str(Path(__file__).parents[2])
_LOST_DATABASE: Final = "ConnectorException"
"""The queue's error for an unreachable database. The worker itself logs that, with the next step."""
_WORDS: Final = {logging.WARNING: "warning: ", logging.ERROR: "error: ", logging.CRITICAL: "error: "}


@parameters.command(NAME)
@parameters.texts("--queue", "NAME", "Serve the servers of this queue; repeatable.", default=(DEFAULT_QUEUE,))
@parameters.number("--concurrency", "N", 4, 1, MOST_SERVERS, "How many servers to process at once.")
@parameters.text("--listen", metavar="HOST:PORT", help="Serve /health and /metrics there over HTTP.")
@options.config
def command(queue: Sequence[str], concurrency: int, listen: str | None, config: str | None) -> None:
    """Process requests as they arrive.

    Processes requests submitted with --detach or by services, until it is stopped. Needs a journal in PostgreSQL. On
    SIGTERM or Ctrl-C, finishes the writes in progress and returns unfinished requests to the queue; a second one ends
    the process immediately. Logs one line per event to standard error.
    """
    from ztrust_mail import fleet

    with Output(NAME) as output:
        if empty := [one for one in queue if not one.strip()]:
            raise UsageError(f"--queue {quoted(empty[0])} is empty", "name the queue of a server in the settings")
        loaded = settings.load(config)
        url = settings.journal_url(loaded)
        fleet.require_workers(url)
        log_lines(verbose=output.display.verbose)
        for message in _find_idle_queues(queue, loaded):
            _LOG.warning("%s", message)
        keep = timedelta(days=loaded.fleet.keep_days)
        _work(url, config, listen, tuple(dict.fromkeys(queue)), concurrency, keep)
        exit_with(ExitStatus.OK)


def _find_idle_queues(queues: Sequence[str], loaded: settings.Settings) -> Iterator[str]:
    """Yield a warning for each queue without servers in the settings: it is probably a typo."""
    known = [str(entry.get("queue", DEFAULT_QUEUE)) for entry in loaded.servers.values()]
    for one in queues if known else ():
        if one not in known:
            hint = did_you_mean(one, known) or f"known queues: {first_and_more([*dict.fromkeys(known)])}"
            yield f"no server in the settings has the queue {quoted(one)}; {hint}"


def _work(
    url: Secret | None,
    config: str | None,
    listen: str | None,
    queues: tuple[str, ...],
    concurrency: int,
    keep: timedelta,
) -> None:
    """Work until stopped. Raises :class:`UsageError` if the extra is missing, or for a bad address."""
    from ztrust_mail import fleet
    from ztrust_mail.journal.database import parse_url

    assert url is not None  # a journal in PostgreSQL has one
    with fleet.open_engine(config) as engine, ExitStack() as stack:  # also needs the extra
        from ztrust_mail.fleet.health import serve_health
        from ztrust_mail.fleet.queue import WorkerEngine
        from ztrust_mail.fleet.schedules import ScheduleSweep
        from ztrust_mail.fleet.worker import Worker, WorkerOptions

        assert isinstance(engine, WorkerEngine)  # for a journal in PostgreSQL
        worker_options = WorkerOptions(queues, concurrency, keep)
        worker = Worker(engine, parse_url(url), worker_options, (ScheduleSweep(engine),))
        if listen is not None:
            stack.enter_context(serve_health(worker, listen))
        worker.run()


class _LineHandler(logging.Handler):
    """Writes a record as one printable line; for an exception, only its type and its frames in this package."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        if kind and kind.__name__ == _LOST_DATABASE and not _is_ours(record):
            return
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        word = _WORDS.get(record.levelno, "")
        lines = [f"{moment} {word}{printable(self._message(record))}"]
        frames = traceback.extract_tb(record.exc_info[2]) if record.exc_info else []
        lines += [f"  {one.filename}:{one.lineno} in {one.name}" for one in frames if _PACKAGE in one.filename]
        print("\n".join(lines), file=sys.stderr, flush=True)

    def _message(self, record: logging.LogRecord) -> str:
        if _is_ours(record):
            return record.getMessage()
        kind = record.exc_info[0] if record.exc_info else None
        return f"the queue reports {kind.__name__ if kind else 'a problem'} in {record.name}"


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == OURS


def log_lines(*, verbose: bool = False) -> None:
    """Log events of this package and problems of the queue to standard error, and nothing else."""
    handler = _LineHandler()
    for name, level in ((OURS, logging.DEBUG if verbose else logging.INFO), (_QUEUE, logging.WARNING)):
        log = logging.getLogger(name)
        log.setLevel(level)
        log.handlers = [handler]
        log.propagate = False
    logging.getLogger().addHandler(logging.NullHandler())  # otherwise warnings of other libraries go to standard error
