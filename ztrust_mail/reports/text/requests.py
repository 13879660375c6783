"""Requests as lines of text: a table, a sentence or a page about one, and a worker's report."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.text import format_ranges, pluralise, printable, quoted, to_minute, to_second
from ztrust_mail.journal.request_list import RequestList, RequestStatus
from ztrust_mail.journal.requests import RequestState, StoredRequest
from ztrust_mail.reports.report import RequestListReport, RequestResultReport, RequestsReport
from ztrust_mail.reports.stored import fill_in_number
from ztrust_mail.reports.style import HANG, WIDTH, Line, Span, line
from ztrust_mail.reports.text.lines import HEADING, command_line
from ztrust_mail.settings.server_entry import DEFAULT_QUEUE

_HEADS: Final = ("REQUEST", "SERVER", "WORK", "STATE", "SUBMITTED (UTC)", "BY")
_MOST: Final = (13, 20, 11, 15, 16)
"""The maximum width of each column but the last, which gets the rest."""
_FOLD_FROM: Final = 4
"""The number of similar requests from which they share a row."""

_STYLES: Final = {
    RequestState.DONE: "green",
    RequestState.RUNNING: "green",
    RequestState.FAILED: "red",
    RequestState.DEAD: "red",
    RequestState.CANCELLED: "yellow",
}


@dataclass(frozen=True)
class _RequestRow:
    """A row of similar requests for one server."""

    requests: Sequence[StoredRequest]

    @property
    def first(self) -> StoredRequest:
        return self.requests[0]

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the table."""
        numbers = sorted(one.number for one in self.requests)
        state = _word(self.first)
        is_one, ranges = len(numbers) == 1, format_ranges(numbers)
        return (
            ranges if len(ranges) <= _MOST[0] else f"{numbers[0]}…{numbers[-1]}",
            title_of(self.first),
            self.first.kind,
            state if is_one else f"{len(numbers):,} {state}",
            f"{min(one.submitted for one in self.requests):%Y-%m-%d %H:%M}",
            self.first.who if len({one.who for one in self.requests}) == 1 else "several",
        )

    @property
    def remark(self) -> str:
        """The line below the row: how it ended, why it waits, or why it was submitted."""
        remarks = {summary_of(one) or one.message for one in self.requests}
        return remarks.pop() if len(remarks) == 1 else ""


def title_of(request: StoredRequest) -> str:
    """Return the display name of a request's server."""
    return request.name or request.server


def summary_of(request: StoredRequest) -> str:
    """Return how a request ended or why it waits, without the server, which is shown next to it."""
    return request.summary.removeprefix(f"{request.server}: ")


def _word(request: StoredRequest) -> str:
    return "cancelling" if request.is_stopping else request.state.value


def request_table(found: RequestList, *, details: bool = False) -> Iterator[Line]:
    """Yield the requests as a table of 80 columns; similar requests share a row, unless ``details``."""
    if not found.requests:
        return
    rows = _fold(found, details=details)
    table = [_HEADS, *(one.cells for one in rows)]
    widths = [min(max(map(len, column)), most) for column, most in zip(zip(*table, strict=True), _MOST, strict=False)]
    widths.append(max(WIDTH - sum(widths) - 2 * len(widths), len(_HEADS[-1])))
    yield line(Span("  ".join(map(_fit, _HEADS, widths)).rstrip(), "bold"))
    for one in rows:
        cells = [*map(_fit, one.cells, widths)]
        state = Span(cells[3], _STYLES.get(one.first.state, ""))
        start, end = "  ".join(cells[:3]), "  ".join(cells[4:]).rstrip()
        yield line(f"{start}  ", state, f"  {end}")
        if one.remark:
            yield line(" " * (widths[0] + 2), Span("", HANG), Span(one.remark, "dim"))


def _fold(found: RequestList, *, details: bool) -> list[_RequestRow]:
    groups: dict[object, list[StoredRequest]] = {}
    by_state = sorted(found.unfinished, key=lambda one: one.state is not RequestState.RUNNING)
    for one in (*by_state, *found.ended):
        key = one.server, one.kind, _word(one), summary_of(one)
        groups.setdefault(one.number if details else key, []).append(one)
    rows: list[_RequestRow] = []
    for several in groups.values():
        rows += [_RequestRow(several)] if len(several) >= _FOLD_FROM else [_RequestRow([one]) for one in several]
    places = {one.number: place for place, one in enumerate((*by_state, *found.ended))}
    rows.sort(key=lambda row: places[row.first.number])
    unfinished = sum(not row.first.state.is_final for row in rows)
    return rows[: unfinished + found.limit]


def _fit(cell: str, width: int) -> str:
    cell = printable(cell)
    return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 1]}…"


def request_table_verdict(report: RequestListReport) -> Iterator[Line]:
    """Yield the number of requests in each state, and the next step."""
    if not report.listed.counts:
        where = f" for {report.title or report.server}" if report.server else ""
        yield line(f"No requests{where}.")
        return
    counts = report.listed.counts
    numbers = ", ".join(f"{counts[state]:,} {state}" for state in RequestState if state in counts)
    yield line(Span("Requests: ", "bold"), f"{numbers}.")
    for queue in report.listed.idle_queues:
        said = f"No request in queue {quoted(queue)} is running. If no worker serves it, start one"
        yield command_line(said, worker_command(queue))
    if report.next_step:
        yield command_line("Show one", report.next_step)


def worker_command(queue: str) -> str:
    """Return the command that starts a worker for a queue."""
    return "ztrust-mail worker" if queue == DEFAULT_QUEUE else f"ztrust-mail worker --queue {shlex.quote(queue)}"


def sentence(one: RequestStatus) -> str:
    """Return a sentence such as: ``Request 12 on `prod` is waiting (2 ahead)``."""
    request = one.request
    said = f"Request {request.number} on {quoted(title_of(request))} is {_word(request)}"
    if request.state is RequestState.WAITING:
        said += f" ({one.ahead:,} ahead)"
    elif request.state is RequestState.RUNNING:
        said += f" ({one.realms_done:,} of {pluralise(one.realms, 'realm')})" if one.steps else ""
        return f"{said}, and will stop before the next realm" if request.is_cancelled else said
    return f"{said}: {summary}" if (summary := summary_of(request)) else said


def requests_verdict(report: RequestsReport) -> Iterator[Line]:
    """Yield a sentence per request, and the next step."""
    for one in report.requests:
        yield line(f"{sentence(one)}.")
    left = [one.request.number for one in report.requests if not one.request.state.is_final]
    if report.exit_status is ExitStatus.INTERRUPTED and left:
        yield line("It continues without this command." if len(left) == 1 else "They continue without this command.")
        yield command_line("Cancel", f"ztrust-mail requests {format_ranges(left)} --cancel")
    if report.next_step:
        yield command_line("Follow", report.next_step)


def request_lines(report: RequestsReport) -> Iterator[Line]:
    """Yield all details of each request."""
    for one in report.requests:
        yield from _whole(one)
        yield line()


def _whole(one: RequestStatus) -> Iterator[Line]:
    request = one.request
    state = Span(_word(request), _STYLES.get(request.state, ""))
    yield line(Span(f"Request {request.number}", "bold"), f"  {request.kind}  ", state)
    yield line("  ", request.server, f", server {quoted(request.name)}" if request.name else "")
    yield line(f"  submitted: {to_second(request.submitted)}, by {request.who}; queue {request.queue}")
    if request.started:
        ended = f", ended {to_second(request.ended)}" if request.ended else ""
        yield line(f"  started: {to_second(request.started)}{ended}")
    if request.attempts:
        yield line(f"  attempts: {request.attempts}")
    if request.state is RequestState.WAITING:
        due = f", not before {to_second(request.due)}" if request.due > request.submitted else ""
        yield line(f"  waiting: {one.ahead:,} ahead{due}")
    if one.run:
        steps = ", ".join(f"{number:,} {step}" for step, number in one.steps.items())
        yield line(f"  run: {one.run}, realms: {steps or 'none'}")
    for name, text in (("key", request.key), ("message", request.message)):
        if text:
            yield line(f"  {name}: ", Span("", HANG), text)
    if request.report_text:
        yield line()
        yield from stored_lines(request)


def stored_lines(request: StoredRequest) -> Iterator[Line]:
    """Yield the text of the report that a worker stored."""
    for number, one in enumerate(fill_in_number(request.report_text, request).splitlines()):
        if number or not one.startswith(HEADING):
            yield line(one)


def stored_verdict(report: RequestResultReport) -> Iterator[Line]:
    """Yield the outcome of the request, and the next step."""
    request = report.request
    color = "green" if report.exit_status is ExitStatus.OK else _STYLES.get(request.state, "")
    ended = f" at {to_minute(request.ended)}" if request.ended else ""
    said = f"Request {request.number} on {quoted(title_of(request))} is "
    yield line(said, Span(request.state.value, color), f"{ended}.")
    if report.next_step:
        yield command_line("Next", report.next_step)
