"""What a product makes of a realm's settings before anything is planned of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from support.connecting import FakeGateway, make_plan
from support.mail_settings import entry_of, field_maps

from ztrust_mail import explain, load_spec
from ztrust_mail.core.findings import Severity, has_errors
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.gateway import Capabilities
from ztrust_mail.planning.compare import compare, fit_to_product, secret_fields
from ztrust_mail.planning.plan import Status
from ztrust_mail.specfile.resolve import Desired

FULL = {
    "sender": {"address": "a@b.example", "name": "A"},
    "reply_to": {"address": "r@b.example"},
    "relay": {"host": "h.example", "auth": {"username": "a@b.example", "password": {"env": "P"}}},
}


def spec(entry: dict):
    return load_spec({"version": 1, "realms": {"acme": entry}})


def wanted(entry: dict) -> Desired:
    return explain(spec(entry), "acme")


def gateway(dialect: Dialect, *, clear: bool = True) -> FakeGateway:
    opened = FakeGateway({"acme": {}})
    opened.dialect = dialect
    opened.capabilities = Capabilities(read=True, write=True, test=True, clear=clear)
    return opened


@pytest.mark.parametrize("product", ["keycloak", "ztrust"])
def test_a_product_that_holds_all_a_spec_says_is_not_even_asked(product, monkeypatch):
    monkeypatch.setattr(Dialect, "unsupported_findings", lambda *arguments: pytest.fail("asked"))
    given = wanted(FULL)
    assert fit_to_product(gateway(DIALECTS[product]), given) == (given, ())
    holding = [name for name, dialect in DIALECTS.items() if dialect.accepts_all(given.fields)]
    assert holding == ["keycloak", "ztrust"]


def test_a_field_that_the_product_lacks_is_left_out_with_a_warning_at_its_line():
    fields, found = fit_to_product(gateway(DIALECTS["uipath"]), wanted(FULL))
    assert "reply_to.address" not in fields.fields
    assert fields.fields.keys() | {"reply_to.address"} == wanted(FULL).fields.keys()
    (finding,) = found
    assert (finding.severity, finding.field, finding.realm) == (Severity.WARNING, "reply_to.address", "acme")
    assert finding.location == wanted(FULL).origins["reply_to.address"]


@pytest.mark.parametrize(
    ("product", "entry", "field"),
    [
        ("uipath", {**FULL, "sender": {"address": "other@b.example"}}, "sender.address"),
        ("uipath", {**FULL, "relay": {"host": "h.example", "port": 465}}, "relay.security"),
        (
            "digitanium",
            {**FULL, "relay": {"host": "h", "auth": {"username": "u", "password": {"keycloak_vault": "k"}}}},
            "relay.auth.password",
        ),
    ],
)
def test_a_value_that_the_product_would_refuse_or_misread_fails_the_realm(product, entry, field):
    _, found = fit_to_product(gateway(DIALECTS[product]), wanted(entry))
    assert field in [finding.field for finding in found if finding.severity is Severity.ERROR]
    assert all(finding.hint and finding.location for finding in found)
    plan = make_plan(spec(entry), gateway(DIALECTS[product]))
    assert [(realm.status, realm.changes) for realm in plan.realms] == [(Status.FAILED, ())]


def test_a_missing_mandatory_field_fails_the_realm():
    lacking = Desired("acme", wanted(FULL).entry, {"sender.address": "a@b.example"})
    _, found = fit_to_product(gateway(DIALECTS["digitanium"]), lacking)
    assert [(one.severity, one.field) for one in found] == [(Severity.ERROR, "relay.host")]


@pytest.mark.parametrize(("clear", "rules"), [(True, []), (False, ["cannot-clear"])])
def test_no_e_mail_is_refused_only_for_products_that_cannot_express_it(clear, rules):
    disabled = wanted({"disabled": True})
    kept, found = fit_to_product(gateway(KEYCLOAK, clear=clear), disabled)
    assert kept == disabled
    assert [finding.rule for finding in found] == rules


@pytest.mark.parametrize("product", ["digitanium", "uipath"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(fields=field_maps)
def test_settings_that_were_just_written_are_in_sync(product, fields):
    dialect = DIALECTS[product]
    kept, found = fit_to_product(gateway(dialect), wanted(entry_of(fields)))
    if not has_errors(found):
        masks = dict.fromkeys(secret_fields(kept.fields).values(), Secret(dialect.mask))
        sent = dialect.encode(kept.fields, masks)
        stored = {name: dialect.mask if isinstance(text, Secret) else text for name, text in sent.items()}
        assert compare(dialect, kept, stored).changes == ()
