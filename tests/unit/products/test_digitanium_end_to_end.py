"""Digitanium through the command line, against a local https server that implements the published contract."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli
from support.published import CUT, PAGE, SILENT, SSMS_DOMAIN, TOKEN, Answer, Digitanium, served, settle_on

PASSWORD = "Kobil-canary-1"
NOT_SEEN = "ive settings are unknown: Digitanium does not show them"
SPEC = """
version: 1
defaults:
  relay:
    host: smtp.gmail.com
    auth: {username: ops@acme.example, password: {env: MAIL_PASSWORD}}
realms:
  acme:
    sender: {address: ops@acme.example, name: From KC Test team}
    reply_to: {address: help@acme.example, name: Receiver}
"""


@pytest.fixture(name="digitanium")
def digitanium_fixture(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Digitanium]:
    """SHIFT on this machine, named by the settings as the only server."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    cli.set(TOKEN=TOKEN)
    with served(Digitanium(), tmp_path) as product:
        settle_on(cli, product, "kobil", f"{product.url}/auth")
        cli.write("spec.yaml", SPEC)
        yield product
        assert product.breaches == []
    assert not any(secret in said for secret in (PASSWORD, TOKEN) for said in cli.seen)


def test_all_commands_work_on_shift(cli, digitanium):
    planned = cli("plan", "spec.yaml")
    assert planned.status == 1
    assert NOT_SEEN in planned.out
    assert NOT_SEEN in planned.out
    assert "in sync" not in planned.out
    assert digitanium.requests == []  # there is nothing to ask for
    applied = cli("apply", "spec.yaml", "--yes")
    assert applied.status == 0, applied
    assert "Not read back" in applied.out
    assert [(r.method, r.path) for r in digitanium.requests] == [("POST", "/auth/realms/acme/mail/setup")]
    assert digitanium.stored == {
        "acme": {
            "replyToDisplayName": "Receiver",
            "starttls": "true",
            "ssl": "false",
            "port": "587",
            "host": "smtp.gmail.com",
            "replyTo": "help@acme.example",
            "from": "ops@acme.example",
            "fromDisplayName": "From KC Test team",
            "user": "ops@acme.example",
            "password": PASSWORD,
        }
    }
    again = cli("plan", "spec.yaml")
    assert (again.status, "as last applied" in again.out, NOT_SEEN in again.out) == (0, True, True)
    assert "in sync" not in again.out
    drifted = cli("drift", "spec.yaml")
    assert (drifted.status, "No drift" in drifted.out, NOT_SEEN in drifted.out) == (0, False, True)
    told = cli("history", "1")
    assert "accepted" in told.out
    assert "verified" not in told.out
    tested = cli("test", "acme")
    assert (tested.status, digitanium.mailed) == (0, ["acme"])
    assert "which the server does not show" in tested.out


def test_ssms_puts_the_tenant_before_the_host(cli, digitanium, monkeypatch):
    found = socket.getaddrinfo

    def resolved(host, *rest, **more):
        return found("127.0.0.1" if str(host).endswith(f".{SSMS_DOMAIN}") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    settle_on(cli, digitanium, "kobil", digitanium.url.replace("localhost", SSMS_DOMAIN))
    assert cli("apply", "spec.yaml", "--yes").status == 0
    assert cli("test", "acme").status == 0
    hosts = [(r.host, r.path) for r in digitanium.requests]
    assert hosts == [
        (f"acme.{SSMS_DOMAIN}", "/digitanium/v4/mail/config"),
        (f"acme.{SSMS_DOMAIN}", "/digitanium/v4/mail/test"),
    ]


def steps(cli: Cli, run: int) -> dict[str, int]:
    (found,) = cli.json("history", str(run))["runs"]
    return found["steps"]


def rules(report: dict, realm: str = "acme") -> list[str]:
    (found,) = [one for one in report["realms"] if one["realm"] == realm]
    return [finding["rule"] for finding in found["findings"]]


def test_a_report_in_json_holds_the_statement_too(cli, digitanium):
    assert cli("apply", "spec.yaml", "--yes").status == 0
    for command in ("plan", "drift"):
        report = cli.json(command, "spec.yaml")
        assert report["exit_status"] == 0
        assert "live-not-seen" in [finding["rule"] for finding in report["findings"]]


def test_a_changed_spec_is_pending_and_not_drift(cli, digitanium):
    assert cli("apply", "spec.yaml", "--yes").status == 0
    cli.write("spec.yaml", SPEC.replace("smtp.gmail.com", "smtp.example.com"))
    report = cli.json("drift", "spec.yaml")
    (realm,) = report["realms"]
    assert [(change["field"], change["cause"]) for change in realm["changes"]] == [("relay.host", "pending")]
    assert report["exit_status"] == 1
    assert cli.json("drift", "spec.yaml", "--realm", "acme")["exit_status"] == 1


@pytest.mark.parametrize("lost", [CUT, SILENT, PAGE, Answer(500, {"message": "boom"})], ids=str)
def test_a_write_without_an_answer_has_an_unknown_outcome_until_all_is_written_again(cli, digitanium, lost):
    digitanium.faults = {0: lost, 1: lost} if lost.cut else {0: lost}  # broken off, it is sent once more
    count = len(digitanium.faults)
    with pytest.MonkeyPatch.context() as impatient:
        if lost.silent:
            impatient.setenv("ZTRUST_MAIL_TIMEOUT", "100ms")  # six times that for an answer
        failed = cli("apply", "spec.yaml", "--yes")
    assert failed.status == 4
    assert "unknown outcome: the server gave no answer, and it shows no settings; apply again" in failed.out
    assert (len(digitanium.requests), steps(cli, 1)) == (count, {"writing": 1})
    drifted = cli.json("drift", "spec.yaml")
    assert drifted["exit_status"] == 1
    assert {change["cause"] for change in drifted["realms"][0]["changes"]} == {"pending"}
    assert "in-doubt" in rules(drifted)
    again = cli("apply", "spec.yaml", "--resume", "--yes")
    assert (again.status, "writes it again" in again.out) == (0, True), again
    assert digitanium.requests[count].json == digitanium.requests[0].json
    assert steps(cli, 2) == {"accepted": 1}
    assert "as last applied" in cli("plan", "spec.yaml").out


def test_a_write_with_an_unknown_outcome_makes_the_live_settings_unknown(cli, digitanium):
    assert cli("apply", "spec.yaml", "--yes").status == 0
    cli.write("moved.yaml", SPEC.replace("smtp.gmail.com", "smtp.example.com"))
    digitanium.faults = {1: CUT, 2: CUT}
    assert cli("apply", "moved.yaml", "--yes").status == 4
    back = cli.json("plan", "spec.yaml")  # the old settings: whether they are still there, nobody knows
    assert len(back["realms"][0]["changes"]) == 10
    drifted = cli.json("drift", "spec.yaml")
    assert {change["cause"] for change in drifted["realms"][0]["changes"]} <= {"pending", "unattributed"}
    assert "out-of-band" not in rules(drifted)
    reverted = cli("revert", "--yes")
    assert (reverted.status, digitanium.stored["acme"]["host"]) == (0, "smtp.gmail.com"), reverted


def test_a_refused_token_fails_the_realm_with_a_known_outcome(cli, digitanium):
    cli.set(TOKEN="another")
    ran = cli("apply", "spec.yaml", "--yes")
    assert (ran.status, "refuses the token for `acme`" in ran.out) == (4, True)
    assert (steps(cli, 1), digitanium.stored) == ({"failed": 1}, {})
    assert cli("test", "acme").status == 4


def test_nothing_is_sent_without_a_token(cli, digitanium, monkeypatch):
    monkeypatch.delenv("ZTRUST_MAIL_TOKEN")
    ran = cli("plan", "spec.yaml")
    assert (ran.status, "set ZTRUST_MAIL_TOKEN" in ran.err) == (3, True)
    assert digitanium.requests == []


def test_revert_goes_back_to_what_was_applied_before_and_no_further(cli, digitanium):
    assert cli("apply", "spec.yaml", "--yes").status == 0
    first = dict(digitanium.stored["acme"])
    cli.write("moved.yaml", SPEC.replace("smtp.gmail.com", "smtp.example.com"))
    assert cli("apply", "moved.yaml", "--yes").status == 0
    assert digitanium.stored["acme"]["host"] == "smtp.example.com"
    reverted = cli("revert", "2", "--yes")
    assert (reverted.status, NOT_SEEN in reverted.out) == (0, True), reverted
    assert digitanium.stored["acme"] == first
    too_far = cli("revert", "1", "--realm", "acme", "--yes")
    assert too_far.status == 4
    assert "the settings from before run 1 are unknown" in too_far.out
    assert digitanium.stored["acme"] == first


def test_a_saved_plan_is_applied_while_the_journal_says_the_same(cli, digitanium):
    assert cli("plan", "spec.yaml", "--out", "plan.json").status == 1
    assert cli("apply", "--plan", "plan.json", "--server", "kobil", "--yes").status == 0
    assert digitanium.stored["acme"]["host"] == "smtp.gmail.com"
    refused = cli("apply", "--plan", "plan.json", "--server", "kobil", "--yes")
    assert (refused.status, "acme" in refused.err) == (5, True)


def test_a_rotation_writes_the_new_secret_and_names_the_settings_it_cannot_read(cli, digitanium, monkeypatch):
    assert cli("apply", "spec.yaml", "--yes").status == 0
    monkeypatch.setenv("MAIL_PASSWORD", "Kobil-canary-2")
    ran = cli("rotate", "env:MAIL_PASSWORD", "spec.yaml", "--yes")
    assert (ran.status, digitanium.stored["acme"]["password"]) == (0, "Kobil-canary-2"), ran
    assert digitanium.mailed == ["acme"]  # the canary
    assert "Kobil-canary-2" not in ran.out + ran.err


def test_a_canary_whose_test_fails_stops_the_rest(cli, digitanium):
    cli.write("spec.yaml", f"{SPEC}  globex:\n    sender: {{address: ops@globex.example}}\n")
    digitanium.users = False
    ran = cli("apply", "spec.yaml", "--yes", "--canary", "acme")
    assert (ran.status, list(digitanium.stored)) == (4, ["acme"]), ran
    assert "User does not exist" in ran.out
    assert cli("test", "acme").status == 1


def test_globs_match_nothing_without_a_list_and_the_hint_says_what_to_write(cli, digitanium):
    cli.write("spec.yaml", SPEC.replace("  acme:", '  "ac*":'))
    ran = cli("plan", "spec.yaml")
    assert (ran.status, "globs match nothing; name each realm in full" in ran.out) == (4, True), ran
    assert cli("test", "ac*").status == 2
    assert cli("test").status == 2
    assert digitanium.requests == []


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("pull", "--realm", "acme"), "history RUN shows what was applied"),
        (("test", "--spec", "spec.yaml"), "apply, then test REALM"),
        (("plan", "spec.yaml", "--secrets", "keep"), "a write sends the secret itself"),
        (("apply", "spec.yaml", "--yes", "--secrets", "keep"), "a write sends the secret itself"),
        (("drift", "spec.yaml", "--uncovered", "fail"), "drift of the realms that the spec names"),
        (("doctor", "--setup-commands"), "with the product's own tools"),
    ],
)
def test_unsupported_operations_are_refused_with_an_alternative(cli, digitanium, arguments, nearest):
    ran = cli(*arguments)
    assert ran.status == 2
    assert "Digitanium does not support" in ran.err
    assert nearest in ran.err
    assert digitanium.requests == []


def test_doctor_sends_nothing_and_prints_what_can_be_done(cli, digitanium):
    ran = cli("doctor", "--realm", "acme")
    assert (ran.status, digitanium.requests) == (0, [])
    assert "nothing was sent" in ran.out
    assert "What Digitanium can do:" not in ran.out
    assert "What Digitanium can do:" in cli("doctor", "--capabilities").out
    report = cli.json("doctor")
    able = {one["verb"]: one["able"] for one in report["abilities"]}
    assert {verb for verb, serves in able.items() if not serves} == {
        "pull",
        "test --spec",
        "--secrets keep",
        "globs",
        "drift --uncovered fail",
        "disabled: true",
        "doctor --setup-commands",
    }
    assert {check["answer"] for check in report["checks"]} == {None}


BAD = {
    "no-host": ("relay: {auth: {username: u, password: {env: MAIL_PASSWORD}}}", 4, "relay.host"),
    "no-from": ("relay: {host: smtp.example.com}", 4, "sender.address"),
    "wrong-port": (
        "relay: {host: smtp.example.com, port: 70000}\n    sender: {address: a@b.example}",
        2,
        "70000",
    ),
    "vault": (
        "relay: {host: h.example, auth: {username: u, password: {keycloak_vault: k}}}\n"
        "    sender: {address: a@b.example}",
        4,
        "does not support this kind of secret",
    ),
    "token-login": (
        "relay: {host: h.example, auth: {username: u, token: {url: https://t.example, client_id: c, "
        "client_secret: {env: MAIL_PASSWORD}}}}\n    sender: {address: a@b.example}",
        4,
        "does not support this kind of login",
    ),
    "disabled": ("disabled: true", 4, "cannot remove e-mail settings"),
}


@pytest.mark.parametrize(("entry", "status", "said"), BAD.values(), ids=BAD)
def test_unsupported_settings_are_reported_and_not_sent(cli, digitanium, entry, status, said):
    good = "  good:\n    relay: {host: smtp.example.com}\n    sender: {address: a@b.example}\n"
    cli.write("bad.yaml", f"version: 1\nrealms:\n  acme:\n    {entry}\n{good}")
    ran = cli("apply", "bad.yaml", "--yes")
    assert ran.status == status, ran
    assert said in ran.out + ran.err
    assert list(digitanium.stored) == (["good"] if status == 4 else [])  # one realm's trouble is its own


def test_unsupported_fields_are_left_out_with_a_warning(cli, digitanium):
    cli.write("spec.yaml", SPEC.replace("gmail.com\n", "gmail.com\n    timeouts: {read: 5s}\n"))
    ran = cli("apply", "spec.yaml", "--yes")
    assert ran.status == 0, ran
    assert "Digitanium does not support `relay.timeouts.read`" in ran.out
    assert "spec.yaml:6:" in ran.out
    assert cli("plan", "spec.yaml").status == 0  # and no difference for ever


def test_a_refusal_of_one_tenant_fails_that_tenant_alone(cli, digitanium):
    cli.write("spec.yaml", f"{SPEC}  globex:\n    sender: {{address: ops@globex.example}}\n")
    said = "Host and From is mandatory to update Email Configuration."
    cli.write("ztrust-mail.toml", (cli.folder / "ztrust-mail.toml").read_text() + "connections = 1\n")
    digitanium.faults[0] = Answer(400, {"message": said, "status": "BAD_REQUEST", "subSystem": 8})
    ran = cli("apply", "spec.yaml", "--yes")
    assert (ran.status, said in ran.out) == (4, True), ran
    assert steps(cli, 1) == {"accepted": 1, "failed": 1}
    assert cli("apply", "spec.yaml", "--resume", "--yes").status == 0
    assert [r.path.split("/")[3] for r in digitanium.requests] == ["acme", "globex", "acme"]
