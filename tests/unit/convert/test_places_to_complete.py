"""Values that only another tool can fill in are never values of a spec: a comment marks each place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cli import Cli
from support.results import rules

from ztrust_mail.convert import FORMATS
from ztrust_mail.convert.foreign_placeholders import UNKNOWN, has_placeholder, parse_placeholder
from ztrust_mail.convert.spec import mark_gaps
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import FIELDS, LOGIN, PASSWORD, REPLY_TO_NAME, SECURITY, USERNAME
from ztrust_mail.specfile.export import to_yaml

STORED = {
    "host": "smtp.example.com", "port": "587", "from": "a@b.example", "starttls": "true", "auth": "true", "user": "u",
    "password": "${PW}",
}  # fmt: skip
PLACEHOLDERS = [
    *("${local.domain}", "${var.x}", "$(env:X)", "$(X)", "{{ .Values.host }}", "{{x}}", "{% if x %}", "%{ if x }"),
    *("[[ x ]]", "<<x>>", "#{x}#", "%%X%%", "%X%", "@@x@@", "@smtp.host@", "__SMTP_HOST__", "%(host)s", "<% x %>"),
    *("$SMTP_HOST", "$host", ".Values.smtp.host", "Values.smtp.host", "var.host", "local.domain", "each.value"),
    *("each.value.host", "module.mail.host", "<CHANGE_ME>", "<your host>", "CHANGEME", "change-me", "TODO"),
    *("${lookup({a=1}, var.x)}", "{{ .Values.host", "host }}", "no-reply@${local.domain}", "smtp.$domain"),
    *("(known after apply)", "ENC[AES256,x]", "ref+vault://a/b", "op://vault/item", "env(X)", "$(file:UTF-8:$(env:X))"),
    *("((smtp-host))", "no-reply@((domain))", "no-reply@%DOMAIN%", "arn:aws:ssm:eu-central-1:1:parameter/x"),
]  # fmt: skip
VALUES = [
    *("smtp.example.com", "local.example.com", "data.example.com", "env.example.com", "Acme & Co <Berlin>", "50% off"),
    *("Todo App", "Cash $ Carry", "a@b.example", "${vault.key}", "[Acme]", "{Acme}", "C# Users", "100%", "$5 Club"),
    *("https://login.example.com/%AB%CD%20x", "Acme (Europe (West))", "arnold"),
]  # fmt: skip


def export(folder: Path, smtp: object, **more: object):
    path = folder / "acme.json"
    path.write_text(json.dumps({"realm": "acme", "smtpServer": smtp, **more}), encoding="utf-8")
    return FORMATS["realm-export"].read(str(path))


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_of_another_tool_is_recognised(text: str) -> None:
    assert has_placeholder(text)


@pytest.mark.parametrize("text", VALUES)
def test_a_value_is_not_taken_for_a_placeholder(text: str) -> None:
    assert not has_placeholder(text)


@pytest.mark.parametrize("text", PLACEHOLDERS)
@pytest.mark.parametrize("to", ["spec", "terraform", "ansible", "uipath"])
def test_no_format_gets_a_placeholder_as_a_value(to: str, text: str, cli: Cli) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {**STORED, "fromDisplayName": text, "extra": text}}))
    ran = cli("convert", "--from", "realm-export", "--to", to, "a.json")
    values = "\n".join(line for line in ran.out.splitlines() if "# complete:" not in line)
    assert text not in values
    assert ran.status == (1 if to == "spec" else 0)
    about = [line for line in ran.err.splitlines() if "`fromDisplayName`" in line or "sender.name" in line]
    assert len(about) == 1, about


def test_the_comment_is_at_its_place_and_the_last_line_counts(cli: Cli) -> None:
    given = {"from": "a@${d}", "fromDisplayName": "Acme", "port": "${P}", "user": "$(U)", "replyTo": "{{ r }}"}
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {**STORED, **given}}))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json")
    assert ran.out.splitlines()[3:] == [
        "  acme:",
        "    # complete: sender.address: `from` holds a placeholder of another tool: `a@${d}`",
        "    # complete: reply_to.address: `replyTo` holds a placeholder of another tool: `{{ r }}`",
        "    sender: {name: Acme}",
        "    relay:",
        "      # complete: port: `port` holds a placeholder of another tool: `${P}`",
        "      host: smtp.example.com",
        "      security: starttls",
        "      auth:",
        "        # complete: username: `user` holds a placeholder of another tool: `$(U)`",
        "        password: {env: PW}",
    ]
    assert "4 places to complete, marked by `# complete:` in lines 5, 6, 9 and 13" in ran.err.splitlines()[-1]


@pytest.mark.parametrize("to", ["spec", "terraform", "ansible", "kubernetes", "keycloak-config-cli", "uipath"])
def test_no_result_gives_a_command_to_a_ci_service(to: str, cli: Cli) -> None:
    names = {"fromDisplayName": "##vso[task.setvariable variable=PATH]x", "replyTo": "${##vso[task.x]}"}
    smtp = {**STORED, **names, "::error::x": "::error::y"}
    cli.write("a.json", json.dumps({"realm": "::error::z", "smtpServer": smtp}))
    ran = cli("convert", "--from", "realm-export", "--to", to, "a.json")
    assert "vso[task.setvariable" in ran.out
    assert re.findall(r"^\s*::.*|##\w*\[.*", ran.out + ran.err, re.MULTILINE) == []
    if to == "spec":
        fields = yaml.safe_load(ran.out)["realms"]["::error::z"]
        assert fields["sender"]["name"] == names["fromDisplayName"]


def test_an_optional_value_that_is_left_out_is_to_be_completed_too(cli: Cli) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {**STORED, "replyTo": "${R}"}}))
    assert cli("convert", "--from", "realm-export", "--to", "spec", "a.json", "--out", "mail.yaml").status == 1
    assert cli("validate", "mail.yaml").status == 0


@pytest.mark.parametrize("switch", ["starttls", "ssl"])
def test_half_of_two_switches_is_no_security(switch: str, tmp_path: Path, cli: Cli) -> None:
    smtp = {**STORED, "starttls": "false", "ssl": "false", switch: "${TLS}"}
    assert SECURITY not in export(tmp_path, smtp).realms["acme"]
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": smtp}))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json")
    assert "security:" not in ran.out.replace("# complete: security:", "")
    assert "# complete: security: " in ran.out


@pytest.mark.parametrize("text", ["((pw))", "<path:secret/data/smtp#pw>", "arn:aws:secretsmanager:x:y", UNKNOWN])
def test_a_secret_that_is_elsewhere_is_not_said_to_be_written_in_clear(text: str, tmp_path: Path) -> None:
    found = export(tmp_path, {**STORED, "password": text})
    assert rules(found) == ["placeholder"]
    assert str(found.realms["acme"][PASSWORD]) == "env:SMTP_PASSWORD_ACME"


@pytest.mark.parametrize("value", ["${AUTH}", ["x"]])
def test_a_login_of_which_nobody_knows_whether_it_is_on_is_left_out(value: object, tmp_path: Path) -> None:
    found = export(tmp_path, {**STORED, "auth": value})
    assert not {LOGIN, USERNAME, PASSWORD} & found.realms["acme"].keys()
    assert [(f.field) for f in found.findings] == [LOGIN]


def test_the_name_of_an_address_to_complete_stays(cli: Cli) -> None:
    cli.write(
        "a.json", json.dumps({"realm": "acme", "smtpServer": {**STORED, "replyTo": "${R}", "replyToDisplayName": "H"}})
    )
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json")
    assert "reply_to: {name: H}" in ran.out
    assert REPLY_TO_NAME not in ran.err


def test_a_realm_of_nothing_but_placeholders_is_an_entry_of_comments(cli: Cli) -> None:
    cli.write("a.json", json.dumps({"realm": "acme", "smtpServer": {"host": "${H}", "from": "${F}"}}))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json")
    assert ran.status == 1
    assert ran.out.count("# complete: ") == 2
    assert "disabled" not in ran.out
    assert cli("convert", "--from", "realm-export", "--to", "terraform", "a.json").status == 2


def test_a_realm_whose_e_mail_is_off_has_nothing_to_complete(cli: Cli) -> None:
    cli.write("acme.yaml", "{enable switch: off, SMTP HOST: h, Authorization Code: x}")
    ran = cli("convert", "--from", "oneaccess", "--to", "spec", "acme.yaml")
    assert (ran.status, ran.out.splitlines()[-1]) == (0, "  acme: {disabled: true}")


@pytest.mark.parametrize("name", ["${R}", "{{ realm }}", "$(env:R)", "<CHANGE_ME>"])
@pytest.mark.parametrize("source", ["realm-export", "ansible", "terraform"])
def test_a_placeholder_is_never_the_name_of_a_realm(source: str, name: str, cli: Cli) -> None:
    smtp = {"host": "h.example", "from": "a@b.example"}
    content = {
        "realm-export": json.dumps([{"realm": name, "smtpServer": smtp}, {"realm": "acme", "smtpServer": smtp}]),
        "ansible": json.dumps([{"keycloak_realm": {"realm": n, "smtp_server": smtp}} for n in (name, "acme")]),
        "terraform": json.dumps({"resource": {"keycloak_realm": {
            "a": {"realm": name, "smtp_server": smtp}, "b": {"realm": "acme", "smtp_server": smtp}}}}),
    }[source]  # fmt: skip
    path = cli.write("a.yml" if source == "ansible" else "a.json", content)
    ran = cli("convert", "--from", source, "--to", "spec", path)
    assert ran.status == 1
    assert list(yaml.safe_load(ran.out)["realms"]) == ["acme"]
    assert "  # REALM_1:\n  #   sender: {address: a@b.example}\n" in ran.out
    chosen = cli("convert", "--from", source, "--to", "spec", path, "--realm", "acme")
    assert (chosen.status, "REALM_1" in chosen.out + chosen.err) == (0, False)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("$(file:UTF-8:/run/secrets/pw)", SecretRef(SecretKind.FILE, ("/run/secrets/pw",))),
        ("${file:UTF-8:/run/secrets/pw}", SecretRef(SecretKind.FILE, ("/run/secrets/pw",))),
        ("@@PW@@", SecretRef(SecretKind.ENV, ("PW",))),
        *((text, SecretRef(SecretKind.ENV, ("SMTP_PASSWORD_ACME",))) for text in (
            "$(sys:pw)", "$(base64Decoder:$(env:X))", "${a}${b}", "<PASSWORD>", "ENC[AES256,x]", "op://a/b", "__PW__")),
    ],
)  # fmt: skip
def test_a_secret_that_another_tool_fills_in_becomes_a_reference(text, reference, tmp_path: Path) -> None:
    found = export(tmp_path, {**STORED, "password": text})
    assert found.realms["acme"][PASSWORD] == reference
    assert rules(found) == (["placeholder"] if "ACME" in str(reference) else [])
    assert parse_placeholder(text) is not None


def test_a_default_of_a_secretive_attribute_is_not_shown(tmp_path: Path) -> None:
    found = export(tmp_path, {**STORED, "smtpPassword": "${PW:-hunter2-canary}"})
    assert "hunter2-canary" not in repr(found)


_fields = st.sampled_from([name for name in FIELDS if not name.startswith("notify.")])
_REALM = st.sampled_from(["acme", "a: b", "# x", "true", "é\u2028x"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(realm=_REALM, kept=st.sets(_fields, max_size=6), missing=st.sets(_fields, min_size=1, max_size=4))
def test_comments_change_nothing_of_a_spec_and_their_lines_are_true(realm, kept, missing) -> None:
    entry = {name: "x" for name in FIELDS if name in kept - missing}
    text = to_yaml({"other": {"relay.host": "h"}, realm: entry}, {})
    marked, lines = mark_gaps(text, {realm: dict.fromkeys(missing, "why: # \u2028 not")})
    assert yaml.safe_load(marked) == yaml.safe_load(text)
    found = [n for n, line in enumerate(marked.split("\n"), 1) if line.lstrip().startswith("# complete: ")]
    assert lines == found
    assert len(lines) == len(missing)


# files of which a part cannot be read


def test_what_can_be_read_is_converted_and_the_rest_is_reported(cli: Cli) -> None:
    folder = cli.folder / "exports"
    folder.mkdir()
    good = {"host": "h.example", "from": "a@b.example"}
    (folder / "a.json").write_text(json.dumps({"realm": "acme", "smtpServer": good}))
    (folder / "b.json").write_text('{"realm": "globex", "smtpServer": {"host"')
    (folder / "c.json").write_bytes(json.dumps({"realm": "x", "smtpServer": good}).encode("utf-16"))
    (folder / "d.json").write_text(json.dumps([{"realm": "two", "smtpServer": good}] * 2))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "exports", "--out", "mail.yaml")
    assert ran.status == 4
    assert list(yaml.safe_load(Path("mail.yaml").read_text())["realms"]) == ["acme"]
    assert "exports/b.json:1:42: error: " in ran.err
    assert "exports/c.json:1:1: error: the file is UTF-16; save it as UTF-8 [not-utf-8]" in ran.err
    assert "defined-twice" in ran.err
    assert ran.err.splitlines()[-1] == (
        "ztrust-mail: error: a part of the files was not converted: 3 errors, as listed above; "
        "correct the files, then convert again [partly-converted]"
    )
    assert cli("validate", "mail.yaml").status == 0
    chosen = cli("convert", "--from", "realm-export", "--to", "spec", "exports", "--realm", "two")
    assert (chosen.status, chosen.out) == (2, "")


def test_a_realm_with_the_name_of_a_stand_in_is_another_realm(cli: Cli) -> None:
    named = [
        {"realm": name, "smtpServer": {"host": f"h{n}", "from": "a@b.example"}}
        for n, name in enumerate(("${R}", "REALM_1"))
    ]
    cli.write("a.json", json.dumps(named))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json")
    assert yaml.safe_load(ran.out)["realms"]["REALM_1"]["relay"]["host"] == "h1"
    assert "  #   relay: {host: h0, " in ran.out


UNREADABLE = {
    "terraform": """
resource "keycloak_realm" "b" {
  realm = "b"
  dynamic "smtp_server" {
    for_each = x
    content {}
  }
}
resource "keycloak_realm" "acme" {
  realm = "acme"
  smtp_server {
    host = "h"
    from = "a@b.example"
  }
}
""",
    "ansible": """
- keycloak_realm: {realm: acme, smtp_server: {host: h, from: a@b.example}}
- keycloak_realm: realm=b smtp_server={{ smtp }}
""",
}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("terraform", "the smtp_server block is dynamic, so its content is unknown offline"),
        ("ansible", "the task's arguments are not a mapping"),
    ],
)
def test_a_realm_whose_settings_cannot_be_read_is_an_error_beside_the_others(source, says, cli: Cli) -> None:
    path = cli.write("a.tf" if source == "terraform" else "a.yml", UNREADABLE[source])
    ran = cli("convert", "--from", source, "--to", "spec", path)
    assert ran.status == 4
    assert list(yaml.safe_load(ran.out)["realms"]) == ["acme"]
    assert f"error: {says}" in ran.err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.tf"])
def test_a_file_in_utf_16_is_refused_as_such(name: str, encoding: str, cli: Cli) -> None:
    source = {"a.json": "realm-export", "a.yaml": "spec", "a.tf": "terraform"}[name]
    (cli.folder / name).write_bytes('{"realm": "é"}\n'.encode(encoding))
    ran = cli("convert", "--from", source, "--to", "keycloak", name)
    assert (ran.status, ran.out) == (2, "")
    assert "the file is UTF-16; save it as UTF-8 [not-utf-8]" in ran.err


def test_equal_warnings_of_many_realms_are_one_line_unless_details_are_wanted(cli: Cli) -> None:
    realms = [{"realm": f"tenant-{n:03}", "smtpServer": {**STORED, "port": "${PORT}"}} for n in range(300)]
    cli.write("a.json", json.dumps(realms))
    ran = cli("convert", "--from", "realm-export", "--to", "spec", "a.json", "--out", "mail.yaml")
    assert len(ran.err.splitlines()) == 2
    assert "300 realms (tenant-000 … tenant-299): warning: `port` holds a placeholder" in ran.err
    detailed = cli("convert", "--details", "--from", "realm-export", "--to", "spec", "a.json")
    assert len(detailed.err.splitlines()) == 301
