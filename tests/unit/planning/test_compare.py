"""What counts as a difference between a server and a spec, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mail_settings import (
    BASIC,
    ENTRIES,
    ENVIRON,
    JUNK,
    STORED,
    entry_of,
    field_maps,
    junk,
    live,
    one_realm,
    shown,
    stored,
)

from ztrust_mail import SecretMode, explain
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, MASK
from ztrust_mail.dialects.products.uipath import UIPATH
from ztrust_mail.dialects.products.ztrust import ZTRUST
from ztrust_mail.model.fields import ABSENT, ALERTS, Login, Masked, Raw, Security
from ztrust_mail.planning.compare import Action, Difference, compare, secret_fields
from ztrust_mail.specfile.resolve import Desired, desired_from_journal

RANDOM = settings(max_examples=100, deadline=None, derandomize=True)
REF = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
IMPLIED = {"port": "25", "authType": "basic"}
SHOWN = {**STORED, "password": MASK}


def wanted(entry) -> Desired:
    return explain(one_realm(entry), "acme")


def differing(difference: Difference) -> list[str]:
    return [change.field for change in difference.changes]


def as_server_shows(attributes):
    """Return the attributes with secrets masked as Keycloak masks them."""
    secret = ("password", "authTokenClientSecret")
    return {n: MASK if n in secret and v and not v.startswith("${vault.") else v for n, v in attributes.items()}


@RANDOM
@given(fields=field_maps, unmanaged=st.dictionaries(st.text(min_size=1).map("y-{}".format), st.text()))
def test_desired_settings_are_no_difference_whatever_unmanaged_attributes_exist(fields, unmanaged):
    attributes = as_server_shows(stored(fields)) | unmanaged
    assert compare(KEYCLOAK, wanted(entry_of(fields)), attributes).changes == ()


@RANDOM
@given(fields=field_maps)
def test_attributes_that_mean_the_same_absent_or_empty_are_no_difference(fields):
    attributes = as_server_shows(stored(fields))
    implied = {**dict.fromkeys(("ssl", "starttls", "auth", "debug", "allowutf8"), "false"), **IMPLIED}
    thin = {n: v for n, v in attributes.items() if implied.get(n) != v}
    thick = dict.fromkeys(KEYCLOAK.attribute_names, "") | thin
    desired = wanted(entry_of(fields))
    assert compare(KEYCLOAK, desired, thin).changes == compare(KEYCLOAK, desired, thick).changes == ()


@RANDOM
@given(one=field_maps, other=field_maps)
def test_exactly_the_fields_of_another_meaning_are_differences(one, other):
    def canonical(fields):
        hidden = {
            n: "hidden" if isinstance(v, SecretRef) and v.kind is SecretKind.ENV else v for n, v in fields.items()
        }
        said = {n: v for n, v in hidden.items() if v is not ABSENT}
        return said | {n: said.get(n, False) for n in ("relay.utf8", "relay.debug")}

    there, then = canonical(other), canonical(one)
    unmanaged = {n for n in there if n.startswith("extra.") and n not in one}
    expected = {n for n in {*there, *then} - unmanaged if there.get(n) != then.get(n)}
    assert set(differing(compare(KEYCLOAK, wanted(entry_of(one)), as_server_shows(stored(other))))) == expected


@RANDOM
@given(fields=field_maps, attributes=live)
def test_no_difference_is_left_when_the_changes_are_written(fields, attributes):
    desired = wanted(entry_of(fields))
    values = {ref: Secret("s") for ref in secret_fields(desired.fields).values()}
    kept = compare(KEYCLOAK, desired, attributes).unmanaged
    written = {**{name: attributes[name] for name in kept}, **shown(KEYCLOAK.encode(desired.fields, values))}
    again = compare(KEYCLOAK, desired, written)
    assert again.changes == ()
    assert again.unmanaged == kept


@RANDOM
@given(attributes=junk)
def test_disabling_a_realm_lists_every_attribute_even_empty_ones(attributes):
    changes = compare(KEYCLOAK, wanted({"disabled": True}), attributes).changes
    assert sorted(name for change in changes for name in change.attributes) == sorted(attributes)
    assert all(change.action is Action.REMOVE and change.after is None for change in changes)


def test_disabling_a_realm_lists_fields_in_the_order_of_the_table_and_then_the_rest():
    live_now = {"x": "1", "port": "", "from": "a@b.example", "ssl": "true", "password": MASK}
    changes = compare(KEYCLOAK, wanted({"disabled": True}), live_now).changes
    listed = [(c.field, c.attributes, c.before) for c in changes]
    assert listed == [
        ("sender.address", ("from",), "a@b.example"),
        ("relay.port", ("port",), ""),
        ("relay.security", ("ssl",), Security.TLS),
        ("relay.auth.password", ("password",), Masked()),
        ("extra.x", ("x",), "1"),
    ]


@pytest.mark.parametrize(
    ("change", "field", "before", "after"),
    [
        ({"port": "abc"}, "relay.port", Raw("abc"), 587),
        ({"port": "70000"}, "relay.port", Raw("70000"), 587),
        ({"port": ""}, "relay.port", None, 587),
        ({"starttls": "TRUE"}, "relay.security", Raw("starttls=TRUE ssl=false"), Security.STARTTLS),
        ({"ssl": "true"}, "relay.security", Raw("starttls=true ssl=true"), Security.STARTTLS),
        ({"starttls": "", "ssl": ""}, "relay.security", None, Security.STARTTLS),
        ({"auth": "TRUE"}, "relay.auth", Raw("auth=TRUE authType=basic"), Login.BASIC),
        ({"auth": ""}, "relay.auth", Login.NONE, Login.BASIC),
        ({"authType": "kerberos"}, "relay.auth", Raw("auth=true authType=kerberos"), Login.BASIC),
        ({"user": MASK}, "relay.auth.username", MASK, "apikey"),
        ({"password": ""}, "relay.auth.password", None, REF),
        ({"password": "${vault.x}"}, "relay.auth.password", SecretRef(SecretKind.KEYCLOAK_VAULT, ("x",)), REF),
        ({"password": "${vault.}"}, "relay.auth.password", Raw("${vault.}"), REF),
        ({"from": "NO-REPLY@acme.example"}, "sender.address", "NO-REPLY@acme.example", "no-reply@acme.example"),
        ({"fromDisplayName": "Acme "}, "sender.name", "Acme ", "Acme"),
        ({"envelopeFrom": "b@acme.example"}, "envelope_from", "b@acme.example", None),
        ({"debug": "true"}, "relay.debug", True, False),
        ({"debug": "yes"}, "relay.debug", Raw("yes"), False),
        ({"authTokenClientSecret": MASK}, "relay.auth.token.client_secret", Masked(), None),
        ({"timeout": "soon"}, "relay.timeouts.read", Raw("soon"), None),
    ],
)
def test_one_different_attribute_is_one_change(change, field, before, after):
    (found,) = compare(KEYCLOAK, wanted(BASIC), SHOWN | change).changes
    assert (found.field, found.before, found.after) == (field, before, after)
    expected = Action.ADD if before is None else Action.REMOVE if after is None else Action.CHANGE
    assert found.action is expected


@pytest.mark.parametrize("name", [name for name in JUNK if name != "a login without its kind"])
@pytest.mark.parametrize("kind", ["basic", "no-auth"])
def test_invalid_live_values_are_a_difference(name, kind):
    found = compare(KEYCLOAK, wanted(ENTRIES[kind]), as_server_shows(JUNK[name]))
    assert found.changes or name == "unknown keys"


def test_an_unmanaged_attribute_is_preserved_even_if_it_is_empty():
    found = compare(KEYCLOAK, wanted(BASIC), {**SHOWN, "x-b": "", "x-a": "1", "": "2"})
    assert found == Difference((), ("relay.auth.password",), ("", "x-a", "x-b"))


@pytest.mark.parametrize(
    ("extra", "held", "change", "kept"),
    [
        ({"k": "v"}, {"k": "v"}, None, ()),
        ({"k": "v"}, {"k": "w"}, ("w", "v", Action.CHANGE), ()),
        ({"k": "v"}, {}, (None, "v", Action.ADD), ()),
        ({"k": "v"}, {"k": ""}, (None, "v", Action.ADD), ()),
        ({"k": False}, {"k": "v"}, ("v", None, Action.REMOVE), ()),
        ({"k": False}, {"k": ""}, None, ()),
        ({"k": False}, {}, None, ()),
        ({"k": False}, {"k.b": "v"}, None, ("k.b",)),
        ({}, {"k": "v"}, None, ("k",)),
    ],
)
def test_extra_attributes_are_set_removed_or_preserved(extra, held, change, kept):
    found = compare(KEYCLOAK, wanted({**BASIC, "extra": extra}), {**SHOWN, **held})
    changes = [(c.before, c.after, c.action) for c in found.changes]
    assert changes == ([change] if change else [])
    assert found.unmanaged == kept
    assert all((c.field, c.attributes) == ("extra.k", ("k",)) for c in found.changes)


@pytest.mark.parametrize("mode", list(SecretMode))
def test_a_masked_secret_cannot_be_compared_and_is_written_only_on_request(mode):
    found = compare(KEYCLOAK, wanted(BASIC), SHOWN, mode)
    assert found.masked_fields == ("relay.auth.password",)
    assert differing(found) == (["relay.auth.password"] if mode is SecretMode.WRITE else [])


@pytest.mark.parametrize("mode", list(SecretMode))
def test_a_vault_reference_can_be_compared_in_every_mode(mode):
    desired = wanted(ENTRIES["vault"])
    right = stored(desired.fields)
    assert compare(KEYCLOAK, desired, right, mode) == Difference()
    assert differing(compare(KEYCLOAK, desired, right | {"password": MASK}, mode)) == ["relay.auth.password"]
    assert differing(compare(KEYCLOAK, desired, right | {"password": "${vault.x}"}, mode)) == ["relay.auth.password"]


def test_changes_carry_the_servers_names_and_the_consoles_label():
    (change,) = compare(ZTRUST, wanted(BASIC), SHOWN | {"starttls": "false"}).changes
    assert (change.attributes, change.label) == (("starttls", "ssl"), "Enable SSL, Enable StartTLS")


def test_only_secrets_resolved_on_this_side_have_to_be_sent():
    assert secret_fields(wanted(BASIC).fields) == {"relay.auth.password": REF}
    assert [*secret_fields(wanted(ENTRIES["token"]).fields)] == ["relay.auth.token.client_secret"]
    assert secret_fields(wanted(ENTRIES["vault"]).fields) == {}
    assert all(value not in repr(wanted(BASIC)) for value in ENVIRON.values())


DOMAIN = "extra.Email.Smtp.Domain"


@pytest.mark.parametrize(
    ("extra", "held", "changed", "kept"),
    [
        ({}, {"Email.Smtp.Domain": "corp"}, [], ("Email.Smtp.Domain",)),
        ({DOMAIN: "corp"}, {"Email.Smtp.Domain": "corp"}, [], ()),
        ({DOMAIN: "other"}, {"Email.Smtp.Domain": "corp"}, [DOMAIN], ()),
        ({DOMAIN: "corp"}, {}, [DOMAIN], ()),
        ({DOMAIN: ABSENT}, {"Email.Smtp.Domain": "corp"}, [DOMAIN], ()),
        ({}, {"Enable email alerts": "true"}, [], ("Enable email alerts",)),
        ({ALERTS: True}, {"Enable email alerts": "true"}, [], ()),
        ({ALERTS: False}, {"Enable email alerts": "true"}, [ALERTS], ()),
    ],
)
def test_an_extra_attribute_and_a_notification_with_a_row_are_compared_once_and_only_where_they_are_named(
    extra, held, changed, kept
):
    fields = {"sender.address": "a@b.example", "relay.host": "h", "relay.security": Security.NONE}
    shown_there = {"Email.Smtp.FromEmail": "a@b.example", "Email.Smtp.Host": "h", "Email.Smtp.EnableSsl": "false"}
    given = desired_from_journal("acme", {**fields, **extra})
    difference = compare(UIPATH, given, {**shown_there, **held})
    assert (differing(difference), difference.unmanaged) == (changed, kept)
