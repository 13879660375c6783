"""The library: everything the command line does, as functions that neither print nor exit.

A typical use::

    import ztrust_mail

    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": {...}}})
    with ztrust_mail.connect("https://id.example.com", spec=spec) as session:
        plan = ztrust_mail.plan(spec, session)
        if plan.changed:
            result = ztrust_mail.apply(plan, session)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ztrust_mail.api.journal import (
    diff,
    forget,
    history,
    leftovers,
    prunable,
    prune,
    revert_plan,
    rotate_plan,
    run_to_revert,
)
from ztrust_mail.api.linting import lint, validate
from ztrust_mail.api.onboarding import Ensured, ensure
from ztrust_mail.api.probing import KITS, CheckOptions, check, probe, write_probe_jobs
from ztrust_mail.api.read import compare, doctor, drift, plan, pull, servers, test
from ztrust_mail.api.run import (
    Dialogue,
    Execution,
    PlanVerdict,
    closed_window_note,
    find_unfinished,
    judge,
    require_support,
    run_plan,
    settle,
)
from ztrust_mail.api.session import Session, connect
from ztrust_mail.api.specs import explain, fit_spec, load_spec, presets
from ztrust_mail.api.write import apply, dangers, fit_to_file, load_plan, plan_saved, refuse, save_plan, spec_digest
from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.results import ResultMethods, make_report

if TYPE_CHECKING:
    from ztrust_mail.reports.report import Report

unfinished = find_unfinished  # the name of earlier versions

__all__ = [
    "KITS",
    "CheckOptions",
    "Dialogue",
    "Ensured",
    "Execution",
    "PlanVerdict",
    "Session",
    "apply",
    "check",
    "closed_window_note",
    "compare",
    "connect",
    "dangers",
    "diff",
    "doctor",
    "drift",
    "ensure",
    "explain",
    "find_unfinished",
    "fit_spec",
    "fit_to_file",
    "forget",
    "history",
    "judge",
    "leftovers",
    "lint",
    "load_plan",
    "load_spec",
    "plan",
    "plan_saved",
    "presets",
    "probe",
    "prunable",
    "prune",
    "pull",
    "refuse",
    "require_support",
    "revert_plan",
    "rotate_plan",
    "run_plan",
    "run_to_revert",
    "save_plan",
    "servers",
    "settle",
    "spec_digest",
    "test",
    "unfinished",
    "validate",
    "write_probe_jobs",
]


def render_report(result: ResultMethods) -> dict[str, JsonLike]:
    """Return a result as the JSON report of the command that has it."""
    from ztrust_mail.reports.json import FORMAT

    return dict(FORMAT.render(report_of(result)))


def report_of(result: ResultMethods) -> Report:
    """Return a result as the report of the command that has it."""
    from ztrust_mail.applying.outcome import Result
    from ztrust_mail.drift_detection.drift import Drift
    from ztrust_mail.planning.differences import RunDiff, ServerDiff
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.reports import report as reports

    match result:
        case Plan():
            return reports.of_plan("plan", result, result.exit_status, dangers=dangers(result))
        case Result():
            return reports.of_result(result)
        case Drift():
            return reports.of_drift(result, result.exit_status)
        case Ensured():
            done = reports.of_result(result.result, result.tests.findings if result.tests else ())
            return replace(done, command="ensure", exit_status=result.exit_status)
        case RunDiff():
            return reports.of_run_diff(result)
        case ServerDiff():
            return reports.of_server_diff(result)
    return _report_of_reading(result)


def _report_of_reading(result: ResultMethods) -> Report:
    """Return the report of a verb that compares nothing with a spec or a run: it only reads, tests or checks."""
    from ztrust_mail.api.pull_spec import Pulled
    from ztrust_mail.diagnose.doctor import DoctorReport
    from ztrust_mail.diagnose.mail_test import MailTestRun
    from ztrust_mail.diagnose.servers import ServerList
    from ztrust_mail.kits.result import CheckRun
    from ztrust_mail.linting.result import LintResult
    from ztrust_mail.probing.run import ProbeRun
    from ztrust_mail.reports import report as reports

    match result:
        case MailTestRun():
            return reports.of_tests(result)
        case ProbeRun():
            return reports.of_probe(result)
        case CheckRun():
            return reports.of_check(result)
        case DoctorReport():
            return reports.of_examination(result)
        case ServerList():
            return reports.of_servers(result)
        case LintResult():
            return reports.of_lint("lint", result, result.exit_status)
        case Pulled():
            return reports.of_findings("pull", result.exit_status, result.findings)
    raise TypeError(f"{type(result).__name__} has no report")


make_report.register(ResultMethods, render_report)  # reports are made above the rooms of results
