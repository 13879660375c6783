"""Moves of the relay or of the From address to another domain: no danger, but never to be overlooked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.model.fields import HOST, SENDER_ADDRESS
from ztrust_mail.planning.plan import Plan

SHOWN_MOVES = 5
"""Where every realm has a From domain of its own, there are as many moves as realms."""

SHOWN_TARGETS = 10
"""So many are named all the same: a single realm that goes elsewhere than the others is the one to look at."""

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
    """Return a warning per distinct move of relay and From domain. A first setting is no move, nor is a removal."""
    relays = _notices(plan, HOST, _relay, "relay-moves", "the relay moves", "mail and logins will go there")
    hint = "see that its SPF, DKIM and DMARC records allow the relay"
    senders = _notices(plan, SENDER_ADDRESS, _sender, "sender-moves", "the From domain moves", hint)
    return (*relays, *senders)


def _notices(
    plan: Plan, field: str, side: Callable[[str], _Side], rule: str, what: str, hint: str
) -> Iterator[Finding]:
    groups: dict[tuple[str, str], list[_Move]] = {}
    for move in _moves(plan, field, side):
        groups.setdefault((move.before.domain, move.after.domain), []).append(move)
    largest_first = sorted(groups.values(), key=len, reverse=True)
    for moves in largest_first[:SHOWN_MOVES]:
        before, after = _common([move.before for move in moves]), _common([move.after for move in moves])
        yield _notice(moves, field, rule, f"{what} from {before} to {after}", hint)
    if rest := largest_first[SHOWN_MOVES:]:
        moves = [move for group in rest for move in group]
        targets = first_and_more(list(dict.fromkeys(quoted(move.after.name) for move in moves)), SHOWN_TARGETS)
        yield _notice(moves, field, rule, f"{what} otherwise, to {targets},", hint)


def _notice(moves: Sequence[_Move], field: str, rule: str, what: str, hint: str) -> Finding:
    realms = [move.realm for move in moves]
    message = f"{what} in {pluralise(len(realms), 'realm')}: {first_and_more(realms)}"
    origins = {move.origin for move in moves}
    origin = origins.pop() if len(origins) == 1 else None
    return Finding(Severity.WARNING, rule, message, hint, origin, realms[0] if len(realms) == 1 else None, field)


def _moves(plan: Plan, field: str, side: Callable[[str], _Side]) -> Iterator[_Move]:
    for realm in plan.changed:
        for change in realm.changes:
            if change.field != field or not isinstance(change.before, str) or not isinstance(change.after, str):
                continue
            before, after = side(change.before.lower()), side(change.after.lower())
            if before.name and before.domain != after.domain:
                yield _Move(realm.realm, before, after, realm.wanted.origins.get(field))


def _common(sides: Sequence[_Side]) -> str:
    """Return the name that all have, or else their domain."""
    names = {side.name for side in sides}
    return quoted(names.pop() if len(names) == 1 else f"*.{sides[0].domain}")


def _sender(address: str) -> _Side:
    domain = address.rpartition("@")[2]
    return _Side(domain, domain)


def _relay(host: str) -> _Side:
    """Return a host with what follows its first label, where that can be a domain of somebody's own.

    What looks like a registry (co.uk, com.au) cannot; then the host itself is compared: better a notice too many.
    """
    host = host.removesuffix(".")
    rest = host.partition(".")[2]
    is_address = ":" in host or host.replace(".", "").isdigit()
    whole = is_address or "." not in rest or _REGISTRY.fullmatch(rest)
    return _Side(host, host if whole else rest)
