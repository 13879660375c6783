"""Bound a whole response, with head, body and trailers, by one deadline and one size.

A socket's time-out begins anew with every byte that arrives, and neither http.client nor urllib3 bounds a response.
"""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse, RemoteDisconnected
from typing import TYPE_CHECKING

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_RECEIVED = 256 * 1024 * 1024
"""The most bytes received for one response: its head, chunk sizes and trailers, and its body as compressed."""


class ResponseTooLarge(Exception):
    """The response is larger than any response of an identity server."""


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


class _DeadlineHTTPSConnection(HTTPSConnection):
    response_class = _DeadlineResponse


class _DeadlineHTTPPool(HTTPConnectionPool):
    ConnectionCls = _DeadlineHTTPConnection


class _DeadlineHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection


_POOLS = {"http": _DeadlineHTTPPool, "https": _DeadlineHTTPSPool}
