"""The baseline: what it knows, what it must not hide, and how it shrinks."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import ztrust_mail
from ztrust_mail.api.linting import LintCall, check_spec, lint_spec
from ztrust_mail.core.data import load_schema
from ztrust_mail.core.errors import UsageError
from ztrust_mail.linting.baseline import KnownFinding, read_baseline, render_baseline
from ztrust_mail.linting.result import LintResult
from ztrust_mail.linting.selection import LintOptions

SPEC = """\
version: 1
defaults: {sender: {address: a@acme.example}, relay: {host: h.example, port: 25}}
realms:
  acme: {}
  globex: {relay: {security: none, port: 2525}}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "specs" / "mail.yaml"
    path.parent.mkdir()
    path.write_text(SPEC, encoding="utf-8")
    return path


@pytest.fixture
def baseline(tmp_path: Path, spec: Path) -> Path:
    path = tmp_path / "known.json"
    path.write_text(render_baseline(lint_new(spec, path).rows), encoding="utf-8")
    return path


def lint_new(spec: Path, baseline: Path) -> LintResult:
    return lint_spec(check_spec(str(spec)), LintCall(LintOptions(), baseline=baseline, is_new=True))


def test_a_baseline_follows_its_schema_and_can_be_reviewed(baseline: Path) -> None:
    text = baseline.read_text(encoding="utf-8")
    jsonschema.validate(json.loads(text), load_schema("baseline"))
    assert text.splitlines()[3:5] == [
        '    {"rule": "no-encryption", "file": "specs/mail.yaml", "entry": "globex", "field": "relay.security"},',
        '    {"rule": "port-25", "file": "specs/mail.yaml", "entry": "defaults", "field": "relay.port"}',
    ]


def test_known_findings_are_counted_and_not_shown(spec: Path, baseline: Path) -> None:
    result = ztrust_mail.lint(spec, baseline=baseline)
    assert (result.findings, result.known, int(result.exit_status)) == ((), 2, 0)


def test_a_baseline_outlives_moved_lines_and_knows_no_new_finding(spec: Path, baseline: Path) -> None:
    moved = SPEC.replace("realms:\n", "# a comment\n\nrealms:\n  new: {relay: {security: none, port: 2525}}\n")
    spec.write_text(moved, encoding="utf-8")
    result = ztrust_mail.lint(spec, baseline=baseline)
    assert [(one.rule, one.location and one.location.line) for one in result.findings] == [("no-encryption", 6)]
    assert result.known == 2


def test_a_baseline_is_found_the_same_from_any_folder(
    spec: Path, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent)
    assert ztrust_mail.lint("mail.yaml", baseline="../known.json").known == 2


def test_fixed_findings_are_named_and_leave_a_new_baseline(spec: Path, baseline: Path) -> None:
    spec.write_text(SPEC.replace("port: 25}", "port: 587}"), encoding="utf-8")
    (note,) = ztrust_mail.lint(spec, baseline=baseline).findings
    assert note.message == "1 finding of the baseline is fixed: port-25 of `defaults`"
    assert [row.rule for row in lint_new(spec, baseline).rows] == ["no-encryption"]


def test_rows_of_rules_and_files_that_are_not_checked_now_stay(spec: Path, baseline: Path) -> None:
    others = [
        KnownFinding("needs-mail", "", "acme", ""),
        KnownFinding("port-25", "specs/other.yaml", "x", "relay.port"),
    ]
    baseline.write_text(render_baseline([*read_baseline(baseline).known, *others]), encoding="utf-8")
    assert ztrust_mail.lint(spec, baseline=baseline).findings == ()
    assert set(others) < set(lint_new(spec, baseline).rows)
    ignoring = ztrust_mail.lint(spec, baseline=baseline, options=LintOptions(ignore=("port-25",)))
    assert (ignoring.findings, ignoring.known) == ((), 1)


def test_errors_and_unused_comments_are_never_known(spec: Path, baseline: Path) -> None:
    spec.write_text(SPEC.replace("acme: {}", "acme: {} # ztrust-mail: ignore[loopback-relay]"), encoding="utf-8")
    assert [row.rule for row in lint_new(spec, baseline).rows] == ["no-encryption", "port-25"]
    spec.write_text(SPEC.replace("acme: {}", "acme: {sender: {address: x}}"), encoding="utf-8")
    assert [one.rule for one in ztrust_mail.lint(spec, baseline=baseline).findings] == ["bad-value"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "does not exist"),
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "is no baseline"),
        ('{"schema": "urn:ztrust-mail:schema:baseline:2", "findings": []}', "is no baseline"),
        ('{"schema": "urn:ztrust-mail:schema:baseline:1", "findings": [{"rule": "x"}]}', "is no baseline"),
        (
            '{"schema": "urn:ztrust-mail:schema:baseline:1",'
            ' "findings": [{"rule": 1, "file": "", "entry": "", "field": ""}]}',
            "is no baseline",
        ),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(spec: Path, tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=problem) as refused:
        ztrust_mail.lint(spec, baseline=path)
    assert "--write-baseline" in refused.value.hint
