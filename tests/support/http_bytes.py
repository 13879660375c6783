"""HTTP/1.1 messages byte for byte, as a proxy forwards them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

_LONGEST_LINE = 1 << 20
_LONGEST_BODY = 1 << 28
_WITHOUT_BODY = ("204", "304")


@dataclass(frozen=True)
class Message:
    """A request or an answer. ``words`` are its first line; ``raw`` is the body as sent, ``body`` is unchunked.

    Header names are in lower case.
    """

    words: tuple[str, str, str]
    headers: Mapping[str, str]
    head: bytes
    raw: bytes
    body: bytes
    closes: bool

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.words[0]

    @property
    def path(self) -> str:
        """The path of a request."""
        return self.words[1]


def read_request(stream: BinaryIO) -> Message | None:
    """Return the next request, None at the end of the connection. Raises ConnectionError if it is cut off."""
    return _read(stream, has_body=True, until_end=False)


def read_answer(stream: BinaryIO, method: str) -> Message:
    """Return the answer to a request of that method. Raises ConnectionError if it is cut off."""
    answer = _read(stream, has_body=method != "HEAD", until_end=True)
    if answer is None:
        raise ConnectionError("the server closed the connection")
    return answer


def _read(stream: BinaryIO, *, has_body: bool, until_end: bool) -> Message | None:
    lines = [stream.readline(_LONGEST_LINE)]
    if not lines[0]:
        return None
    while lines[-1] not in (b"\r\n", b""):
        lines.append(stream.readline(_LONGEST_LINE))
    if not lines[-1]:
        raise ConnectionError("the head breaks off")
    first, *rest = [line.decode("latin-1").strip() for line in lines[:-1]]
    one, two, three = (*first.split(" ", 2), "", "")[:3]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    closes = headers.get("connection", "").lower() == "close"
    raw = body = b""
    if not has_body or two in _WITHOUT_BODY:
        pass
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        raw, body = _chunks(stream)
    elif "content-length" in headers:
        raw = body = _exactly(stream, int(headers["content-length"]))
    elif until_end:
        raw = body = stream.read(_LONGEST_BODY)
        closes = True
    return Message((one, two, three), headers, b"".join(lines), raw, body, closes)


def _chunks(stream: BinaryIO) -> tuple[bytes, bytes]:
    raw, body = [], []
    while True:
        line = stream.readline(_LONGEST_LINE)
        size = int(line.partition(b";")[0] or b"0", 16) if line else -1
        if size < 0:
            raise ConnectionError("the body breaks off")
        raw.append(line)
        if size == 0:
            break
        chunk = _exactly(stream, size + 2)
        raw.append(chunk)
        body.append(chunk[:-2])
    while True:  # trailers, and the empty line
        line = stream.readline(_LONGEST_LINE)
        raw.append(line)
        if line in (b"\r\n", b""):
            return b"".join(raw), b"".join(body)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    if length > _LONGEST_BODY:
        raise ConnectionError("the body is too long")
    read = stream.read(length)
    if len(read) < length:
        raise ConnectionError("the body breaks off")
    return read
