"""Comments that ignore a rule in their line, and those that ignore nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import ztrust_mail
from ztrust_mail.core.findings import Severity
from ztrust_mail.linting.result import LintResult

HEAD = "version: 1\ndefaults: {sender: {address: a@acme.example}}\nrealms:\n"
PORT_25 = "  acme: {relay: {host: h.example, port: 25}}"


@pytest.fixture
def lint(tmp_path: Path):
    def run(lines: str, *, name: str = "mail.yaml", **options: tuple[str, ...]) -> LintResult:
        path = tmp_path / name
        path.write_text(HEAD + lines + "\n", encoding="utf-8")
        return ztrust_mail.lint(path, options=ztrust_mail.LintOptions(**options))

    return run


def rules(result: LintResult) -> list[str]:
    return [one.rule for one in result.findings]


@pytest.mark.parametrize(
    "comment",
    [
        "# ztrust-mail: ignore[port-25]",
        "#ztrust-mail: ignore[port-25]",
        "# ztrust-mail: ignore[ port-25 ] our own network",
        "# ztrust-mail: ignore[port-25] # and more",
        '# ztrust-mail: ignore[port-25] it\'s "our own" network',
    ],
)
def test_a_comment_ignores_a_rule_in_its_line(lint, comment):
    result = lint(f"{PORT_25}  {comment}")
    assert (rules(result), result.ignored) == ([], 1)


@pytest.mark.parametrize(
    "lines",
    [
        f"  # ztrust-mail: ignore[port-25]\n{PORT_25}",
        f"{PORT_25}\n  # ztrust-mail: ignore[port-25]",
    ],
)
def test_a_comment_in_another_line_ignores_nothing_and_is_reported(lint, lines):
    assert sorted(rules(lint(lines))) == ["port-25", "unused-ignore"]


def test_a_text_that_looks_like_a_comment_ignores_nothing(lint):
    line = '  acme: {relay: {host: h.example, port: 25}, sender: {name: "x # ztrust-mail: ignore[port-25]"}}'
    assert rules(lint(line)) == ["port-25"]
    assert rules(lint(line.replace('"}}', 's "}} # é'))) == ["port-25"]
    commented = line.replace('"}}', '"}} # ztrust-mail: ignore[port-25] "ours"')
    assert (rules(lint(commented)), lint(commented).ignored) == ([], 1)


def test_several_rules_are_separated_by_commas_and_each_unused_one_is_reported(lint):
    result = lint(f"{PORT_25} # ztrust-mail: ignore[port-25, no-encryption, prot-25]")
    assert [(one.rule, one.severity) for one in result.findings] == [("unused-ignore", Severity.WARNING)] * 2
    assert sorted(one.message for one in result.findings) == [
        "no finding `no-encryption` in this line",
        "unknown lint rule `prot-25`",
    ]
    assert "did you mean `port-25`?" in {one.hint for one in result.findings}


def test_an_error_cannot_be_ignored(lint):
    result = lint("  acme: {relay: {host: h.example, port: 70000}} # ztrust-mail: ignore[out-of-range]")
    assert (rules(result), int(result.exit_status)) == (["out-of-range"], 2)


def test_ignoring_an_error_that_is_not_there_is_reported_as_impossible(lint):
    (found,) = lint("  acme: {relay: {host: h.example}} # ztrust-mail: ignore[out-of-range]").findings
    assert found.message == "`out-of-range` is not a lint rule, so it cannot be selected or ignored"


@pytest.mark.parametrize("rule", ["needs-mail", "no-envelope-from"])
def test_a_comment_for_a_rule_that_is_not_run_is_not_judged(lint, rule):
    assert rules(lint(f"  acme: {{relay: {{host: h.example}}}} # ztrust-mail: ignore[{rule}]")) == []


def test_the_rule_of_unused_comments_can_be_ignored_too(lint):
    line = "  acme: {relay: {host: h.example}} # ztrust-mail: ignore[port-25]"
    assert rules(lint(line)) == ["unused-ignore"]
    assert rules(lint(line, ignore=("unused-ignore",))) == []


def test_a_comment_in_the_line_of_a_default_ignores_it_for_all(tmp_path):
    path = tmp_path / "mail.yaml"
    relay = "  relay:\n    host: h.example\n    port: 25 # ztrust-mail: ignore[port-25]\n"
    head = "version: 1\ndefaults:\n  sender: {address: a@acme.example}\n"
    path.write_text(f"{head}{relay}realms: {{acme: {{}}, globex: {{}}}}\n", encoding="utf-8")
    result = ztrust_mail.lint(path)
    assert (rules(result), result.ignored) == ([], 1)


def test_a_loaded_spec_has_no_warning_that_a_comment_ignores(tmp_path):
    path = tmp_path / "mail.yaml"
    text = "version: 1\nrealms:\n  'acme ': {disabled: true} # ztrust-mail: ignore[odd-name]\n"
    path.write_text(text, encoding="utf-8")
    assert ztrust_mail.load_spec(path).warnings == ()
    path.write_text(text.partition(" #")[0] + "\n", encoding="utf-8")
    assert [one.rule for one in ztrust_mail.load_spec(path).warnings] == ["odd-name"]
