"""Removes known secrets from untrusted text, such as a server's error messages."""

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote

from ztrust_mail.core.secret import Secret

QUOTES_A_SECRET = "… (not shown: it quotes a secret)"
TOO_LONG = "… (not shown: too long)"

MAX_TEXT = 10_000
"""The longest text, in characters, that is searched for secrets; a longer one is not shown."""

_MAX_LAYERS = 10
"""The most layers of encoding that are decoded; a text with more is not shown."""

_MIN_ENCODED = 4
"""The shortest trace, in characters, that is searched for in a decoded text: shorter ones match by chance."""

_ESCAPE = re.compile(
    r"((?:\\(?:x[0-9a-fA-F]{2}|[0-3][0-7]{2}))+)"
    r"|\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|u\{([0-9a-fA-F]{1,8})\}|(.))",
    re.DOTALL,
)
_ESCAPED_BYTE = re.compile(r"\\(?:x(..)|(...))")
_QUOTED_PRINTABLE = re.compile(r"=(?:([0-9A-F]{2})|\r?\n)")
_BETWEEN_DIGITS = re.compile(r"0x|[\s:,-]")


@dataclass(frozen=True, repr=False)
class _Traces:
    """What to search for in a text that may quote a secret: its spellings, and parts of it in the decoded text.

    ``parts`` has one tuple for each of the forms of a decoded text that :func:`_readings` returns.
    """

    spellings: frozenset[str]
    parts: tuple[tuple[str, ...], ...]

    def is_in(self, readings: Iterable[str]) -> bool:
        """Tell whether a decoded text quotes the secret."""
        return any(part in text for text, parts in zip(readings, self.parts, strict=True) for part in parts)


class Redactor:
    """Removes secrets from untrusted text. May be used by several threads.

    A secret as it is, and as JSON, URLs and forms usually hold it, is replaced by ``…``. Base64, hexadecimal bytes,
    HTML, other escapes and layers of escapes have too many forms to list: a text that quotes a secret in one of these
    is not shown at all. Base64 within base64, compression and other character sets are not undone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Traces] = {}

    def add(self, values: Iterable[object]) -> None:
        """Remember each :class:`Secret` among the values. A mask of asterisks is not a secret."""
        secrets = [value.reveal() for value in values if isinstance(value, Secret)]
        with self._lock:
            for secret in secrets:
                if secret.strip("*") and secret not in self._known:
                    self._known[secret] = _traces_of(secret)

    def redact(self, text: str) -> str:
        """Return the text without secrets, or a remark instead of it."""
        if len(text) > MAX_TEXT:
            return TOO_LONG
        with self._lock:
            known = list(self._known.values())
        lowered = text.casefold()
        found = {form for traces in known for form in traces.spellings if form.casefold() in lowered}
        if found:
            longest_first = map(re.escape, sorted(found, key=len, reverse=True))
            text = re.sub("|".join(longest_first), "…", text, flags=re.IGNORECASE)  # %2F is also %2f
        decoded = _decode(text)
        if decoded is None:
            return QUOTES_A_SECRET
        readings = _readings(decoded)
        return QUOTES_A_SECRET if any(traces.is_in(readings) for traces in known) else text


def _traces_of(secret: str) -> _Traces:
    in_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    in_urls = (encode(secret, safe, errors="replace") for encode, safe in ((quote, ""), (quote, "/"), (quote_plus, "")))
    spellings = frozenset((secret, *in_json, *in_urls))
    lowered, folded, *_ = _readings(_decode(secret) or secret)
    digits = secret.encode("utf-8", "surrogatepass").hex() if len(secret) >= _MIN_ENCODED else ""
    parts = ((lowered,), (folded,), tuple(_base64_parts(secret)), (digits,))
    return _Traces(spellings, tuple(tuple(part for part in found if len(part) >= _MIN_ENCODED) for found in parts))


def _decode(text: str) -> str | None:
    """Undo the escapes of HTML, URLs, JSON and quoted-printable, layer by layer; return None if there are too many."""
    import html  # its table of entities is large, and most runs meet no error message

    for _ in range(_MAX_LAYERS):
        before = text
        text = _QUOTED_PRINTABLE.sub(lambda found: f"%{found[1]}" if found[1] else "", html.unescape(text))
        text = _ESCAPE.sub(_unescape, unquote(text))
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # JSON has 😀 as a pair
        if text == before:
            return text
    return None


def _unescape(escape: re.Match[str]) -> str:
    if escape[1]:
        codes = ((int(found[1], 16) if found[1] else int(found[2], 8)) for found in _ESCAPED_BYTE.finditer(escape[1]))
        data = bytes(codes)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("latin-1")
    code = int(escape[2] or escape[3] or escape[4] or "0", 16)
    return {"t": "\t"}.get(escape[5], escape[5]) if escape[5] else chr(code) if code < 0x110000 else ""


def _readings(decoded: str) -> tuple[str, str, str, str]:
    """Return four readings of a decoded text, in which a secret's parts are looked for.

    They are the text in lower case, that without a shell's quotes and a form's plus signs, the text without line breaks
    and in the usual one of base64's two alphabets, and the text in lower case without what separates hexadecimal bytes.
    """
    lowered = decoded.casefold()
    folded = re.sub(r"[\\'\"]", "", lowered).replace("+", " ")
    in_base64 = re.sub(r"\s", "", decoded).translate(str.maketrans("-_", "+/"))
    return lowered, folded, in_base64, _BETWEEN_DIGITS.sub("", lowered)


def _base64_parts(secret: str) -> Iterator[str]:
    r"""Yield the base64 of the secret alone, for each number of bytes before it in a group of three.

    SMTP, for one, encodes ``\0username\0password``.
    """
    value = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + value).decode()
        yield encoded[-(-8 * before // 6) : 8 * (before + len(value)) // 6]
