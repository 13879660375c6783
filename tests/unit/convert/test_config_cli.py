"""Files of keycloak-config-cli: several documents, and values that are variables of that tool."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.cli import Cli
from support.results import rules

from ztrust_mail.convert import FORMATS
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import PASSWORD, PORT, SECURITY, THEME, USERNAME, FieldMap

FILE = Path(__file__).parent / "files" / "config-cli.yaml"
CONFIG_CLI = FORMATS["keycloak-config-cli"]


def test_every_document_of_a_file_is_read_and_located() -> None:
    found = CONFIG_CLI.read(str(FILE))
    assert list(found.realms) == ["acme", "globex"]
    assert found.realms["acme"][PASSWORD] == SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
    assert found.realms["globex"][PASSWORD] == SecretRef(SecretKind.FILE, ("/run/secrets/smtp",))
    assert found.realms["globex"][THEME] == "globex"
    lines = FILE.read_text(encoding="utf-8").splitlines()
    by_field = {f.field: lines[f.location.line - 1].strip() for f in found.findings if f.location and f.field}
    assert by_field["relay.host"] == "host: $(env:SMTP_HOST:-smtp.example.com)"
    assert by_field[PORT] == "port: $(env:SMTP_PORT)"


def test_a_field_with_a_variable_is_left_out_with_one_message() -> None:
    found = CONFIG_CLI.read(str(FILE))
    fields = {"relay.host", PORT, SECURITY, USERNAME}
    assert not fields & found.realms["globex"].keys()
    assert sorted(f.field for f in found.findings if f.realm == "globex" and f.field) == sorted(fields)


def test_a_realm_whose_name_is_a_variable_becomes_a_comment_in_a_spec(cli: Cli) -> None:
    ran = cli("convert", "--from", "keycloak-config-cli", "--to", "spec", str(FILE), "--out", "mail.yaml")
    assert ran.status == 1
    text = Path("mail.yaml").read_text(encoding="utf-8")
    spec = yaml.safe_load(text)
    assert list(spec["realms"]) == ["acme", "globex"]
    assert "$(env:REALM)" not in str(spec)
    block = text[text.index("  # complete: write the realm's name for REALM_1 (`$(env:REALM)` at ") :].splitlines()
    uncommented = yaml.safe_load("\n".join(line.replace("# ", "", 1) for line in block[1:]))
    assert uncommented["REALM_1"]["sender"] == {"address": "no-reply@third.example"}
    assert uncommented["REALM_1"]["relay"]["auth"] == {
        "username": "third",
        "password": {"env": "SMTP_PASSWORD_REALM_1"},
    }
    assert "5 places to complete" in ran.err.splitlines()[-1]


def test_a_realm_without_a_name_is_left_out_of_other_formats_and_reported(cli: Cli) -> None:
    ran = cli("convert", "--from", "keycloak-config-cli", "--to", "terraform", str(FILE))
    assert ran.status == 4
    assert "REALM" not in ran.out
    assert "the realm's name is a placeholder of another tool: `$(env:REALM)`; left out" in ran.err


def test_a_file_with_nothing_but_unnamed_realms_is_a_spec_of_comments(cli: Cli) -> None:
    cli.write("a.yaml", "realm: $(env:A)\nsmtpServer: {}\n---\nrealm: $(env:A)\nsmtpServer: {host: h}\n")
    ran = cli("convert", "--from", "keycloak-config-cli", "--to", "spec", "a.yaml")
    assert ran.status == 1
    assert "  # REALM_1: {disabled: true}\n" in ran.out
    assert "  # REALM_2:\n  #   # complete: sender.address: " in ran.out
    assert yaml.safe_load(ran.out) == {"version": 1, "realms": None}
    assert cli("convert", "--from", "keycloak-config-cli", "--to", "terraform", "a.yaml").status == 2


def test_one_broken_document_leaves_the_others_as_they_are(cli: Cli) -> None:
    cli.write("a.yaml", "realm: one\nsmtpServer: {host: h, from: a@b.example}\n---\nrealm: [\n---\nrealm: two\n")
    report = cli.json("convert", "--from", "keycloak-config-cli", "--to", "spec", "a.yaml")
    assert (report["exit_status"], report["status"]) == (4, "partial")
    found = [(f["rule"], f["severity"], f["line"]) for f in report["findings"]]
    assert found == [("yaml-syntax", "error", 5), ("nothing-said", "note", 6), ("partly-converted", "error", None)]
    assert "one:" in report["converted"]


@pytest.mark.parametrize("name", ["acme", "$(env:X)"])
def test_the_written_file_has_variables_for_secrets_and_escapes_for_other_text(name: str) -> None:
    fields: FieldMap = {
        "relay.host": "h", "sender.address": "a@b.example", "sender.name": "$(x)", "relay.auth.username": "u",
        PASSWORD: SecretRef(SecretKind.ENV, ("PW",)),
    }  # fmt: skip
    written = CONFIG_CLI.write({name: fields, "off": {}})
    first, second = yaml.safe_load_all(written.text)
    assert first["realm"] == name.replace("$(", "$$(")
    assert first["smtpServer"]["password"] == "$(env:PW)"
    assert first["smtpServer"]["fromDisplayName"] == "$$(x)"
    assert second == {"realm": "off", "smtpServer": {}}
    assert rules(written) == ["variables"]


def test_a_kubernetes_resource_is_no_realm_and_the_message_names_its_format(cli: Cli) -> None:
    cli.write("a.yaml", "---\n".join(["apiVersion: v1\nkind: Secret\n"] * 3))
    ran = cli("convert", "--from", "keycloak-config-cli", "--to", "spec", "a.yaml")
    assert ran.status == 2
    assert " ".join(ran.err.split()).count("this is a Kubernetes resource, for --from kubernetes") == 1
