"""One deadline for a whole dialogue: at its end every socket of the dialogue is shut down.

A socket's own time-out begins anew with every byte, so a relay that sends one byte every few seconds would never reach
it.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import AbstractContextManager, suppress
from types import TracebackType


class Deadline(AbstractContextManager["Deadline"]):
    """Counts from its creation. Inside ``with``, a timer shuts the watched sockets down when the time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._is_over = False
        self._timer = threading.Timer(seconds, self.expire)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._watched:
                connection.close()

    @property
    def left(self) -> float:
        """The seconds left, never less than a moment, so that they can be a socket's time-out."""
        return max(self._end - time.monotonic(), 0.001)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self._is_over or time.monotonic() >= self._end

    def watch(self, connection: socket.socket) -> None:
        """Shut this socket down when the time is over, and close it at the end of the ``with`` block."""
        with self._lock:
            self._watched.append(connection)
            if self._is_over:
                _shut(connection)

    def expire(self) -> None:
        """End the time now. May be called from any thread."""
        with self._lock:
            self._is_over = True
            for connection in self._watched:
                _shut(connection)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # that of an SSLSocket belongs to its own thread
