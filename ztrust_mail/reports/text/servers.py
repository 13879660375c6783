"""The servers of the settings, and what the doctor finds on one, as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.diagnose.doctor import MAX_EXAMPLES, DoctorReport
from ztrust_mail.diagnose.servers import ReachStatus, ServerList
from ztrust_mail.reports.report import ServersReport
from ztrust_mail.reports.style import HANG, WHOLE, Line, Span, line
from ztrust_mail.reports.text.lines import command_line
from ztrust_mail.settings.inventory import ListedServer
from ztrust_mail.settings.server_entry import DEFAULT_QUEUE

_STYLES = {
    ReachStatus.OK: "green",
    ReachStatus.UNKNOWN: "yellow",
    ReachStatus.REFUSED: "red",
    ReachStatus.UNREACHABLE: "red",
    ReachStatus.BROKEN: "red",
}
_MOST_NAME = 24


def server_list_lines(found: ServerList) -> Iterator[Line]:
    """Yield lines per server: name and URL; login, limits, queue and labels; the result of its check."""
    width = min(max((len(one.title) for one in found.servers), default=0), _MOST_NAME)
    for one in found.servers:
        check, server = found.checks.get(one.name), one.server
        url = Span(server.url, WHOLE) if server else Span("broken", "red")
        yield line(Span(f"{one.title:<{width}}", "bold"), "  ", url)
        indent = " " * (width + 2)
        if facts := list(server_facts(one)):
            yield line(indent, Span("", HANG), Span("; ".join(facts), "dim"))
        if check:
            detail = "" if check.finding else f": {check.detail}"  # the findings follow
            took = f" ({check.seconds:.2f} s)" if check.status is ReachStatus.OK else ""
            yield line(indent, Span("", HANG), Span(check.status.value, _STYLES[check.status]), detail, took)


def server_facts(one: ListedServer) -> Iterator[str]:
    """Yield the facts about a server besides name and URL."""
    if server := one.server:
        yield server.gateway
        yield from [one.account] if one.account else []
        yield from (f"{key} from {source}" for key, source in one.sources.items())
        if rate := server.limits.requests_per_second:
            yield f"{rate:g} requests per second"
        if server.limits.windows is not None:
            yield f"written only: {', '.join(map(str, server.limits.windows)) or 'never'}"
        if server.queue != DEFAULT_QUEUE:
            yield f"queue {server.queue}"
    yield from [" ".join(describe_labels(one))] if one.labels else []


def describe_labels(one: ListedServer) -> Iterator[str]:
    """Yield the labels of a server as ``stage=prod``."""
    yield from (f"{name}={value}" for name, value in one.labels.items())


def server_list_verdict(report: ServersReport) -> Iterator[Line]:
    """Yield the number of servers, and the next step."""
    yield line(f"{report.listed.summary}.")
    if not report.listed.servers:
        yield command_line("How to add a server to the settings", "ztrust-mail docs settings")
    elif report.next_step:
        yield command_line("Log in to each", report.next_step)


def doctor_lines(found: DoctorReport, *, capabilities: bool = False) -> Iterator[Line]:
    """Yield each check with its answer and, unless that is a yes, what to do; with ``capabilities`` their table, too.

    Realms with the same problem are one group with some examples. A no of the first check has no table after it.
    """
    marks = {True: Span("yes", "green"), False: Span("no", "bold red"), None: Span("?", "yellow")}
    yield line(found.url)
    for check in found.checks:
        mark = marks[check.answer]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{check.question:<22}  {check.detail}")
        for group in check.groups[:MAX_EXAMPLES]:
            examples = first_and_more([quoted(realm) for realm in group.realms], MAX_EXAMPLES)
            yield line(f"      not in {examples}: {group.message}")
            yield line(Span(f"        {group.hint}", "dim"))
        if (more := len(check.groups) - MAX_EXAMPLES) > 0:
            yield line(f"      and {pluralise(more, 'other problem')}: ztrust-mail doctor --format json")
        if check.hint and check.answer is not True:
            yield line(Span(f"        {check.hint}", "dim"))
    if capabilities and found.checks[0].answer is not False:
        yield from _capability_lines(found, marks)


def doctor_verdict(found: DoctorReport) -> Iterator[Line]:
    """Yield how many checks failed; nothing after a no of the first check, which says it all."""
    if found.checks[0].answer is False:
        return
    numbers = Counter(check.answer for check in found.checks)
    verdict = f"{pluralise(numbers[False], 'check')} failed" if numbers[False] else "No problem found"
    unknown = f"; {pluralise(numbers[None], 'check')} could not be made" if numbers[None] else ""
    yield line(Span(f"{verdict}{unknown}.", "bold"))


def _capability_lines(found: DoctorReport, marks: Mapping[bool | None, Span]) -> Iterator[Line]:
    yield line(f"What {found.title} can do:")
    width = max(len(ability.operation) for ability in found.abilities)
    for ability in found.abilities:
        mark = marks[ability.is_supported]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{ability.operation:<{width}}  {ability.remark}")
