"""``presets`` and ``init --preset``; and how pull, init and convert recognise a preset."""

from __future__ import annotations

import json

import pytest
from support.cli import Cli, report_validator

import ztrust_mail
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.providers.presets import all_presets
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.specfile.load import validate_text

LOGIN = {"auth": "true", "user": "apikey", "password": "hunter2"}
SENDGRID = {"from": "a@example.com", "host": "smtp.sendgrid.net", "port": "587", "starttls": "true", **LOGIN}


def test_presets_lists_every_preset_with_host_and_port_within_80_columns(cli: Cli) -> None:
    ran = cli("presets")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [preset.name for preset in all_presets() if f"  {preset.name}" not in ran.out] == []
    assert [line for line in lines if line.split() == ["sendgrid", "smtp.sendgrid.net", "587", "starttls"]]
    assert "  ses-REGION " in ran.out
    assert max(map(len, lines)) <= 80


def test_presets_shows_the_facts_of_one_with_its_sources(cli: Cli) -> None:
    ran = cli("presets", "m365")
    assert ran.status == 0
    for fact in (
        "smtp.office365.com",
        "outlook.office365.com/.default",
        "2026-12-31",
        "[m365-basic-2026-12]",
        "2026-11-29",
    ):
        assert fact in ran.out
    ran = cli("presets", "sendgrid")
    assert "always apikey" in ran.out
    assert "also 2525 starttls, 25 starttls, 465 tls" in ran.out


def test_presets_can_be_read_about_without_a_region(cli: Cli) -> None:
    ran = cli("presets", "ses")
    assert ran.status == 0
    assert "eu-west-1" in ran.out
    assert "1 recipient per second and region (an account in the sandbox)" in ran.out


def test_a_typo_of_a_preset_is_corrected(cli: Cli) -> None:
    ran = cli("presets", "gmial")
    assert ran.status == ExitStatus.USAGE
    assert "unknown preset `gmial`; did you mean `gmail`?" in ran.err


@pytest.mark.parametrize("arguments", [(), ("m365",), ("ses",), ("mailgun-eu",)])
def test_presets_as_json_have_all_facts_by_the_schema(cli: Cli, arguments: tuple[str, ...]) -> None:
    ran = cli("presets", *arguments, "--format", "json")
    document = json.loads(ran.out)
    assert [problem.message for problem in report_validator().iter_errors(document)] == []
    assert len(document["presets"]) == (1 if arguments else len(all_presets()))


def test_the_library_gives_all_presets_or_one() -> None:
    assert ztrust_mail.presets() == all_presets()
    (preset,) = ztrust_mail.presets("ses-eu-west-1")
    assert isinstance(preset, ztrust_mail.Preset)
    assert preset.host == "email-smtp.eu-west-1.amazonaws.com"
    with pytest.raises(UsageError, match="unknown preset `gmial`"):
        ztrust_mail.presets("gmial")


def test_init_writes_a_valid_spec_with_a_preset(cli: Cli) -> None:
    ran = cli("init", "--preset", "sendgrid", "--out", "mail.yaml")
    assert ran.status == 0
    text = (cli.folder / "mail.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server:")
    assert "    preset: sendgrid  " in text
    assert cli("validate", "mail.yaml").status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--preset", "gmial"), "names the unknown preset `gmial`; did you mean `gmail`?"),
        (("--preset", "ses"), "names `ses` without a region"),
        (("--preset", "gmail", "--realm", "acme"), "--realm and --preset exclude each other"),
    ],
)
def test_init_refuses_what_is_no_preset(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    ran = cli("init", *arguments)
    assert ran.status == ExitStatus.USAGE
    assert said in " ".join(ran.err.split())
    assert ran.out == ""


def test_explain_names_the_preset_of_a_value(cli: Cli) -> None:
    spec = "version: 1\nrealms:\n  acme: {relay: {preset: gmail, port: 465}, sender: {address: a@gmail.com}}\n"
    cli.write("mail.yaml", spec)
    lines = cli("explain", "mail.yaml", "acme", "relay").out.splitlines()
    assert [line.split()[-2:] for line in lines if "relay.host" in line] == [["preset", "gmail"]]
    assert [line.split()[-1] for line in lines if "relay.port" in line] == ["mail.yaml:3:39"]
    of_the_preset = cli("explain", "mail.yaml", "acme", "relay.preset").out
    assert [line.split()[0] for line in of_the_preset.splitlines()[1:]] == ["relay.host", "relay.security"]
    document = json.loads(cli("explain", "mail.yaml", "acme", "--format", "json").out)
    assert [problem.message for problem in report_validator().iter_errors(document)] == []
    named = {row["field"]: row.get("preset") for row in document["settings"]}
    assert (named["relay.host"], named["relay.port"], named["relay.security"]) == ("gmail", None, "gmail")


def test_pull_names_the_preset_and_a_plan_of_the_spec_has_no_change(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.edit_smtp("acme", SENDGRID)
    sandbox.edit_smtp("globex", {**SENDGRID, "port": "2525"})
    pulled = cli("pull", "--realm", "acme", "--realm", "globex", "--out", "mail.yaml")
    assert pulled.status == 0
    text = (cli.folder / "mail.yaml").read_text("utf-8")
    assert text.count("preset: sendgrid") == 1
    assert "host: smtp.sendgrid.net" in text
    assert cli("plan", "mail.yaml").status == 0
    assert "preset: sendgrid" in cli("init", "--realm", "acme").out


def test_pull_moves_the_preset_into_the_defaults(cli: Cli, sandbox: Sandbox) -> None:
    for realm in ("acme", "globex"):
        sandbox.edit_smtp(realm, SENDGRID)
    assert cli("pull", "--factor", "--realm", "acme", "--realm", "globex", "--out", "mail.yaml").status == 0
    text = (cli.folder / "mail.yaml").read_text("utf-8")
    assert text.index("preset: sendgrid") < text.index("realms:")
    assert not [key for key in ("host:", "port:", "security:") if key in text]
    assert cli("plan", "mail.yaml").status == 0


def test_convert_writes_a_preset_and_reads_one(cli: Cli) -> None:
    cli.write("realm.json", json.dumps({"realm": "acme", "smtpServer": {**SENDGRID, "password": "**********"}}))
    converted = cli("convert", "--from", "realm-export", "--to", "spec", "realm.json").out
    assert "preset: sendgrid" in converted
    assert [found for found in validate_text(converted, {}) if found.rule != "no-version"] == []
    cli.write("mail.yaml", converted)
    back = json.loads(cli("convert", "--from", "spec", "--to", "realm-export", "mail.yaml").out)
    assert back["smtpServer"]["host"] == "smtp.sendgrid.net"
    assert back["smtpServer"]["port"] == "587"


def test_a_saved_plan_holds_the_values_of_a_preset(cli: Cli, sandbox: Sandbox) -> None:
    spec = "version: 1\nrealms:\n  acme: {relay: {preset: mailhog}, sender: {address: a@example.com}}\n"
    cli.write("mail.yaml", spec)
    assert cli("plan", "mail.yaml", "--out", "plan.json").status == ExitStatus.DIFFERS
    saved = (cli.folder / "plan.json").read_text("utf-8")
    assert "localhost" in saved
    assert "mailhog" not in saved
