"""A run on several servers as text: the output of each server, then a table of all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import first_and_more, pluralise, shell_word
from ztrust_mail.reports.report import ManyServersReport, Report, RequestsReport, ServerResult
from ztrust_mail.reports.server_result import IN_SYNC, SERVER_HEADS, UNKNOWN, VALID, refused_reasons, row_of, word_of
from ztrust_mail.reports.style import HANG, Line, Span, line, plain
from ztrust_mail.reports.text.lines import TextReport, command_line

_NUMBERS = ("REALMS", "CHANGE", "FAILED")
_COLORS = {ExitStatus.OK: "green", ExitStatus.DIFFERS: "yellow"}
_QUIET = (IN_SYNC, VALID)
"""Results that, like requests, are only in the table, unless there are findings."""


def many_servers_body(
    report: ManyServersReport, render: Callable[[Report], TextReport], *, details: bool = False
) -> Iterator[Line]:
    """Yield the text of each server below its name; with ``details``, also of those in sync."""
    yield from group_lines([one for one in report.servers if details or not _is_quiet(one)], render, details=details)


def group_lines(
    servers: Iterable[ServerResult], render: Callable[[Report], TextReport], *, details: bool = False
) -> Iterator[Line]:
    """Yield the text of each server below its name. Identical text is yielded once, unless ``details``."""
    groups: dict[str, list[ServerResult]] = {}
    texts: dict[str, list[Line]] = {}
    for one in servers:
        lines = list(_text_of(one, render))
        key = one.name if details else _without_server(one, plain(lines))
        groups.setdefault(key, []).append(one)
        texts.setdefault(key, lines)
    for key, (first, *others) in groups.items():
        labels = ", ".join(f"{name}={value}" for name, value in first.labels.items())
        yield line(Span(f"== {first.name}", "bold"), Span(f" ({labels})" if labels else "", "dim"))
        yield from texts[key]
        if others:
            names = [one.name for one in others]
            yield line(f"The same on {pluralise(len(names), 'other server')}: ", Span(first_and_more(names), "bold"))
        yield line()


def _without_server(one: ServerResult, shown: str) -> str:
    """Return a text without its server and run number, to find servers with identical text."""
    shown = shown.replace(f"--server {shell_word(one.name)}", "--server").replace(f"{one.name} (", "(")
    for url in filter(None, (one.report.server, urlsplit(one.report.server).netloc)):
        shown = shown.replace(url, "")
    return re.sub(r"\(run \d+\)", "(run)", shown)


def table_lines(servers: Iterable[ServerResult]) -> Iterator[Line]:
    """Yield the table, without columns that have no value for any server."""
    several = tuple(servers)
    cells_of_all = [row_of(one) for one in several]
    kept = [number for number in range(len(SERVER_HEADS)) if any(row[number] != UNKNOWN for row in cells_of_all)]
    rows = [tuple(row[number] for number in kept) for row in (SERVER_HEADS, *cells_of_all)]
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


def many_servers_verdict(report: ManyServersReport) -> Iterator[Line]:
    """Yield the table, the number of servers per result, and the next step."""
    yield from table_lines(report.servers)
    words = Counter(word_of(one) for one in report.servers)
    counts = ", ".join(f"{number:,} {word}" for word, number in words.items())
    status = f"Exit status {int(report.exit_status)}."
    yield line(Span(f"{pluralise(len(report.servers), 'server')}: ", "bold"), f"{counts}. {status}")
    if report.next_step:
        is_refused = any(refused_reasons(one.report) for one in report.servers)
        yield command_line("If intended" if is_refused else "Next", report.next_step)


def _is_quiet(one: ServerResult) -> bool:
    grave = [found for found in one.report.findings if found.severity is not Severity.NOTE]
    return (word_of(one) in _QUIET or isinstance(one.report, RequestsReport)) and not grave


def _text_of(one: ServerResult, render: Callable[[Report], TextReport]) -> Iterable[Line]:
    if one.lines is not None:
        return one.lines
    body, verdict = render(one.report)
    return [*body, *verdict]
