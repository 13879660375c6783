"""Worker processes for tests: each stops at a chosen point, to be killed, paused or sent on.

    with WorkerStarter() as starter:
        worker = starter.start(Order(settings, ("default",), "before-mark"))
        worker.reach()
        worker.kill()

All are forked from one program that has imported everything, as the start of a Python process takes a second.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from support.fleet_points import POINTS
from support.processes import tail
from support.stopping import stop_at

from ztrust_mail import fleet
from ztrust_mail import settings as config
from ztrust_mail.fleet.queue import WorkerEngine
from ztrust_mail.fleet.worker import Worker, WorkerOptions, WorkerTiming
from ztrust_mail.journal.database import parse_url
from ztrust_mail.journal.lease import Timing

_NEEDED = (
    *("applying.apply", "diagnose.mail_test", "drift_detection.drift", "gateways.keycloak.client"),
    *("journal.postgresql", "planning.planners.from_spec", "planning.planners.rotate", "planning.saved"),
    *("reports.json", "reports.text"),
)
"""What the first request would import."""

PATIENCE = 120.0
"""Seconds in which a worker comes to its point, or ends.

PostgreSQL waits 60 s for a worker that was paused in the middle of a transaction, whose locks hold up others.
"""

LEASE = Timing(ttl=2.0, poll=0.1)
TIMING = WorkerTiming(heartbeat=0.25, stalled_after=1.0, poll=1.0, reconnect=0.1)
RETRY = fleet.RetryPolicy(shortest_pause=0.1, watch=0.1)


@dataclass(frozen=True)
class Order:
    """What a process does: serve queues, or submit an :class:`ApplySpec` of ``spec`` to ``server`` with a ``key``.

    It stops at ``point``. ``sweep`` is how many seconds pass between two sweeps; a worker that is
    to find dead ones is quick.
    """

    settings: str
    queues: tuple[str, ...] = ()
    point: str = ""
    concurrency: int = 1
    sweep: float = 600.0
    environ: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    key: str = ""
    spec: str = ""


class FleetProcess:
    """A running process, which has a connection to this one for its point."""

    def __init__(self, pid: int, listener: socket.socket, log: Path) -> None:
        self.pid, self.log = pid, log
        self._handle = os.pidfd_open(pid)  # readable when the process has ended
        self._listener = listener
        self._peer: socket.socket | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._wait(0.0)

    def _wait(self, seconds: float) -> bool:
        return bool(select.select([self._handle], [], [], seconds)[0])

    def reach(self) -> None:
        """Wait until the process has come to its point."""
        reached = self._listener.fileno()
        ready, _, _ = select.select([reached, self._handle], [], [], PATIENCE)
        assert reached in ready, f"the point was not reached:\n{tail(self.log, 200)}"
        self._peer, _ = self._listener.accept()

    def release(self) -> None:
        """Let the process go on from its point."""
        assert self._peer is not None
        self._peer.sendall(b".")

    def kill(self) -> None:
        """End the process as a power failure would."""
        self._send(signal.SIGKILL)
        assert self._wait(PATIENCE), "the process was not killed"

    def pause(self) -> None:
        """Stop the process, which then does nothing, not even renew its lease."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        """Have the process end in its own way, and wait for it."""
        self._send(signal.SIGTERM)
        assert self._wait(PATIENCE), f"the worker does not stop:\n{tail(self.log, 200)}"

    def close(self) -> None:
        """Kill the process if it still runs."""
        if not self.has_ended:
            self.kill()
        for one in (self._peer, self._listener):
            if one is not None:
                one.close()
        os.close(self._handle)

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)


class WorkerStarter:
    """Starts processes, as a context manager that ends them all."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fleet-"))
        self._processes: list[FleetProcess] = []
        self._started = 0
        ours = str(Path(__file__).parents[1])
        paths = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
        self._program = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": paths},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.end_all()
        self._program.communicate()
        shutil.rmtree(self._folder)

    def start(self, order: Order) -> FleetProcess:
        """Start a process."""
        assert self._program.stdin
        assert self._program.stdout
        self._started += 1
        name = f"{self._started}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._folder / name))
        listener.listen()
        log = self._folder / f"{name}.log"
        said = {**asdict(order), "socket": str(self._folder / name), "log": str(log)}
        print(json.dumps(said), file=self._program.stdin, flush=True)
        process = FleetProcess(int(self._program.stdout.readline()), listener, log)
        self._processes.append(process)
        return process

    def logs(self) -> str:
        """Return what all processes so far have logged."""
        return "\n".join(one.log.read_text(encoding="utf-8") for one in self._processes)

    def end_all(self) -> None:
        """Kill what still runs."""
        for one in self._processes:
            one.close()
        self._processes.clear()
        for path in self._folder.iterdir():
            path.unlink()


def _serve_orders() -> None:
    """Fork a process for each order that comes in, and print its number."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets a process that has ended
    for line in iter(sys.stdin.readline, ""):
        said = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(said.pop("socket"), said.pop("log"), Order(**said))
        print(pid, flush=True)


def _become(place: str, log: str, order: Order) -> None:
    """Do what an order says, and end this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for theirs, ours in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(theirs, ours)
    os.environ.update(order.environ)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", force=True)
    logging.getLogger().handlers[0].addFilter(_without_trace_of_libraries)
    status = 1
    try:
        if order.point in POINTS:
            stop_at(POINTS[order.point], partial(_wait_at_point, place))
        _do(order)
        status = 0
    except BaseException:
        logging.exception("the process ends")
    finally:
        os._exit(status)


def _without_trace_of_libraries(record: logging.LogRecord) -> bool:
    """Leave out the traceback that Procrastinate logs when its connection is lost; let all records through."""
    if record.name.startswith("procrastinate"):
        record.exc_info = None
    return True


def _wait_at_point(place: str) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(place)
        peer.recv(1)


def _do(order: Order) -> None:
    if order.key:
        work = fleet.ApplySpec(json.loads(order.spec))
        fleet.submit(work, order.server, key=order.key, config_path=order.settings)
        return
    url = config.journal_url(config.load(order.settings))
    assert url is not None
    options = fleet.DrainOptions(order.settings, retry=RETRY, lease=LEASE)
    timing = replace(TIMING, sweep=order.sweep, poll=min(order.sweep, TIMING.poll))
    with fleet.open_engine(order.settings, options=options) as engine:
        assert isinstance(engine, WorkerEngine)
        Worker(engine, parse_url(url), WorkerOptions(tuple(order.queues), order.concurrency, timing=timing)).run()


def _import_all() -> None:
    """Import all that requests need."""
    for name in _NEEDED:
        importlib.import_module(f"ztrust_mail.{name}")


if __name__ == "__main__":
    _import_all()
    _serve_orders()
