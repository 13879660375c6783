"""States of Terraform and the output of ``terraform show -json``: every value is resolved, and no secret is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import Cli
from support.results import rules

from ztrust_mail.convert import FORMATS
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import LOGIN, PASSWORD, PORT, SECURITY, TOKEN_CLIENT_SECRET, USERNAME, Login, Security

FILES = Path(__file__).parent / "files"
CANARY = "hunter2-canary"
STATE, SHOWN, PLANNED = "terraform.tfstate", "terraform-show.json", "terraform-plan.json"
RECORDED = (STATE, SHOWN, PLANNED)
TERRAFORM = FORMATS["terraform"]


def recorded(name: str) -> Any:
    return json.loads((FILES / name).read_text(encoding="utf-8"))


def read(folder: Path, content: object, name: str = "a.json"):
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return TERRAFORM.read(str(path))


@pytest.mark.parametrize("name", RECORDED)
def test_realms_of_modules_and_of_for_each_are_read_with_their_values_resolved(name: str) -> None:
    found = TERRAFORM.read(str(FILES / name))
    assert list(found.realms) == ["acme", "globex", "initech"]
    acme, globex = found.realms["acme"], found.realms["globex"]
    assert acme["relay.host"] == "smtp.acme.example"
    assert acme["sender.address"] == "no-reply@acme.example"
    assert (acme[SECURITY], acme[LOGIN]) == (Security.STARTTLS, Login.BASIC)
    assert acme.get(PORT) == (None if name == PLANNED else 587)  # a plan does not know it yet
    assert (globex[SECURITY], globex[LOGIN], globex["relay.utf8"]) == (Security.TLS, Login.TOKEN, True)
    assert globex[USERNAME] == "mailer@globex.example"
    assert [f.realm for f in found.findings if f.rule == "nothing-said"] == ["silent"]
    assert all(f.location and f.location.line > 1 for f in found.findings)


@pytest.mark.parametrize("name", RECORDED)
def test_sensitive_values_are_not_taken_along(name: str) -> None:
    found = TERRAFORM.read(str(FILES / name))
    assert CANARY not in repr(found)
    assert "apikey" not in repr(found)
    assert found.realms["acme"][PASSWORD] == SecretRef(SecretKind.ENV, ("SMTP_PASSWORD_ACME",))
    secret = SecretRef(SecretKind.ENV, ("SMTP_CLIENT_SECRET_GLOBEX",))
    assert found.realms["globex"][TOKEN_CLIENT_SECRET] == secret
    assert USERNAME not in found.realms["acme"]
    assert [f.message for f in found.findings if f.field == USERNAME] == ["`username` is marked as sensitive"]


@pytest.mark.parametrize("name", RECORDED)
def test_what_a_state_hides_or_a_plan_does_not_know_is_a_place_to_complete(name: str, cli: Cli) -> None:
    ran = cli("convert", "--from", "terraform", "--to", "spec", str(FILES / name))
    assert ran.status == 1
    assert "        # complete: username: `username` is marked as sensitive\n" in ran.out
    port = "      # complete: port: `port` is known only after Terraform's apply\n"
    assert (port in ran.out) is (name == PLANNED)
    assert CANARY not in ran.out + ran.err


def test_a_block_or_a_realm_that_a_plan_does_not_know_is_not_guessed(tmp_path: Path) -> None:
    plan = recorded(PLANNED)
    changes = {change["address"]: change["change"]["after_unknown"] for change in plan["resource_changes"]}
    changes["keycloak_realm.acme"]["smtp_server"] = True
    globex = 'module.tenant["globex"].keycloak_realm.realm[0]'
    changes[globex]["realm"] = True
    found = read(tmp_path, plan)
    assert list(found.realms) == ["initech"]
    assert [one.name for one in found.unnamed] == ["(known after apply)"]
    assert "unknown until the plan is applied" in str([f.message for f in found.findings if f.realm == "acme"])


@pytest.mark.parametrize("whole", ["state", "shown"])
def test_a_block_that_is_sensitive_as_a_whole_gives_no_value(whole: str, tmp_path: Path) -> None:
    content = recorded(STATE if whole == "state" else SHOWN)
    if whole == "state":
        resource = content["resources"][0]
        resource["instances"][0]["sensitive_attributes"] = [[{"type": "get_attr", "value": "smtp_server"}]]
    else:
        content["values"]["root_module"]["resources"][0]["sensitive_values"] = {"smtp_server": True}
    found = read(tmp_path, content)
    assert "acme.example" not in repr(found.realms.get("acme"))
    hidden = {f.field for f in found.findings if f.realm == "acme" and "marked as sensitive" in f.message}
    assert {"relay.host", "sender.address", "reply_to.address", USERNAME} <= hidden


def test_data_sources_deposed_objects_and_other_types_are_no_realms(tmp_path: Path) -> None:
    state = recorded(STATE)
    first, second = state["resources"][0], state["resources"][2]
    first["mode"] = "data"
    second["instances"].append({**second["instances"][0], "deposed": "a1b2c3d4"})
    state["resources"].append({**first, "mode": "managed", "type": "keycloak_user"})
    found = read(tmp_path, state)
    assert list(found.realms) == ["globex", "initech"]
    assert "defined-twice" not in rules(found)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"version": 3, "terraform_version": "0.11.14", "modules": []}, "format version 3; version 4 can be read"),
        ({"version": 5, "terraform_version": "9.0.0", "resources": []}, "format version 5; version 4 can be read"),
        ({"format_version": "2.0", "values": {}}, "format version 2.0; versions 0 and 1 can be read"),
        ({"realm": "acme", "smtpServer": {}}, "neither a state, nor output of terraform show -json"),
    ],
)
def test_json_of_another_version_or_kind_is_refused_with_the_reason(content: object, says: str, cli: Cli) -> None:
    cli.write("a.json", json.dumps(content))
    ran = cli("convert", "--from", "terraform", "--to", "spec", "a.json")
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err
    assert "[unknown-format]" in ran.err


def test_a_newer_schema_of_the_provider_is_read_with_a_warning(tmp_path: Path) -> None:
    state = recorded(STATE)
    state["resources"][0]["instances"][0]["schema_version"] = 1
    found = read(tmp_path, state)
    assert "acme" in found.realms
    assert "unknown-format" in rules(found)


def test_json_is_recognised_on_standard_input_and_under_any_name(cli: Cli) -> None:
    text = (FILES / SHOWN).read_text(encoding="utf-8")
    shown = cli("convert", "--from", "terraform", "--to", "realm-export", "-", stdin=text)
    cli.write("state.tf", text)
    named = cli("convert", "--from", "terraform", "--to", "realm-export", "state.tf")
    assert shown.out == named.out
    assert shown.status == named.status == 0
    hcl = cli("convert", "--from", "terraform", "--to", "realm-export", "-", stdin='resource "a" "b" {}\n')
    assert "no e-mail settings of a realm found" in hcl.err


def test_a_configuration_in_json_is_read_like_one_in_terraforms_language(tmp_path: Path) -> None:
    block = {
        "host": "h",
        "from": "a@b.example",
        "port": "${var.port}",
        "auth": {"username": "u", "password": "${var.pw}"},
    }
    content = {"resource": {"keycloak_realm": {"x": [{"realm": "acme", "smtp_server": [block]}]}}, "variable": {}}
    found = read(tmp_path, content, "main.tf.json")
    assert found.realms["acme"][PASSWORD] == SecretRef(SecretKind.ENV, ("pw",))
    assert [(f.rule, f.field) for f in found.findings] == [("placeholder", PORT), ("not-evaluated", None)]


def test_of_a_folder_configurations_are_read_and_a_state_is_mentioned(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'resource "keycloak_realm" "a" {\n realm = "a"\n smtp_server {\n host = "h"\n }\n}\n'
    )
    (tmp_path / STATE).write_text((FILES / STATE).read_text(encoding="utf-8"), encoding="utf-8")
    found = TERRAFORM.read(str(tmp_path))
    assert list(found.realms) == ["a"]
    assert [(f.rule, f.hint) for f in found.findings] == [
        ("not-evaluated",
         "for resolved values: terraform show -json | ztrust-mail convert --from terraform --to spec -"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ['{"version": 4, "resources": [', '{"version": 4,}'])
def test_broken_json_is_reported_with_its_place(text: str, cli: Cli) -> None:
    cli.write("a.tfstate", text)
    ran = cli("convert", "--from", "terraform", "--to", "spec", "a.tfstate")
    assert ran.status == 2
    assert ran.err.startswith("a.tfstate:1:")
    assert "[json-syntax]" in ran.err
