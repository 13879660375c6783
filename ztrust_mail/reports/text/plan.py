"""Plans and their outcomes as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Finding
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import first_and_more, pluralise
from ztrust_mail.model.fields import Masked
from ztrust_mail.model.serialize import display_short, display_value
from ztrust_mail.planning.compare import Action, Change, SecretMode, SecretState, credential_of
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.planners.old_secrets import NOT_LOOKED, NOT_ROTATED, OLD_SECRET, UNKNOWN_SECRET
from ztrust_mail.planning.planners.rotate import Rotation
from ztrust_mail.planning.safety import Danger, Reason
from ztrust_mail.reports.grouping import Block, Said, Statement, group_realms, list_realms, name_realms, name_references
from ztrust_mail.reports.report import ApplyReport, PlanReport
from ztrust_mail.reports.style import HANG, Line, Span, line
from ztrust_mail.reports.text.lines import (
    block_lines,
    command_line,
    finding_line,
    finding_lines,
    note_lines,
    server_lines,
    value_lines,
)

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import RealmOutcome, Result

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


def _count(realms: Sequence[RealmPlan | RealmOutcome], remark: str = "") -> str:
    """Return ``2 realms to change, 1 in sync``, with a remark after the first number."""
    numbers = Counter(realm.status for realm in realms)
    first, *others = [status for status in _ORDER if numbers[status]] or [Status.IN_SYNC]
    parts = [f"{numbers[status]:,} {STATUS[status].text}" for status in others]
    return ", ".join([f"{pluralise(numbers[first], 'realm')} {STATUS[first].text}{remark}", *parts])


def status_counts(made: Plan, realms: Sequence[RealmPlan | RealmOutcome], remark: str = "") -> str:
    """Return the number of realms in each status.

    If the product shows no settings, realms are not in sync but as last applied.
    """
    said = _count(realms, remark)
    return said.replace(STATUS[Status.IN_SYNC].text, "as last applied") if made.unseen else said


def unread_note(made: Plan) -> Iterator[Line]:
    """Yield the reason why the server's settings were not read, if they were not."""
    if made.unseen:
        yield line(Span(f"{made.unseen[0].upper()}{made.unseen[1:]}.", "yellow"))


def masked_secrets(made: Plan, elsewhere: str = "") -> str:
    """Return how many masked secrets of unchanged realms are known to be unchanged, and why others are unknown.

    ``elsewhere`` is the command that compares them, for a command that compares none.
    """
    masked = [(realm, name) for realm in made.realms if not realm.changes for name in realm.difference.masked_fields]
    same = sum(realm.secrets.get(name) is SecretState.UNCHANGED for realm, name in masked)
    unresolved = sum(name in realm.unresolved for realm, name in masked)
    values = "value" if same == 1 else "values"
    unchanged = f"{pluralise(same, 'password')} unchanged since the last apply (the server hides the stored {values})"
    parts = [unchanged] if same else []
    if unresolved:
        why = "its reference has" if unresolved == 1 else "their references have"
        parts.append(f"{pluralise(unresolved, 'password')} not compared ({why} no value here)")
    if other := len(masked) - same - unresolved:
        them = "it" if other == 1 else "them"
        why = f"this journal has no record of {them}"
        if elsewhere or not made.resolves:
            why = f"{elsewhere or 'without --no-secrets, plan'} compares {them} with the last apply"
        parts.append(f"{pluralise(other, 'password')} not compared (the server hides {them}; {why})")
    return f"{', '.join(parts)}." if parts else ""


def in_sync_line(made: Plan, elsewhere: str = "") -> Line:
    """Return the line of a plan without changes."""
    hidden = masked_secrets(made, elsewhere)
    return line(status_counts(made, made.realms), f"; {hidden}" if hidden else ".")


def glob_lines(plan: Plan) -> Iterator[Line]:
    """Yield how many realms each glob matched."""
    for glob in plan.globs:
        yield line(f"{glob.entry.name} matches {pluralise(glob.count, 'realm')}")
    if plan.globs:
        yield line()


_SIGNS = {
    Action.ADD.value: Span("+", "green"),
    Action.CHANGE.value: Span("~", "yellow"),
    Action.REMOVE.value: Span("-", "red"),
}
_WARNING, _REMARK = "warning", "remark"


def plan_body(report: PlanReport, *, details: bool = False) -> Iterator[Line]:
    """Yield the server, the planned changes of its realms, and the findings."""
    made = report.plan
    yield from server_lines(report.title or made.url, made.account, made.intro)
    yield from glob_lines(made)
    said = [_describe_realm(made, realm) for realm in made.realms if realm.status is not Status.IN_SYNC]
    for block in group_realms(said, details=details):
        yield from block_lines([block], describe_block, statement_lines)
        yield line()
    found = [one for one in report.findings if one != report.refusal and one.rule not in _ABOUT_LEFTOVERS]
    more = (one for realm in made.realms for one in realm.findings)
    yield from note_lines([*found, *more], fold=not details)


def plan_verdict(report: PlanReport) -> Iterator[Line]:
    """Yield the number of changes, why the plan is refused, and what to do next; one line when nothing differs."""
    made = report.plan
    if made.changed:
        yield line(Span("Plan: ", "bold"), status_counts(made, made.realms, f" ({_fields(made.realms)})"), ".")
        if hidden := masked_secrets(made):
            yield line(hidden)
    else:
        yield in_sync_line(made)
    yield from unread_note(made)
    if report.refusal and not report.refused:
        yield finding_line(report.refusal)
    reasons = {danger.reason for danger in report.refused}
    if isinstance(made, Rotation):
        reasons.add(Reason.MASS_CHANGE)  # whoever names a reference means all realms that use it
    yield from danger_lines([one for one in report.dangers if one.reason not in reasons], "Allowed", "yellow")
    yield from danger_lines(report.refused)
    if report.next_step:
        yield command_line("If intended" if report.refusal else "Apply it with", report.next_step)


def danger_lines(found: Iterable[Danger], verdict: str = "Refused", style: str = "bold red") -> Iterator[Line]:
    """Yield a line per danger; a long list of realms is cut."""
    for danger in found:
        shown = f": {danger.message}: {list_realms(danger.realms)}."
        yield line(Span(f"{verdict} [{danger.reason}]", style), shown)


def describe_block(block: Block) -> Sequence[str | Span]:
    """Return what follows the names of a block's realms."""
    if block.head:
        return "  ", STATUS[Status(block.head)]
    changes = sum(one.kind in _SIGNS for one in block.statements)
    return (f": the same {pluralise(changes, 'change')}",) if len(block.realms) > 1 else ()


def _describe_realm(made: Plan, realm: RealmPlan) -> Said:
    """Return the statements of a plan about a realm."""
    head = "" if realm.changes else realm.status.value
    said = [*map(change_statement, realm.changes), *remark_statements(realm, made.secrets)]
    if isinstance(made, Rotation):
        said += _logins(realm, with_references=not realm.changes)
    return realm.realm, head, said


def _logins(realm: RealmPlan, *, with_references: bool) -> Iterator[Statement]:
    """Yield the credential of a realm in a rotation, so that realms with the same credential share a block."""
    one = credential_of(realm.wanted.fields)
    if one.references:
        secret = f", {first_and_more([str(ref) for ref in one.references])}" if with_references else ""
        yield Statement(_REMARK, "login", (f"login: {one.user} at {one.host}{secret}",))


def change_statement(change: Change, kind: str = "") -> Statement:
    """Return a change as a statement: the values before and after of those that it has."""
    before, after = display_short(change.before), display_after(change)
    values = {Action.ADD: (after,), Action.REMOVE: (before,)}.get(change.action, (before, after))
    if isinstance(change.before, Masked) and isinstance(change.after, SecretRef):
        values = (f"new value {after}",)
    return Statement(kind or change.action.value, field_label(change), values)


def field_label(change: Change) -> str:
    """Return a field's name, with its label in the server's console."""
    return f"{change.field} ({change.label})" if change.label else change.field


def display_after(change: Change) -> str:
    """Return the planned value of a field as text; for a secret, its source."""
    return f"from {change.after}" if isinstance(change.after, SecretRef) else display_short(change.after)


def remark_statements(realm: RealmPlan, secrets: SecretMode) -> Iterator[Statement]:
    """Yield the statements about a realm besides its changes: secrets, losses, unmanaged attributes."""
    changed = {change.field for change in realm.changes}
    for name in realm.difference.masked_fields if realm.changes else ():
        if name not in changed:
            verb = "kept as stored" if secrets is SecretMode.KEEP else "also written"
            unchanged = realm.secrets.get(name) is SecretState.UNCHANGED and secrets is not SecretMode.KEEP
            same = ", unchanged since the last apply" if unchanged else ""
            yield make_remark(f"{verb}: {name} {display_value(realm.wanted.fields[name])}{same}")
    removed = {change.field for change in realm.changes if change.action is Action.REMOVE}
    for name, source in realm.losses.items():
        verb = "removes" if name in removed else "overwrites"
        is_same = source == str(realm.wanted.fields.get(name))  # then many realms have one sentence
        where = f"; it last came from {'the same reference' if is_same else source}" if source else ""
        yield Statement(_WARNING, name, (f"this {verb} a password that cannot be read back: {name}{where}",))
    if realm.changes and realm.difference.unmanaged:
        yield make_remark(f"unmanaged, preserved: {', '.join(realm.difference.unmanaged)}")
    if realm.changes and realm.wanted.disabled:
        yield make_remark("the realm will have no e-mail settings at all")


def make_remark(text: str) -> Statement:
    """Return a text about a realm that is no change; what comes before its colon is its subject."""
    return Statement(_REMARK, text.partition(":")[0], (text,))


def statement_lines(statements: Sequence[Statement]) -> Iterator[Line]:
    """Yield changes with their signs in front, and remarks."""
    width = max((len(one.subject) for one in statements if one.kind in _SIGNS), default=0)
    for one in statements:
        if sign := _SIGNS.get(one.kind):
            yield from value_lines(["  ", sign, f" {one.subject:<{width}}  ", Span("", HANG)], one)
        else:
            yield from value_lines(["    "], one, "dim" if one.kind == _REMARK else "yellow")


def _fields(realms: Sequence[RealmPlan]) -> str:
    numbers = Counter(change.action for realm in realms for change in realm.changes)
    words = {Action.ADD: "to add", Action.CHANGE: "to change", Action.REMOVE: "to remove"}
    parts = [f"{numbers[action]:,} {words[action]}" for action in Action if numbers[action]]
    if len(numbers) == 1:
        return f"{pluralise(numbers.total(), 'field')} {words[next(iter(numbers))]}"
    return f"{pluralise(numbers.total(), 'field')}: {', '.join(parts)}"


_LEFTOVERS = {
    NOT_ROTATED: "not written by this rotation",
    OLD_SECRET: "last written with it, and not part of this rotation",
    UNKNOWN_SECRET: "the same login, with a secret that the journal never wrote",
}
_ABOUT_LEFTOVERS = {*_LEFTOVERS, NOT_LOOKED}


def result_body(report: ApplyReport, *, details: bool = False) -> Iterator[Line]:
    """Yield the outcomes of the planned realms, grouped by status, and new findings."""
    done = report.result
    known = {*done.plan.findings, *(one for realm in done.plan.realms for one in realm.findings)}
    found = [one for one in report.findings if one not in known and one.rule not in _ABOUT_LEFTOVERS]
    found += [one for realm in done.realms for one in realm.findings if one not in known]
    yield from finding_lines(found, fold=not details)
    is_rotation = isinstance(done.plan, Rotation)
    said = [
        (one.realm, one.status.value, [*_logins(one.plan, with_references=True)] if is_rotation else [])
        for one in _find_changed(done)
    ]
    yield from block_lines(group_realms(said, details=details), describe_block, statement_lines)


def result_verdict(report: ApplyReport) -> Iterator[Line]:
    """Yield how an apply ended, and how to continue."""
    done = report.result
    untouched = any(realm.status is Status.SKIPPED for realm in done.realms)
    what = "; realms marked skipped were not touched" if untouched else ""
    counts = f"{status_counts(done.plan, done.realms)}{f' (run {done.run})' if done.run else ''}"
    if done.interrupted:
        yield line(Span("Interrupted: ", "bold red"), f"{counts}{what or '; no realm was skipped'}.")
    else:
        if done.stopped:
            yield line(Span("Stopped: ", "bold red"), f"{done.stopped}{what}.")
        yield line(Span("Done: ", "bold"), f"{counts}.")
    if done.plan.unseen:
        what = "the server shows no settings, so applied means that it accepted the write."
        yield line(Span("Not read back: ", "yellow"), what)
    if report.next_step:
        cause = any(realm.status is Status.FAILED for realm in _find_changed(done)) or "canary" in done.stopped
        yield command_line("Fix the cause, then continue with" if cause else "Continue with", report.next_step)


def _find_changed(done: Result) -> list[RealmOutcome]:
    return [realm for realm in done.realms if realm.plan.status is Status.CHANGED]


def leftover_lines(found: Sequence[Finding], references: Sequence[SecretRef]) -> Iterator[Line]:
    """Yield the realms that may still use the replaced secrets, by kind, each kind with what to do about it."""
    is_used = any(one.rule in _LEFTOVERS for one in found)
    old, them = ("The old values ", "them") if len(references) > 1 else ("The old value ", "it")
    what = " may still be used by:" if is_used else f": no realm uses {them} any more, as far as the journal knows."
    yield line(Span(old, "bold"), f"of {name_references(references)}{what}")
    for rule, words in _LEFTOVERS.items():
        if fitting := [one for one in found if one.rule == rule]:
            yield line(f"  {name_realms([str(one.realm) for one in fitting])}: {words}; {fitting[0].hint}")
    yield from (finding_line(one) for one in found if one.rule == NOT_LOOKED)
