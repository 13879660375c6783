"""The command lint, the options of lint on other commands, and what both say of what they do not show."""

from __future__ import annotations

import json

import pytest
from support.admin_api import AdminApi
from support.cli import Cli, Ran
from support.journals import use_cheap_fingerprints

from ztrust_mail.sandbox import Sandbox

SPEC = """\
version: 1
defaults: {sender: {address: no-reply@acme.example}, relay: {host: smtp.acme.example, port: 25}}
realms:
  acme: {}
  globex: {}
"""
CLEAN = SPEC.replace(", port: 25", "")


@pytest.fixture
def spec(cli: Cli) -> str:
    return cli.write("mail.yaml", SPEC)


@pytest.mark.parametrize(("fail_on", "status"), [("note", 1), ("warning", 0), ("error", 0)])
def test_the_exit_status_depends_on_the_worst_finding(cli: Cli, spec: str, fail_on: str, status: int) -> None:
    ran = cli("lint", spec, "--fail-on", fail_on)
    assert ran.status == status
    first, last = ran.out.splitlines()
    assert first.startswith(f"{spec}:2:93: note: port 25 is for mail between mail servers;")
    assert last == "Found 1 note in the spec."


def test_warnings_fail_lint_and_not_validate(cli: Cli, spec: str) -> None:
    cli.write("mail.yaml", SPEC.replace("port: 25", "security: none"))
    assert cli("lint", spec).status == 1
    assert cli("validate", spec).status == 0


def test_an_invalid_spec_is_status_2_for_both(cli: Cli, spec: str) -> None:
    cli.write("mail.yaml", SPEC.replace("port: 25", "port: 99999"))
    assert [cli(command, spec).status for command in ("lint", "validate")] == [2, 2]


def test_the_errors_of_an_invalid_spec_are_counted_once(cli: Cli, spec: str) -> None:
    cli.write("mail.yaml", SPEC.replace("port: 25", "port: 99999, host: 'a b'"))
    last = cli("lint", spec).out.splitlines()[-2:]
    assert [line.startswith("Found ") for line in last] == [False, True]


def test_a_typo_in_a_rule_is_refused_with_the_nearest_one(cli: Cli, spec: str) -> None:
    for command in ("lint", "validate"):
        ran = cli(command, spec, "--ignore", "prot-25")
        assert ran.status == 2
        assert "unknown lint rule or group `prot-25` in ignore; did you mean `port-25`?" in ran.err


def test_settings_choose_rules_and_so_does_a_file_in_the_working_folder(cli: Cli, spec: str) -> None:
    cli.write("ztrust-mail.toml", '[lint]\nignore = ["port-25"]\n')
    assert "Found no findings in the spec." in cli("lint", spec).out
    cli.write("other.toml", '[lint]\nselect = ["odd-name"]\n')
    assert cli("validate", spec, "--config", "other.toml").out == "Valid: 2 realms and 0 globs in 1 file.\n"


def test_findings_that_are_not_shown_are_counted_in_every_format(cli: Cli, spec: str) -> None:
    cli.write("mail.yaml", SPEC.replace("25}}", "25}} # ztrust-mail: ignore[port-25]"))
    assert "Not shown: 1 finding ignored by comments.\n" in cli("validate", spec).out
    assert cli.json("lint", spec)["hidden"] == {"ignored": 1, "baseline": 0}


def test_a_baseline_is_written_read_and_shrinks(cli: Cli, spec: str) -> None:
    assert "Wrote 1 finding to known.json.\n" in cli("lint", spec, "--baseline", "known.json", "--write-baseline").out
    ran = cli("lint", spec, "--baseline", "known.json", "--fail-on", "note")
    assert (ran.status, ran.out) == (0, "Not shown: 1 finding in the baseline.\nFound no findings in the spec.\n")
    cli.write("mail.yaml", CLEAN)
    fixed = cli("lint", spec, "--baseline", "known.json").out
    assert "note: 1 finding of the baseline is fixed: port-25 of `defaults`; remove them with --write-baseline" in fixed
    cli("lint", spec, "--baseline", "known.json", "--write-baseline")
    assert json.loads((cli.folder / "known.json").read_text())["findings"] == []


def test_a_baseline_is_never_written_over_another_file(cli: Cli, spec: str) -> None:
    cli.write("notes.txt", "mine")
    for path, why in ((spec, "it is a spec"), ("notes.txt", "it holds something other than a baseline of lint")):
        ran = cli("lint", spec, "--baseline", path, "--write-baseline")
        assert (ran.status, why in ran.err) == (2, True), ran.err
    assert cli("lint", spec, "--write-baseline").status == 2
    assert cli("lint", spec, "--baseline", "nowhere/x.json", "--write-baseline").status == 2
    assert (cli.folder / "notes.txt").read_text() == "mine"


def test_a_report_is_never_written_over_a_baseline(cli: Cli, spec: str) -> None:
    cli("lint", spec, "--baseline", "known.json", "--write-baseline")
    ran = cli("lint", spec, "--report", "json=known.json")
    assert ran.status == 2
    assert "it is a baseline of lint" in ran.err


def test_realms_without_a_server_are_refused(cli: Cli, spec: str) -> None:
    ran = cli("lint", spec, "--realm", "acme")
    assert ran.status == 2
    assert "name the server: --server NAME" in ran.err


# With a server


@pytest.fixture
def served(cli: Cli, ztrust_sandbox: Sandbox, admin: AdminApi) -> Cli:
    use_cheap_fingerprints(cli.monkeypatch)
    cli.set(URL=ztrust_sandbox.url, USERNAME="admin", PASSWORD="admin")
    admin.create_realm("hooli", verifyEmail=True, emailTheme="nowhere")
    cli.write("mail.yaml", CLEAN)
    return cli


def test_lint_and_drift_find_what_a_server_needs_and_ask_once(served: Cli, ztrust_sandbox: Sandbox) -> None:
    for command in (("lint", "mail.yaml", "--server", ztrust_sandbox.url), ("drift", "mail.yaml")):
        before = len([one for one in ztrust_sandbox.requests if one.path == "/admin/serverinfo"])
        found = {(one["rule"], one["realm"]) for one in served.json(*command)["findings"]}
        assert {("needs-mail", "hooli"), ("unknown-email-theme", "hooli")} <= found, command
        after = len([one for one in ztrust_sandbox.requests if one.path == "/admin/serverinfo"])
        assert after - before == 1


def test_a_plan_about_two_realms_says_what_concerns_them(served: Cli, admin: AdminApi) -> None:
    admin.ok("PUT", "/admin/realms/acme", {"emailTheme": "keycloack"})
    report = served.json("plan", "mail.yaml")
    assert [(one["rule"], one["realm"]) for one in report["findings"]] == [("unknown-email-theme", "acme")]
    assert served.json("plan", "mail.yaml", "--ignore", "live")["findings"] == []


def test_a_plan_says_nothing_of_other_realms_that_were_read_along(served: Cli, admin: AdminApi) -> None:
    names = [f"tenant-{n}" for n in range(101)]  # so many are read by one list
    for name in names:
        admin.create_realm(name)
    for entries in ("".join(f"  {name}: {{}}\n" for name in names), "  tenant-*: {}\n"):
        served.write("mail.yaml", CLEAN.partition("  acme")[0] + entries)
        assert "hooli" not in {one["realm"] for one in served.json("plan", "mail.yaml")["findings"]}


def test_lint_on_a_server_is_limited_to_the_realms_that_are_named(served: Cli, ztrust_sandbox: Sandbox) -> None:
    ran = served("lint", "mail.yaml", "--server", ztrust_sandbox.url, "--realm", "acme")
    assert (ran.status, "hooli" in ran.out) == (0, False)


def test_a_spec_from_standard_input_is_read_once(served: Cli, ztrust_sandbox: Sandbox) -> None:
    ran = served("lint", "-", "--server", ztrust_sandbox.url, "--realm", "acme", stdin=CLEAN)
    assert ran == Ran(0, f"Found no findings in the spec and on {ztrust_sandbox.url}.\n")


def test_an_invalid_spec_is_not_compared_with_a_server(served: Cli, ztrust_sandbox: Sandbox) -> None:
    served.write("mail.yaml", SPEC.replace("port: 25", "port: 99999"))
    ran = served("lint", "mail.yaml", "--server", ztrust_sandbox.url)
    assert (ran.status, "hooli" in ran.out) == (2, False)


def test_a_realm_that_cannot_be_read_is_status_4(served: Cli, ztrust_sandbox: Sandbox) -> None:
    served.write("mail.yaml", CLEAN + "  nowhere: {}\n")
    ran = served("lint", "mail.yaml", "--server", ztrust_sandbox.url, "--ignore", "all")
    assert ran.status == 4
    assert "there is no realm `nowhere`" in ran.out


def test_a_server_that_is_stopped_is_status_3(cli: Cli, spec: str) -> None:
    cli.set(USERNAME="admin", PASSWORD="admin")
    assert cli("lint", spec, "--server", "http://127.0.0.1:9").status == 3
