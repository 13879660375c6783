"""Results as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ztrust_mail.diagnose.doctor import Examination
from ztrust_mail.diagnose.server_test import TestRun, TestStatus
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.reports.lines import Line, Span, line
from ztrust_mail.reports.words import in_words
from ztrust_mail.spec.resolve import Desired
from ztrust_mail.sync.apply import Result
from ztrust_mail.sync.compare import Action, Change, SecretMode
from ztrust_mail.sync.plan import Plan, RealmPlan, Status
from ztrust_mail.text import counted

_SIGNS = {Action.ADD: Span("+", "green"), Action.CHANGE: Span("~", "yellow"), Action.REMOVE: Span("-", "red")}
_SEVERITY = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_STATUS = {
    Status.IN_SYNC: Span("in sync", "green"),
    Status.CHANGED: Span("to change", "yellow"),
    Status.APPLIED: Span("applied", "green"),
    Status.FAILED: Span("failed", "bold red"),
    Status.MISSING: Span("missing", "bold red"),
    Status.UNREADABLE: Span("unreadable", "bold red"),
    Status.SKIPPED: Span("skipped", "yellow"),
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
    """Return a line per finding, each only once."""
    return (finding(one) for one in dict.fromkeys(found))


def heading(plan: Plan) -> Iterator[Line]:
    """Name the server and the account, and how many realms each glob matched."""
    yield line(plan.url, f"  as {plan.account.name} (realm {plan.account.realm})")
    for glob in plan.globs:
        yield line(f"{glob.entry.name} matches {counted(glob.count, 'realm')}")


def plan(made: Plan) -> Iterator[Line]:
    """What an apply would do, realm by realm; one line alone when nothing differs."""
    for realm in made.realms:
        yield from _realm(realm, made.secrets)
    if made.changed:
        yield line(Span("Plan: ", "bold"), _counts(made.realms), ".")
        yield line(_fields(made.realms))
        if hidden := _incomparable(made):
            yield line(hidden)
    else:
        yield _nothing_differs(made)


def _nothing_differs(made: Plan) -> Line:
    hidden = _incomparable(made)
    return line(_counts(made.realms), f"; {hidden}" if hidden else ".")


def _realm(realm: RealmPlan, secrets: SecretMode) -> Iterator[Line]:
    if realm.status is Status.IN_SYNC:
        return
    yield line(Span(realm.realm, "bold"), "  ", _STATUS[realm.status])
    width = max((len(change.field) for change in realm.changes), default=0)
    for change in realm.changes:
        yield _change(change, width)
    for name in realm.difference.incomparable if realm.changes else ():
        if name not in {change.field for change in realm.changes}:
            verb = "kept as stored" if secrets is SecretMode.KEEP else "written along"
            yield line(Span(f"    {verb}: {name} {in_words(realm.wanted.fields[name])}", "dim"))
    if realm.changes and realm.difference.kept:
        yield line(Span(f"    kept as they are: {', '.join(realm.difference.kept)}", "dim"))
    if realm.changes and realm.wanted.disabled:
        yield line(Span("    the realm will have no e-mail settings at all", "dim"))
    yield line()


def _change(change: Change, width: int) -> Line:
    name = f"  {change.field:<{width}}  "
    before, after = Span(in_words(change.before), "red"), Span(in_words(change.after), "green")
    label = f"  ({change.label})" if change.label else ""
    values: tuple[str | Span, ...] = (before, " → ", after)
    if change.action is Action.ADD:
        values = (after,)
    elif change.action is Action.REMOVE:
        values = (before,)
    return line("  ", _SIGNS[change.action], name, *values, Span(label, "dim"))


_FIRST = (Status.CHANGED, Status.APPLIED)
_COUNT_ORDER = (*_FIRST, *(status for status in Status if status not in _FIRST))


def _counts(realms: Sequence[RealmPlan]) -> str:
    numbers = Counter(realm.status for realm in realms)
    first, *others = [status for status in _COUNT_ORDER if numbers[status]] or [Status.IN_SYNC]
    parts = [f"{numbers[status]:,} {_STATUS[status].text}" for status in others]
    return ", ".join([f"{counted(numbers[first], 'realm')} {_STATUS[first].text}", *parts])


def _fields(realms: Sequence[RealmPlan]) -> str:
    numbers = Counter(change.action for realm in realms for change in realm.changes)
    words = {Action.ADD: "to add", Action.CHANGE: "to change", Action.REMOVE: "to remove"}
    parts = [f"{numbers[action]:,} {words[action]}" for action in Action if numbers[action]]
    return f"      {counted(sum(numbers.values()), 'field')}: {', '.join(parts)}."


def _incomparable(made: Plan) -> str:
    """Count the hidden secrets of realms that nothing else is written to."""
    hidden = sum(len(realm.difference.incomparable) for realm in made.realms if not realm.changes)
    return f"{counted(hidden, 'password')} cannot be compared." if hidden else ""


def drift(made: Plan) -> Iterator[Line]:
    """What the server has that the spec does not say; one line alone when nothing drifted."""
    for realm in made.changed:
        yield line(Span(realm.realm, "bold"), "  ", Span("drifted", "yellow"))
        for change in realm.changes:
            yield line(
                f"    {change.field} is ", Span(in_words(change.before), "red"), ", the spec says ",
                Span(in_words(change.after), "green"),
            )  # fmt: skip
    for realm in made.realms:
        if realm.status not in (Status.CHANGED, Status.IN_SYNC):
            yield line(Span(realm.realm, "bold"), "  ", _STATUS[realm.status])
    if made.changed:
        drifted = _counts(made.realms).replace(_STATUS[Status.CHANGED].text, "drifted")
        yield line(drifted, "." if not (hidden := _incomparable(made)) else f"; {hidden}")
    else:
        yield line("No drift: ", *_nothing_differs(made))
    if made.uncovered:
        names = ", ".join(made.uncovered)
        yield line(f"Not covered by the spec: {counted(len(made.uncovered), 'realm')}: {names}")


def result(done: Result) -> Iterator[Line]:
    """What an apply did, realm by realm."""
    before = {realm.realm: realm.status for realm in done.plan.realms}
    for realm in done.realms:
        if before[realm.realm] is Status.CHANGED:
            yield line(Span(realm.realm, "bold"), "  ", _STATUS[realm.status])
    if done.interrupted:
        yield line(Span("Interrupted: ", "bold red"), "realms marked skipped were not touched.")
    yield line(Span("Done: ", "bold"), _counts(done.realms), ".")


def explained(wanted: Desired) -> Iterator[Line]:
    """A realm's settings with the file and line each value comes from."""
    entry = wanted.entry
    yield line(Span(wanted.realm, "bold"), f"  falls under {entry.name} ({entry.location})")
    if wanted.disabled:
        yield line("  no e-mail at all: the entry is disabled")
    elif not wanted.fields and not wanted.findings:
        yield line("  not set")
    values = {name: in_words(value) for name, value in wanted.fields.items()}
    names, texts = max(map(len, values), default=0), min(max(map(len, values.values()), default=0), 36)
    for name, text in values.items():
        origin = wanted.origins.get(name)
        yield line(f"  {name:<{names}}  {text:<{texts}}  ", Span(str(origin) if origin else "by default", "dim"))


def tests(run: TestRun) -> Iterator[Line]:
    """What became of each test mail, and whose address it went to."""
    styles = {TestStatus.SENT: "green", TestStatus.SKIPPED: "yellow"}
    for outcome in run.outcomes:
        said = Span(outcome.proof or outcome.status.value, styles.get(outcome.status, "bold red"))
        yield line(Span(outcome.realm, "bold"), "  ", said)
    numbers = Counter(outcome.status for outcome in run.outcomes)
    if len(run.outcomes) > 1:
        parts = [f"{numbers[status]:,} {status.value}" for status in TestStatus if numbers[status]]
        yield line(Span("Tested: ", "bold"), f"{counted(len(run.outcomes), 'realm')}: {', '.join(parts)}.")
    if sent := numbers[TestStatus.SENT]:
        whose = f"{run.account.name} of realm {run.account.realm}"
        address = run.account.email or "an address this account may not see"
        yield line(f"The {'mail' if sent == 1 else 'mails'} went to {address}, the account {whose}.")


def examination(found: Examination) -> Iterator[Line]:
    """What the doctor saw, and what to do about each no."""
    marks = {True: Span("yes", "green"), False: Span("no", "bold red"), None: Span("?", "yellow")}
    yield line(found.url)
    for check in found.checks:
        mark = marks[check.answer]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{check.question:<22}  {check.detail}")
        if check.hint and check.answer is not True:
            yield line(Span(f"{'':30}{check.hint}", "dim"))
