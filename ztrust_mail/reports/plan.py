"""Results as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING

from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more, pluralise, printable
from ztrust_mail.journal.records import OF_SAVED_PLAN
from ztrust_mail.model.serialize import display_short, display_value
from ztrust_mail.planning.compare import Action, Change, SecretMode, SecretState
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.safety import Danger
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.specfile.resolve import Desired

if TYPE_CHECKING:
    from ztrust_mail.applying.apply import Result

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


def counts(realms: Sequence[RealmPlan]) -> str:
    """Return ``2 realms to change, 1 in sync``."""
    numbers = Counter(realm.status for realm in realms)
    first, *others = [status for status in _ORDER if numbers[status]] or [Status.IN_SYNC]
    parts = [f"{numbers[status]:,} {STATUS[status].text}" for status in others]
    return ", ".join([f"{pluralise(numbers[first], 'realm')} {STATUS[first].text}", *parts])


def standing(made: Plan, realms: Sequence[RealmPlan]) -> str:
    """Return the counts of a plan's realms; in sync is what somebody has looked at."""
    said = counts(realms)
    return said.replace(STATUS[Status.IN_SYNC].text, "as last applied") if made.unseen else said


def unseen(made: Plan) -> Iterator[Line]:
    """Say that nobody looked at the server, where that is so."""
    if made.unseen:
        yield line(Span(f"{made.unseen[0].upper()}{made.unseen[1:]}.", "yellow"))


def incomparable(made: Plan) -> str:
    """Count the hidden secrets of realms that nothing else is written to."""
    states = [
        realm.secrets.get(name, SecretState.UNKNOWN)
        for realm in made.realms
        if not realm.changes
        for name in realm.difference.masked_fields
    ]
    same = states.count(SecretState.UNCHANGED)
    parts = [f"{pluralise(same, 'password')} as last written (what is stored is hidden)"] if same else []
    if other := len(states) - same:
        parts.append(f"{pluralise(other, 'password')} cannot be compared")
    return f"{', '.join(parts)}." if parts else ""


def nothing_differs(made: Plan) -> Line:
    """Return the one line of a plan that changes nothing."""
    hidden = incomparable(made)
    return line(standing(made, made.realms), f"; {hidden}" if hidden else ".")


_SIGNS = {Action.ADD: Span("+", "green"), Action.CHANGE: Span("~", "yellow"), Action.REMOVE: Span("-", "red")}
SEVERITY_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.ERROR: "bold red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "dim",
}


def finding(found: Finding) -> Line:
    """Return ``path:line:col: error: what; hint [rule]``, or the realm in the place's stead."""
    where = str(found.location) if found.location else f"realm {found.realm}" if found.realm else "ztrust-mail"
    if found.location and found.realm:
        where += f": realm {found.realm}"
    hint = f"; {found.hint}" if found.hint else ""
    severity = Span(found.severity.value, SEVERITY_STYLES[found.severity])
    return line(f"{where}: ", severity, f": {found.message}{hint} ", Span(f"[{found.rule}]", "dim"))


def findings(found: Iterable[Finding]) -> Iterator[Line]:
    """Return a line per finding, each only once; what one place in a spec brings about in many realms is one line."""
    groups: dict[Finding, list[Finding]] = {}
    for one in dict.fromkeys(found):
        groups.setdefault(replace(one, realm=None) if one.location else one, []).append(one)
    return (_together(several) for several in groups.values())


def _together(several: Sequence[Finding]) -> Line:
    first, realms = several[0], [one.realm for one in several if one.realm]
    if len(several) == 1:
        return finding(first)
    where, *rest = finding(replace(first, realm=None))
    return line(f"{where.text}{pluralise(len(realms), 'realm')} ({first_and_more(realms)}): ", *rest)


def heading(plan: Plan) -> Iterator[Line]:
    """Name the server and the account, and how many realms each glob matched."""
    yield line(plan.url, f"  as {plan.account}")
    for glob in plan.globs:
        yield line(f"{glob.entry.name} matches {pluralise(glob.count, 'realm')}")


def plan(made: Plan) -> Iterator[Line]:
    """What an apply would do, realm by realm; one line alone when nothing differs."""
    for realm in made.realms:
        yield from _realm(realm, made.secrets)
    if made.changed:
        yield line(Span("Plan: ", "bold"), standing(made, made.realms), ".")
        yield line(_fields(made.realms))
        if hidden := incomparable(made):
            yield line(hidden)
    else:
        yield nothing_differs(made)
    yield from unseen(made)


def _realm(realm: RealmPlan, secrets: SecretMode) -> Iterator[Line]:
    if realm.status is Status.IN_SYNC:
        return
    yield line(Span(realm.realm, "bold"), "  ", STATUS[realm.status])
    width = max((len(change.field) for change in realm.changes), default=0)
    for change in realm.changes:
        yield _change(change, width)
    for name in realm.difference.masked_fields if realm.changes else ():
        if name not in {change.field for change in realm.changes}:
            verb = "kept as stored" if secrets is SecretMode.KEEP else "written along"
            unchanged = realm.secrets.get(name) is SecretState.UNCHANGED and secrets is not SecretMode.KEEP
            same = ", the same as last written" if unchanged else ""
            yield from _wrapped(f"{verb}: {name} {display_value(realm.wanted.fields[name])}{same}", "dim")
    yield from _lost(realm)
    if realm.changes and realm.difference.kept:
        yield from _wrapped(f"kept as they are: {', '.join(realm.difference.kept)}", "dim")
    if realm.changes and realm.wanted.disabled:
        yield line(Span("    the realm will have no e-mail settings at all", "dim"))
    yield line()


def _lost(realm: RealmPlan) -> Iterator[Line]:
    """Say before it happens which secrets nobody can bring back."""
    removed = {change.field for change in realm.changes if change.action is Action.REMOVE}
    for name, source in realm.losses.items():
        verb = "removes" if name in removed else "overwrites"
        where = f"; it last came from {source}" if source else ""
        yield from _wrapped(f"this {verb} a password that cannot be read back: {name}{where}")


def _wrapped(text: str, style: str = "yellow") -> Iterator[Line]:
    """Break a remark into lines of 80 columns; a long word stays whole."""
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


def result(done: Result) -> Iterator[Line]:
    """What an apply did, realm by realm."""
    for realm in _to_be_written(done):
        yield line(Span(realm.realm, "bold"), "  ", STATUS[realm.status])
    untouched = any(realm.status is Status.SKIPPED for realm in done.realms)
    if done.interrupted:
        what = "realms marked skipped were not touched." if untouched else "no realm was left out."
        yield line(Span("Interrupted: ", "bold red"), what)
    elif done.stopped:
        yield line(Span("Stopped: ", "bold red"), f"{done.stopped}; realms marked skipped were not touched.")
    run = f" (run {done.run})." if done.run else "."
    yield line(Span("Done: ", "bold"), standing(done.plan, done.realms), run)
    if done.plan.unseen:
        yield line(Span("Not read back: ", "yellow"), "applied is what the server said was done; it shows no settings.")
    if (done.interrupted or done.stopped) and any(realm.status is not Status.APPLIED for realm in _to_be_written(done)):
        yield line(f"Continue with: {_next_step(done)}")


def _to_be_written(done: Result) -> list[RealmPlan]:
    planned = {realm.realm for realm in done.plan.changed}
    return [realm for realm in done.realms if realm.realm in planned]


def _next_step(done: Result) -> str:
    if done.command == "rotate":
        return "the same rotate again, when the cause is mended"
    canary = " --canary 1, when the cause is mended" if "canary" in done.stopped else ""
    what = "--plan FILE" if done.command == OF_SAVED_PLAN else "SPEC..."
    again = done.command if done.command.startswith("revert ") else f"apply {what} --resume{canary}"
    return f"ztrust-mail {again}"


def explained(wanted: Desired) -> Iterator[Line]:
    """A realm's settings with the file and line each value comes from."""
    entry = wanted.entry
    yield line(Span(wanted.realm, "bold"), f"  falls under {entry.name} ({entry.location})")
    if wanted.disabled:
        yield line("  no e-mail at all: the entry is disabled")
    elif not wanted.fields and not wanted.findings:
        yield line("  not set")
    values = {name: display_short(value) for name, value in wanted.fields.items()}
    names, texts = max(map(len, values), default=0), min(max(map(len, values.values()), default=0), 36)
    for name, text in values.items():
        origin = wanted.origins.get(name)
        yield line(f"  {name:<{names}}  {text:<{texts}}  ", Span(str(origin) if origin else "by default", "dim"))


def lines(found: Iterable[Danger]) -> Iterator[Line]:
    """Return a line per danger; a long list of realms is cut."""
    return (line(Span("Dangerous: ", "bold red"), f"{danger} ", Span(f"[{danger.reason}]", "dim")) for danger in found)


def data(found: Iterable[Danger]) -> list[JsonLike]:
    """Return the dangers as plain data, with all their realms."""
    return [
        {"reason": danger.reason.value, "message": danger.message, "realms": list(danger.realms)} for danger in found
    ]
