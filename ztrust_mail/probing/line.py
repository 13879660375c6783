"""The line to a relay: commands and replies one at a time, bounded, and recorded without the login."""

import base64
import logging
import math
import re
import smtplib
import socket
import ssl
from collections.abc import Callable

from ztrust_mail.core.redaction import QUOTES_A_SECRET
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.probing.connection import Deadline
from ztrust_mail.probing.outcome import RelayProblem, Reply, Stage, TranscriptLine

LOG = logging.getLogger("ztrust_mail.requests.probe")
"""Each line of a dialogue at DEBUG, without the login."""

MAX_LINE = 8_192
MAX_REPLY = 65_536
"""The longest line and the longest reply, in bytes, that are read."""

MAX_SHOWN = 300
"""The most characters of a reply that are shown."""

_MAX_SEARCHED = 4_000
"""The most characters of a reply that are searched for secrets: far more than are shown."""

_MAX_RECORDED = 200
"""The most lines of a transcript."""

_REPLY_LINE = re.compile(rb"[2-5][0-9]{2}(?:[ -]|\r?\n?\Z)")
_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")

HIDDEN_LOGIN = "(login not shown)"


class Disconnected(smtplib.SMTPServerDisconnected):
    """The relay closed the connection."""


class JunkReply(smtplib.SMTPException):
    """The relay sent something that is no SMTP reply; ``text`` shows it."""

    def __init__(self, text: str) -> None:
        super().__init__("no SMTP reply")
        self.text = text


class ReplyTooLong(smtplib.SMTPException):
    """The relay sent more than any relay says in a reply."""


class Record:
    """Makes a relay's text safe to show, and records the transcript of a dialogue."""

    def __init__(self, relay: str, redact: Callable[[str], str]) -> None:
        self._relay, self._redact = relay, redact
        self.lines: list[TranscriptLine] = []

    def show(self, data: bytes | str) -> str:
        """Return untrusted data as one printable line without secrets, cut to a moderate length."""
        text = data if isinstance(data, str) else data.decode("utf-8", "backslashreplace")
        joined = " ".join(text.split())
        searched = joined[:_MAX_SEARCHED]
        found = self._redact(searched)
        if found != searched and len(joined) > _MAX_SEARCHED:  # the beginning of one more secret may have moved up
            return QUOTES_A_SECRET
        text = printable(found)
        return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"

    def add(self, data: bytes | str, *, sent: bool, encrypted: bool) -> None:
        """Record a line. The start of a reply tells whether it was expected."""
        text = self.show(data)
        one = TranscriptLine(text, sent, encrypted, sent or text[:1] in ("2", "3"))
        LOG.debug("%s %s %s", self._relay, one.mark, one.text)
        if len(self.lines) < _MAX_RECORDED:
            self.lines.append(one)


class SmtpLine(smtplib.SMTP):
    """A connection to a relay. Every method ends by the deadline; raises OSError or ``smtplib.SMTPException``."""

    def __init__(self, connection: socket.socket, deadline: Deadline, ehlo_name: str, record: Record) -> None:
        super().__init__(local_hostname=ehlo_name or _own_name(connection))
        self.sock = connection
        self._deadline, self._record = deadline, record
        self._buffer = bytearray()

    @property
    def encrypted(self) -> bool:
        """Whether the line has TLS."""
        return isinstance(self.sock, ssl.SSLSocket)

    @property
    def is_late(self) -> bool:
        """Whether the deadline is over, so that it has ended the line."""
        return self._deadline.is_over

    @property
    def has_unread(self) -> bool:
        """Whether the relay has sent more than the replies that were read."""
        return bool(self._buffer)

    def reply_of(self, code: int, text: bytes) -> Reply:
        """Return a reply as it is shown."""
        shown = self._record.show(text)
        enhanced = _ENHANCED.search(shown[:40])
        return Reply(code, shown, enhanced[1] if enhanced else "")

    def ask(self, command: str, arguments: str = "") -> Reply:
        """Send a command, and return the reply."""
        return self.reply_of(*self.docmd(command, arguments))

    def ask_secretly(self, command: str, value: Secret) -> tuple[int, bytes]:
        """Send a value in base64, after a command if that is not empty, and return the reply. Records no value."""
        words = f"{command} " if command else ""
        self._record.add(f"{words}{HIDDEN_LOGIN}", sent=True, encrypted=self.encrypted)
        self._send(Secret(words + _base64(value) + "\r\n"))
        return self.getreply()

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Send a command, and record it."""
        words = f"{cmd} {args}".rstrip(" ")
        self._record.add(words, sent=True, encrypted=self.encrypted)
        super().putcmd(cmd, args)

    def send(self, s: object) -> None:
        """Send text or bytes."""
        assert isinstance(s, str | bytes)
        self._send(
            Secret(s if isinstance(s, str) else s.decode("latin-1")), "utf-8" if isinstance(s, str) else "latin-1"
        )

    def _send(self, data: Secret, encoding: str = "utf-8") -> None:
        """Send all data. No exception has it as a local variable of its frames, except as a secret."""
        failed = False
        try:
            self._connection.settimeout(self._deadline.left)
            self._connection.sendall(data.reveal().encode(encoding, "surrogatepass"))
        except OSError:
            failed = True
        if failed:
            raise Disconnected("cannot send")

    @property
    def _connection(self) -> socket.socket:
        if self.sock is None:
            raise Disconnected("not connected")
        return self.sock

    def getreply(self) -> tuple[int, bytes]:
        """Return the code and the text of a reply, whose lines are joined by line feeds."""
        lines: list[bytes] = []
        size = 0
        while True:
            line = self._read_line()
            size += len(line)
            if size > MAX_REPLY:
                raise ReplyTooLong("too long")
            self._record.add(line, sent=False, encrypted=self.encrypted)
            if not _REPLY_LINE.match(line):
                raise JunkReply(self._record.show(line))
            lines.append(line[4:].strip())
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(lines)

    def wait(self, seconds: float) -> bool:
        """Return whether the relay sends anything, or closes, within these seconds."""
        self._connection.settimeout(min(seconds, self._deadline.left))
        try:
            self._receive()
        except TimeoutError:
            return False
        return True

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                raise ReplyTooLong("too long")
            self._connection.settimeout(self._deadline.left)
            self._receive()
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if len(line) > MAX_LINE:
            raise ReplyTooLong("too long")
        return line

    def _receive(self) -> None:
        data = self._connection.recv(4_096)
        if not data:
            raise Disconnected("closed")
        self._buffer += data

    def secure(self, context: ssl.SSLContext, host: str, limit: float = math.inf) -> ssl.SSLSocket:
        """Make the TLS handshake within ``limit`` seconds, and forget the EHLO reply from before. Return the socket."""
        secured = context.wrap_socket(self._connection, server_hostname=host, do_handshake_on_connect=False)
        self.sock = secured
        self._deadline.watch(secured)
        secured.settimeout(min(limit, self._deadline.left))
        secured.do_handshake()
        self._buffer.clear()
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False
        return secured


def break_problem(stage: Stage, e: Exception, deadline: Deadline) -> RelayProblem:
    """Return the problem of a connection that broke, or of text that is not SMTP."""
    if deadline.is_over or isinstance(e, TimeoutError):
        message = f"the relay did not finish {stage.label} within {deadline.seconds:g}s in all"
        if stage is Stage.BANNER:
            message = f"the relay accepts the connection and sends no whole banner within {deadline.seconds:g}s in all"
        return RelayProblem("relay-slow", message, "see whether the relay delays clients, or raise --deadline")
    if isinstance(e, ReplyTooLong):
        message = f"the relay sends more in reply to {stage.label} than SMTP has"
        return RelayProblem("relay-protocol", message, "check host and port: another service may listen there")
    if isinstance(e, JunkReply):
        message = f"the relay answers with something that is not SMTP: {quoted(e.text, 80)}"
        return RelayProblem("relay-protocol", message, "check host and port: another service may listen there")
    if isinstance(e, UnicodeError):
        return RelayProblem("relay-protocol", "the settings have characters that SMTP cannot send", "correct them")
    message = f"the relay closed the connection during {stage.label}"
    hint = "see the relay's log: it may refuse this machine's address or its EHLO name, or limit connections"
    return RelayProblem("relay-closed", message, hint)


def _base64(value: Secret) -> str:
    return base64.b64encode(value.reveal().encode("utf-8", "surrogatepass")).decode("ascii")


def _own_name(connection: socket.socket) -> str:
    """Return this machine's name if it is a whole one, else its address as SMTP writes it. Asks no name server."""
    name = socket.gethostname()
    if "." in name and name.isascii() and " " not in name:
        return name
    try:
        address = str(connection.getsockname()[0])
    except OSError:
        address = "127.0.0.1"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
