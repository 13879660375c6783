"""The products' tables: their samples, their constraints, and moving settings between any two of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mail_settings import shown
from support.products import ALL, REF, SAMPLES, VAULT, as_shown, lost_by, moved_maps, off

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.codecs import Port
from ztrust_mail.dialects.dialect import CANNOT_HOLD, BodyFormat, Dialect
from ztrust_mail.dialects.products.digitanium import DIGITANIUM
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.products.omnibyte import OMNIBYTE
from ztrust_mail.dialects.products.oneaccess import ONEACCESS
from ztrust_mail.dialects.products.uipath import UIPATH
from ztrust_mail.dialects.products.ztrust import ZTRUST
from ztrust_mail.dialects.row import Attributes, Constraint, Row, parse_version
from ztrust_mail.model.fields import (
    ABSENT,
    ALERTS,
    RECIPIENTS,
    Duration,
    FieldMap,
    Login,
    Masked,
    Raw,
    Security,
    field_of,
)
from ztrust_mail.settings import FILES, GATEWAYS

RANDOM = settings(max_examples=60, deadline=None, derandomize=True)


def through(dialect: Dialect, fields: FieldMap) -> FieldMap:
    """Return what comes back of settings that were written into a product."""
    refs = {n: REF if isinstance(v, Masked) else v for n, v in fields.items()}
    values = {value: Secret("s") for value in refs.values() if isinstance(value, SecretRef)}
    return dialect.decode(shown(dialect.encode(refs, values)))


def said(fields: FieldMap) -> FieldMap:
    return {name: as_shown(value) for name, value in fields.items() if not off(value)}


# Moving settings


@pytest.mark.parametrize("product", ALL)
@RANDOM
@given(fields=moved_maps)
def test_a_product_keeps_all_it_can_hold_and_lists_exactly_what_it_cannot(product: str, fields: FieldMap) -> None:
    dialect = ALL[product]
    lacking = dialect.unsupported_findings(fields)
    lost = lost_by(product, fields)
    assert {finding.field for finding in lacking} == lost
    assert len(lacking) == len(lost)
    held = dialect.storable(fields)
    assert dict(held) == {name: value for name, value in fields.items() if name not in lost}
    # an account follows from the sender where it is no setting of its own
    implied = {"relay.auth.username"} if product == "oneaccess" and "relay.auth.username" in lost else set()
    assert {n: v for n, v in said(through(dialect, held)).items() if n not in implied} == said(held)


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(ALL, 2)])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(fields=moved_maps)
def test_between_any_two_products_nothing_is_lost_that_is_not_listed(first: str, second: str, fields: FieldMap) -> None:
    one, other = ALL[first], ALL[second]
    arrived = through(one, one.storable(fields))
    moved = through(other, other.storable(arrived))
    listed = {f.field for f in (*one.unsupported_findings(fields), *other.unsupported_findings(arrived))}
    for name, value in said(fields).items():
        assert name in listed or moved.get(name) == value
    assert other.unsupported_findings(moved) == ()
    assert said(through(other, moved)) == said(moved)


@pytest.mark.parametrize("dialect", [*ALL.values()], ids=[*ALL])
@RANDOM
@given(data=st.data())
def test_any_product_settings_can_be_decoded_and_valid_ones_are_encoded_unchanged(
    dialect: Dialect, data: st.DataObject
) -> None:
    words = st.sampled_from(["true", "TRUE", "off", "on", "SSL", "tls", "none", "465", "0587", "x", "", "a@b.example"])
    attributes = data.draw(st.dictionaries(st.sampled_from([*dialect.attribute_names, "other"]), words | st.text()))
    fields = dialect.decode(attributes)
    held = dialect.storable(fields)
    assert {name for name in fields if name not in held} == {
        finding.field for finding in dialect.unsupported_findings(fields)
    }
    assert dialect.storable(held) == held
    back = through(dialect, held)
    assert all(dialect.effective_value(name, back.get(name)) == value for name, value in held.items() if not off(value))


# Each product's own sample


def test_every_product_has_a_sample_that_the_tests_move_to_the_others() -> None:
    assert set(DIALECTS) - set(SAMPLES) == {"keycloak"}, "tests/support/products.py: SAMPLES"


@pytest.mark.parametrize("product", SAMPLES)
def test_a_products_own_sample_is_read_and_written_back(product: str) -> None:
    attributes, fields = SAMPLES[product]
    dialect = DIALECTS[product]
    assert dialect.decode(attributes) == fields
    assert dialect.unsupported_findings(fields) == ()
    assert [f for f in dialect.problems(fields) if f.severity is not Severity.NOTE] == []
    unsaid = {"enable switch", "Connection Type"}
    written = dialect.encode({n: REF if v == Masked() else v for n, v in fields.items()}, {REF: Secret("pw")})
    expected = {n: text for n, text in attributes.items() if text and n not in unsaid}
    secret = next(n for n, field in dialect.attribute_names.items() if field == "relay.auth.password")
    assert written == expected | {secret: Secret("pw")}


@pytest.mark.parametrize(
    ("dialect", "labels"),
    [
        (
            ONEACCESS,
            "enable switch · SMTP HOST · SMTP Port · Email Address · Sender Name · Authorization Code · "
            "Security type · Template Settings",
        ),
        (
            OMNIBYTE,
            "Connection Type · Username · SMTP Server · Password · Port Number · From Email · Enable SSL · "
            "Test Email Address · Sending Error Logs",
        ),
        (
            UIPATH,
            "Enable email alerts · Use default credentials · Enable SSL · SMTP Host · SMTP Port · SMTP Username · "
            "SMTP Password · Default From Address · Default From Display Name",
        ),
        (
            ZTRUST,
            "From · From Display Name · Reply To · Reply To Display Name · Envelope From · Host · Port · "
            "Enable SSL, Enable StartTLS · Authentication · Username · Password",
        ),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_labels_are_in_the_order_of_the_products_page(dialect: Dialect, labels: str) -> None:
    assert " · ".join(row.label for row in dialect.rows if row.natives and row.label) == labels


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("16.1.1", ["url", "client_id", "client_secret", "scope", "connect", "read", "write", "utf8"]),
        ("26.2.0", ["connect", "read", "write", "utf8"]),
        ("26.7.4", []),
    ],
)
def test_fields_of_ztrusts_tab_exist_in_every_version_and_later_ones_have_their_version(
    version: str, missing: list[str]
) -> None:
    assert len(SAMPLES["ztrust"][0]) == 13
    assert ZTRUST.unsupported_since(SAMPLES["ztrust"][1], parse_version(version)) == []
    newer = [row.field for row in ZTRUST.unsupported_since([row.field for row in ZTRUST.rows], parse_version(version))]
    assert [name for name in newer if not name.endswith(tuple(missing))] == []
    assert len(newer) == len(missing)


def test_the_form_products_call_their_attributes_as_their_page_does() -> None:
    forms = [dialect for dialect in DIALECTS.values() if dialect.body_format is BodyFormat.FORM]
    assert {ONEACCESS, OMNIBYTE} <= {*forms}
    for dialect in forms:
        assert list(dialect.attribute_names) == [row.label for row in dialect.rows if row.natives]


@pytest.mark.parametrize("dialect", [*ALL.values()], ids=[*ALL])
def test_every_field_has_one_row_and_every_attribute_one_owner(dialect: Dialect) -> None:
    fields = [row.field for row in dialect.rows]
    natives = [native for row in dialect.rows for native in row.natives]
    assert len(set(fields)) == len(fields)
    assert len(set(natives)) == len(natives)
    assert {native for row in dialect.rows for native in row.reads} <= set(natives)


def test_a_product_without_an_api_has_a_table_and_no_gateway() -> None:
    assert set(GATEWAYS) - {FILES} < set(DIALECTS)
    assert not {"oneaccess", "omnibyte"} & set(GATEWAYS)
    assert [name for name, dialect in DIALECTS.items() if dialect.name != name] == []


# Reading what people and servers write


@pytest.mark.parametrize(
    ("dialect", "attributes", "fields"),
    [
        (ONEACCESS, {"Security type": "tls"}, {"relay.security": Security.TLS}),
        (ONEACCESS, {"Security type": "TLS", "SMTP Port": "587"}, {"relay.security": Security.STARTTLS}),
        (ONEACCESS, {"Security type": "SSL"}, {"relay.security": Raw("SSL")}),
        (ONEACCESS, {"Security type": "None"}, {"relay.security": Security.NONE}),
        (ONEACCESS, {"SMTP Port": "465"}, {}),
        (ONEACCESS, {"Email Address": "a@b.example"}, {"sender.address": "a@b.example"}),
        (ONEACCESS, {"enable switch": "ON"}, {}),
        (ONEACCESS, {"enable switch": "off"}, {"extra.enable switch": Raw("off")}),
        (ONEACCESS, {"Template Settings": "T1"}, {"templates.theme": "T1"}),
        (OMNIBYTE, {"Connection Type": "Exchange"}, {"extra.Connection Type": Raw("Exchange")}),
        (OMNIBYTE, {"Enable SSL": "On"}, {"relay.security": Security.STARTTLS}),
        (OMNIBYTE, {"Enable SSL": "on", "Port Number": "465"}, {"relay.security": Security.TLS}),
        (OMNIBYTE, {"Enable SSL": "on", "Port Number": "x"}, {"relay.security": Security.STARTTLS}),
        (OMNIBYTE, {"Enable SSL": "off", "Port Number": "465"}, {"relay.security": Security.NONE}),
        (OMNIBYTE, {"Enable SSL": "perhaps"}, {"relay.security": Raw("perhaps")}),
        (OMNIBYTE, {"Sending Error Logs": "a@b.example; c@b.example"}, {RECIPIENTS: "a@b.example, c@b.example"}),
        (OMNIBYTE, {"Sending Error Logs": "the team"}, {RECIPIENTS: Raw("the team")}),
        (UIPATH, {"Enable email alerts": "True"}, {ALERTS: True}),
        (UIPATH, {"Enable email alerts": "maybe"}, {ALERTS: Raw("maybe")}),
        (OMNIBYTE, {"unheard of": "1"}, {"extra.unheard of": "1"}),
        (DIGITANIUM, {"ssl": "true", "starttls": "true"}, {"relay.security": Raw("starttls=true ssl=true")}),
        (DIGITANIUM, {"password": "${vault.x}"}, {"relay.auth.password": Masked()}),
        (UIPATH, {"Email.Smtp.EnableSsl": "True"}, {"relay.security": Security.STARTTLS}),
        (UIPATH, {"Email.Smtp.UseDefaultCredentials": "False"}, {"relay.auth": Login.NONE}),
        (UIPATH, {"Email.Smtp.UseDefaultCredentials": "true"}, {"relay.auth": Raw("true")}),
        (UIPATH, {"Email.Smtp.Domain": "ACME"}, {"extra.Email.Smtp.Domain": "ACME"}),
    ],
)
def test_a_products_text_is_decoded_to_the_expected_field(
    dialect: Dialect, attributes: Attributes, fields: FieldMap
) -> None:
    decoded = dialect.decode(attributes)
    assert {name: value for name, value in decoded.items() if name != "relay.port"} == fields


@pytest.mark.parametrize(
    "dialect",
    [dialect for dialect in ALL.values() if len(dialect.attributes_of("relay.security")) == 1],
    ids=lambda dialect: dialect.name,
)
def test_odd_text_of_a_codec_is_written_back_as_it_was(dialect: Dialect) -> None:
    native = dialect.attributes_of("relay.security")[0]
    assert dialect.encode({"relay.security": Raw("odd")}, {}) == {native: "odd"}


def test_unknown_texts_of_other_switches_are_written_back_unchanged() -> None:
    assert UIPATH.encode({"relay.auth": Raw("true")}, {}) == {"Email.Smtp.UseDefaultCredentials": "true"}
    assert OMNIBYTE.encode({"extra.Connection Type": Raw("Exchange")}, {}) == {"Connection Type": "Exchange"}


def test_an_unsupported_field_is_never_written() -> None:
    assert OMNIBYTE.encode({"reply_to.address": "a@b.example", "extra.x": "1"}, {}) == {}
    assert KEYCLOAK.encode({"extra.x": "1"}, {}) == {"x": "1"}
    assert KEYCLOAK.encode({"extra.host": "other"}, {}) == {}


def test_a_vaults_reference_is_not_written_where_there_is_no_vault() -> None:
    with pytest.raises(TypeError, match="no vault"):
        UIPATH.encode({"relay.auth.password": VAULT}, {})


def test_a_password_is_masked_even_if_it_looks_like_a_reference_where_there_is_no_vault() -> None:
    assert DIGITANIUM.mask_secrets({"password": "${vault.x}", "host": "h"}) == {
        "password": DIGITANIUM.mask,
        "host": "h",
    }
    assert KEYCLOAK.mask_secrets({"password": "${vault.x}"}) == {"password": "${vault.x}"}


def test_a_field_that_follows_from_other_attributes_names_them() -> None:
    assert ONEACCESS.attributes_of("relay.auth.username") == ("Email Address", "Authorization Code")
    assert UIPATH.attributes_of("relay.auth") == ("Email.Smtp.UseDefaultCredentials",)


def test_an_absent_field_has_the_default_unless_the_server_uses_another_value() -> None:
    assert ONEACCESS.effective_value("relay.port", None) == 465
    assert ONEACCESS.effective_value("relay.security", None) is Security.TLS
    assert ONEACCESS.effective_value("relay.port", 25) == 25
    both = Dialect("d", "D", (Row("relay.port", ("p",), Port(), absent=25, default=587),), "*")
    assert both.effective_value("relay.port", None) == 25


# What cannot be held, in words


@pytest.mark.parametrize(
    ("dialect", "fields", "messages"),
    [
        (
            OMNIBYTE,
            {"relay.security": Security.TLS, "relay.port": 587},
            {"relay.security": "Omnibyte would read `relay.security` as `starttls`, not as `tls`"},
        ),
        (
            OMNIBYTE,
            {"reply_to.address": "a@b.example", "relay.utf8": False, "extra.x": ABSENT},
            {"reply_to.address": "Omnibyte does not support `reply_to.address`"},
        ),
        (
            ONEACCESS,
            {"sender.address": "a@b.example", "relay.auth": Login.BASIC, "relay.auth.username": "apikey",
             "relay.auth.password": REF},
            {"relay.auth.username": "OneAccess would read `relay.auth.username` as `a@b.example`, not as `apikey`"},
        ),
        (
            UIPATH,
            {"relay.auth": Login.TOKEN, "relay.auth.username": "u"},
            {
                "relay.auth": "UiPath Orchestrator would read `relay.auth` as `basic`, not as `token`",
                "relay.auth.username": "UiPath Orchestrator does not support this kind of login, "
                "and so not `relay.auth.username`",
            },
        ),
        (
            DIGITANIUM,
            {"relay.auth.password": VAULT},
            {"relay.auth.password": "Digitanium does not support this kind of secret as `relay.auth.password`"},
        ),
        (KEYCLOAK, {"relay.port": Raw("abc")}, {"relay.port": "Keycloak cannot store `abc` as `relay.port`"}),
        (KEYCLOAK, {"extra.host": "h"}, {"extra.host": "Keycloak does not support `extra.host`"}),
        (KEYCLOAK, {"relay.auth.password": Masked(), "relay.timeouts.read": Duration(1)}, {}),
        (ONEACCESS, {"extra.enable switch": "on"}, {"extra.enable switch": "OneAccess cannot store `on` as "
                                                     "`extra.enable switch`"}),
    ],
)  # fmt: skip
def test_every_unsupported_field_is_reported(dialect: Dialect, fields: FieldMap, messages: Mapping[str, str]) -> None:
    found = dialect.unsupported_findings(fields)
    assert {finding.field: finding.message for finding in found} == messages
    assert {(finding.rule, finding.severity) for finding in found} <= {(CANNOT_HOLD, Severity.WARNING)}


@pytest.mark.parametrize("dialect", [*ALL.values()], ids=[*ALL])
def test_no_secret_text_appears_in_a_finding(dialect: Dialect) -> None:
    fields: FieldMap = {
        "relay.auth.password": Raw("${vault.hunter2 x}"),
        "relay.auth.token.client_secret": Raw("hunter2"),
    }
    found = dialect.unsupported_findings(fields)
    assert [finding.field for finding in found] == list(fields)
    assert "hunter2" not in repr(found)


# What the products demand


@pytest.mark.parametrize("product", [*SAMPLES, "keycloak", "pigeon"])
def test_a_realm_without_email_has_no_problems(product: str) -> None:
    assert ALL[product].problems({}) == ()


@pytest.mark.parametrize(
    ("product", "mandatory"),
    [
        ("oneaccess", ["relay.host", "sender.address", "sender.name", "relay.auth.password"]),
        ("omnibyte", ["relay.host", "sender.address"]),
        ("digitanium", ["relay.host", "sender.address"]),
        ("uipath", ["relay.host", "sender.address"]),
        ("ztrust", ["sender.address", "relay.host"]),
        ("keycloak", ["sender.address", "relay.host"]),
        ("pigeon", ["relay.host", "sender.address"]),
    ],
)
def test_missing_mandatory_fields_are_reported_unless_the_product_fills_them_in(
    product: str, mandatory: list[str]
) -> None:
    found = ALL[product].problems({"relay.utf8": True, "relay.host": ABSENT})
    assert [finding.field for finding in found] == mandatory
    assert {(finding.rule, finding.severity) for finding in found} == {("missing-field", Severity.ERROR)}
    complete: FieldMap = {name: REF if field_of(name).secret else "x" for name in mandatory}
    assert ALL[product].problems(complete) == ()


def test_a_missing_field_is_reported_with_its_label() -> None:
    messages = [finding.message for finding in ONEACCESS.problems({"relay.port": 465})]
    assert messages[0] == "OneAccess requires `relay.host` (labelled `SMTP HOST`)"
    assert DIGITANIUM.problems({"relay.port": 465})[0].message == "Digitanium requires `relay.host`"


@pytest.mark.parametrize(
    ("product", "change", "rules"),
    [
        ("oneaccess", {"relay.security": Security.NONE}, {"not-encrypted": Severity.WARNING}),
        ("oneaccess", {"relay.security": Raw("SSL")}, {"outdated-ssl": Severity.WARNING}),
        ("oneaccess", {"relay.security": Raw("odd")}, {}),
        ("omnibyte", {"relay.security": Security.NONE}, {"not-encrypted": Severity.WARNING}),
        ("uipath", {"sender.address": "a@b.example"}, {"from-is-not-user": Severity.ERROR, "google": Severity.NOTE}),
        ("uipath", {"relay.port": 465, "relay.auth.password": ABSENT}, {"google": Severity.WARNING}),
        ("uipath", {"relay.host": "smtp.example.com", "relay.port": 465}, {}),
        ("uipath", {}, {"google": Severity.NOTE}),
        ("digitanium", {"relay.security": Security.NONE}, {}),
    ],
)
def test_each_product_reports_its_own_constraints(
    product: str, change: FieldMap, rules: Mapping[str, Severity]
) -> None:
    fields = dict(SAMPLES[product][1]) | dict(change)
    fields = {name: value for name, value in fields.items() if value is not ABSENT}
    assert {finding.rule: finding.severity for finding in DIALECTS[product].problems(fields)} == rules


def test_an_absent_user_is_not_reported_as_different_from_the_sender() -> None:
    fields: FieldMap = {"sender.address": "a@b.example", "relay.host": "h"}
    assert UIPATH.problems(fields) == ()


def test_the_advice_of_a_products_page_is_in_its_table() -> None:
    assert any("test before saving" in line for line in OMNIBYTE.advice)
    assert KEYCLOAK.advice == ()


def test_a_constraint_names_its_rule_and_field() -> None:
    constraint = Constraint("too-loud", lambda fields: iter([(Severity.NOTE, "relay.debug", "it is loud", "hush")]))
    (finding,) = constraint.check({})
    assert (finding.rule, finding.field, finding.severity, finding.hint) == (
        "too-loud", "relay.debug", Severity.NOTE, "hush",
    )  # fmt: skip
