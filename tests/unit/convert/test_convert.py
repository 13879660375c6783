"""Settings move between formats: what a format can hold arrives, what it cannot hold is told, no secret is shown."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from support.cli import Cli
from support.converting import convert
from support.mail_settings import ENTRIES, field_maps, one_realm
from support.products import meant
from support.results import left_out, rules

from ztrust_mail.convert import FORMATS, Style, format_named
from ztrust_mail.convert.foreign_placeholders import has_placeholder, parse_placeholder
from ztrust_mail.convert.format import MAX_FILES, Files, storable
from ztrust_mail.convert.hcl import realms_in, string
from ztrust_mail.core.errors import SpecError, UsageError
from ztrust_mail.core.files import MAX_BYTES
from ztrust_mail.core.findings import has_errors
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import printable
from ztrust_mail.model.fields import LOGIN, PASSWORD, SECURITY, Login, Raw, Security
from ztrust_mail.specfile.readers.document import SourceText
from ztrust_mail.specfile.resolve import resolve_entry

RANDOM = settings(max_examples=40, deadline=None, derandomize=True)
SUFFIX = {"spec": ".yaml", "keycloak": ".json", "realm-export": ".json", "terraform": ".tf", "ansible": ".yml"}
OTHERS = [name for name in SUFFIX if name != "spec"]
CANARY = "hunter2-canary"
STORED = {
    "host": "smtp.example.com", "port": 587, "from": "a@b.example", "starttls": True, "auth": "true", "user": "u",
    "password": CANARY,
}  # fmt: skip


def extract(folder, name, text, file="acme"):
    path = folder / f"{file}{SUFFIX[name]}"
    path.write_text(text, encoding="utf-8", newline="")
    return FORMATS[name].read(str(path))


def export(folder, smtp, **more):
    return extract(folder, "realm-export", json.dumps({"realm": "acme", "smtpServer": smtp, **more}))


def terraform(body: str, realm: str = '"acme"') -> str:
    return f'resource "keycloak_realm" "x" {{\n  realm = {realm}\n{body}\n}}\n'


# there and back


@pytest.mark.parametrize("name", OTHERS)
def test_settings_come_back_from_a_format_unchanged_or_are_reported_as_lost(name, tmp_path):
    @RANDOM
    @given(fields=field_maps)
    def round_trip(fields):
        written = FORMATS[name].write({"acme": fields})
        lost = {f.field for f in written.findings if f.rule == "cannot-hold" and f.field}
        changed = {n for n in lost if isinstance(v := fields.get(n), SecretRef) and v.kind is not SecretKind.ENV}
        back = extract(tmp_path, name, written.text)
        assert not has_errors(back.findings)
        expected = {n: v for n, v in meant(fields).items() if n not in lost}
        found = {n: v for n, v in meant(back.realms.get("acme", {})).items() if n not in changed}
        assert found == {n: v for n, v in expected.items() if n not in left_out(back)}

    round_trip()


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("name", ["realm-export", "keycloak"])
def test_a_spec_of_every_kind_comes_back_through_keycloaks_own_files(kind, name, tmp_path):
    spec = one_realm(ENTRIES[kind])
    wanted = resolve_entry(spec, spec.entries[0], "acme").fields
    back = extract(tmp_path, name, FORMATS[name].write({"acme": wanted}).text)
    again = extract(tmp_path, "spec", FORMATS["spec"].write(back.realms).text)
    assert meant(again.realms["acme"]) == meant(wanted)


@pytest.mark.parametrize(
    "text", ['a"b\\c', "${x}", "%{y}", "$${z}", "$d${p@x", "%{", "$%{a}${b}", "line\nbreak\ttab\r", "é😀"]
)
def test_a_string_of_terraforms_language_reads_back_as_it_was(text):
    body = f'  smtp_server {{\n    host = "h"\n    from = {string(text)}\n  }}'
    (resource,) = realms_in(SourceText("main.tf", terraform(body)))
    assert resource.smtp_server["from"] == text


# what steers a terminal or cannot be seen

STEERING = "a\x1b[2J\x1b]0;x\x07\x9b1m\u202eb\u2066c\u200bd\U000e0041\x7f\x85\u2028e"
TARGETS = [*((name, None) for name in FORMATS), *(("keycloak", style) for style in Style)]


@pytest.mark.parametrize(("to", "style"), TARGETS)
def test_no_target_format_contains_characters_that_steer_a_terminal(to: str, style: Style | None, cli: Cli) -> None:
    smtp = {**STORED, "fromDisplayName": STEERING, "extra": STEERING, STEERING: "x", "password": "${vault.k}"}
    source, exported = "realm-export", [{"realm": name, "smtpServer": smtp} for name in (STEERING, "b")]
    if to == source:
        source, exported = "keycloak", dict.fromkeys((STEERING, "b"), smtp)
    cli.write("a.json", json.dumps(exported))
    ran = cli("convert", "--from", source, "--to", to, *(["--as", style] if style else []), "a.json")
    assert ran.status == (1 if to == "spec" else 0)  # a spec cannot hold such a name of a sender
    assert ran.out.count("smtp.example.com") >= 1
    shown = (ran.out + ran.err).replace("\n", "")
    assert printable(shown) == shown


@pytest.mark.parametrize("name", OTHERS)
def test_terminal_control_characters_come_back_from_a_format_unchanged(name: str, tmp_path) -> None:
    fields = {"relay.host": "h", "sender.address": "a@b.example", "sender.name": STEERING}
    realm = "acme" if name == "keycloak" else STEERING  # whose file is called after the realm
    back = extract(tmp_path, name, FORMATS[name].write({realm: fields}).text)
    assert back.realms[realm]["sender.name"] == STEERING


@pytest.mark.parametrize("style", [Style.JSON, Style.TEXT])
def test_terminal_control_characters_come_back_from_product_settings_unchanged(style: Style, tmp_path) -> None:
    product = FORMATS["keycloak"]
    fields = {"relay.host": "h", "sender.address": "a@b.example", "sender.name": STEERING}
    path = tmp_path / f"a{'.txt' if style is Style.TEXT else '.json'}"
    path.write_text(product.write({STEERING: fields, "b": fields}, style).text, encoding="utf-8")
    back = product.read(str(path))
    assert {realm: found["sender.name"] for realm, found in back.realms.items()} == dict.fromkeys(
        [STEERING, "b"], STEERING
    )


def test_a_spec_has_escapes_for_invisible_characters(tmp_path) -> None:
    fields = {"relay.host": "h", "sender.address": "a@b.example", "sender.name": "a\u200b\xad\U000e0041"}
    written = FORMATS["spec"].write({"a\u200b": fields}).text
    assert '"a\\u200b\\u00ad\\U000E0041"' in written
    assert extract(tmp_path, "spec", written).realms["a\u200b"]["sender.name"] == fields["sender.name"]


@pytest.mark.parametrize("text", ["\0", "a\0b", STEERING])
def test_a_terraform_string_has_escapes_for_invisible_characters(text: str, tmp_path) -> None:
    assert string(text).isascii()
    body = f'  smtp_server {{\n    host = "h"\n    from = {string(text)}\n  }}'
    assert extract(tmp_path, "terraform", terraform(body)).realms["acme"]["sender.address"] == text


# secrets


@pytest.mark.parametrize("to", ["spec", "keycloak", "terraform", "ansible"])
def test_a_password_in_a_file_is_pointed_out_and_never_shown(cli: Cli, to: str) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": STORED}))
    ran = cli("convert", "--from", "realm-export", "--to", to, "a.json")
    assert ran.status == 0
    assert "plain-secret" in ran.err
    assert "SMTP_PASSWORD_ACME" in ran.out
    assert CANARY not in ran.out + ran.err


LOGINS = {
    "host": [
        f"u:{CANARY}@h.example",
        f"smtp://u:{CANARY}@h.example:587",
        f"u:{CANARY}%40h.example",
        f"h?pw={CANARY}",
        f"u:{CANARY}%2540h.example",
        f"h;password={CANARY}",
    ],
    "authTokenUrl": [
        *(f"https://u:{CANARY}@x.example", f"u:{CANARY}@x.example/token", f"https://x.example/?client_secret={CANARY}"),
        *(f"https:\\\\u:{CANARY}@x.example/token", f"https://u:{CANARY}%40x.example/token#"),
        *(f"https://u:a{sign}{CANARY}@x.example" for sign in "/?#"),
        *(f"https://x.example/t?{name}={CANARY}" for name in ("access_key", "Authorization", "auth", "sharedKey")),
        f"https://x.example/t;client_secret={CANARY}",
    ],
    "proxy": [f"http://u:{CANARY}@p.example:3128", f"https://p.example/?token={CANARY}"],
}
CASES = [(native, text) for native, texts in LOGINS.items() for text in texts]
TOKEN_LOGIN = {
    **{name: value for name, value in STORED.items() if name != "password"}, "authType": "token",
    "authTokenUrl": "https://x.example/token", "authTokenClientId": "c", "authTokenClientSecret": "${SECRET}",
}  # fmt: skip


@pytest.mark.parametrize("to", [name for name in FORMATS if name != "realm-export"])
@pytest.mark.parametrize(("native", "text"), CASES)
def test_a_password_in_a_host_or_a_url_is_neither_shown_nor_written(native, text, to, cli: Cli) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {**TOKEN_LOGIN, native: text}}))
    ran = cli("convert", "--from", "realm-export", "--to", to, "a.json")
    assert ran.status in (0, 1)
    assert f"`{native}` may contain a password; it is neither shown nor converted" in ran.err
    assert "[plain-secret]" in ran.err
    assert CANARY not in ran.out + ran.err


@pytest.mark.parametrize(("native", "text"), CASES)
@pytest.mark.parametrize("source", ["keycloak", "terraform", "ansible", "uipath"])
def test_a_password_in_a_host_or_a_url_is_left_out_of_every_source(source, native, text, cli: Cli) -> None:
    smtp = {**TOKEN_LOGIN, native: text}
    token = {"username": "u", "url": smtp["authTokenUrl"], "client_id": "c", "client_secret": "x", "scope": "s"}
    block = "\n".join(f"{name} = {string(value)}" for name, value in token.items())
    host = string(smtp["host"])
    files = {
        "keycloak": ("a.json", json.dumps(smtp)),
        "terraform": ("a.tf", terraform(f"  smtp_server {{\n host = {host}\n token_auth {{\n{block}\n }}\n }}")),
        "ansible": ("a.yml", json.dumps([{"community.general.keycloak_realm": {"realm": "a", "smtp_server": smtp}}])),
        "uipath": ("a.json", json.dumps({"SmtpSettings.Host": smtp["host"], "Other": smtp.get("proxy", "x")})),
    }
    name, content = files[source]
    cli.write(name, content)
    for to in ("spec", "realm-export"):
        ran = cli("convert", "--from", source, "--to", to, name)
        assert ran.status in (0, 1, 2)
        assert CANARY not in ran.out + ran.err


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        *(("${PW}", "PW"), ("${env:PW}", "PW"), ("${env.PW}", "PW"), ("$(env:PW)", "PW"), ("$(PW)", "PW")),
        *(("[[env:PW]]", "PW"), ("[[ PW ]]", "PW"), ("{{ PW }}", "PW"), ("{{PW}}", "PW"), ("#{PW}#", "PW")),
        *(("{{ lookup('env', 'PW') }}", "PW"), ('{{ getenv "PW" }}', "PW"), ("<<PW>>", "PW"), ("%%PW%%", "PW")),
        *(("${var.pw}", "pw"), ("${PW:-}", "PW"), ("{{ .Values.smtp.pw }}", "SMTP_PASSWORD_ACME")),
        *(("**********", "SMTP_PASSWORD_ACME"), ("$ANSIBLE_VAULT;1.1;AES256\n61", "SMTP_PASSWORD_ACME")),
        ("$ecret", "SMTP_PASSWORD_ACME"),
    ],
)
def test_a_placeholder_becomes_the_variable_it_names(text, variable, tmp_path):
    found = export(tmp_path, {**STORED, "password": text})
    assert found.realms["acme"][PASSWORD] == SecretRef(SecretKind.ENV, (variable,))


def test_a_default_inside_a_placeholder_is_a_secret_in_clear(tmp_path):
    found = export(tmp_path, {**STORED, "password": f"${{PW:-{CANARY}}}"})
    assert rules(found) == ["plain-secret"]
    assert CANARY not in repr(found)


def test_a_vault_reference_is_not_converted_as_a_placeholder(tmp_path):
    found = export(tmp_path, {**STORED, "password": "${vault.key}"})
    assert found.realms["acme"][PASSWORD] == SecretRef(SecretKind.KEYCLOAK_VAULT, ("key",))
    assert found.findings == ()
    assert not has_placeholder("${vault.key}")
    assert parse_placeholder("plain") is None


def test_a_variable_named_by_a_placeholder_is_not_used_for_another_secret(tmp_path):
    realms = [
        {"realm": "acme", "smtpServer": STORED},
        {"realm": "b", "smtpServer": {**STORED, "password": "${SMTP_PASSWORD_ACME}"}},
    ]
    found = extract(tmp_path, "realm-export", json.dumps(realms))
    assert [str(fields[PASSWORD]) for fields in found.realms.values()] == [
        "env:SMTP_PASSWORD_ACME_2",
        "env:SMTP_PASSWORD_ACME",
    ]


@pytest.mark.parametrize(
    "name", ["smtpPassword", "passwrod", "pasword", "pwd", "apiKey", "api_key", "token", "credentials"]
)
def test_a_secret_under_a_name_that_keycloak_does_not_use_is_left_out_and_reported(name, tmp_path):
    found = export(tmp_path, {**STORED, name: CANARY})
    assert rules(found) == ["plain-secret", "plain-secret"]
    assert CANARY not in repr(found)


@pytest.mark.parametrize("kind", [SecretKind.FILE, SecretKind.COMMAND, SecretKind.KEYRING])
def test_a_reference_that_only_a_spec_knows_becomes_a_variable_and_is_reported(kind):
    spec = one_realm(ENTRIES["basic"])
    fields = {**resolve_entry(spec, spec.entries[0], "acme").fields, PASSWORD: SecretRef(kind, ("a", "b"))}
    written = FORMATS["keycloak"].write({"acme": fields})
    assert json.loads(written.text)["password"] == "${SMTP_PASSWORD_ACME}"
    assert rules(written) == ["cannot-hold"]


# how people really write these files


def test_an_absent_smtp_server_is_ignored_and_an_empty_one_means_no_e_mail(tmp_path):
    realms = [{"realm": "silent"}, {"realm": "none", "smtpServer": {}}, {"realm": "blank", "smtpServer": {"host": ""}}]
    found = extract(tmp_path, "realm-export", json.dumps(realms))
    assert found.realms == {"none": {}, "blank": {}}
    assert [(f.rule, f.realm) for f in found.findings] == [("nothing-said", "silent")]


def test_false_as_empty_text_a_bom_crlf_and_a_number_for_a_port_are_read(tmp_path):
    text = '\ufeff{"realm": "acme",\r\n "smtpServer": {"host": "h", "from": "a@b.example", "port": 25, "ssl": ""}}'
    found = extract(tmp_path, "realm-export", text)
    assert found.realms["acme"] == {"relay.host": "h", "sender.address": "a@b.example", "relay.port": 25}


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"ssl": "true"}, "both-switches"),
        ({"user": ""}, "no-username"),
        ({"user": "**********"}, "masked-value"),
        ({"auth": None}, "login-off"),
        ({"port": "abc"}, "bad-value"),
        ({"host": "${SMTP_HOST}"}, "placeholder"),
        ({"username": "x"}, "unknown-attribute"),
        ({"replyTo": ["x"]}, "bad-value"),
    ],
)
def test_suspicious_values_are_reported_with_their_place(more, rule, tmp_path):
    found = export(tmp_path, {**STORED, "password": "${vault.k}", **more})
    assert rule in rules(found)
    assert all(f.location.line == 1 and f.hint for f in found.findings)


def test_starttls_and_ssl_both_on_are_converted_to_implicit_tls(tmp_path):
    found = export(tmp_path, {**STORED, "ssl": True})
    assert found.realms["acme"]["relay.security"] is Security.TLS


def test_a_map_without_usable_values_does_not_mean_no_e_mail(tmp_path):
    found = export(tmp_path, {"user": "*****"})
    assert found.realms == {}
    assert rules(found) == ["masked-value"]


def test_crossplanes_list_of_one_map_is_read(tmp_path):
    assert export(tmp_path, [{"host": "h"}]).realms["acme"] == {"relay.host": "h"}


def test_a_spec_gets_the_settings_it_can_express_and_comments_on_the_rest(tmp_path):
    fields = {
        "relay.host": "${HOST}", "sender.address": "a@b.example", LOGIN: Login.NONE,
        PASSWORD: SecretRef(SecretKind.ENV, ("P",)),
    }  # fmt: skip
    written = FORMATS["spec"].write({"acme": fields, "a*": fields})
    assert [(f.rule, f.field) for f in written.findings] == [
        ("cannot-hold", "relay.host"),
        ("cannot-hold", PASSWORD),
        ("cannot-hold", None),
        ("incomplete-spec", None),
    ]
    assert "a@b.example" in written.text


def test_globs_of_a_spec_are_skipped_and_reported(tmp_path):
    found = extract(tmp_path, "spec", "version: 1\nrealms:\n  off: {disabled: true}\n  'a*': {disabled: true}\n")
    assert found.realms == {"off": {}}
    assert rules(found) == ["glob"]


# terraform and ansible


def test_terraform_reads_variables_blocks_and_tokens(tmp_path):
    block = """
  smtp_server {
    host = "h"
    from = "a@b.example"
    port = 465
    ssl  = true
    colour = "blue"
    token_auth {
      username = "u"
      url = "https://x.example/t"
      client_id = "c"
      client_secret = var.client_secret
      scope = "s"
    }
  }"""
    found = extract(tmp_path, "terraform", terraform(block))
    fields = found.realms["acme"]
    assert (fields[LOGIN], fields["relay.port"], fields["relay.security"]) == (Login.TOKEN, 465, Security.TLS)
    assert fields["relay.auth.token.client_secret"] == SecretRef(SecretKind.ENV, ("client_secret",))
    assert [(f.rule, f.field) for f in found.findings] == [("unknown-attribute", "colour")]


@pytest.mark.parametrize(
    ("body", "realm", "why"),
    [
        ("", '"acme"', "no smtp_server block"),
        ('  dynamic "smtp_server" {\n for_each = x\n content {\n host = "h"\n }\n }', '"acme"', "dynamic"),
    ],
)
def test_a_resource_with_computed_settings_is_left_out_and_reported(body, realm, why, tmp_path):
    found = extract(tmp_path, "terraform", terraform(body, realm))
    assert found.realms == {}
    assert why in found.findings[0].message


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("resource {", "hcl-syntax"),
        (terraform('  smtp_server {\n    host = "a"\n    host = "b"\n  }'), "duplicate-key"),
        ("x = " + "[" * 101 + "]" * 101, "too-large"),
        ("# " + "x" * 1_000_001, "too-large"),
        (2 * terraform('  smtp_server {\n    host = "a"\n  }'), "defined-twice"),
    ],
)
def test_ambiguous_terraform_is_an_error(text, rule, tmp_path):
    found = extract(tmp_path, "terraform", text)
    assert rule in rules(found)
    assert has_errors(found.findings)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *(("x = 1" + "+1" * 500, "too many parts"), ("x = a" + ".b" * 2_000, "too many parts")),
        *(("x = a" + "[0]" * 2_000, "too many parts"), ("x = a" + "[*]" * 2_000, "too many parts")),
        (f"x = {'9' * 4_301}", "too many digits"),
        (terraform(f'  smtp_server {{\n    host = "h"\n    port = {"9" * 4_301}\n  }}'), "too many digits"),
    ],
    ids=["sum", "attributes", "indexes", "splats", "number", "port"],
)
def test_terraform_that_the_parser_cannot_read_is_an_error_with_a_next_step(text, problem, cli):
    cli.write("a.tf", f"{text}\n")
    ran = cli("convert", "--from", "terraform", "--to", "spec", "a.tf")
    assert ran.status == 2
    assert problem in ran.err
    assert "give a file with the realms only [too-large]" in ran.err


def test_without_python_hcl2_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hcl2", None)
    with pytest.raises(UsageError, match="python-hcl2, which reads Terraform files, is not installed") as caught:
        extract(tmp_path, "terraform", terraform(""))
    assert caught.value.hint == "install it: pip install 'ztrust-mail[convert]'"


def test_terraform_is_written_with_the_lines_that_let_both_tools_live_side_by_side():
    text = FORMATS["terraform"].write({"1 a": {"relay.host": "h"}, "1_a": {"relay.host": "h"}}).text
    assert text.count("ignore_changes = [smtp_server]") == 2
    assert '"_1_a" {' in text
    assert '"_1_a_2" {' in text


@pytest.mark.parametrize("name", ["terraform", "ansible"])
def test_no_e_mail_is_reported_for_formats_that_cannot_express_it(name):
    assert rules(FORMATS[name].write({"off": {}})) == ["cannot-hold"]


def test_a_login_that_a_format_can_hold_only_in_part_is_left_out():
    fields = {LOGIN: Login.TOKEN, "relay.auth.username": "u", "relay.host": "h"}
    kept, lost = storable("acme", fields, "X", ["relay.host", "relay.auth.username"])
    assert kept == {"relay.host": "h"}
    assert [f.field for f in lost] == [LOGIN, "relay.auth.username"]


@pytest.mark.parametrize("name", ["terraform", "ansible"])
def test_an_unusable_value_is_left_out_and_reported(name):
    fields = {"relay.host": "h", SECURITY: Raw("starttls=TRUE ssl="), PASSWORD: Raw("${vault.a b}")}
    written = FORMATS[name].write({"acme": fields})
    messages = {f.field: f.message for f in written.findings if f.rule == "cannot-hold"}
    assert messages[SECURITY].endswith("cannot hold `starttls=TRUE ssl=` as `relay.security`")
    assert messages[PASSWORD].endswith("cannot hold `relay.auth.password`")


def test_ansible_is_read_in_plays_and_blocks_with_its_tags_and_booleans(tmp_path):
    text = """\
- hosts: all
  tasks:
    - block:
        - community.general.keycloak_realm:
            realm: acme
            smtp_server:
              host: h
              from: !unsafe a@b.example
              starttls: yes
              ssl: no
              auth: on
              user: u
              password: !vault |
                $ANSIBLE_VAULT;1.1;AES256
                6162
        - keycloak_realm: {realm: silent}
        - keycloak_realm: {realm: odd, smtp_server: nothing}
"""
    found = extract(tmp_path, "ansible", text)
    fields = found.realms["acme"]
    assert (fields[LOGIN], fields["relay.security"]) == (Login.BASIC, Security.STARTTLS)
    assert fields["sender.address"] == "a@b.example"
    assert sorted(rules(found)) == ["encrypted-secret", "not-a-map", "nothing-said"]


def test_a_task_whose_arguments_are_text_is_reported(tmp_path):
    text = """\
- tasks:
    - community.general.keycloak_realm: realm=acme smtp_server={{ smtp }}
    - action: keycloak_realm realm=b
    - local_action: {module: community.general.keycloak_realm, realm: c}
    - keycloak_realm:
      args: {realm: d}
    - action: debug msg=x
    - keycloak_realm: "{{ realm_arguments }}"
    - debug: msg=x
      loop: [{keycloak_realm: acme}]
    - keycloak_realm: {realm: e, smtp_server: {host: h}}
"""
    found = extract(tmp_path, "ansible", text)
    assert found.realms == {"e": {"relay.host": "h"}}
    assert [(f.rule, f.location.line) for f in found.findings] == [("not-a-map", line) for line in (2, 3, 4, 5, 8)]


def test_written_ansible_tasks_contain_no_template_expressions(tmp_path):
    fields = {"relay.host": "h", "sender.name": r"{{ x }}{% endraw %}' ~ lookup('pipe', 'id') \\"}
    text = FORMATS["ansible"].write({"{{ r }}": fields}).text
    assert r"""{{ '{{ x }}{% endraw %}\' ~ lookup(\'pipe\', \'id\') \\\\' }}""" in text.replace("''", "'")
    back = extract(tmp_path, "ansible", text)
    assert back.realms == {"{{ r }}": {"relay.host": "h"}}
    assert [(f.rule, f.field) for f in back.findings] == [("placeholder", "sender.name")]


# files


def test_a_folder_is_read_recursively_without_links_that_lead_out_of_it(tmp_path):
    folder = tmp_path / "exports"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "sub" / "acme-realm.json").write_text('{"realm": "acme", "smtpServer": {"host": "h"}}')
    (folder / "acme-users-0.json").write_text('{"realm": "acme", "users": []}')
    (folder / "values.json").write_text("[1]")
    assert FORMATS["realm-export"].read(str(folder)).realms == {"acme": {"relay.host": "h"}}
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    (folder / "link.json").symlink_to(outside)
    (folder / "further").symlink_to(tmp_path)
    found = FORMATS["realm-export"].read(str(folder))
    assert sorted(r for r in rules(found) if r != "nothing-said") == ["link-outside", "link-outside"]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ('{"realm": "a", "realm": "b"}', "duplicate-key"),
        ('{"realm": "a", "smtpServer": {"host"', "json-syntax"),
        ('{"realm": "a", "smtpServer": "x"}', "not-a-map"),
        ("", "empty-file"),
        (b"\xff", "not-utf-8"),
        (b'{"a": "\x01"}', "control-character"),
        ('[{"realm": "a", "smtpServer": {"host": "h"}}, {"realm": "a", "smtpServer": {"host": "i"}}]', "defined-twice"),
    ],
)
def test_an_ambiguous_file_stops_the_conversion(content, rule, cli: Cli):
    (cli.folder / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    report = cli.json("convert", "--from", "realm-export", "--to", "spec", "a.json")
    assert report["exit_status"] == 2
    assert rule in [found["rule"] for found in report["findings"]]
    assert "converted" not in report


def test_a_file_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "a.json"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    assert rules(FORMATS["realm-export"].read(str(path))) == ["too-large"]


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    os.mkfifo(tmp_path / "p.json")
    paths = {"a\0b": "cannot-read", "": "empty-folder", "none.json": "no-such-file", "a.txt": "unknown-file-type"}
    for name, rule in {**paths, "p.json": "not-a-file", "n" * 300 + ".json": "cannot-read"}.items():
        files = Files((".xml",)) if not name else Files((".json",))
        assert list(files.texts(str(tmp_path / name))) == []
        assert [f.rule for f in files.findings] == [rule]


def test_the_number_of_files_in_a_folder_has_a_bound(tmp_path):
    for number in range(MAX_FILES):
        (tmp_path / f"{number}.json").touch()
    files = Files((".json",))
    assert list(files.texts(str(tmp_path))) == []
    assert "too-many" not in [f.rule for f in files.findings]
    (tmp_path / "more.json").touch()
    files = Files((".json",))
    assert list(files.texts(str(tmp_path))) == []
    assert "too-many" in [f.rule for f in files.findings]


def test_an_smtp_server_map_is_named_after_its_file(tmp_path):
    found = extract(tmp_path, "keycloak", '{"host": "h"}', "globex")
    assert found.realms == {"globex": {"relay.host": "h"}}
    assert rules(found) == ["missing-field", "realm-name"]
    assert rules(extract(tmp_path, "keycloak", '{"realm": "acme", "smtpServer": {}}')) == ["not-a-map"]


def test_two_maps_of_one_name_are_refused(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("acme.json", "sub/acme.json"):
        (tmp_path / name).write_text('{"host": "h"}')
    assert "defined-twice" in rules(FORMATS["keycloak"].read(str(tmp_path)))


def test_two_tasks_for_one_realm_are_refused(tmp_path):
    task = "- keycloak_realm: {realm: acme, smtp_server: {host: h}}\n"
    assert "defined-twice" in rules(extract(tmp_path, "ansible", 2 * task))


# the command


@pytest.mark.parametrize("out", ["a.json", "link.json"])
def test_the_result_never_replaces_the_file_that_is_read(out: str, cli: Cli) -> None:
    content = json.dumps({"realm": "acme", "smtpServer": STORED})
    (cli.folder / "link.json").symlink_to(cli.write("a.json", content))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json", "--out", out, "--force")
    assert ran.status == 2
    assert "the command reads this file" in " ".join(ran.err.split())
    assert (cli.folder / "a.json").read_text(encoding="utf-8") == content


def test_the_result_is_a_file_that_is_not_overwritten_unless_forced(cli: Cli) -> None:
    cli.write("a.json", '{"host": "h", "from": "a@b.example"}')
    command = ("convert", "--from", "keycloak", "--to", "spec", "a.json", "--out", "mail.yaml")
    assert cli(*command).status == 0
    assert cli(*command).status == 2
    assert cli(*command, "--force").out == ""
    assert cli("validate", "mail.yaml").status == 0


def test_standard_input_is_converted_into_one_json_report(cli: Cli) -> None:
    ran = cli("convert", "--from", "keycloak", "--to", "realm-export", "-", "--format", "json", stdin='{"host": "h"}')
    assert json.loads(ran.json["converted"]) == {"realm": "realm", "smtpServer": {"host": "h"}}


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("keycloak", "keycloak", "--from and --to are both"),
        ("kecloak", "spec", "did you mean"),
        ("spec", "xml", "formats: spec"),
    ],
)
def test_formats_that_make_no_sense_are_refused(cli: Cli, source: str, target: str, says: str) -> None:
    cli.write("a.json", "{}")
    ran = cli("convert", "--from", source, "--to", target, "a.json")
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err


def test_a_file_without_e_mail_settings_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"realm": "acme"}')
    with pytest.raises(UsageError, match="has no smtpServer"):
        convert(format_named("realm-export"), format_named("spec"), str(path))
    path.write_text("[]")
    with pytest.raises(SpecError):
        convert(format_named("keycloak"), format_named("spec"), str(path))


# an incomplete spec


def test_a_spec_that_is_not_valid_yet_ends_with_1_and_the_last_line_says_what_to_complete(cli: Cli) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {"host": "h.example", "auth": "true", "user": "u"}}))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json", "--out", "my mail.yaml")
    assert ran.status == 1
    assert ran.err.splitlines()[-1] == (
        "ztrust-mail: error: the spec is incomplete: 2 places to complete, marked by `# complete:` in lines 5 and 10; "
        "write the values, then run: ztrust-mail validate 'my mail.yaml' [incomplete-spec]"
    )
    lines = Path("my mail.yaml").read_text(encoding="utf-8").splitlines()
    assert [(n, line.strip()) for n, line in enumerate(lines, 1) if "# complete:" in line] == [
        (5, "# complete: sender.address: `sender.address` is missing, and an entry needs it"),
        (10, "# complete: auth.password: `relay.auth.password` is missing, and an entry needs it"),
    ]
    assert cli("validate", "my mail.yaml").status == 2


def test_the_report_of_a_spec_that_is_not_valid_yet_says_so_too(cli: Cli) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {"host": "h.example"}}))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json", "--format", "json")
    report = ran.json
    assert (ran.status, report["exit_status"], report["status"]) == (1, 1, "differs")
    assert [(one["severity"], one["rule"]) for one in report["findings"]][-1] == ("error", "incomplete-spec")
    assert "host: h.example" in report["converted"]


def test_the_last_line_names_some_of_many_lines_and_their_number(cli: Cli) -> None:
    realms = [{"realm": f"r{n}", "smtpServer": {"host": "h.example"}} for n in range(10)]
    cli.write("a.json", json.dumps(realms))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json")
    assert ran.status == 1
    assert "10 places to complete, marked by `# complete:` in lines 5, 8, 11 and 7 more" in ran.err.splitlines()[-1]


@pytest.mark.parametrize("to", [name for name in FORMATS if name not in ("spec", "realm-export")])
def test_a_result_in_another_format_than_a_spec_ends_with_0_whatever_it_lacks(to: str, cli: Cli) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {"host": "h.example"}}))
    assert cli("convert", "--from", "realm-export", "--to", to, "a.json").status == 0


def test_a_spec_that_is_valid_ends_with_0_and_validates(cli: Cli) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {**STORED, "fromDisplayName": "a\u200bb"}}))
    assert cli("convert", "--from", "realm-export", "--to", "spec", "a.json", "--out", "mail.yaml").status == 0
    assert cli("validate", "mail.yaml").status == 0
