"""JSON read with positions."""

from __future__ import annotations

import json
import math

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.json_text import JsonSyntaxError, JsonWalker
from ztrust_mail.specfile.readers.document import (
    MAX_DEPTH,
    MAX_VALUES,
    Children,
    Parsed,
    Place,
    SourceFloat,
    SourceInt,
    SourceText,
)


def parse(source: SourceText) -> Parsed:
    """Return the value of a JSON text and the places of its parts.

    Raises :class:`Broken` where the text cannot be read any further; ``source.findings`` holds every problem.
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
        if self._count > MAX_VALUES:
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
