"""Decides which part of a source line a finding may show: nothing of a line that may hold a secret.

A line is shown only if each value on it belongs to a field that is known and not a part of a login. A password under a
misspelt key, in a URL, in a comment or at the end of a multi-line text is therefore not shown either.
"""

import re
from bisect import bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Excerpt, Finding
from ztrust_mail.core.text import closest_word
from ztrust_mail.model.fields import FIELDS, LOGIN, field_of, is_within
from ztrust_mail.model.values import may_hold_login
from ztrust_mail.specfile.readers.document import MAX_LINE, Parsed, Place, Pointer, SourceText

_SHOWN = 200  # characters on each side of the place
_Path: TypeAlias = tuple[str, ...] | None  # the known keys that lead to a value; None if it may be a secret
_ENTRY = ("entry",)
_TOP = ("version", "server", "defaults", "realms", "$schema")
_PUBLIC = (
    {
        (*_ENTRY, *row.path[: depth + 1])
        for row in FIELDS.values()
        if not is_within(row.name, LOGIN)
        for depth in range(len(row.path))
    }
    | {(key,) for key in _TOP}
    | {(*_ENTRY, "disabled"), (*_ENTRY, "expect"), (*_ENTRY, "expect", "min")}
)
_KNOWN = {path[:-1]: {other[-1] for other in _PUBLIC if other[:-1] == path[:-1]} for path in _PUBLIC}
_PUBLIC_KEYS = {path[-1] for path in _PUBLIC}
_SECRET_KEYS = ("auth", "password", "passphrase", "secret", "client_secret", "token", "credentials", "api_key")
_LOGIN_KEYS = ("username", "user", "login")  # some relays take a token as the user's name
_SECRETIVE = re.compile(r"(?i)pass|secret|token|credential|pwd|api.?key|\bauth\b[\"']?\s*:|://[^/\s]*@|%40")
_QUOTED = r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)')\s*:\s*"""
_PLAIN = r"""(?P<plain>[^\s"'{}\[\],:#]+) *:(?:\s+|$)"""
_VALUE = r"""[^\s{#]|\{(?!\s*(?:\}?\s*(?:#|$)|\}\s*[,}\]]|"[^"]*"\s*:|'[^']*'\s*:|[^"'{}\[\],]*:))"""  # no mapping
_PAIR = re.compile(rf"(?:^|(?<=[\s{{,\[]))(?:{_QUOTED}|{_PLAIN})(?P<value>{_VALUE})?")
_STARTS_WITH_KEY = re.compile(rf"[\s{{]*(?:-\s+)?(?:{_QUOTED}|{_PLAIN})")
_TOKEN = re.compile(r"""["'](?:[^"'\\]|\\.)*["']?|[{}\[\],:\t]|[^\s{}\[\],]+""")
_PLACEHOLDER = re.compile(r"\{[a-z][a-z0-9_.]*\} *")
_REST_OF_VALUE = re.compile(r"(?:\{[^{}]*\}|[^{}\[\],#])+")
_LONGEST_ADVICE = 100


def attach_excerpts(findings: Iterable[Finding], source: SourceText, parsed: Parsed) -> list[Finding]:
    """Return the findings of a file that was read, with an excerpt if the line contains no secret."""
    findings = list(findings)
    placed = {found.location for found in findings if found.location and found.location.line}
    offsets = {where: source.offset(where) for where in placed if where.path == source.path}
    shown = {where: offset for where, offset in offsets.items() if _is_public_line(source.line_at(offset))}
    marks: dict[int, bool] = {}
    if shown:
        _mark(*parsed, (), marks, set(offsets.values()))
    starts = [*sorted(marks), len(source.text)]
    excerpts = {
        at: _cut(source, offset) for at, offset in shown.items() if not _is_hidden(source, offset, starts, marks)
    }
    return [
        replace(found, excerpt=excerpts[found.location]) if found.location in excerpts else found for found in findings
    ]


def syntax_excerpt(source: SourceText, offset: int) -> Excerpt | None:
    """Return the excerpt for a place where a file cannot be read any further, None if the line may hold a secret.

    The text before the line must be complete: no bracket or quote may be open.
    """
    line = source.line_at(offset)
    if not _STARTS_WITH_KEY.match(line) or not _is_public_line(line):
        return None
    indent = MAX_LINE  # the line right above counts, too: this one may be the rest of a text that it starts
    for above in reversed(source.text[: source.line_start(offset)].splitlines()[-1000:]):
        if above.strip() and not above.lstrip().startswith("#") and _indent_of(above) < indent:
            if not _is_public_line(above):
                return None
            indent = _indent_of(above)
    return _cut(source, offset)


def find_placeholder(source: SourceText, mark: int) -> int:
    """Return the offset of an unquoted placeholder at which, or right after which, the parser stopped, else -1."""
    line, at = source.line_at(mark), mark - source.line_start(mark)
    found = next((one for one in _PLACEHOLDER.finditer(line) if at in (one.start(), one.end())), None)
    return source.line_start(mark) + found.start() if found else -1


def advise_quotes(excerpt: Excerpt | None) -> str:
    """Return the value with an unquoted placeholder as it should be written, if it may be shown."""
    if excerpt:
        before = re.split(r"[,\[{]|:\s", excerpt.before)[-1].lstrip()
        found = _REST_OF_VALUE.match(excerpt.marked + excerpt.after)
        value = before + (found[0].rstrip() if found else "")
        if len(value) <= _LONGEST_ADVICE and not set(value) & set('"\\'):
            return f'write "{value}"'
    return "put the whole value in double quotes"


def is_public(pointer: Pointer) -> bool:
    """Tell whether a value at this place cannot be a secret."""
    path: _Path = ()
    for key in pointer:
        path = _enter(path, key)
    return path is not None


def _enter(path: _Path, key: str | int, *, guess: bool = True) -> _Path:
    """Return the path of a value inside another; with ``guess``, a misspelt key counts as the known one."""
    if path is None or isinstance(key, int):
        return path
    if path == ("realms",):
        return _ENTRY
    known = _KNOWN.get(path, ())
    if key in known:
        return _ENTRY if (*path, key) == ("defaults",) else (*path, key)
    if not guess or closest_word(key, _SECRET_KEYS) or (name := closest_word(key, [*known, *_LOGIN_KEYS])) not in known:
        return None
    return _enter(path, name)


def _is_hidden(source: SourceText, offset: int, starts: Sequence[int], marks: Mapping[int, bool]) -> bool:
    """Tell whether any part of the line of an offset belongs to a value that may be a secret."""
    line = source.line_start(offset)
    end = line + len(source.line_at(offset))
    for n in range(max(bisect_right(starts, line) - 1, 0), len(starts) - 1):
        if starts[n] > end:
            return False
        if marks[starts[n]] and source.text[max(starts[n], line) : min(starts[n + 1], end)].strip():
            return True
    return False


def _mark(value: JsonValue, place: Place, path: _Path, marks: dict[int, bool], reported: Container[int]) -> None:
    """Record for each key and value, at its offset, whether it may be a secret.

    ``reported`` has the offsets of findings: only there a key may be misspelt.
    """
    key_at, at, inside = place
    hidden = path is None or (isinstance(value, str) and may_hold_login(field_of(".".join(path[1:])).kind, value))
    marks[key_at] = marks.get(key_at, False) or path is None
    marks[at] = marks.get(at, False) or hidden
    if isinstance(value, dict) and isinstance(inside, dict):
        # {realm} without quotes, in place of a text, is a mapping with a key and no value
        is_placeholder = path not in _KNOWN and list(value.values()) == [None]
        for key, child in value.items():
            inner = path if is_placeholder else _enter(path, key, guess=inside[key][0] in reported)
            _mark(child, inside[key], inner, marks, reported)
    elif isinstance(value, list) and isinstance(inside, list):
        for child, its_place in zip(value, inside, strict=True):
            _mark(child, its_place, path, marks, reported)


def _is_public_line(line: str) -> bool:
    """Tell whether a line mentions no secret, and no key with a value that is not a public field's."""
    if len(line) >= MAX_LINE or _SECRETIVE.search(line):
        return False
    pairs = (found for found in _PAIR.finditer(line) if found["value"])
    return all(_is_public_key(found["double"] or found["single"] or found["plain"] or "") for found in pairs)


def _is_public_key(key: str) -> bool:
    if key in _PUBLIC_KEYS or closest_word(key, _SECRET_KEYS):
        return key in _PUBLIC_KEYS
    return closest_word(key, [*_PUBLIC_KEYS, *_LOGIN_KEYS]) in _PUBLIC_KEYS


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def _cut(source: SourceText, offset: int) -> Excerpt | None:
    """Return the line around an offset without its comment, shortened on both sides."""
    line, at = source.line_at(offset), offset - source.line_start(offset)
    found = _TOKEN.match(line, at)
    marked = found[0].rstrip(":") or found[0] if found else ""
    before, after = line[:at], re.split(r"\s#", line[at + len(marked) :], maxsplit=1)[0].rstrip()
    if before.lstrip().startswith("#") or marked.startswith("#"):
        return None
    return Excerpt(
        before if len(before) <= _SHOWN else f"…{before[-_SHOWN:]}",
        marked if len(marked) <= _SHOWN else f"{marked[:_SHOWN]}…",
        after if len(after) <= _SHOWN else f"{after[:_SHOWN]}…",
    )
