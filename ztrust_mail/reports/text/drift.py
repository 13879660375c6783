"""Drift as lines of text."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more, pluralise
from ztrust_mail.drift_detection.attribution import Cause
from ztrust_mail.drift_detection.drift import EDITED_BY, OUT_OF_BAND, Drift
from ztrust_mail.model.serialize import display_value
from ztrust_mail.planning.compare import Change
from ztrust_mail.planning.plan import RealmPlan, Status, all_findings
from ztrust_mail.reports.grouping import Block, Said, Statement, count_by, group_realms
from ztrust_mail.reports.report import DriftReport
from ztrust_mail.reports.style import HANG, Line, Span, line
from ztrust_mail.reports.text.lines import block_lines, command_line, note_lines, server_lines, value_lines
from ztrust_mail.reports.text.plan import (
    STATUS,
    field_label,
    glob_lines,
    in_sync_line,
    masked_secrets,
    status_counts,
    unread_note,
)

SHOWN_REALMS = 10
"""How many names a line has."""

COMPARED_BY = "`plan`"
"""The command that compares masked secrets, for which drift resolves no reference."""

_CRITICAL = "bold red"
_STYLES = {
    Cause.OUT_OF_BAND: "yellow",
    Cause.BOTH: "yellow",
    Cause.NOT_KEPT: "yellow",
    Cause.PENDING: "dim",
    Cause.UNATTRIBUTED: "dim",
}
_HEAD_STYLES = {"critical": Span("critical", _CRITICAL), "drifted": Span("drifted", "yellow")}
CAUSES = {
    Cause.OUT_OF_BAND: "changed outside ztrust-mail",
    Cause.BOTH: "changed outside ztrust-mail, and in the spec",
    Cause.NOT_KEPT: "written, but not kept by the server",
    Cause.PENDING: "changed in the spec, and not applied yet",
    Cause.UNATTRIBUTED: "for an unknown reason: the journal has no entry",
}
"""Why a field differs, in words."""


def drift_body(report: DriftReport, *, details: bool = False) -> Iterator[Line]:
    """Yield the server, the differences by cause, those that are critical first, and the findings."""
    found = report.drift
    yield from server_lines(report.title or found.plan.url, found.plan.account)
    yield from glob_lines(found.plan)
    realms = sorted(found.plan.realms, key=lambda realm: not found.has_critical_change(realm))
    said = [_describe_realm(found, realm) for realm in realms if realm.status is not Status.IN_SYNC]
    for block in group_realms(said, details=details):
        yield from block_lines([block], _describe, _statement_lines)
        yield from _origin_lines(found, block)
        yield line()
    shown = {one for one in found.findings if _is_in_blocks(found, one.realm, one.field, one.rule)}
    others = (one for one in (*report.findings, *all_findings(found.plan), *found.own_findings) if one not in shown)
    yield from note_lines(sorted(others, key=_rank), fold=not details)


def _describe_realm(found: Drift, realm: RealmPlan) -> Said:
    if realm.status is not Status.CHANGED:
        return realm.realm, realm.status.value, ()
    changes = sorted(realm.changes, key=lambda change: not found.is_critical(realm.realm, change.field))
    head = "critical" if found.has_critical_change(realm) else "drifted"
    causes = found.causes[realm.realm]
    return realm.realm, head, [_statement(change, causes[change.field]) for change in changes]


def _statement(change: Change, cause: Cause) -> Statement:
    live, wanted = display_value(change.before), display_value(change.after)
    if cause is Cause.OUT_OF_BAND:  # then the spec has the value that was last applied
        return Statement(cause.value, field_label(change), (wanted, live))
    return Statement(cause.value, field_label(change), (f"is {live}, the spec says {wanted}",))


def _rank(one: Finding) -> int:
    return list(Severity).index(one.severity)


def _is_in_blocks(found: Drift, realm: str | None, field: str | None, rule: str) -> bool:
    """Tell whether the blocks already contain a finding."""
    is_change = rule == OUT_OF_BAND and found.causes[realm or ""][field or ""] is Cause.OUT_OF_BAND
    return is_change or rule == EDITED_BY


def _describe(block: Block) -> Sequence[str | Span]:
    return "  ", _HEAD_STYLES.get(block.head) or STATUS[Status(block.head)]


def _statement_lines(statements: Sequence[Statement]) -> Iterator[Line]:
    for cause in CAUSES:
        several = [one for one in statements if one.kind == cause]
        if several:
            yield line(Span(f"  {CAUSES[cause]}", _STYLES[cause]))
        width = max((len(one.subject) for one in several), default=0)
        for one in several:
            yield from value_lines([f"    {one.subject:<{width}}  ", Span("", HANG)], one)


def _origin_lines(found: Drift, block: Block) -> Iterator[Line]:
    """Yield which run wrote the realms before they were changed outside ztrust-mail, and who edited them since."""
    realms = [realm for realm in block.realms if realm in found.applied]
    if applied := count_by(found.applied, realms):
        yield line("  last applied by ", applied)
    if editors := count_by(found.editors, realms):
        yield line("  edited since then by ", editors)


def drift_verdict(report: DriftReport) -> Iterator[Line]:
    """Yield the numbers, and what to do; a single line when nothing drifted."""
    found = report.drift
    made = found.plan
    if made.changed:
        drifted = status_counts(made, made.realms, f" ({_causes(found)})")
        yield line(Span("Drift: ", "bold"), drifted.replace(STATUS[Status.CHANGED].text, "drifted"), ".")
        if hidden := masked_secrets(made, COMPARED_BY):
            yield line(hidden)
    elif made.realms or not found.vanished:
        is_known = all(one.status is Status.IN_SYNC for one in made.realms) and not found.vanished and not made.unseen
        yield line("No drift: " if is_known else "", *in_sync_line(made, COMPARED_BY))
    yield from unread_note(made)
    if found.vanished:
        yield line(Span("Written before, now missing: ", _CRITICAL), _names(found.vanished))
    if found.below_limit:
        yield line(f"Not critical, so without effect on the exit status: {_names(found.below_limit)}")
    if made.uncovered:
        yield line(f"Not covered by the spec: {_names(made.uncovered)}")
    if any(cause.by_others for causes in found.causes.values() for cause in causes.values()):
        stolen = ", and which mail and passwords went there; rotate these passwords" if _count_critical(found) else ""
        yield line(f"Next: find out who changed it{stolen}. A run with another journal looks the same.")
    if report.next_step:
        yield command_line("Restore the spec's values with", report.next_step)


def _count_critical(found: Drift) -> int:
    return sum(found.is_critical(realm, name) for realm, causes in found.causes.items() for name in causes)


def _causes(found: Drift) -> str:
    numbers = Counter(cause for causes in found.causes.values() for cause in causes.values())
    critical = _count_critical(found)
    fields = pluralise(numbers.total(), "field")
    parts = [f"{numbers[cause]:,} {cause}" for cause in _STYLES if numbers[cause]]
    what = f"{fields}: {', '.join(parts)}" if len(parts) > 1 else f"{fields} {next(iter(numbers))}"
    return f"{what}{f'; {critical:,} critical' if critical else ''}"


def _names(names: tuple[str, ...]) -> str:
    rest = "; a report in JSON names all" if len(names) > SHOWN_REALMS + 1 else ""
    return f"{pluralise(len(names), 'realm')} ({first_and_more(names, SHOWN_REALMS)}{rest})"
