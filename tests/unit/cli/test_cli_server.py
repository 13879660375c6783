"""The commands that work with a server: what they print where, and how they end."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path

import pytest
from support.cli import Cli, raising

from ztrust_mail import api
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.sandbox.state import Busy

NOT_COMPARED = "1 password not compared (the server hides it; `plan` compares it with the last apply)."
MASK = "**********"
SPEC = """\
version: 1
defaults:
  relay:
    host: smtp.example.com
    auth: {username: apikey, password: {env: SMTP_PASSWORD}}
  sender: {address: "no-reply@{realm.slug}.example.com", name: Example}
realms:
  acme:
    reply_to: {address: help@acme.example}
  "tenant-*": {expect: {min: 2}}
  retired: {disabled: true}
"""
PLAIN = "version: 1\nrealms:\n  acme: {sender: {address: a@b.example}, relay: {host: h.example, security: none}}\n"
REALMS = ("acme", "tenant-a", "tenant-b", "retired")


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    return SandboxOptions(realms=REALMS)


@pytest.fixture
def spec(cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SMTP_PASSWORD", "relay-password")
    return cli.write("mail.yaml", SPEC)


@pytest.fixture
def in_sync(cli: Cli, spec: str) -> str:
    assert cli("apply", spec, "--yes").status == 0
    return spec


def writes(sandbox: Sandbox) -> list[str]:
    return [request.path for request in sandbox.requests if request.method == "PUT"]


# plan


def test_plan_shows_server_account_globs_changes_and_what_next_on_stdout(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.edit_smtp("acme", {"from": "no-reply@acme.example.com", "host": "old.example.com", "custom": "c"})
    sandbox.edit_smtp("retired", {"from": "old@example.com", "host": "h", "replyTo": "r@example.com"})
    ran = cli("plan", spec)
    assert ran.status == 1
    assert ran.err == ""
    heading, globs, *blocks = ran.out.split("\n\n")
    assert (heading, globs) == (f"{sandbox.url}, as admin (realm master)", "tenant-* matches 2 realms")
    assert blocks[0].splitlines() == [
        "acme",
        "  + sender.name (From display name)               Example",
        "  + reply_to.address (Reply to)                   help@acme.example",
        "  ~ relay.host (Host)                             old.example.com → smtp.example.com",
        "  + relay.port (Port)                             587",
        "  + relay.security (Enable SSL, Enable StartTLS)  starttls",
        "  + relay.auth (Authentication)                   basic",
        "  + relay.auth.username (Username)                apikey",
        "  + relay.auth.password (Password)                from env:SMTP_PASSWORD",
        "    unmanaged, preserved: custom",
    ]
    assert blocks[1].splitlines()[:2] == [
        "2 realms (tenant-a and tenant-b): the same 8 changes",
        "  + sender.address (From)                         no-reply@{realm}.example.com",
    ]
    assert blocks[2].splitlines() == [
        "retired",
        "  - sender.address (From)        old@example.com",
        "  - reply_to.address (Reply to)  r@example.com",
        "  - relay.host (Host)            h",
        "    the realm will have no e-mail settings at all",
    ]
    assert blocks[3].splitlines() == [
        "Plan: 4 realms to change (27 fields: 23 to add, 1 to change, 3 to remove).",
        "Apply it with: ztrust-mail apply mail.yaml",
    ]
    assert writes(sandbox) == []


def test_plan_prints_one_line_when_in_sync(cli: Cli, in_sync: str) -> None:
    ran = cli("plan", in_sync)
    assert (ran.status, ran.out.splitlines(keepends=True)[-1]) == (
        0,
        "4 realms in sync; 3 passwords unchanged since the last apply (the server hides the stored values).\n",
    )
    one = cli("plan", in_sync, "--realm", "retired")
    assert (one.status, one.out.splitlines()[2:]) == (0, ["1 realm in sync."])


def test_a_plan_whose_spec_covers_no_live_realm_is_reported(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("plan", cli.write("none.yaml", 'version: 1\nrealms:\n  "nix-*": {disabled: true}\n'))
    assert (ran.status, ran.out.splitlines()[-1]) == (0, "0 realms in sync.")
    assert "nix-* matches 0 realms" in ran.out
    assert "warning" in ran.out


def test_the_json_plan_says_the_same_as_the_text(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.edit_smtp("retired", {"from": "old@example.com", "host": "h"})
    sandbox.remove_realm("acme")
    report = cli.json("plan", spec)
    text = cli("plan", spec)
    assert (report["status"], text.status) == ("partial", 4)
    assert (report["server"], report["globs"]) == (sandbox.url, {"tenant-*": 2})
    assert report["summary"] == {"realms": 4, "changed": 3, "missing": 1}
    assert [(realm["realm"], realm["status"]) for realm in report["realms"]] == [
        ("acme", "missing"),
        ("tenant-a", "changed"),
        ("tenant-b", "changed"),
        ("retired", "changed"),
    ]
    assert report["realms"][3]["changes"][0] == {
        "field": "sender.address",
        "attributes": ["from"],
        "before": "old@example.com",
        "after": None,
        "action": "remove",
    }
    assert "\nacme  missing\n" in text.out
    assert "realm acme: error: there is no realm `acme`" in text.out


def test_realm_globs_limit_the_plan_and_may_be_given_again(cli: Cli, spec: str) -> None:
    report = cli.json("plan", spec, "--realm", "tenant-a", "--realm", "ac*")
    assert [realm["realm"] for realm in report["realms"]] == ["acme", "tenant-a"]


@pytest.mark.parametrize("command", [["plan", "mail.yaml"], ["apply", "mail.yaml", "--yes"], ["drift", "mail.yaml"]])
def test_a_realm_glob_without_matches_is_reported_even_if_another_one_matches(
    cli: Cli, spec: str, command: list[str]
) -> None:
    alone = cli(*command, "--realm", "acme")
    ran = cli(*command, "--realm", "acme", "--realm", "tpyo", "--realm", "x-*", "--realm", "x-*")
    assert ran.status == (0 if command[0] == "apply" else alone.status)
    for glob in ("tpyo", "x-*"):
        said = f"warning: no realm of the spec matches --realm `{glob}`; realm names are case-sensitive [no-match]"
        assert ran.out.count(said) == 1
    assert cli(*command, "--realm", "tpyo").status == 2


def test_a_plan_says_which_secrets_are_also_written_or_preserved(cli: Cli, sandbox: Sandbox, in_sync: str) -> None:
    sandbox.edit_smtp("acme", sandbox.smtp("acme") | {"fromDisplayName": "Old"})
    auto, keep, write = (cli("plan", in_sync, "--realm", "acme", "--secrets", m).out for m in ("auto", "keep", "write"))
    along = "    also written: relay.auth.password (secret from env:SMTP_PASSWORD), unchanged"
    assert f"{along} since the last apply\n" in auto
    assert "    kept as stored: relay.auth.password (secret from env:SMTP_PASSWORD)\n" in keep
    assert "  ~ relay.auth.password (Password)   new value from env:SMTP_PASSWORD\n" in write
    assert "(1 field to change)" in auto


def test_a_plan_counts_passwords_that_cannot_be_compared_in_unchanged_realms(
    cli: Cli, sandbox: Sandbox, in_sync: str
) -> None:
    sandbox.edit_smtp("acme", sandbox.smtp("acme") | {"fromDisplayName": "Old"})
    assert cli("plan", in_sync).out.splitlines()[-3:] == [
        "Plan: 1 realm to change (1 field to change), 3 in sync.",
        "2 passwords unchanged since the last apply (the server hides the stored values).",
        "Apply it with: ztrust-mail apply mail.yaml",
    ]


def test_an_unresolvable_reference_of_realms_in_sync_is_reported_once(
    cli: Cli, in_sync: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTP_PASSWORD")
    ran = cli("plan", in_sync)
    assert (ran.status, ran.out.splitlines()[-1]) == (
        0,
        "4 realms in sync; 3 passwords not compared (their references have no value here).",
    )
    assert [line for line in ran.out.splitlines() if "warning" in line] == [
        "mail.yaml:5:40: 3 realms (acme, tenant-a and tenant-b): warning: "
        "cannot resolve `relay.auth.password`: "
        "the environment variable `SMTP_PASSWORD` is not set; export SMTP_PASSWORD [secret-missing]"
    ]
    told = {realm["realm"]: realm["findings"] for realm in cli.json("plan", in_sync)["realms"]}
    assert told["retired"] == []
    assert [(f["severity"], f["rule"], f["line"], f["field"]) for f in told["acme"]] == [
        ("warning", "secret-missing", 5, "relay.auth.password")
    ]


def test_waiting_for_a_busy_server_is_reported_on_stderr(
    cli: Cli, sandbox: Sandbox, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ztrust_mail.transport.throttle.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("ztrust_mail.transport.throttle.MIN_LOGGED_WAIT", 0.0)
    assert "is too busy" not in cli("plan", spec).err
    sandbox.faults.busy.append(Busy(429, 1, "GET"))
    ran = cli("plan", spec)
    assert (ran.status, ran.err.count(" is too busy: retry in 0 s [waiting]\n")) == (1, 1)


def test_a_plan_that_resolves_no_secret_says_what_would_compare_passwords(cli: Cli, in_sync: str) -> None:
    assert cli("plan", in_sync, "--no-secrets").out.splitlines()[-1] == (
        "4 realms in sync; 3 passwords not compared "
        "(the server hides them; without --no-secrets, plan compares them with the last apply)."
    )


@pytest.mark.parametrize("arguments", [("plan", "--no-secrets"), ("drift",)], ids=" ".join)
def test_commands_that_resolve_no_references_do_not_report_unresolvable_ones(
    cli: Cli, in_sync: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.delenv("SMTP_PASSWORD")
    ran = cli(*arguments, in_sync, "--realm", "*")
    assert (ran.status, "SMTP_PASSWORD" in ran.out + ran.err) == (0, False)


def test_a_glob_that_matches_too_few_realms_skips_them_with_an_error(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.remove_realm("tenant-b")
    ran = cli("plan", spec)
    assert ran.status == 4
    assert "tenant-* matches 1 realm\n" in ran.out
    assert "error" in ran.out
    assert "tenant-a  skipped\n" in ran.out
    assert writes(sandbox) == []


# apply


def test_apply_writes_reads_back_and_prints_the_result_of_each_realm(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    ran = cli("apply", spec, "--yes")
    assert ran.status == 0
    assert ran.err == ""
    assert ran.out.startswith(f"{sandbox.url}, as admin (realm master)\n\ntenant-* matches 2 realms\n")
    assert ran.out.splitlines()[-2:] == [
        "3 realms (acme, tenant-a and tenant-b)  applied",
        "Done: 3 realms applied, 1 in sync (run 1).",
    ]
    assert sandbox.smtp("acme")["password"] == "relay-password"


def test_apply_with_nothing_to_do_prints_one_line_and_does_not_ask(cli: Cli, in_sync: str) -> None:
    ran = cli("apply", in_sync, typed="")
    assert (ran.status, ran.out.splitlines(keepends=True)[-1]) == (
        0,
        "4 realms in sync; 3 passwords unchanged since the last apply (the server hides the stored values).\n",
    )
    assert "[y/N]" not in ran.err


def test_apply_in_json_is_one_object_with_the_plan_on_stderr_where_a_question_follows(cli: Cli, spec: str) -> None:
    ran = cli("apply", spec, "--format", "json", typed="y\n")
    assert [realm["status"] for realm in ran.json["realms"]] == ["applied", "applied", "applied", "in_sync"]
    assert "Plan: 3 realms to change" in ran.err
    quiet = cli("apply", spec, "--yes", "--format", "json")
    again = quiet.json
    assert quiet.err == ""
    assert (again["status"], again["summary"]) == ("ok", {"realms": 4, "in_sync": 4})


def test_apply_without_a_terminal_and_without_yes_stops_before_any_request(
    cli: Cli, sandbox: Sandbox, spec: str
) -> None:
    ran = cli("apply", spec)
    assert (ran.status, ran.out) == (2, "")
    assert (
        "stdin is not a terminal, so it cannot ask for confirmation; review `ztrust-mail plan`, then pass --yes"
        in ran.err
    )
    assert cli.json("apply", spec)["status"] == "usage"
    assert sandbox.requests == ()


def test_a_revert_without_a_terminal_is_advised_to_run_dry(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    assert cli("apply", spec, "--yes").status == 0
    asked = len(sandbox.requests)
    assert "; review `ztrust-mail revert --dry-run`, then pass --yes" in cli("revert").err
    assert len(sandbox.requests) == asked


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--allow", "nix"], "`nix`"),
        (
            ["--wait", "5"],
            "--wait is not a duration with a unit: `5`;"
            " write a whole number and a unit without a space: ms, s or m, such as 10s",
        ),
        (["--wait", "0s"], "--wait is not between 1ms and 60m: `0s`"),
        (["--expect-digest", "ab"], "add --plan FILE"),
    ],
)
def test_a_mistake_in_the_options_is_reported_before_a_missing_yes(
    cli: Cli, sandbox: Sandbox, spec: str, options: list[str], said: str
) -> None:
    ran = cli("apply", spec, *options)
    assert ran.status == 2
    assert said in ran.err
    assert "no terminal" not in ran.err
    assert sandbox.requests == ()


def test_a_canary_that_matches_no_realm_is_refused_before_the_question(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    ran = cli("apply", spec, "--canary", "none-*", typed="y\n")
    assert ran.status == 2
    assert "--canary `none-*` matches none of the realms to be written" in ran.err
    assert "[y/N]" not in ran.err
    assert not [request for request in sandbox.requests if request.method == "PUT"]


@pytest.mark.parametrize("answer", ["y\n", "Y\n", "yes\n", " yes \n"])
def test_apply_writes_after_the_answer_yes(cli: Cli, sandbox: Sandbox, spec: str, answer: str) -> None:
    ran = cli("apply", spec, typed=answer)
    assert ran.status == 0
    assert ran.err.endswith(f"Write to 3 realms on {sandbox.url}? [y/N] ")
    assert len(writes(sandbox)) == 3


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yep\n", "no\n", "ja\n"])
@pytest.mark.parametrize("format", ["text", "json"])
def test_apply_writes_nothing_after_any_other_answer(
    cli: Cli, sandbox: Sandbox, spec: str, answer: str, format: str
) -> None:
    ran = cli("apply", spec, "--format", format, typed=answer)
    assert ran.status == 1
    assert (ran.err if format == "json" else ran.out).endswith("Declined: nothing was written.\n")
    assert writes(sandbox) == []
    if format == "json":
        assert [realm["status"] for realm in ran.json["realms"]] == ["changed", "changed", "changed", "in_sync"]


def test_declining_does_not_hide_that_a_realm_is_missing(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.remove_realm("acme")
    assert cli("apply", spec, typed="n\n").status == 4


def test_the_question_counts_one_realm_in_the_singular(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    ran = cli("apply", spec, "--realm", "acme", typed="n\n")
    assert f"Write to 1 realm on {sandbox.url}? [y/N] " in ran.err


def test_an_interruption_at_the_question_writes_nothing(
    cli: Cli, sandbox: Sandbox, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.cli.Keyboard.readline", raising(KeyboardInterrupt()))
    ran = cli("apply", spec, "--format", "json", typed="")
    assert ran.err.endswith("[y/N] Interrupted.\n")
    assert (ran.status, ran.json["status"], ran.json["server"]) == (130, "interrupted", sandbox.url)
    assert writes(sandbox) == []


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize(
    ("number", "format"),
    [(signal.SIGINT, "text"), (signal.SIGINT, "json"), (signal.SIGTERM, "text"), (signal.SIGHUP, "text")],
)
def test_an_interruption_during_apply_finishes_the_write_and_lists_the_realms_not_written(
    cli: Cli, sandbox: Sandbox, spec: str, number: signal.Signals, format: str
) -> None:
    cli.set(CONNECTIONS="1")

    def interrupt(realm: str) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    sandbox.faults.before_write = interrupt
    ran = cli("apply", spec, "--yes", "--format", format)
    touched = {realm for realm in REALMS if sandbox.smtp(realm)}
    assert ran.status == 130
    assert ran.err.count("note: finishing the writes in progress; no others are started [interrupted]\n") == 1
    assert "acme" in touched
    if format == "json":
        report = ran.json
        assert report["status"] == "interrupted"
        assert {realm["realm"] for realm in report["realms"] if realm["status"] != "skipped"} - {"retired"} == touched
    else:
        assert re.search(r"Interrupted: .*; realms marked skipped were not touched\.\n", ran.out)
        left = " and ".join(realm for realm in REALMS[:3] if realm not in touched)
        assert re.search(rf"\b{left}\)?  skipped\n", ran.out)


@pytest.mark.usefixtures("default_signals")
def test_an_ignored_hangup_stays_ignored(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sandbox.faults.before_write = lambda realm: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)
    assert cli("apply", spec, "--yes").status == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_one_realm_that_fails_does_not_stop_the_others_and_is_status_4(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.faults.before_write = lambda realm: sandbox.faults.failing_realms.add(realm) if realm == "acme" else None
    ran = cli("apply", spec, "--yes")
    assert ran.status == 4
    assert "acme  failed\n2 realms (tenant-a and tenant-b)  applied\n" in ran.out
    assert ran.out.count("realm acme: error: ") == 1


def test_a_missing_secret_fails_its_realms_before_their_write(
    cli: Cli, sandbox: Sandbox, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTP_PASSWORD")
    ran = cli("apply", spec, "--yes")
    assert ran.status == 4
    error = "error: `relay.auth.password`: the environment variable `SMTP_PASSWORD` is not set"
    assert ran.out.count(f"3 realms (acme, tenant-a and tenant-b): {error}") == 1
    assert "Done: 1 realm in sync, 3 failed (run 1).\n" in ran.out
    assert ran.out.endswith("Fix the cause, then continue with: ztrust-mail apply mail.yaml --resume\n")
    assert writes(sandbox) == []


# drift


def test_no_drift_is_one_line(cli: Cli, in_sync: str) -> None:
    ran = cli("drift", in_sync, "--realm", "acme")
    assert (ran.status, ran.out.splitlines()[2:]) == (
        0,
        [f"No drift: 1 realm in sync; {NOT_COMPARED}"],
    )


def test_drift_does_not_say_that_there_is_none_where_realms_are_missing(cli: Cli, sandbox: Sandbox) -> None:
    cli.write("other.yaml", PLAIN.replace("acme", "nowhere"))
    ran = cli("drift", "other.yaml")
    assert ran.status == 4
    assert "No drift" not in ran.out
    assert "1 realm missing." in ran.out.splitlines()
    assert writes(sandbox) == []


def test_drift_names_the_server_and_uncovered_realms_and_needs_no_secret(
    cli: Cli, sandbox: Sandbox, in_sync: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTP_PASSWORD")
    sandbox.edit_smtp("tenant-a", sandbox.smtp("tenant-a") | {"host": "smtp.attacker.example", "port": "25"})
    sandbox.remove_realm("acme")
    sandbox.create_realm("other")
    before = len(writes(sandbox))
    ran = cli("drift", in_sync)
    assert ran.status == 4
    lines = ran.out.splitlines()
    assert lines[:8] == [
        f"{sandbox.url}, as admin (realm master)",
        "",
        "tenant-* matches 2 realms",
        "",
        "tenant-a  critical",
        "  changed outside ztrust-mail",
        "    relay.host (Host)  smtp.example.com → smtp.attacker.example",
        "    relay.port (Port)  587 → 25",
    ]
    assert lines[-5:] == [
        "Drift: 1 realm drifted (2 fields out of band; 2 critical), 2 in sync, 1 missing.",
        NOT_COMPARED,
        "Not covered by the spec: 2 realms (master and other)",
        "Next: find out who changed it, and which mail and passwords went there; rotate these passwords. A run with "
        "another journal looks the same.",
        "Restore the spec's values with: ztrust-mail apply mail.yaml",
    ]
    assert "acme  missing" in lines
    assert ran.out.count("attacker") == 1
    assert len(writes(sandbox)) == before


def test_drift_is_status_1(cli: Cli, sandbox: Sandbox, in_sync: str) -> None:
    sandbox.edit_smtp("retired", {"from": "old@example.com", "host": "h"})
    ran = cli("drift", in_sync)
    assert ran.status == 1
    assert "    sender.address (From)  is old@example.com, the spec says (not set)\n" in ran.out
    report = cli.json("drift", in_sync)
    assert (report["command"], report["status"], report["uncovered"]) == ("drift", "differs", ["master"])


@pytest.mark.parametrize(("option", "status"), [("note", 0), ("fail", 1)])
def test_realms_without_an_entry_change_the_status_only_on_request(
    cli: Cli, in_sync: str, option: str, status: int
) -> None:
    ran = cli("drift", in_sync, "--uncovered", option)
    assert ran.status == status
    assert "Not covered by the spec: 1 realm (master)\n" in ran.out
    assert cli.json("drift", in_sync, "--uncovered", option)["exit_status"] == status


@pytest.mark.parametrize(
    ("edit", "limit", "status"),
    [("fromDisplayName", "any", 1), ("fromDisplayName", "critical", 0), ("host", "any", 1), ("host", "critical", 1)],
)
def test_drift_below_the_limit_is_reported_and_does_not_change_the_status(
    cli: Cli, sandbox: Sandbox, in_sync: str, edit: str, limit: str, status: int
) -> None:
    sandbox.edit_smtp("acme", sandbox.smtp("acme") | {edit: "other.example"})
    ran = cli("drift", in_sync, "--fail-on", limit)
    report = cli.json("drift", in_sync, "--fail-on", limit)
    assert (ran.status, report["exit_status"], report["fail_on"]) == (status, status, limit)
    is_below = (edit, limit) == ("fromDisplayName", "critical")
    assert report["below_limit"] == (["acme"] if is_below else [])
    assert ("Not critical, so without effect on the exit status: 1 realm (acme)\n" in ran.out) is is_below
    assert "Drift: 1 realm drifted" in ran.out
    [drifted] = [one for one in cli("drift", in_sync, "--fail-on", limit, "--format", "github").out.splitlines()
                 if "title=ztrust-mail drifted" in one]  # fmt: skip
    assert drifted.startswith("::warning " if is_below else "::error ")


def test_missing_realms_decide_the_status_before_the_limit_of_drift(cli: Cli, sandbox: Sandbox, in_sync: str) -> None:
    sandbox.remove_realm("acme")
    assert cli("drift", in_sync, "--fail-on", "critical").status == 4


def test_missing_realms_decide_the_status_before_uncovered_ones(cli: Cli, sandbox: Sandbox, in_sync: str) -> None:
    sandbox.remove_realm("acme")
    assert cli("drift", in_sync, "--uncovered", "fail").status == 4


# test


def sink(sandbox: Sandbox, **more: str) -> dict[str, str]:
    return {"from": "a@b.example", "host": sandbox.mail.host, "port": str(sandbox.mail.port), **more}


def test_a_sent_test_mail_is_reported_with_what_it_proves_and_its_recipient(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.edit_smtp("acme", sink(sandbox))
    ran = cli("test", "acme")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"{sandbox.url}, as admin (realm master)",
        "",
        "acme  sent in clear text",
        "The mail went to admin@sandbox.example, the account admin of realm master.",
    ]
    assert len(sandbox.mail.wait_for(1)) == 1


def test_several_tests_are_counted_and_equal_ones_are_one_line(cli: Cli, sandbox: Sandbox) -> None:
    for realm in ("acme", "tenant-a"):
        sandbox.edit_smtp(realm, sink(sandbox))
    sandbox.edit_smtp("tenant-b", sink(sandbox, host="nowhere.invalid"))
    ran = cli("test", "acme", "tenant-*", "retired", "nix")
    assert ran.status == 4
    lines = ran.out.splitlines()
    assert lines[2:6] == [
        "2 realms (acme and tenant-a)  sent in clear text",
        "retired  has no e-mail settings to test",
        "nix  missing",
        "",
    ]
    assert lines[6] == f"nowhere.invalid:{sandbox.mail.port} (none): tenant-b  FAILED"
    assert [line.split(": ")[:2] for line in lines if "error" in line] == [["realm nix", "error"]]
    assert lines[-2:] == [
        "Tested 5 realms: 2 sent, 1 failed, 1 missing, 1 skipped.",
        "The mails went to admin@sandbox.example, the account admin of realm master.",
    ]


def test_a_test_that_failed_is_status_1_and_the_json_has_the_reason(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.edit_smtp("acme", sink(sandbox, host="nowhere.invalid"))
    report = cli.json("test", "acme", "retired")
    assert (report["status"], report["recipient"]) == ("differs", "admin@sandbox.example")
    assert [(realm["status"], realm["proof"]) for realm in report["realms"]] == [
        ("failed", ""),
        ("skipped", "has no e-mail settings to test"),
    ]
    assert report["realms"][0]["findings"][0]["rule"] == "test-failed"


def test_a_spec_is_tested_without_being_stored(cli: Cli, sandbox: Sandbox) -> None:
    relay = f"relay: {{host: {sandbox.mail.host}, port: {sandbox.mail.port}, security: none}}"
    cli.write("t.yaml", f"version: 1\nrealms:\n  acme: {{sender: {{address: a@b.example}}, {relay}}}\n")
    ran = cli("test", "--spec", "t.yaml")
    assert ran.status == 0
    assert "\nacme  sent in clear text\n" in ran.out
    assert sandbox.smtp("acme") == {}


def test_an_account_without_an_address_is_named_as_the_reason(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.create_user("master", "mute", "pw", roles=["admin"])
    sandbox.edit_smtp("acme", sink(sandbox))
    cli.set(USERNAME="mute", PASSWORD="pw")
    ran = cli("test", "acme")
    assert (ran.status, "\nacme  failed\n" in ran.out) == (1, True)
    assert "the account used has no e-mail address" in ran.out


def test_the_account_of_another_realm_than_master_is_named_with_its_realm(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.create_user("acme", "manager", "pw", roles=["manage-realm"], email="m@acme.example")
    sandbox.edit_smtp("acme", sink(sandbox))
    cli.set(USERNAME="manager", PASSWORD="pw", REALM="acme")
    ran = cli("test", "acme")
    assert ran.status == 0
    assert ran.out.splitlines()[-1] == "The mail went to m@acme.example, the account manager of realm acme."


# pull and init


def test_pull_prints_a_spec_that_is_in_sync(
    cli: Cli, sandbox: Sandbox, in_sync: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = cli("pull")
    assert ran.status == 0
    assert ran.err == f"Pulled 5 realms from {sandbox.url}.\n"
    assert "relay-password" not in ran.out
    cli.write("pulled.yaml", ran.out)
    for name in ("ACME", "TENANT_A", "TENANT_B"):
        monkeypatch.setenv(f"SMTP_PASSWORD_{name}", "relay-password")
    assert (
        cli("plan", "pulled.yaml").out.splitlines(keepends=True)[-1]
        == "5 realms in sync; 3 passwords unchanged since the last apply (the server hides the stored values).\n"
    )


def test_pull_can_factor_out_shared_values_limit_realms_and_write_a_file(
    cli: Cli, sandbox: Sandbox, in_sync: str
) -> None:
    ran = cli("pull", "--realm", "tenant-*", "--factor", "--out", "pulled.yaml")
    assert (ran.status, ran.out, ran.err) == (0, "", f"Pulled 2 realms from {sandbox.url}.\n")
    content = Path("pulled.yaml").read_text(encoding="utf-8")
    assert content.startswith("# yaml-language-server: $schema=./spec.schema.json\nversion: 1\ndefaults:\n")
    assert cli("pull", "--out", "pulled.yaml").status == 2
    assert Path("pulled.yaml").read_text(encoding="utf-8") == content
    assert cli("pull", "--realm", "acme", "--out", "pulled.yaml", "--force").err.startswith("Pulled 1 realm from")
    assert Path("pulled.yaml").read_text(encoding="utf-8") != content


def test_pull_writes_to_standard_output_for_a_dash(cli: Cli, sandbox: Sandbox, in_sync: str) -> None:
    for command in (["pull"], ["init"], ["convert", "--from", "spec", "--to", "ansible", in_sync]):
        ran = cli(*command)
        assert ran.out
        assert cli(*command, "--out", "-") == ran
    assert not Path("-").exists()


def test_pull_leaves_out_a_realm_that_no_entry_can_express_with_status_4(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.edit_smtp("acme", {"host": "h.example"})
    ran = cli("pull", "--realm", "acme", "--realm", "retired")
    assert ran.status == 4
    assert "realm acme: error: the realm has no `sender.address`, which an entry needs" in ran.err
    assert "retired: {disabled: true}" in ran.out
    assert "acme" not in ran.out


def test_a_pulled_spec_is_utf_8_whatever_the_locale(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.edit_smtp("acme", {"from": "a@b.example", "host": "h.example", "fromDisplayName": "Ácme 漢"})
    assert "name: Ácme 漢" in cli("pull", "--realm", "acme").out


def test_init_from_a_live_realm_prints_a_spec_that_is_in_sync(cli: Cli, sandbox: Sandbox, in_sync: str) -> None:
    ran = cli("init", "--realm", "acme")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[1].startswith("# A first spec from a live realm")
    assert cli("plan", cli.write("first.yaml", ran.out)).status == 0


def test_init_from_a_missing_realm_writes_nothing(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("init", "--realm", "nix", "--out", "first.yaml")
    assert (ran.status, ran.out) == (4, "")
    assert "there is no realm `nix`" in ran.err
    assert not Path("first.yaml").exists()


# doctor


def test_doctor_prints_its_checks_to_stdout(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("doctor")
    assert (ran.status, ran.err) == (0, "")
    checks = [
        sandbox.url,
        "  yes reach and log in        admin of realm master",
        "  yes server version          26.7.4",
        "  yes read e-mail settings    in 5 realms",
        "  yes write e-mail settings   in 5 realms",
        "  yes address for test mails  admin@sandbox.example",
    ]
    assert ran.out.splitlines() == [*checks, "No problem found."]
    *shown, title = cli("doctor", "--capabilities").out.splitlines()[:7]
    assert (shown, title) == (checks, "What Keycloak can do:")
    *table, verdict = cli("doctor", "--capabilities").out.splitlines()[7:]
    assert all(row.startswith("  yes ") for row in table)
    assert verdict == "No problem found."
    assert [check["answer"] for check in cli.json("doctor")["checks"]] == [True] * 5


def test_doctor_prints_a_next_step_for_each_failed_check(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.create_user("master", "reader", "pw", roles=["acme-realm:view-realm", "tenant-a-realm:query-users"])
    cli.set(USERNAME="reader", PASSWORD="pw")
    ran = cli("doctor", "--realm", "acme", "--realm", "tenant-a")
    lines = ran.out.splitlines()
    assert ran.status == 4
    at = lines.index("  no  write e-mail settings   in 0 of 1 realm")
    assert lines[at + 1 : at + 3] == [
        "      not in `acme`: this account may not write them",
        f"{'':8}give it the role manage-realm there: ztrust-mail doctor --setup-commands --realm acme",
    ]
    assert "  ?   " in ran.out
    assert cli.json("doctor", "--realm", "acme")["status"] == "partial"


def test_setup_commands_are_printed_without_any_request(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("doctor", "--setup-commands", "--realm", "acme")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert all(line.startswith("kcadm.sh ") for line in lines)
    assert "--cclientid acme-realm --rolename view-realm --rolename manage-realm" in ran.out
    assert cli.json("doctor", "--setup-commands", "--realm", "acme")["commands"] == lines
    assert "--cclientid REALM-realm" in cli("doctor", "--setup-commands").out
    assert sandbox.requests == ()


def test_doctor_on_a_server_that_refuses_the_login_is_status_3(cli: Cli, sandbox: Sandbox) -> None:
    cli.set(PASSWORD="wrong")
    ran = cli("doctor")
    assert ran.status == 3
    assert "  no  reach and log in        " in ran.out
    assert len(ran.out.splitlines()) == 3
    assert cli.json("doctor")["checks"][0]["answer"] is False


# settings and options that all share


def test_a_server_of_the_settings_file_is_named_by_option(cli: Cli, sandbox: Sandbox, monkeypatch) -> None:
    monkeypatch.delenv("ZTRUST_MAIL_URL")
    cli.write("other.toml", f'[servers.one]\nurl = "{sandbox.url}"\n[servers.two]\nurl = "https://two.example"\n')
    cli.write("p.yaml", PLAIN)
    assert cli("plan", "p.yaml", "--config", "other.toml", "--server", "one").status == 1
    ambiguous = cli("plan", "p.yaml", "--config", "other.toml")
    assert ambiguous.status == 2
    assert "several servers are possible: one and two; choose one with --server NAME" in ambiguous.err


def test_the_specs_guard_refuses_another_server_before_any_request(cli: Cli, sandbox: Sandbox) -> None:
    cli.write("s.toml", f'[servers.one]\nurl = "{sandbox.url}"\n[servers.two]\nurl = "{sandbox.url}/x"\n')
    cli.write("p.yaml", PLAIN.replace("realms:", "server: one\nrealms:"))
    ran = cli("apply", "p.yaml", "--config", "s.toml", "--server", "two", "--yes")
    assert (ran.status, ran.out) == (2, "")
    assert "the spec is meant for server `one`, not for `two`" in ran.err
    assert sandbox.requests == ()


def test_warnings_about_the_settings_are_in_the_result(cli: Cli, sandbox: Sandbox) -> None:
    cli.write("ztrust-mail.toml", "[allow]\ncommand = true\n")
    cli.write("p.yaml", PLAIN)
    assert "\nztrust-mail.toml: warning: [allow] is ignored" in cli("plan", "p.yaml").out
    assert [found["rule"] for found in cli.json("plan", "p.yaml")["findings"]] == ["untrusted-settings"]
    failed = cli.json("plan", "p.yaml", "--realm", "nix")
    assert [found["rule"] for found in failed["findings"]] == ["untrusted-settings", "plan"]
    assert failed["server"] == sandbox.url


def test_an_interruption_while_reading_is_status_130(
    cli: Cli, spec: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "plan", raising(KeyboardInterrupt()))
    assert cli.json("plan", spec)["status"] == "interrupted"
    assert cli("apply", spec, "--yes").status == 130
    assert writes(sandbox) == []


# Against the policy


def test_a_realm_in_sync_that_violates_the_policy_fails_alone(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.create_realm("globex")
    spec = "version: 1\nrealms: {acme: {sender: {address: a@acme.example}, relay: {host: smtp.acme.example}}"
    assert cli("apply", cli.write("mail.yaml", spec + "}"), "--yes").status == 0
    other = ", globex: {sender: {address: a@acme.example}, relay: {host: smtp.example.com}}}"
    cli.write("policy.toml", '[policy]\nrelays = ["smtp.example.com"]\n')
    for command in ("plan", "drift", "apply"):
        options = ["--yes"] if command == "apply" else []
        report = cli.json(command, cli.write("both.yaml", spec + other), "--config", "policy.toml", *options)
        acme = report["realms"][0]
        assert (report["exit_status"], acme["status"], acme["findings"][0]["rule"]) == (4, "in_sync", "policy-relay")
    assert sandbox.smtp("globex")["host"] == "smtp.example.com"
    assert cli("apply", "both.yaml", "--config", "policy.toml", "--yes").status == 4  # with nothing to write, too


# A journal that is not where its URL says


@pytest.mark.parametrize("command", ["plan", "drift", "apply", "history"])
def test_a_journal_in_a_missing_folder_is_refused(cli: Cli, sandbox: Sandbox, command: str) -> None:
    spec = cli.write("mail.yaml", "version: 1\nrealms: {acme: {disabled: true}}\n")
    cli.set(JOURNAL=f"sqlite:///{cli.folder}/stata/journal.sqlite3")
    arguments = {"apply": [spec, "--yes"], "history": []}.get(command, [spec])
    ran = cli(command, *arguments)
    assert ran.status == 2
    assert "/stata` does not exist" in ran.err
    assert "ZTRUST_MAIL_JOURNAL" in ran.err
    assert not (cli.folder / "stata").exists()


@pytest.mark.parametrize("command", ["plan", "drift", "history"])
def test_a_named_journal_that_does_not_exist_yet_is_reported(cli: Cli, sandbox: Sandbox, command: str) -> None:
    spec = cli.write("mail.yaml", "version: 1\nrealms: {acme: {disabled: true}}\n")
    arguments = [] if command == "history" else [spec]
    assert "no-journal" not in cli(command, *arguments).out  # nobody named one
    cli.set(JOURNAL=f"sqlite:///{cli.folder}/mistyped.sqlite3")
    ran = cli(command, *arguments)
    assert ran.status == 0
    assert "mistyped.sqlite3` does not exist yet, so earlier runs are unknown" in ran.out
    assert cli("apply", spec, "--yes").status == 0
    sandbox.edit_smtp("acme", {"host": "smtp.acme.example", "from": "a@acme.example"})
    assert cli("apply", spec, "--yes").status == 0
    assert "no-journal" not in cli(command, *arguments).out
