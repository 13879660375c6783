"""Kubernetes resources of Crossplane and of operators: settings are read, secrets become references."""

from __future__ import annotations

from pathlib import Path

import yaml
from support.cli import Cli
from support.results import rules

from ztrust_mail.convert import FORMATS
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import (
    LOGIN,
    PASSWORD,
    PORT,
    SECURITY,
    THEME,
    TOKEN_CLIENT_SECRET,
    USERNAME,
    FieldMap,
    Login,
    Security,
)

FILES = Path(__file__).parent / "files"
KUBERNETES = FORMATS["kubernetes"]


def ref(name: str) -> SecretRef:
    return SecretRef(SecretKind.ENV, (name,))


def test_the_settings_of_every_kind_of_resource_are_read() -> None:
    found = KUBERNETES.read(str(FILES / "kubernetes.yaml"))
    assert found.realms["acme"] == {
        "relay.host": "smtp.example.com", PORT: 587, SECURITY: Security.STARTTLS, "sender.name": "Acme",
        "sender.address": "example@example.com", LOGIN: Login.BASIC, USERNAME: "tom",
        PASSWORD: ref("SMTP_PASSWORD_ACME"),
    }  # fmt: skip
    token = found.realms["token"]
    assert (token[LOGIN], token[TOKEN_CLIENT_SECRET]) == (Login.TOKEN, ref("SMTP_CLIENT_SECRET_TOKEN"))
    assert token["relay.auth.token.scope"] == "https://outlook.office365.com/.default"
    imported = found.realms["imported"]
    assert (imported[PASSWORD], imported[THEME]) == (ref("MAIL_PASSWORD"), "acme")
    assert found.realms["legacy"]["sender.address"] == "no-reply@legacy.example"
    edp = found.realms["edp"]
    assert (edp[USERNAME], edp[PASSWORD], edp[SECURITY]) == ("edp", ref("SMTP_PASSWORD_EDP"), Security.STARTTLS)
    assert edp["reply_to.address"] == "help@edp.example"
    assert found.realms["cluster"][SECURITY] is Security.TLS
    assert USERNAME not in found.realms["cluster"]
    assert found.realms["other"][PASSWORD] == ref("SMTP_PASSWORD_OTHER")
    assert list(found.realms) == ["acme", "token", "imported", "legacy", "edp", "cluster", "other"]
    assert "hunter2-canary" not in repr(found)


def test_a_secret_of_kubernetes_is_named_with_the_command_that_shows_it() -> None:
    found = KUBERNETES.read(str(FILES / "kubernetes.yaml"))
    notes = {f.realm: f for f in found.findings if f.rule == "kubernetes-secret"}
    assert notes["acme"].message == (
        "`password` is in key `example-key` of the secret `example-secret`; the result names a variable for it"
    )
    assert notes["acme"].hint == "read the value with: kubectl get secret example-secret -n upbound-system -o json"
    assert notes["edp"].hint.endswith("kubectl get secret smtp -n sso -o json")
    assert sorted(map(str, notes)) == ["acme", "cluster", "edp", "other", "token"]


def test_a_user_that_is_in_a_config_map_is_a_place_to_complete(cli: Cli) -> None:
    ran = cli("convert", "--from", "kubernetes", "--to", "spec", str(FILES / "kubernetes.yaml"), "--realm", "cluster")
    assert ran.status == 1
    assert "# complete: username: `user` is in key `user` of the config map `mail`\n" in ran.out


def test_resources_of_other_kinds_are_one_note(cli: Cli) -> None:
    found = KUBERNETES.read(str(FILES))
    assert {"one", "acme"} <= found.realms.keys()
    notes = [f.message for f in found.findings if f.rule == "nothing-said" and "other kinds" in f.message]
    (counted,) = notes
    assert "`Secret`" in counted
    listed = KUBERNETES.read(str(FILES / "list.json"))
    assert list(listed.realms) == ["one"]
    assert [f.message for f in listed.findings] == ["1 resource of other kinds: `ConfigMap`"]


def test_a_resource_without_e_mail_settings_is_reported() -> None:
    found = KUBERNETES.read(str(FILES / "kubernetes.yaml"))
    silent = [f for f in found.findings if "has no e-mail settings" in f.message]
    assert [f.location.line for f in silent if f.location] == [142]


def test_a_reference_without_a_key_names_the_secret_only(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    smtp = "{host: h, from: a@b.example, auth: true, user: u, passwordSecret: {name: smtp}}"
    path.write_text(f"kind: KeycloakRealm\nspec:\n  realmName: acme\n  smtpServer: {smtp}\n")
    found = KUBERNETES.read(str(path))
    assert [f.message for f in found.findings] == [
        "`password` is in the secret `smtp`; the result names a variable for it"
    ]


def test_a_helm_template_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "kind: KeycloakRealmImport\nspec:\n  realm:\n    realm: '{{ .Values.realm }}'\n    smtpServer:\n"
        "      host: '{{ .Values.host }}'\n      from: a@b.example\n"
    )
    found = KUBERNETES.read(str(path))
    assert found.realms == {}
    (unnamed,) = found.unnamed
    assert (unnamed.name, unnamed.fields) == ("{{ .Values.realm }}", {"sender.address": "a@b.example"})


def test_a_realm_import_is_written_with_a_placeholder_for_each_secret() -> None:
    fields: FieldMap = {
        "relay.host": "h", "sender.address": "a@b.example", LOGIN: Login.BASIC, USERNAME: "u", PASSWORD: ref("PW"),
    }  # fmt: skip
    written = KUBERNETES.write({"Acme Corp": fields, "acme-corp": fields})
    first, second = yaml.safe_load_all(written.text)
    assert first["spec"]["placeholders"] == {"PW": {"secret": {"name": "acme-corp-email", "key": "PW"}}}
    assert first["spec"]["realm"]["smtpServer"]["password"] == "${PW}"
    assert [one["metadata"]["name"] for one in (first, second)] == ["acme-corp-email", "acme-corp-2-email"]
    assert rules(written) == ["partial-realm"]
