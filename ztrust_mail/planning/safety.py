"""Judges a plan's own danger before anything is written, and names what must not be overlooked in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ztrust_mail.core.errors import Unsafe, UsageError
from ztrust_mail.core.text import did_you_mean, first_and_more, pluralise, quoted
from ztrust_mail.model.fields import HOST, SECURITY, FieldValue, Raw, Security
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.notices import notices
from ztrust_mail.planning.plan import Plan, RealmPlan

__all__ = ["ALL", "Danger", "Reason", "dangers", "notices", "parse_allow", "refuse"]

MANY_REALMS = 10
"""With fewer realms that are there nothing is a mass change: people see each of them."""
MASS_PERCENT = 30
ALL = "all"


class Reason(StrEnum):
    """Why a plan is refused until somebody allows just that."""

    MASS_CHANGE = "mass-change"
    NEEDED_MAIL = "needed-mail"
    WEAKER_SECURITY = "weaker-security"
    LOST_SECRET = "lost-secret"


@dataclass(frozen=True)
class Danger:
    """One thing that makes a plan dangerous, with all the realms it is about."""

    reason: Reason
    message: str
    realms: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line for people; a long list of realms is cut."""
        return f"{self.message}: {first_and_more(self.realms)}"


def dangers(plan: Plan) -> tuple[Danger, ...]:
    """Return what is dangerous about a plan, whoever may have allowed it."""
    todo = plan.changed
    return (*_mass_changes(plan, todo), *_needed_mail(todo), *_weaker_security(todo), *_lost_secrets(plan, todo))


def refuse(plan: Plan, allowed: frozenset[Reason] = frozenset()) -> None:
    """Raise :class:`Unsafe` for a danger that is not allowed, and for what the policy forbids, which nothing allows."""
    found = dangers(plan)
    refused = [danger for danger in found if danger.reason not in allowed]
    forbidden = [realm.realm for realm in plan.changed if realm.forbidden]
    if not refused and not forbidden:
        return
    whys, hints = [f"it {danger} [{danger.reason}]" for danger in refused], []
    if forbidden:
        whys.insert(
            0,
            "the settings' policy, which --allow does not override, "
            f"forbids what is wanted of {first_and_more(forbidden)}",
        )
        hints.append("correct the spec, or have the policy changed")
    if refused:
        reasons = ",".join(dict.fromkeys(danger.reason for danger in found))
        hints.append(f"look at the plan; if it is meant: --allow {reasons}")
    raise Unsafe(f"the plan is refused: {'; '.join(whys)}", "; ".join(hints), "policy" if forbidden else "unsafe")


def parse_allow(texts: Iterable[str]) -> frozenset[Reason]:
    """Return the reasons in texts such as ``mass-change,lost-secret`` or ``all``.

    Raises :class:`UsageError` for a word that is neither.
    """
    known = (*Reason, ALL)
    words = [word.strip() for text in texts for word in text.split(",")]
    for word in words:
        if word not in known:
            listed = f"known are {', '.join(known)}"
            guess = did_you_mean(word, known)
            raise UsageError(f"--allow {quoted(word)} is no reason", f"{guess} {listed}" if guess else listed)
    return frozenset(Reason if ALL in words else map(Reason, words))


def _mass_changes(plan: Plan, todo: Sequence[RealmPlan]) -> Iterator[Danger]:
    managed = sum(realm.live is not None for realm in plan.realms) + plan.unnamed
    emptied = [realm for realm in todo if _is_emptied(realm)]
    changed = todo if len(emptied) < len(todo) else ()
    for verb, realms in (("changes", changed), ("empties", emptied)):
        if managed >= MANY_REALMS and len(realms) * 100 > managed * MASS_PERCENT:
            yield Danger(Reason.MASS_CHANGE, f"{verb} {len(realms):,} of {pluralise(managed, 'realm')}", _names(realms))


def _needed_mail(todo: Sequence[RealmPlan]) -> Iterator[Danger]:
    by_switches: dict[tuple[str, ...], list[RealmPlan]] = {}
    for realm in todo:
        if realm.live and realm.live.needs_mail and _is_emptied(realm):
            by_switches.setdefault(realm.live.needs_mail, []).append(realm)
    for switches, realms in by_switches.items():
        on = f"{' and '.join(switches)} {'is' if len(switches) == 1 else 'are'} on"
        message = f"takes the e-mail from {pluralise(len(realms), 'realm')} where {on}"
        yield Danger(Reason.NEEDED_MAIL, message, _names(realms))


def _weaker_security(todo: Sequence[RealmPlan]) -> Iterator[Danger]:
    weakened = [realm for realm in todo if _is_weakened(realm)]
    if weakened:
        message = f"lets {pluralise(len(weakened), 'realm')} send in clear, with TLS or STARTTLS so far"
        yield Danger(Reason.WEAKER_SECURITY, message, _names(weakened))


def _lost_secrets(plan: Plan, todo: Sequence[RealmPlan]) -> Iterator[Danger]:
    if plan.secrets is SecretMode.KEEP:
        return
    lost = [realm for realm in todo if any(name in realm.unresolved for name in realm.difference.masked_fields)]
    if lost:
        message = f"overwrites a password that cannot be read back in {pluralise(len(lost), 'realm')}"
        message += ", though its reference cannot be resolved"
        yield Danger(Reason.LOST_SECRET, message, _names(lost))


def _is_emptied(realm: RealmPlan) -> bool:
    """Whether a realm that has a relay is to have none."""
    stays = not realm.wanted.disabled and HOST in realm.wanted.fields
    return not stays and bool(_live(realm, HOST))


def _is_weakened(realm: RealmPlan) -> bool:
    then = {change.field: change.after for change in realm.changes}.get(SECURITY)
    return then is Security.NONE and _is_protected(_live(realm, SECURITY)) and bool(_live(realm, HOST))


def _is_protected(security: FieldValue | None) -> bool:
    """Whether connections are, or are meant to be, encrypted; with both switches on it is TLS."""
    if isinstance(security, Raw):
        return "=true" in security.text
    return security in (Security.TLS, Security.STARTTLS)


def _live(realm: RealmPlan, name: str) -> FieldValue | None:
    """Return what the server holds of a field: what a change takes away, or else what is wanted."""
    before = {change.field: change.before for change in realm.changes}
    return before[name] if name in before else realm.wanted.fields.get(name)


def _names(realms: Iterable[RealmPlan]) -> tuple[str, ...]:
    return tuple(realm.realm for realm in realms)
