"""Results as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING

from ztrust_mail.findings import Finding, Severity
from ztrust_mail.reports.counts import STATUS, incomparable, nothing_differs, standing, unseen
from ztrust_mail.reports.lines import Line, Span, line
from ztrust_mail.spec.resolve import Desired
from ztrust_mail.spec.words import in_short, in_words
from ztrust_mail.sync.compare import Action, Change, SecretMode, SecretState
from ztrust_mail.sync.journal.records import OF_SAVED_PLAN
from ztrust_mail.sync.moves import some_of
from ztrust_mail.sync.plan import Plan, RealmPlan, Status
from ztrust_mail.text import counted, printable

if TYPE_CHECKING:
    from ztrust_mail.sync.apply import Result

_SIGNS = {Action.ADD: Span("+", "green"), Action.CHANGE: Span("~", "yellow"), Action.REMOVE: Span("-", "red")}
_SEVERITY = {
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
    severity = Span(found.severity.value, _SEVERITY[found.severity])
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
    return line(f"{where.text}{counted(len(realms), 'realm')} ({some_of(realms)}): ", *rest)


def heading(plan: Plan) -> Iterator[Line]:
    """Name the server and the account, and how many realms each glob matched."""
    yield line(plan.url, f"  as {plan.account}")
    for glob in plan.globs:
        yield line(f"{glob.entry.name} matches {counted(glob.count, 'realm')}")


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
    for name in realm.difference.incomparable if realm.changes else ():
        if name not in {change.field for change in realm.changes}:
            verb = "kept as stored" if secrets is SecretMode.KEEP else "written along"
            unchanged = realm.secrets.get(name) is SecretState.UNCHANGED and secrets is not SecretMode.KEEP
            same = ", the same as last written" if unchanged else ""
            yield from _wrapped(f"{verb}: {name} {in_words(realm.wanted.fields[name])}{same}", "dim")
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
    before, after = Span(in_short(change.before), "red"), Span(in_short(change.after), "green")
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
    return f"      {counted(sum(numbers.values()), 'field')}: {', '.join(parts)}."


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
    values = {name: in_short(value) for name, value in wanted.fields.items()}
    names, texts = max(map(len, values), default=0), min(max(map(len, values.values()), default=0), 36)
    for name, text in values.items():
        origin = wanted.origins.get(name)
        yield line(f"  {name:<{names}}  {text:<{texts}}  ", Span(str(origin) if origin else "by default", "dim"))
