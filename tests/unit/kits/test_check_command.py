"""The command ``check``: what a person sees, and what a script relies on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.cli import Cli, report_validator
from support.dns_server import dns_server
from support.relays import OddRelays, answering
from support.token_endpoint import token_endpoint, unsigned_token

from ztrust_mail.core.errors import ExitStatus

CLAIMS = {"aud": "https://outlook.office365.com", "roles": ["SMTP.SendAsApp"], "exp": 4_102_444_800}


def spec_of(cli: Cli, **realms: object) -> str:
    cli.write("mail.json", json.dumps({"version": 1, "realms": realms}))
    return "mail.json"


def relay(port: int, **more: object) -> dict[str, object]:
    return {"sender": {"address": "a@acme.example"}, "relay": {"host": "127.0.0.1", "port": port, **more}}


def test_realms_that_lose_their_mail_are_grouped_by_relay_with_the_next_step(cli: Cli, odd_relays: OddRelays) -> None:
    bad = odd_relays(answering())
    spec = spec_of(cli, acme=relay(bad.port), globex=relay(bad.port), old={"disabled": True})
    ran = cli("check", "--for", "starttls", "--spec", spec)
    assert (ran.status, ran.err) == (ExitStatus.DIFFERS, "")
    assert ran.out.startswith(f"127.0.0.1:{bad.port} (starttls): 2 realms (acme and globex)  FAILED\n")
    assert ran.out.count("[starttls-mandatory]") == 1
    assert "next: before the upgrade, turn STARTTLS on at the relay" in " ".join(ran.out.split())
    assert "Checked 3 realms: 2 failed, 1 not concerned.\n" in ran.out
    assert "2 realms lose their mail when StartTLS becomes mandatory." in ran.out


def test_the_report_in_json_is_valid_and_has_a_finding_for_each_realm(cli: Cli, odd_relays: OddRelays) -> None:
    bad = odd_relays(answering())
    spec = spec_of(cli, acme=relay(bad.port), globex=relay(bad.port), old={"disabled": True})
    ran = cli("check", "--for", "starttls", "--spec", spec, "--format", "json")
    report = json.loads(ran.out)
    report_validator().validate(report)
    assert report["check"] == "starttls"
    assert [one["realms"] for one in report["subjects"]] == [["acme", "globex"]]
    assert [one["host"] for one in report["relays"]] == ["127.0.0.1"]
    assert [[f["rule"] for f in one["findings"]] for one in report["realms"]] == [
        ["starttls-mandatory"],
        ["starttls-mandatory"],
        [],
    ]


def test_a_rehearsal_that_works_ends_with_the_plan_to_run(cli: Cli, encrypted_relay, authority, ca_file: Path) -> None:
    port = encrypted_relay({"AUTH XOAUTH2": b"235 ok\r\n"}).port
    with token_endpoint(authority, {"access_token": unsigned_token(CLAIMS)}) as endpoint:
        token = {"url": endpoint.url, "client_id": "i", "client_secret": {"env": "ZTRUST_TEST_SECRET"}, "scope": "s"}
        cli.monkeypatch.setenv("ZTRUST_TEST_SECRET", "client-s3cret")
        spec = spec_of(cli, acme=relay(port, auth={"username": "a@acme.example", "token": token}))
        how = ("--host", "127.0.0.1", "--ca-bundle", str(ca_file))
        ran = cli("check", "--for", "m365-oauth", "--spec", spec, *how)
    assert (ran.status, ran.err) == (ExitStatus.OK, ""), ran.out
    assert ran.out.endswith("Switch them with: ztrust-mail plan mail.json\n")
    assert "client-s3cret" not in ran.out


def test_senders_with_the_same_records_are_one_block(cli: Cli, tmp_path: Path) -> None:
    names = [f"t{n}.example" for n in range(50)]
    zones = {"example": {name: ['TXT "v=spf1 -all"', "MX 0 mx.example."] for name in names}}
    realms = {name: {"sender": {"address": f"a@{name}"}, "relay": {"host": "192.0.2.1"}} for name in names}
    with dns_server(tmp_path / "dns", zones) as (host, port):
        ran = cli("check", "--for", "sender", "--spec", spec_of(cli, **realms), "--resolver", f"{host}:{port}")
        one_each = cli("check", "--for", "sender", "--spec", "mail.json", "--resolver", f"{host}:{port}", "--details")
    assert ran.status == ExitStatus.OK
    assert ran.out.count("0 of 10 look-ups, others fail") == 1
    assert "and 47 more: 50 realms" in " ".join(ran.out.split())
    assert "relay in SPF (the address from which the relay sends is not visible here)" in " ".join(ran.out.split())
    assert one_each.out.count("0 of 10 look-ups, others fail") == 50


def test_a_missing_extra_is_named_with_the_command_that_installs_it(cli: Cli) -> None:
    cli.monkeypatch.setitem(sys.modules, "checkdmarc", None)
    cli.monkeypatch.setitem(sys.modules, "checkdmarc.utils", None)
    ran = cli("check", "--for", "sender", "--spec", spec_of(cli, acme=relay(25)))
    assert ran.status == ExitStatus.USAGE
    assert "pip install 'ztrust-mail[dns]'" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--for", "sender", "--resolver", "dns.example"), "no address of a name server"),
        (("--for", "starttls", "--deadline", "soon"), "is no duration"),
        (("--for", "startls"), "starttls"),
        ((), "--for"),
    ],
)
def test_a_typo_is_refused_before_anything_is_sent(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    ran = cli("check", *arguments, "--spec", spec_of(cli, acme=relay(1)))
    assert ran.status == ExitStatus.USAGE
    assert words in ran.err


def test_a_realm_that_the_spec_does_not_have_is_refused_with_a_suggestion(cli: Cli) -> None:
    ran = cli("check", "--for", "starttls", "--spec", spec_of(cli, acme=relay(1)), "acmee")
    assert ran.status == ExitStatus.USAGE
    assert "did you mean `acme`?" in ran.err
