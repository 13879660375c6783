"""How output looks: the pager, the last screen, quiet and verbose, colours, and commands that can be copied."""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli import Cli, on_terminal

from ztrust_mail.sandbox import Sandbox, SandboxOptions

SPEC = """\
version: 1
realms:
  "tenant-*":
    sender: {address: "no-reply@{realm}.example.com"}
    relay: {host: h.example, security: none}
"""
REALMS = [f"tenant-{n:02}" for n in range(40)]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    return SandboxOptions(realms=tuple(REALMS))


@pytest.fixture
def spec(cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("CI", raising=False)
    return cli.write("mail.yaml", SPEC)


@pytest.fixture
def package_log() -> Iterator[logging.Logger]:
    """Give the package's log, and leave it as it was."""
    log = logging.getLogger("ztrust_mail")
    level, handlers = log.level, list(log.handlers)
    yield log
    log.setLevel(level)
    log.handlers[:] = handlers


def shown_on_terminal(*arguments: str, **environ: str) -> tuple[int, list[str]]:
    """Return the exit status, and the lines without colours."""
    with on_terminal(*arguments, environ=environ) as terminal:
        ran = terminal.finish()
    return ran.status, COLOUR.sub("", ran.out).splitlines()


# The last screen


def test_the_last_screen_of_a_refused_plan_has_the_reason_and_the_next_step(spec: str) -> None:
    status, lines = shown_on_terminal("plan", spec, "--details", PAGER="cat")
    assert (status, len(lines) > 24) == (5, True)
    assert lines[-4:] == [
        "Plan: 40 realms to change (80 fields to add).",
        "Refused [mass-change]: 40 of 40 realms would change (limit 30 %): tenant-00 …",
        "  tenant-39.",
        "If intended: ztrust-mail apply mail.yaml --allow mass-change --canary 2",
    ]


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_text_fits_a_terminal_of_any_width(spec: str, columns: str) -> None:
    _, lines = shown_on_terminal("drift", spec, COLUMNS=columns)
    assert max(map(len, lines)) <= int(columns)


def test_a_plan_of_many_realms_fits_one_screen_and_details_show_every_realm(cli: Cli, spec: str) -> None:
    folded = cli("plan", spec).out
    assert "\n40 realms (tenant-00 … tenant-39): the same 2 changes\n" in folded
    assert "no-reply@{realm}.example.com" in folded
    assert folded.count("\n") < 24
    for arguments in (["plan", spec, "--details"], ["--details", "plan", spec]):
        out = cli(*arguments).out
        assert all(f"\n{realm}\n" in out and f"no-reply@{realm}.example.com" in out for realm in REALMS)


# The pager


def test_long_output_goes_through_the_pager_and_the_verdict_follows_it(spec: str) -> None:
    status, lines = shown_on_terminal("plan", spec, "--details", PAGER="sh -c 'cat > paged.txt; echo paged'")
    paged = COLOUR.sub("", Path("paged.txt").read_text(encoding="utf-8"))
    assert (status, lines[0]) == (5, "paged")
    assert lines[1].startswith("Plan: 40 realms to change")
    assert all(f"\n{realm}\n" in paged for realm in REALMS)


@pytest.mark.parametrize("pager", ["no-such-pager", "false", "", "'", "sh -c 'exit 3'"])
def test_without_a_pager_that_works_everything_is_printed(spec: str, pager: str) -> None:
    status, lines = shown_on_terminal("plan", spec, "--details", PAGER=pager)
    assert status == 5
    assert [line for line in lines if line in REALMS] == REALMS
    assert lines[-1].startswith("If intended: ")


def test_a_person_who_leaves_the_pager_early_still_sees_the_verdict(spec: str) -> None:
    status, lines = shown_on_terminal("plan", spec, "--details", PAGER="head -1")
    assert (status, len(lines)) == (5, 5)
    assert lines[-1].startswith("If intended: ")


@pytest.mark.parametrize(
    ("options", "environ"),
    [(["--no-pager"], {}), ([], {"CI": "true"}), ([], {"TERM": "dumb"}), (["--quiet"], {})],
    ids=["--no-pager", "CI", "dumb", "--quiet"],
)
def test_the_pager_is_not_used(spec: str, options: list[str], environ: dict[str, str]) -> None:
    status, lines = shown_on_terminal("plan", spec, "--details", *options, PAGER="echo paged", **environ)
    assert (status, "paged" in lines) == (5, False)


def test_short_output_and_a_pipe_need_no_pager(cli: Cli, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "echo paged")
    assert "paged" not in cli("plan", spec, "--details").out
    status, lines = shown_on_terminal("plan", spec)
    assert (status, "paged" in lines) == (5, False)


def test_a_question_follows_the_pager(sandbox: Sandbox, spec: str) -> None:
    arguments = ("apply", spec, "--details", "--allow", "all")
    with on_terminal(*arguments, environ={"PAGER": "sh -c 'cat > paged.txt; echo paged'"}) as terminal:
        terminal.wait_for("[y/N] ")
        assert sandbox.smtp("tenant-00") == {}
        terminal.type("n\n")
        ran = terminal.finish()
    lines = COLOUR.sub("", ran.out).splitlines()
    assert (ran.status, lines[0], lines[-1]) == (1, "paged", "Declined: nothing was written.")
    assert f"Write to 40 realms on {sandbox.url}? [y/N] n" in lines


def test_with_yes_nothing_waits_for_a_person_in_a_pager(spec: str) -> None:
    status, lines = shown_on_terminal("apply", spec, "--yes", "--allow", "all", "--details", PAGER="sh -c 'exit 0'")
    assert status == 0
    assert lines.count("tenant-00") == 1  # in the plan


# Quiet, verbose, colours


@pytest.mark.parametrize("arguments", [["--quiet", "plan", "mail.yaml"], ["plan", "mail.yaml", "-q"]])
def test_quiet_prints_the_verdict_alone(cli: Cli, spec: str, arguments: list[str]) -> None:
    ran = cli(*arguments)
    assert (ran.status, ran.err) == (5, "")
    assert [line.split(":")[0] for line in ran.out.splitlines()] == ["Plan", "Refused [mass-change]", "If intended"]


def test_quiet_hides_no_error(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("-q", "plan", "nix.yaml")
    assert (ran.status, ran.out) == (2, "")
    assert "nix.yaml" in ran.err
    realms = "realms: {nix: {disabled: true}, tenant-01: {disabled: true}}"
    ran = cli("-q", "plan", cli.write("gone.yaml", f"version: 1\n{realms}\n"))
    assert (ran.status, ran.err) == (4, "")
    assert [line.partition(" on 127")[0] for line in ran.out.splitlines()] == [
        "realm nix: error: there is no realm `nix`",
        "1 realm in sync, 1 missing.",
    ]


def test_requests_are_printed_with_verbose_only(cli: Cli, spec: str, package_log: logging.Logger) -> None:
    requests = package_log.getChild("requests")

    def log_during(*arguments: str) -> str:
        cli(*arguments)  # sets up the log
        cli.capsys.readouterr()
        requests.debug("GET /admin/realms 200 \x1b[2J")
        requests.info("retry")
        return cli.capsys.readouterr().err

    assert log_during("plan", spec) == ""
    shown = log_during("plan", spec, "--verbose")
    assert re.fullmatch(r"[\d:]{8} GET /admin/realms 200 \\x1b\[2J\n[\d:]{8} retry\n", shown)
    assert log_during("plan", spec) == ""


@pytest.mark.parametrize(
    ("arguments", "coloured"),
    [
        (["plan", "mail.yaml"], False),
        (["plan", "mail.yaml", "--color", "always"], True),
        (["--color", "always", "plan", "mail.yaml"], True),
        (["--color", "always", "plan", "mail.yaml", "--color", "never"], False),
    ],
)
def test_colours_may_be_asked_for_off_a_terminal(cli: Cli, spec: str, arguments: list[str], coloured: bool) -> None:
    assert ("\x1b[" in cli(*arguments).out) == coloured


def test_colours_may_be_refused_on_a_terminal(spec: str) -> None:
    with on_terminal("plan", spec, "--color", "never") as terminal:
        assert "\x1b[" not in terminal.finish().out


# JSON


def test_findings_are_in_the_json_and_not_again_on_standard_error(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.remove_realm("tenant-01")
    cli.write("mail.yaml", SPEC + "  tenant-01: {disabled: true}\n")
    for command in (["plan", spec], ["drift", spec], ["test", "tenant-01"]):
        ran = cli(*command, "--format", "json")
        assert "there is no realm `tenant-01`" in json.dumps(ran.json)
        assert ran.err == ""


# The next step


def test_the_next_step_has_the_users_own_arguments_quoted_for_a_shell(cli: Cli, sandbox: Sandbox) -> None:
    name = cli.write("my mail.yaml", SPEC)
    options = ["--server", sandbox.url, "--realm", "tenant-0*", "--details"]
    last = cli("plan", name, *options, "--realm", "x'$y").out.splitlines()[-1]
    words = shlex.split(last.partition(": ")[2])
    assert words[:3] == ["ztrust-mail", "apply", name]
    assert sorted(words[3:]) == sorted(
        ["--server", sandbox.url, "--realm", "tenant-0*", "--realm", "x'$y", "--allow", "mass-change", "--canary", "2"]
    )
    assert "SPEC" not in last


def test_a_file_named_like_an_option_is_no_option_of_the_next_step(cli: Cli, sandbox: Sandbox) -> None:
    for name in ("--allow=all.yaml", "-y.yaml"):
        cli.write(name, SPEC)
        last = cli("plan", "--realm", "tenant-01", "--", name).out.splitlines()[-1]
        words = shlex.split(last.partition(": ")[2])
        assert words[:2] == ["ztrust-mail", "apply"]
        assert words[words.index("--") :] == ["--", name]


def test_the_command_that_continues_after_failures_can_be_run_as_it_is(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.faults.before_write = lambda realm: sandbox.faults.failing_realms.add("tenant-05")
    failed = cli("apply", spec, "--allow", "mass-change", "--yes")
    assert failed.status == 4
    again = failed.out.splitlines()[-1]
    assert again == "Fix the cause, then continue with: ztrust-mail apply mail.yaml --resume --allow mass-change"
    sandbox.faults.before_write = None
    sandbox.faults.failing_realms.clear()
    assert cli(*shlex.split(again.partition(": ")[2])[1:], "--yes").status == 0


def test_hints_name_the_users_own_specs(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    assert cli("apply", spec, "--allow", "all", "--yes").status == 0
    for realm in REALMS:
        sandbox.edit_smtp(realm, sandbox.smtp(realm) | {"host": "evil.example"})
    out = cli("drift", spec, "--server", sandbox.url).out
    assert "SPEC..." not in out
    assert out.splitlines()[-1] == (
        f"Restore the spec's values with: ztrust-mail apply mail.yaml --server {sandbox.url}"
    )
    assert "40 realms (tenant-00 … tenant-39)  critical\n" in out
    assert out.count("evil.example") <= 2


def hints(report: dict[str, Any]) -> set[str]:
    """Return the hints of a JSON report's findings, those of its realms included."""
    found = [*report["findings"], *(one for realm in report["realms"] for one in realm["findings"])]
    return {one["hint"] for one in found if "ztrust-mail" in one["hint"]}


def test_hints_in_json_name_the_users_own_specs_too(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    login = "relay: {host: smtp.example.com, auth: {username: apikey, password: {env: KEY}}}"
    cli.monkeypatch.setenv("KEY", "first-Key-1")
    cli.write(
        spec, f"version: 1\ndefaults: {{sender: {{address: a@b.example}}, {login}}}\nrealms: {{tenant-00: {{}}}}\n"
    )
    assert cli("apply", spec, "--yes").status == 0
    sandbox.edit_smtp("tenant-00", sandbox.smtp("tenant-00") | {"user": "other"})
    expected = f"ztrust-mail apply mail.yaml --server {sandbox.url} --secrets write"
    [hint] = hints(cli.json("plan", spec, "--server", sandbox.url, "--report", "json=report.json"))
    assert hint == f"the server masks the stored value; to write it again: {expected}"
    assert [hint] == [*hints(json.loads(Path("report.json").read_text()))]


def test_a_note_of_a_drift_whose_hint_names_the_users_specs_is_printed_once(
    cli: Cli, sandbox: Sandbox, spec: str
) -> None:
    many = [*REALMS, *(f"tenant-{number}" for number in range(40, 60))]
    for realm in many[len(REALMS) :]:
        sandbox.create_realm(realm)
    assert cli("apply", spec, "--allow", "all", "--yes").status == 0
    for realm in many:
        sandbox.edit_smtp(realm, sandbox.smtp(realm) | {"host": "evil.example"})
    out = cli("drift", spec).out
    assert out.count("did not look up who edited 10 more realms; `ztrust-mail drift mail.yaml --realm GLOB`") == 1
    assert out.count("[not-asked]") == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_write_that_a_revert_cannot_read_back_names_the_command_that_continues_the_revert(
    cli: Cli, sandbox: Sandbox, spec: str, form: str
) -> None:
    assert cli("apply", spec, "--yes", "--allow", "all").status == 0

    def end_the_server(_: str) -> None:
        sandbox.faults.unavailable = True

    sandbox.faults.before_write = end_the_server
    ran = cli("revert", "--yes", "--allow", "all", "--format", form)
    assert ran.status != 0
    assert "not read back" in ran.out, ran
    assert "when the server can be reached, run: ztrust-mail revert 1 --allow all" in ran.out
    assert "SPEC..." not in ran.out + ran.err, ran


def test_the_hint_of_a_finding_about_a_realm_names_the_users_own_specs(
    cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "relay-password")
    auth = "auth: {username: u, password: {env: SMTP_PASSWORD}}"
    login = cli.write("login.yaml", SPEC.replace("security: none", auth))
    assert cli("apply", login, "--allow", "all", "--yes").status == 0
    sandbox.edit_smtp("tenant-00", sandbox.smtp("tenant-00") | {"host": "evil.example"})
    assert "to write it again: ztrust-mail apply login.yaml --secrets write [" in cli("plan", login).out


def test_a_drift_of_many_realms_fits_one_screen(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    assert cli("apply", spec, "--allow", "all", "--yes").status == 0
    for realm in REALMS[:30]:
        sandbox.edit_smtp(realm, sandbox.smtp(realm) | {"host": "evil.example", "from": "x@evil.example"})
    status, lines = shown_on_terminal("drift", spec, COLUMNS="80")
    assert status == 1
    assert len(lines) <= 24
    assert "    sender.address (From)  no-reply@{realm}.example.com → x@evil.example" in lines


def test_the_command_suggested_for_a_revert_that_empties_all_realms_has_no_canary_that_nothing_can_test(
    cli: Cli, sandbox: Sandbox, spec: str
) -> None:
    assert cli("apply", spec, "--allow", "mass-change", "--yes").status == 0
    refused = cli("revert", "--dry-run")
    assert refused.status == 5
    _, _, suggested = refused.out.splitlines()[-1].partition("If intended: ztrust-mail ")
    assert suggested == "revert --allow mass-change"
    assert cli(*suggested.split(), "--yes").status == 0
