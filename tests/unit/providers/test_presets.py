"""Presets: the data is as its schema says, every fact has a source, and names lead to one provider."""

from __future__ import annotations

import json
from datetime import date
from importlib import resources

import jsonschema
import pytest
import yaml

from ztrust_mail.core.data import load_schema, schema_text
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import has_errors
from ztrust_mail.model.fields import Kind, Security
from ztrust_mail.model.values import parse
from ztrust_mail.providers.example import example_presets, example_spec
from ztrust_mail.providers.presets import (
    ProviderKind,
    UsernameRule,
    all_presets,
    explain_unknown,
    find_preset,
    look_up,
    preset_names,
    provider_of,
    recognise_preset,
)
from ztrust_mail.specfile.load import validate_text

DATA = yaml.safe_load((resources.files("ztrust_mail") / "data" / "presets.yaml").read_text("utf-8"))
FACTS = {"host", "regions", "ports", "login", "sender", "spf", "limits", "oauth", "deprecations", "remarks"}
WANTED = {
    *("gmail", "google-workspace-relay", "m365", "outlook", "ses-eu-west-1", "sendgrid", "mailgun", "mailgun-eu"),
    *("postmark", "sparkpost", "sparkpost-eu", "mailjet", "brevo", "zoho", "icloud", "fastmail", "mailtrap", "resend"),
    *("yahoo", "mailpit", "mailhog", "greenmail"),
}
NAMES = list(preset_names())


def test_the_data_is_as_its_schema_says() -> None:
    data = json.loads(json.dumps(DATA, default=date.isoformat))
    schema = jsonschema.Draft202012Validator(json.loads(schema_text("presets")))
    assert [f"{problem.json_path}: {problem.message}" for problem in schema.iter_errors(data)] == []


def test_the_providers_that_people_use_have_presets() -> None:
    assert set(NAMES) >= WANTED


@pytest.mark.parametrize("name", DATA)
def test_every_fact_of_a_preset_has_a_source_and_no_source_names_a_fact_that_is_missing(name: str) -> None:
    sourced = {fact for source in DATA[name]["sources"] for fact in source["facts"]}
    assert FACTS & DATA[name].keys() == sourced


@pytest.mark.parametrize("name", DATA)
def test_every_source_has_the_day_it_was_read(name: str) -> None:
    assert all(source["read"] >= date(2026, 11, 28) for source in DATA[name]["sources"])


@pytest.mark.parametrize("name", NAMES)
def test_every_name_finds_a_preset_with_a_whole_host_and_a_port_of_its_security(name: str) -> None:
    preset = find_preset(name)
    assert preset
    assert preset.name == name
    assert parse(Kind.HOST, preset.host) == preset.host
    assert preset.port_for(preset.security) == preset.port
    assert preset.security_of(preset.port) is preset.security
    assert provider_of(preset.host.upper()) == ("" if preset.host == "localhost" else base(name))


def base(name: str) -> str:
    return max((one for one in DATA if name == one or name.startswith(f"{one}-")), key=len)


def test_two_services_never_share_a_host() -> None:
    hosts = [p.host for name in NAMES if (p := find_preset(name)) and p.kind is not ProviderKind.DEVELOPMENT]
    assert len(hosts) == len(set(hosts))


def test_a_region_is_a_part_of_the_name() -> None:
    assert look_up("ses-eu-west-1").host == "email-smtp.eu-west-1.amazonaws.com"
    assert look_up("mailgun").host == look_up("mailgun-us").host == "smtp.mailgun.org"
    assert look_up("mailgun-us").name == "mailgun"
    assert look_up("mailgun-eu").host == "smtp.eu.mailgun.org"
    assert look_up("zoho-personal-au").host == "smtp.zoho.com.au"


def test_a_preset_that_needs_a_region_can_be_read_about_and_not_used_without_one() -> None:
    assert find_preset("ses") is None
    assert look_up("ses").needs_region
    problem, hint = explain_unknown("ses")
    assert problem == "names `ses` without a region"
    assert "`ses-us-east-1`" in hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gmial", "did you mean `gmail`?"),
        ("ses-eu-wset-1", "did you mean `ses-eu-west-1`?"),
        ("ses-mars", "its regions: ztrust-mail presets ses; for another server, write relay.host"),
        ("nothing-like-it", "all presets: ztrust-mail presets; for another server, write relay.host"),
        ("", "all presets: ztrust-mail presets; for another server, write relay.host"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one_or_the_command_that_lists_all(name: str, hint: str) -> None:
    assert explain_unknown(name)[1] == hint
    with pytest.raises(UsageError, match="unknown preset"):
        look_up(name)


def test_a_relay_is_recognised_by_exactly_the_values_of_a_preset() -> None:
    def name(host: str, port: int, security: Security) -> str:
        found = recognise_preset(host, port, security)
        return found.name if found else ""

    assert name("smtp.gmail.com", 587, Security.STARTTLS) == "gmail"
    assert name("smtp.eu.mailgun.org", 587, Security.STARTTLS) == "mailgun-eu"
    assert name("email-smtp.sa-east-1.amazonaws.com", 587, Security.STARTTLS) == "ses-sa-east-1"
    assert name("SMTP.gmail.com", 587, Security.STARTTLS) == ""
    assert name("smtp.gmail.com", 465, Security.TLS) == ""
    assert name("smtp.gmail.com", 587, Security.NONE) == ""
    assert name("localhost", 3025, Security.NONE) == "", "localhost may be anything"


def test_the_provider_of_a_host_is_known_for_regions_without_a_preset_too() -> None:
    assert provider_of("email-smtp.mx-central-1.amazonaws.com") == "ses"
    assert provider_of("smtp-relay.gmail.com.") == "google-workspace-relay"
    assert provider_of("mail.example.com") == provider_of("") == provider_of("evil-smtp.gmail.com.example") == ""


def test_what_is_turned_off_has_an_id_of_its_own_and_a_day() -> None:
    old = [one for preset in all_presets() for one in preset.deprecations]
    assert ("m365-basic-2026-12", date(2026, 12, 31)) in [(one.id, one.date) for one in old]
    assert len({one.id for one in old}) == len(old)


def test_a_secret_has_a_variable_for_examples_and_a_fixed_user_name_is_named() -> None:
    for preset in all_presets():
        login = preset.login
        assert bool(login.secret) == bool(login.variable) == (login.username_rule is not UsernameRule.NONE), preset.name
        assert bool(login.username) == (login.username_rule is UsernameRule.FIXED), preset.name


@pytest.mark.parametrize("preset", list(example_presets()), ids=lambda preset: str(preset.name))
def test_the_example_of_a_preset_is_valid_and_has_its_secret_as_a_reference(preset) -> None:
    text = example_spec(preset)
    findings = validate_text(text, {})
    assert not has_errors(findings), findings
    assert [one for one in findings if one.rule != "clear-text-login"] == []
    assert text.count("{env: ") == (preset.login.username_rule is not UsernameRule.NONE)
    assert all(len(line) <= 120 and line == line.rstrip() for line in text.splitlines())


def test_the_schema_of_specs_suggests_every_name() -> None:
    schema = load_schema("spec")
    relay = json.loads(json.dumps(schema))["$defs"]["relay"]["properties"]
    assert relay["preset"]["examples"] == NAMES, "schemas/spec.schema.json"
