"""A server on loopback that fails on request: it hangs, resets, drips, sends wrong lengths, or redirects.

Each connection carries one request and gets the next behaviour; the last one repeats::

    with BadServer(RESET, answer(204)) as server:
        ...
        assert [request.method for request in server.requests] == ["PUT", "PUT"]
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Self

from support.http_bytes import Message, read_request

HOST = "127.0.0.1"
_DRIP = 0.02  # seconds between two bytes of a dripping answer
_LONGEST = 10_000  # drips, or blocks of an endless body: the end of a test that would not end


@dataclass(frozen=True)
class Peer:
    """The client of one connection. ``closing`` is set when the server stops."""

    connection: socket.socket
    closing: threading.Event

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.connection.sendall(data)

    def reset(self) -> None:
        """Reset the connection, so that the client gets an error instead of an end."""
        reset_at_end(self.connection)
        self.connection.close()


@dataclass(frozen=True)
class Behaviour:
    """What happens to a connection, after its request was read or at once."""

    act: Callable[[Peer], None]
    reads: bool = True


def answer(
    status: int = 200, body: object = b"", kind: str = "application/json", headers: Mapping[str, str] = {}
) -> Behaviour:
    """Answer and close. ``body`` is bytes, or a value that is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _sent(_head(status, {"Content-Type": kind, "Content-Length": str(len(data)), **headers}) + data)


def redirect(location: str, status: int = 307) -> Behaviour:
    """Redirect to another location."""
    return answer(status, b"", headers={"Location": location})


def half_json(*, right_length: bool) -> Behaviour:
    """Answer with cut-off JSON, with its own length or that of the whole."""
    whole = json.dumps([{"realm": "acme", "smtpServer": {}}]).encode()
    half = whole[: len(whole) // 2]
    length = len(half if right_length else whole)
    return _sent(_head(200, {"Content-Type": "application/json", "Content-Length": str(length)}) + half)


def reset_in_mid_answer() -> Behaviour:
    """Send half an answer and reset the connection."""

    def act(peer: Peer) -> None:
        peer.send(_head(200, {"Content-Type": "application/json", "Content-Length": "100"}) + b'{"realm":')
        peer.reset()

    return Behaviour(act)


def stall() -> Behaviour:
    """Send half an answer and then nothing, with the connection left open."""

    def act(peer: Peer) -> None:
        peer.send(_head(200, {"Content-Type": "application/json", "Content-Length": "100"}) + b'{"realm":')
        peer.closing.wait()

    return Behaviour(act)


def drip() -> Behaviour:
    """Send one byte of the body from time to time, for ever."""

    def act(peer: Peer) -> None:
        peer.send(_head(200, {"Content-Length": "1000000"}))
        for _ in range(_LONGEST):
            peer.send(b" ")
            if peer.closing.wait(_DRIP):
                return

    return Behaviour(act)


def endless() -> Behaviour:
    """Send an endless body."""

    def act(peer: Peer) -> None:
        peer.send(_head(200, {"Content-Type": "application/json"}) + b"[")
        for _ in range(_LONGEST):
            peer.send(b"1," * 8192)

    return Behaviour(act)


def _hang(peer: Peer) -> None:
    while peer.connection.recv(4096):
        pass  # until the client gives up, or the server stops


def _reset_unread(peer: Peer) -> None:
    peer.connection.recv(1, socket.MSG_PEEK)  # so that the client is done with connecting
    peer.reset()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _sent(data: bytes) -> Behaviour:
    return Behaviour(lambda peer: peer.send(data))


HANG = Behaviour(_hang)
HANG_AFTER_ACCEPT = Behaviour(_hang, reads=False)
RESET = Behaviour(Peer.reset)
RESET_UNREAD = Behaviour(_reset_unread, reads=False)
CLOSE = _sent(b"")
NOT_HTTP = _sent(b"220 mail.example ESMTP\r\n")
PAGE = answer(200, b"<html><body>Welcome</body></html>", "text/html; charset=utf-8")
BAD_GATEWAY = answer(502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html")
BROKEN_CHUNKS = _sent(_head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\n[1,2,\r\nzz\r\n")
CUT_CHUNKS = _sent(_head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\n[1,2,\r\n10\r\n3")
BAD_GZIP = answer(200, b"no gzip at all", headers={"Content-Encoding": "gzip"})


class Listener(ABC):
    """A port of this machine whose connections are served in threads of their own, as a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._accepted: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._socket = _bound(0)
        self._listens = False
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
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
            for connection in self._open | self._accepted:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._accepted.clear()  # what they sent before is not served later

    @contextmanager
    def kept(self, connection: socket.socket) -> Iterator[BinaryIO]:
        """Yield a stream of a connection, which is closed afterwards, or when the listener refuses all."""
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

    @abstractmethod
    def _serve(self, connection: socket.socket) -> None:
        """Serve a connection to its end. OSError and ValueError end it."""

    def _start(self, work: Callable[[socket.socket], None], connection: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(connection,), name=type(self).__name__, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                connection = listener.accept()[0]
                with self._lock:
                    if listener is self._socket:
                        self._accepted.add(connection)
                self._start(self._serve_quietly, connection)

    def _serve_quietly(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            self._serve(connection)
        with self._lock:
            self._accepted.discard(connection)


class BadServer(Listener):
    """A listening server. ``requests`` are those read, ``accepted`` counts connections."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.requests: list[Message] = []
        self.accepted = 0
        self._behaviours, self._tls = behaviours, tls

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            behaviour = self._behaviours[min(self.accepted, len(self._behaviours) - 1)]
            self.accepted += 1
        if self._tls and behaviour.reads:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with self.kept(connection) as stream:
            if behaviour.reads:
                request = read_request(stream)
                if request is None:
                    return
                self.requests.append(request)
            behaviour.act(Peer(connection, self._closing))


def reset_at_end(connection: socket.socket) -> None:
    """Make a connection end with a reset, so that the client gets an error instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _bound(port: int) -> socket.socket:
    """Return a socket that holds a port, 0 for any, without listening."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


@contextmanager
def never_accepting() -> Iterator[str]:
    """Yield the URL of a port whose queue is full, so that connections are neither accepted nor refused."""
    with socket.create_server((HOST, 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        yield f"http://{HOST}:{address[1]}"
        for client in waiting:
            client.close()


@contextmanager
def nobody() -> Iterator[str]:
    """Yield the URL of a reserved port without a listener."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield f"http://{HOST}:{taken.getsockname()[1]}"
