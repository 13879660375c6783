"""Plans, and what became of them, as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Finding
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import first_and_more, pluralise, printable
from ztrust_mail.journal.records import OF_SAVED_PLAN
from ztrust_mail.model.serialize import display_short, display_value
from ztrust_mail.planning.compare import Action, Change, SecretMode, SecretState
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.planners.rotate import NOT_LOOKED, NOT_ROTATED, OLD_SECRET, UNKNOWN_SECRET
from ztrust_mail.planning.safety import Danger
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.reports.text.findings import finding_line

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import RealmOutcome, Result

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import RealmOutcome

STATUS: Mapping[Status, Span] = {
    Status.IN_SYNC: Span("in sync", "green"),
    Status.CHANGED: Span("to change", "yellow"),
    Status.APPLIED: Span("applied", "green"),
    Status.FAILED: Span("failed", "bold red"),
    Status.MISSING: Span("missing", "bold red"),
    Status.UNREADABLE: Span("unreadable", "bold red"),
    Status.SKIPPED: Span("skipped", "yellow"),
}
_FIRST = (Status.CHANGED, Status.APPLIED)
_ORDER = (*_FIRST, *(status for status in Status if status not in _FIRST))


def _count(realms: Sequence[RealmPlan | RealmOutcome]) -> str:
    """Return ``2 realms to change, 1 in sync``."""
    numbers = Counter(realm.status for realm in realms)
    first, *others = [status for status in _ORDER if numbers[status]] or [Status.IN_SYNC]
    parts = [f"{numbers[status]:,} {STATUS[status].text}" for status in others]
    return ", ".join([f"{pluralise(numbers[first], 'realm')} {STATUS[first].text}", *parts])


def status_counts(made: Plan, realms: Sequence[RealmPlan | RealmOutcome]) -> str:
    """Return the number of realms in each status.

    Where the product shows no settings, realms are not in sync but as last applied.
    """
    said = _count(realms)
    return said.replace(STATUS[Status.IN_SYNC].text, "as last applied") if made.unseen else said


def unread_note(made: Plan) -> Iterator[Line]:
    """Yield a line that says why the server's settings were not read, if they were not."""
    if made.unseen:
        yield line(Span(f"{made.unseen[0].upper()}{made.unseen[1:]}.", "yellow"))


def masked_secrets(made: Plan) -> str:
    """Return how many masked secrets of unchanged realms are known to be unchanged, and how many are unknown."""
    states = [
        realm.secrets.get(name, SecretState.UNKNOWN)
        for realm in made.realms
        if not realm.changes
        for name in realm.difference.masked_fields
    ]
    same = states.count(SecretState.UNCHANGED)
    values = "value" if same == 1 else "values"
    unchanged = f"{pluralise(same, 'password')} unchanged since the last apply (the server hides the stored {values})"
    parts = [unchanged] if same else []
    if other := len(states) - same:
        parts.append(f"{pluralise(other, 'password')} cannot be compared")
    return f"{', '.join(parts)}." if parts else ""


def in_sync_line(made: Plan) -> Line:
    """Return the line of a plan without changes."""
    hidden = masked_secrets(made)
    return line(status_counts(made, made.realms), f"; {hidden}" if hidden else ".")


_SIGNS = {Action.ADD: Span("+", "green"), Action.CHANGE: Span("~", "yellow"), Action.REMOVE: Span("-", "red")}


def heading_lines(plan: Plan) -> Iterator[Line]:
    """Yield the server and the account, then how many realms each glob matched."""
    yield line(plan.url, f"  as {plan.account}")
    for glob in plan.globs:
        yield line(f"{glob.entry.name} matches {pluralise(glob.count, 'realm')}")


def plan_lines(made: Plan) -> Iterator[Line]:
    """Yield what an apply would do, realm by realm; a single line when nothing differs."""
    for realm in made.realms:
        yield from _realm(realm, made.secrets)
    if made.changed:
        yield line(Span("Plan: ", "bold"), status_counts(made, made.realms), ".")
        yield line(_fields(made.realms))
        if hidden := masked_secrets(made):
            yield line(hidden)
    else:
        yield in_sync_line(made)
    yield from unread_note(made)


def _realm(realm: RealmPlan, secrets: SecretMode) -> Iterator[Line]:
    if realm.status is Status.IN_SYNC:
        return
    yield line(Span(realm.realm, "bold"), "  ", STATUS[realm.status])
    width = max((len(change.field) for change in realm.changes), default=0)
    for change in realm.changes:
        yield _change(change, width)
    for name in realm.difference.masked_fields if realm.changes else ():
        if name not in {change.field for change in realm.changes}:
            verb = "kept as stored" if secrets is SecretMode.KEEP else "also written"
            unchanged = realm.secrets.get(name) is SecretState.UNCHANGED and secrets is not SecretMode.KEEP
            same = ", unchanged since the last apply" if unchanged else ""
            yield from _wrap(f"{verb}: {name} {display_value(realm.wanted.fields[name])}{same}", "dim")
    yield from _lost_secrets(realm)
    if realm.changes and realm.difference.unmanaged:
        yield from _wrap(f"unmanaged, preserved: {', '.join(realm.difference.unmanaged)}", "dim")
    if realm.changes and realm.wanted.disabled:
        yield line(Span("    the realm will have no e-mail settings at all", "dim"))
    yield line()


def _lost_secrets(realm: RealmPlan) -> Iterator[Line]:
    """Yield a warning for each stored secret that the plan removes or overwrites, since it cannot be read back."""
    removed = {change.field for change in realm.changes if change.action is Action.REMOVE}
    for name, source in realm.losses.items():
        verb = "removes" if name in removed else "overwrites"
        where = f"; it last came from {source}" if source else ""
        yield from _wrap(f"this {verb} a password that cannot be read back: {name}{where}")


def _wrap(text: str, style: str = "yellow") -> Iterator[Line]:
    """Yield a remark in lines of 80 columns; long words are not broken."""
    broken = wrap(printable(text), 76, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return (line(Span(f"    {one}", style)) for one in broken)


def _change(change: Change, width: int) -> Line:
    name = f"  {change.field:<{width}}  "
    before, after = Span(display_short(change.before), "red"), Span(display_short(change.after), "green")
    label = f"  ({change.label})" if change.label else ""
    values: tuple[str | Span, ...] = (before, " → ", after)
    if change.action is Action.ADD:
        values = (after,)
    elif change.action is Action.REMOVE:
        values = (before,)
    return line("  ", _SIGNS[change.action], name, *values, Span(label, "dim"))


def _fields(realms: Sequence[RealmPlan]) -> str:
    numbers = Counter(change.action for realm in realms for change in realm.changes)
    words = {Action.ADD: "to add", Action.CHANGE: "to change", Action.REMOVE: "to remove"}
    parts = [f"{numbers[action]:,} {words[action]}" for action in Action if numbers[action]]
    return f"      {pluralise(sum(numbers.values()), 'field')}: {', '.join(parts)}."


def danger_lines(found: Iterable[Danger]) -> Iterator[Line]:
    """Yield a line per danger; a long list of realms is cut."""
    return (line(Span("Dangerous: ", "bold red"), f"{danger} ", Span(f"[{danger.reason}]", "dim")) for danger in found)


NAMED = 20
"""How many realms of one kind are named; JSON reports name all."""

_LEFTOVERS = {
    NOT_ROTATED: "not written by this rotation",
    OLD_SECRET: "last written with it, and not part of this rotation",
    UNKNOWN_SECRET: "the same login, with a secret that the journal never wrote",
}


def result_lines(done: Result) -> Iterator[Line]:
    """Yield what an apply did, realm by realm."""
    for realm in _to_be_written(done):
        yield line(Span(realm.realm, "bold"), "  ", STATUS[realm.status])
    untouched = any(realm.status is Status.SKIPPED for realm in done.realms)
    if done.interrupted:
        what = "realms marked skipped were not touched." if untouched else "no realm was skipped."
        yield line(Span("Interrupted: ", "bold red"), what)
    elif done.stopped:
        yield line(Span("Stopped: ", "bold red"), f"{done.stopped}; realms marked skipped were not touched.")
    run = f" (run {done.run})." if done.run else "."
    yield line(Span("Done: ", "bold"), status_counts(done.plan, done.realms), run)
    if done.plan.unseen:
        yield line(
            Span("Not read back: ", "yellow"),
            "the server shows no settings, so applied means that it accepted the write.",
        )
    if (done.interrupted or done.stopped) and any(realm.status is not Status.APPLIED for realm in _to_be_written(done)):
        yield line(_next_step(done))


def _to_be_written(done: Result) -> list[RealmOutcome]:
    return [realm for realm in done.realms if realm.plan.status is Status.CHANGED]


def _next_step(done: Result) -> str:
    if done.command == "rotate":
        return "Fix the cause, then run the same rotate again."
    if done.command.startswith("revert "):
        return f"Continue with: ztrust-mail {done.command}"
    again = f"ztrust-mail apply {'--plan FILE' if done.command == OF_SAVED_PLAN else 'SPEC...'} --resume"
    return (
        f"Fix the cause, then continue with: {again} --canary 1"
        if "canary" in done.stopped
        else f"Continue with: {again}"
    )


def leftover_lines(found: Sequence[Finding], reference: SecretRef) -> Iterator[Line]:
    """Yield the realms that may still use the replaced secret, by kind, each kind with what to do about it."""
    if any(one.rule in _LEFTOVERS for one in found):
        yield line(Span("The old value ", "bold"), f"of {reference} may still be used by:")
    else:
        yield line(
            Span("The old value ", "bold"), f"of {reference}: no realm uses it any more, as far as the journal knows."
        )
    for rule, words in _LEFTOVERS.items():
        if fitting := [one for one in found if one.rule == rule]:
            yield line(f"  {pluralise(len(fitting), 'realm')}: {words}; {fitting[0].hint}")
            yield line(f"    {_names(fitting)}")
    for one in found:
        if one.rule == NOT_LOOKED:
            yield finding_line(one)


def _names(found: Sequence[Finding]) -> str:
    return first_and_more([str(one.realm) for one in found], NAMED)
