"""UiPath's Identity Server through the command line, against a local https server that implements the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import products
from support.cli import Cli
from support.published import PAGE, TOKEN, UIPATH_KEYS, UiPath, served, settle_on

PASSWORD = "App-password-canary-1"
GOOGLE = """
version: 1
realms:
  org-1:
    sender: {address: robot@acme.example, name: Robot}
    relay:
      host: smtp.gmail.com
      port: 587
      auth: {username: robot@acme.example, password: {env: MAIL_PASSWORD}}
"""
HELD = {**products.GOOGLE, "Email.Smtp.Password": PASSWORD}


@pytest.fixture(name="uipath")
def uipath_fixture(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UiPath]:
    """An Identity Server on this machine, named by the settings as the only server."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    cli.set(TOKEN=TOKEN)
    with served(UiPath(), tmp_path) as product:
        settle_on(cli, product, "robots", product.url)
        cli.write("spec.yaml", GOOGLE)
        yield product
        assert product.breaches == []
    assert not any(secret in said for secret in (PASSWORD, TOKEN) for said in cli.seen)


def held(product: UiPath, organisation: str = "org-1") -> dict[str, str]:
    return {key: text for key, text in product.stored[organisation].items() if text}


def test_all_commands_work_with_googles_settings(cli, uipath):
    planned = cli("plan", "spec.yaml")
    assert planned.status == 1, planned
    assert "SMTP Host" in planned.out
    assert "app password" in planned.out
    assert [r.method for r in uipath.requests] == ["GET"]
    applied = cli("apply", "spec.yaml", "--yes")
    assert applied.status == 0, applied
    assert held(uipath) == HELD
    assert [r.method for r in uipath.requests[1:]] == ["GET", "PUT", "GET"]
    body = uipath.requests[2].json
    assert body["partitionGlobalId"] == "org-1"
    assert sorted(row["key"] for row in body["settings"]) == sorted(UIPATH_KEYS)
    again = cli("plan", "spec.yaml")
    assert (again.status, "1 realm in sync" in again.out) == (0, True), again
    assert "verified" in cli("history", "1").out
    uipath.stored["org-1"]["Email.Smtp.Host"] = "evil.example"
    drifted = cli("drift", "spec.yaml")
    assert (drifted.status, "out of band" in drifted.out, "critical" in drifted.out) == (1, True, True)
    assert cli("apply", "spec.yaml", "--yes").status == 0
    assert held(uipath) == HELD


def test_a_second_organisation_is_a_realm_of_its_own(cli, uipath):
    uipath.stored["org-2"] = {}
    second = "\n  org-2:\n    sender: {address: a@b.example}\n    relay: {host: smtp.example.com}\n"
    cli.write("spec.yaml", GOOGLE + second)
    assert cli("apply", "spec.yaml", "--yes").status == 0
    assert (held(uipath), held(uipath, "org-2")["Email.Smtp.Host"]) == (HELD, "smtp.example.com")
    assert cli("plan", "spec.yaml").status == 0


def test_the_url_of_an_automation_suite_is_used_unchanged(cli, uipath):
    uipath.path = "/acme/identity_/api/Setting"
    settle_on(cli, uipath, "robots", f"{uipath.url}/acme/identity_")
    assert cli("apply", "spec.yaml", "--yes").status == 0
    assert held(uipath) == HELD


def test_settings_that_a_spec_does_not_manage_are_preserved_and_named(cli, uipath):
    uipath.stored["org-1"] = {"Email.Smtp.Domain": "corp", "Email.Smtp.ConnectionTimeout": "180000"}
    ran = cli("apply", "spec.yaml", "--yes")
    assert ran.status == 0, ran
    assert "unmanaged, preserved: Email.Smtp.ConnectionTimeout, Email.Smtp.Domain" in ran.out
    assert held(uipath) == {**HELD, "Email.Smtp.Domain": "corp", "Email.Smtp.ConnectionTimeout": "180000"}
    extra = "    extra: {Email.Smtp.Domain: other, Email.Smtp.ConnectionTimeout: false}\n"
    cli.write("spec.yaml", GOOGLE + extra)
    assert [c["field"] for c in cli.json("plan", "spec.yaml")["realms"][0]["changes"]] == [
        "extra.Email.Smtp.ConnectionTimeout",
        "extra.Email.Smtp.Domain",
    ]
    assert cli("apply", "spec.yaml", "--yes").status == 0
    assert held(uipath) == {**HELD, "Email.Smtp.Domain": "other"}


@pytest.mark.parametrize("number", [1, 2])
def test_a_write_whose_answer_is_lost_is_settled_by_reading(cli, uipath, number):
    uipath.faults[number] = PAGE  # 1 is the write, 2 the reading after it
    ran = cli("apply", "spec.yaml", "--yes")
    assert held(uipath) == HELD
    if number == 1:
        assert (ran.status, "the server gave no answer, but it stores the new settings" in ran.out) == (0, True), ran
    else:
        assert (ran.status, "does not document" in ran.out) == (4, True), ran
        resumed = cli("apply", "spec.yaml", "--resume", "--yes")
        assert (resumed.status, "Nothing is left of run 1" in resumed.out) == (0, True), resumed


def test_revert_restores_the_earlier_settings(cli, uipath, monkeypatch):
    assert cli("apply", "spec.yaml", "--yes").status == 0
    cli.write("moved.yaml", GOOGLE.replace("name: Robot", "name: Android"))
    assert cli("apply", "moved.yaml", "--yes").status == 0
    reverted = cli("revert", "--yes")
    assert (reverted.status, held(uipath)) == (0, HELD), reverted
    emptied = cli("revert", "1", "--realm", "org-1", "--yes")
    assert emptied.status == 4
    assert "cannot remove e-mail settings" in emptied.out
    assert held(uipath) == HELD


def test_revert_restores_the_servers_own_account_too(cli, uipath):
    before = {
        "Email.Smtp.UseDefaultCredentials": "true",
        "Email.Smtp.EnableSsl": "True",
        "Email.Smtp.Host": "relay.example.com",
        "Email.Smtp.Port": "25",
        "Email.Smtp.FromEmail": "robot@acme.example",
    }
    uipath.stored["org-1"] = dict(before)
    assert cli("apply", "spec.yaml", "--yes").status == 0
    assert held(uipath) == HELD
    reverted = cli("revert", "--yes")
    assert reverted.status == 0, reverted
    assert held(uipath) == {**before, "Email.Smtp.EnableSsl": "true"}


def test_a_stored_password_is_kept_without_being_sent(cli, uipath, monkeypatch):
    assert cli("apply", "spec.yaml", "--yes").status == 0
    monkeypatch.delenv("MAIL_PASSWORD")
    cli.write("spec.yaml", GOOGLE.replace("name: Robot", "name: Android"))
    ran = cli("apply", "spec.yaml", "--yes", "--secrets", "keep")
    assert ran.status == 0, ran
    assert held(uipath) == {**HELD, "Email.Smtp.FromDisplayName": "Android"}


def test_a_rotation_is_possible_only_without_a_canary(cli, uipath, monkeypatch):
    assert cli("apply", "spec.yaml", "--yes").status == 0
    monkeypatch.setenv("MAIL_PASSWORD", "App-password-canary-2")
    refused = cli("rotate", "env:MAIL_PASSWORD", "spec.yaml", "--yes")
    assert (refused.status, "for rotate --canary 0" in refused.err) == (2, True)
    ran = cli("rotate", "env:MAIL_PASSWORD", "spec.yaml", "--yes", "--canary", "0")
    assert (ran.status, held(uipath)["Email.Smtp.Password"]) == (0, "App-password-canary-2"), ran


def test_pull_gives_a_spec_that_is_in_sync(cli, uipath, monkeypatch):
    uipath.stored["org-1"] = {**HELD, "Email.Smtp.Domain": "corp"}
    assert cli("pull", "--realm", "org-1", "--out", "pulled.yaml").status == 0
    monkeypatch.setenv("SMTP_PASSWORD_ORG_1", PASSWORD)
    again = cli("plan", "pulled.yaml")
    assert (again.status, "1 realm in sync" in again.out) == (0, True), again
    named = cli("pull")
    assert (named.status, "name each realm in full" in named.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("test", "org-1"), "plan and drift compare what it has stored"),
        (("test", "--spec", "spec.yaml"), "plan and drift compare what it has stored"),
        (("apply", "spec.yaml", "--yes", "--canary", "1"), "--wave SIZE with --stop-after 1"),
        (("doctor", "--setup-commands"), "with the product's own tools"),
    ],
)
def test_unsupported_operations_are_refused_with_an_alternative(cli, uipath, arguments, nearest):
    ran = cli(*arguments)
    assert ran.status == 2
    assert "UiPath Orchestrator does not support" in ran.err
    assert nearest in ran.err
    assert uipath.requests == []


def test_doctor_reads_the_realms_that_are_named(cli, uipath):
    report = cli.json("doctor")
    assert (report["exit_status"], uipath.requests) == (0, [])
    known = cli("doctor", "--realm", "org-1")
    assert (known.status, "yes read e-mail settings    in 1 realm" in known.out) == (0, True), known
    assert "What UiPath Orchestrator can do:" in cli("doctor", "--capabilities").out
    unknown = cli("doctor", "--realm", "org-9")
    assert (unknown.status, "partitionGlobalId" in unknown.out) == (4, True), unknown
    cli.set(TOKEN="another")
    refused = cli("doctor", "--realm", "org-1")
    assert (refused.status, "refuses the token" in refused.out) == (3, True), refused


ROBOT = "sender: {address: robot@acme.example}"
BAD = {
    "from-is-not-user": (
        "sender: {address: other@example.com}",
        "{host: h.example, auth: {username: robot@acme.example, password: {env: MAIL_PASSWORD}}}",
        4,
        "`Default From Address` `other@example.com` is not the SMTP username `robot@acme.example`",
    ),
    "no-host": (ROBOT, "{port: 25}", 4, "`relay.host` is missing"),
    "wrong-port": (ROBOT, "{host: h.example, port: 70000}", 2, "`70000`"),
    "starttls-on-465": (ROBOT, "{host: h.example, port: 465}", 4, "would read `relay.security` as `tls`"),
}


@pytest.mark.parametrize(("sender", "relay", "status", "said"), BAD.values(), ids=BAD)
def test_unsupported_settings_are_reported_and_not_sent(cli, uipath, sender, relay, status, said):
    cli.write("bad.yaml", f"version: 1\nrealms:\n  org-1:\n    {sender}\n    relay: {relay}\n")
    ran = cli("apply", "bad.yaml", "--yes")
    assert ran.status == status, ran
    assert said in ran.out + ran.err
    assert "bad.yaml:" in ran.out + ran.err
    assert held(uipath) == {}


def test_googles_port_and_unsupported_fields_are_warnings(cli, uipath):
    cli.write(
        "spec.yaml",
        GOOGLE.replace("587", "2525").replace("name: Robot}", "name: Robot}\n    envelope_from: b@b.example"),
    )
    report = cli.json("plan", "spec.yaml")
    (realm,) = report["realms"]
    found = {finding["message"]: finding["severity"] for finding in realm["findings"]}
    assert found["Google's relay expects port 587, not `2525`"] == "warning"
    assert found["UiPath Orchestrator does not support `envelope_from`"] == "warning"
    assert (report["exit_status"], realm["status"]) == (1, "changed")
    assert cli("apply", "spec.yaml", "--yes").status == 0
    assert cli("plan", "spec.yaml").status == 0


def test_an_unknown_organisation_is_missing_and_an_unusual_name_is_not_interpreted(cli, uipath):
    cli.write("spec.yaml", GOOGLE.replace("org-1", '"a&key=Auth.X"'))
    ran = cli("plan", "spec.yaml")
    assert (ran.status, "there is no organisation" in ran.out) == (4, True), ran
