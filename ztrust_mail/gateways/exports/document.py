"""Finds each realm's ``smtpServer`` in the text of an export, and replaces it in the style of the file.

The standard library's scanner finds the end of a value and drops the content, so that memory does not grow with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from ztrust_mail.core.data import JsonSyntaxError, JsonWalker
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.products.keycloak import SMTP_SERVER
from ztrust_mail.dialects.row import Attributes, Outgoing
from ztrust_mail.gateways.gateway import NEEDS_MAIL

_REALM = "realm"
_USERS = frozenset(("users", "federatedUsers"))
_ADAPTER = "auth-server-url"  # the configuration of a client also has the key realm
_WANTED = frozenset((_REALM, SMTP_SERVER, *NEEDS_MAIL))
_COLON = re.compile(r" *: *")


@dataclass(frozen=True)
class Member:
    """One member of an object: the offsets of the key, of its end, of the value and of the value's end.

    ``value`` is a text or a switch; an object is given by the number of its keys.
    """

    name: str
    key: int
    colon: int
    start: int
    end: int
    value: object = field(repr=False)


@dataclass(frozen=True)
class RealmText:
    """A realm in a text. ``start`` is the offset of its bracket, ``first`` its first member, ``last`` its last one.

    ``mail`` is the member with the e-mail settings, None if there is none; ``tokens`` holds the settings as they are
    written, in order. ``problem`` says why the settings are unusable.
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
        """The settings as text, regardless of their JSON type; null is not a setting."""
        return {name: _as_text(token) for name, token in self.tokens.items() if token != "null"}


@dataclass(frozen=True)
class ParsedExport:
    """The realms in a text. ``broken`` is the offset of a syntax error, None if there is none.

    ``torn`` holds the names of realms that could be read in part; ``users_only`` tells that the part before the
    error contains users and nothing else.
    """

    realms: tuple[RealmText, ...] = ()
    broken: int | None = None
    torn: tuple[str, ...] = ()
    users_only: bool = False


def _not_finite(text: str) -> NoReturn:
    raise ValueError(text)


_DECODER = json.JSONDecoder(object_pairs_hook=len, parse_int=str, parse_float=str, parse_constant=_not_finite)


def scan(text: str) -> ParsedExport:
    """Return the realms in a text: one realm, a list of realms, or anything else without realms."""
    return _Scan(text).scan()


def _members(walker: JsonWalker, seen: list[str]) -> Iterator[Member]:
    """Yield the members of the object at the walker's place; add each name to ``seen`` before its value is read."""
    for name, key, colon in walker.object_keys():
        seen.append(name)
        start = walker.pos
        value = walker.decode()
        yield Member(name, key, colon, start, walker.pos, value)


def _settings_of(text: str, mail: Member) -> tuple[Member, ...]:
    """Return the members of the object with the e-mail settings."""
    return tuple(_members(JsonWalker(text, _DECODER, mail.start), []))


class _Scan:
    def __init__(self, text: str) -> None:
        self._walker = JsonWalker(text, _DECODER, 1 if text.startswith("\ufeff") else 0)
        self._realms: list[RealmText] = []
        self._names: list[str] = []  # the keys of the realm at hand
        self._realm = ""

    def scan(self) -> ParsedExport:
        """Return the realms of the whole text."""
        walker = self._walker
        try:
            if walker.skip_space() == "[":
                for _ in walker.items("]"):
                    self._read_realm()
            else:
                self._read_realm()
            walker.finish()
        except JsonSyntaxError as e:
            torn = (self._realm,) if self._realm else ()
            whole = tuple(realm.realm for realm in self._realms)
            has_users_only = not whole and _is_users(self._names)
            return ParsedExport((), e.offset, tuple(dict.fromkeys((*whole, *torn))), has_users_only)
        return ParsedExport(tuple(self._realms))

    def _read_realm(self) -> None:
        """Read the value at this place and add it if it is a realm."""
        self._names, self._realm = [], ""
        if self._walker.skip_space() != "{":
            self._walker.decode()
            return
        start, members, first, last = self._walker.pos, dict[str, Member](), None, None
        for last in _members(self._walker, self._names):
            first = first or last
            if last.name in _WANTED:
                members[last.name] = last
            if last.name == _REALM and isinstance(last.value, str):
                self._realm = last.value
        if first is None or last is None or not self._realm or _ADAPTER in self._names or _is_users(self._names):
            return
        switches = tuple(name for name in NEEDS_MAIL if name in members and members[name].value is True)
        realm = RealmText(self._realm, start, first, last, members.get(SMTP_SERVER), needs_mail=switches)
        self._realms.append(self._with_settings(realm, [n for n in (_REALM, SMTP_SERVER) if self._names.count(n) > 1]))

    def _with_settings(self, realm: RealmText, twice: Sequence[str]) -> RealmText:
        if twice:
            return replace(realm, problem=f"{quoted(twice[0])} is defined twice in this realm")
        if realm.mail is None or self._walker.text.startswith("null", realm.mail.start):
            return realm
        if type(realm.mail.value) is not int:  # numbers are read as text
            return replace(realm, problem=f"{quoted(SMTP_SERVER)} is not a mapping")
        found = _settings_of(self._walker.text, realm.mail)
        tokens = {member.name: self._walker.text[member.start : member.end] for member in found}
        if len(tokens) < len(found):
            names = [member.name for member in found]
            double = next(name for name in names if names.count(name) > 1)
            return replace(realm, problem=f"{quoted(double)} is defined twice in {quoted(SMTP_SERVER)}")
        return replace(realm, tokens=tokens)


def _is_users(names: Collection[str]) -> bool:
    """Tell whether an object has the keys of a users file, which ``kc.sh export`` writes next to the realm's file."""
    return not _USERS.isdisjoint(names) and {*names} <= {_REALM, *_USERS}


def _as_text(token: str) -> str:
    return str(json.loads(token)) if token.startswith('"') else token


def with_settings(text: str, realm: RealmText, attributes: Outgoing, mask: str) -> str:
    """Return the text with a realm's e-mail settings replaced, and every other character unchanged.

    An unchanged setting keeps its place and its spelling, and so does a secret for which the mask is given.
    """
    style = _Style.of(text, realm)
    old, order = realm.attributes, dict.fromkeys([*realm.tokens, *attributes])
    members = [
        f"{_to_json(name)}{style.colon}{_token(attributes[name], old.get(name), realm.tokens.get(name), mask)}"
        for name in order
        if name in attributes
    ]
    value = f"{{{style.opening}{style.between.join(members)}{style.closing}}}" if members else "{}"
    if realm.mail:
        return text[: realm.mail.start] + value + text[realm.mail.end :]
    added = f"{style.next_key}{_to_json(SMTP_SERVER)}{style.colon}{value}"
    return text[: realm.last.end] + added + text[realm.last.end :]


def _token(value: str | Secret, old: str | None, token: str | None, mask: str) -> str:
    new = value.reveal() if isinstance(value, Secret) else value
    is_unchanged = new == old or (isinstance(value, Secret) and new == mask)
    return token if token is not None and is_unchanged else _to_json(new)


def _to_json(text: str) -> str:
    """Return a text as readable JSON, with invisible characters escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


@dataclass(frozen=True)
class _Style:
    """The white space of a file: around a colon, before a realm's next key, and within its e-mail settings."""

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
        if realm.mail and realm.tokens:
            inside = _settings_of(text, realm.mail)
            opening = text[realm.mail.start + 1 : inside[0].key]
            between = text[inside[0].end : inside[1].key] if inside[1:] else f",{opening}"
            between = between if inside[1:] or "\n" in opening else one_line
            return cls(colon, next_key, opening, between, text[inside[-1].end : realm.mail.end - 1])
        opening = lead + _step(text, realm.start, lead) if "\n" in lead else lead
        return cls(colon, next_key, opening, f",{opening}" if "\n" in lead else one_line, lead)


def _step(text: str, start: int, lead: str) -> str:
    """Return the white space that the file adds per level of indentation."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    own, inner = line[: len(line) - len(line.lstrip(" \t"))], lead.rpartition("\n")[2]
    return inner[len(own) :] if own and inner.startswith(own) else inner
