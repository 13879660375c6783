"""JSON text read with positions, and Python data checked to be no more than JSON."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from ztrust_mail.core.data import JsonSyntaxError, JsonValue, JsonWalker
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


def parse(source: SourceText) -> Parsed:
    """Return the value of a JSON text and the places of its parts.

    Raises :class:`Broken` if the text cannot be read any further; ``source.findings`` holds every problem.
    """
    reader = _JsonReader(source)
    try:
        return reader.read_all()
    except JsonSyntaxError as problem:
        source.stop("json-syntax", problem.offset, problem.message, problem.hint)


class _JsonReader:
    def __init__(self, source: SourceText) -> None:
        decoder = json.JSONDecoder(
            parse_int=self._whole_number, parse_float=self._fraction, parse_constant=self._not_finite
        )
        self._source = source
        self._walker = JsonWalker(source.text, decoder)
        self._count = 0

    def read_all(self) -> Parsed:
        """Return the value of the whole text and its places."""
        start = self._walker.pos
        value, children = self._value(0)
        self._walker.finish()
        return value, (start, start, children)

    def _value(self, depth: int) -> tuple[JsonValue, Children]:
        """Return the value at this place, which is inside ``depth`` others."""
        start = self._walker.pos
        bracket = self._walker.text[start : start + 1]
        self._count += 1
        if self._count > self._source.max_values:
            self._source.refuse("too-many", start)
        if bracket in ("{", "["):
            if depth == MAX_DEPTH:
                self._source.refuse("too-deep", start)
            return self._mapping(depth + 1) if bracket == "{" else self._list(depth + 1)
        value = self._walker.decode()
        if isinstance(value, str):
            self._source.check_surrogates(value, start)
        assert value is None or isinstance(value, bool | int | float | str)
        return value, None

    def _mapping(self, depth: int) -> tuple[JsonValue, Children]:
        value: dict[str, JsonValue] = {}
        places: dict[str, Place] = {}
        for key in self._walker.object_keys():
            name, start = self._source.check_surrogates(key.name, key.start), self._walker.pos
            if name in places:
                self._source.duplicate(name, key.start, places[name][0])
            value[name], children = self._value(depth)
            places[name] = (key.start, start, children)
        return value, places

    def _list(self, depth: int) -> tuple[JsonValue, Children]:
        value: list[JsonValue] = []
        places: list[Place] = []
        for start in self._walker.items("]"):
            item, children = self._value(depth)
            value.append(item)
            places.append((start, start, children))
        return value, places

    def _whole_number(self, text: str) -> SourceInt:
        return SourceInt(int(text) if self._source.is_short_number(text, self._walker.pos) else 0, text)

    def _fraction(self, text: str) -> SourceFloat:
        is_short = self._source.is_short_number(text, self._walker.pos)
        return self._source.finite(float(text) if is_short else 0.0, text, self._walker.pos)

    def _not_finite(self, word: str) -> SourceFloat:
        return self._source.finite(math.inf, word, self._walker.pos)


def to_plain(data: object, path: str) -> tuple[dict[str, JsonValue], list[Finding]]:
    """Return Python data as plain JSON data. Other values are left out and reported as findings at ``path``."""
    copier = _Copier(path)
    value: JsonValue = None
    if isinstance(data, Mapping):
        with suppress(Broken):
            value = next(copier.copy(data, ()), None)
    else:
        copier.refuse("not-a-mapping", (), "is not a mapping of keys to values")
    return value if isinstance(value, dict) else {}, copier.findings


class _Copier:
    def __init__(self, path: str) -> None:
        self.findings: list[Finding] = []
        self._path = path
        self._count = 0
        self._around: list[int] = []

    def copy(self, data: object, where: Pointer) -> Iterator[JsonValue]:
        """Yield a value as plain data, or nothing if it is not JSON. Raises :class:`Broken` for too many values."""
        self._count += 1
        if self._count > MAX_VALUES:
            self.refuse("too-many", (), f"holds more than {MAX_VALUES:,} values")
            raise Broken
        if isinstance(data, Mapping | list | tuple):
            yield from self._container(data, where)
        elif data is None or isinstance(data, bool):
            yield data
        elif isinstance(data, str):
            if SURROGATE.search(data):
                self.refuse("lone-surrogate", where, "contains an unpaired surrogate")
            else:
                yield str.__str__(data)
        elif isinstance(data, float):
            if math.isfinite(data):
                yield SourceFloat(float(data))
            else:
                self.refuse("bad-number", where, "is not a finite number")
        elif not isinstance(data, int):
            self.refuse("not-json", where, f"is a {quoted(type(data).__name__)}, which is not JSON data")
        elif abs(data) < 10**MAX_NUMBER:
            yield SourceInt(int(data))
        else:
            self.refuse("bad-number", where, f"is longer than {MAX_NUMBER} digits")

    def _container(self, data: Mapping[object, object] | Sequence[object], where: Pointer) -> Iterator[JsonValue]:
        if id(data) in self._around:
            self.refuse("recursive", where, "contains itself")
        elif len(self._around) == MAX_DEPTH:
            self.refuse("too-deep", where, f"is nested more than {MAX_DEPTH} deep")
        else:
            self._around.append(id(data))
            yield self._mapping(data, where) if isinstance(data, Mapping) else self._list(data, where)
            self._around.pop()

    def _mapping(self, data: Mapping[object, object], where: Pointer) -> dict[str, JsonValue]:
        copied: dict[str, JsonValue] = {}
        for key, value in data.items():
            if not isinstance(key, str) or SURROGATE.search(key):
                self.refuse("bad-key", where, "has a key that is not text")
                continue
            name = str.__str__(key)
            copied.update((name, copy) for copy in self.copy(value, (*where, name)))
        return copied

    def _list(self, data: Sequence[object], where: Pointer) -> list[JsonValue]:
        return [copy for index, value in enumerate(data) for copy in self.copy(value, (*where, index))]

    def refuse(self, rule: str, where: Pointer, message: str) -> None:
        name = quoted(".".join(map(str, where))) if where else "the spec"
        hint = "use dict, list, str, int, float, bool and None only"
        self.findings.append(error(rule, f"{name} {message}", hint, Location(self._path)))
