"""Warns of a relay or From address that moves to another domain. Such a plan is not refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.model.fields import HOST, SENDER_ADDRESS
from ztrust_mail.planning.plan import Plan

SHOWN_MOVES = 5
"""How many moves get a warning of their own; the largest first. Where each realm has its own From domain, there are as
many moves as realms."""

SHOWN_TARGETS = 10
"""How many targets of the other moves are named. A single realm that goes elsewhere than the others is suspicious."""

_REGISTRY = re.compile(r"[^.]{1,3}\.[^.]{2}")


@dataclass(frozen=True)
class _Side:
    """One end of a move: the exact name, and the domain that moves are grouped by."""

    name: str
    domain: str


@dataclass(frozen=True)
class _Move:
    realm: str
    before: _Side
    after: _Side
    origin: Location | None


def notices(plan: Plan) -> tuple[Finding, ...]:
    """Return a warning for each distinct move of a relay or From domain. A first value and a removal are no moves."""
    return (*_notices(plan, _RELAY), *_notices(plan, _SENDER))


def _notices(plan: Plan, kind: _Kind) -> Iterator[Finding]:
    groups: dict[tuple[str, str], list[_Move]] = {}
    for move in _moves(plan, kind):
        groups.setdefault((move.before.domain, move.after.domain), []).append(move)
    largest_first = sorted(groups.values(), key=len, reverse=True)
    for moves in largest_first[:SHOWN_MOVES]:
        before, after = _common_name([move.before for move in moves]), _common_name([move.after for move in moves])
        realms = [move.realm for move in moves]
        where = f"{pluralise(len(realms), 'realm')}: {first_and_more(realms)}"
        yield _notice(moves, kind, f"{kind.title} moves from {before} to {after} in {where}")
    if rest := largest_first[SHOWN_MOVES:]:
        moves = [move for group in rest for move in group]
        targets = first_and_more(list(dict.fromkeys(quoted(move.after.name) for move in moves)), SHOWN_TARGETS)
        realms = [move.realm for move in moves]
        where = f"{pluralise(len(realms), 'more realm')} ({first_and_more(realms)})"
        yield _notice(moves, kind, f"{kind.title} moves in {where}: to {targets}")


def _notice(moves: Sequence[_Move], kind: _Kind, message: str) -> Finding:
    origins = {move.origin for move in moves}
    origin = origins.pop() if len(origins) == 1 else None
    realm = moves[0].realm if len(moves) == 1 else None
    return Finding(Severity.WARNING, kind.rule, message, kind.hint, origin, realm, kind.field)


def _moves(plan: Plan, kind: _Kind) -> Iterator[_Move]:
    for realm in plan.changed:
        for change in realm.changes:
            if change.field != kind.field or not isinstance(change.before, str) or not isinstance(change.after, str):
                continue
            before, after = kind.side(change.before.lower()), kind.side(change.after.lower())
            if before.name and before.domain != after.domain:
                yield _Move(realm.realm, before, after, realm.wanted.origins.get(kind.field))


def _common_name(sides: Sequence[_Side]) -> str:
    """Return the name if all sides have the same, else their domain as a pattern."""
    names = {side.name for side in sides}
    return quoted(names.pop() if len(names) == 1 else f"*.{sides[0].domain}")


def _sender(address: str) -> _Side:
    domain = address.rpartition("@")[2]
    return _Side(domain, domain)


def _relay(host: str) -> _Side:
    """Return a host with the domain after its first label, if somebody can own that domain.

    A public suffix (co.uk, com.au) cannot be owned. Then the whole host is compared: rather one warning too many.
    """
    host = host.removesuffix(".")
    rest = host.partition(".")[2]
    is_address = ":" in host or host.replace(".", "").isdigit()
    whole = is_address or "." not in rest or _REGISTRY.fullmatch(rest)
    return _Side(host, host if whole else rest)


@dataclass(frozen=True)
class _Kind:
    """A field whose moves are reported; ``side`` turns its value into one end of a move."""

    field: str
    side: Callable[[str], _Side]
    rule: str
    title: str
    hint: str


_RELAY = _Kind(HOST, _relay, "relay-moves", "the relay", "check that mail and logins are meant to go there")
_SENDER = _Kind(
    SENDER_ADDRESS,
    _sender,
    "sender-moves",
    "the From domain",
    "check that the SPF, DKIM and DMARC records of the new domain allow the relay",
)
