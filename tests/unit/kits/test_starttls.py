"""The check ``starttls``: which realms lose their mail when StartTLS becomes mandatory."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from support.relays import OddRelays, Talk, answering

import ztrust_mail
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.findings import Severity
from ztrust_mail.kits.result import CheckRun
from ztrust_mail.sandbox import Sandbox

LOGIN = {"ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": "admin"}


def entry(port: int, security: str = "starttls", **relay: object) -> dict[str, object]:
    relay = {"host": "127.0.0.1", "port": port, "security": security, **relay}
    return {"sender": {"address": "a@acme.example"}, "relay": relay}


def check(ca_file: Path, realms: dict[str, object], **probe: object) -> CheckRun:
    spec = ztrust_mail.load_spec({"version": 1, "realms": realms})
    options = ztrust_mail.CheckOptions(
        ztrust_mail.ProbeOptions(**{"deadline": 10.0, "ca_bundle": str(ca_file), **probe})
    )
    return ztrust_mail.check("starttls", spec=spec, options=options, environ={})


def test_realms_are_grouped_by_relay_and_those_without_starttls_lose_their_mail(
    odd_relays: OddRelays, encrypted_relay, ca_file: Path
) -> None:
    good, bad = encrypted_relay(), odd_relays(answering())
    login = {"auth": {"username": "u", "password": {"env": "UNSET"}}}
    run = check(
        ca_file,
        {
            "a": entry(good.port),
            "b": entry(bad.port, **login),
            "c": entry(bad.port),
            "d": entry(bad.port, "none"),
            "e": {"disabled": True},
        },
    )
    assert [(one.realms, one.status.value) for one in run.subjects] == [(("a",), "ok"), (("b", "c"), "failed")]
    assert (good.connections, bad.connections) == (1, 1)
    assert run.affected == ("b", "c")
    assert [(f.rule, f.realm, f.severity) for f in run.findings] == [
        ("starttls-mandatory", "b", Severity.CRITICAL),
        ("starttls-mandatory", "c", Severity.CRITICAL),
    ]
    assert "logins and mails go in clear text now" in run.findings[0].message
    assert run.findings[0].location is not None
    assert {one.realm: one.status.value for one in run.realms if one.status == "skipped"} == dict.fromkeys(
        "de", "skipped"
    )
    assert run.closing == ("2 realms lose their mail when StartTLS becomes mandatory.",)
    assert run.exit_status is ExitStatus.DIFFERS


def test_the_dialogue_ends_after_starttls_without_a_login(odd_relays: OddRelays, ca_file: Path) -> None:
    heard: list[bytes] = []

    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while True:
            heard.append(talk.hear())
            talk.say(b"250-x\r\n250 AUTH PLAIN\r\n")

    login = {"auth": {"username": "u", "password": {"env": "UNSET"}}}
    check(ca_file, {"a": entry(odd_relays(play).port, **login)})
    assert [one.split()[0].upper() for one in heard] in ([b"EHLO"], [b"EHLO", b"QUIT"])


def test_a_certificate_that_is_refused_is_a_warning_as_mails_fail_today_too(encrypted_relay, ca_file: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    run = check(ca_file, {"a": entry(encrypted_relay(certificate=context).port)})
    assert [(f.rule, f.severity) for f in run.findings] == [("relay-certificate-issuer", Severity.WARNING)]
    assert run.exit_status is ExitStatus.OK
    assert run.affected == ()


def test_a_relay_that_cannot_be_asked_is_unknown_and_not_taken_for_good(ca_file: Path) -> None:
    run = check(ca_file, {"a": entry(1)})
    assert (run.realms[0].status.value, run.exit_status) == ("not-tested", ExitStatus.PARTIAL)
    assert [f.rule for f in run.findings] == ["starttls-unknown"]
    assert "connection refused" in run.findings[0].message


def test_400_realms_on_3_relays_take_3_dialogues(odd_relays: OddRelays, ca_file: Path) -> None:
    relays = [odd_relays(answering()) for _ in range(3)]
    run = check(ca_file, {f"t{n}": entry(relays[n % 3].port) for n in range(400)})
    assert [one.connections for one in relays] == [1, 1, 1]
    assert len(run.affected) == 400


def test_live_realms_are_checked_without_a_spec(ztrust_sandbox: Sandbox, odd_relays: OddRelays) -> None:
    relay = odd_relays(answering())
    on = {"host": "127.0.0.1", "port": str(relay.port), "from": "a@acme.example", "starttls": "true"}
    ztrust_sandbox.edit_smtp("acme", on)
    ztrust_sandbox.edit_smtp("globex", {**on, "starttls": "false"})
    seen: list[tuple[int, int]] = []
    with ztrust_mail.connect(ztrust_sandbox.url, environ=LOGIN) as session:
        run = ztrust_mail.check("starttls", session, ["acme", "globex", "nowhere"], progress=lambda *n: seen.append(n))
    assert [one.status.value for one in run.realms] == ["failed", "skipped", "missing"]
    assert run.exit_status is ExitStatus.PARTIAL
    assert seen == [(1, 3)]


def test_an_unknown_check_and_nothing_to_check_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown check `startls`") as refused:
        ztrust_mail.check("startls", environ={})
    assert refused.value.hint == "did you mean `starttls`?"
    with pytest.raises(UsageError, match="nothing to check"):
        ztrust_mail.check("starttls", environ={})
