"""Every format renders every kind of report and knows its own files again."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from support.cli import report_validator
from support.report_samples import reports_of_every_kind

from ztrust_mail.reports import report as reports
from ztrust_mail.reports.report import OutputFormat, Report, ReportFormat, load_format

OF_THE_DOCUMENT = {"document", "recognises"}
REPORTS = reports_of_every_kind()
KINDS = {
    kind for _, kind in inspect.getmembers(reports, inspect.isclass) if issubclass(kind, Report) and kind is not Report
}


def test_the_reports_of_this_file_are_of_every_kind() -> None:
    missing = sorted(kind.__name__ for kind in KINDS - {type(report) for report in REPORTS})
    assert missing == [], "tests/support/report_samples.py: reports_of_every_kind"


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
