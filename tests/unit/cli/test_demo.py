"""The demo does what it says, and says so when it does not."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
from support.cli import Cli, Ran, on_terminal, raising

from ztrust_mail.cli.commands import demo
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.sandbox.relay.sink import MailSink


def toured(cli: Cli, *steps: demo.DemoStep) -> Ran:
    """Run a demo of these steps alone."""
    cli.capsys.readouterr()
    status = demo.run_tour(steps)
    return Ran(status, *cli.capsys.readouterr())


def test_the_demo_takes_every_step_and_ends_with_0(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTRUST_MAIL_URL", "https://production.example.com")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ran = cli("demo")
    assert (ran.status, ran.err) == (0, "")
    for step in demo.STEPS:
        assert f"# {step.title}\n$ ztrust-mail {' '.join(step.arguments)}\n" in ran.out
    assert ran.out.endswith(f"\nAll 9 steps succeeded.\n\n{demo.NEXT_STEPS}")
    assert "\x1b" not in ran.out
    assert "    over TLS, logged in as apikey\n" in ran.out
    assert "relay.host (Host)  127.0.0.1 → smtp.attacker.example" in re.sub(r" {2,}", "  ", ran.out)
    assert "went wrong" not in ran.out
    assert demo._SECRET not in ran.out
    assert "production" not in ran.out


def test_a_sabotaged_step_is_named_and_the_demo_ends_with_1(cli: Cli) -> None:
    checked, planned = demo.STEPS[:2]
    ran = toured(cli, replace(checked, arguments=["validate", "nix.yaml"]), planned)
    assert ran.status == 1
    assert "This step failed: exit status 2.\n" in ran.out
    assert f"# {planned.title}\n" in ran.out
    assert ran.out.endswith("\n1 of 2 steps failed.\n")


@pytest.mark.parametrize("index", [2, 4, 6, 7])
def test_a_demo_step_without_its_effect_fails_even_if_its_command_succeeds(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    monkeypatch.setattr(MailSink, "wait_for", raising(TimeoutError()))
    ran = toured(cli, replace(demo.STEPS[index], arguments=["--version"], status=ExitStatus.OK))
    assert ran.status == 1
    assert "This step failed: " in ran.out
    assert ran.out.endswith("\n1 of 1 steps failed.\n")


def test_a_demo_mail_received_in_clear_text_counts_as_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox() as sandbox:
        subject = type("Mail", (), {"sender": "a", "reply_to": "", "recipients": (), "subject": "s"})()
        for tls, login, good in ((True, "apikey", True), (False, "apikey", False), (True, None, False)):
            subject.tls, subject.login = tls, login
            sandbox.mail.wait_for = lambda count: (subject,)  # type: ignore[method-assign]
            assert demo._has_received_mail(sandbox, "") is good
            assert f"over {'TLS' if tls else 'clear text'}" in capsys.readouterr().out


def test_a_demo_step_that_hangs_fails(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", raising(subprocess.TimeoutExpired(["canary"], 60)))
    ran = toured(cli, demo.STEPS[0])
    assert ran.status == 1
    assert "This step failed: it timed out.\n" in ran.out
    assert "canary" not in ran.out


def test_the_demo_on_a_terminal_is_coloured_and_waits_for_enter_before_each_step(cli: Cli) -> None:
    with on_terminal("demo", "--step") as terminal:
        for step in demo.STEPS:
            command = f"\x1b[1m$ ztrust-mail {' '.join(step.arguments)}\x1b[0m"
            terminal.wait_for(f"{command}\r\nPress Enter to run it, Ctrl-C to stop. ")
            terminal.shown = b""
            terminal.type("\n")
        ran = terminal.finish()
    assert ran.status == 0
    assert "\x1b[32mAll 9 steps succeeded.\x1b[0m" in ran.out
    assert "  ztrust-mail plan mail.yaml\r\n" in ran.out


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_ctrl_c_and_the_end_of_input_end_the_demo_between_two_steps(cli: Cli, key: str) -> None:
    with on_terminal("demo", "--step") as terminal:
        terminal.wait_for("Ctrl-C to stop. ")
        terminal.type(key)
        ran = terminal.finish()
    assert (ran.status, ran.out.count("Press Enter")) == (ExitStatus.INTERRUPTED, 1)
    assert "Interrupted." in ran.out


def test_the_option_step_of_the_demo_needs_a_terminal(cli: Cli) -> None:
    ran = cli("demo", "--step")
    assert (ran.status, ran.out) == (2, "")
    assert "stdin is not a terminal, so --step cannot wait for Enter; run the demo without --step" in ran.err


@pytest.mark.parametrize(
    ("is_terminal", "variables", "colour"),
    [
        (True, {}, "1"),
        (True, {"NO_COLOR": "1"}, None),
        (True, {"TERM": "dumb"}, None),
        (False, {}, None),
    ],
)
def test_the_commands_of_the_demo_are_coloured_as_the_demo_itself(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, variables: dict[str, str], colour: str | None
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    with Sandbox() as sandbox:
        assert demo._prepare(cli.folder, sandbox).get("FORCE_COLOR") == colour


def test_the_commands_to_try_next_work_on_the_sandbox_that_they_start(cli: Cli) -> None:
    lines = [line.strip() for line in demo.NEXT_STEPS.splitlines() if line.startswith("  ")]
    started, exported, *commands = lines[:-2]
    realms = re.findall(r"--realm (\S+)", started)
    variable, _, value = exported.removeprefix("export ").partition("=")
    cli.monkeypatch.setenv(variable, value)
    with Sandbox(SandboxOptions(realms=tuple(realms))) as sandbox:
        cli.use(sandbox)
        statuses = [cli(*shlex.split(command)[1:], typed="y\n").status for command in commands]
        reads = [command.replace("https://id.example.com", sandbox.url) for command in lines[-2:]]
        statuses += [cli(*shlex.split(command)[1:], "--force").status for command in reads if "pull" in command]
        statuses += [cli(*shlex.split(command)[1:]).status for command in reads if "doctor" in command]
    assert statuses == [0, 1, 0, 0, 0, 0]
