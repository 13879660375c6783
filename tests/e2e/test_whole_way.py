"""The whole way on real servers, through the command line as its users type it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.admin_api import PASSWORD as USER_PASSWORD
from support.admin_api import AdminApi, realm_path
from support.cli import Ran, isolate, run_process
from support.keycloak_server import KEYCLOAK_26, KeycloakServer, install
from support.smtp import PASSWORD, USER, Relays

import ztrust_mail

REALMS = ("acme", "tenant a", "tenant-b%", "retired")
SECRET_VARIABLE = "RELAY_PASSWORD"


@pytest.fixture(params=["keycloak_26", "keycloak_16"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeycloakServer:
    """A real server that the environment names, with its administrator's login and the relay's secret."""
    running: KeycloakServer = request.getfixturevalue(request.param)
    isolate(monkeypatch, tmp_path)
    variables = {
        "URL": running.url,
        "USERNAME": running.admin_user,
        "PASSWORD": running.admin_password,
        "TIMEOUT": "30s",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"ZTRUST_MAIL_{name}", value)
    monkeypatch.setenv(SECRET_VARIABLE, PASSWORD)
    return running


@pytest.fixture
def admin(server: KeycloakServer) -> Iterator[AdminApi]:
    """The administrator, with the realms of these tests made and removed."""
    with AdminApi(server.url, server.admin_user, server.admin_password).with_realms(REALMS) as api:
        yield api


def spec_for(port: int) -> str:
    return f"""
version: 1
defaults:
  relay:
    host: localhost
    port: {port}
    auth: {{username: {USER}, password: {{env: {SECRET_VARIABLE}}}}}
  sender: {{address: "no-reply@{{realm.slug}}.example.com", name: Example}}
realms:
  acme: {{reply_to: {{address: help@acme.example, name: "Acme: Help"}}}}
  "tenant*": {{expect: {{min: 2}}}}
  retired: {{disabled: true}}
"""


def ran(*arguments: str, status: int = 0) -> Ran:
    done = run_process(*arguments)
    assert done.status == status, f"{arguments}: {done.status}\n{done.out}\n{done.err}"
    assert PASSWORD not in done.out + done.err
    assert "Traceback" not in done.err
    return done


def test_a_spec_is_applied_sends_a_mail_drifts_and_is_applied_again(
    server: KeycloakServer, admin: AdminApi, relays: Relays
) -> None:
    relay = relays.starttls(login=True)
    Path("mail.yaml").write_text(spec_for(relay.port), encoding="utf-8")
    admin.put_smtp("retired", {"from": "old@acme.example", "host": "old.example"})

    assert "Valid: 2 realms and 1 glob" in ran("validate", "mail.yaml").out
    assert "4 realms to change" in ran("plan", "mail.yaml", status=1).out
    assert admin.smtp("acme") == {}
    assert "Done: 4 realms applied (run 1)." in ran("apply", "mail.yaml", "--yes").out
    assert admin.smtp("retired") == {}
    assert "4 realms in sync" in ran("plan", "mail.yaml").out
    assert "No drift" in ran("drift", "mail.yaml").out

    assert "the relay offers STARTTLS, as seen from this machine" in ran("test", "tenant a").out
    (mail,) = relay.wait_for(1)
    assert (mail.login, mail.tls) == (USER, True)

    admin.put_smtp("acme", admin.smtp("acme") | {"host": "smtp.attacker.example"})
    found = json.loads(ran("drift", "mail.yaml", "--format", "json", status=1).out)
    assert {r["realm"]: [c["field"] for c in r["changes"]] for r in found["realms"] if r["changes"]} == {
        "acme": ["relay.host"]
    }
    assert "Done: 1 realm applied, 3 in sync (run 2)." in ran("apply", "mail.yaml", "--yes").out
    assert "No drift" in ran("drift", "mail.yaml").out

    ran("pull", "--realm", "acme", "--realm", "tenant*", "--realm", "retired", "--factor", "--out", "pulled.yaml")
    assert "4 realms in sync" in ran("plan", "pulled.yaml").out


def test_save_test_connection_and_revert_of_ztrusts_tab(
    server: KeycloakServer, admin: AdminApi, relays: Relays, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = relays.starttls(login=True)
    Path("mail.yaml").write_text(spec_for(relay.port), encoding="utf-8")
    root, profile = server.url.removesuffix("/auth"), "V1" if server.url.endswith("/auth") else "V4"
    entry = f'[servers.ztrust]\nurl = "{root}"\ngateway = "ztrust"\nprofile = "{profile}"\n'
    Path("settings.toml").write_text(entry, encoding="utf-8")
    monkeypatch.setenv("ZTRUST_MAIL_CONFIG", "settings.toml")
    monkeypatch.delenv("ZTRUST_MAIL_URL")

    assert "(Reply To Display Name)" in ran("plan", "mail.yaml", "--realm", "acme", status=1).out
    ran("apply", "mail.yaml", "--realm", "acme", "--yes")
    assert admin.smtp("acme")["replyToDisplayName"] == "Acme: Help"
    assert "sent" in ran("test", "acme").out
    assert relay.wait_for(1)[0].login == USER
    assert "Back to before run 1" in ran("revert", "--yes").out
    assert admin.smtp("acme") == {}


def test_the_printed_commands_make_a_service_account_with_just_enough_rights(
    server: KeycloakServer, admin: AdminApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = ran("doctor", "--setup-commands", "--realm", "acme", "--realm", "tenant a").out
    commands = commands.replace("ADMIN", server.admin_user).replace("ADDRESS_FOR_TEST_MAILS", "tests@acme.example")
    kcadm = install(KEYCLOAK_26) / "bin"
    environ = os.environ | {
        "PATH": f"{kcadm}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KC_CLI_PASSWORD": server.admin_password,
    }

    done = subprocess.run(
        ["bash", "-e"], input=commands, env=environ, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    secret = json.loads(done.stdout[done.stdout.index("{") :])["value"]
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"ZTRUST_MAIL_{name}")
    monkeypatch.setenv("ZTRUST_MAIL_CLIENT_ID", "ztrust-mail")
    monkeypatch.setenv("ZTRUST_MAIL_CLIENT_SECRET", secret)
    report = json.loads(ran("doctor", "--realm", "acme", "--realm", "tenant a", "--format", "json").out)
    outsiders = ran("doctor", "--realm", "retired", status=4).out

    answers = {check["question"]: check["answer"] for check in report["checks"]}
    answers.pop("server version")  # which not every version shows to so small an account
    assert set(answers.values()) == {True}, report["checks"]
    assert "tests@acme.example" in str(report["checks"])
    assert "no " in outsiders
    (client,) = admin.ok("GET", f"{realm_path('master')}/clients?clientId=ztrust-mail").json()
    admin.ok("DELETE", f"{realm_path('master')}/clients/{client['id']}")


def test_a_session_that_ends_in_between_is_renewed(server: KeycloakServer, admin: AdminApi) -> None:
    admin.create_user("acme", "keeper", ["view-realm", "manage-realm"])
    login = {"ZTRUST_MAIL_USERNAME": "keeper", "ZTRUST_MAIL_PASSWORD": USER_PASSWORD, "ZTRUST_MAIL_REALM": "acme"}
    spec = ztrust_mail.load_spec(
        {"version": 1, "realms": {"acme": {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}}}
    )

    with ztrust_mail.connect(server.url, environ=login) as connection:
        plan = ztrust_mail.plan(spec, connection)
        admin.ok("POST", f"{realm_path('acme')}/logout-all")
        result = ztrust_mail.apply(plan, connection)

    assert [realm.status.value for realm in result.realms] == ["applied"]
    assert admin.smtp("acme")["host"] == "h.example"


def test_a_realm_created_after_the_login_is_found(server: KeycloakServer, admin: AdminApi) -> None:
    spec = ztrust_mail.load_spec(
        {"version": 1, "realms": {"late": {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}}}
    )

    with ztrust_mail.connect(server.url) as connection:
        connection.gateway.login()
        admin.create_realm("late")
        try:
            plan = ztrust_mail.plan(spec, connection)
            result = ztrust_mail.apply(plan, connection)
        finally:
            admin.delete_realm("late")

    assert [realm.status.value for realm in result.realms] == ["applied"]


def test_wrong_credentials_are_reported_in_one_line(server: KeycloakServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTRUST_MAIL_PASSWORD", "canary-wrong")

    done = ran("doctor", status=3)

    assert "the user name or password is wrong" in done.out
    assert "canary-wrong" not in done.out + done.err


def test_https_on_a_port_without_tls_is_reported(server: KeycloakServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTRUST_MAIL_URL", server.url.replace("http://", "https://"))

    done = ran("doctor", status=3)

    assert "TLS" in done.out
