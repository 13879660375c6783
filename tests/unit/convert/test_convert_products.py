"""The products as formats: bodies for an API, sheets to type from, and settings that move between any two."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import Phase, given, settings
from support.cli import Cli
from support.converting import convert
from support.products import ALL, LOGGED_IN, PIGEON, REF, SAMPLES, lost_by, meant, moved_maps
from support.products import FORMAT_SUFFIXES as SUFFIX
from support.results import left_out, rules

from ztrust_mail.convert import FORMATS, Format, ReadResult, Style, style_of
from ztrust_mail.convert.attributes import add_implied_fields, attributes_of
from ztrust_mail.convert.product import Product
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Severity, has_errors
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.dialects.dialect import BodyFormat, Dialect, labels_of
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.products.omnibyte import OMNIBYTE
from ztrust_mail.dialects.products.oneaccess import ONEACCESS
from ztrust_mail.dialects.products.uipath import UIPATH
from ztrust_mail.model.fields import ABSENT, LOGIN, PASSWORD, PORT, SECURITY, FieldMap, Raw, Security

RANDOM = settings(max_examples=25, deadline=None, derandomize=True)
FEW = settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
CANARY = "hunter2-canary"
PRODUCTS = {name: Product(dialect) for name, dialect in ALL.items()}
ANY: Mapping[str, Format] = {**FORMATS, **PRODUCTS}


def read(folder: Path, format: Format, text: str, suffix: str = "", file: str = "acme") -> ReadResult:
    path = folder / f"{file}{suffix or SUFFIX.get(format.name, '.json')}"
    path.write_text(text, encoding="utf-8")
    return format.read(str(path))


# there and back


@pytest.mark.parametrize("style", [Style.JSON, Style.TEXT])
@pytest.mark.parametrize("product", ALL)
def test_a_product_keeps_all_it_can_hold_and_lists_exactly_what_it_cannot(
    product: str, style: Style, tmp_path: Path
) -> None:
    @RANDOM
    @given(fields=moved_maps)
    def there_and_back(fields: FieldMap) -> None:
        written = PRODUCTS[product].write({"acme": fields}, style)
        in_vault = getattr(fields.get(PASSWORD), "kind", None) is SecretKind.KEYCLOAK_VAULT
        moved_out = {PASSWORD} if in_vault and product not in ("keycloak", "ztrust") else set()
        lost = lost_by(product, {**fields, PASSWORD: REF} if moved_out else fields) | moved_out
        told = {f.field for f in written.findings if f.rule == "cannot-hold" and f.severity is Severity.WARNING}
        assert told == lost
        back = read(tmp_path, PRODUCTS[product], written.text, ".txt" if style is Style.TEXT else ".json")
        assert not has_errors(back.findings)
        followed = lost & {"relay.auth.username", SECURITY}  # from the address, and from the port
        found = {n: v for n, v in meant(back.realms["acme"]).items() if n not in followed | moved_out}
        assert moved_out <= back.realms["acme"].keys()
        assert found == {n: v for n, v in meant(fields).items() if n not in lost | left_out(back)}

    there_and_back()


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(ANY, 2)])
def test_between_any_two_formats_nothing_is_lost_that_is_not_listed(first: str, second: str, tmp_path: Path) -> None:
    one, other = ANY[first], ANY[second]

    @FEW
    @given(fields=moved_maps)
    def moved(fields: FieldMap) -> None:
        listed: set[str] = set()
        now = fields
        for passed in (one, other):
            written = passed.write({"acme": now})
            back = read(tmp_path, passed, written.text)
            assert not has_errors(back.findings)
            listed |= {str(f.field) for f in written.findings if f.rule == "cannot-hold"} | left_out(back)
            now = back.realms.get("acme", {})
        for name, value in meant(fields).items():
            assert name in listed or now.get(name) == value

    moved()


@pytest.mark.parametrize("product", SAMPLES)
def test_a_products_own_sample_moves_into_a_spec_and_back(product: str, tmp_path: Path) -> None:
    attributes, fields = SAMPLES[product]
    body: object = attributes
    if product == "uipath":
        body = [{"key": key, "value": text} for key, text in attributes.items()]
    found = read(tmp_path, PRODUCTS[product], json.dumps(body))
    expected = {**fields, PASSWORD: SecretRef(SecretKind.ENV, ("SMTP_PASSWORD_ACME",))}
    assert found.realms == {"acme": expected}
    assert {f.severity for f in found.findings} <= {Severity.WARNING, Severity.NOTE}
    again = read(tmp_path, FORMATS["spec"], FORMATS["spec"].write(found.realms).text)
    assert meant(again.realms["acme"]) == meant(expected)
    sheet = PRODUCTS[product].write(again.realms, Style.TEXT)
    shown = yaml.load(sheet.text, yaml.BaseLoader)["acme"]
    labels = labels_of(ALL[product])
    secret = next(n for n, name in ALL[product].attribute_names.items() if name == PASSWORD)
    wanted = {labels[n]: text for n, text in attributes.items()} | {labels[secret]: "${SMTP_PASSWORD_ACME}"}
    assert {label: text for label, text in shown.items() if text} == {label: t for label, t in wanted.items() if t}


# what absence means


@pytest.mark.parametrize(
    ("product", "attributes", "expected"),
    [
        ("oneaccess", {"SMTP HOST": "h"}, {PORT: 465, SECURITY: Security.TLS}),
        ("oneaccess", {"SMTP HOST": "h", "SMTP Port": 587}, {PORT: 587, SECURITY: Security.TLS}),
        ("pigeon", {"loft": "h"}, {PORT: 2525}),
        ("keycloak", {"host": "h"}, {}),
    ],
)
def test_values_that_a_product_fills_in_itself_are_converted_too(
    product: str, attributes: Mapping[str, object], expected: FieldMap, tmp_path: Path
) -> None:
    found = read(tmp_path, PRODUCTS[product], json.dumps(attributes))
    assert found.realms["acme"] == {"relay.host": "h", **expected}


@pytest.mark.parametrize("product", ["omnibyte", "uipath", "digitanium"])
def test_a_port_that_only_the_product_knows_is_reported(product: str, tmp_path: Path) -> None:
    row = ALL[product].row("relay.host")
    assert row is not None
    found = read(tmp_path, PRODUCTS[product], json.dumps({row.natives[0]: "h"}))
    assert [f.message for f in found.findings if f.field == PORT] == [
        f"there is no port, and the default of {ALL[product].title} is unknown; 25 is assumed"
    ]


@pytest.mark.parametrize(
    ("product", "native", "text"),
    [("omnibyte", "Port Number", "25"), ("oneaccess", "Security type", "none"), ("digitanium", "port", "25")],
)
def test_defaults_of_keycloak_are_written_for_products_with_other_defaults(
    product: str, native: str, text: str
) -> None:
    written, _ = attributes_of(ALL[product], "acme", {"relay.host": "h", "relay.auth": ABSENT})
    assert written is not None
    assert written[native] == text


def test_a_realm_without_email_is_nothing_to_complete() -> None:
    assert add_implied_fields(ONEACCESS, {}) == {}


# no e-mail


def test_a_switch_that_is_off_is_a_realm_without_email_and_other_settings_are_reported(tmp_path: Path) -> None:
    text = f"{{enable switch: OFF, SMTP HOST: h, SMTP Port: , Authorization Code: {CANARY}}}"
    found = read(tmp_path, PRODUCTS["oneaccess"], text, ".yaml")
    assert found.realms == {"acme": {}}
    assert [(f.rule, f.field) for f in found.findings] == [
        ("plain-secret", PASSWORD), ("switched-off", None), ("realm-name", None),
    ]  # fmt: skip
    assert "`SMTP HOST`, `Authorization Code`" in found.findings[1].message
    assert rules(read(tmp_path, PRODUCTS["oneaccess"], "{enable switch: off}", ".yaml")) == ["realm-name"]
    assert CANARY not in repr(found)
    assert json.loads(PRODUCTS["oneaccess"].write({"acme": {}}, Style.JSON).text) == {"enable switch": "off"}


@pytest.mark.parametrize("product", ["omnibyte", "uipath", "digitanium", "pigeon"])
def test_no_email_is_reported_where_a_product_cannot_say_it(product: str) -> None:
    written = PRODUCTS[product].write({"acme": {}}, Style.JSON)
    assert written.text == ""
    assert [(f.rule, f.realm) for f in written.findings] == [("cannot-hold", "acme")]


@pytest.mark.parametrize("product", ["keycloak", "ztrust"])
def test_no_email_is_an_empty_map_on_keycloak(product: str, tmp_path: Path) -> None:
    written = PRODUCTS[product].write({"acme": {}})
    assert written.text == "{}\n"
    assert read(tmp_path, PRODUCTS[product], written.text).realms == {"acme": {}}


# values that are odd


def test_unusual_values_are_moved_unchanged_or_reported_as_lost() -> None:
    odd: FieldMap = {"relay.host": "h", PORT: Raw("abc"), SECURITY: Raw("SSL"), PASSWORD: Raw("${vault.a b}")}
    on_keycloak, found = attributes_of(KEYCLOAK, "acme", odd)
    assert on_keycloak == {"host": "h", "port": "abc", "password": "${vault.a b}"}
    assert [f.field for f in found if f.rule == "cannot-hold"] == [SECURITY]
    on_oneaccess, found = attributes_of(ONEACCESS, "acme", odd)
    assert on_oneaccess == {"enable switch": "on", "SMTP HOST": "h", "SMTP Port": "abc", "Security type": "SSL"}
    assert [f.field for f in found if f.rule == "cannot-hold"] == [PASSWORD]


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_a_kind_of_encryption_that_a_product_cannot_hold_is_still_encryption(security: Security) -> None:
    fields = {**LOGGED_IN, SECURITY: security, PORT: 465 if security is Security.STARTTLS else 2525}
    written, found = attributes_of(OMNIBYTE, "acme", fields)
    assert written is not None
    assert written["Enable SSL"] == "on"
    (told,) = [f for f in found if f.field == SECURITY]
    assert (told.rule, told.realm) == ("cannot-hold", "acme")
    assert told.hint.startswith("written as encrypted;")
    nowhere = replace(OMNIBYTE, rows=tuple(row for row in OMNIBYTE.rows if row.field != SECURITY))
    _, found = attributes_of(nowhere, "acme", fields)
    assert [f.hint for f in found if f.field == SECURITY] == ["left out; set it by other means"]


def test_removals_of_a_spec_are_reported_as_left_out() -> None:
    _, found = attributes_of(KEYCLOAK, "acme", {**LOGGED_IN, "extra.x": ABSENT})
    assert [(f.severity, f.rule, f.realm) for f in found] == [(Severity.NOTE, "cannot-hold", "acme")]
    assert attributes_of(ONEACCESS, "acme", {**LOGGED_IN, "extra.x": ABSENT})[1] == []


# sheets


@pytest.mark.parametrize("dialect", [ONEACCESS, OMNIBYTE])
def test_a_sheet_lists_the_fields_of_a_form_in_the_order_of_its_page(dialect: Dialect) -> None:
    text = Product(dialect).write({"acme": LOGGED_IN}).text
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    assert [line.partition(":")[0] for line in lines] == list(labels_of(dialect))
    assert [advice for advice in dialect.advice if f"# [ ] {advice}" not in text] == []


def test_a_sheet_lists_the_fields_of_ztrusts_tab_in_its_order() -> None:
    text = PRODUCTS["ztrust"].write({"acme": LOGGED_IN}, Style.TEXT).text
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    assert [line.partition(":")[0] for line in lines] == [
        "From", "From Display Name", "Reply To", "Reply To Display Name", "Envelope From", "Host", "Port", "Enable SSL",
        "Enable StartTLS", "Authentication", "authType", "Username", "Password",
    ]  # fmt: skip


def test_a_sheet_shows_the_defaults_of_a_spec() -> None:
    assert "enable switch:      on" in PRODUCTS["oneaccess"].write({"acme": LOGGED_IN}).text
    assert "Connection Type:    SMTP" in PRODUCTS["omnibyte"].write({"acme": LOGGED_IN}).text


def test_a_sheet_of_text_is_readable_on_80_columns() -> None:
    for product in ("oneaccess", "omnibyte"):
        text = PRODUCTS[product].write({"acme": LOGGED_IN}).text
        assert max(map(len, text.splitlines())) <= 80


def test_advice_that_is_long_is_wrapped() -> None:
    text = Product(replace(OMNIBYTE, advice=("word " * 40,))).write({"acme": LOGGED_IN}).text
    assert max(map(len, text.splitlines())) <= 80
    assert all(line.startswith("#") for line in text.partition("Before")[2].splitlines()[1:])


@pytest.mark.parametrize(
    "text",
    ["a: b # c", "'q'", "0587", "TRUE", "true", "on", "null", "~", "on 1", "\u202ex", "\U000e0001", "😀", "-", "{x}"],
)
def test_a_sheet_reads_back_whatever_a_value_looks_like(text: str, tmp_path: Path) -> None:
    fields = {**LOGGED_IN, "sender.name": text}
    written = PRODUCTS["oneaccess"].write({text: fields})
    assert read(tmp_path, PRODUCTS["oneaccess"], written.text, ".txt").realms == {text: fields}


def test_a_sheet_without_settings_can_be_written(tmp_path: Path) -> None:
    written = Product(PIGEON).write({"acme": {}}, Style.TEXT)
    assert written.text.startswith("# Pigeon\n")
    bare = replace(PIGEON, rows=(), disabled_attributes={}, name="bare")
    assert "acme: {}" in Product(bare).write({"acme": {}}, Style.TEXT).text


@pytest.mark.parametrize(
    ("suffix", "style"),
    [(".txt", Style.TEXT), (".YAML", Style.TEXT), (".md", Style.MARKDOWN), (".htm", Style.HTML), (".json", Style.JSON),
     (".pdf", None), ("", None)],
)  # fmt: skip
def test_the_suffix_of_a_file_decides_the_style_of_a_sheet(suffix: str, style: Style | None) -> None:
    assert style_of(suffix) is style


# how people really write these files


@pytest.mark.parametrize(
    "text",
    [
        '[{"key": "Email.Smtp.Host", "value": "h", "userId": "p"}, {"key": "Email.Smtp.Port", "value": "25"}]',
        '{"Settings": [{"Key": "Email.Smtp.Host", "Value": "h"}, {"Key": "Email.Smtp.Port", "Value": "25"}], "x": ""}',
        '{"Email.Smtp.Host": "h", "Email.Smtp.Port": 25}',
        '{"SMTP Host": "h", "SMTP Port": 25}',
    ],
)
def test_uipaths_settings_are_read_in_every_form_they_come_in(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, Product(UIPATH), text).realms == {"acme": {"relay.host": "h", PORT: 25}}


def test_several_realms_are_written_as_one_object_with_a_note(tmp_path: Path) -> None:
    realms = {"acme": LOGGED_IN, "settings": LOGGED_IN, "realm": LOGGED_IN}
    written = PRODUCTS["uipath"].write(realms)
    assert [f.rule for f in written.findings] == ["several-realms"]
    assert read(tmp_path, PRODUCTS["uipath"], written.text).realms == realms


def test_a_realm_is_named_after_its_file_where_the_file_names_none(tmp_path: Path) -> None:
    found = read(tmp_path, PRODUCTS["digitanium"], '{"host": "h", "from": "a@b.example", "port": "25"}', file="globex")
    assert list(found.realms) == ["globex"]
    assert rules(found) == ["realm-name"]


@pytest.mark.parametrize(
    ("product", "text", "rule"),
    [
        ("oneaccess", "{SMTP HOST: h, SMTP HOST: i}", "duplicate-key"),
        ("ztrust", "{From: a@b.example, from: a@b.example}", "duplicate-key"),
        ("uipath", "[{key: Email.Smtp.Host, value: h}, {key: Email.Smtp.Host, value: i}]", "duplicate-key"),
        ("uipath", "[{value: h}]", "not-a-map"),
        ("uipath", "[h]", "not-a-map"),
        ("digitanium", "[{host: h}]", "not-a-map"),
        ("oneaccess", "nothing", "not-a-map"),
        ("keycloak", "{realm: acme, smtpServer: {}}", "not-a-map"),
        ("keycloak", "{version: 1, realms: {}}", "not-a-map"),
        ("oneaccess", "{a: {SMTP HOST: h}", "yaml-syntax"),
        ("oneaccess", "", "empty-file"),
    ],
)
def test_an_ambiguous_file_stops_the_conversion(product: str, text: str, rule: str, cli: Cli) -> None:
    cli.write("a.yaml", text)
    report = cli.json("convert", "--from", product, "--to", "spec", "a.yaml")
    assert report["exit_status"] == 2
    assert rule in [found["rule"] for found in report["findings"]]
    assert "converted" not in report


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("acme.json", "sub/acme.json"):
        (tmp_path / name).write_text('{"host": "h"}')
    assert "defined-twice" in rules(PRODUCTS["digitanium"].read(str(tmp_path)))


# bad input


@pytest.mark.parametrize(
    ("product", "change", "expected"),
    [
        ("ztrust", {"from": None}, ("missing-field", "sender.address")),
        ("ztrust", {"port": "70000"}, ("bad-value", PORT)),
        ("ztrust", {"starttls": "true"}, ("both-switches", SECURITY)),
        ("oneaccess", {"Authorization Code": None}, ("missing-field", PASSWORD)),
        ("oneaccess", {"SMTP Port": "x"}, ("bad-value", PORT)),
        ("oneaccess", {"Security type": "SSL"}, ("outdated-ssl", SECURITY)),
        ("oneaccess", {"Security type": "none"}, ("not-encrypted", SECURITY)),
        ("oneaccess", {"SMTP Hots": "h"}, ("unknown-attribute", "SMTP Hots")),
        ("omnibyte", {"SMTP Server": ""}, ("missing-field", "relay.host")),
        ("omnibyte", {"Port Number": "0"}, ("bad-value", PORT)),
        ("omnibyte", {"Enable SSL": "off"}, ("not-encrypted", SECURITY)),
        ("digitanium", {"host": ""}, ("missing-field", "relay.host")),
        ("digitanium", {"port": "65536"}, ("bad-value", PORT)),
        ("digitanium", {"ssl": True}, ("both-switches", SECURITY)),
        ("digitanium", {"user": None}, ("login-off", "relay.auth.username")),
        ("uipath", {"Email.Smtp.FromEmail": "a@b.example"}, ("from-is-not-user", "sender.address")),
        ("uipath", {"Email.Smtp.Port": "-1"}, ("bad-value", PORT)),
        ("uipath", {"Email.Smtp.Port": "465"}, ("google", PORT)),
        ("uipath", {"Email.Smtp.Host": None}, ("missing-field", "relay.host")),
        ("uipath", {"Email.Smtp.UseDefaultCredentials": "true"}, ("bad-value", LOGIN)),
        ("uipath", {"Auth.Password.Length": "9"}, ("unknown-attribute", "Auth.Password.Length")),
    ],
)
def test_problems_of_product_settings_are_reported_with_their_place(
    product: str, change: Mapping[str, object], expected: tuple[str, str], tmp_path: Path
) -> None:
    text = json.dumps({**SAMPLES[product][0], **change}, indent=1)
    found = read(tmp_path, PRODUCTS[product], text)
    matching = [f for f in found.findings if (f.rule, f.field) == expected]
    assert len(matching) == 1
    assert matching[0].location is not None
    assert matching[0].location.line > 0
    assert (matching[0].realm, matching[0].severity) == ("acme", Severity.WARNING)
    assert matching[0].hint
    assert not has_errors(found.findings)


@pytest.mark.parametrize("product", SAMPLES)
def test_a_password_in_a_products_file_is_pointed_out_and_shown_nowhere(product: str, cli: Cli) -> None:
    attributes = dict(SAMPLES[product][0])
    secret = next(n for n, name in ALL[product].attribute_names.items() if name == PASSWORD)
    cli.write("acme.json", json.dumps({**attributes, secret: CANARY}))
    for target in [name for name in FORMATS if name != product]:
        ran = cli("convert", "--from", product, "--to", target, "acme.json")
        assert ran.status == 0
        assert "plain-secret" in ran.err
        assert "SMTP_PASSWORD_ACME" in ran.out
    for style in Style:
        ran = cli("convert", "--from", product, "--to", product, "--as", style, "acme.json")
        assert ran.status == 0
        assert "${SMTP_PASSWORD_ACME}" in ran.out
    assert CANARY not in "".join(cli.seen)


def test_a_vaults_reference_is_none_in_a_product_without_a_vault(tmp_path: Path) -> None:
    found = read(tmp_path, PRODUCTS["digitanium"], '{"host": "h", "user": "u", "password": "${vault.key}"}')
    assert "plain-secret" in rules(found)
    assert found.realms["acme"][PASSWORD] == SecretRef(SecretKind.ENV, ("SMTP_PASSWORD_ACME",))


# a sixth product


def test_a_product_needs_one_table_and_nothing_else(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "pigeon", Product(replace(PIGEON, body_format=BodyFormat.FORM, advice=("Feed it.",))))  # type: ignore[arg-type]
    cli.write(
        "a.json", json.dumps({"realm": "acme", "smtpServer": {"host": "h", "from": "a@b.example", "replyTo": "x"}})
    )
    sheet = cli("convert", "--from", "realm-export", "--to", "pigeon", "a.json", "--out", "sheet.txt")
    assert "Pigeon does not support `reply_to.address`" in sheet.err
    text = (cli.folder / "sheet.txt").read_text()
    shown = "".join(line for line in text.splitlines(keepends=True) if not line.strip().startswith("#"))
    assert "  Loft:     h\n  Hatch:    25\n  Armour:   feathers\n" in shown
    assert "# [ ] Feed it." in text
    spec = cli("convert", "--from", "pigeon", "--to", "spec", "sheet.txt")
    assert yaml.safe_load(spec.out)["realms"]["acme"] == {
        "sender": {"address": "a@b.example"}, "relay": {"host": "h", "port": 25, "security": "none"},
    }  # fmt: skip
    assert cli("convert", "--from", "pigeon", "--to", "ansible", "sheet.txt").status == 0


# the command


CHAIN = (
    *("oneaccess", "uipath", "terraform", "omnibyte", "ansible", "digitanium", "realm-export", "ztrust", "oneaccess"),
    "spec",
)


def test_settings_converted_forth_and_back_on_the_command_line_are_equal(cli: Cli) -> None:
    cli.write("mail.yaml", FORMATS["spec"].write({"acme": LOGGED_IN}).text)
    ran = cli("convert", "--from", "spec", "--to", "oneaccess", "mail.yaml")
    for source, target in itertools.pairwise(CHAIN):
        suffix = SUFFIX.get(source, ".json")
        cli.write(f"acme{suffix}", ran.out)
        ran = cli("convert", "--from", source, "--to", target, f"acme{suffix}")
        assert ran.status == 0
        if target == "omnibyte":
            assert "Omnibyte does not support `sender.name`" in ran.err
    cli.write("back.yaml", ran.out)
    wanted = {n: v for n, v in LOGGED_IN.items() if n != "sender.name"}
    assert meant(FORMATS["spec"].read("back.yaml").realms["acme"]) == wanted


def test_the_style_comes_from_the_files_name_unless_it_is_given(cli: Cli) -> None:
    cli.write("mail.yaml", FORMATS["spec"].write({"acme": LOGGED_IN}).text)
    command = ("convert", "--from", "spec", "--to", "omnibyte", "mail.yaml")
    for name, start in {"a.html": "<!doctype", "a.md": "# Omnibyte", "a.json": "{", "a.txt": "# Omnibyte"}.items():
        assert cli(*command, "--out", name).status == 0
        assert (cli.folder / name).read_text().startswith(start)
    assert cli(*command, "--out", "b.html", "--as", "json").status == 0
    assert (cli.folder / "b.html").read_text().startswith("{")
    assert cli("convert", "--from", "spec", "--to", "terraform", "mail.yaml", "--out", "a.yml").status == 0


def test_a_sheet_is_read_from_standard_input(cli: Cli) -> None:
    sheet = PRODUCTS["oneaccess"].write({"acme": LOGGED_IN}).text
    ran = cli("convert", "--from", "oneaccess", "--to", "keycloak", "-", stdin=sheet)
    assert json.loads(ran.out)["host"] == "smtp.example.com"


def test_a_products_sheet_may_be_converted_to_another_style_and_other_formats_have_no_style(
    cli: Cli, tmp_path: Path
) -> None:
    cli.write("acme.txt", PRODUCTS["oneaccess"].write({"acme": LOGGED_IN}).text)
    assert cli("convert", "--from", "oneaccess", "--to", "oneaccess", "acme.txt").status == 2
    assert cli("convert", "--from", "oneaccess", "--to", "oneaccess", "acme.txt", "--as", "html").status == 0
    with pytest.raises(UsageError, match="has no styles"):
        convert(FORMATS["oneaccess"], FORMATS["spec"], "acme.txt", Style.HTML)


def test_a_finding_of_both_formats_is_reported_once(cli: Cli) -> None:
    cli.write("a.json", '{"host": "h"}')
    ran = cli("convert", "--from", "keycloak", "--to", "ztrust", "a.json")
    assert ran.err.count("sender.address") == 2  # one line: what is needed, and what to set


@pytest.mark.parametrize("target", ["uipath", "ansible", "terraform"])
def test_realms_are_chosen_by_name_and_by_pattern(cli: Cli, target: str) -> None:
    cli.write("mail.yaml", FORMATS["spec"].write({"acme": LOGGED_IN, "bank": {}, "bar": LOGGED_IN}).text)
    ran = cli("convert", "--from", "spec", "--to", target, "mail.yaml", "--realm", "ac*", "--realm", "b?r")
    assert ran.status == 0
    assert "acme" in ran.out
    assert "bar" in ran.out
    assert "bank" not in ran.out + ran.err


def test_a_realm_that_is_not_chosen_may_be_wrong(cli: Cli) -> None:
    spec = FORMATS["spec"].write({"acme": LOGGED_IN}).text + "  wrong: {}\n"
    cli.write("mail.yaml", spec)
    assert cli("convert", "--from", "spec", "--to", "uipath", "mail.yaml").status == 4
    ran = cli("convert", "--from", "spec", "--to", "uipath", "mail.yaml", "--realm", "acme")
    assert (ran.status, ran.err) == (0, "")


@pytest.mark.parametrize(("pattern", "says"), [("acne", "did you mean `acme`?"), ("zzz*", "realms found: `acme`")])
def test_a_pattern_that_matches_no_realm_is_refused(cli: Cli, pattern: str, says: str) -> None:
    cli.write("mail.yaml", FORMATS["spec"].write({"acme": LOGGED_IN}).text)
    ran = cli("convert", "--from", "spec", "--to", "uipath", "mail.yaml", "--realm", pattern)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err


@pytest.mark.parametrize(
    ("target", "said"), [("keycloak", '"ssl": "true"'), ("spec", "security: tls"), ("omnibyte", "on")]
)
def test_settings_with_ssl_stay_encrypted_in_every_format(cli: Cli, target: str, said: str) -> None:
    sheet = "SMTP HOST: h.example\nEmail Address: a@b.example\nSender Name: A\nSecurity type: SSL\n"
    ran = cli("convert", "--from", "oneaccess", "--to", target, "-", stdin=sheet)
    assert ran.status == 0
    assert said in ran.out
    assert "`Security type` is SSL, which is outdated; choose TLS" in ran.err
