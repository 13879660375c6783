"""``servers`` on the command line and in the library."""

from __future__ import annotations

import pytest
from support.cli import Cli

import ztrust_mail
from ztrust_mail.core.errors import UsageError
from ztrust_mail.reports.report import OutputFormat
from ztrust_mail.sandbox import Sandbox


@pytest.fixture
def settings(cli: Cli, ztrust_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """A trusted settings file with servers of every state."""
    monkeypatch.setenv("DEV_PASSWORD", ztrust_sandbox.options.admin_password)
    cli.set(CONFIG="s.toml", LEGACY_PASSWORD="wrong")
    return cli.write(
        "s.toml",
        f"""
[servers.dev]
url = "{ztrust_sandbox.url}"
username = "admin"
password = {{env = "DEV_PASSWORD"}}
labels = {{stage = "dev", region = "eu"}}
vars = {{domain = "dev.example"}}

[servers.legacy]
url = "{ztrust_sandbox.url}/"
username = "admin"
labels = {{stage = "prod"}}

[servers.down]
url = "http://127.0.0.1:9"
client_id = "mailer"
client_secret = "s3cr3t-in-clear"
limits = {{requests_per_second = 5, windows = []}}
queue = "eu"

[servers.broken]
urll = "https://id.example.com"
labels = {{stage = "prod"}}
""",
    )


def test_the_servers_are_listed_with_their_logins_and_problems_and_nothing_is_sent(
    cli: Cli, settings: str, ztrust_sandbox: Sandbox
) -> None:
    ran = cli("servers")
    assert ran.status == 2
    assert "keycloak; admin; password from env:DEV_PASSWORD; stage=dev region=eu" in ran.out
    assert "keycloak; admin; password from variable ZTRUST_MAIL_LEGACY_PASSWORD; stage=prod" in ran.out
    down = "client mailer; client_secret from clear text in the settings; 5 requests per second; written only: never"
    assert f"{down}; queue eu\n" in ran.out
    assert "broken  broken\n" in ran.out
    assert "s.toml: error: unknown key `servers.broken.urll`; did you mean `url`? [broken-server]" in ran.out
    assert "warning: `dev` and `legacy` have the same URL" in ran.out
    assert "note: 1 secret in clear text in the settings: down (client_secret); write references, such as" in ran.out
    assert "after: keyring set ztrust-mail down [secret-in-settings]" in ran.out
    assert ran.out.endswith("4 servers: 1 broken.\nLog in to each: ztrust-mail servers --check\n")
    assert not ztrust_sandbox.requests
    for secret in ("s3cr3t-in-clear", "wrong"):
        assert secret not in ran.out + ran.err


def test_a_check_logs_in_to_each_server(cli: Cli, settings: str) -> None:
    report = cli.json("servers", "--check")
    assert [one["queue"] for one in report["servers"]] == ["default", "default", "eu", None]
    states = {one["name"]: (one["check"] or {}).get("status") for one in report["servers"]}
    assert states == {"dev": "ok", "legacy": "refused", "down": "unreachable", "broken": None}
    assert {one["rule"] for one in report["findings"]} >= {"login-refused", "unreachable", "broken-server"}
    assert "ok: admin" in cli("servers", "--check").out


def test_a_server_that_does_not_take_the_login_ends_with_3(cli: Cli, settings: str) -> None:
    assert cli("servers", "--check", "--label", "stage=dev").status == 0
    cli.monkeypatch.setenv("DEV_PASSWORD", "wrong")
    assert cli("servers", "--check", "--label", "stage=dev").status == 3
    cli.monkeypatch.delenv("DEV_PASSWORD")
    assert cli("servers", "--check", "--label", "stage=dev").status == 2
    assert cli("servers", "--label", "stage=dev").status == 0


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["stage=prod"], ["legacy", "broken"]),
        (["stage=dev", "region=eu"], ["dev"]),
        (["stage=prod", "region=eu"], []),
    ],
)
def test_labels_select_servers(cli: Cli, settings: str, labels: list[str], names: list[str]) -> None:
    report = cli.json("servers", *(word for label in labels for word in ("--label", label)))
    assert [one["name"] for one in report["servers"]] == names


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("stage=prd", "no server has the label `stage=prd`; did you mean `prod`?"),
        ("stag=prod", "no server has the label `stag=prod`; did you mean `stage`?"),
        ("tier=x", "no server has the label `tier=x`; known here: region, stage"),
        ("prod", "`prod` is not a label; write NAME=VALUE, such as stage=prod"),
    ],
)
def test_a_label_that_no_server_has_is_a_mistake(cli: Cli, settings: str, label: str, message: str) -> None:
    ran = cli("servers", "--label", label)
    assert (ran.status, message in ran.err) == (2, True)


@pytest.mark.parametrize("name", OutputFormat)
def test_every_format_names_the_broken_server_and_no_secret(cli: Cli, settings: str, name: OutputFormat) -> None:
    ran = cli("servers", "--format", name.value)
    assert "servers.broken.urll" in ran.out
    assert "s3cr3t-in-clear" not in ran.out + ran.err


def test_without_settings_the_server_of_the_environment_is_listed(cli: Cli, sandbox: Sandbox) -> None:
    (one,) = cli.json("servers", "--check")["servers"]
    assert (one["name"], one["url"], one["check"]["status"]) == ("", sandbox.url, "ok")
    assert one["secrets"] == {"password": "variable ZTRUST_MAIL_PASSWORD"}


def test_without_any_server_the_next_step_is_shown(cli: Cli) -> None:
    ran = cli("servers")
    assert (ran.status, ran.out.strip().splitlines()[0]) == (0, "0 servers.")
    assert "ztrust-mail docs settings" in ran.out


def test_an_untrusted_file_is_listed_with_what_is_refused(cli: Cli) -> None:
    cli.write("ztrust-mail.toml", '[servers.evil]\nurl = "https://evil.example"\npassword = {env = "HOME"}\n')
    (one,) = cli.json("servers")["servers"]
    assert "which is not resolved" in one["problem"]


def test_the_library_returns_the_servers(cli: Cli, settings: str) -> None:
    found = ztrust_mail.servers({"stage": "dev"}, check=True)
    assert [one.name for one in found.servers] == ["dev"]
    assert (found.checks["dev"].status.value, found.to_dict()["command"]) == ("ok", "servers")
    found.raise_for_status()
    with pytest.raises(UsageError):
        ztrust_mail.servers({"stage": "x"})


def test_a_closed_window_is_noted_in_a_plan_and_refuses_every_way_to_write(
    cli: Cli, ztrust_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.set(MAIN_PASSWORD=ztrust_sandbox.options.admin_password)
    monkeypatch.setenv("NEW", "new")
    cli.write("open.toml", f'[servers.main]\nurl = "{ztrust_sandbox.url}"\nusername = "admin"\n')
    cli.write("closed.toml", f"{(cli.folder / 'open.toml').read_text('utf-8')}limits = {{windows = []}}\n")
    auth = "{username: u, password: {env: NEW}}"
    relay = f"{{host: relay.example, auth: {auth}}}"
    cli.write("mail.yaml", f"version: 1\nrealms: {{acme: {{sender: {{address: a@b.example}}, relay: {relay}}}}}\n")
    planned = cli("plan", "mail.yaml", "--config", "closed.toml", "--out", "plan.json")
    assert "note: server `main` may not be written now: no window ever opens; apply then" in planned.out
    assert "may not be written" not in cli("plan", "mail.yaml", "--config", "closed.toml", "--allow", "window").out
    refused = [cli("apply", "mail.yaml", "--config", "closed.toml", "--yes")]
    refused.append(cli("apply", "--plan", "plan.json", "--config", "closed.toml", "--yes"))
    assert not [one for one in ztrust_sandbox.requests if one.method == "PUT"]
    assert cli("apply", "mail.yaml", "--config", "open.toml", "--yes").status == 0
    monkeypatch.setenv("NEW", "newer")
    refused.append(cli("rotate", "env:NEW", "mail.yaml", "--config", "closed.toml", "--canary", "0", "--yes"))
    refused.append(cli("revert", "--config", "closed.toml", "--yes"))
    assert [one.status for one in refused] == [5] * 4
    assert [(one.out + one.err).count("[window]") for one in refused] == [1] * 4
    with pytest.raises(ztrust_mail.Unsafe, match="outside the windows"):
        ztrust_mail.ensure("main", {"acme": {"disabled": True}}, config_path="closed.toml")
    assert len([one for one in ztrust_sandbox.requests if one.method == "PUT"]) == 1
    assert cli("revert", "--config", "closed.toml", "--yes", "--allow", "window").status == 0


def test_a_plan_goes_on_while_another_server_is_broken(cli: Cli, settings: str) -> None:
    cli.write("mail.yaml", "version: 1\nrealms: {acme: {disabled: true}}\n")
    assert cli("plan", "mail.yaml", "--server", "dev").status in (0, 1)
    assert "unknown key" in cli("plan", "mail.yaml", "--server", "broken").err
