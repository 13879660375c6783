"""Dialects in both directions: encoding fields, and decoding any attributes of a server."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mail_settings import NATIVES, entry_of, field_maps, junk, one_realm, shown, stored
from support.products import as_shown

from ztrust_mail import explain
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.codecs import SecretText
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, MASK, with_templates
from ztrust_mail.dialects.products.ztrust import ZTRUST
from ztrust_mail.dialects.row import parse_version
from ztrust_mail.model.fields import ABSENT, ALERTS, FIELDS, RECIPIENTS, Duration, Login, Masked, Raw, Security

RANDOM = settings(max_examples=100, deadline=None, derandomize=True)
REF = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
VAULT = SecretRef(SecretKind.KEYCLOAK_VAULT, ("smtp",))


@RANDOM
@given(fields=field_maps)
def test_encoded_fields_are_decoded_to_the_same_fields(fields):
    values = {value: Secret("s") for value in fields.values() if isinstance(value, SecretRef)}
    there = {name: as_shown(value) for name, value in fields.items() if value is not ABSENT}
    assert KEYCLOAK.decode(shown(KEYCLOAK.encode(fields, values))) == there


@RANDOM
@given(fields=field_maps)
def test_the_field_maps_of_these_tests_are_those_of_specs(fields):
    wanted = explain(one_realm(entry_of(fields)), "acme")
    assert wanted.findings == ()
    assert wanted.fields == fields


@RANDOM
@given(attributes=st.dictionaries(st.sampled_from(NATIVES) | st.text(), st.text()) | junk)
def test_decoding_takes_any_text_and_encoding_the_result_changes_nothing_more(attributes):
    fields = KEYCLOAK.decode(attributes)
    assert all(isinstance(name, str) and value is not None for name, value in fields.items())
    sayable = {n: v for n, v in fields.items() if not isinstance(v, Raw | Masked)}
    once = KEYCLOAK.encode(sayable, {})
    assert KEYCLOAK.decode(once) == sayable
    assert KEYCLOAK.encode(KEYCLOAK.decode(once), {}) == once


@pytest.mark.parametrize("name", [*NATIVES, "\ud800"])
def test_a_huge_text_can_be_decoded_in_every_attribute(name):
    assert len(KEYCLOAK.decode({name: "9" * 1_000_000})) <= 1


@pytest.mark.parametrize(
    ("attributes", "field", "value"),
    [
        ({"port": "25"}, "relay.port", 25),
        ({"port": "0587"}, "relay.port", 587),
        ({"port": "65536"}, "relay.port", Raw("65536")),
        ({"port": "0"}, "relay.port", Raw("0")),
        ({"port": "٣"}, "relay.port", Raw("٣")),
        ({"port": "25\n"}, "relay.port", Raw("25\n")),
        ({"timeout": "1500"}, "relay.timeouts.read", Duration(1500)),
        ({"timeout": "0"}, "relay.timeouts.read", Raw("0")),
        ({"timeout": "3600001"}, "relay.timeouts.read", Raw("3600001")),
        ({"debug": "true"}, "relay.debug", True),
        ({"debug": "True"}, "relay.debug", Raw("True")),
        ({"starttls": "true"}, "relay.security", Security.STARTTLS),
        ({"ssl": "true", "starttls": "false"}, "relay.security", Security.TLS),
        ({"ssl": "false"}, "relay.security", Security.NONE),
        ({"ssl": "", "starttls": "true"}, "relay.security", Security.STARTTLS),
        ({"ssl": "true", "starttls": "true"}, "relay.security", Raw("starttls=true ssl=true")),
        ({"ssl": "TRUE"}, "relay.security", Raw("starttls= ssl=TRUE")),
        ({"auth": "true"}, "relay.auth", Login.BASIC),
        ({"auth": "true", "authType": ""}, "relay.auth", Login.BASIC),
        ({"auth": "true", "authType": "token"}, "relay.auth", Login.TOKEN),
        ({"authType": "token"}, "relay.auth", Login.NONE),
        ({"auth": "false", "authType": "junk"}, "relay.auth", Login.NONE),
        ({"auth": "TRUE"}, "relay.auth", Raw("auth=TRUE authType=")),
        ({"auth": "true", "authType": "none"}, "relay.auth", Raw("auth=true authType=none")),
        ({"password": MASK}, "relay.auth.password", Masked()),
        ({"password": "in clear"}, "relay.auth.password", Masked()),
        ({"password": "${vault.smtp}"}, "relay.auth.password", VAULT),
        ({"password": "${vault.a b}"}, "relay.auth.password", Raw("${vault.a b}")),
        ({"password": "${vault.}"}, "relay.auth.password", Raw("${vault.}")),
        ({"password": "x${vault.smtp}"}, "relay.auth.password", Masked()),
        ({"x-hint": "1"}, "extra.x-hint", "1"),
        ({"sender.address": "1"}, "extra.sender.address", "1"),
        ({"": "1"}, "extra.", "1"),
    ],
)
def test_the_text_of_an_attribute_is_decoded_to_the_expected_field(attributes, field, value):
    assert KEYCLOAK.decode(attributes) == {field: value}


def test_an_empty_text_counts_as_an_absent_attribute():
    assert KEYCLOAK.decode(dict.fromkeys(NATIVES, "")) == {}


def test_a_password_that_a_server_shows_is_never_part_of_what_is_decoded():
    decoded = KEYCLOAK.decode({"password": "hunter2-secret", "authTokenClientSecret": "hunter2-secret"})
    assert "hunter2" not in repr(decoded) + "".join(map(str, decoded.values()))


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ({"relay.security": Security.NONE}, {"starttls": "false", "ssl": "false"}),
        ({"relay.security": Security.TLS}, {"starttls": "false", "ssl": "true"}),
        ({"relay.auth": Login.NONE}, {"auth": "false"}),
        ({"relay.auth": Login.BASIC}, {"auth": "true", "authType": "basic"}),
        ({"relay.auth.password": VAULT}, {"password": "${vault.smtp}"}),
        ({"relay.timeouts.connect": Duration(10_000)}, {"connectionTimeout": "10000"}),
        ({"relay.utf8": False}, {"allowutf8": "false"}),
        ({"extra.x": ABSENT, "extra.y": "1"}, {"y": "1"}),
    ],
)
def test_fields_are_encoded_to_the_expected_attributes(fields, attributes):
    assert KEYCLOAK.encode(fields, {}) == attributes


def test_nothing_is_encoded_without_a_secrets_value():
    with pytest.raises(KeyError):
        KEYCLOAK.encode({"relay.auth.password": REF}, {})
    assert KEYCLOAK.encode({"relay.auth.password": REF}, {REF: Secret("s")}) == {"password": Secret("s")}


def test_a_mask_cannot_be_encoded():
    with pytest.raises(TypeError, match="resolved first"):
        SecretText().encode(Masked())


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("relay.port", None, 25),
        ("relay.port", 587, 587),
        ("relay.security", None, Security.NONE),
        ("relay.auth", None, Login.NONE),
        ("relay.utf8", None, False),
        ("sender.name", None, None),
        ("extra.x", None, None),
        ("extra.x", ABSENT, None),
    ],
)
def test_an_absent_field_has_the_value_that_the_server_uses(name, value, meaning):
    assert KEYCLOAK.effective_value(name, value) == meaning


def test_every_field_of_a_spec_has_a_row_and_every_attribute_only_one():
    table = with_templates(KEYCLOAK)
    rows = [row.field for row in table.rows]
    natives = [native for row in table.rows for native in row.natives]
    assert set(rows) == {*FIELDS, "relay.auth"} - {RECIPIENTS, ALERTS}  # other products have these
    assert len(set(rows)) == len(rows)
    assert len(set(natives)) == len(natives)
    assert KEYCLOAK.attribute_names["ssl"] == KEYCLOAK.attribute_names["starttls"] == "relay.security"


def test_ztrust_is_keycloaks_table_with_its_own_labels():
    assert (DIALECTS["keycloak"], DIALECTS["ztrust"]) == (KEYCLOAK, ZTRUST)
    assert ZTRUST.attribute_names == KEYCLOAK.attribute_names
    assert ZTRUST.decode(stored({"relay.port": 25})) == {"relay.port": 25}
    assert ZTRUST.label("relay.security") == KEYCLOAK.label("relay.security") == "Enable SSL, Enable StartTLS"
    assert (ZTRUST.label("sender.name"), KEYCLOAK.label("sender.name")) == ("From Display Name", "From display name")
    assert ZTRUST.label("extra.x") == ""
    assert ZTRUST.title == "ZTrust"


def test_labels_and_names_of_fields():
    assert KEYCLOAK.attributes_of("relay.security") == ("starttls", "ssl")
    assert KEYCLOAK.attributes_of("extra.a.b") == ("a.b",)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("26.7.4", (26, 7, 4)),
        ("26.7.4.redhat-00001", (26, 7, 4)),
        ("999.0.0-SNAPSHOT", (999, 0, 0)),
        ("26", (26,)),
        ("nightly", ()),
        ("", ()),
        ("9" * 9_000, (999_999_999,) * 3),
    ],
)
def test_a_version_is_parsed_from_the_text_of_a_server(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("field", "version", "known"),
    [
        ("relay.utf8", "26.2.7", False),
        ("relay.utf8", "26.2.8", True),
        ("relay.utf8", "26.2.19", True),
        ("relay.utf8", "26.3.0", False),
        ("relay.utf8", "26.3.2", False),
        ("relay.utf8", "26.3.3", True),
        ("relay.utf8", "26.4.0", True),
        ("relay.utf8", "27", True),
        ("relay.utf8", "", True),
        ("relay.utf8", "18.0.2", False),
        ("relay.timeouts.read", "26.4.9", False),
        ("relay.timeouts.read", "26.5.0", True),
        ("relay.auth.token.url", "26.1.9", False),
        ("relay.auth.token.url", "26.2.0", True),
        ("relay.auth", "1.0", True),
        ("extra.x", "1.0", True),
    ],
)
def test_a_field_is_known_from_a_version_on(field, version, known):
    assert (KEYCLOAK.unsupported_since([field], parse_version(version)) == []) is known


def test_masking_hides_every_secret_and_nothing_else():
    shown = {"host": "h", "password": "pw", "authTokenClientSecret": "cs", "x-password": "kept"}
    assert KEYCLOAK.mask_secrets(shown) == {**shown, "password": MASK, "authTokenClientSecret": MASK}


def test_masking_leaves_vault_references_and_empty_texts_unchanged():
    assert KEYCLOAK.mask_secrets({"password": "${vault.smtp}", "authTokenClientSecret": ""}) == {
        "password": "${vault.smtp}",
        "authTokenClientSecret": "",
    }


def test_masking_hides_a_secret_that_only_begins_like_a_reference():
    assert KEYCLOAK.mask_secrets({"authTokenClientSecret": "${vault.x}hunter2"}) == {"authTokenClientSecret": MASK}


def test_masking_twice_is_masking_once():
    once = KEYCLOAK.mask_secrets({"password": "pw"})
    assert KEYCLOAK.mask_secrets(once) == once == {"password": MASK}
