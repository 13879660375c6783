"""Stages at the command line: servers of the settings, their variables, --var, and the comparison of two servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli

from ztrust_mail import aio, api, connect
from ztrust_mail.core.errors import ServerError
from ztrust_mail.reports.report import OutputFormat
from ztrust_mail.sandbox import Sandbox, SandboxOptions

SPEC = """
version: 1
defaults:
  sender: {address: "no-reply@{domain}", name: "{server}"}
  relay: {host: "smtp.{domain}", auth: {username: apikey, password: {env: "SMTP_{server}"}}}
realms:
  acme: {}
  globex: {}
"""
PROD = """
version: 1
servers: {stage: prod}
overlay: true
realms: {acme: {sender: {name: Acme}}}
"""
PLAY = "globex: {servers: dev}"
SURE = ("--yes", "--allow", "all")


@pytest.fixture(name="stages")
def stages_fixture(cli: Cli) -> Iterator[dict[str, Sandbox]]:
    """Two servers of a settings file that the user names; ``dev`` has one realm more."""
    options = {"dev": ("acme", "globex", "play"), "prod": ("acme", "globex")}
    with Sandbox(SandboxOptions(realms=options["dev"])) as dev, Sandbox(SandboxOptions(realms=options["prod"])) as prod:
        found = {"dev": dev, "prod": prod}
        text = "".join(
            f'[servers.{name}]\nurl = "{one.url}"\nusername = "admin"\npassword = "admin"\n'
            f'labels = {{ stage = "{name}" }}\nvars = {{ domain = "{name}.example" }}\n'
            for name, one in found.items()
        )
        cli.write("settings.toml", text)
        cli.write("mail.yaml", SPEC)
        cli.set(CONFIG="settings.toml")
        for name in found:
            cli.monkeypatch.setenv(f"SMTP_{name.upper()}", f"{name}-password")
        yield found


def test_one_spec_is_applied_to_two_servers_with_the_variables_of_each(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("prod.yaml", PROD)
    for name in stages:
        assert cli("apply", "mail.yaml", "prod.yaml", "--server", name, *SURE).status == 0
    shown = {name: one.smtp("acme") for name, one in stages.items()}
    assert [shown[name]["from"] for name in stages] == ["no-reply@dev.example", "no-reply@prod.example"]
    assert [shown[name]["fromDisplayName"] for name in stages] == ["dev", "Acme"]
    assert [one.smtp("acme")["password"] for one in stages.values()] == ["dev-password", "prod-password"]


def test_a_variable_that_is_missing_on_one_server_stops_only_it_and_before_any_request(
    cli: Cli, stages: dict[str, Sandbox]
) -> None:
    text = Path("settings.toml").read_text(encoding="utf-8")
    Path("settings.toml").write_text(text.replace('vars = { domain = "prod.example" }\n', ""), encoding="utf-8")
    ran = cli("apply", "mail.yaml", "--server", "prod", *SURE)
    assert ran.status == 2
    assert "server `prod` has no variable `domain`" in ran.err
    assert "mail.yaml:4:21" in ran.err
    assert len(stages["prod"].requests) == 0
    assert cli("plan", "mail.yaml", "--server", "dev").status in (1, 5)
    assert cli("plan", "mail.yaml", "--server", "prod", "--var", "domain=x.example").status in (1, 5)


def test_a_saved_plan_has_what_was_filled_in_and_is_applied_as_reviewed(cli: Cli, stages: dict[str, Sandbox]) -> None:
    made = cli(
        "plan", "mail.yaml", "--server", "prod", "--var", "domain=x.example", "--out", "p.json", "--allow", "all"
    )
    assert made.status == 1
    assert "--var" not in made.out.rpartition("Apply it with")[2]
    assert json.loads(Path("p.json").read_text(encoding="utf-8"))["filled"] == {"domain": "x.example", "server": "prod"}
    assert "Filled in: domain=x.example, server=prod" in cli("show", "p.json").out
    assert cli("apply", "--plan", "p.json", "--server", "prod", *SURE).status == 0
    assert stages["prod"].smtp("acme")["host"] == "smtp.x.example"
    altered = Path("p.json").read_text(encoding="utf-8").replace('"domain": "x.example"', '"domain": "y.example"')
    Path("p.json").write_text(altered, encoding="utf-8")
    assert "altered" in cli("show", "p.json").err


def test_a_saved_plan_is_applied_as_reviewed_with_a_warning_where_a_variable_changed(
    cli: Cli, stages: dict[str, Sandbox]
) -> None:
    assert cli("plan", "mail.yaml", "--server", "prod", "--out", "p.json", "--allow", "all").status == 1
    for options in (("--server", "prod"), ("--server", stages["prod"].url)):
        assert "plan-other-variables" not in cli("apply", "--plan", "p.json", *options, typed="n\n").out
    text = Path("settings.toml").read_text(encoding="utf-8").replace('"prod.example"', '"new.example"')
    Path("settings.toml").write_text(text, encoding="utf-8")
    ran = cli("apply", "--plan", "p.json", "--server", "prod", *SURE)
    assert ran.status == 0
    assert ran.out.count("other variables than the server has: domain=prod.example (now new.example)") == 1
    assert stages["prod"].smtp("acme")["host"] == "smtp.prod.example"


def test_a_run_is_not_resumed_with_other_variables(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.monkeypatch.delenv("SMTP_PROD")
    assert cli("apply", "mail.yaml", "--server", "prod", *SURE).status == 4
    cli.monkeypatch.setenv("SMTP_PROD", "prod-password")
    other = cli("apply", "mail.yaml", "--server", "prod", "--var", "domain=x.example", "--resume", *SURE)
    assert (other.status, "the spec changed since run 1" in other.err) == (5, True)
    assert cli("apply", "mail.yaml", "--server", "prod", "--resume", *SURE).status == 0


def test_a_change_of_a_label_that_chooses_entries_changes_the_digest(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("prod.yaml", PROD)
    loaded = api.load_spec(["mail.yaml", "prod.yaml"])
    before = api.spec_digest(api.fit_spec(loaded, "prod"))
    text = Path("settings.toml").read_text(encoding="utf-8").replace('stage = "prod"', 'stage = "test"')
    Path("settings.toml").write_text(text, encoding="utf-8")
    assert api.spec_digest(api.fit_spec(loaded, "prod")) != before


def test_validate_and_explain_take_a_server_of_the_settings_and_send_nothing(
    cli: Cli, stages: dict[str, Sandbox]
) -> None:
    cli.write("prod.yaml", PROD)
    assert cli("validate", "mail.yaml", "prod.yaml").out.startswith("Valid: 2 realms")
    assert cli("validate", "mail.yaml", "prod.yaml", "--server", "prod").status == 0
    shown = cli.json("explain", "mail.yaml", "prod.yaml", "acme", "--server", "prod")
    settings = {row["field"]: row for row in shown["settings"]}
    assert settings["relay.host"]["variables"] == [
        {"name": "domain", "value": "prod.example", "origin": "server `prod`"}
    ]
    assert settings["sender.name"]["origin"].startswith("prod.yaml:")
    assert len(shown["overlays"]) == 1
    assert "depend on the server" in cli("explain", "mail.yaml", "prod.yaml", "acme").err
    assert cli("explain", "mail.yaml", "acme").status == 4
    assert [len(one.requests) for one in stages.values()] == [0, 0]


def test_an_entry_of_other_servers_is_not_covered(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("mail.yaml", SPEC.replace("globex: {}", "globex: {servers: dev}"))
    assert cli.json("drift", "mail.yaml", "--server", "prod")["uncovered"] == ["globex", "master"]
    assert "the one at mail.yaml:8:3 is for other servers: dev" in cli(
        "explain", "mail.yaml", "globex", "--server", "prod"
    ).err  # fmt: skip
    assert [row["realm"] for row in cli.json("plan", "mail.yaml", "--server", "prod")["realms"]] == ["acme"]


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        ("prdo", "is for `prdo`, and the settings have no such server; did you mean `prod`?"),
        ("[prod, dve]", "is for `dve`"),
        ("{stage: live}", "is for `stage=live`"),
        ("prod", ""),
        ('["d*", prod]', ""),
    ],
)
def test_validate_warns_of_servers_that_the_settings_do_not_have(
    cli: Cli, stages: dict[str, Sandbox], servers: str, said: str
) -> None:
    cli.write("mail.yaml", SPEC.replace("globex: {}", f"globex: {{servers: {servers}}}"))
    ran = cli("validate", "mail.yaml")
    assert (ran.status, "[unknown-server]" in ran.out) == (0, bool(said))
    assert said in ran.out


def test_what_is_for_certain_servers_is_never_left_out_in_silence(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("mail.yaml", SPEC.replace("{domain}", "x.example").replace("{server}", "s").replace("globex: {}", PLAY))
    ran = cli("convert", "mail.yaml", "--from", "spec", "--to", "realm-export")
    assert "left out the entry `globex`: it is for certain servers; name the server: --server NAME" in ran.err
    for command in (("explain", "mail.yaml", "acme"), ("probe", "--spec", "mail.yaml", "acme")):
        ran = cli(*command)
        assert (ran.status, "settings depend on the server" in ran.err) == (2, True), ran


def test_convert_fills_in_a_server_of_the_settings_and_sends_nothing(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("mail/mail.yaml", SPEC.replace("globex: {}", PLAY))
    cli.write("mail/prod.yaml", PROD)
    command = ("convert", "mail", "--from", "spec", "--to", "keycloak-config-cli")
    assert "`sender.address` uses `{domain}`, which depends on the server" in cli(*command).err
    shown = {name: cli(*command, "--server", name) for name in stages}
    assert [one.status for one in shown.values()] == [0, 0]
    assert ("realm: globex" in shown["dev"].out, "realm: globex" in shown["prod"].out) == (True, False)
    for name, sender in (("dev", "dev"), ("prod", "Acme")):
        for text in (f"from: no-reply@{name}.example", f"fromDisplayName: {sender}", f"$(env:SMTP_{name.upper()})"):
            assert text in shown[name].out.replace('"', "")
        assert "certain servers" not in shown[name].err
    given = cli(*command, "--server", "prod", "--var", "domain=x.example")
    assert (given.status, "smtp.x.example" in given.out) == (0, True)
    assert [len(one.requests) for one in stages.values()] == [0, 0]


def test_a_spec_is_warned_of_two_servers_whose_names_give_the_same_variables(
    cli: Cli, stages: dict[str, Sandbox]
) -> None:
    text = Path("settings.toml").read_text(encoding="utf-8") + '[servers.Prod]\nurl = "https://id.example.com"\n'
    Path("settings.toml").write_text(text, encoding="utf-8")
    command = ("mail.yaml", "--server", "prod", "--format", "json")
    for name in ("validate", "plan", "drift"):
        rules = [one["rule"] for one in cli(name, *command).json["findings"]]
        assert rules.count("shared-variables") == 1, name
    assert "[shared-variables]" in cli("convert", "mail.yaml", "--from", "spec", "--to", "ansible", *command[1:3]).err


def test_a_sheet_names_the_server_that_the_spec_was_converted_for(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("mail.yaml", SPEC.replace("version: 1", "version: 1\nserver: [dev, prod]"))
    sheet = ("convert", "mail.yaml", "--from", "spec", "--to", "oneaccess", "--as", "text")
    assert "# Server: prod\n" in cli(*sheet, "--server", "prod", "--realm", "acme").out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "realm-export", "--to", "spec", "--server", "prod"), "--var and --server are for a spec as input"),
        (("--from", "realm-export", "--to", "spec", "--var", "a=b"), "--var and --server are for a spec as input"),
        (("--from", "spec", "--to", "keycloak", "--server", "prdo"), "did you mean `prod`?"),
        (("--from", "spec", "--to", "keycloak", "--var", "domain"), "has no `=`"),
        (("--from", "spec", "--to", "keycloak", "--out", "settings.toml", "--force"), "the command reads this file"),
    ],
)
def test_convert_refuses_a_server_or_variable_that_cannot_be_meant(
    cli: Cli, stages: dict[str, Sandbox], options: tuple[str, ...], said: str
) -> None:
    ran = cli("convert", "mail.yaml", "--config", "settings.toml", *options)
    assert (ran.status, said in ran.err) == (2, True), ran.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--var", "domain"], "has no `=`"),
        (["--var", "domain=a", "--var", "domain=b"], "given twice"),
        (["--var", "server=prod"], "choose it by --server"),
        (["--var", "Domain=a"], "cannot be the name of a variable"),
        (["--var", "domain=a\nb"], "has a text that a spec cannot have"),
        (["--var", "domain="], "has a text that a spec cannot have"),
    ],
)
def test_a_wrong_variable_is_refused(cli: Cli, stages: dict[str, Sandbox], given: list[str], said: str) -> None:
    ran = cli("plan", "mail.yaml", "--server", "prod", *given)
    assert (ran.status, said in ran.err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        ("explain", "mail.yaml", "acme"),
        ("lint", "mail.yaml"),
        ("history",),
        ("revert",),
        ("diff", "1", "2"),
    ],
)
def test_a_command_for_one_server_refuses_two(cli: Cli, stages: dict[str, Sandbox], command: tuple[str, ...]) -> None:
    ran = cli(*command, "--server", "dev", "--server", "prod")
    assert ran.status == 2
    assert f"--server was given 2 times (dev, prod), but `{command[0]}` works on one" in ran.err
    assert "ztrust-mail compare --server dev --server prod" in ran.err
    assert [len(one.requests) for one in stages.values()] == [0, 0]


def test_compare_shows_what_differs_in_the_words_of_plan(cli: Cli, stages: dict[str, Sandbox]) -> None:
    for name in stages:
        assert cli("apply", "mail.yaml", "--server", name, *SURE).status == 0
    ran = cli("compare", "--server", "dev", "--server", "prod")
    assert ran.status == 1
    assert "2 realms (acme and globex): the same 4 changes" in ran.out
    assert "~ relay.host (Host)" in ran.out
    assert "smtp.dev.example → smtp.prod.example" in ran.out
    assert "another secret" in ran.out
    assert "play\n    only on dev" in ran.out
    assert "Compare: 2 realms different, 1 only on dev, 1 the same." in ran.out
    assert cli("compare", "--server", "prod", "--server", "dev", "--realm", "master").status == 0
    found = cli.json("compare", "mail.yaml", "--server", "dev", "--server", "prod")
    assert {row["realm"]: row["status"] for row in found["realms"]} == {"acme": "changed", "globex": "changed"}
    assert found["compare"]["to"] == {"name": "prod", "url": stages["prod"].url}


def test_compare_says_which_secrets_it_cannot_compare(cli: Cli, stages: dict[str, Sandbox]) -> None:
    stored = {"from": "a@b.example", "host": "h", "auth": "true", "user": "u", "password": "stored-by-hand"}
    for one in stages.values():
        one.edit_smtp("acme", stored)
    ran = cli("compare", "--server", "dev", "--server", "prod", "--realm", "acme")
    assert (ran.status, "1 the same. Passwords not compared: 1 realm." in ran.out) == (0, True)
    assert cli.json("compare", "--server", "dev", "--server", "prod", "--realm", "acme")["realms"][0]["secrets"] == {
        "relay.auth.password": "unknown"
    }


def test_compare_reads_a_realm_of_the_spec_on_both_servers(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("mail.yaml", SPEC.replace("globex: {}", PLAY))
    found = cli.json("compare", "mail.yaml", "--server", "dev", "--server", "prod")
    assert [(row["realm"], row["status"], "only" in row) for row in found["realms"]] == [
        ("acme", "in_sync", False),
        ("globex", "in_sync", False),
    ]


def test_compare_does_not_take_a_missing_list_for_missing_realms(cli: Cli, stages: dict[str, Sandbox]) -> None:
    stages["prod"].create_user("master", "guest", "guest", email="guest@example.com")
    text = Path("settings.toml").read_text(encoding="utf-8")
    dev, mark, prod = text.partition("[servers.prod]")
    Path("settings.toml").write_text(dev + mark + prod.replace('"admin"', '"guest"'), encoding="utf-8")
    ran = cli("compare", "--server", "dev", "--server", "prod")
    assert ran.status != 0
    assert "only on" not in ran.out


@pytest.mark.parametrize("format", OutputFormat)
def test_compare_writes_every_format(cli: Cli, stages: dict[str, Sandbox], format: OutputFormat) -> None:
    ran = cli("compare", "--server", "dev", "--server", "prod", "--format", format.value)
    assert ran.status == 1
    assert "play" in ran.out


def test_compare_needs_two_different_servers_that_can_be_reached(cli: Cli, stages: dict[str, Sandbox]) -> None:
    assert "not 1" in cli("compare", "--server", "dev").err
    assert "both servers are" in cli("compare", "--server", "dev", "--server", stages["dev"].url).err
    assert cli("compare", "--server", "dev", "--server", "prod", "--realm", "nobody-*").status == 0
    stages["prod"].stop()
    stopped = cli("compare", "--server", "dev", "--server", "prod")
    assert (stopped.status, stages["prod"].url in stopped.err) == (3, True)


def test_the_library_compares_two_sessions(cli: Cli, stages: dict[str, Sandbox]) -> None:
    with connect("dev", config_path="settings.toml") as dev, connect("prod", config_path="settings.toml") as prod:
        found = api.compare(dev, prod)
        assert [realm.realm for realm in found.realms if realm.is_different] == ["play"]
        assert found.to_dict()["command"] == "compare"
        assert aio.compare is not None
        stages["dev"].stop()
        with pytest.raises(ServerError):
            api.compare(dev, prod)


LINTED = """
version: 1
servers: {stage: prod}
overlay: true
realms:
  acme:
    relay:
      host: relay.prod.example
      port: 25
"""


def test_lint_runs_on_the_spec_as_the_server_has_it(cli: Cli, stages: dict[str, Sandbox]) -> None:
    files = (cli.write("mail.yaml", SPEC), cli.write("prod.yaml", LINTED))

    def found(*options: str) -> list[tuple[str, str]]:
        report = cli.json("lint", *files, "--select", "port-25,login-not-inherited", *options)
        return [(one["rule"], f"{one['path']}:{one['line']}") for one in report["findings"]]

    host, port = ("login-not-inherited", "prod.yaml:8"), ("port-25", "prod.yaml:9")
    assert found("--server", "dev") == []
    assert found("--server", "prod") == [host, port]
    assert found() == [port]
    cli.write(
        "prod.yaml",
        LINTED.replace("relay.prod.example", "relay.prod.example # ztrust-mail: ignore[login-not-inherited]"),
    )
    assert found("--server", "prod") == [port]


def test_what_one_server_does_not_find_is_neither_fixed_nor_an_unused_comment(
    cli: Cli, stages: dict[str, Sandbox]
) -> None:
    spec = LINTED.replace("prod.example", "prod.example # ztrust-mail: ignore[login-not-inherited]")
    files = (cli.write("mail.yaml", SPEC), cli.write("prod.yaml", spec))
    baseline = ("--baseline", "known.json")
    assert cli("lint", *files, "--server", "prod", *baseline, "--write-baseline").status == 0
    for options in ((), ("--server", "dev"), ("--server", "prod")):
        report = cli.json("lint", *files, *options, *baseline)
        assert [one["rule"] for one in report["findings"]] == []


def test_an_entry_that_stands_for_several_servers_is_one_entry_in_a_finding(
    cli: Cli, stages: dict[str, Sandbox]
) -> None:
    cli.write(
        "mail.yaml",
        SPEC.replace('"smtp.{domain}", auth', '"smtp.{domain}", port: 25, auth').replace(
            "globex: {}", "globex: {relay: {port: 587}}"
        ),
    )
    cli.write("prod.yaml", PROD)
    (found,) = cli.json("lint", "mail.yaml", "prod.yaml", "--select", "port-25")["findings"]
    assert (found["realm"], "entries" in found["message"]) == ("acme", False)


def test_lint_and_check_take_variables(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("mail.yaml", SPEC.replace("{domain}", "{elsewhere}"))
    lint = ("lint", "mail.yaml", "--server", "prod")
    check = ("check", "--for", "m365-oauth", "--spec", "mail.yaml", "--server", "prod")
    for command in (lint, check):
        ran = cli(*command)
        assert (ran.status, "unknown placeholder `{elsewhere}`" in ran.out + ran.err) == (2, True)
        assert cli(*command, "--var", "elsewhere=x.example").status != 2
    assert "--var needs a spec" in cli("check", "--for", "m365-oauth", "--server", "prod", "--var", "a=b").err


def test_check_and_probe_jobs_are_for_the_realms_of_the_server(cli: Cli, stages: dict[str, Sandbox]) -> None:
    cli.write("mail.yaml", SPEC.replace("globex: {}", PLAY))
    job = cli("probe", "--spec", "mail.yaml", "--as", "kubernetes-job", "--server", "dev")
    assert "smtp.dev.example" in job.out
    cli.write("mail.yaml", SPEC.replace("globex: {}", PLAY).replace('"smtp.{domain}"', "127.0.0.1, port: 1"))
    check = ("check", "--for", "starttls", "--spec", "mail.yaml")
    assert "depend on the server" in cli(*check).err
    realms = {name: [row["realm"] for row in cli.json(*check, "--server", name)["realms"]] for name in stages}
    assert realms == {"dev": ["acme", "globex"], "prod": ["acme"]}
