"""A deadline for the head of an answer: a socket counts its time-out anew for every byte that drips in."""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Adapter(requests.adapters.HTTPAdapter):
    """requests' adapter, with the read time-out counted over the whole head of an answer. It repeats nothing."""

    def __init__(self, connections: int) -> None:
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *arguments: int | bool, **more: int | bool) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*arguments, **more)  # type: ignore[arg-type]  # what it hands to itself
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **more: object) -> ProxyManager:
        """Make the pools of connections through a proxy."""
        manager: ProxyManager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Watched(io.RawIOBase):
    """What a socket receives, with one deadline for all of it until the head is there."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = connection.makefile("rb", buffering=0)
        self.deadline: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp.close()
        self._connection, self._watched = sock, _Watched(sock)
        self.fp = io.BufferedReader(self._watched)

    def begin(self) -> None:
        timeout = self._connection.gettimeout()
        self._watched.deadline = None if timeout is None else time.monotonic() + timeout
        try:
            super().begin()
        finally:
            self._watched.deadline = None
            self._connection.settimeout(timeout)


class _Plain(HTTPConnection):
    response_class = _Response


class _Encrypted(HTTPSConnection):
    response_class = _Response


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


_POOLS = {"http": _PlainPool, "https": _EncryptedPool}
