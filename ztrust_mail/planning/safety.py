"""Judges a plan before anything is written: refuses a dangerous one, and warns of moves to another domain."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ztrust_mail.core.errors import Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import did_you_mean, first_and_more, pluralise, quoted
from ztrust_mail.model.fields import HOST, SECURITY, SENDER_ADDRESS, FieldValue, Raw, Security
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import Plan, RealmPlan
from ztrust_mail.specfile.placeholders import insert_placeholders

MANY_REALMS = 10
"""With fewer existing realms nothing is a mass change: the user sees each of them in the plan."""
MASS_PERCENT = 30
ALL = "all"
POLICY = "policy"
"""The rule of a refusal that ``--allow`` does not override."""


class Reason(StrEnum):
    """Why a plan is refused unless ``--allow`` names the reason. ``WINDOW`` is about the server, not about the plan."""

    MASS_CHANGE = "mass-change"
    NEEDED_MAIL = "needed-mail"
    WEAKER_SECURITY = "weaker-security"
    LOST_SECRET = "lost-secret"
    WINDOW = "window"


@dataclass(frozen=True)
class Danger:
    """One reason why a plan is dangerous, with all affected realms. ``message`` is a clause without the realms."""

    reason: Reason
    message: str
    realms: tuple[str, ...]

    def __str__(self) -> str:
        """Return one readable line; a long list of realms is shortened."""
        return f"{self.message}: {first_and_more(self.realms)}"


def dangers(plan: Plan) -> tuple[Danger, ...]:
    """Return the dangers of a plan, whether they are allowed or not."""
    todo = plan.changed
    return (*_mass_changes(plan, todo), *_needed_mail(todo), *_weaker_security(todo), *_lost_secrets(plan, todo))


def refuse(plan: Plan, allowed: frozenset[Reason] = frozenset()) -> None:
    """Raise :class:`Unsafe` for a danger that is not allowed, and for a change that the policy forbids."""
    found = dangers(plan)
    refused = [danger for danger in found if danger.reason not in allowed]
    forbidden = [realm.realm for realm in plan.changed if realm.forbidden]
    if not refused and not forbidden:
        return
    whys, hints = [f"{danger} [{danger.reason}]" for danger in refused], []
    if forbidden:
        names = first_and_more(forbidden)
        whys.insert(0, f"the settings' policy forbids the changes to {names}, and --allow does not override it")
        hints.append("correct the spec, or have the policy changed")
    if refused:
        reasons = ",".join(dict.fromkeys(danger.reason for danger in found))
        hints.append(f"review the plan; if intended: --allow {reasons}")
    raise Unsafe(f"Refused: {'; '.join(whys)}", "; ".join(hints), POLICY if forbidden else "unsafe")


def parse_allow(texts: Iterable[str]) -> frozenset[Reason]:
    """Return the reasons in texts such as ``mass-change,lost-secret`` or ``all``.

    Raises :class:`UsageError` for a word that is neither.
    """
    known = (*Reason, ALL)
    words = [word.strip() for text in texts for word in text.split(",")]
    for word in words:
        if word not in known:
            reasons = f"known reasons: {', '.join(known)}"
            guess = did_you_mean(word, known)
            raise UsageError(f"unknown reason {quoted(word)} in --allow", f"{guess} {reasons}" if guess else reasons)
    return frozenset(Reason if ALL in words else map(Reason, words))


def _mass_changes(plan: Plan, todo: Sequence[RealmPlan]) -> Iterator[Danger]:
    managed = sum(realm.live is not None for realm in plan.realms) + plan.unnamed
    emptied = [realm for realm in todo if _is_emptied(realm)]
    changed = todo if len(emptied) < len(todo) else ()
    for effect, realms in (("change", changed), ("lose their e-mail settings", emptied)):
        if managed >= MANY_REALMS and len(realms) * 100 > managed * MASS_PERCENT:
            message = f"{len(realms):,} of {pluralise(managed, 'realm')} would {effect} (limit {MASS_PERCENT} %)"
            yield Danger(Reason.MASS_CHANGE, message, _names(realms))


def _needed_mail(todo: Sequence[RealmPlan]) -> Iterator[Danger]:
    by_switches: dict[tuple[str, ...], list[RealmPlan]] = {}
    for realm in todo:
        if realm.live and realm.live.needs_mail and _is_emptied(realm):
            by_switches.setdefault(realm.live.needs_mail, []).append(realm)
    for switches, realms in by_switches.items():
        on = f"{' and '.join(switches)} {'is' if len(switches) == 1 else 'are'} on"
        message = f"{pluralise(len(realms), 'realm')} would lose the e-mail settings while {on}"
        yield Danger(Reason.NEEDED_MAIL, message, _names(realms))


def _weaker_security(todo: Sequence[RealmPlan]) -> Iterator[Danger]:
    weakened = [realm for realm in todo if _is_weakened(realm)]
    if weakened:
        message = f"{pluralise(len(weakened), 'realm')} would send in clear text instead of with TLS or STARTTLS"
        yield Danger(Reason.WEAKER_SECURITY, message, _names(weakened))


def _lost_secrets(plan: Plan, todo: Sequence[RealmPlan]) -> Iterator[Danger]:
    if plan.secrets is SecretMode.KEEP:
        return
    lost = [realm for realm in todo if any(name in realm.unresolved for name in realm.difference.masked_fields)]
    if lost:
        message = f"{pluralise(len(lost), 'realm')} would lose a stored password that cannot be read back"
        message += ", and the reference for the new one cannot be resolved"
        yield Danger(Reason.LOST_SECRET, message, _names(lost))


def _is_emptied(realm: RealmPlan) -> bool:
    """Tell whether a realm that has a relay would have none."""
    has_relay = not realm.wanted.disabled and HOST in realm.wanted.fields
    return not has_relay and bool(_live_value(realm, HOST))


def _is_weakened(realm: RealmPlan) -> bool:
    then = {change.field: change.after for change in realm.changes}.get(SECURITY)
    return then is Security.NONE and _is_protected(_live_value(realm, SECURITY)) and bool(_live_value(realm, HOST))


def _is_protected(security: FieldValue | None) -> bool:
    """Tell whether connections are encrypted. ``Raw`` shows both switches; with both on, Keycloak uses TLS."""
    if isinstance(security, Raw):
        return "=true" in security.text
    return security in (Security.TLS, Security.STARTTLS)


def _live_value(realm: RealmPlan, name: str) -> FieldValue | None:
    """Return a field's value on the server: the value before its change or, without a change, the desired value."""
    before = {change.field: change.before for change in realm.changes}
    return before[name] if name in before else realm.wanted.fields.get(name)


def _names(realms: Iterable[RealmPlan]) -> tuple[str, ...]:
    return tuple(realm.realm for realm in realms)


SHOWN_MOVES = 5
"""The maximum number of moves with their own warning: with a From domain per realm, there are as many as realms."""

SHOWN_TARGETS = 10
"""How many targets of the other moves are named. A single realm that goes elsewhere than the others is suspicious."""

_REGISTRY = re.compile(r"[^.]{1,3}\.[^.]{2}")


@dataclass(frozen=True)
class _Side:
    """One end of a move: the exact name, and the domain that moves are grouped by."""

    name: str
    domain: str

    def generalise(self, realm: str) -> _Side:
        """Return the side with placeholders for the realm's name."""
        realm = realm.lower()
        return _Side(insert_placeholders(self.name, realm), insert_placeholders(self.domain, realm))


@dataclass(frozen=True)
class _Move:
    realm: str
    before: _Side
    after: _Side
    origin: Location | None

    @property
    def domains(self) -> tuple[str, str]:
        """The domains that moves are grouped by."""
        return self.before.domain, self.after.domain

    def generalise(self) -> _Move:
        """Return the move with placeholders for the realm's name."""
        return replace(self, before=self.before.generalise(self.realm), after=self.after.generalise(self.realm))


def notices(plan: Plan) -> tuple[Finding, ...]:
    """Return a warning for each distinct move of a relay or From domain. A first value and a removal are no moves."""
    return (*_notices(plan, _RELAY), *_notices(plan, _SENDER))


def _notices(plan: Plan, kind: _Kind) -> Iterator[Finding]:
    groups: dict[tuple[str, str], list[_Move]] = {}
    both = [(move, move.generalise()) for move in _moves(plan, kind)]
    exact = Counter(move.domains for move, _ in both)
    general = Counter(pattern.domains for _, pattern in both)
    for one, pattern in both:
        move = one if exact[one.domains] >= general[pattern.domains] else pattern
        groups.setdefault(move.domains, []).append(move)
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


_RELAY = _Kind(HOST, _relay, "relay-moves", "the relay", "check that mail and logins should go there")
_SENDER = _Kind(
    SENDER_ADDRESS,
    _sender,
    "sender-moves",
    "the From domain",
    "check that the SPF, DKIM and DMARC records of the new domain allow the relay",
)
