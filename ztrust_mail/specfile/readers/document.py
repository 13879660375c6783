"""Spec files read into documents whose every value knows its line and column."""

from __future__ import annotations

import math
import os
import re
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn, Self, TypeAlias

from ztrust_mail.core.data import JsonValue, of_bytes
from ztrust_mail.core.files import MAX_BYTES, STDIN, SUFFIXES, file_bytes, files_in
from ztrust_mail.core.findings import MAX_PROBLEMS, Finding, Location, error
from ztrust_mail.core.text import CONTROL, SURROGATE, quoted

Pointer: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = "tuple[int, int, Children]"  # offset of the key, offset of the value, places inside
Children: TypeAlias = "dict[str, Place] | list[Place] | None"
Parsed: TypeAlias = tuple[JsonValue, Place]
MAX_DEPTH = 50
MAX_VALUES = 1_000_000
MAX_NUMBER = 100  # characters; Python itself refuses to read very long ones
_START = "start with `version: 1`"
_NAMES = f"the name of a spec ends in {', '.join(SUFFIXES)}"
_REFUSED = {
    "cannot-read": ("it cannot be read", "check the path and the permissions"),
    "empty-file": ("the file is empty", _START),
    "empty-folder": ("there is no spec file in this folder", _NAMES),
    "link-outside": ("this link leads out of the folder", "copy the file to here"),
    "no-such-file": ("there is no such file or folder", "check the path"),
    "not-a-file": ("this is no regular file", "give a file, a folder, or - for standard input"),
    "too-deep": (f"this is nested more than {MAX_DEPTH} deep", "a spec needs less than 10"),
    "too-large": (f"a spec file has at most {MAX_BYTES // 10**6} MB", "split it"),
    "too-many": (f"the file holds more than {MAX_VALUES:,} values", "split it"),
    "unknown-file-type": ("the name does not tell the file's type", _NAMES),
}


class SourceInt(int):
    """A whole number that keeps how it was written: ``0587``."""

    text: str

    def __new__(cls, value: int, text: str | None = None) -> Self:
        number = super().__new__(cls, value)
        number.text = int.__repr__(value) if text is None else text
        return number


class SourceFloat(float):
    """A number with a fraction or exponent that keeps how it was written: ``1.10``."""

    text: str

    def __new__(cls, value: float, text: str | None = None) -> Self:
        number = super().__new__(cls, value)
        number.text = float.__repr__(value) if text is None else text
        return number


class Broken(Exception):
    """Reading this file cannot go on; the findings say why."""


class SourceText:
    """The text of one file, what is wrong with it, and which line and column an offset is."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.findings: list[Finding] = []

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def location(self, offset: int) -> Location:
        """Return the place of a character, the text's end for anything beyond it."""
        offset = min(offset, len(self.text))
        line = bisect_right(self._line_starts, offset)
        return Location(self.path, line, offset - self._line_starts[line - 1] + 1)

    def problem(self, rule: str, offset: int, message: str, hint: str = "") -> None:
        """Note a problem; reading goes on to find others. Raises :class:`Broken` at one too many."""
        self.findings.append(error(rule, message, hint, self.location(offset)))
        if len(self.findings) > MAX_PROBLEMS:
            raise Broken

    def stop(self, rule: str, offset: int, message: str, hint: str = "") -> NoReturn:
        """Note a problem behind which nothing can be read. Raises :class:`Broken`."""
        self.problem(rule, offset, message, hint)
        raise Broken

    def refuse(self, rule: str, offset: int) -> NoReturn:
        """Note a problem of the file as a whole. Raises :class:`Broken`."""
        self.stop(rule, offset, *_REFUSED[rule])

    def duplicate(self, key: str, offset: int, first: int) -> None:
        """Note a key that stands twice in the same mapping."""
        lines = self.location(first).line, self.location(offset).line
        message = f"{quoted(key)} is defined in line {lines[0]} and again in line {lines[1]}"
        self.problem("duplicate-key", offset, message, "keep one of the two")

    def checked_text(self, text: str, offset: int) -> str:
        """Return text as it is, after noting half a character (a lone surrogate) that nothing can encode."""
        if not text.isascii() and SURROGATE.search(text):
            self.problem("lone-surrogate", offset, "an escape here is half a character", "write it whole")
        return text

    def short_enough(self, text: str, offset: int) -> bool:
        """Tell whether a number has a length that can be read, after noting one that has not."""
        if not (fits := len(text) <= MAX_NUMBER):
            message = f"a number longer than {MAX_NUMBER} characters cannot be read"
            self.problem("bad-number", offset, message, "put it in quotes if it is text")
        return fits

    def finite(self, value: float, text: str, offset: int) -> SourceFloat:
        """Return the number with its text, after noting infinity and not-a-number."""
        if not math.isfinite(value):
            self.problem("bad-number", offset, "this number is not finite", "put it in quotes if it is text")
        return SourceFloat(value, text)


@dataclass(frozen=True)
class Document:
    """One spec file, or a dict given to the library.

    ``path`` is what messages show, ``folder`` the real folder that relative secret files start from.
    ``value`` is plain data; keys are always text, also those that look like numbers. ``digest`` is that of the file's
    bytes, or of a dict's canonical JSON.
    """

    path: str
    folder: str
    value: JsonValue = field(repr=False)  # a secret someone wrote into the spec must not reach a traceback
    root: Place = field(default=(0, 0, None), repr=False, compare=False)
    source: SourceText | None = field(default=None, repr=False, compare=False)
    digest: str = field(default="", compare=False)

    def locate(self, pointer: Pointer) -> Location:
        """Return where a value starts; for one that is not there, its nearest parent."""
        return self._location(self._place(pointer)[1])

    def locate_key(self, pointer: Pointer) -> Location:
        """Return where the key of a value starts; for one that is not there, its nearest parent's."""
        return self._location(self._place(pointer)[0])

    def _location(self, offset: int) -> Location:
        return self.source.location(offset) if self.source else Location(self.path)

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


def read_text(path: str, text: str, folder: str = "", digest: str = "") -> tuple[list[Document], list[Finding]]:
    """Return the document that a text is, or none and every problem; ``path`` says how it is written, ``-`` as YAML."""
    source = SourceText(path, text)
    documents = []
    with suppress(Broken):
        value, root = _parse(source)
        if not isinstance(value, dict):
            source.problem("not-a-mapping", root[1], "a spec is a mapping of keys to values", _START)
        elif not source.findings:
            documents.append(Document(path, folder, value, root, source, digest))
    return documents, source.findings


class _Reader:
    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.findings: list[Finding] = []
        self._seen: set[str] = set()

    def read(self, path: str) -> None:
        real = os.path.realpath(path.replace("\0", ""))
        if not path:
            hint = "give a file, a folder, or - for standard input; a variable may be empty"
            self.findings.append(error("cannot-read", "the name of a spec is empty", hint))
        elif "\0" in path:
            self._refuse(path, "cannot-read")
        elif path != STDIN and os.path.isdir(real):
            self._folder(path)
        elif real not in self._seen:
            self._seen.add(real)
            self._file(path, os.path.dirname(real))

    def _folder(self, given: str) -> None:
        files, refused = files_in(given)
        for path, rule in refused:
            self._refuse(path, rule)
        if not files and not refused:
            self._refuse(given, "empty-folder")
        for path in files:
            self.read(path)

    def _file(self, path: str, folder: str) -> None:
        try:
            refusal, data = file_bytes(path)
        except FileNotFoundError:
            refusal = "no-such-file"
        except OSError:
            refusal = "cannot-read"
        if refusal:
            self._refuse(path, refusal)
            return
        # bytes that are not UTF-8 become lone surrogates, so that their place can be told
        text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")
        documents, findings = read_text(path, text, folder, of_bytes(data))
        self.documents.extend(documents)
        self.findings.extend(findings)

    def _refuse(self, path: str, rule: str) -> None:
        self.findings.append(error(rule, *_REFUSED[rule], Location(path)))


def _parse(source: SourceText) -> Parsed:
    """Return what the text says. Raises :class:`Broken`."""
    if found := SURROGATE.search(source.text):
        source.stop("not-utf-8", found.start(), "the file is not UTF-8 text from here on", "save it as UTF-8")
    if found := CONTROL.search(source.text):
        message = f"the invisible character U+{ord(found.group()):04X} is not allowed"
        source.stop("control-character", found.start(), message, "remove it, or write an escape in quotes")
    if not source.text.strip():
        source.refuse("empty-file", 0)
    if source.path.lower().endswith(".json"):
        from ztrust_mail.specfile.readers.json import parse
    elif source.path.lower().endswith(".toml"):
        from ztrust_mail.specfile.readers.toml import parse
    else:
        from ztrust_mail.specfile.readers.yaml import parse
    return parse(source)
