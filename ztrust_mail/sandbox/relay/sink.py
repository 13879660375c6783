"""The relay of the sandbox: an SMTP server on loopback that stores the mails it receives."""

import asyncio
import base64
import binascii
import logging
import os
import re
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from enum import Enum
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from ztrust_mail.sandbox.relay.faults import SLOW_ANSWER, RelayFault
from ztrust_mail.sandbox.relay.inbox import ReceivedMail, parse_mail

_START_STOP_TIMEOUT = 10.0  # seconds; both are quick
_TLS_SHUTDOWN_TIMEOUT = 1.0  # seconds
_XOAUTH2 = re.compile(rb"user=(?P<user>[^\x01]*)\x01auth=Bearer (?P<token>[^\x01]*)\x01\x01")

# aiosmtpd logs every connection at INFO; the sandbox is silent.
logging.getLogger("mail.log").addHandler(logging.NullHandler())


class Encryption(Enum):
    """How the sink uses TLS: the values of ``relay.security``."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class MailSink:
    """An SMTP server on 127.0.0.1 that accepts mail for any recipient and stores it in memory.

    Without ``credentials`` no login is needed and any login is accepted. With them, mail is accepted only after a login
    with exactly these. ``offer_login=False`` does not announce AUTH. ``faults`` make it misbehave. Encryption other
    than NONE needs ``tls_context``, a server-side context with its certificate loaded.
    """

    def __init__(
        self,
        *,
        encryption: Encryption = Encryption.NONE,
        tls_context: ssl.SSLContext | None = None,
        credentials: tuple[str, str] | None = None,
        offer_login: bool = True,
        port: int = 0,
        faults: Collection[RelayFault] = (),
    ) -> None:
        if (encryption is Encryption.NONE) != (tls_context is None):
            raise ValueError("encryption and tls_context need each other: give both or neither")
        self.encryption = encryption
        self.host = "127.0.0.1"
        self.port = port
        self._tls_context = tls_context
        self._credentials = credentials
        self.faults = frozenset(faults)
        self._offer_login = offer_login
        self._mails: list[ReceivedMail] = []
        self._arrival = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] | None = None
        self._reserved: socket.socket | None = None  # the port of a closed relay: bound, so that nobody else listens

    def __repr__(self) -> str:
        return f"<MailSink {self.host}:{self.port} {self.encryption.value}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; ``port`` is the real one from here on. Raises OSError when the port is taken."""
        if RelayFault.CLOSED in self.faults:
            self._reserve_port()
            return
        listener = socket.create_server((self.host, self.port))
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, ready)), name="mail-sink", daemon=True
        )
        self._thread.start()
        if not ready.wait(_START_STOP_TIMEOUT):
            raise OSError("the mail sink does not start")

    def _reserve_port(self) -> None:
        self._reserved = socket.socket()
        if os.name == "posix":  # as socket.create_server does, for a port whose last connections just ended
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._reserved.bind((self.host, self.port))
        except OSError:
            self.stop()
            raise
        self.port = self._reserved.getsockname()[1]

    def stop(self) -> None:
        """Close the port and all open connections. May be called twice."""
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        if self._thread is None or self._stop is None:
            return
        self._stop()
        self._thread.join()
        self._thread = self._stop = None

    @property
    def received(self) -> tuple[ReceivedMail, ...]:
        """The mails so far, oldest first."""
        with self._arrival:
            return tuple(self._mails)

    def clear(self) -> None:
        """Delete the mails received so far."""
        with self._arrival:
            self._mails.clear()

    def wait_for(self, count: int, timeout: float = 10.0) -> tuple[ReceivedMail, ...]:
        """Return the mails as soon as there are ``count``; TimeoutError after ``timeout`` seconds."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self._mails) >= count, timeout):
                raise TimeoutError(f"{len(self._mails)} of {count} mails arrived within {timeout:g} s")
            return tuple(self._mails)

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        self._stop = lambda: loop.call_soon_threadsafe(stop.set)
        connections: set[_Connection] = set()
        implicit = self._tls_context if self.encryption is Encryption.TLS else None
        server = await loop.create_server(
            lambda: self._connection(connections),
            sock=listener,
            ssl=implicit,
            ssl_shutdown_timeout=_TLS_SHUTDOWN_TIMEOUT if implicit else None,
        )
        ready.set()
        await stop.wait()
        server.close()
        for connection in tuple(connections):
            connection.hang_up()
        # A transport closes in the loop's next iterations; returning earlier would leak its socket.
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_STOP_TIMEOUT):
                while connections:
                    await asyncio.sleep(0)

    def _connection(self, connections: "set[_Connection]") -> "_Connection":
        starttls = self._tls_context if self.encryption is Encryption.STARTTLS else None
        return _Connection(
            connections,
            _Handler(self),
            hostname="sandbox.invalid",
            enable_SMTPUTF8=True,
            tls_context=starttls,
            authenticator=self._authenticate,
            auth_require_tls=starttls is not None or RelayFault.NO_STARTTLS in self.faults,
            loop=asyncio.get_running_loop(),
        )

    @property
    def needs_login(self) -> bool:
        """Whether mail is accepted only after a login."""
        return RelayFault.AUTH in self.faults or self._credentials is not None

    @property
    def user(self) -> str | None:
        """The user who must log in, None if any login or none is accepted."""
        return self._credentials[0] if self._credentials else None

    @property
    def offers_login(self) -> bool:
        """Whether the relay announces AUTH."""
        return self._offer_login

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)  # PLAIN and LOGIN, the two that are built in
        return self.check_login(data.login, data.password)

    def check_login(self, login: bytes, password: bytes) -> AuthResult:
        """Return whether a login is accepted; the result holds no password."""
        given = (login.decode("utf-8", "replace"), password.decode("utf-8", "replace"))
        if RelayFault.AUTH in self.faults or self._credentials not in (None, given):
            return AuthResult(success=False, handled=False)
        return AuthResult(success=True, auth_data=LoginPassword(login, b""))

    def store(self, mail: ReceivedMail) -> None:
        """Add a mail, and wake those who wait for one."""
        with self._arrival:
            self._mails.append(mail)
            self._arrival.notify_all()


class _SmtpSession(Session):
    """A session without the property that aiosmtpd sets at each login, and warns of as deprecated."""

    login_data: object = None


class _Connection(SMTP):
    """The connection of one client. The sink knows it while it is open, so that stopping closes every socket."""

    line_length_limit = 65_536

    def __init__(self, connections: "set[_Connection]", handler: "_Handler", **options: Any) -> None:  # noqa: ANN401  # aiosmtpd's own
        super().__init__(handler, **options)
        # An access token is longer than the 512 characters of other commands; and aiosmtpd's own table of
        # limits is shared by all connections, which each raise it.
        self.command_size_limits = defaultdict(lambda: SMTP.command_size_limit, AUTH=self.line_length_limit)
        self._connections = connections
        self._implicit = False

    def _create_session(self) -> Session:
        return _SmtpSession(self.loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        self._implicit = self._original_transport is None and transport.get_extra_info("sslcontext") is not None
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        """Drop the connection at once, without a TLS shutdown unless implicit TLS has begun one."""
        transport = self._original_transport or self.transport
        # A closing TLS transport has no connection any more: aborting it is an error in Python 3.11.2.
        if isinstance(transport, asyncio.WriteTransport) and not (self._implicit and transport.is_closing()):
            transport.abort()


class _Handler:
    """aiosmtpd's hooks: require the login, misbehave, store the mail."""

    def __init__(self, sink: MailSink) -> None:
        self._sink = sink

    async def handle_EHLO(  # noqa: N802  # the hook's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        if RelayFault.SLOW in self._sink.faults:
            await asyncio.sleep(SLOW_ANSWER)
        session.host_name = hostname
        return [line for line in responses if self._sink.offers_login or not line.startswith("250-AUTH")]

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        """Accept ``user=…^Aauth=Bearer …^A^A``; the token is the password."""
        try:
            blob = base64.b64decode(args[1]) if len(args) > 1 else await server.challenge_auth("")
        except binascii.Error:
            blob = None
        if not isinstance(blob, bytes) or not (match := _XOAUTH2.fullmatch(blob)):
            return AuthResult(success=False, handled=False)
        return self._sink.check_login(match["user"], match["token"])

    async def handle_MAIL(  # noqa: N802  # the hook's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        if RelayFault.NO_STARTTLS in self._sink.faults:
            return "530 5.7.0 Must issue a STARTTLS command first"
        if self._sink.needs_login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if RelayFault.REFUSE_SENDER in self._sink.faults:
            return "550 5.7.1 Sender address rejected"
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        is_secure = server.transport is not None and server.transport.get_extra_info("sslcontext") is not None
        self._sink.store(parse_mail(session, envelope, tls=is_secure))
        return "250 OK"
