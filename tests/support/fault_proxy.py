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
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import Enum
from urllib.parse import urlsplit

from support.bad_server import HANG, HOST, NOT_HTTP, PAGE, RESET, Behaviour, Listener, Peer, answer, reset_at_end
from support.http_bytes import Message, read_answer, read_request

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


class FaultProxy(Listener):
    """The proxy, as a context manager. ``url`` replaces the server's URL, with its path."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError("the proxy needs an http URL")
        self.target = (parts.hostname, parts.port or 80)
        super().__init__()
        self._path = parts.path.rstrip("/")
        self._rules: list[_Rule] = []
        self._exchanges: list[Exchange] = []

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

    def _serve(self, client: socket.socket) -> None:
        with self.kept(client) as requests, ExitStack() as stack:
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
        if not self._may_forward(client, number):
            return False
        answer = server.ask(request)
        self._note(number, int(answer.words[1]))
        if rule is not None and not self._comes_through(client, rule, answer):
            return False
        client.sendall(answer.head + answer.raw)
        return not answer.closes

    def _may_forward(self, client: socket.socket, number: int) -> bool:
        """Note that a request is forwarded, unless its connection was broken by :meth:`refuse` before."""
        with self._lock:
            if client not in self._accepted:
                return False
            self._exchanges[number] = replace(self._exchanges[number], forwarded=True)
            return True

    def _note(self, number: int, status: int) -> None:
        with self._lock:
            self._exchanges[number] = replace(self._exchanges[number], forwarded=True, status=status)

    def _keep_back(self, client: socket.socket, rule: _Rule) -> None:
        if rule.fault is Fault.REFUSE:
            self.refuse()
        elif rule.fault is Fault.BUSY:
            wait = {"Retry-After": rule.retry_after} if rule.retry_after else {}
            self._behave(client, answer(503, b"<html>Busy</html>", "text/html", wait))
        else:
            self._behave(client, _BEHAVIOURS[rule.fault])

    def _behave(self, client: socket.socket, behaviour: Behaviour) -> None:
        behaviour.act(Peer(client, self._closing))

    def _comes_through(self, client: socket.socket, rule: _Rule, answer: Message) -> bool:
        """Return whether the server's answer is forwarded after all."""
        if rule.fault is Fault.DELAY:
            return not self._closing.wait(rule.seconds)
        if rule.fault is Fault.CUT_BEFORE_ANSWER:
            reset_at_end(client)
        elif rule.fault is Fault.PAGE:
            self._behave(client, PAGE)
        elif answer.raw:
            client.sendall(answer.head + answer.raw[: len(answer.raw) // 2])
        else:
            client.sendall(answer.head[: len("HTTP/1.1")])
        return False


_BEHAVIOURS = {Fault.CUT_BEFORE_REQUEST: RESET, Fault.GARBAGE: NOT_HTTP, Fault.HANG: HANG}
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
