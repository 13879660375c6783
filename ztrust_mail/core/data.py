"""JSON: types, the package's JSON Schemas, digests (SHA-256 in hex), and text read with the place of every part.

The standard library decodes the values of a text and judges their syntax.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple, NoReturn, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
Schema = dict[str, JsonValue]


@cache
def schema_text(name: str) -> str:
    """Return one of the package's JSON Schemas as text: ``spec``, ``settings`` or ``report``."""
    return (resources.files("ztrust_mail") / "schemas" / f"{name}.schema.json").read_text("utf-8")


@cache
def load_schema(name: str) -> Schema:
    """Return one of the package's JSON Schemas as data."""
    schema: Schema = json.loads(schema_text(name))
    return schema


Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

JsonLike = None | bool | int | float | str | Sequence["JsonLike"] | Mapping[str, "JsonLike"]


def of_bytes(data: bytes) -> str:
    """Return the digest of bytes, as ``sha256sum`` prints it for a file."""
    import hashlib  # it loads OpenSSL

    return hashlib.sha256(data).hexdigest()


def of_json(data: JsonLike) -> str:
    """Return the digest of plain data; the order of keys and the layout do not matter."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return of_bytes(text.encode("ascii"))


_SPACE = re.compile(r"[ \t\r\n]*")
_REST_OF_WORD = re.compile(r"[0-9A-Za-z_.+-]")
_EXPECTING_VALUE = "Expecting value"
_BAD_ESCAPE = "this escape is not known to JSON", r"write `\\` for a backslash"
_BAD_TAB = "a tab is not allowed in text", r"write `\t`"
_NOT_CLOSED = "the quotes opened here are not closed on the same line", r"close them; a line break is `\n`"


class JsonSyntaxError(Exception):
    """The text is not JSON from ``offset`` on. The message and the hint quote nothing of it: it may hold a secret."""

    def __init__(self, offset: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.offset, self.message, self.hint = offset, message, hint


class Key(NamedTuple):
    """A key of an object: its name, its offset and the offset behind its closing quote."""

    name: str
    start: int
    end: int


class JsonWalker:
    """Walks through a JSON text; ``pos`` is the offset it has reached.

    The hooks of ``decoder`` process the values. While a hook runs, ``pos`` is the start of the value.
    """

    def __init__(self, text: str, decoder: json.JSONDecoder, pos: int = 0) -> None:
        self.text = text
        self.pos = pos
        self._decoder = decoder
        self.skip_space()

    def skip_space(self) -> str:
        """Move past white space and return the character there, or nothing at the end."""
        found = _SPACE.match(self.text, self.pos)
        self.pos = found.end() if found else self.pos
        return self.text[self.pos : self.pos + 1]

    def decode(self) -> object:
        """Decode the value at this place, with all inside it, and move past it.

        Raises :class:`JsonSyntaxError`.
        """
        try:
            value, end = self._decoder.raw_decode(self.text, self.pos)
        except json.JSONDecodeError as problem:
            failed_at, reason = problem.pos, problem.msg
        except (ValueError, RecursionError):  # a hook refuses a value, or the nesting is too deep
            failed_at, reason = self.pos, ""
        else:
            if self.text[self.pos] in '"[{' or not _REST_OF_WORD.match(self.text, end):
                self.pos = end
                return value
            failed_at, reason = self.pos, _EXPECTING_VALUE  # 0587 is not the number 0
        # raised here, since the exceptions of the standard library hold the text
        raise self._explain(failed_at, reason)

    def items(self, end: str) -> Iterator[int]:
        """Yield the offset of each item of the object or list at this place; the caller moves past each item.

        ``end`` is the closing bracket. Raises :class:`JsonSyntaxError`.
        """
        self.pos += 1
        if self.skip_space() == end:
            self.pos += 1
            return
        while True:
            yield self.pos
            here = self.skip_space()
            if here not in (",", end) or not here:
                self._fail(f"a `,` or `{end}` is missing before this", "check the brackets, commas and quotes")
            comma = self.pos
            self.pos += 1
            if here == end:
                return
            if self.skip_space() == end:
                raise JsonSyntaxError(comma, f"a comma is not allowed before `{end}`", "remove it")

    def object_keys(self) -> Iterator[Key]:
        """Yield the keys of the object at this place; the caller moves past the value of each.

        Raises :class:`JsonSyntaxError`.
        """
        for start in self.items("}"):
            if not self.text.startswith('"', start):
                self._fail("a key must be text in double quotes", 'write `"key": value`')
            name, end = str(self.decode()), self.pos
            if self.skip_space() != ":":
                self._fail("a `:` is missing before this", 'write `"key": value`')
            self.pos += 1
            self.skip_space()
            yield Key(name, start, end)

    def finish(self) -> None:
        """Raise :class:`JsonSyntaxError` unless nothing but white space follows."""
        if self.skip_space():
            self._fail("the document has ended before this", "remove what follows")

    def _fail(self, message: str, hint: str) -> NoReturn:
        raise JsonSyntaxError(self.pos, message, hint)

    def _explain(self, offset: int, reason: str) -> JsonSyntaxError:
        """Return the error for what the standard library says of a place."""
        if reason.startswith("Invalid \\"):
            return JsonSyntaxError(self.text.rfind("\\", 0, offset + 1), *_BAD_ESCAPE)
        if reason.startswith("Invalid control") and self.text[offset] == "\t":
            return JsonSyntaxError(offset, *_BAD_TAB)
        if reason.startswith(("Invalid control", "Unterminated")):
            is_text = self.text.startswith('"', self.pos)
            return JsonSyntaxError(self.pos if is_text else offset, *_NOT_CLOSED)
        if reason != _EXPECTING_VALUE:
            return JsonSyntaxError(offset, "this is not valid JSON", "check the brackets, commas and quotes")
        if offset >= len(self.text):
            return JsonSyntaxError(offset, "the text ends before the document does", "close every bracket")
        if self.text.startswith(("//", "/*", "#"), offset):
            return JsonSyntaxError(offset, "JSON has no comments", "remove it, or write YAML")
        hint = "put text in double quotes; a number has no leading zeros"
        return JsonSyntaxError(offset, "this is not a JSON value", hint)
