"""TOML: the standard library reads the values, a scanner of our own where each stands.

The scanner knows the layout and no more; what it lets through ``tomllib`` judges. It runs first, because
nesting without a bound would cost ``tomllib`` the stack, and a key of many parts very much time.
"""

from __future__ import annotations

import re
import tomllib
from typing import NoReturn

from ztrust_mail.core.data import JsonValue
from ztrust_mail.specfile.readers.document import MAX_DEPTH, MAX_VALUES, Broken, Parsed, SourceInt, SourceText

# No possessive groups: CPython 3.11 before 3.11.4, which Debian 12 has, takes some texts for no match.
_BLANK = re.compile(r"[ \t\n]*(?:#[^\n]*[ \t\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_LINE_END = re.compile(r"(?:#[^\n]*)?(?:\n|\Z)")
_KEY = re.compile(r"""([A-Za-z0-9_-]+)|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\n]*'""")
_TEXT = re.compile(
    r"""\"{3}[^"\\]*(?:(?:\\.|""?(?!"))[^"\\]*)*"{3,5}"""
    r"""|'{3}[^']*(?:''?(?!')[^']*)*'{3,5}"""
    r"""|"(?!"")[^"\\\n]*(?:\\[^\n][^"\\\n]*)*\""""
    r"""|'(?!'')[^'\n]*'""",
    re.DOTALL,
)
_BARE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9][^\s,\]}#]*|[^\s,\]}#\[{=\"']+")
_PLACE = re.compile(r"\(at line ([0-9]+), column ([0-9]+)\)$")
_GENERIC = "this is not valid TOML", "check the quotes, the brackets and the `=` at this place"
_ESCAPE = "this text holds an escape that TOML does not know", "use single quotes"
# What is known of tomllib's text, and our message and hint: its own may quote the file.
_PROBLEMS = (
    (r"Cannot|Duplicate", "this key or table is already defined", "keep one of the two"),
    (r"[Ee]scape|hex value", *_ESCAPE),
    (r"date", "this is not a date or time that exists", "put it in quotes if it is text"),
)


def parse(source: SourceText) -> Parsed:
    """Return the value and the places of a TOML text.

    Raises :class:`Broken` behind what cannot be read; ``source.findings`` tells every problem.
    """
    root = _Scanner(source).scan()
    if source.findings:
        raise Broken
    if not root.table:
        source.refuse("empty-file", 0)
    try:
        data = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as problem:
        _refuse(source, str(problem))
    return _joined(source, data, root, 1)


class _Node:
    """Where a value stands: ``raw`` text, or a ``table`` or ``array`` of further ones.

    ``block`` is what headers and dotted keys make: it starts where its first key does.
    """

    def __init__(self, key_at: int, at: int, *, block: bool = False) -> None:
        self.key_at = key_at
        self.at = at
        self.block = block
        self.has_header = False
        self.raw = ""
        self.table: dict[str, _Node] = {}
        self.array: list[_Node] = []
        self.is_table = block

    def start(self) -> int:
        """Return the offset of the value's first character."""
        return next(iter(self.table.values())).key_at if self.block and self.table else self.at


class _Scanner:
    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.text = source.text
        self.pos = 0
        self.count = 0

    def scan(self) -> _Node:
        """Return the places of the whole text."""
        root = table = _Node(0, 0, block=True)
        while self._skip(_BLANK) < len(self.text):
            if self.text.startswith("[", self.pos):
                table = self._header(root)
            else:
                self._pair(table, 1)
            if not (end := _LINE_END.match(self.text, self._skip(_SPACE))):
                self._fail("the line should end here", "write one `key = value` in a line, and text in quotes")
            self.pos = end.end()
        return root

    def _header(self, root: _Node) -> _Node:
        start, brackets = self.pos, "[[" if self.text.startswith("[[", self.pos) else "["
        self.pos += len(brackets)
        *parents, (name, at) = self._key()
        self._expect("]" * len(brackets), "close the brackets of the table's name")
        table = root
        for parent in parents:
            table = self._inner(table, *parent)
        known = table.table.get(name)
        if brackets == "[[":
            return self._element(table, name, at, start)
        if known is None:
            known = table.table[name] = self._new(at, start, block=True)
        elif known.has_header or not known.is_table:
            self.source.duplicate(name, at, known.key_at)
        known.has_header = True
        return known

    def _element(self, table: _Node, name: str, at: int, start: int) -> _Node:
        array = table.table.get(name)
        if array is None:
            array = table.table[name] = self._new(at, start)
            array.has_header = True
        elif array.is_table or not array.has_header:
            self.source.duplicate(name, at, array.key_at)
        array.array.append(self._new(start, start, block=True))
        return array.array[-1]

    def _inner(self, table: _Node, name: str, at: int) -> _Node:
        """Return the table that a part of a dotted name leads to."""
        node = table.table.get(name)
        if node is None:
            node = table.table[name] = self._new(at, at, block=True)
        elif node.has_header and node.array:
            node = node.array[-1]
        elif not node.is_table:
            self.source.duplicate(name, at, node.key_at)
        return node

    def _new(self, key_at: int, at: int, *, block: bool = False) -> _Node:
        self.count += 1
        if self.count > MAX_VALUES:
            self.source.refuse("too-many", at)
        return _Node(key_at, at, block=block)

    def _pair(self, table: _Node, depth: int) -> None:
        *parents, (name, at) = self._key()
        self._expect("=", "write `key = value`")
        self._skip(_SPACE)
        for parent in parents:
            table = self._inner(table, *parent)
        value = self._value(at, depth)
        if name in table.table:
            self.source.duplicate(name, at, table.table[name].key_at)
        else:
            table.table[name] = value

    def _key(self) -> list[tuple[str, int]]:
        parts: list[tuple[str, int]] = []
        while True:
            at = self._skip(_SPACE)
            match = _KEY.match(self.text, at)
            if not match:
                self._fail("a key is missing here", "write `key = value`, or `[name]` for a table")
            if len(parts) == MAX_DEPTH:
                self.source.refuse("too-deep", at)
            parts.append((match.group(1) or self._name(match.group(), at), at))
            self.pos = match.end()
            if not self.text.startswith(".", self._skip(_SPACE)):
                return parts
            self.pos += 1

    def _name(self, raw: str, at: int) -> str:
        if not raw.startswith('"') or "\\" not in raw:
            return raw[1:-1]
        try:
            return str(tomllib.loads(f"name = {raw}")["name"])
        except tomllib.TOMLDecodeError:
            self.source.stop("toml-syntax", at, *_ESCAPE)

    def _value(self, key_at: int, depth: int) -> _Node:
        node = self._new(key_at, self.pos)
        if self.text.startswith(("[", "{"), self.pos):
            if depth == MAX_DEPTH:
                self.source.refuse("too-deep", self.pos)
            self._array(node, depth + 1) if self.text[self.pos] == "[" else self._inline(node, depth + 1)
        elif match := _TEXT.match(self.text, self.pos) or _BARE.match(self.text, self.pos):
            self.pos = match.end()
            if match.re is _BARE and self.source.short_enough(match.group(), node.at):
                node.raw = match.group()
        else:
            self._fail("a value is missing here, or its quotes are not closed", _GENERIC[1])
        return node

    def _array(self, node: _Node, depth: int) -> None:
        self.pos += 1
        while not self.text.startswith("]", self._skip(_BLANK)):
            node.array.append(self._value(self.pos, depth))
            self._comma("]", node.at)
        self.pos += 1

    def _inline(self, node: _Node, depth: int) -> None:
        self.pos += 1
        node.is_table = True
        while not self.text.startswith("}", self._skip(_BLANK)):
            self._pair(node, depth)
            self._comma("}", node.at)
        self.pos += 1

    def _comma(self, end: str, start: int) -> None:
        if self.text.startswith(",", self._skip(_BLANK)):
            self.pos += 1
        elif not self.text.startswith(end, self.pos):
            self.pos = start
            self._fail("this bracket is not closed, or a comma is missing behind it", _GENERIC[1])

    def _expect(self, wanted: str, hint: str) -> None:
        if not self.text.startswith(wanted, self._skip(_SPACE)):
            self._fail(f"a `{wanted}` is missing here", hint)
        self.pos += len(wanted)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.pos)
        self.pos = match.end() if match else self.pos
        return self.pos

    def _fail(self, message: str, hint: str) -> NoReturn:
        self.source.stop("toml-syntax", self.pos, message, hint)


def _joined(source: SourceText, value: object, node: _Node, depth: int) -> Parsed:
    """Return what ``tomllib`` read as plain data, with the places of the scanner."""
    at = node.start()
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        source.refuse("too-deep", at)
    if isinstance(value, dict):
        inner = {name: _joined(source, item, node.table[name], depth + 1) for name, item in value.items()}
        places = {name: place for name, (_, place) in inner.items()}
        return {name: item for name, (item, _) in inner.items()}, (node.key_at, at, places)
    if isinstance(value, list):
        items = [_joined(source, item, part, depth + 1) for item, part in zip(value, node.array, strict=True)]
        return [item for item, _ in items], (node.key_at, at, [(p[1], p[1], p[2]) for _, p in items])
    return _scalar(source, value, node), (node.key_at, at, None)


def _scalar(source: SourceText, value: object, node: _Node) -> JsonValue:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return SourceInt(value, node.raw)
    if isinstance(value, float):
        return source.finite(value, node.raw, node.at)
    return node.raw  # dates and times have no type of their own in a spec


def _refuse(source: SourceText, problem: str) -> NoReturn:
    found = _PLACE.search(problem)
    offset = len(source.text)
    if found:
        lines = source.text.split("\n")[: int(found[1]) - 1]
        offset = sum(len(line) + 1 for line in lines) + int(found[2]) - 1
    for pattern, message, hint in _PROBLEMS:
        if re.search(pattern, problem):
            source.stop("toml-syntax", offset, message, hint)
    source.stop("toml-syntax", offset, *_GENERIC)
