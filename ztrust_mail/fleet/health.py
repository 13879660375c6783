"""A worker's small HTTP server: ``/health`` for probes, ``/metrics`` for Prometheus."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import JournalError, UsageError
from ztrust_mail.core.text import quoted
from ztrust_mail.journal.requests import RequestState

if TYPE_CHECKING:
    from ztrust_mail.fleet.worker import WorkerState
    from ztrust_mail.journal.requests import RequestCount, RequestTable

_LOG: Final = logging.getLogger("ztrust_mail.worker")

LOOPBACK: Final = "127.0.0.1"
ENDED_WITHIN: Final = timedelta(hours=1)
"""For how long an ended request is counted."""

OLDEST_SWEEP: Final = 60.0
"""The maximum age of the last sweep of a healthy worker, in seconds."""

Clock = Callable[[], float]


class Observed(Protocol):
    """A worker, as seen by the health server."""

    @property
    def state(self) -> WorkerState:
        """The current state of the worker."""
        ...

    @property
    def requests(self) -> RequestTable:
        """The requests in the worker's journal."""
        ...


@contextmanager
def serve_health(worker: Observed, address: str, clock: Clock = time.monotonic) -> Iterator[str]:
    """Serve health and metrics of a worker in a thread until the block ends; yield the URL.

    ``address`` is ``HOST:PORT``, or a port on loopback; port 0 picks a free one. ``clock`` is the worker's event loop's
    clock. Raises :class:`UsageError` for an address that cannot be used.
    """
    host, port = parse_address(address)
    try:
        server = _Server(host, port, worker, clock)
    except OSError as e:
        message = f"the worker cannot listen on {quoted(address)}: {e.strerror or e}"
        raise UsageError(message, f"choose another address: ztrust-mail worker --listen {LOOPBACK}:9180") from None
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        _LOG.info("serving %s/health and %s/metrics", server.url, server.url)
        yield server.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port. Raises :class:`UsageError`."""
    match = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):)?([0-9]{1,5})", text, re.ASCII)
    if match is None or int(match[2]) > 0xFFFF:
        hint = f"write HOST:PORT or a port, such as {LOOPBACK}:9180"
        raise UsageError(f"{quoted(text)} is not an address to listen on", hint)
    return (match[1] or LOOPBACK).strip("[]"), int(match[2])


def find_problem(state: WorkerState, now: float) -> str:
    """Return one line that says why a worker is unhealthy, or an empty text. ``now`` is the event loop's time."""
    if state.is_stopping:
        return "stopping"
    if not state.is_connected:
        return "not connected to the database"
    if not state.last_sweep:
        return "no sweep has ended yet"
    if (age := now - state.last_sweep) >= OLDEST_SWEEP:
        return f"the last sweep ended {age:.0f} s ago"
    return ""


class WorkerCollector(Collector):
    """Collects metrics for Prometheus: the state of a worker, and the requests of all queues in its journal."""

    def __init__(self, worker: Observed, clock: Clock) -> None:
        self._worker, self._clock = worker, clock

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. Those of requests are missing while the database is unreachable."""
        state = self._worker.state
        yield InfoMetricFamily("ztrust_mail_worker", "The version of the worker.", {"version": __version__})
        yield _gauge("worker_connected", "1 while the worker is connected to the database.", state.is_connected)
        yield _gauge("worker_draining_servers", "Servers that this worker is processing.", len(state.draining))
        if state.last_sweep:
            age = self._clock() - state.last_sweep
            yield _gauge("worker_last_sweep_age_seconds", "Seconds since the last sweep ended.", age)
        try:
            table = self._worker.requests
            counts, now, queues = table.counts(ENDED_WITHIN), table.now(), table.queues()
        except JournalError:
            return
        queues = sorted({*queues, *(one.queue for one in counts)})
        yield _requests("requests", "Requests that wait or run.", counts, queues, is_final=False)
        text = "Requests that ended within the last hour."
        yield _requests("requests_ended_last_hour", text, counts, queues, is_final=True)
        ages = {one.queue: (now - one.oldest).total_seconds() for one in counts if one.state is RequestState.WAITING}
        oldest = GaugeMetricFamily(
            "ztrust_mail_oldest_waiting_request_age_seconds",
            "Seconds since the oldest waiting request was submitted, 0 if none waits.",
            labels=["queue"],
        )
        for queue in queues:
            oldest.add_metric([queue], max(ages.get(queue, 0.0), 0.0))
        yield oldest


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ztrust_mail_{name}", text, value)


def _requests(
    name: str, text: str, counts: Sequence[RequestCount], queues: Sequence[str], *, is_final: bool
) -> GaugeMetricFamily:
    """Return the number of requests in each final or unfinished state, including zeros."""
    family = GaugeMetricFamily(f"ztrust_mail_{name}", text, labels=["queue", "state"])
    numbers = {(one.queue, one.state): one.number for one in counts}
    for queue in queues:
        for state in RequestState:
            if state.is_final is is_final:
                family.add_metric([queue, state], numbers.get((queue, state), 0))
    return family


class _Server(ThreadingHTTPServer):
    """The HTTP server of a worker. Its daemon threads do not delay the end of the process."""

    daemon_threads = True

    def __init__(self, host: str, port: int, worker: Observed, clock: Clock) -> None:
        self.worker, self.clock = worker, clock
        self.registry = CollectorRegistry()
        self.registry.register(WorkerCollector(worker, clock))
        ProcessCollector(registry=self.registry)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _HealthHandler)

    @property
    def url(self) -> str:
        """The URL of the root."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}"

    def server_bind(self) -> None:
        """Bind without a reverse DNS lookup, which takes seconds without a name server."""
        TCPServer.server_bind(self)


class _HealthHandler(BaseHTTPRequestHandler):
    """Handles one connection."""

    timeout = 10.0
    server: _Server
    server_version = "ztrust-mail"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0]
        if path == "/health":
            problem = find_problem(self.server.worker.state, self.server.clock())
            status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
            self._answer(status, f"{problem or 'ok'}\n".encode())
        elif path == "/metrics":
            self._answer(HTTPStatus.OK, generate_latest(self.server.registry), CONTENT_TYPE_LATEST)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"not found; try /health or /metrics\n")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # the name is that of the base class
        """Log nothing: probes arrive every few seconds."""
