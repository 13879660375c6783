"""The command ``rule`` explains the id of a finding offline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.cli import Cli

from ztrust_mail.core.rules import registry


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path, monkeypatch, capsys)


def test_the_command_prints_title_severity_and_help(cli: Cli) -> None:
    ran = cli("rule", "unknown-key")
    rule = registry()["unknown-key"]
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"unknown-key  error\n  {rule.title}\n\n  ")
    assert " ".join(ran.out.split()).endswith(rule.help)
    assert all(len(line) <= 80 for line in ran.out.splitlines())


def test_the_command_without_an_id_lists_all_rules_in_a_line_each(cli: Cli) -> None:
    lines = cli("rule").out.splitlines()
    assert {line.split()[0] for line in lines if re.match(r"  \S", line)} == registry().keys()


def test_the_command_explains_in_json(cli: Cli) -> None:
    (rule,) = cli("rule", "[tls]", "--format", "json").json["rules"]
    assert (rule["id"], rule["severity"], rule["help"]) == ("tls", "error", registry()["tls"].help)
    assert len(cli("rule", "--format", "json").json["rules"]) == len(registry())


def test_an_unknown_id_ends_with_status_2_and_the_nearest_one(cli: Cli) -> None:
    ran = cli("rule", "unkown-key", "--format", "json")
    assert (ran.status, ran.json["findings"][0]["hint"]) == (2, "did you mean `unknown-key`?")
