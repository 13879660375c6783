"""Every format renders every kind of report and knows its own files again."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.cli import report_validator
from support.documents import CALM
from support.html_pages import HtmlPage
from support.report_samples import reports_of_every_kind

from ztrust_mail.core.text import printable
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


MARKUP = (
    *("]]>", "-->", "::error::x", "##[error]", "\x1b[31m", "\u202e", "\u2028", "\n", "\r", "\x00", "`", "```", "|"),
    *("<script>", "</details>", "![a](b)", "[a](http://b.example)", "@octocat", "#1", "&amp;", "%0A", ",", ":", "\\"),
    *("'", '"', "{realm}", "*a*", "_a_", "~~a~~", "$a$", "www.a.example", "---", "===", "- a", "1. a", "> a"),
)
TEXTS = st.lists(st.sampled_from(MARKUP) | st.text(max_size=4), max_size=8).map("".join)


@settings(CALM, max_examples=10)
@given(TEXTS, st.lists(TEXTS.filter(bool), min_size=4, max_size=6, unique=True))
@example("".join(MARKUP), ["".join(MARKUP), *MARKUP])
def test_text_of_others_is_markup_in_no_format(text: str, names: list[str]) -> None:
    for report in reports_of_every_kind(text, names):
        for name in OutputFormat:
            document = load_format(name).document(report)
            kind = f"{name} of {type(report).__name__}"
            shown = document.replace("\n", "")
            assert shown == printable(shown), kind
            assert CHECKS[name](document) == [], kind
            assert name is OutputFormat.GITHUB or check_lines(document) == [], kind


@pytest.mark.parametrize("name", [name for name in OutputFormat if name is not OutputFormat.GITHUB])
@pytest.mark.parametrize("command", ["::stop-commands::x", "##vso[task.setvariable variable=PATH]y", "###[error]z"])
def test_no_document_gives_a_command_to_a_ci_service(name: OutputFormat, command: str) -> None:
    for report in reports_of_every_kind(command, [command, *"abcd"]):
        document = load_format(name).document(report)
        assert check_lines(document) == []
        if name is OutputFormat.JSON:
            assert "x23" not in json.dumps(json.loads(document)), "a program reads the value as it is"


def check_lines(document: str) -> list[str]:
    """Return lines that a CI service takes for a command."""
    return re.findall(r"^\s*::.*|##\w*\[.*", document, re.MULTILINE)


def check_json(document: str) -> list[str]:
    json.loads(document)
    return []


def check_xml(document: str) -> list[str]:
    allowed = {"testsuites", "testsuite", "testcase", "failure", "skipped", "system-out"}
    return [one.tag for one in ElementTree.fromstring(document.encode()).iter() if one.tag not in allowed]


def check_workflow_commands(document: str) -> list[str]:
    form = r"::(error|warning|notice) (file=[^,:]+,)?title=ztrust-mail( [a-z-]+)?(,line=[0-9]+)?(,col=[0-9]+)?::.*"
    odd = [one for one in check_lines(document) if one.startswith("::") and not re.fullmatch(form, one)]
    return odd + [one for one in check_lines(document) if not one.startswith("::") and one.lstrip().startswith("::")]


def check_html(document: str) -> list[str]:
    """Return markup that is not the template's own."""
    return check_lines(document) + HtmlPage(document).markup_of_others


def check_markdown(document: str) -> list[str]:
    """Return what is rendered as other than text, code and the elements that the format uses itself."""
    allowed = {
        "heading",
        "paragraph",
        "bullet_list",
        "list_item",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "strong",
        "em",
    }
    found = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(document):
        for one in token.children or [token]:
            html = re.sub(
                r"</?details>|<summary>[^<>]*</summary>|<!-- ztrust-mail report: [a-z0-9 ]+ -->", "", one.content
            )
            is_html = one.type in ("html_block", "html_inline")
            kind = one.type.removesuffix("_open").removesuffix("_close")
            known = kind in allowed or kind in ("inline", "text", "code_inline", "fence", "softbreak")
            if html.strip() if is_html else not known:
                found.append(f"{one.type}: {one.content}")
            if one.type == "text" and re.search(r"[@#<>`&$~*_]|://|www\.", one.content):
                found.append(f"text: {one.content}")
    return found


CHECKS = {
    OutputFormat.TEXT: check_lines,
    OutputFormat.JSON: check_json,
    OutputFormat.MARKDOWN: check_markdown,
    OutputFormat.HTML: check_html,
    OutputFormat.JUNIT: check_xml,
    OutputFormat.SARIF: check_json,
    OutputFormat.GITHUB: check_workflow_commands,
    OutputFormat.GITLAB: check_json,
}
"""What must be true of a document in each format; each returns the problems."""
