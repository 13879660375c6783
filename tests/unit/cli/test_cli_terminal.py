"""The command line on a real terminal: colours, the question, Ctrl-C."""

from __future__ import annotations

import re

import pytest
from support.cli import Cli, on_terminal

from ztrust_mail.sandbox import Sandbox, SandboxOptions

LONG = "x" * 100
HOSTILE = "[red]x[/red]\x1b]0;title\x07\x1b[2J\u202e"
SPEC = f"""\
version: 1
realms:
  "*":
    sender: {{address: a@b.example, name: {LONG}}}
    relay: {{host: h.example, security: none}}
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    return SandboxOptions(realms=("acme",))


@pytest.fixture
def spec(cli: Cli, sandbox: Sandbox) -> str:
    return cli.write("mail.yaml", SPEC)


def test_a_yes_on_the_keyboard_applies_and_the_result_is_coloured(sandbox: Sandbox, spec: str) -> None:
    with on_terminal("apply", spec) as terminal:
        terminal.wait_for(f"Write to 1 realm on {sandbox.url}? [y/N] ")
        assert sandbox.smtp("acme") == {}
        terminal.type("y\n")
        ran = terminal.finish()
    assert ran.status == 0
    assert sandbox.smtp("acme")["host"] == "h.example"
    assert "\x1b[1macme\x1b[0m  \x1b[32mapplied\x1b[0m\r\n" in ran.out
    assert f"{LONG}\x1b" in ran.out  # neither wrapped nor cut at 80 columns


def test_ctrl_c_at_the_question_ends_with_130_and_writes_nothing(sandbox: Sandbox, spec: str) -> None:
    with on_terminal("apply", spec) as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("\x03")
        ran = terminal.finish()
    assert ran.status == 130
    assert "Interrupted." in ran.out
    assert "Traceback" not in ran.out
    assert sandbox.smtp("acme") == {}


def test_the_end_of_input_at_the_question_declines(sandbox: Sandbox, spec: str) -> None:
    with on_terminal("apply", spec) as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("\x04")
        ran = terminal.finish()
    assert ran.status == 1
    assert "Declined: nothing was written.\r\n" in ran.out
    assert sandbox.smtp("acme") == {}


def test_foreign_text_on_a_terminal_is_neither_obeyed_nor_rendered_as_markup(sandbox: Sandbox, spec: str) -> None:
    sandbox.create_realm(HOSTILE, {"from": "a@b.example", "host": HOSTILE})
    with on_terminal("plan", spec) as terminal:
        ran = terminal.finish()
    plain = COLOUR.sub("", ran.out)
    assert ran.status == 1
    assert plain != ran.out
    assert r"`[red]x[/red]\x1b]0;title\x07\x1b[2J\u202e`" in plain.splitlines()
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\u202e]", plain)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_switches_colours_off(sandbox: Sandbox, spec: str, environ: dict[str, str]) -> None:
    with on_terminal("plan", spec, environ=environ) as terminal:
        ran = terminal.finish()
    assert ran.status == 1
    assert "\r\nacme\r\n" in ran.out
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_errors_of_a_spec_on_a_terminal_show_the_line_with_a_caret(cli: Cli, command: str) -> None:
    path = cli.write("mail.yaml", "version: 1\nrealms:\n  acme: {sender: {adress: a@b.example}}\n")
    with on_terminal(command, path) as terminal:
        ran = terminal.finish()
    assert ran.status == 2
    shown = COLOUR.sub("", ran.out).splitlines()
    assert shown[2:] == [
        "   |",
        " 3 |   acme: {sender: {adress: a@b.example}}",
        "   |                   ^^^^^^ did you mean `address`?",
    ]


def test_help_on_a_terminal_of_80_columns_fits(cli: Cli) -> None:
    with on_terminal("apply", "--help") as terminal:
        ran = terminal.finish()
    assert ran.status == 0
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert "\x1b" not in ran.out
