"""What runs did, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ztrust_mail.journal.records import Outcome, Step
from ztrust_mail.model.serialize import display_short, display_value
from ztrust_mail.reports.style import Line, Span, line

if TYPE_CHECKING:
    from ztrust_mail.planning.past_runs import PastRun, PastWrite

_HEADS = ("RUN", "WHEN (UTC)", "COMMAND", "OUTCOME", "REALMS", "WHO")
_GOOD = {Outcome.DONE: "green", Outcome.RESUMED: "green", Step.VERIFIED: "green", Step.ACCEPTED: "green"}
_BAD = "yellow"


def run_table(runs: Sequence[PastRun], server: str) -> Iterator[Line]:
    """Yield the runs as a table, or a single line when there are none."""
    if not runs:
        yield line(f"No runs recorded for {server}.")
        return
    rows = [_row(one) for one in runs]
    widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
    for row, style in [(_HEADS, "bold"), *((row, "") for row in rows)]:
        yield line(Span("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)), style))


def _row(one: PastRun) -> tuple[str, ...]:
    run = one.run
    return (str(run.number), _minute(run.started), run.command, run.outcome.value, _steps(one.steps), run.who)


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _steps(steps: Mapping[Step, int]) -> str:
    return ", ".join(f"{number:,} {step.value}" for step, number in steps.items()) or "none"


def run_lines(one: PastRun) -> Iterator[Line]:
    """Yield one run, and what it did to each realm."""
    run = one.run
    outcome = Span(run.outcome.value, _GOOD.get(run.outcome, _BAD))
    yield line(Span(f"Run {run.number}", "bold"), f"  {run.command}  ", outcome)
    ended = f" to {_minute(run.ended)}" if run.ended else ""
    yield line(f"  {_minute(run.started)}{ended} UTC, by {run.who}")
    yield line(f"  realms: {_steps(one.steps)}")
    for realm in one.realms:
        yield line()
        yield from _realm(realm)


def _realm(realm: PastWrite) -> Iterator[Line]:
    write = realm.write
    yield line(Span(write.realm, "bold"), "  ", Span(write.step.value, _GOOD.get(write.step, _BAD)))
    width = max((len(change.field) for change in realm.changes), default=0)
    for change in realm.changes:
        before, after = Span(display_short(change.before), "red"), Span(display_short(change.after), "green")
        yield line(f"    {change.field:<{width}}  ", before, " → ", after)
    for name, ref in realm.secrets.items():
        yield line(Span(f"    with {name} {display_value(ref)}", "dim"))
    if write.error:
        yield line("    ", Span(write.error, _BAD))
