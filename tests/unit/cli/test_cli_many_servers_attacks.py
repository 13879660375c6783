"""Commands about requests whose rows hold what an attacker, or a newer version, has written into the database."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from support.cli import Cli
from support.journals import change

from ztrust_mail import fleet
from ztrust_mail import settings as config
from ztrust_mail.cli.commands.worker import _find_idle_queues
from ztrust_mail.core.secret import Secret
from ztrust_mail.reports.report import OutputFormat

EVIL = "::error::\x1b[31m\u202eevil\r\n::error::x\u200b##vso[task.x]<script>|`x`"
TEXTS = ("server", "name", "queue", "kind", "request_key", "who", "message", "tool_version", "summary", "report_text")


@pytest.fixture
def journal(cli: Cli, journal_url: Secret) -> Secret:
    """A journal with one request that has failed, in settings that all commands find."""
    settings = f'[servers.prod]\nurl = "https://id.example.com"\n[journal]\nurl = {json.dumps(journal_url.reveal())}\n'
    cli.set(CONFIG=cli.write("settings.toml", settings))
    fleet.submit(fleet.TestStored(["acme"]), "prod", key="first")
    change(journal_url, "UPDATE journal_requests SET state = 'failed', exit_status = 4, ended = submitted")
    return journal_url


def alter(journal: Secret, **columns: str) -> None:
    """Write other texts into all requests."""
    texts = ", ".join("{} = '{}'".format(name, text.replace("'", "''")) for name, text in columns.items())
    change(journal, f"UPDATE journal_requests SET {texts}")


def spoils_a_terminal(character: str) -> bool:
    """Tell whether a character steers a terminal, or cannot be seen."""
    return character != "\n" and unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}


@pytest.mark.parametrize("format", [*OutputFormat])
def test_no_text_of_a_row_reaches_the_output_with_control_characters(
    cli: Cli, journal: Secret, format: OutputFormat
) -> None:
    finding = {"severity": "error", "path": EVIL, "line": 1, "column": 1}
    finding |= dict.fromkeys(("rule", "message", "hint", "realm"), EVIL)
    realms = [{"realm": EVIL, "status": EVIL, "findings": [finding]}]
    report = {"command": EVIL, "summary": {"realms": 1, EVIL: 1}, "findings": [finding], "realms": realms}
    alter(journal, **dict.fromkeys(TEXTS, EVIL), report=json.dumps(report))
    for arguments in ([], ["1"], ["1", "--follow"]):
        ran = cli("requests", *arguments, "--format", format)
        assert ran.status == (4 if "--follow" in arguments else 0)
        assert not {*filter(spoils_a_terminal, ran.out + ran.err)}
        assert not any(line.startswith(("::error::", "##vso")) for line in ran.out.splitlines())


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exit_status_that_this_version_does_not_know_counts_as_partial(
    cli: Cli, journal: Secret, format: str
) -> None:
    change(journal, "UPDATE journal_requests SET exit_status = 99")
    assert cli("requests", "1", "--follow", "--format", format).status == 4


def test_a_worker_says_what_to_set_where_the_journal_is_a_file(cli: Cli, journal: Secret, tmp_path: Path) -> None:
    ran = cli("worker")
    assert ran.status == 2
    assert "[no-workers]" in ran.err
    assert str(tmp_path) not in ran.err


@pytest.mark.parametrize(
    ("queue", "warnings"),
    [
        ("eu", []),
        ("default", []),
        ("eu-", ["no server in the settings has the queue `eu-`; did you mean `eu`?"]),
        ("west", ["no server in the settings has the queue `west`; known queues: eu and default"]),
    ],
)
def test_a_worker_warns_of_a_queue_that_no_server_is_in(cli: Cli, queue: str, warnings: list[str]) -> None:
    text = '[servers.a]\nurl = "https://a.example"\nqueue = "eu"\n[servers.b]\nurl = "https://b.example"\n'
    settings = config.load(cli.write("settings.toml", text), {})
    assert [*_find_idle_queues([queue], settings)] == warnings
    assert [*_find_idle_queues([queue], replace(settings, servers={}))] == []
