"""A TCP proxy on loopback that breaks chosen requests on their way to a real server, and records all requests.

    with FaultProxy(server.url) as proxy:
        proxy.fault(Fault.CUT_BEFORE_ANSWER, method="PUT", at=7)
        ...  # work with proxy.url
        assert len(proxy.forwarded("PUT", "/realms/acme")) == 1

It understands as much of HTTP/1.1 as an admin API needs, forwards everything byte for byte, and does not support TLS.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import BinaryIO
from urllib.parse import urlsplit

from support.http_bytes import Message, read_answer, read_request

HOST = "127.0.0.1"
_TIMEOUT = 120.0  # seconds


class Fault(Enum):
    """What goes wrong with a request. Only with the first four does the server get it."""

    CUT_BEFORE_ANSWER = "the server executes it, and the connection breaks before its answer"
    CUT_IN_ANSWER = "the server executes it, and the connection breaks in the middle of its answer"
    DELAY = "the server executes it, and its answer is late"
    PAGE = "the server executes it, and its answer is replaced by a web page with status 200"
    CUT_BEFORE_REQUEST = "the connection breaks"
    BUSY = "the answer is 503"
    GARBAGE = "the answer is not HTTP"
    HANG = "there is no answer"
    REFUSE = "every connection breaks, and new ones are refused from now on"


@dataclass(frozen=True)
class Exchange:
    """One request. ``forwarded``: the server got it. ``status``: that of its answer, None without an answer."""

    method: str
    path: str
    body: bytes = field(repr=False)
    fault: Fault | None = None
    forwarded: bool = False
    status: int | None = None


@dataclass
class _Rule:
    fault: Fault
    method: str
    path: str
    at: int
    times: int
    seconds: float
    retry_after: str
    seen: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Count the request if the rule matches it, and return whether the fault applies to it."""
        if self.method not in ("", method) or self.path not in path:
            return False
        self.seen += 1
        return self.at <= self.seen < self.at + self.times


class FaultProxy:
    """The proxy, as a context manager. ``url`` replaces the server's URL, with its path."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError("the proxy needs an http URL")
        self.target = (parts.hostname, parts.port or 80)
        self._path = parts.path.rstrip("/")
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._rules: list[_Rule] = []
        self._exchanges: list[Exchange] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._socket = _bound(0)
        self._listens = False
        self.port = int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"http://{HOST}:{self.port}{self._path}"

    @property
    def requests(self) -> tuple[Exchange, ...]:
        """All requests so far, in the order of their arrival."""
        with self._lock:
            return tuple(self._exchanges)

    def forwarded(self, method: str = "", path: str = "") -> list[Exchange]:
        """Return the requests that the server got, with this method and this part of the path."""
        return [e for e in self.requests if e.forwarded and method in ("", e.method) and path in e.path]

    def fault(
        self,
        fault: Fault,
        *,
        method: str = "",
        path: str = "",
        at: int = 1,
        times: int = 1,
        seconds: float = 0.0,
        retry_after: str = "0",
    ) -> None:
        """Let the ``at``-th request from now on with that method and part of a path go wrong, ``times`` in a row.

        ``seconds`` are how late a delayed answer comes; ``retry_after`` is what a busy server says, "" nothing. Each
        fault counts for itself; where two take the same request, the older one has it.
        """
        with self._lock:
            self._rules.append(_Rule(fault, method, path, at, times, seconds, retry_after))

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._rules.clear()

    def __enter__(self) -> FaultProxy:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self.refuse()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def listen(self) -> None:
        """Accept connections, again after :meth:`refuse` and at the same port."""
        with self._lock:
            self._listens = True
            self._socket.listen()
        self._start(self._accept, self._socket)

    def refuse(self) -> None:
        """Break every connection and refuse new ones, as if the server's machine were down."""
        with self._lock:
            if self._listens:
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
                self._socket.close()
                self._socket = _bound(self.port)  # so that nobody else takes the port
            self._listens = False
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def kept(self, connection: socket.socket) -> Iterator[BinaryIO]:
        """Yield a stream of a connection, which is closed afterwards, or when the proxy refuses all."""
        with connection, connection.makefile("rb") as stream:
            with self._lock:
                if not self._listens:
                    raise ConnectionAbortedError
                self._open.add(connection)
            try:
                yield stream
            finally:
                with self._lock:
                    self._open.discard(connection)

    def _start(self, work: Callable[[socket.socket], None], connection: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(connection,), name="fault proxy", daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                self._start(self._serve, listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError), self.kept(client) as requests, ExitStack() as stack:
            server = _Server(self, stack)
            while (request := read_request(requests)) is not None:
                if not self._handle(client, server, request) or request.closes:
                    return

    def _handle(self, client: socket.socket, server: _Server, request: Message) -> bool:
        """Forward a request, or apply its fault; return whether the connection stays open."""
        method, path, _ = request.words
        with self._lock:
            rule = next(iter([rule for rule in self._rules if rule.takes(method, path)]), None)
            number = len(self._exchanges)
            self._exchanges.append(Exchange(method, path, request.body, rule.fault if rule else None))
        if rule is not None and rule.fault not in _DONE_BY_THE_SERVER:
            self._keep_back(client, rule)
            return False
        server.connect()
        self._note(number)
        answer = server.ask(request)
        self._note(number, int(answer.words[1]))
        if rule is not None and not self._comes_through(client, rule, answer):
            return False
        client.sendall(answer.head + answer.raw)
        return not answer.closes

    def _note(self, number: int, status: int | None = None) -> None:
        with self._lock:
            self._exchanges[number] = replace(self._exchanges[number], forwarded=True, status=status)

    def _keep_back(self, client: socket.socket, rule: _Rule) -> None:
        if rule.fault is Fault.CUT_BEFORE_REQUEST:
            _break(client)
        elif rule.fault is Fault.BUSY:
            client.sendall(_page("503 Service Unavailable", "Busy", rule.retry_after))
        elif rule.fault is Fault.GARBAGE:
            client.sendall(b"220 mail.example ESMTP\r\n\x00\xff\r\n")
        elif rule.fault is Fault.HANG:
            client.recv(1)  # until the client gives up, or the proxy ends
        else:
            self.refuse()

    def _comes_through(self, client: socket.socket, rule: _Rule, answer: Message) -> bool:
        """Return whether the server's answer is forwarded after all."""
        if rule.fault is Fault.DELAY:
            return not self._closing.wait(rule.seconds)
        if rule.fault is Fault.CUT_BEFORE_ANSWER:
            _break(client)
        elif rule.fault is Fault.PAGE:
            client.sendall(_page("200 OK", "Welcome"))
        elif answer.raw:
            client.sendall(answer.head + answer.raw[: len(answer.raw) // 2])
        else:
            client.sendall(answer.head[: len("HTTP/1.1")])
        return False


_DONE_BY_THE_SERVER = (Fault.CUT_BEFORE_ANSWER, Fault.CUT_IN_ANSWER, Fault.DELAY, Fault.PAGE)


class _Server:
    """One client's own connection to the server, opened again after the server has closed it."""

    def __init__(self, proxy: FaultProxy, stack: ExitStack) -> None:
        self._proxy, self._stack = proxy, stack
        self._connection: socket.socket | None = None

    def connect(self) -> None:
        """Connect unless connected. Raises OSError if that fails."""
        if self._connection is not None and not select.select([self._connection], [], [], 0)[0]:
            return
        self._stack.close()
        self._connection = socket.create_connection(self._proxy.target, _TIMEOUT)
        self._answers = self._stack.enter_context(self._proxy.kept(self._connection))

    def ask(self, request: Message) -> Message:
        """Return the server's answer. Raises OSError without one."""
        assert self._connection is not None
        self._connection.sendall(request.head + request.raw)
        return read_answer(self._answers, request.words[0])


def _bound(port: int) -> socket.socket:
    """Return a socket that holds a port, 0 for any, without listening."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


def _page(status: str, text: str, retry_after: str = "") -> bytes:
    body = f"<html>{text}</html>"
    wait = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return f"{head}{wait}\r\n{body}".encode()


def _break(connection: socket.socket) -> None:
    """Make a connection end with a reset, so that the client gets an error instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
