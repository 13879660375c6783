"""What runs did, as lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ztrust_mail.core.text import printable, to_period
from ztrust_mail.journal.records import Outcome, Step
from ztrust_mail.model.serialize import display_short, display_value
from ztrust_mail.reports.grouping import Block, Said, Statement, group_realms
from ztrust_mail.reports.style import HANG, WIDTH, Line, Span, line
from ztrust_mail.reports.text.lines import block_lines, value_lines

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
    return (str(run.number), _minute(run.started), command, run.outcome.value, _steps(one.steps), run.who)


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _steps(steps: Mapping[Step, int]) -> str:
    return ", ".join(f"{number:,} {step.value}" for step, number in steps.items()) or "none"


def run_lines(one: PastRun, *, details: bool = False) -> Iterator[Line]:
    """Yield one run, and what it did to its realms, equal changes of several realms once."""
    run = one.run
    outcome = Span(run.outcome.value, _GOOD.get(run.outcome, _BAD))
    yield line(Span(f"Run {run.number}", "bold"), f"  {run.command}  ", outcome)
    yield line(f"  {to_period(run.started, run.ended or run.started)}, by {run.who}")
    yield line(f"  realms: {_steps(one.steps)}")
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
