"""A file of realms as text: where each realm's ``smtpServer`` stands, and how it is written anew in the file's style.

A value's end is found by the standard library's scanner, which drops what it reads, so that memory does not grow with
the content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.products.keycloak import SMTP_SERVER
from ztrust_mail.dialects.row import Attributes, Outgoing
from ztrust_mail.gateways.gateway import NEEDS_MAIL

_REALM = "realm"
_USERS = frozenset(("users", "federatedUsers"))
_ADAPTER = "auth-server-url"  # a client's own configuration names its realm, too
_LOOKED_AT = frozenset((_REALM, SMTP_SERVER, *NEEDS_MAIL))
_SPACE = re.compile(r"[ \t\r\n]*")
_COLON = re.compile(r" *: *")


@dataclass(frozen=True)
class Member:
    """One key of an object: offsets of the key, of the colon's place behind it, of the value and of its end.

    ``value`` is the text or the switch that stands there; an object is the number of its keys.
    """

    name: str
    key: int
    colon: int
    start: int
    end: int
    value: object = field(repr=False)


@dataclass(frozen=True)
class RealmText:
    """A realm in a text. ``start`` is the offset of its bracket, ``first`` its first key, ``last`` its last one.

    ``mail`` is the key with the e-mail settings, None where there is none; ``tokens`` are the settings as they are
    written there, in order. ``problem`` says why they cannot be used.
    """

    realm: str
    start: int
    first: Member
    last: Member
    mail: Member | None = None
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    needs_mail: tuple[str, ...] = ()
    problem: str = ""

    @property
    def attributes(self) -> Attributes:
        """The settings as text, whatever type they are written in; null is no setting."""
        return {name: _as_text(token) for name, token in self.tokens.items() if token != "null"}


@dataclass(frozen=True)
class ParsedExport:
    """What a text holds. ``broken`` is the offset from which on it cannot be read, None where all can be.

    ``torn`` are the names of realms of which only a part was seen; ``users_only`` tells that the part that was seen
    holds people and nothing else.
    """

    realms: tuple[RealmText, ...] = ()
    broken: int | None = None
    torn: tuple[str, ...] = ()
    users_only: bool = False


class _Broken(Exception):
    def __init__(self, offset: int) -> None:
        self.offset = offset


def _not_finite(text: str) -> NoReturn:
    raise ValueError(text)


_DECODER = json.JSONDecoder(object_pairs_hook=len, parse_int=str, parse_float=str, parse_constant=_not_finite)


def scan(text: str) -> ParsedExport:
    """Return the realms in a text, which is one realm, a list of them, or something else without any."""
    return _Scan(text).scanned()


class _Walker:
    def __init__(self, text: str, pos: int) -> None:
        self.text = text
        self.pos = pos
        self.skip()

    def skip(self) -> str:
        """Move behind white space and return what stands there."""
        found = _SPACE.match(self.text, self.pos)
        self.pos = found.end() if found else self.pos
        return self.text[self.pos : self.pos + 1]

    def value(self) -> object:
        """Return the value that stands here and move behind it."""
        try:
            value, self.pos = _DECODER.raw_decode(self.text, self.pos)
        except json.JSONDecodeError as e:
            raise _Broken(e.pos) from None
        except (ValueError, RecursionError):
            raise _Broken(self.pos) from None
        return value

    def items(self, end: str) -> Iterator[int]:
        """Yield the offset of each item of the object or list that stands here; the caller moves behind each."""
        self.pos += 1
        if self.skip() == end:
            self.pos += 1
            return
        while True:
            yield self.pos
            here = self.skip()
            if here not in (",", end):
                raise _Broken(self.pos)
            self.pos += 1
            if here == end:
                return
            self.skip()

    def members(self, seen: list[str]) -> Iterator[Member]:
        """Yield the members of the object that stands here; ``seen`` gets each name before its value is read."""
        for key in self.items("}"):
            if not self.text.startswith('"', key):
                raise _Broken(key)
            name, colon = str(self.value()), self.pos
            if self.skip() != ":":
                raise _Broken(self.pos)
            seen.append(name)
            self.pos += 1
            self.skip()
            start = self.pos
            value = self.value()
            yield Member(name, key, colon, start, self.pos, value)


class _Scan:
    def __init__(self, text: str) -> None:
        self._walker = _Walker(text, 1 if text.startswith("\ufeff") else 0)
        self._realms: list[RealmText] = []
        self._seen: list[str] = []
        self._name = ""

    def scanned(self) -> ParsedExport:
        """Return what the whole text holds."""
        walker = self._walker
        try:
            if walker.skip() == "[":
                for _ in walker.items("]"):
                    self._one()
            else:
                self._one()
            if walker.skip():
                raise _Broken(walker.pos)
        except _Broken as e:
            torn = (self._name,) if self._name else ()
            whole = tuple(realm.realm for realm in self._realms)
            return ParsedExport(
                (), e.offset, tuple(dict.fromkeys((*whole, *torn))), not whole and _is_users(self._seen)
            )
        return ParsedExport(tuple(self._realms))

    def _one(self) -> None:
        """Take note of the realm that stands here, if it is one."""
        self._seen, self._name = [], ""
        if self._walker.skip() != "{":
            self._walker.value()
            return
        start, members, first, last = self._walker.pos, dict[str, Member](), None, None
        for last in self._walker.members(self._seen):
            first = first or last
            if last.name in _LOOKED_AT:
                members[last.name] = last
            if last.name == _REALM and isinstance(last.value, str):
                self._name = last.value
        if first is None or last is None or not self._name or _ADAPTER in self._seen or _is_users(self._seen):
            return
        switches = tuple(name for name in NEEDS_MAIL if name in members and members[name].value is True)
        realm = RealmText(self._name, start, first, last, members.get(SMTP_SERVER), needs_mail=switches)
        self._realms.append(self._with_settings(realm, [n for n in (_REALM, SMTP_SERVER) if self._seen.count(n) > 1]))

    def _with_settings(self, realm: RealmText, twice: Sequence[str]) -> RealmText:
        if twice:
            return replace(realm, problem=f"{quoted(twice[0])} stands twice in this realm")
        if realm.mail is None or self._walker.text.startswith("null", realm.mail.start):
            return realm
        if type(realm.mail.value) is not int:  # numbers are read as text
            return replace(realm, problem=f"{quoted(SMTP_SERVER)} is no mapping of attributes")
        found = tuple(_Walker(self._walker.text, realm.mail.start).members([]))
        tokens = {member.name: self._walker.text[member.start : member.end] for member in found}
        if len(tokens) < len(found):
            names = [member.name for member in found]
            double = next(name for name in names if names.count(name) > 1)
            return replace(realm, problem=f"{quoted(double)} stands twice in {quoted(SMTP_SERVER)}")
        return replace(realm, tokens=tokens)


def _is_users(names: Collection[str]) -> bool:
    """Tell whether an object is a file of people as ``kc.sh export`` writes them beside a realm's own."""
    return not _USERS.isdisjoint(names) and {*names} <= {_REALM, *_USERS}


def _as_text(token: str) -> str:
    return str(json.loads(token)) if token.startswith('"') else token


def with_settings(text: str, realm: RealmText, attributes: Outgoing, mask: str) -> str:
    """Return the text with a realm's e-mail settings replaced, every other character as it was.

    What stays the same keeps its place and its spelling, and so does a secret for which the mask is given.
    """
    style = _Style.of(text, realm)
    old, order = realm.attributes, dict.fromkeys([*realm.tokens, *attributes])
    written = [
        f"{_written(name)}{style.colon}{_token(attributes[name], old.get(name), realm.tokens.get(name), mask)}"
        for name in order
        if name in attributes
    ]
    value = f"{{{style.opening}{style.between.join(written)}{style.closing}}}" if written else "{}"
    if realm.mail:
        return text[: realm.mail.start] + value + text[realm.mail.end :]
    added = f"{style.next_key}{_written(SMTP_SERVER)}{style.colon}{value}"
    return text[: realm.last.end] + added + text[realm.last.end :]


def _token(value: str | Secret, old: str | None, token: str | None, mask: str) -> str:
    new = value.reveal() if isinstance(value, Secret) else value
    kept = new == old or (isinstance(value, Secret) and new == mask)
    return token if token is not None and kept else _written(new)


def _written(text: str) -> str:
    """Return a text as JSON, as people read it; what cannot be seen or encoded is escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


@dataclass(frozen=True)
class _Style:
    """How a file puts white space: round a colon, before a realm's next key, and within its e-mail settings."""

    colon: str
    next_key: str
    opening: str
    between: str
    closing: str

    @classmethod
    def of(cls, text: str, realm: RealmText) -> _Style:
        lead = text[realm.start + 1 : realm.first.key]
        between_signs = text[realm.first.colon : realm.first.start]
        colon = between_signs if _COLON.fullmatch(between_signs) else ": "
        one_line = "," + colon.partition(":")[2]
        next_key = f",{lead}" if "\n" in lead else one_line
        inside = tuple(_Walker(text, realm.mail.start).members([])) if realm.mail and realm.tokens else ()
        if inside and realm.mail:
            opening = text[realm.mail.start + 1 : inside[0].key]
            between = text[inside[0].end : inside[1].key] if inside[1:] else f",{opening}"
            between = between if inside[1:] or "\n" in opening else one_line
            return cls(colon, next_key, opening, between, text[inside[-1].end : realm.mail.end - 1])
        opening = lead + _step(text, realm.start, lead) if "\n" in lead else lead
        return cls(colon, next_key, opening, f",{opening}" if "\n" in lead else one_line, lead)


def _step(text: str, start: int, lead: str) -> str:
    """Return by how much the file indents one level more."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    own, inner = line[: len(line) - len(line.lstrip(" \t"))], lead.rpartition("\n")[2]
    return inner[len(own) :] if own and inner.startswith(own) else inner
