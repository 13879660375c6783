"""Random documents with the places of their parts, and what the readers of one language make of a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding
from ztrust_mail.specfile.readers.document import Broken, Children, Parsed, Pointer, SourceText

SECRET = "hunter2"
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
MUST_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers(-(10**90), 10**90) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Reader:
    """The reader of a language, with a name of a file in it."""

    name: str
    parse: Callable[[SourceText], Parsed]

    def read(self, text: str) -> tuple[JsonValue, list[Finding]]:
        """Return the value of a text, None if it has none, and the findings."""
        source = SourceText(self.name, text)
        try:
            value, _ = self.parse(source)
        except Broken:
            value = None
        return value, source.findings

    def only(self, text: str) -> Finding:
        """Return the one finding of a text, which does not quote SECRET."""
        _, findings = self.read(text)
        assert len(findings) == 1, findings
        assert findings[0].message
        assert findings[0].hint
        assert SECRET not in findings[0].message + findings[0].hint
        return findings[0]


class StyledWriter:
    """Writes data in a style of hypothesis's choice, and notes where every key and value starts."""

    def __init__(self, styles: st.DataObject) -> None:
        self.text = ""
        self.keys: dict[Pointer, int] = {}
        self.values: dict[Pointer, int] = {}
        self.styles = styles


def where(finding: Finding) -> tuple[int, int]:
    """Return line and column of a finding."""
    assert finding.location is not None
    return finding.location.line, finding.location.column


def items(inside: dict[str, Item] | list[Item]) -> Iterable[tuple[str | int, Item]]:
    """Return the parts of an object or a list with their keys or indexes."""
    return [*inside.items()] if isinstance(inside, dict) else [*enumerate(inside)]


def places(parsed: Parsed) -> tuple[dict[Pointer, int], dict[Pointer, int]]:
    """Return where each key and each value starts."""
    keys: dict[Pointer, int] = {}
    values: dict[Pointer, int] = {}

    def walk(pointer: Pointer, children: Children) -> None:
        if children is None:
            return
        for part, (key_at, at, inner) in items(children):
            values[*pointer, part] = at
            if isinstance(part, str):
                keys[*pointer, part] = key_at
            walk((*pointer, part), inner)

    values[()] = parsed[1][1]
    walk((), parsed[1][2])
    return keys, values
