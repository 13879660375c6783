"""JSON read with positions, and Python data checked to be no more than JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn, TypeAlias

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding, Location, error
from ztrust_mail.core.text import SURROGATE, quoted
from ztrust_mail.specfile.readers.document import (
    MAX_DEPTH,
    MAX_NUMBER,
    MAX_VALUES,
    Broken,
    Children,
    Parsed,
    Place,
    Pointer,
    SourceFloat,
    SourceInt,
    SourceText,
)

_SPACE = re.compile(r"[ \t\n]*")
_TEXT = re.compile(r'"([^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*)')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?(?![0-9A-Za-z_.+-])")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS = {"null": None, "true": True, "false": False}
_BAD_IN_TEXT = {
    "\\": ("this escape is not known to JSON", r"write `\\` for a backslash"),
    "\t": ("a tab is not allowed in text", r"write `\t`"),
}
_NOT_CLOSED = "the quotes opened here are not closed on the same line", r"close them; a line break is `\n`"
_NOT_FINITE = ("NaN", "Infinity")
_Keep: TypeAlias = Callable[[JsonValue], None]


def parse(source: SourceText) -> Parsed:
    """Return the value and the places of a JSON text.

    Raises :class:`Broken` behind what cannot be read; ``source.findings`` tells every problem.
    """
    scanner = _Scanner(source)
    at = scanner.skip()
    value, children = scanner.value(0)
    if scanner.skip() < len(source.text):
        source.stop("json-syntax", scanner.pos, "the document has ended before this", "remove what follows")
    return value, (at, at, children)


class _Scanner:
    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.text = source.text
        self.pos = 0
        self.count = 0

    def skip(self) -> int:
        """Return the offset behind white space."""
        match = _SPACE.match(self.text, self.pos)
        self.pos = match.end() if match else self.pos
        return self.pos

    def value(self, depth: int) -> tuple[JsonValue, Children]:
        """Return the value that starts here, inside ``depth`` others."""
        at, start = self.pos, self.text[self.pos : self.pos + 1]
        self.count += 1
        if self.count > MAX_VALUES:
            self.source.refuse("too-many", at)
        if start in ("{", "["):
            if depth == MAX_DEPTH:
                self.source.refuse("too-deep", at)
            return self._mapping(depth + 1) if start == "{" else self._list(depth + 1)
        if start == '"':
            return self._string(), None
        if match := _NUMBER.match(self.text, at):
            self.pos = match.end()
            return self._number(match, at), None
        return self._word(at), None

    def _mapping(self, depth: int) -> tuple[JsonValue, Children]:
        value: dict[str, JsonValue] = {}
        places: dict[str, Place] = {}
        while self._more("}", first=not value):
            key_at = self.pos
            if not self.text.startswith('"', key_at):
                self._fail("a key must be text in double quotes", 'write `"key": value`')
            key = self._string()
            if key in places:
                self.source.duplicate(key, key_at, places[key][0])
            if not self.text.startswith(":", self.skip()):
                self._fail("a `:` is missing before this", 'write `"key": value`')
            self.pos += 1
            at = self.skip()
            value[key], children = self.value(depth)
            places[key] = (key_at, at, children)
        return value, places

    def _list(self, depth: int) -> tuple[JsonValue, Children]:
        value: list[JsonValue] = []
        places: list[Place] = []
        while self._more("]", first=not value):
            at = self.pos
            item, children = self.value(depth)
            value.append(item)
            places.append((at, at, children))
        return value, places

    def _more(self, end: str, *, first: bool) -> bool:
        """Tell whether another item starts here, behind the bracket or the comma that comes first."""
        if first:
            self.pos += 1
        here = self.text[self.skip() : self.pos + 1]
        if here == end:
            self.pos += 1
            return False
        if first:
            return True
        if here != ",":
            self._fail(f"a `,` or `{end}` is missing before this", "check the brackets, commas and quotes")
        comma = self.pos
        self.pos += 1
        if self.text.startswith(end, self.skip()):
            self.pos = comma
            self._fail(f"a comma is not allowed before `{end}`", "remove it")
        return True

    def _string(self) -> str:
        at = self.pos
        match = _TEXT.match(self.text, at)
        end = match.end() if match else at
        here = self.text[end : end + 1]
        if here != '"':
            self.pos = end if here in _BAD_IN_TEXT else at
            self._fail(*_BAD_IN_TEXT.get(here, _NOT_CLOSED))
        self.pos = end + 1
        raw = self.text[at : self.pos]
        return self.source.checked_text(str(json.loads(raw)), at) if "\\" in raw else raw[1:-1]

    def _number(self, match: re.Match[str], at: int) -> JsonValue:
        text = match.group()
        if not self.source.short_enough(text, at):
            return 0
        if match.group(1) or match.group(2):
            return self.source.finite(float(text), text, at)
        return SourceInt(int(text), text)

    def _word(self, at: int) -> JsonValue:
        found = _WORD.match(self.text, at + self.text.startswith("-", at))
        word = found.group() if found else ""
        if found and word in _NOT_FINITE:
            self.pos = found.end()
            return self.source.finite(math.inf, word, at)
        if not found or word not in _WORDS or found.start() > at:
            self._no_value(at)
        self.pos = found.end()
        return _WORDS[word]

    def _no_value(self, at: int) -> NoReturn:
        if at == len(self.text):
            self._fail("the text ends before the document does", "close every bracket")
        if self.text.startswith(("//", "/*", "#"), at):
            self._fail("JSON has no comments", "remove it, or write the spec in YAML")
        self._fail("this is no JSON value", "put text in double quotes; a number has no leading zeros")

    def _fail(self, message: str, hint: str) -> NoReturn:
        self.source.stop("json-syntax", self.pos, message, hint)


def plain(data: object, path: str) -> tuple[dict[str, JsonValue], list[Finding]]:
    """Return Python data as plain JSON data; what is none is left out and told as a finding at ``path``."""
    copier = _Copier(path)
    copied: list[JsonValue] = []
    try:
        if isinstance(data, Mapping):
            copier.copy(data, (), copied.append)
        else:
            copier.refuse("not-a-mapping", (), "is not a mapping of keys to values")
    except Broken:
        pass
    value = copied[0] if copied else None
    return value if isinstance(value, dict) else {}, copier.findings


class _Copier:
    def __init__(self, path: str) -> None:
        self.findings: list[Finding] = []
        self._path = path
        self._count = 0
        self._around: list[int] = []

    def copy(self, data: object, where: Pointer, keep: _Keep) -> None:
        """Hand over plain data to ``keep``, or note why it is none."""
        self._count += 1
        if self._count > MAX_VALUES:
            self.refuse("too-many", (), f"holds more than {MAX_VALUES:,} values")
            raise Broken
        if data is None or isinstance(data, bool):
            keep(data)
        elif isinstance(data, str):
            if SURROGATE.search(data):
                self.refuse("lone-surrogate", where, "holds half a character")
            else:
                keep(str.__str__(data))
        elif isinstance(data, float):
            if math.isfinite(data):
                keep(SourceFloat(float(data)))
            else:
                self.refuse("bad-number", where, "is not a finite number")
        elif isinstance(data, int):
            if abs(data) < 10**MAX_NUMBER:
                keep(SourceInt(int(data)))
            else:
                self.refuse("bad-number", where, f"is longer than {MAX_NUMBER} digits")
        elif isinstance(data, Mapping | list | tuple):
            self._container(data, where, keep)
        else:
            self.refuse("not-json", where, f"is a {quoted(type(data).__name__)}, which is no JSON data")

    def _container(self, data: Mapping[object, object] | Sequence[object], where: Pointer, keep: _Keep) -> None:
        if id(data) in self._around:
            self.refuse("recursive", where, "contains itself")
        elif len(self._around) == MAX_DEPTH:
            self.refuse("too-deep", where, f"is nested more than {MAX_DEPTH} deep")
        else:
            self._around.append(id(data))
            keep(self._mapping(data, where) if isinstance(data, Mapping) else self._list(data, where))
            self._around.pop()

    def _mapping(self, data: Mapping[object, object], where: Pointer) -> dict[str, JsonValue]:
        copied: dict[str, JsonValue] = {}
        for key, value in data.items():
            if not isinstance(key, str) or SURROGATE.search(key):
                self.refuse("bad-key", where, "has a key that is no text")
            else:
                self.copy(value, (*where, str.__str__(key)), partial(copied.__setitem__, str.__str__(key)))
        return copied

    def _list(self, data: Sequence[object], where: Pointer) -> list[JsonValue]:
        copied: list[JsonValue] = []
        for index, value in enumerate(data):
            self.copy(value, (*where, index), copied.append)
        return copied

    def refuse(self, rule: str, where: Pointer, message: str) -> None:
        name = quoted(".".join(map(str, where))) if where else "the spec"
        hint = "use dict, list, str, int, float, bool and None only"
        self.findings.append(error(rule, f"{name} {message}", hint, Location(self._path)))
