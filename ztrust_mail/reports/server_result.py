"""The result of a run for one of several servers, as a word and as a row of the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.report import PlanReport, ServerResult
from ztrust_mail.reports.stored import stored_counts

STAGE = "stage"
"""The label that the table shows."""

SERVER_HEADS = ("SERVER", "STAGE", "REALMS", "CHANGE", "FAILED", "RESULT")
UNKNOWN = "–"
"""Shown for an unknown number, and for a label that a server does not have."""

IN_SYNC, VALID = "in sync", "valid"

_CHANGED = ("changed", "applied")
_FAILED = ("failed", "missing", "unreadable", "skipped")
_OF_ERRORS = {
    ExitStatus.INTERRUPTED: "interrupted",
    ExitStatus.BUG: "internal error",
    ExitStatus.USAGE: "not run",
    ExitStatus.UNSAFE: "refused",
    ExitStatus.UNREACHABLE: "unreachable",
}
_OF_REPORTS = {
    ExitStatus.INTERRUPTED: "interrupted",
    ExitStatus.BUG: "internal error",
    ExitStatus.USAGE: "failed",
    ExitStatus.UNSAFE: "refused",
    ExitStatus.UNREACHABLE: "unreachable",
    ExitStatus.PARTIAL: "failed in part",
}


_SAID_BY_WORD = {"login-refused": "login refused", "interrupted": "interrupted", "locked": "locked"}
"""Short results, by the rule of the error that ended the run."""

_LONGEST = 60
"""The maximum length of an error in the table; the text above has the full message."""


class RealmCounts(NamedTuple):
    """The number of realms in a report, and of those that changed or would change, and that failed."""

    realms: int
    changed: int | None
    failed: int


def word_of(one: ServerResult) -> str:
    """Return the result of a server as a word or two, suitable for counting."""
    return one.remark.partition(":")[0] if one.remark else _word_of(one.report)


def result_of(one: ServerResult) -> str:
    """Return the result of a server with its run or reason."""
    return one.remark or f"{word_of(one)}{_detail_of(one.report)}"


def row_of(one: ServerResult) -> tuple[str, ...]:
    """Return the row of a server in the table of all, with the columns of :data:`SERVER_HEADS`."""
    counts = count_realms(one.report)
    numbers = [UNKNOWN] * 3 if counts is None else [UNKNOWN if number is None else f"{number:,}" for number in counts]
    return one.name, one.labels.get(STAGE, UNKNOWN), *numbers, result_of(one)


def refused_reasons(report: reports.Report) -> list[str]:
    """Return the dangers for which a plan is refused until they are allowed."""
    return list(dict.fromkeys(one.reason.value for one in report.refused)) if isinstance(report, PlanReport) else []


def list_requests(several: Iterable[reports.Report]) -> list[int]:
    """Return the numbers of the unfinished requests in some reports."""
    found = (one for report in several if isinstance(report, reports.RequestsReport) for one in report.requests)
    return [one.request.number for one in found if not one.request.state.is_final]


def _word_of(report: reports.Report) -> str:
    status = report.exit_status
    if isinstance(report, reports.FindingsReport) and report.hidden is not None:
        return VALID if status is ExitStatus.OK else "invalid"
    if isinstance(report, reports.FindingsReport) and status is not ExitStatus.OK:
        found = _error_of(report)
        if found and found.rule in _SAID_BY_WORD:
            return _SAID_BY_WORD[found.rule]
        return _OF_ERRORS.get(status, "failed")
    if isinstance(report, reports.ApplyReport) and report.result.stopped and status is not ExitStatus.INTERRUPTED:
        return "stopped"
    if isinstance(report, reports.RequestsReport):
        return report.requests[0].request.state.value
    if status in _OF_REPORTS:
        return _OF_REPORTS[status]
    is_ok = status is ExitStatus.OK
    match report:
        case reports.RequestResultReport():
            return report.request.state.value
        case reports.PlanReport():
            return "would change" if report.plan.changed else IN_SYNC
        case reports.ApplyReport():
            return "applied" if is_ok else "test failed"
        case reports.DriftReport():
            return IN_SYNC if is_ok else "drifted"
        case reports.MailTestReport() | reports.ProbeReport():
            return "passed" if is_ok else "test failed"
        case reports.ChecksReport():
            return "all checks passed" if is_ok else "differs"
    return "done" if is_ok else "differs"


def _detail_of(report: reports.Report) -> str:
    match report:
        case reports.ApplyReport() if report.result.run:
            run = f"run {report.result.run}"
            return f" ({run}): {report.result.stopped}" if report.result.stopped else f" ({run})"
        case reports.RequestsReport():
            return f" (request {report.requests[0].request.number})"
        case reports.RequestResultReport():
            return f" (request {report.request.number})"
        case reports.PlanReport() if report.refusal:
            reasons = refused_reasons(report)
            return f": {first_and_more(reasons) if reasons else _shorten(report.refusal.message)}"
        case reports.FindingsReport() if report.hidden is not None:
            return f": {report.counts}"
        case reports.FindingsReport() if (found := _error_of(report)) and found.rule not in _SAID_BY_WORD:
            return f": {_shorten(found.message)}"
    return ""


def _error_of(report: reports.Report) -> Finding | None:
    return next((one for one in report.findings if one.severity is Severity.ERROR), None)


def _shorten(message: str) -> str:
    """Return the cause at the end of an error message, whose start names the server."""
    cause = message.rpartition(": ")[2]
    return cause if len(cause) <= _LONGEST else f"{cause[: _LONGEST - 1]}…"


def count_realms(report: reports.Report) -> RealmCounts | None:
    """Return the numbers of realms, None if the report has no realms."""
    match report:
        case reports.PlanReport():
            return _count([one.status.value for one in report.plan.realms], report.plan.unnamed)
        case reports.DriftReport():
            return _count([one.status.value for one in report.drift.plan.realms], report.drift.plan.unnamed)
        case reports.ApplyReport():
            return _count([one.status.value for one in report.result.realms], report.result.plan.unnamed)
        case reports.MailTestReport() | reports.ProbeReport():
            rows = report.run.outcomes if isinstance(report, reports.MailTestReport) else report.run.realms
            statuses = [one.status.value for one in rows]
            return RealmCounts(len(statuses), None, statuses.count("failed"))
        case reports.RequestResultReport() if (numbers := stored_counts(report.request)) is not None:
            is_test = report.request.kind.startswith("test")
            changed = None if is_test else sum(numbers.get(one, 0) for one in _CHANGED)
            return RealmCounts(numbers["realms"], changed, sum(numbers.get(one, 0) for one in _FAILED))
    return None


def _count(statuses: Sequence[str], unnamed: int) -> RealmCounts:
    numbers = Counter(statuses)
    changed, failed = (sum(numbers[one] for one in several) for several in (_CHANGED, _FAILED))
    return RealmCounts(len(statuses) + unnamed, changed, failed)
