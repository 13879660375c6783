"""What a check before a switch found, as lines of text: a block for the subjects with the same facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ztrust_mail.core.text import first_and_more, pluralise
from ztrust_mail.kits.result import CheckedSubject, CheckFact
from ztrust_mail.probing.outcome import ProbeStatus
from ztrust_mail.probing.run import ProbedStatus
from ztrust_mail.reports.grouping import name_realms
from ztrust_mail.reports.report import CheckReport
from ztrust_mail.reports.style import HANG, Line, Span, line
from ztrust_mail.reports.text.findings import finding_lines
from ztrust_mail.reports.text.lines import command_line

_STYLES = {
    ProbeStatus.OK: "green",
    ProbeStatus.WARNING: "yellow",
    ProbeStatus.FAILED: "bold red",
    ProbeStatus.NOT_TESTED: "dim",
}
_MARKS = {ProbeStatus.NOT_TESTED: "–"}
_STATUS_WIDTH = max(len(one.value) for one in (ProbeStatus.OK, ProbeStatus.WARNING, ProbeStatus.FAILED))
_EXAMPLES = 3


def check_body(report: CheckReport, *, details: bool = False) -> Iterator[Line]:
    """Yield a block for each group of subjects, the worst first, then what is to be said of other realms."""
    run = report.run
    if report.title or run.url:
        yield line(report.title or run.url)
        yield line()
    order = list(ProbeStatus)
    groups = sorted(group_subjects(run.subjects, details=details), key=lambda group: order.index(group[0].status))
    for place, group in enumerate(groups):
        if place:
            yield line()
        yield _heading(group)
        yield from _fact_lines(group[0].facts)
    skipped = [one.realm for one in run.realms if one.status is ProbedStatus.SKIPPED]
    if skipped:
        yield from [line()] if groups else []
        yield line(Span(name_realms(skipped), "bold"), "  not concerned")
    shown = {realm for subject in run.subjects for realm in subject.realms}
    alone = [finding for one in run.realms if one.realm not in shown for finding in one.findings]
    lines = list(finding_lines([*report.findings, *alone], fold=not details))
    yield from [line(), *lines] if lines else []


def group_subjects(subjects: Sequence[CheckedSubject], *, details: bool = False) -> list[list[CheckedSubject]]:
    """Return subjects with equal facts together; each alone with ``details``."""
    if details:
        return [[one] for one in subjects]
    groups: dict[tuple[CheckFact, ...], list[CheckedSubject]] = {}
    for one in subjects:
        groups.setdefault(one.facts, []).append(one)
    return list(groups.values())


def name_group(group: Sequence[CheckedSubject]) -> tuple[str, str]:
    """Return the names of subjects, empty if they have none, and of their realms."""
    names = first_and_more([one.name for one in group if one.name], _EXAMPLES) if group[0].name else ""
    return names, name_realms([realm for one in group for realm in one.realms])


def _heading(group: Sequence[CheckedSubject]) -> Line:
    names, realms = name_group(group)
    status = group[0].status
    word = status.value.replace("-", " ")
    mark = Span(word.upper() if status is ProbeStatus.FAILED else word, _STYLES[status])
    shown = Span(names or realms, "bold")
    return line(shown, f": {realms}  " if names else "  ", mark)


def _fact_lines(facts: Sequence[CheckFact]) -> Iterator[Line]:
    """Yield a line for each fact, a hint once, and one line for what cannot be tested."""
    shown = [one for one in facts if one.problem or one.status is not ProbeStatus.NOT_TESTED]
    width = max((len(one.name) for one in shown), default=0)
    for place, one in enumerate(shown):
        mark = Span(f"{_MARKS.get(one.status, one.status.value):<{_STATUS_WIDTH}}", _STYLES[one.status])
        rule = Span(f" [{one.rule}]", "dim") if one.rule else Span("")
        detail = f"not tested: {one.detail}" if one.status is ProbeStatus.NOT_TESTED else one.detail
        whose = f" (in {name_realms(one.realms)})" if one.realms else ""
        yield line(f"  {one.name:<{width}}  ", mark, "  ", Span("", HANG), detail, whose, rule)
        hint = one.problem.hint if one.problem else ""
        if hint and all(later.problem is None or later.problem.hint != hint for later in shown[place + 1 :]):
            yield line(" " * (width + _STATUS_WIDTH + 6), Span("", HANG), Span(f"next: {hint}"))
    others = "; ".join(f"{one.name} ({one.detail})" for one in facts if one not in shown)
    if others:
        yield line("  ", Span("", HANG), Span(f"not tested: {others}", "dim"))


def check_run_verdict(report: CheckReport) -> Iterator[Line]:
    """Yield the numbers of realms, what they come to, and the command to run next."""
    run = report.run
    numbers = Counter(one.status for one in run.realms)
    parts = [f"{numbers[status]:,} {_word(status)}" for status in ProbedStatus if numbers[status]]
    yield line()
    yield line(Span(f"Checked {pluralise(len(run.realms), 'realm')}: ", "bold"), f"{', '.join(parts) or 'none'}.")
    yield from map(line, run.closing)
    if report.next_step:
        yield command_line("Switch them with", report.next_step)


def _word(status: ProbedStatus) -> str:
    return "not concerned" if status is ProbedStatus.SKIPPED else status.value.replace("-", " ")
