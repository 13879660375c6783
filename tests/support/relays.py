"""Relays on raw sockets that behave as no mail server does: they say what a script says, byte by byte."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

import pytest

from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing.relay import Relay

HOST = "127.0.0.1"


class Talk:
    """One connection of a client. Methods raise OSError when the client is gone or the relay is stopped."""

    def __init__(self, connection: socket.socket, stopped: threading.Event) -> None:
        self._connection, self._stopped = connection, stopped
        self._rest = b""

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self._connection.sendall(data)

    def hear(self) -> bytes:
        """Return the next line of the client without its line end."""
        while b"\n" not in self._rest:
            if not (data := self._connection.recv(65_536)):
                raise ConnectionError("the client is gone")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        return line.rstrip(b"\r")

    def drip(self, data: bytes, pause: float) -> None:
        """Send bytes one at a time, with a pause after each, until the relay is stopped."""
        for one in data:
            self.say(bytes([one]))
            if self._stopped.wait(pause):
                return

    def pause(self, seconds: float) -> None:
        """Wait, until the relay is stopped at the latest."""
        self._stopped.wait(seconds)

    def wait_for_the_end(self) -> None:
        """Say nothing until the client is gone."""
        while self._connection.recv(65_536):
            pass

    def secure(self, context: ssl.SSLContext) -> None:
        """Make the TLS handshake as the server."""
        self._connection = context.wrap_socket(self._connection, server_side=True)

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


Script = Callable[[Talk], None]


class ScriptedRelay:
    """Listens on loopback, and plays a script to each client. ``connections`` counts them, ``heard`` has all lines."""

    def __init__(self, script: Script, family: socket.AddressFamily = socket.AF_INET) -> None:
        self._script = script
        self._listener = socket.create_server((HOST if family is socket.AF_INET else "::1", 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._talks: list[Talk] = []

    def __enter__(self) -> Self:
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for talk in self._talks:
            talk.close()
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            talk = Talk(connection, self._stopped)
            self._talks.append(talk)
            thread = threading.Thread(target=self._serve, args=(talk,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, talk: Talk) -> None:
        with suppress(OSError):
            self._script(talk)
        talk.close()

    def settings(
        self,
        security: Security = Security.NONE,
        *,
        host: str = HOST,
        login: Login = Login.NONE,
        username: str = "",
    ) -> Relay:
        """Return the relay as settings name it."""
        return Relay(host, self.port, security, login, username)


def answering(replies: Mapping[str, bytes] | None = None, banner: bytes = b"220 odd ESMTP\r\n") -> Script:
    """Return a script that answers each command by its first word; ``250 OK`` to others, and 221 to QUIT."""

    def script(talk: Talk) -> None:
        talk.say(banner)
        converse(talk, replies or {})

    return script


def converse(talk: Talk, replies: Mapping[str, bytes]) -> None:
    """Answer the client's commands until QUIT."""
    known = {"QUIT": b"221 bye\r\n", **replies}
    while True:
        word = talk.hear().decode("latin-1").partition(" ")[0].upper()
        talk.say(known.get(word, b"250 OK\r\n"))
        if word == "QUIT":
            return


class OddRelays:
    """Starts scripted relays on demand, and stops them all when left."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, script: Script, family: socket.AddressFamily = socket.AF_INET) -> ScriptedRelay:
        """Start a relay that plays a script."""
        return self._stack.enter_context(ScriptedRelay(script, family))


@pytest.fixture
def odd_relays() -> Iterator[OddRelays]:
    """Relays with scripts, to be started as a test needs them."""
    with OddRelays() as started:
        yield started
