"""The demo does what it says, and says so when it does not."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from support.cli import Cli, raising

from ztrust_mail.cli.commands import demo
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sandbox.relay.sink import MailSink


def only(monkeypatch: pytest.MonkeyPatch, *steps: demo.DemoStep) -> None:
    monkeypatch.setattr(demo, "_STEPS", steps)


def test_the_demo_takes_every_step_and_ends_with_0(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTRUST_MAIL_URL", "https://production.example.com")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ran = cli("demo")
    assert (ran.status, ran.err) == (0, "")
    for step in demo._STEPS:
        assert f"# {step.title}\n$ ztrust-mail {' '.join(step.arguments)}\n" in ran.out
    assert ran.out.endswith("\nAll 9 steps succeeded.\n")
    assert "    over TLS, logged in as apikey\n" in ran.out
    assert "relay.host is smtp.attacker.example, the spec says 127.0.0.1" in ran.out
    assert "went wrong" not in ran.out
    assert demo._SECRET not in ran.out
    assert "production" not in ran.out


def test_a_sabotaged_step_is_named_and_the_demo_ends_with_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    checked, planned = demo._STEPS[:2]
    only(monkeypatch, replace(checked, arguments=["validate", "nix.yaml"]), planned)
    ran = cli("demo")
    assert ran.status == 1
    assert "This step failed: exit status 2.\n" in ran.out
    assert f"# {planned.title}\n" in ran.out
    assert ran.out.endswith("\n1 of 2 steps failed.\n")


@pytest.mark.parametrize("index", [2, 4, 6, 7])
def test_a_step_whose_effect_is_missing_went_wrong_though_its_command_ended_well(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    monkeypatch.setattr(MailSink, "wait_for", raising(TimeoutError()))
    only(monkeypatch, replace(demo._STEPS[index], arguments=["--version"], status=ExitStatus.OK))
    ran = cli("demo")
    assert ran.status == 1
    assert "This step failed: " in ran.out
    assert ran.out.endswith("\n1 of 1 steps failed.\n")


def test_a_mail_that_came_in_clear_is_not_taken_for_success(capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox() as sandbox:
        subject = type("Mail", (), {"sender": "a", "reply_to": "", "recipients": (), "subject": "s"})()
        for tls, login, good in ((True, "apikey", True), (False, "apikey", False), (True, None, False)):
            subject.tls, subject.login = tls, login
            sandbox.mail.wait_for = lambda count: (subject,)  # type: ignore[method-assign]
            assert demo._has_received_mail(sandbox, "") is good
            assert f"over {'TLS' if tls else 'clear text'}" in capsys.readouterr().out


def test_a_step_that_hangs_went_wrong(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, demo._STEPS[0])
    monkeypatch.setattr(demo.subprocess, "run", raising(subprocess.TimeoutExpired(["canary"], 60)))
    ran = cli("demo")
    assert ran.status == 1
    assert "This step failed: it timed out.\n" in ran.out
    assert "canary" not in ran.out
