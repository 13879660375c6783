"""A run on several servers as text: what each server has to say, then a table of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports.report import FleetReport, Report
from ztrust_mail.reports.server_result import FLEET_HEADS, STAGE, ServerResult, row_of
from ztrust_mail.reports.style import HANG, Line, Span, line
from ztrust_mail.reports.text.lines import command_line

if TYPE_CHECKING:
    from ztrust_mail.reports.text import TextReport

_NUMBERS = ("REALMS", "CHANGE", "FAILED")
_COLORS = {ExitStatus.OK: "green", ExitStatus.DIFFERS: "yellow"}
_QUIET = ("in sync",)
"""What a server is left out of the details for, unless something is found there: the table says it."""


def fleet_body(report: FleetReport, render: Callable[[Report], TextReport], *, details: bool = False) -> Iterator[Line]:
    """Yield the text of each server below its name. With ``details`` also of those in sync."""
    for one in report.servers:
        if details or not _is_quiet(one):
            yield from section_lines(one, _text_of(one, render))


def section_lines(one: ServerResult, lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the name of a server, its labels, and its text."""
    labels = ", ".join(f"{name}={value}" for name, value in one.labels.items())
    yield line(Span(f"== {one.name}", "bold"), Span(f" ({labels})" if labels else "", "dim"))
    yield from lines
    yield line()


def table_lines(servers: Iterable[ServerResult]) -> Iterator[Line]:
    """Yield the table; without the column of stages where no server has one."""
    several = tuple(servers)
    has_stage = any(STAGE in one.labels for one in several)
    kept = [number for number, head in enumerate(FLEET_HEADS) if has_stage or head != "STAGE"]
    rows = [tuple(row[number] for number in kept) for row in (FLEET_HEADS, *map(row_of, several))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    heads = rows[0]
    for row, one in zip(rows, (None, *several), strict=True):
        cells = [
            f"{cell:>{width}}" if head in _NUMBERS else f"{cell:<{width}}"
            for cell, width, head in zip(row[:-1], widths, heads, strict=False)
        ]
        style = "bold" if one is None else _COLORS.get(one.report.exit_status, "red")
        start = f"{'  '.join(cells)}  "
        yield line(Span(start, "bold" if one is None else ""), Span("", HANG), Span(row[-1], style))


def fleet_verdict(report: FleetReport) -> Iterator[Line]:
    """Yield the table, how many servers came to what, and what to do next."""
    yield from table_lines(report.servers)
    words = Counter(one.word for one in report.servers)
    counts = ", ".join(f"{number:,} {word}" for word, number in words.items())
    status = f"Exit status {int(report.exit_status)}."
    yield line(Span(f"{pluralise(len(report.servers), 'server')}: ", "bold"), f"{counts}. {status}")
    if report.next_step:
        yield command_line("Next", report.next_step)


def _is_quiet(one: ServerResult) -> bool:
    grave = [found for found in one.report.findings if found.severity is not Severity.NOTE]
    return one.word in _QUIET and not grave


def _text_of(one: ServerResult, render: Callable[[Report], TextReport]) -> Iterable[Line]:
    if one.lines is not None:
        return one.lines
    body, verdict = render(one.report)
    return [*body, *verdict]
