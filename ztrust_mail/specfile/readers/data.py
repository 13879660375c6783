"""Python data checked to be no more than JSON, so that a dict is read like a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding, Location, error
from ztrust_mail.core.text import SURROGATE, quoted
from ztrust_mail.specfile.readers.document import (
    MAX_DEPTH,
    MAX_NUMBER,
    MAX_VALUES,
    Broken,
    Pointer,
    SourceFloat,
    SourceInt,
)

_Keep: TypeAlias = Callable[[JsonValue], None]


def plain(data: object, path: str) -> tuple[dict[str, JsonValue], list[Finding]]:
    """Return Python data as plain JSON data. What is not JSON is left out and reported as a finding at ``path``."""
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
        """Pass plain data to ``keep``, or add a finding where it is not JSON."""
        self._count += 1
        if self._count > MAX_VALUES:
            self.refuse("too-many", (), f"holds more than {MAX_VALUES:,} values")
            raise Broken
        if data is None or isinstance(data, bool):
            keep(data)
        elif isinstance(data, str):
            if SURROGATE.search(data):
                self.refuse("lone-surrogate", where, "contains an unpaired surrogate")
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
            self.refuse("not-json", where, f"is a {quoted(type(data).__name__)}, which is not JSON data")

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
                self.refuse("bad-key", where, "has a key that is not text")
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
