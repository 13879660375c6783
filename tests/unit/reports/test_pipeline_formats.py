"""What the formats for pipelines write: Markdown, JUnit, SARIF, and those of GitHub and GitLab."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from junitparser import JUnitXml, TestCase, TestSuite
from support.report_samples import apply_report, checks_report, drift_report, make_plan, plan_report

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Location, Severity, error, note, warning
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.overview.places import MOST_RESULTS, relative_path, to_uri
from ztrust_mail.reports.report import OutputFormat, Report, load_format

SCHEMA = json.loads((Path(__file__).parents[2] / "support/schemas/sarif-2.1.0-rtm.5.json").read_text("utf-8"))


def document(name: OutputFormat, report: Report) -> str:
    return load_format(name).document(report)


def sarif(report: Report) -> dict[str, Any]:
    log = json.loads(document(OutputFormat.SARIF, report))
    jsonschema.Draft4Validator(SCHEMA).validate(log)
    run: dict[str, Any] = log["runs"][0]
    return run


def gitlab(report: Report) -> list[dict[str, Any]]:
    issues: list[dict[str, Any]] = json.loads(document(OutputFormat.GITLAB, report))
    return issues


def github(report: Report) -> list[str]:
    return document(OutputFormat.GITHUB, report).splitlines()


def suites(report: Report) -> list[TestSuite]:
    return list(JUnitXml.fromstring(document(OutputFormat.JUNIT, report).encode()))


def cases(report: Report) -> dict[str, TestCase]:
    return {str(case.name): case for suite in suites(report) for case in suite}


def of(*found: Finding, status: ExitStatus = ExitStatus.USAGE, specs: Sequence[str] = ()) -> Report:
    return replace(reports.of_findings("validate", status, found), specs=tuple(specs))


PLACED = error("unknown-key", "unknown key `hots`", "did you mean `host`?", Location("specs/mail.yaml", 4, 7))
UNPLACED = error("unreachable", "cannot connect", "start the server")


# SARIF


def test_a_sarif_result_has_the_rule_with_its_help_and_the_place_in_the_spec() -> None:
    run = sarif(of(PLACED))
    [result] = run["results"]
    [location] = result["locations"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert (rule["id"], result["ruleId"], result["level"]) == ("unknown-key", "unknown-key", "error")
    assert "ztrust-mail rule unknown-key" in rule["help"]["text"]
    assert result["message"]["text"] == "unknown key `hots`; did you mean `host`?"
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "specs/mail.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 4, "startColumn": 7},
    }


def test_a_file_outside_of_the_checkout_has_an_absolute_uri_without_a_base() -> None:
    [result] = sarif(of(replace(PLACED, location=Location("/elsewhere/mail.yaml", 4, 7))))["results"]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": "file:///elsewhere/mail.yaml"}


def test_a_sarif_log_has_only_the_rules_of_its_results() -> None:
    rules = sarif(of(PLACED, UNPLACED, PLACED))["tool"]["driver"]["rules"]
    assert sorted(rule["id"] for rule in rules) == ["unknown-key", "unreachable"]


@pytest.mark.parametrize(
    ("severity", "level"),
    [(Severity.CRITICAL, "error"), (Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.NOTE, "note")],
)
def test_the_level_in_sarif_follows_the_severity(severity: Severity, level: str) -> None:
    [result] = sarif(of(replace(PLACED, severity=severity)))["results"]
    assert (result["level"], result["properties"]["severity"]) == (level, severity.value)


def test_a_realms_finding_in_sarif_has_the_line_of_its_entry_and_a_logical_location() -> None:
    results = {one["ruleId"]: one for one in sarif(drift_report("new.example"))["results"]}
    [location] = results["drifted"]["locations"]
    assert location["physicalLocation"]["region"]["startLine"] == 10
    assert location["logicalLocations"] == [
        {"name": "umbrella", "fullyQualifiedName": "realms.umbrella", "kind": "object"}
    ]


def test_a_finding_without_a_place_in_sarif_is_at_the_spec_which_code_scanning_needs() -> None:
    [result] = sarif(of(UNPLACED, specs=["-", "mail.yaml"]))["results"]
    [location] = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "mail.yaml"
    assert sarif(of(UNPLACED, specs=["-"]))["results"][0]["locations"] == []


def test_a_failed_run_is_not_a_successful_execution_in_sarif() -> None:
    [run] = sarif(of(UNPLACED, status=ExitStatus.UNREACHABLE))["invocations"]
    assert (run["executionSuccessful"], run["exitCode"]) == (False, 3)


def test_fingerprints_survive_a_move_to_another_line_and_differ_from_each_other() -> None:
    moved = replace(PLACED, location=Location("specs/mail.yaml", 9, 1))

    def prints(*found: Finding) -> list[str]:
        return [one["partialFingerprints"]["ztrustMailFinding/v1"] for one in sarif(of(*found))["results"]]

    assert prints(PLACED) == prints(moved)
    assert len(set(prints(PLACED, moved, UNPLACED))) == 3


@pytest.mark.parametrize(
    ("path", "shown", "uri"),
    [
        ("mail.yaml", "mail.yaml", "mail.yaml"),
        ("./a/../b c.yaml", "b c.yaml", "b%20c.yaml"),
        ("{here}/a/é.yaml", "a/é.yaml", "a/%C3%A9.yaml"),
        ("../other.yaml", "../other.yaml", "../other.yaml"),
        ("/elsewhere/x#y.yaml", "/elsewhere/x#y.yaml", "file:///elsewhere/x%23y.yaml"),
    ],
)
def test_a_path_is_relative_to_the_checkout(path: str, shown: str, uri: str) -> None:
    path = path.replace("{here}", os.getcwd())
    assert (relative_path(path), to_uri(path)) == (shown, uri)


@pytest.mark.parametrize("name", [OutputFormat.SARIF, OutputFormat.GITLAB])
def test_more_findings_than_a_service_takes_are_left_out_from_the_lowest_severity_and_counted(
    name: OutputFormat,
) -> None:
    found = [note("google", f"number {number}") for number in range(MOST_RESULTS)]
    text = document(name, of(*found, PLACED, UNPLACED))
    assert text.count("number ") == MOST_RESULTS - 2
    assert text.count("2 findings of the lowest severity left out") == 1
    assert "unknown key" in text


# GitLab


def test_an_issue_for_gitlab_has_what_code_quality_needs() -> None:
    [issue] = gitlab(of(PLACED))
    assert {key: issue[key] for key in ("description", "check_name", "severity", "location")} == {
        "description": "unknown key `hots`; did you mean `host`?",
        "check_name": "unknown-key",
        "severity": "major",
        "location": {"path": "specs/mail.yaml", "lines": {"begin": 4}},
    }
    assert re.fullmatch(r"[0-9a-f]{32}", issue["fingerprint"])


def test_a_finding_about_no_file_has_a_path_for_gitlab_too() -> None:
    assert [one["location"]["path"] for one in gitlab(of(UNPLACED)) + gitlab(of(UNPLACED, specs=["m.yaml"]))] == [
        "ztrust-mail",
        "m.yaml",
    ]


# GitHub


def test_an_annotation_for_github_is_at_the_line_and_escapes_what_would_end_it() -> None:
    found = error("unknown-key", "50 % of `a:b,c`", location=Location("a,b:c%.yaml", 4, 7))
    assert github(of(found))[1] == (
        "::error file=a%2Cb%3Ac%25.yaml,title=ztrust-mail unknown-key,line=4,col=7::50 %25 of `a:b,c`"
    )


def test_github_gets_at_most_ten_annotations_of_a_level_and_the_last_counts_the_others() -> None:
    found = [error("unknown-key", f"unknown key {number}") for number in range(25)]
    lines = github(of(*found, warning("google", "odd"), note("google", "so")))
    errors = [one for one in lines if one.startswith("::error ")]
    assert len(errors) == 10
    assert errors[-1].startswith("::error title=ztrust-mail::16 more findings (unknown-key)")
    assert [one.partition(" ")[0] for one in lines if one.startswith("::") and one not in errors] == [
        "::warning",
        "::notice",
    ]


def test_a_critical_finding_is_among_the_first_for_github() -> None:
    found = [error("unknown-key", f"unknown key {number}") for number in range(25)]
    critical = Finding(Severity.CRITICAL, "out-of-band", "the host was changed")
    assert "the host was changed" in github(of(*found, critical))[1]


def test_equal_findings_of_many_realms_are_one_annotation() -> None:
    names = [f"tenant-{number:03}" for number in range(300)]
    report = drift_report("new.example", names)
    drifted = [one for one in github(report) if "ztrust-mail drifted" in one]
    assert len(drifted) == 1
    assert "298 realms (tenant-002 … tenant-299)" in drifted[0]


# JUnit


def test_a_realm_is_a_test_case_that_fails_for_its_errors() -> None:
    found = cases(drift_report("new.example"))
    assert [name for name, case in found.items() if not case.is_passed] == [
        "initech",
        "umbrella",
        "gone: gone new.example [vanished]",
    ]
    [failure] = found["initech"].result
    assert failure.type == "out-of-band"
    assert "differs from the spec: relay.host old.example → new.example" in failure.text


def test_the_changes_of_a_realm_are_the_output_of_its_case() -> None:
    case = cases(plan_report("new.example"))["umbrella"]
    assert case.is_passed
    assert "~ relay.host (Host): old.example → new.example" in str(case.system_out)


def test_failures_and_skipped_realms_are_counted() -> None:
    [suite] = suites(apply_report("HTTP 400"))
    assert {str(case.name): case.is_skipped for case in suite}["umbrella"]
    assert (suite.tests, suite.failures, suite.skipped) == (7, 2, 1)


def test_a_command_that_failed_for_no_finding_is_a_failed_case() -> None:
    found = cases(of(status=ExitStatus.INTERRUPTED))
    assert [case.is_passed for case in found.values()] == [False]


def test_the_doctors_checks_are_in_the_output_and_fail_as_cases() -> None:
    found = cases(checks_report("no role"))
    assert [case.is_passed for case in found.values()] == [False, False, True]
    assert "version  unknown  no role" in str(found["exit status of doctor"].system_out)


# Markdown


def test_a_comment_begins_with_its_marker_and_the_verdict() -> None:
    lines = document(OutputFormat.MARKDOWN, plan_report("new.example")).splitlines()
    assert lines[0] == "<!-- ztrust-mail report: plan -->"
    assert lines[1] == "### ztrust-mail plan on `https://id.example.com`: unsafe (exit status 5)"
    assert lines[3] == "Plan: 2 realms to change (8 fields: 2 to add, 4 to change, 2 to remove), 1 in sync, 1 missing."


def test_realms_with_equal_changes_are_shown_once_as_a_diff() -> None:
    names = [f"tenant-{number:03}" for number in range(300)]
    text = document(OutputFormat.MARKDOWN, reports.of_plan("plan", make_plan("new.example", names), ExitStatus.DIFFERS))
    assert (
        "- `298 realms (tenant-002 … tenant-299)`: changed\n\n  ```diff\n  - relay.host (Host): old.example\n" in text
    )
    assert text.count("relay.port") == 1


def test_a_change_outside_ztrust_mail_is_shown_once_in_a_comment() -> None:
    text = document(OutputFormat.MARKDOWN, drift_report("new.example"))
    assert "#### Realms (`-` on the server, `+` in the spec)" in text
    assert "  + relay.host (Host): new.example  (out of band, critical)\n" in text
    assert text.count("[`out-of-band`]") == 1
    assert "[`drifted`]" not in text


def test_commands_are_a_block_to_copy_in_a_comment() -> None:
    text = document(OutputFormat.MARKDOWN, reports.of_commands("doctor", ["kcadm.sh create x", "kcadm.sh get x"]))
    assert "```\nkcadm.sh create x\nkcadm.sh get x\n```" in text


def test_long_parts_of_a_comment_are_folded() -> None:
    found = [warning("google", f"odd {number}", location=Location(f"{number}.yaml", 1, 1)) for number in range(60)]
    text = document(OutputFormat.MARKDOWN, of(*found))
    assert "<details><summary>Warnings and notes</summary>" in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_a_comment_that_is_too_long_ends_with_what_is_left_out() -> None:
    found = [
        error("unknown-key", f"{number} {'word ' * 150}", location=Location("a.yaml", number, 1))
        for number in range(1, 900)
    ]
    text = document(OutputFormat.MARKDOWN, of(*found))
    assert 60_000 < len(text) <= 65_536
    assert re.search(r"_[0-9]{3} items left out: the comment would be too long\. A report in JSON has all\._\n$", text)
    assert text.count("<details>") == text.count("</details>") == 1


def test_a_command_that_is_too_long_for_a_comment_is_left_out_and_not_cut() -> None:
    report = replace(plan_report("new.example"), next_step=f"ztrust-mail apply {'mail.yaml ' * 10_000}")
    assert "ztrust-mail apply" not in document(OutputFormat.MARKDOWN, report)


@pytest.mark.parametrize(
    ("said", "markdown"),
    [
        ("Plan: 3 realms to change (2,400 fields).", "Plan: 3 realms to change (2,400 fields)."),
        ("unknown key `hots` in `a b`", "unknown key `hots` in `a b`"),
        ("ask @admin about #12 at www.example.com", "ask `@admin` about `#12` at `www.example.com`"),
        ("a [link](http://e.example) here", "a \\[`link](http://e.example`) here"),
        ("<b>bold</b> *text*", "`<b>bold</b> *text*`"),
        ("``` and `", "`and`"),
        ("see x.y`z`", "see `x.y` `z`"),
        ("a|b", "`a|b`"),
    ],
)
def test_words_that_could_be_markup_are_code(said: str, markdown: str) -> None:
    lines = document(OutputFormat.MARKDOWN, of(error("google", said))).splitlines()
    assert f"- **error**: {markdown} [`google`]" in lines
