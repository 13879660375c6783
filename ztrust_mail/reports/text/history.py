"""What runs did, and what two of them left, as lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Finding, has_errors
from ztrust_mail.core.text import pluralise, printable, to_minute, to_period
from ztrust_mail.journal.records import Outcome, Run, Step
from ztrust_mail.model.serialize import display_short, display_value
from ztrust_mail.planning.compare import Action, SecretState
from ztrust_mail.planning.differences import RealmDiff
from ztrust_mail.reports.grouping import Block, Said, Statement, group_realms
from ztrust_mail.reports.report import ComparisonReport, DiffReport
from ztrust_mail.reports.style import HANG, WIDTH, Line, Span, line
from ztrust_mail.reports.text.lines import block_lines, note_lines, value_lines
from ztrust_mail.reports.text.plan import change_statement, describe_block, make_remark, statement_lines

if TYPE_CHECKING:
    from ztrust_mail.planning.past_runs import PastRun, PastWrite

_HEADS = ("RUN", "WHEN (UTC)", "COMMAND", "OUTCOME", "REALMS", "WHO")
_MOST = (5, 16, 12, 11)
"""The most columns of each but the last two, which share what remains."""
_LEAST_REALMS, _LEAST_WHO = 24, 12

_GOOD = {Outcome.DONE: "green", Outcome.RESUMED: "green", Step.VERIFIED: "green", Step.ACCEPTED: "green"}
_BAD = "yellow"
_WHERE = re.compile(r" \(realm [^)]*\)| on \S+$")
_ERROR, _NOTE = "error", "note"


def run_table(runs: Sequence[PastRun], server: str) -> Iterator[Line]:
    """Yield the runs as a table of 80 columns, or a single line when there are none."""
    if not runs:
        yield line(f"No runs recorded for {server}.")
        return
    rows = [_HEADS, *map(_row, runs)]
    longest = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths = [min(pair) for pair in zip(longest, _MOST, strict=False)]
    room = WIDTH - sum(widths) - 2 * (len(_HEADS) - 1)
    widths.append(min(longest[-2], max(room - _LEAST_WHO, _LEAST_REALMS)))
    widths.append(max(room - widths[-1], len(_HEADS[-1])))
    for row, message in zip(rows, ("", *(one.run.message for one in runs)), strict=True):
        text = "  ".join(_fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield line(Span(text, "bold" if row is _HEADS else ""))
        if message:
            yield line(" " * (widths[0] + 2), Span("", HANG), Span(message, "dim"))


def _fit(text: str, width: int) -> str:
    text = printable(text)
    if len(text) > width:
        text = _WHERE.sub("", text)  # of an account and a user, the names say most
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"


def _row(one: PastRun) -> tuple[str, ...]:
    run = one.run
    command = run.command.partition("(")[2].rstrip(")") or run.command  # a saved plan of a revert is a revert
    return (str(run.number), f"{run.started:%Y-%m-%d %H:%M}", command, run.outcome.value, _steps(one.steps), run.who)


def _steps(steps: Mapping[Step, int]) -> str:
    return ", ".join(f"{number:,} {step.value}" for step, number in steps.items()) or "none"


def run_lines(one: PastRun, *, details: bool = False) -> Iterator[Line]:
    """Yield one run and its effect on realms, with equal changes of several realms merged."""
    run = one.run
    outcome = Span(run.outcome.value, _GOOD.get(run.outcome, _BAD))
    yield line(Span(f"Run {run.number}", "bold"), f"  {run.command}  ", outcome)
    yield line(f"  {to_period(run.started, run.ended or run.started)}, by {run.who}")
    yield line(f"  realms: {_steps(one.steps)}")
    if run.request is not None:
        yield line(f"  request: {run.request}")
    if run.message:
        yield line("  message: ", Span("", HANG), run.message)
    for block in group_realms(map(_describe_realm, one.realms), details=details):
        yield line()
        yield from block_lines([block], _describe, _statement_lines)


def _describe(block: Block) -> Sequence[str | Span]:
    return "  ", Span(block.head, _GOOD.get(Step(block.head), _BAD))


def _describe_realm(realm: PastWrite) -> Said:
    write = realm.write
    said = [
        Statement("", change.field, (display_short(change.before), display_short(change.after)))
        for change in realm.changes
    ]
    said += [Statement(_NOTE, name, (f"with {name} {display_value(ref)}",)) for name, ref in realm.secrets.items()]
    if write.error:
        said.append(Statement(_ERROR, "", (write.error,)))
    return write.realm, write.step.value, said


def _statement_lines(statements: Sequence[Statement]) -> Iterator[Line]:
    width = max((len(one.subject) for one in statements if not one.kind), default=0)
    for one in statements:
        if one.kind:
            yield from value_lines(["    "], one, _BAD if one.kind == _ERROR else "dim")
        else:
            yield from value_lines([f"    {one.subject:<{width}}  ", Span("", HANG)], one)


_SECRETS = {
    SecretState.UNCHANGED: "the same secret",
    SecretState.UNKNOWN: "unknown whether it is the same secret: the journal has no fingerprint of one of them",
}


def diff_body(report: DiffReport, *, details: bool = False) -> Iterator[Line]:
    """Yield the server, the two runs, how realms differ, those that differ alike once, and the findings."""
    found = report.diff
    yield line(report.title or found.url)
    yield line(f"From run {_describe_run(found.first)}")
    yield line(f"to run {_describe_run(found.second)}")
    yield from _diff_lines(found.realms, found.findings, details=details)


def diff_verdict(report: DiffReport) -> Iterator[Line]:
    """Yield how many realms differ."""
    realms = report.diff.realms
    different = [realm for realm in realms if realm.is_different]
    same = len(realms) - len(different)
    secrets = sum(SecretState.UNKNOWN in realm.secrets.values() for realm in realms)
    unknown = f" Unknown whether passwords are the same: {pluralise(secrets, 'realm')}." if secrets else ""
    others = f"{same:,} the same" if different else f"{pluralise(same, 'realm')} the same"
    counts = f"{pluralise(len(different), 'realm')} different, {others}" if different else others
    yield line(Span("Diff: ", "bold"), f"{counts}.{unknown}")


def comparison_body(report: ComparisonReport, *, details: bool = False) -> Iterator[Line]:
    """Yield the two servers, how realms differ, those that differ alike once, and the findings."""
    found = report.found
    yield line(f"From {found.first}  {found.urls[0]}")
    yield line(f"to {found.second}  {found.urls[1]}")
    of_realms = (one for realm in found.realms for one in realm.findings)
    yield from _diff_lines(found.realms, [*report.findings, *of_realms], details=details)


def comparison_verdict(report: ComparisonReport) -> Iterator[Line]:
    """Yield how many realms differ, are on one server only, and could not be compared."""
    realms = report.found.realms
    unread = sum(has_errors(realm.findings) for realm in realms)
    different = sum(realm.is_different and not realm.only for realm in realms)
    parts = [f"{pluralise(different, 'realm')} different"]
    for name in (report.found.first, report.found.second):
        if number := sum(realm.only == name for realm in realms):
            parts.append(f"{number:,} only on {name}")
    parts.append(f"{len(realms) - unread - sum(realm.is_different for realm in realms):,} the same")
    if unread:
        parts.append(f"{unread:,} could not be read")
    secrets = sum(SecretState.UNKNOWN in realm.secrets.values() for realm in realms)
    unknown = f" Passwords not compared: {pluralise(secrets, 'realm')}." if secrets else ""
    yield line(Span("Compare: ", "bold"), f"{', '.join(parts)}.{unknown}")


def _diff_lines(realms: Iterable[RealmDiff], notes: Iterable[Finding], *, details: bool) -> Iterator[Line]:
    """Yield how realms differ, those that differ alike once, and the findings."""
    yield line()
    said = [_describe_diff(one) for one in realms if one.is_different or SecretState.UNKNOWN in one.secrets.values()]
    for block in group_realms(said, details=details):
        yield from block_lines([block], describe_block, statement_lines)
        yield line()
    yield from note_lines(notes, fold=not details)


def _describe_run(run: Run) -> str:
    return f"{run.number}: {run.command}, {to_minute(run.started)}, by {run.who}"


def _describe_diff(realm: RealmDiff) -> Said:
    statements = [change_statement(change) for change in realm.changes]
    if realm.only:
        statements.append(make_remark(f"only on {realm.only}"))
    for name, state in realm.secrets.items():
        if state is SecretState.CHANGED:
            statements.append(Statement(Action.CHANGE.value, name, ("another secret",)))
        else:
            statements.append(make_remark(f"{name}: {_SECRETS[state]}"))
    return realm.realm, "", statements
