"""Looking before undoing: dry runs, saved plans, ``show``, ``diff``, and messages in the history."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.cli import Cli
from support.connecting import sent

import ztrust_mail
from ztrust_mail.sandbox import Sandbox

SPEC = """\
version: 1
defaults:
  relay: {host: smtp.example.com, auth: {username: apikey, password: {env: KEY}}}
  sender: {address: "no-reply@{realm}.example.com", name: %s}
realms: {acme: {}, globex: {}}
"""


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "first-Key-1")


def apply(cli: Cli, name: str, *more: str) -> None:
    assert cli("apply", cli.write("mail.yaml", SPEC % name), "--yes", *more).status == 0


@pytest.fixture
def two_runs(cli: Cli, sandbox: Sandbox) -> Sandbox:
    apply(cli, "One")
    apply(cli, "Two")
    return sandbox


def names(sandbox: Sandbox) -> set[str]:
    return {sandbox.smtp(realm)["fromDisplayName"] for realm in ("acme", "globex")}


def test_a_dry_run_of_a_revert_needs_no_terminal_and_writes_nothing(cli: Cli, two_runs: Sandbox) -> None:
    ran = cli("revert", "--dry-run", "--message", "Why not")
    assert ran.status == 1
    assert re.search(r"Back to before run 2: apply, .*\n\n2 realms \(acme and globex\): the same 1 change\n", ran.out)
    assert "~ sender.name (From display name)  Two → One" in ran.out
    assert ran.out.splitlines()[-1] == "Apply it with: ztrust-mail revert --message 'Why not'"
    assert names(two_runs) == {"Two"}
    assert len(cli("history", "--format", "json").json["runs"]) == 2


def test_a_dry_run_of_a_revert_that_has_nothing_to_do_ends_with_success(cli: Cli, sandbox: Sandbox) -> None:
    without_login = SPEC.replace(", auth: {username: apikey, password: {env: KEY}}", "")
    for name in ("One", "Two"):
        assert cli("apply", cli.write("mail.yaml", without_login % name), "--yes").status == 0
    for realm in ("acme", "globex"):
        sandbox.edit_smtp(realm, {**sandbox.smtp(realm), "fromDisplayName": "One"})
    report = cli("revert", "--dry-run", "--format", "json").json
    assert (report["exit_status"], report["command"], report["summary"]["in_sync"]) == (0, "revert 2", 2)


def test_a_dry_run_says_which_dangers_have_to_be_allowed(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.edit_smtp("globex", {"from": "a@globex.example", "host": "smtp.example.com", "port": "25"})
    apply(cli, "One")
    ran = cli("revert", "--dry-run")
    assert ran.status == 5
    assert ran.out.splitlines()[-1] == "If intended: ztrust-mail revert --allow weaker-security"
    assert cli("revert", "--dry-run", "--allow", "weaker-security").status == 1


@pytest.mark.parametrize("command", [("revert",), ("rotate", "env:KEY", "mail.yaml")])
def test_a_dry_run_does_not_wait_for_another_run_but_names_it(
    cli: Cli, two_runs: Sandbox, command: tuple[str, ...]
) -> None:
    with ztrust_mail.connect() as session, session.journal.lease(two_runs.url, "eve on desk"):
        ran = cli(*command, "--dry-run")
        assert "a run of eve on desk is working on this server" in ran.out
        assert cli(*command, "--yes").status == 5


def test_a_saved_revert_is_shown_reviewed_and_applied(cli: Cli, two_runs: Sandbox) -> None:
    saved = cli("revert", "--out", "plan.json")
    assert (saved.status, names(two_runs)) == (1, {"Two"})
    assert saved.out.splitlines()[-1] == "Apply it with: ztrust-mail apply --plan plan.json"
    digest = json.loads(Path("plan.json").read_text())["digest"]
    assert f"Saved to `plan.json`; its digest is {digest}" in saved.out
    done = cli("apply", "--plan", "plan.json", "--expect-digest", digest, "--yes", "--message", "Undo the rename")
    assert (done.status, names(two_runs)) == (0, {"One"})
    run = cli("history", "3", "--format", "json").json["runs"][0]
    assert (run["command"], run["message"], run["plan_digest"]) == (
        "apply --plan (revert 2)",
        "Undo the rename",
        digest,
    )


def test_the_revert_of_a_saved_revert_says_how_to_go_further_back(cli: Cli, two_runs: Sandbox) -> None:
    cli("revert", "--out", "plan.json")
    cli("apply", "--plan", "plan.json", "--yes")
    said = "run 3 is a revert of run 2: this brings back what run 2 wrote; "
    further = "to go one step further back instead: ztrust-mail revert 1 [undoes-revert]"
    assert said + further in cli("revert", "--dry-run").out
    assert said + further in cli("revert", "--yes").out
    assert names(two_runs) == {"Two"}


def test_a_stopped_apply_of_a_saved_revert_is_resumed_with_the_same_file(cli: Cli, two_runs: Sandbox) -> None:
    cli("revert", "--out", "plan.json")
    failing = two_runs.faults.failing_realms
    two_runs.faults.before_write = lambda realm: failing.update({"globex"} & {realm})
    assert cli("apply", "--plan", "plan.json", "--yes").status == 4
    two_runs.faults.before_write = None
    failing.clear()
    refused = cli("apply", "mail.yaml", "--resume", "--yes")
    assert "run 3 applied a saved plan; continue with: ztrust-mail apply --plan FILE --resume" in refused.err
    assert cli("apply", "--plan", "plan.json", "--resume", "--yes").status == 0
    assert names(two_runs) == {"One"}


def test_a_rotation_is_shown_and_saved_before_it_is_written(
    cli: Cli, two_runs: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "second-Key-2")
    shown = cli("rotate", "env:KEY", "mail.yaml", "--dry-run")
    assert shown.status == 1
    assert "~ relay.auth.password (Password)  new value from env:KEY" in shown.out
    saved = cli("rotate", "env:KEY", "mail.yaml", "--out", "plan.json")
    assert saved.out.splitlines()[-1] == "Apply it with: ztrust-mail apply --plan plan.json --canary 2"
    assert {two_runs.smtp(realm)["password"] for realm in ("acme", "globex")} == {"first-Key-1"}
    assert cli("apply", "--plan", "plan.json", "--yes").status == 0
    assert {two_runs.smtp(realm)["password"] for realm in ("acme", "globex")} == {"second-Key-2"}
    assert cli("rotate", "env:KEY", "mail.yaml", "--dry-run").status == 0


@pytest.mark.parametrize("command", [("revert",), ("rotate", "env:KEY", "mail.yaml")])
def test_a_plan_is_never_saved_over_anything_but_a_plan(cli: Cli, two_runs: Sandbox, command: tuple[str, ...]) -> None:
    cli.write("notes.txt", "important")
    before = len(two_runs.requests)
    ran = cli(*command, "--out", "notes.txt", "--force")
    assert (ran.status, len(two_runs.requests)) == (2, before)
    assert "cannot write the plan `notes.txt`" in ran.err
    assert cli(*command, "--out", "mail.yaml", "--force").status == 2
    assert Path("notes.txt").read_text() == "important"


def test_show_prints_a_saved_plan_without_a_server(cli: Cli, two_runs: Sandbox) -> None:
    cli("revert", "--out", "plan.json")
    two_runs.stop()
    shown = cli("show", "plan.json")
    assert shown.status == 0
    assert "Plan made by revert 2 at " in shown.out
    assert "2 realms (acme and globex): the same 1 change\n  ~ sender.name  Two → One\n" in shown.out
    assert shown.out.splitlines()[-1] == "Apply it with: ztrust-mail apply --plan plan.json"
    report = cli("show", "plan.json", "--format", "json").json
    assert (report["command"], report["plan"]["command"], report["summary"]["changed"]) == ("show", "revert 2", 2)
    assert report["plan"]["digest"] in shown.out


def test_show_has_the_changes_of_the_plan(cli: Cli, two_runs: Sandbox) -> None:
    cli.write("mail.yaml", SPEC % "Three")
    made = cli("plan", "mail.yaml", "--out", "plan.json", "--format", "json").json
    shown = cli("show", "plan.json", "--format", "json").json
    assert [(one["realm"], one["changes"]) for one in shown["realms"]] == [
        (one["realm"], one["changes"]) for one in made["realms"]
    ]
    assert shown["plan"]["spec"][0]["path"] == "mail.yaml"


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (None, 2, "the plan `plan.json` does not exist"),
        ("version: 1\n", 2, "the plan `plan.json` is not JSON from line 1, column 1 on"),
        ("{}", 2, "the plan `plan.json` is not a saved plan"),
        ('{"schema": "urn:ztrust-mail:schema:plan:9"}', 2, "was saved by another version of this program"),
    ],
)
def test_show_says_what_is_wrong_with_a_file(cli: Cli, content: str | None, status: int, message: str) -> None:
    if content is not None:
        cli.write("plan.json", content)
    ran = cli("show", "plan.json")
    assert (ran.status, ran.out) == (status, "")
    assert message in ran.err
    assert cli("show", "plan.json", "--format", "json").json["findings"][0]["rule"] == "bad-plan"


def test_show_refuses_an_altered_plan(cli: Cli, two_runs: Sandbox) -> None:
    cli("revert", "--out", "plan.json")
    cli.write("plan.json", Path("plan.json").read_text().replace("acme", "evil"))
    assert (cli("show", "plan.json").status, cli("show", "plan.json", "--format", "json").json["status"]) == (
        5,
        "unsafe",
    )


def test_show_survives_a_plan_that_names_fields_it_does_not_set(cli: Cli, two_runs: Sandbox) -> None:
    from ztrust_mail.core.data import of_json

    cli("revert", "--out", "plan.json")
    data = json.loads(Path("plan.json").read_text())
    data["realms"][0]["hidden"] = ["no.such.field"]
    data["created"] = "2026-99-99T99:99:99Z"
    data["digest"] = of_json({key: value for key, value in data.items() if key != "digest"})
    cli.write("plan.json", json.dumps(data))
    assert cli("show", "plan.json").status == 0


def test_diff_shows_what_two_runs_left_different_and_sends_nothing(
    cli: Cli, two_runs: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "second-Key-2")
    apply(cli, "Two", "--realm", "acme")
    before = len(sent(two_runs, "GET"))
    ran = cli("diff", "1", "3")
    assert (ran.status, len(sent(two_runs, "GET"))) == (1, before)
    assert "From run 1: apply, " in ran.out
    assert "~ sender.name (From display name)  One → Two\n" in ran.out
    assert "~ relay.auth.password" in ran.out
    assert "another secret" in ran.out
    assert ran.out.splitlines()[-1] == "Diff: 2 realms different, 0 the same."
    report = cli("diff", "2", "3", "--format", "json").json
    assert report["diff"] == {"from": 2, "to": 3}
    assert [(one["realm"], one["status"], one["secrets"]) for one in report["realms"]] == [
        ("acme", "changed", {"relay.auth.password": "changed"}),
        ("globex", "in_sync", {"relay.auth.password": "unchanged"}),
    ]
    assert cli("diff", "2", "3", "--realm", "globex").status == 0


def test_diff_says_which_runs_there_are(cli: Cli, two_runs: Sandbox) -> None:
    ran = cli("diff", "1", "7")
    assert ran.status == 2
    assert "there is no run 7; the newest on this server is run 2; list the runs with: ztrust-mail history" in ran.err
    assert cli("diff", "1").status == 2


@pytest.mark.parametrize("message", ["two\nlines", "\x1b[31m", "x" * 501])
def test_a_message_that_cannot_be_recorded_is_refused_before_any_request(
    cli: Cli, sandbox: Sandbox, message: str
) -> None:
    before = len(sandbox.requests)
    ran = cli("apply", cli.write("mail.yaml", SPEC % "One"), "--yes", "--message", message)
    assert (ran.status, len(sandbox.requests)) == (2, before)
    assert "the message has" in ran.err


def test_history_shows_messages_below_their_runs_in_80_columns(
    cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    apply(cli, "One", "--message", "Ticket 4711: " + "all realms move to the new relay, " * 6)
    cli("revert", "--out", "plan.json")
    assert cli("apply", "--plan", "plan.json", "--yes").status == 0
    ran = cli("history")
    assert max(map(len, ran.out.splitlines())) <= 80
    rows = ran.out[ran.out.index("RUN") :].splitlines()
    assert rows[1].split()[3:5] == ["revert", "1"]
    assert rows[3].startswith("     Ticket 4711: all realms move")
    assert rows[4].startswith("     ")
    assert "message: Ticket 4711: all realms move" in cli("history", "1").out
