"""A document, in which every value has its line and column, and the text it is read from."""

import math
import re
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NoReturn, Self, TypeAlias

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import MAX_PROBLEMS, Excerpt, Finding, Location, error
from ztrust_mail.core.text import CONTROL, SURROGATE, printable, quoted

Pointer: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = "tuple[int, int, Children]"  # offset of the key, offset of the value, places inside
Children: TypeAlias = "dict[str, Place] | list[Place] | None"
Parsed: TypeAlias = tuple[JsonValue, Place]
MAX_DEPTH = 50
MAX_KEY = 200  # characters of the place in a dict
AUTH = "auth"
MAX_VALUES = 1_000_000
MAX_NUMBER = 100  # characters; Python refuses to read very long numbers
MAX_LINE = 10_000
START = "start with `version: 1`"
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # byte order marks, as :func:`decode` returns them
_REFUSED = {
    "empty-file": ("the file is empty", START),
    "too-deep": (f"this is nested more than {MAX_DEPTH} deep", "a spec needs less than 10"),
    "too-many": (f"the file holds more than {MAX_VALUES:,} values", "split it"),
}


class SourceInt(int):
    """A whole number with its source text: ``0587``."""

    text: str

    def __new__(cls, value: int, text: str | None = None) -> Self:
        number = super().__new__(cls, value)
        number.text = int.__repr__(value) if text is None else text
        return number


class SourceFloat(float):
    """A number with a fraction or exponent, with its source text: ``1.10``."""

    text: str

    def __new__(cls, value: float, text: str | None = None) -> Self:
        number = super().__new__(cls, value)
        number.text = float.__repr__(value) if text is None else text
        return number


class Broken(Exception):
    """The file cannot be read any further; the findings say why."""


def decode(data: bytes) -> str:
    """Return the text of a file without byte order mark, with line feeds as line ends.

    A byte that is not UTF-8 becomes a surrogate: :meth:`SourceText.check_characters` reports its place.
    """
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")


class SourceText:
    """The text of one file, the problems found in it, and the line and column of each offset.

    Readers refuse a text of more than ``max_values`` values. ``lines_before`` is the number of lines of the file before
    the text.
    """

    def __init__(self, path: str, text: str, max_values: int = MAX_VALUES, lines_before: int = 0) -> None:
        self.path = path
        self.text = text
        self.max_values = max_values
        self.lines_before = lines_before
        self.findings: list[Finding] = []

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def location(self, offset: int) -> Location:
        """Return the line and column of an offset; of one past the end of the text, those of the end."""
        offset = min(offset, len(self.text))
        line = bisect_right(self._line_starts, offset)
        return Location(self.path, line + self.lines_before, offset - self._line_starts[line - 1] + 1)

    def offset(self, where: Location) -> int:
        """Return the offset of a place in the text."""
        return self._line_starts[where.line - self.lines_before - 1] + where.column - 1

    def line_start(self, offset: int) -> int:
        """Return the offset at which the line of another offset starts."""
        return self._line_starts[self.location(offset).line - self.lines_before - 1]

    def line_at(self, offset: int) -> str:
        """Return the line of an offset without its end, and of a long line the first ``MAX_LINE`` characters."""
        start = self.line_start(offset)
        end = self.text.find("\n", start, start + MAX_LINE)
        return self.text[start : end if end >= 0 else start + MAX_LINE]

    def problem(self, rule: str, offset: int, message: str, hint: str = "") -> None:
        """Add a problem; the reader continues to find others. Raises :class:`Broken` at one too many."""
        self.findings.append(error(rule, message, hint, self.location(offset)))
        if len(self.findings) > MAX_PROBLEMS:
            raise Broken

    def stop(self, rule: str, offset: int, message: str, hint: str = "", excerpt: Excerpt | None = None) -> NoReturn:
        """Add a problem after which nothing can be read. Raises :class:`Broken`."""
        self.problem(rule, offset, message, hint)
        self.findings[-1] = replace(self.findings[-1], excerpt=excerpt)
        raise Broken

    def refuse(self, rule: str, offset: int) -> NoReturn:
        """Add a problem of the file as a whole. Raises :class:`Broken`."""
        self.stop(rule, offset, *_REFUSED[rule])

    def check_characters(self) -> None:
        """Refuse an empty text, bytes that are not UTF-8, and control characters. Raises :class:`Broken`."""
        if self.text.startswith(_UTF_16) or "\0" in self.text[:2]:
            self.stop("not-utf-8", 0, "the file is UTF-16", "save it as UTF-8")
        if found := SURROGATE.search(self.text):
            self.stop("not-utf-8", found.start(), "the file is not UTF-8 text from here on", "save it as UTF-8")
        if found := CONTROL.search(self.text):
            message = f"the invisible character U+{ord(found.group()):04X} is not allowed"
            self.stop("control-character", found.start(), message, "remove it, or write an escape in quotes")
        if not self.text.strip():
            self.refuse("empty-file", 0)

    def duplicate(self, key: str, offset: int, first: int) -> None:
        """Add a problem for a key that is defined twice in one mapping."""
        lines = self.location(first).line, self.location(offset).line
        message = f"{quoted(key)} is defined in line {lines[0]} and again in line {lines[1]}"
        self.problem("duplicate-key", offset, message, "keep one of the two")

    def check_surrogates(self, text: str, offset: int) -> str:
        """Return the text, after adding a problem for an unpaired surrogate, which no encoding can hold."""
        if not text.isascii() and SURROGATE.search(text):
            message = r"this escape is an unpaired surrogate (half of a `\uD83D\uDE00` pair)"
            self.problem("lone-surrogate", offset, message, "write both halves, or the character itself")
        return text

    def is_short_number(self, text: str, offset: int) -> bool:
        """Tell whether a number is short enough to be read, after adding a problem if not."""
        if not (fits := len(text) <= MAX_NUMBER):
            message = f"a number longer than {MAX_NUMBER} characters cannot be read"
            self.problem("bad-number", offset, message, "put it in quotes if it is text")
        return fits

    def finite(self, value: float, text: str, offset: int) -> SourceFloat:
        """Return the number with its source text, after adding a problem for infinity and not-a-number."""
        if not math.isfinite(value):
            self.problem("bad-number", offset, "this number is not finite", "put it in quotes if it is text")
        return SourceFloat(value, text)


@dataclass(frozen=True)
class Document:
    """One spec file, or a dict given to the library.

    ``path`` is shown in messages; relative secret files start from the real path ``folder``. ``value`` is plain data;
    keys are always text, also keys that look like numbers. ``digest`` is the digest of the file's bytes, or of a
    dict's canonical JSON.
    """

    path: str
    folder: str
    value: JsonValue = field(repr=False)  # a secret in the spec must not reach a traceback
    root: Place = field(default=(0, 0, None), repr=False, compare=False)
    source: SourceText | None = field(default=None, repr=False, compare=False)
    digest: str = field(default="", compare=False)

    def locate(self, pointer: Pointer) -> Location:
        """Return the start of a value; for a missing value, that of its nearest parent."""
        return self._location(pointer, 1)

    def locate_key(self, pointer: Pointer) -> Location:
        """Return the start of a value's key; for a missing value, that of its nearest parent's key."""
        return self._location(pointer, 0)

    def _location(self, pointer: Pointer, part: Literal[0, 1]) -> Location:
        if self.source:
            return self.source.location(self._place(pointer)[part])
        names = [str(part) for part in pointer]
        shown = names[: names.index(AUTH) + 1] if AUTH in names else names  # a key below it may be a password
        return Location(self.path, key=printable(".".join(shown))[:MAX_KEY])

    def _place(self, pointer: Pointer) -> Place:
        place = self.root
        for part in pointer:
            inside, inner = place[2], None
            if isinstance(inside, dict) and isinstance(part, str):
                inner = inside.get(part)
            elif isinstance(inside, list) and isinstance(part, int) and 0 <= part < len(inside):
                inner = inside[part]
            if inner is None:
                break
            place = inner
        return place
