"""YAML read with positions and the meaning of YAML 1.2's core schema, in one pass over the parser's events.

Events come one at a time, and an alias shares the value of its anchor. So deep nesting and aliases of aliases are
refused before they take memory, time or stack.
"""

import math
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, NoReturn, Protocol

from yaml import YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Excerpt
from ztrust_mail.core.text import quoted
from ztrust_mail.specfile.placeholders import UNQUOTED_PLACEHOLDER
from ztrust_mail.specfile.readers.document import (
    MAX_DEPTH,
    Children,
    Parsed,
    Place,
    SourceFloat,
    SourceInt,
    SourceText,
)
from ztrust_mail.specfile.readers.excerpts import advise_quotes, find_placeholder, is_public, syntax_excerpt

MAX_SHARED = 100_000  # values that all aliases of a file may repeat in total
_WORDS: dict[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_NUMBER = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_NUMBER_STARTS = frozenset("+-.0123456789")
_STANDARD = "tag:yaml.org,2002:"
_TAGS: dict[str, type] = {
    _STANDARD + "null": type(None),
    _STANDARD + "bool": bool,
    _STANDARD + "int": SourceInt,
    _STANDARD + "float": SourceFloat,
}
_QUOTE = "put text that starts with `{}` in quotes"
_STAR = _QUOTE.format("*")
_SHARE = "use `defaults:` for what several realms share"
_BAD_TAG = "tags that start with `!` are not allowed here", _QUOTE.format("!")
_ESCAPE = "this text contains an escape that YAML does not know", "use single quotes, or write `\\\\` for `\\`"
_GENERIC = "this is not valid YAML", "check the indentation, the colon and the quotes here"
_TAB = "tab found; YAML is indented with spaces", "replace the tab with spaces"
_UNQUOTED = "`{` starts a new mapping here"
# For each of the parser's problems: a pattern for its context and text in either parser, whether the problem is
# reported where the context starts, and our message and hint.
_PROBLEMS = (
    ("quoted scalar found unexpected", True, "the quotes opened here are never closed", "close them"),
    ("escape|hexdecimal", False, *_ESCAPE),
    ("flow (sequence|mapping)", True, "this bracket is not closed, or a comma is missing", _GENERIC[1]),
    ("mapping values are not allowed", False, "a `:` is not allowed here", "put text with `: ` in quotes"),
    ("could not find expected ':'", True, "this line has no `:` after a key", "write `key: value`"),
    ("alphabetic or numeric", True, "text cannot start with `*` or `&`", "put it in quotes"),
    ("tag handle", False, *_BAD_TAG),
    ("cannot start any token at a tab", False, *_TAB),
    ("cannot start any token", False, "text cannot start with this character", "put the text in quotes"),
    ("violates indentation", False, *_TAB),
    ("not allowed|expected key|block end|'-' ind", False, "this does not fit the lines above", _GENERIC[1]),
)


def parse(source: SourceText) -> Parsed:
    """Return the value of a YAML text and the places of its parts.

    Raises :class:`Broken` if the text cannot be read any further; ``source.findings`` holds every problem.
    """
    found_before = len(source.findings)
    try:
        return _build(source, source.text)
    except YAMLError as problem:
        if "maximum nesting depth" not in str(getattr(problem, "problem", "")):
            _refuse(source, problem)
        # PyYAML 6.0.4 looks ahead, and stops at 1,000 levels before it returns the first of them. The text up to
        # that place has fewer levels, so parsing it reports the place where our own limit is exceeded.
        del source.findings[found_before:]
        levels_end = _mark_of(problem)
        with suppress(YAMLError):
            return _build(source, source.text[:levels_end])
        source.refuse("too-deep", levels_end)


def _build(source: SourceText, text: str) -> Parsed:
    parser, builder = _parser(text), _Builder(source)
    try:
        for event in iter(parser.get_event, None):
            builder.feed(event)
    except (ValueError, OverflowError):
        # the pure Python parser found an escape for a character that does not exist
        source.stop("yaml-syntax", getattr(parser, "index", 0), *_ESCAPE)
    if not builder.top.places:
        source.refuse("empty-file", 0)
    return builder.top.value[0], builder.top.places[0]


class _Parser(Protocol):
    def get_event(self) -> Event | None: ...


class _Mark(Protocol):
    index: int


class _Event(Protocol):
    """An event; only nodes have more than a place."""

    start_mark: _Mark
    anchor: str | None
    tag: str | None
    implicit: tuple[bool, bool]
    value: str


def _parser(text: str) -> _Parser:
    """Return the C parser, or the slower Python parser if PyYAML was built without it."""
    try:
        from yaml._yaml import CParser
    except ImportError:
        from yaml import SafeLoader

        return SafeLoader(text)
    return CParser(text)


class _Anchor(NamedTuple):
    """The value that an alias repeats, the number of values in it (``size``), and the depth of their nesting."""

    value: JsonValue
    children: Children
    size: int
    height: int


class _Open:
    """A list or mapping whose end event has not been read yet."""

    def __init__(self, at: int, anchor: str | None) -> None:
        self.at = at
        self.anchor = anchor
        self.size = 1
        self.height = 1
        self.awaits_key = False


class _List(_Open):
    def __init__(self, at: int, anchor: str | None) -> None:
        super().__init__(at, anchor)
        self.value: list[JsonValue] = []
        self.places: list[Place] = []

    def add(self, value: JsonValue, at: int, places: Children) -> None:
        self.size += 1
        self.value.append(value)
        self.places.append((at, at, places))


class _Map(_Open):
    def __init__(self, at: int, anchor: str | None) -> None:
        super().__init__(at, anchor)
        self.value: dict[str, JsonValue] = {}
        self.places: dict[str, Place] = {}
        self.awaits_key = True
        self.key = ""
        self.key_at = 0

    def add(self, value: JsonValue, at: int, places: Children) -> None:
        self.size += 1
        self.value[self.key] = value
        self.places[self.key] = (self.key_at, at, places)
        self.awaits_key = True


class _Builder:
    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.top = _List(0, None)
        self._open: list[_List | _Map] = []  # outside of _frame, the innermost one
        self._frame: _List | _Map = self.top
        self._anchors: dict[str | None, _Anchor | None] = {}
        self._shared = 0
        self._events = 0
        self._handlers: dict[type, Callable[[Any], None]] = {
            ScalarEvent: self._scalar,
            AliasEvent: self._alias,
            MappingStartEvent: partial(self._start, _Map, "map"),
            SequenceStartEvent: partial(self._start, _List, "seq"),
            MappingEndEvent: self._end,
            SequenceEndEvent: self._end,
            DocumentStartEvent: self._document,
        }

    def feed(self, event: Event) -> None:
        self._events += 1
        if self._events > 3 * self.source.max_values:  # a value is at most a key, a start and an end
            self.source.refuse("too-many", getattr(event.start_mark, "index", 0))
        if handler := self._handlers.get(type(event)):
            handler(event)

    def _document(self, event: _Event) -> None:
        if self.top.places:
            hint = "write it into a file of its own"
            self.source.stop("several-documents", event.start_mark.index, "a second document starts here", hint)

    def _scalar(self, event: _Event) -> None:
        at, frame, key = event.start_mark.index, self._frame, event.value
        # a key is always text, also if it looks like a number
        is_text = frame.awaits_key and event.implicit[0] and event.tag is None and event.anchor is None
        value = key if is_text else self._resolve(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(value, None, 1, 0)
        if not (isinstance(frame, _Map) and frame.awaits_key):
            frame.add(value, at, None)
            return
        if key in frame.places:
            self.source.duplicate(key, at, frame.places[key][0])
        elif key == "<<" and event.implicit[0]:
            self.source.problem("merge-key", at, "merge keys are not part of YAML 1.2", _SHARE)
        frame.key, frame.key_at, frame.awaits_key = key, at, False

    def _resolve(self, event: _Event) -> JsonValue:
        text, at = event.value, event.start_mark.index
        if event.tag == _STANDARD + "str" or (event.tag is None and not event.implicit[0]):
            return self.source.check_surrogates(text, at)
        value: JsonValue = text
        if text in _WORDS:
            value = _WORDS[text]
        elif text[0] in _NUMBER_STARTS and _NUMBER.fullmatch(text):
            value = self._number(text, at)
        if event.tag is not None and not isinstance(value, _TAGS.get(event.tag, ())):
            self.source.problem("unknown-tag", at, *_BAD_TAG)
        return value

    def _number(self, text: str, at: int) -> SourceInt | SourceFloat:
        bare = text.lower().lstrip("+-")
        if not self.source.is_short_number(text, at):
            return SourceInt(0, text)
        if bare.startswith(("0x", "0o")):
            return SourceInt(int(bare, 0), text)
        if bare.isdigit():
            return SourceInt(int(text), text)
        return self.source.finite(math.inf if bare in (".inf", ".nan") else float(text), text, at)

    def _alias(self, event: _Event) -> None:
        at = event.start_mark.index
        anchor = self._anchors.get(event.anchor, _Anchor(None, None, 1, 0))
        if self._frame.awaits_key:
            self._stop_at_key(at)
        if event.anchor not in self._anchors:
            self._report_unknown(str(event.anchor), at)
        if anchor is None:
            self.source.stop("recursive-alias", at, "this alias is inside the value that it repeats", _STAR)
        self._shared += anchor.size
        if self._shared > MAX_SHARED:
            self.source.stop("alias-bomb", at, f"aliases repeat more than {MAX_SHARED:,} values", _SHARE)
        if len(self._open) + anchor.height > MAX_DEPTH:
            self.source.refuse("too-deep", at)
        self._add(anchor, at)

    def _report_unknown(self, alias: str, at: int) -> None:
        keys = (frame.key for frame in (*self._open, self._frame) if isinstance(frame, _Map))
        message, hint = "unknown alias: no anchor of that name above", f"define the anchor with `&` first, or {_STAR}"
        if is_public(tuple(keys)):  # elsewhere the name may be an unquoted password
            message = f"unknown alias {quoted('*' + alias)}: no anchor {quoted('&' + alias)} above"
            hint = f"define it first, or {_STAR}"
        self.source.problem("unknown-alias", at, message, hint)

    def _start(self, kind: type[_List | _Map], tag: str, event: _Event) -> None:
        started = kind(event.start_mark.index, event.anchor)
        if self._frame.awaits_key:
            self._stop_at_key(started.at)
        if event.tag not in (None, _STANDARD + tag):
            self.source.problem("unknown-tag", started.at, *_BAD_TAG)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(self._frame)
        if len(self._open) > MAX_DEPTH:
            self.source.refuse("too-deep", started.at)
        self._frame = started

    def _end(self, event: _Event) -> None:
        done = self._frame
        built = _Anchor(done.value, done.places, done.size, done.height)
        if done.anchor is not None:
            self._anchors[done.anchor] = built
        self._frame = self._open.pop()
        self._add(built, done.at)

    def _add(self, built: _Anchor, at: int) -> None:
        self._frame.add(built.value, at, built.children)
        self._frame.size += built.size - 1
        self._frame.height = max(self._frame.height, built.height + 1)

    def _stop_at_key(self, at: int) -> NoReturn:
        start = self.source.text[at]
        hint = _QUOTE.format(start) if start in "{[*" else "write `key: value`"
        self.source.stop("complex-key", at, "a key must be plain text", hint)


def _refuse(source: SourceText, problem: YAMLError) -> NoReturn:
    """Report a problem of the parser in our own words: the parser's quote the file, which may contain a secret."""
    what = f"{getattr(problem, 'context', '')} {getattr(problem, 'problem', '')}"
    mark = _mark_of(problem)
    if source.text.startswith("\t", mark):
        what += " at a tab"
    elif (brace := find_placeholder(source, mark)) >= 0:
        excerpt = _excerpt(source, brace)
        source.stop(UNQUOTED_PLACEHOLDER, brace, _UNQUOTED, advise_quotes(excerpt), excerpt)
    for pattern, at_start, message, hint in _PROBLEMS:
        if re.search(pattern, what):
            context = getattr(problem, "context_mark", None) if at_start else None
            at = context.index if context else mark
            source.stop("yaml-syntax", at, message, hint, _excerpt(source, at))
    source.stop("yaml-syntax", mark, *_GENERIC, _excerpt(source, mark))


def _excerpt(source: SourceText, offset: int) -> Excerpt | None:
    """Return the excerpt for a syntax error, if no bracket or quote is open where its line starts."""
    parser = _parser(source.text[: source.line_start(offset)])
    try:
        is_complete = all(iter(parser.get_event, None))
    except (YAMLError, ValueError, OverflowError):
        return None
    return syntax_excerpt(source, offset) if is_complete else None


def _mark_of(problem: YAMLError) -> int:
    """Return the offset where the parser stopped, 0 if it is unknown."""
    mark: _Mark | None = getattr(problem, "problem_mark", None)
    return mark.index if mark else 0
