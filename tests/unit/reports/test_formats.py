"""Every format renders every kind of report and knows its own files again."""

from __future__ import annotations

import inspect

import pytest

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.rules import registry
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.report import OutputFormat, Report, ReportFormat, load_format

OF_THE_DOCUMENT = {"document", "recognises"}
REPORTS: list[Report] = [
    reports.of_findings("validate", ExitStatus.USAGE, [Finding(Severity.ERROR, "unknown-key", "unknown key `x`")]),
    reports.of_conversion(ExitStatus.OK, [], "version: 1\n"),
    reports.of_removal(2, 3),
    reports.of_commands("doctor", ["a", "b"]),
    reports.of_runs([], "https://id.example.com"),
    reports.of_rules([registry()["tls"]], whole=True),
    reports.of_rules(list(registry().values())),
]


@pytest.mark.parametrize("name", OutputFormat)
@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_document_is_recognised_by_its_own_format_alone(report: Report, name: OutputFormat) -> None:
    beginning = load_format(name).document(report).encode()[:512]
    assert [other for other in OutputFormat if load_format(other).recognises(beginning)] == [name]


def test_a_format_has_a_method_for_each_kind_of_report() -> None:
    kinds = [kind for _, kind in inspect.getmembers(reports, inspect.isclass) if issubclass(kind, Report)]
    assert len(kinds) - 1 == len(ReportFormat.__abstractmethods__ - OF_THE_DOCUMENT)


@pytest.mark.parametrize("content", [b"", b"version: 1\n", b'{"schema": "urn:ztrust-mail:schema:plan:1"}', b"{}"])
def test_other_files_are_no_report(content: bytes) -> None:
    assert not any(load_format(name).recognises(content) for name in OutputFormat)


def test_a_number_of_removed_runs_is_one_line() -> None:
    assert load_format(OutputFormat.TEXT).document(reports.of_removal(1, 2)) == (
        "ztrust-mail report: history\nRemoved: 1 run and 2 writes.\n"
    )
