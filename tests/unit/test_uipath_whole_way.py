"""UiPath's Identity Server through the command line, against a local https server that keeps to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli, cli_fixture  # noqa: F401  # a fixture
from support.published import TOKEN, UIPATH_KEYS, UiPath, served

PASSWORD = "App-password-canary-1"
GOOGLE = """
version: 1
realms:
  org-1:
    sender: {address: robot@example.com, name: Robot}
    relay:
      host: smtp.gmail.com
      port: 587
      auth: {username: robot@example.com, password: {env: MAIL_PASSWORD}}
"""
HELD = {
    "Email.Smtp.UseDefaultCredentials": "false",
    "Email.Smtp.EnableSsl": "true",
    "Email.Smtp.Host": "smtp.gmail.com",
    "Email.Smtp.Port": "587",
    "Email.Smtp.UserName": "robot@example.com",
    "Email.Smtp.Password": PASSWORD,
    "Email.Smtp.FromEmail": "robot@example.com",
    "Email.Smtp.FromDisplayName": "Robot",
}


@pytest.fixture(name="uipath")
def uipath_fixture(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UiPath]:
    """An Identity Server on this machine, named by the settings as the only server."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    cli.set(TOKEN=TOKEN)
    with served(UiPath(), tmp_path) as product:
        settle_on(cli, product, product.url)
        cli.write("spec.yaml", GOOGLE)
        yield product
        assert product.breaches == []
    assert not any(secret in said for secret in (PASSWORD, TOKEN) for said in cli.seen)


def settle_on(cli: Cli, product: UiPath, url: str) -> None:
    cli.write(
        "ztrust-mail.toml",
        f'[servers.robots]\nurl = "{url}"\ngateway = "uipath"\nca_bundle = "{product.bundle}"\ntimeout = "2s"\n',
    )


def held(product: UiPath, organisation: str = "org-1") -> dict[str, str]:
    return {key: text for key, text in product.stored[organisation].items() if text}


def test_the_whole_way_with_googles_settings(cli, uipath):
    planned = cli("plan", "spec.yaml")
    assert planned.status == 1, planned
    assert "SMTP Host" in planned.out
    assert "app password" in planned.err
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
