"""Digitanium through the command line, against a local https server that keeps to the published contract."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli, cli_fixture  # noqa: F401
from support.published import SSMS_DOMAIN, TOKEN, Digitanium, served

PASSWORD = "Kobil-canary-1"
NOT_SEEN = "live was not looked at"
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
        settle_on(cli, product, f"{product.url}/auth")
        cli.write("spec.yaml", SPEC)
        yield product
        assert product.breaches == []
    assert not any(secret in said for secret in (PASSWORD, TOKEN) for said in cli.seen)


def settle_on(cli: Cli, product: Digitanium, url: str) -> None:
    cli.write(
        "ztrust-mail.toml",
        f'[servers.kobil]\nurl = "{url}"\ngateway = "digitanium"\nca_bundle = "{product.bundle}"\ntimeout = "2s"\n',
    )


def test_the_whole_way_on_shift(cli, digitanium):
    planned = cli("plan", "spec.yaml")
    assert planned.status == 1
    assert NOT_SEEN in planned.out
    assert NOT_SEEN in planned.err
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
    assert "nobody is shown" in tested.out


def test_ssms_puts_the_tenant_before_the_host(cli, digitanium, monkeypatch):
    found = socket.getaddrinfo

    def resolved(host, *rest, **more):
        return found("127.0.0.1" if str(host).endswith(f".{SSMS_DOMAIN}") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    settle_on(cli, digitanium, digitanium.url.replace("localhost", SSMS_DOMAIN))
    assert cli("apply", "spec.yaml", "--yes").status == 0
    assert cli("test", "acme").status == 0
    hosts = [(r.host, r.path) for r in digitanium.requests]
    assert hosts == [
        (f"acme.{SSMS_DOMAIN}", "/digitanium/v4/mail/config"),
        (f"acme.{SSMS_DOMAIN}", "/digitanium/v4/mail/test"),
    ]
