"""What a probe or a check found, as lines of text: a block for each relay, or for the subjects with the same facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more, pluralise
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, Stage, StageOutcome
from ztrust_mail.probing.run import ProbedStatus, ProbeRun
from ztrust_mail.reports.grouping import name_realms
from ztrust_mail.reports.report import CheckReport, ProbeReport
from ztrust_mail.reports.style import HANG, Line, Span, line
from ztrust_mail.reports.text.lines import command_line, finding_lines

if TYPE_CHECKING:
    from ztrust_mail.kits.result import CheckedSubject, CheckFact

FEW_RELAYS = 3
"""With more relays, those without a problem are one line each."""

_STYLES = {
    ProbeStatus.OK: "green",
    ProbeStatus.WARNING: "yellow",
    ProbeStatus.FAILED: "bold red",
    ProbeStatus.NOT_TESTED: "dim",
}
_STAGE_WIDTH = max(len(stage.label) for stage in Stage)
_STATUS_WIDTH = len(Severity.CRITICAL.value)
_FACT_STATUS_WIDTH = max(len(one.value) for one in (ProbeStatus.OK, ProbeStatus.WARNING, ProbeStatus.FAILED))
_MOST_SUBJECTS = 3
"""How many names of subjects a heading has."""


def probe_body(report: ProbeReport, *, details: bool = False) -> Iterator[Line]:
    """Yield a block for each relay, then remarks about realms and settings."""
    run = report.run
    if report.title or run.url:
        yield line(report.title or run.url)
        yield line()
    was_short = True
    for place, one in enumerate(run.relays):
        is_short = len(run.relays) > FEW_RELAYS and one.status is ProbeStatus.OK and not details
        if place and not (is_short and was_short):
            yield line()
        was_short = is_short
        yield _heading(one)
        yield from [_short_line(one)] if is_short else _stage_lines(one)
    without = [one.realm for one in run.realms if one.status is ProbedStatus.SKIPPED]
    if without:
        yield line()
        yield line(Span(name_realms(without), "bold"), "  no e-mail settings")
    own = [one for one in report.findings if one not in _relay_findings(run)]
    lines = list(finding_lines([*own, *(one for realm in run.realms for one in realm.findings)], fold=not details))
    yield from [line(), *lines] if lines else []
    yield line()


def _relay_findings(run: ProbeRun) -> set[Finding]:
    return {finding for relay in run.relays for finding in relay.findings}


def _heading(found: RelayOutcome) -> Line:
    realms = f": {name_realms(found.realms)}" if found.realms else ""
    return line(Span(str(found.relay), "bold"), realms, "  ", _status(found.status))


def _status(status: ProbeStatus) -> Span:
    word = status.value.replace("-", " ")
    return Span(word.upper() if status is ProbeStatus.FAILED else word, _STYLES[status])


def _short_line(found: RelayOutcome) -> Line:
    login = found.stage(Stage.LOGIN)
    parts = [f"{found.tls.version}, certificate {_days(found)}" if found.tls else "no encryption"]
    parts += ["login accepted"] if login and login.status is ProbeStatus.OK else []
    return line(f"  {', '.join(parts)}")


def _days(found: RelayOutcome) -> str:
    left = [one.days_left for one in found.tls.chain] if found.tls else []
    return f"{pluralise(min(left), 'day')} left" if left else "unknown"


def _stage_lines(found: RelayOutcome) -> Iterator[Line]:
    """Yield a line for each stage that was tested, and one for the others."""
    left_out: dict[str, list[str]] = {}
    for one in found.stages:
        if one.stage is Stage.QUIT and one.status is not ProbeStatus.FAILED:
            continue
        if one.status is ProbeStatus.NOT_TESTED and not one.finding:
            left_out.setdefault(one.detail, []).append(one.stage.label)
        else:
            yield from _stage_line(one)
    tried = [one for one in found.addresses if one.status is ProbeStatus.FAILED]
    if tried and not found.failure:
        addresses = "; ".join(f"{one.address} {one.detail}" for one in tried)
        yield line(" " * 4, Span("", HANG), Span(f"addresses that failed: {addresses}", "dim"))
    for reason, labels in left_out.items():
        yield line("  ", Span(f"not tested: {', '.join(labels)} ({reason})", "dim"))


def _stage_line(one: StageOutcome) -> Iterator[Line]:
    is_critical = one.finding and one.finding.severity is Severity.CRITICAL
    word = "critical" if is_critical else "–" if one.status is ProbeStatus.NOT_TESTED else one.status.value
    mark = Span(f"{word:<{_STATUS_WIDTH}}", _STYLES[one.status])
    took = Span(f" ({_time(one.seconds)})", "dim") if one.seconds >= 0.001 else Span("")
    rule = Span(f" [{one.rule}]", "dim") if one.rule else Span("")
    yield line(f"  {one.stage.label:<{_STAGE_WIDTH}}  ", mark, "  ", Span("", HANG), one.detail, took, rule)
    if one.finding and one.finding.hint:
        yield line(" " * (_STAGE_WIDTH + _STATUS_WIDTH + 6), Span("", HANG), Span(f"next: {one.finding.hint}"))


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def probe_verdict(report: ProbeReport) -> Iterator[Line]:
    """Yield the numbers of relays and affected realms, and what was sent."""
    run = report.run
    sent = [one.message_id for one in run.relays if one.message_id]
    numbers = Counter(one.status for one in run.relays)
    parts = [f"{numbers[status]:,} {status.value.replace('-', ' ')}" for status in ProbeStatus if numbers[status]]
    yield line(
        Span(f"Probed {pluralise(len(run.relays), 'relay')}: ", "bold"), f"{', '.join(parts) or 'none'}.{_realms(run)}"
    )
    if sent:
        yield line(f"Sent: {first_and_more(sent)}.")


def _realms(run: ProbeRun) -> str:
    failed = sum(one.status is ProbedStatus.FAILED for one in run.realms)
    return f" {failed:,} of {pluralise(len(run.realms), 'realm')} affected." if failed else ""


def check_body(report: CheckReport, *, details: bool = False) -> Iterator[Line]:
    """Yield a block for each group of subjects, the worst first, then remarks about other realms."""
    run = report.run
    if report.title or run.url:
        yield line(report.title or run.url)
        yield line()
    order = list(ProbeStatus)
    groups = sorted(group_subjects(run.subjects, details=details), key=lambda group: order.index(group[0].status))
    for place, group in enumerate(groups):
        if place:
            yield line()
        yield _group_heading(group)
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
    """Return subjects grouped by equal facts; with ``details``, each alone."""
    if details:
        return [[one] for one in subjects]
    groups: dict[tuple[CheckFact, ...], list[CheckedSubject]] = {}
    for one in subjects:
        groups.setdefault(one.facts, []).append(one)
    return list(groups.values())


def name_group(group: Sequence[CheckedSubject]) -> tuple[str, str]:
    """Return the names of subjects, empty if they have none, and of their realms."""
    names = first_and_more([one.name for one in group if one.name], _MOST_SUBJECTS) if group[0].name else ""
    return names, name_realms([realm for one in group for realm in one.realms])


def _group_heading(group: Sequence[CheckedSubject]) -> Line:
    names, realms = name_group(group)
    return line(Span(names or realms, "bold"), f": {realms}  " if names else "  ", _status(group[0].status))


def _fact_lines(facts: Sequence[CheckFact]) -> Iterator[Line]:
    """Yield a line for each fact, a hint once, and one line for what cannot be tested."""
    shown = [one for one in facts if one.problem or one.status is not ProbeStatus.NOT_TESTED]
    width = max((len(one.name) for one in shown), default=0)
    for place, one in enumerate(shown):
        word = "–" if one.status is ProbeStatus.NOT_TESTED else one.status.value
        mark = Span(f"{word:<{_FACT_STATUS_WIDTH}}", _STYLES[one.status])
        rule = Span(f" [{one.rule}]", "dim") if one.rule else Span("")
        detail = f"not tested: {one.detail}" if one.status is ProbeStatus.NOT_TESTED else one.detail
        whose = f" (in {name_realms(one.realms)})" if one.realms else ""
        yield line(f"  {one.name:<{width}}  ", mark, "  ", Span("", HANG), detail, whose, rule)
        hint = one.problem.hint if one.problem else ""
        if hint and all(later.problem is None or later.problem.hint != hint for later in shown[place + 1 :]):
            yield line(" " * (width + _FACT_STATUS_WIDTH + 6), Span("", HANG), Span(f"next: {hint}"))
    others = "; ".join(f"{one.name} ({one.detail})" for one in facts if one not in shown)
    if others:
        yield line("  ", Span("", HANG), Span(f"not tested: {others}", "dim"))


def check_verdict(report: CheckReport) -> Iterator[Line]:
    """Yield the numbers of realms by result, and the next command."""
    run = report.run
    numbers = Counter(one.status for one in run.realms)
    parts = [f"{numbers[status]:,} {_state(status)}" for status in ProbedStatus if numbers[status]]
    yield line()
    yield line(Span(f"Checked {pluralise(len(run.realms), 'realm')}: ", "bold"), f"{', '.join(parts) or 'none'}.")
    yield from map(line, run.closing)
    if report.next_step:
        yield command_line("Switch them with", report.next_step)


def _state(status: ProbedStatus) -> str:
    return "not concerned" if status is ProbedStatus.SKIPPED else status.value.replace("-", " ")
