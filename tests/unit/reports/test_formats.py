"""Every format renders every kind of report and knows its own files again."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from support.cli import report_validator

from ztrust_mail.applying.outcome import Result
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.rules import registry
from ztrust_mail.diagnose.doctor import Check, DoctorReport
from ztrust_mail.diagnose.mail_test import MailTestRun
from ztrust_mail.drift_detection.drift import Drift
from ztrust_mail.gateways.gateway import Account
from ztrust_mail.journal.records import Run
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.run_diff import RunDiff
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.report import OutputFormat, Report, ReportFormat, load_format
from ztrust_mail.specfile.entries import Entry
from ztrust_mail.specfile.resolve import Desired

SERVER = "https://id.example.com"
WANTED = Desired("acme", Entry("acme", Location("a.yaml", 1, 1), disabled=True))
PLAN = Plan(SERVER, Account("admin", "master", None), (RealmPlan("acme", Status.IN_SYNC, WANTED),))
RUN = Run(SERVER, "apply", "eve", number=1)
OF_THE_DOCUMENT = {"document", "recognises"}
REPORTS: list[Report] = [
    reports.of_findings("validate", ExitStatus.USAGE, [Finding(Severity.ERROR, "unknown-key", "unknown key `x`")]),
    reports.of_conversion(ExitStatus.OK, [], "version: 1\n"),
    reports.of_removal(2, 3),
    reports.of_commands("doctor", ["a", "b"]),
    reports.of_runs([], SERVER),
    reports.of_rules([registry()["tls"]], whole=True),
    reports.of_rules(list(registry().values())),
    reports.of_plan("plan", PLAN, ExitStatus.OK),
    reports.of_result(Result(PLAN, ())),
    reports.of_drift(Drift(PLAN), ExitStatus.OK),
    reports.of_run_diff(RunDiff(SERVER, RUN, RUN, ())),
    reports.of_tests(MailTestRun(SERVER, PLAN.account, ())),
    reports.of_examination(DoctorReport(SERVER, (Check("server", True, ""),), ExitStatus.OK, "Keycloak", ())),
    reports.of_explained(WANTED, ExitStatus.OK),
]
KINDS = {
    kind for _, kind in inspect.getmembers(reports, inspect.isclass) if issubclass(kind, Report) and kind is not Report
}


def test_the_reports_of_this_file_are_of_every_kind() -> None:
    missing = sorted(kind.__name__ for kind in KINDS - {type(report) for report in REPORTS})
    assert missing == [], "tests/unit/reports/test_formats.py: REPORTS"


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_json_report_is_as_its_schema_says(report: Report) -> None:
    document = json.loads(load_format(OutputFormat.JSON).document(report))
    problems = [f"{problem.json_path}: {problem.message}" for problem in report_validator().iter_errors(document)]
    assert problems == [], "schemas/report.schema.json"


@pytest.mark.parametrize("name", OutputFormat)
def test_every_format_is_in_the_page_of_the_commands(name: OutputFormat) -> None:
    page = (Path(__file__).parents[3] / "docs" / "commands.md").read_text("utf-8")
    options = [line for line in page.splitlines() if line.startswith("| `--report FORMAT=FILE`")]
    assert [f"`{name}`" in line for line in options] == [True], "docs/commands.md"


@pytest.mark.parametrize("name", OutputFormat)
@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_document_is_recognised_by_its_own_format_alone(report: Report, name: OutputFormat) -> None:
    beginning = load_format(name).document(report).encode()[:512]
    assert [other for other in OutputFormat if load_format(other).recognises(beginning)] == [name]


def test_a_format_has_a_method_for_each_kind_of_report() -> None:
    assert {kind.kind for kind in KINDS} == ReportFormat.__abstractmethods__ - OF_THE_DOCUMENT


@pytest.mark.parametrize("content", [b"", b"version: 1\n", b'{"schema": "urn:ztrust-mail:schema:plan:1"}', b"{}"])
def test_other_files_are_no_report(content: bytes) -> None:
    assert not any(load_format(name).recognises(content) for name in OutputFormat)


def test_a_number_of_removed_runs_is_one_line() -> None:
    assert load_format(OutputFormat.TEXT).document(reports.of_removal(1, 2)) == (
        "ztrust-mail report: history\nRemoved: 1 run and 2 writes.\n"
    )
