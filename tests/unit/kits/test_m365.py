"""The check ``m365-oauth``: what is missing in the tenant before realms can log in with a token."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import trustme
from support.token_endpoint import token_endpoint, unsigned_token

import ztrust_mail
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.kits.result import CheckFact, CheckRun
from ztrust_mail.sandbox import Sandbox

LOGIN = {"ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": "admin"}
SECRET = "client-s3cret-canary"
CLAIMS = {"aud": "https://outlook.office365.com", "roles": ["SMTP.SendAsApp"], "exp": 4_102_444_800}
ACCEPTED = {"AUTH XOAUTH2": b"235 ok\r\n"}
Rehearse = Callable[..., CheckRun]


def entry(port: int, auth: Mapping[str, object], sender: str = "u@acme.example") -> dict[str, object]:
    relay = {"host": "127.0.0.1", "port": port, "security": "starttls", "auth": auth}
    return {"sender": {"address": sender}, "relay": relay}


def token(url: str, variable: str = "CLIENT_SECRET") -> dict[str, object]:
    login = {"url": url, "client_id": "mailer", "client_secret": {"env": variable}, "scope": "mail"}
    return {"username": "u@acme.example", "token": login}


PASSWORD = {"username": "u@acme.example", "password": {"env": "UNSET"}}


@pytest.fixture
def rehearse(encrypted_relay, authority: trustme.CA, ca_file: Path) -> Rehearse:
    def run(
        answer: object = None,
        replies: Mapping[str, bytes] = ACCEPTED,
        *,
        status: int = 200,
        senders: Mapping[str, str] | None = None,
        variable: str = "CLIENT_SECRET",
    ) -> CheckRun:
        given = {"access_token": unsigned_token(CLAIMS), "expires_in": 3600} if answer is None else answer
        relay = encrypted_relay(replies)
        with token_endpoint(authority, given, status) as endpoint:
            auth = token(endpoint.url, variable)
            realms = {name: entry(relay.port, auth, of) for name, of in (senders or {"acme": "u@acme.example"}).items()}
            options = ztrust_mail.CheckOptions(
                ztrust_mail.ProbeOptions(deadline=10.0, ca_bundle=str(ca_file)), hosts=("127.0.0.*",)
            )
            found = ztrust_mail.check(
                "m365-oauth",
                spec=ztrust_mail.load_spec({"version": 1, "realms": realms}),
                options=options,
                environ={"CLIENT_SECRET": SECRET},
            )
        assert len(endpoint.forms) <= 1
        assert SECRET not in repr(found.to_dict())
        return found

    return run


def facts(run: CheckRun) -> dict[str, CheckFact]:
    return {one.name: one for one in run.subjects[0].facts}


def with_claims(**claims: object) -> dict[str, object]:
    return {"access_token": unsigned_token({**CLAIMS, **claims})}


def test_a_login_that_works_leads_to_the_plan(rehearse: Rehearse) -> None:
    run = rehearse(senders={"acme": "u@acme.example", "globex": "u@acme.example"})
    assert {name: one.status.value for name, one in facts(run).items()} == {
        "token": "ok",
        "audience": "ok",
        "roles": "ok",
        "login": "ok",
        "MAIL FROM": "ok",
    }
    assert facts(run)["token"].detail == "valid until 2100-01-01 00:00 UTC"
    assert (run.exit_status, run.findings) == (ExitStatus.OK, ())
    assert run.closing == ("2 of 2 realms on Microsoft 365 can log in with a token.",)
    assert run.next_step == "ztrust-mail plan SPEC..."


@pytest.mark.parametrize(
    ("answer", "rules"),
    [
        (with_claims(aud="https://graph.microsoft.com"), ["m365-token-audience"]),
        (with_claims(roles=["Mail.Send"]), ["m365-token-role"]),
        (with_claims(roles=[], scp="SMTP.Send offline_access"), ["m365-token-role"]),
        (with_claims(aud="https://graph.microsoft.com", roles=[]), ["m365-token-audience", "m365-token-role"]),
    ],
)
def test_a_token_for_another_service_or_without_the_role_says_what_to_grant(rehearse, answer, rules) -> None:
    run = rehearse(answer, {"AUTH XOAUTH2": b"535 5.7.3 Authentication unsuccessful\r\n"})
    assert [f.rule for f in run.findings] == [*rules, "relay-login-refused" if "m365-token-role" in rules
                                              else "m365-service-principal"]  # fmt: skip
    assert run.exit_status is ExitStatus.DIFFERS
    assert run.next_step == ""


def test_a_refused_login_with_the_right_token_is_a_missing_service_principal(rehearse: Rehearse) -> None:
    error = base64.b64encode(json.dumps({"status": "400"}).encode())
    run = rehearse(None, {"AUTH XOAUTH2": b"334 " + error + b"\r\n", "": b"535 5.7.3 Authentication unsuccessful\r\n"})
    assert [f.rule for f in run.findings] == ["m365-service-principal"]
    assert "New-ServicePrincipal -AppId" in run.findings[0].hint


def test_a_login_that_is_refused_for_now_says_nothing_about_the_tenant(rehearse: Rehearse) -> None:
    run = rehearse(None, {"AUTH XOAUTH2": b"454 4.7.0 Temporary authentication failure\r\n"})
    assert [f.rule for f in run.findings] == ["relay-login-refused"]
    assert "try again in some minutes" in run.findings[0].hint


def test_no_token_says_what_the_authority_says(rehearse: Rehearse) -> None:
    run = rehearse({"error": "invalid_client"}, status=401)
    assert [f.rule for f in run.findings] == ["m365-token"]
    assert "invalid_client" in run.findings[0].message
    assert [*facts(run)] == ["token"]


def test_a_token_that_cannot_be_read_is_no_error(rehearse: Rehearse) -> None:
    run = rehearse({"access_token": "opaque"})
    assert facts(run)["token"].status.value == "not-tested"
    assert run.exit_status is ExitStatus.OK


def test_a_secret_that_cannot_be_resolved_is_not_taken_for_success(rehearse: Rehearse) -> None:
    run = rehearse(variable="UNSET")
    assert [f.rule for f in run.findings] == ["m365-login-unknown"]
    assert "`UNSET` is not set" in run.findings[0].message
    assert run.exit_status is ExitStatus.PARTIAL
    assert run.next_step == ""


def test_a_refused_sender_fails_its_own_realm_alone(rehearse: Rehearse) -> None:
    refuse = {**ACCEPTED, "MAIL FROM:<BAD@ACME.EXAMPLE>": b"550 5.7.60 SendAsDenied\r\n"}
    run = rehearse(None, refuse, senders={"good": "u@acme.example", "bad": "bad@acme.example"})
    assert {one.realm: one.status.value for one in run.realms} == {"good": "ok", "bad": "failed"}
    assert [(f.rule, f.realm) for f in run.findings] == [("m365-sender", "bad")]


def test_a_realm_whose_spec_keeps_the_password_fails_at_its_place() -> None:
    host = {"host": "smtp.office365.com", "auth": PASSWORD}
    realms = {
        "acme": {"sender": {"address": "u@acme.example"}, "relay": host},
        "other": {"sender": {"address": "u@acme.example"}, "relay": {**host, "host": "smtp.acme.example"}},
    }
    run = ztrust_mail.check("m365-oauth", spec=ztrust_mail.load_spec({"version": 1, "realms": realms}), environ={})
    assert [(one.realm, one.status.value) for one in run.realms] == [("acme", "failed"), ("other", "skipped")]
    (finding,) = run.findings
    assert (finding.rule, finding.field) == ("m365-basic-login", "relay.auth.password")
    assert finding.location is not None
    assert run.exit_status is ExitStatus.DIFFERS


def test_live_realms_say_who_still_has_a_password(
    ztrust_sandbox: Sandbox, encrypted_relay, authority: trustme.CA, ca_file: Path
) -> None:
    relay = encrypted_relay(ACCEPTED)
    stored = {"host": "127.0.0.1", "port": str(relay.port), "from": "u@acme.example", "starttls": "true",
              "auth": "true", "authType": "basic", "user": "u@acme.example", "password": "x"}  # fmt: skip
    for realm in ("acme", "globex"):
        ztrust_sandbox.edit_smtp(realm, stored)
    options = ztrust_mail.CheckOptions(
        ztrust_mail.ProbeOptions(deadline=10.0, ca_bundle=str(ca_file)), hosts=("127.0.0.1",)
    )
    environ = {**LOGIN, "CLIENT_SECRET": SECRET}
    with token_endpoint(authority, {"access_token": unsigned_token(CLAIMS)}) as endpoint:
        spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": entry(relay.port, token(endpoint.url))}})
        with ztrust_mail.connect(ztrust_sandbox.url, environ=environ) as session:
            run = ztrust_mail.check("m365-oauth", session, spec=spec, options=options)
            live = ztrust_mail.check("m365-oauth", session, ["acme", "globex"], options=options)
    found = {one.realm: one.status.value for one in run.realms if one.status != "skipped"}
    assert found == {"acme": "ok", "globex": "failed"}
    assert facts(CheckRun("", "", run.subjects[1:], ()))["on the server"].detail == "1 realm still with a password"
    assert [(f.rule, f.realm) for f in run.findings] == [("m365-basic-login", "globex")]
    assert "the spec has no entry for it" in run.findings[0].message
    assert [(f.rule, f.realm) for f in live.findings] == [("m365-basic-login", "acme"), ("m365-basic-login", "globex")]
