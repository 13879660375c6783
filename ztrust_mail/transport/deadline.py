"""Bound the resolution of a name, and a whole response, with head, body and trailers, by a deadline and one size.

A socket's timeout restarts with every byte that arrives, and neither http.client nor urllib3 limits a response. The
resolver of the operating system has no timeout at all.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import threading
import time
from concurrent.futures import Future
from http.client import HTTPResponse, RemoteDisconnected
from typing import TYPE_CHECKING

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_RECEIVED = 256 * 1024 * 1024
"""The most bytes received for one response: its head, chunk sizes and trailers, and its body as compressed."""


class ResponseTooLarge(Exception):
    """The response is larger than any response of an identity server."""


class ResolutionTimeout(NewConnectionError):
    """The resolver did not answer in time."""


class HandshakeTimeout(NewConnectionError):
    """The server accepted the connection and did not finish the TLS handshake in time."""


Address = tuple[int, int, int, str, tuple[object, ...]]
"""What ``getaddrinfo`` returns: family, kind, protocol, canonical name and the address itself."""


class Resolver:
    """Resolves names within a deadline. May be used by several threads.

    A lookup that does not end blocks its thread until the operating system gives up, usually after about 30 s. There is
    at most one per name: later callers wait for the lookup in progress.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lookups: dict[tuple[str, int], Future[list[Address]]] = {}

    def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        """Return the addresses of a host.

        Raises ``socket.gaierror``, TimeoutError after ``timeout`` seconds, or OSError if no thread can be started.
        """
        if is_address(host):
            return _look_up(host, port)
        with self._lock:
            lookup = self._lookups.get((host, port))
            if lookup is None:
                lookup = Future()
                self._start(host, port, lookup)
                self._lookups[host, port] = lookup
        return lookup.result(timeout)

    def _start(self, host: str, port: int, lookup: Future[list[Address]]) -> None:
        try:
            threading.Thread(target=self._run, args=(host, port, lookup), daemon=True).start()
        except RuntimeError as e:
            raise OSError("no thread can be started") from e

    def _run(self, host: str, port: int, lookup: Future[list[Address]]) -> None:
        try:
            lookup.set_result(_look_up(host, port))
        except Exception as e:  # the callers raise it
            lookup.set_exception(e)
        finally:
            with self._lock:
                del self._lookups[host, port]


def is_address(host: str) -> bool:
    """Return whether a host is an IP address, which needs no lookup."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, port: int) -> list[Address]:
    return list(socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM))


_RESOLVER = Resolver()


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """Like requests' adapter, but the read time-out holds for the whole response. It repeats nothing."""

    def __init__(self, connections: int) -> None:
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *arguments: int | bool, **more: int | bool) -> None:
        """Create the pools of connections."""
        super().init_poolmanager(*arguments, **more)  # type: ignore[arg-type]  # requests passes its own arguments
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **more: object) -> ProxyManager:
        """Create the pools of connections through a proxy."""
        manager: ProxyManager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class DeadlineReader(io.RawIOBase):
    """Reads one response from a socket. The socket's time-out at the beginning holds for the whole response.

    Raises TimeoutError after that, and :class:`ResponseTooLarge` after ``MAX_RECEIVED`` bytes.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb", buffering=0)
        self._timeout = connection.gettimeout()
        self._deadline = None if self._timeout is None else time.monotonic() + self._timeout
        self._received = 0
        self.is_at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self._received >= MAX_RECEIVED:
            raise ResponseTooLarge
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
        try:
            count = self._stream.readinto(buffer)
        finally:
            self._connection.settimeout(self._timeout)  # for the next request on this connection
        self._received += count or 0
        self.is_at_end = count == 0
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _DeadlineResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp.close()
        self._reader = DeadlineReader(sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        if self._reader.is_at_end:  # http.client takes the end of the connection for the end of the head
            raise RemoteDisconnected("the head of the response is cut off")


class _DeadlineHTTPConnection(HTTPConnection):
    response_class = _DeadlineResponse

    def _new_conn(self) -> socket.socket:
        """Return a socket that is connected to the first address that accepts, each within the time-out."""
        host, timeout, failure = self._dns_host.strip("[]"), self.timeout, None
        try:
            addresses = _RESOLVER.resolve(host, self.port, timeout)
        except socket.gaierror as e:
            raise NameResolutionError(host, self, e) from e
        except TimeoutError as e:
            raise ResolutionTimeout(self, "resolution timed out") from e
        except OSError as e:
            raise NewConnectionError(self, "no resolution") from e
        for family, kind, protocol, _, address in addresses:
            try:
                return self._connect(socket.socket(family, kind, protocol), address)
            except OSError as e:
                failure = e
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, "timed out") from failure
        raise NewConnectionError(self, "no connection") from failure

    def _connect(self, connection: socket.socket, address: tuple[object, ...]) -> socket.socket:
        try:
            for option in self.socket_options or ():
                connection.setsockopt(*option)
            connection.settimeout(self.timeout)
            connection.connect(address)
        except BaseException:
            connection.close()
            raise
        return connection


class _DeadlineHTTPSConnection(_DeadlineHTTPConnection, HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as e:  # of the handshake: a time-out of the connection itself is urllib3's own error
            if self.proxy:  # which may not have opened the tunnel
                raise
            raise HandshakeTimeout(self, "handshake timed out") from e


class _DeadlineHTTPPool(HTTPConnectionPool):
    ConnectionCls = _DeadlineHTTPConnection


class _DeadlineHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection


_POOLS = {"http": _DeadlineHTTPPool, "https": _DeadlineHTTPSPool}
