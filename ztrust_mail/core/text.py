"""Text for people: invisible characters made visible, lists shortened, suggestions, plurals, times, globs."""

import difflib
import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

# C0 controls, what YAML never allows, and the line ends that only YAML 1.1 knows.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
SURROGATE = re.compile("[\ud800-\udfff]")

SHOWN_REALMS = 2
MASTER = "master"


def first_and_more(names: Sequence[str], most: int = SHOWN_REALMS, separator: str = ", ") -> str:
    """Return names as ``acme, globex and 35 more``, or ``none``. Instead of ``1 more``, the last name is shown.

    Entries that contain commas need another separator: ``a, b; c, d; and 35 more``.
    """
    if not names:
        return "none"
    shown = [printable(name) for name in names]
    if len(shown) > most + 1:
        shown[most:] = [f"{len(names) - most:,} more"]
    *first, last = shown
    if not first:
        return last
    return f"{separator.join(first)}{' ' if separator == ', ' else separator}and {last}"


_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""Return text that cannot steer a terminal or reorder a line.

    Control, escape, bidi and other invisible characters become ``\xNN``, ``\uNNNN`` or
    ``\UNNNNNNNN``; visible characters stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(c) for c in text)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


CI_COMMAND = re.compile(r"##(?=\w*\[)")
"""How Azure Pipelines (``##vso[``), TeamCity and old GitHub runners recognise a command in a job's output."""


def escaped(text: str, *, pairs: bool = False) -> str:
    r"""Return the text of a file with each character that :func:`printable` would replace written as an escape.

    The escapes are ``\uNNNN`` and ``\UNNNNNNNN``, or with ``pairs`` the two ``\uNNNN`` of JSON, so that the strings in
    the file keep their values. Line feeds stay, because they are layout. A :data:`CI_COMMAND` gets an
    escape, too.
    """
    text = CI_COMMAND.sub(r"\\u0023#", text)
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(c if c == "\n" or _visible(c) == c else _escape(c, pairs) for c in text)


def _escape(character: str, pairs: bool) -> str:
    code = ord(character)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    if not pairs:
        return f"\\U{code:08x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def quoted(value: object, limit: int = 60) -> str:
    """Return a value for a message: in backquotes, printable, shortened to ``limit`` characters."""
    text = printable(str(value))
    return f"`{text if len(text) <= limit else text[: limit - 1] + '…'}`"


def shell_word(text: str) -> str:
    """Return text as one word of a shell command that can be copied. Untrusted text remains one printable word."""
    return shlex.quote(printable(text))


def format_ranges(numbers: Iterable[int]) -> str:
    """Return numbers in order, with consecutive ones as a range: ``3 5-7``."""
    runs = list[list[int]]()
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return " ".join("-".join(map(str, run)) for run in runs)


def pluralise(count: int, noun: str, plural: str = "") -> str:
    """Return ``1 realm`` or ``3 realms``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m)")
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000}


def parse_duration(text: str) -> int | None:
    """Return the milliseconds of a duration such as ``500ms``, ``10s`` or ``5m``, None for any other text."""
    found = _DURATION.fullmatch(text)
    return int(found[1]) * _MILLISECONDS[found[2]] if found else None


def closest_word(word: str, known: Iterable[str]) -> str:
    """Return the known word that a misspelt one probably means, or an empty text.

    Case, underscores and hyphens are ignored: ``replyTo`` finds ``reply_to``.
    """
    by_plain = {_plain(k): k for k in known}
    close = difflib.get_close_matches(_plain(word), by_plain, n=1, cutoff=0.66)
    return by_plain[close[0]] if close and close[0] else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean `address`?`` for a misspelt word, or an empty text; see :func:`closest_word`."""
    meant = closest_word(word, known)
    return f"did you mean `{meant}`?" if meant else ""


def _plain(word: str) -> str:
    return re.sub(r"[\W_]", "", word.casefold())


def as_utc(time: datetime) -> datetime:
    """Return a time in UTC. A time without a zone is taken as UTC."""
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def to_minute(time: datetime) -> str:
    """Return a readable time: ``2026-01-31 12:00 UTC``."""
    return f"{as_utc(time):%Y-%m-%d %H:%M} UTC"


def to_period(first: datetime, last: datetime) -> str:
    """Return a readable period: ``2026-01-31 12:00 to 12:05 UTC``, or the minute in which it started and ended."""
    first, last = as_utc(first), as_utc(last)
    begin, end = to_minute(first), to_minute(last)
    if begin == end:
        return begin
    return f"{begin.removesuffix(' UTC')} to {f'{last:%H:%M} UTC' if first.date() == last.date() else end}"


def to_second(time: datetime) -> str:
    """Return a readable time: ``2026-01-31 12:00:00 UTC``."""
    return f"{as_utc(time):%Y-%m-%d %H:%M:%S} UTC"


def to_iso(time: datetime) -> str:
    """Return a time for files and reports: ``2026-01-31T12:00:00Z``."""
    return f"{as_utc(time):%Y-%m-%dT%H:%M:%SZ}"


def is_glob(name: str) -> bool:
    """Tell whether a name is a pattern."""
    return "*" in name or "?" in name


def is_selected(name: str, globs: Sequence[str]) -> bool:
    """Tell whether at least one glob matches a name; an empty list of globs selects every name."""
    return not globs or matches_any(name, globs)


def matches_any(name: str, globs: Iterable[str]) -> bool:
    """Tell whether at least one glob matches a name."""
    return any(glob_matches(glob, name) for glob in globs)


def glob_matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern matches a name. Case-sensitive; takes time linear in the length of both."""
    pattern, literal = _prepare_glob(pattern)
    if literal not in name:  # rules out most names cheaply
        return False
    p = n = mark = 0
    star = -1
    while n < len(name):
        if p < len(pattern) and pattern[p] == "*":
            star, mark, p = p, n, p + 1
        elif p < len(pattern) and pattern[p] in ("?", name[n]):
            p, n = p + 1, n + 1
        elif star >= 0:
            p, mark = star + 1, mark + 1
            n = mark
        else:
            return False
    return not pattern[p:].strip("*")


@lru_cache(maxsize=1024)
def _prepare_glob(pattern: str) -> tuple[str, str]:
    """Return the pattern with each run of stars reduced to one star, and its longest literal part."""
    return re.sub(r"\*+", "*", pattern), max(re.split("[*?]", pattern), key=len)
