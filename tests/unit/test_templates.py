"""Theme and localised texts beside a realm's e-mail settings: looked at where a spec names them, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from support.connecting import connected, sent

import ztrust_mail
from ztrust_mail import Connection
from ztrust_mail.dialects.beside import as_attribute, as_native, is_beside
from ztrust_mail.dialects.keycloak import KEYCLOAK, with_templates
from ztrust_mail.errors import ServerUnreachable, Unsafe
from ztrust_mail.findings import Severity
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sandbox.options import Busy
from ztrust_mail.spec.fields import ABSENT
from ztrust_mail.spec.model import Spec
from ztrust_mail.sync.apply import Result
from ztrust_mail.sync.plan import Plan, Status

PLAIN: Mapping[str, object] = {"sender": {"address": "a@acme.example"}, "relay": {"host": "h.example"}}
SUBJECT = "templates.messages.en.emailTestSubject"
TABLE = with_templates(KEYCLOAK)


def spec_of(templates: object = None, **realms: object) -> Spec:
    """Return a spec for acme, with these templates."""
    acme = PLAIN if templates is None else {**PLAIN, "templates": templates}
    return ztrust_mail.load_spec({"version": 1, "realms": {"acme": acme, **realms}})


def texts(sandbox: Sandbox, locale: str = "en") -> dict[str, str]:
    return sandbox.texts("acme").get(locale, {})


def applied(connection: Connection, spec: Spec) -> Result:
    return ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection, spec=spec)


def of_acme(outcome: Plan | Result) -> Status:
    (realm,) = [realm for realm in outcome.realms if realm.realm == "acme"]
    return realm.status


@pytest.fixture
def acme(ztrust_sandbox: Sandbox) -> Sandbox:
    """A sandbox with acme, which has a theme and a text of its own."""
    ztrust_sandbox.edit_realm("acme", emailTheme="old")
    ztrust_sandbox.edit_texts("acme", "en", {"emailTestSubject": "old", "other": "stays"})
    return ztrust_sandbox


# Requests


def test_without_templates_nothing_beside_the_settings_is_asked_for_or_written(acme: Sandbox) -> None:
    with connected(acme) as connection:
        spec = spec_of()
        applied(connection, spec)
        ztrust_mail.drift(spec, connection)
        run = ztrust_mail.run_to_revert(connection)
        ztrust_mail.apply(ztrust_mail.revert_plan(run, connection), connection, allow=["all"])
    assert not [r.path for r in acme.requests if "localization" in r.path]
    assert [r.body.keys() for r in sent(acme, "PUT")] == [{"smtpServer"}] * 2
    assert (acme.realm_settings("acme")["emailTheme"], texts(acme)["emailTestSubject"]) == ("old", "old")


def test_a_theme_alone_needs_no_further_reading(acme: Sandbox) -> None:
    with connected(acme) as connection:
        assert of_acme(ztrust_mail.plan(spec_of({"theme": "old"}), connection)) is Status.CHANGED
        applied(connection, spec_of({"theme": "new"}))
    assert not [r.path for r in acme.requests if "localization" in r.path]
    smtp, theme = sent(acme, "PUT")
    assert (smtp.body.keys(), theme.body) == ({"smtpServer"}, {"emailTheme": "new"})


def test_only_what_changes_is_written_and_each_locale_is_read_once(acme: Sandbox) -> None:
    messages = {"en": {"emailTestSubject": "old", "a": "1", "b": "2", "gone": False}, "de": {"a": "3"}}
    with connected(acme) as connection:
        plan = ztrust_mail.plan(spec_of({"theme": "old", "messages": messages}), connection)
        assert sorted(r.path for r in sent(acme, "GET") if "localization" in r.path) == [
            "/admin/realms/acme/localization/de",
            "/admin/realms/acme/localization/en",
        ]
        ztrust_mail.apply(plan, connection)
    assert [(r.path.rpartition("/")[2], r.body) for r in sent(acme, "POST")] == [
        ("de", {"a": "3"}),
        ("en", {"a": "1", "b": "2"}),
    ]
    assert len(sent(acme, "PUT")) == 1
    assert not sent(acme, "DELETE")


def test_realms_whose_entry_names_no_templates_are_left_alone(acme: Sandbox) -> None:
    acme.edit_realm("globex", emailTheme="theirs")
    with connected(acme) as connection:
        applied(connection, spec_of({"theme": "new", "messages": {"en": {"a": "1"}}}, globex=PLAIN))
    assert not [r.path for r in acme.requests if "globex/localization" in r.path]
    assert acme.realm_settings("globex")["emailTheme"] == "theirs"


# Planning, applying, reverting


def test_each_text_is_told_before_and_after(acme: Sandbox) -> None:
    messages = {"en": {"emailTestSubject": "new", "other": False}}
    with connected(acme) as connection:
        (realm,) = ztrust_mail.plan(spec_of({"theme": False, "messages": messages}), connection).realms
    changes = {c.field: (c.before, c.after, c.attributes) for c in realm.changes if c.field.startswith("templates")}
    assert changes == {
        "templates.theme": ("old", None, ("/emailTheme",)),
        SUBJECT: ("old", "new", ("/localization/en/emailTestSubject",)),
        "templates.messages.en.other": ("stays", None, ("/localization/en/other",)),
    }


def test_what_cannot_be_written_there_fails_the_realm_and_a_revert_puts_the_rest_right(acme: Sandbox) -> None:
    spec = spec_of({"theme": "new", "messages": {"en": {"emailTestSubject": "new"}}})
    with connected(acme) as connection:
        plan = ztrust_mail.plan(spec, connection)
        acme.faults.busy.append(Busy(403, 1, "POST", "localization"))
        done = ztrust_mail.apply(plan, connection)
        (realm,) = done.realms
        assert realm.status is Status.FAILED
        assert "may not write" in " ".join(finding.message for finding in realm.findings)
        assert (acme.smtp("acme")["host"], acme.realm_settings("acme")["emailTheme"]) == ("h.example", "new")
        run = ztrust_mail.run_to_revert(connection)
        back = ztrust_mail.revert_plan(run, connection, realms=["acme"], insist=True)
        assert of_acme(ztrust_mail.apply(back, connection, allow=["all"])) is Status.APPLIED
    assert (acme.smtp("acme"), acme.realm_settings("acme")["emailTheme"]) == ({}, "old")
    assert texts(acme) == {"emailTestSubject": "old", "other": "stays"}


def test_a_text_changed_after_the_plan_was_made_is_not_overwritten(
    acme: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ztrust_mail.sync.newest.FRESH_SECONDS", -1.0)
    with connected(acme) as connection:
        plan = ztrust_mail.plan(spec_of({"messages": {"en": {"emailTestSubject": "new"}}}), connection)
        acme.edit_texts("acme", "en", {"emailTestSubject": "theirs"})
        (realm,) = ztrust_mail.apply(plan, connection).realms
    assert [finding.rule for finding in realm.findings] == ["changed-meanwhile"]
    assert texts(acme)["emailTestSubject"] == "theirs"


def test_a_revert_leaves_alone_a_realm_whose_text_somebody_changed_since(acme: Sandbox) -> None:
    with connected(acme) as connection:
        applied(connection, spec_of({"messages": {"en": {"emailTestSubject": "new"}}}))
        acme.edit_texts("acme", "en", {"emailTestSubject": "theirs"})
        run = ztrust_mail.run_to_revert(connection)
        (realm,) = ztrust_mail.revert_plan(run, connection).realms
        assert (realm.status, [f.rule for f in realm.findings]) == (Status.SKIPPED, ["changed-since"])
        back = ztrust_mail.revert_plan(run, connection, realms=["acme"], insist=True)
        ztrust_mail.apply(back, connection, allow=["all"])
    assert texts(acme) == {"emailTestSubject": "old", "other": "stays"}


def test_a_run_without_templates_is_reverted_whatever_stands_beside_the_settings_by_now(acme: Sandbox) -> None:
    with connected(acme) as connection:
        applied(connection, spec_of())
        first = ztrust_mail.run_to_revert(connection)
        applied(connection, spec_of({"theme": "new"}))
        (realm,) = ztrust_mail.revert_plan(first, connection).realms
        assert realm.status is Status.CHANGED
        ztrust_mail.apply(ztrust_mail.revert_plan(first, connection), connection, allow=["all"])
    assert (acme.smtp("acme"), acme.realm_settings("acme")["emailTheme"]) == ({}, "new")


def test_a_revert_of_templates_brings_back_a_password_that_an_earlier_run_without_them_wrote(acme: Sandbox) -> None:
    login = {**PLAIN, "relay": {"host": "h.example", "auth": {"username": "u", "password": {"env": "SMTP_PASSWORD"}}}}
    first = ztrust_mail.load_spec({"version": 1, "realms": {"acme": login}})
    second = ztrust_mail.load_spec({"version": 1, "realms": {"acme": {**login, "templates": {"theme": "new"}}}})
    with connected(acme) as connection:
        applied(connection, first)
        before = acme.smtp("acme")
        applied(connection, second)
        back = ztrust_mail.revert_plan(ztrust_mail.run_to_revert(connection), connection)
        assert of_acme(ztrust_mail.apply(back, connection)) is Status.APPLIED
    assert (acme.smtp("acme"), acme.realm_settings("acme")["emailTheme"]) == (before, "old")


def lost(*_: object) -> NoReturn:
    raise ServerUnreachable("the server is gone")


def test_a_run_cut_off_between_settings_and_texts_is_settled_and_resumed(
    acme: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of({"messages": {"en": {"emailTestSubject": "new"}}})
    with connected(acme) as connection:
        plan = ztrust_mail.plan(spec, connection)
        with monkeypatch.context() as broken:
            for method in ("write_beside", "read_beside"):
                broken.setattr(connection.gateway, method, lost)
            assert of_acme(ztrust_mail.apply(plan, connection)) is Status.FAILED
        with connection.exclusively():
            (settled,) = ztrust_mail.settle(connection)
        assert settled.words == "the server holds something else by now"
        assert of_acme(applied(connection, spec)) is Status.APPLIED
    assert texts(acme)["emailTestSubject"] == "new"


def test_a_saved_plan_holds_texts_and_is_refused_once_one_has_changed(acme: Sandbox, tmp_path: Path) -> None:
    spec, file = spec_of({"theme": False, "messages": {"en": {"emailTestSubject": "new", "b": False}}}), tmp_path / "p"
    with connected(acme) as connection:
        file.write_text(ztrust_mail.save_plan(ztrust_mail.plan(spec, connection), spec, connection))
        saved = ztrust_mail.load_plan(str(file))
        acme.edit_texts("acme", "en", {"emailTestSubject": "theirs"})
        with pytest.raises(Unsafe):
            ztrust_mail.plan_saved(saved, connection)
        acme.edit_texts("acme", "en", {"emailTestSubject": "old"})
        ztrust_mail.apply(ztrust_mail.plan_saved(saved, connection), connection)
    assert texts(acme)["emailTestSubject"] == "new"
    assert acme.realm_settings("acme")["emailTheme"] == ""


# Drift


def test_a_template_that_no_run_wrote_yet_is_nobodys_change(acme: Sandbox) -> None:
    with connected(acme) as connection:
        applied(connection, spec_of())
        found = ztrust_mail.drift(spec_of({"theme": "new"}), connection)
    assert found.causes["acme"]["templates.theme"].value == "unattributed"
    assert not found.all_findings


def test_a_theme_changed_by_hand_is_told_and_no_edit_of_the_realm_is_blamed(acme: Sandbox) -> None:
    spec = spec_of({"theme": "new"})
    acme.edit_realm("acme", adminEventsEnabled=True, adminEventsDetailsEnabled=True)
    with connected(acme) as connection:
        applied(connection, spec)
        acme.edit_realm("acme", emailTheme="forged")
        found = ztrust_mail.drift(spec, connection)
    told = [finding.message for finding in found.all_findings if finding.rule == "out-of-band"]
    (message,) = told
    assert message.startswith("`templates.theme` is `forged`; it was `new` when run ")
    assert message.endswith("applied it, and was changed since")


# What a product has no place for


def test_a_product_without_a_place_for_a_field_warns_where_it_was_written(acme: Sandbox) -> None:
    entry = {**PLAIN, "notify": {"recipients": ["it@acme.example"], "alerts": True}}
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": entry}})
    with connected(acme) as connection:
        (realm,) = ztrust_mail.plan(spec, connection).realms
    assert [(f.severity, f.field, f.message) for f in realm.findings] == [
        (Severity.WARNING, "notify.recipients", "Keycloak has no place for `notify.recipients`"),
        (Severity.WARNING, "notify.alerts", "Keycloak has no place for `notify.alerts`"),
    ]
    assert all(finding.location and finding.realm == "acme" for finding in realm.findings)


def test_alerts_that_are_off_need_no_place() -> None:
    assert TABLE.lacks({"notify.alerts": False, "templates.theme": ABSENT, SUBJECT: "x"}) == ()
    assert [f.field for f in KEYCLOAK.lacks({"templates.theme": "x", SUBJECT: "x"})] == ["templates.theme", SUBJECT]


# Names


@pytest.mark.parametrize("attribute", ["host", "/emailTheme", "//x", "/localization/en/a", "/", "", "a/b"])
def test_an_attribute_is_never_taken_for_something_beside_the_settings(attribute: str) -> None:
    native = as_native(attribute)
    assert not is_beside(native)
    assert as_attribute(native) == attribute
    if attribute != "host":
        field = f"extra.{attribute}"
        assert TABLE.field_at(native) == field
        assert TABLE.natives_of(field) == (native,)
        assert TABLE.decode({native: "x"}) == {field: "x"}


def test_an_odd_attribute_on_the_server_stays_what_it_is(acme: Sandbox) -> None:
    acme.edit_smtp("acme", {"/emailTheme": "x", "/localization/en/a": "y"})
    with connected(acme) as connection:
        assert applied(connection, spec_of()).realms[0].status is Status.APPLIED
    assert {"/emailTheme": "x", "/localization/en/a": "y"}.items() <= acme.smtp("acme").items()
    assert acme.realm_settings("acme")["emailTheme"] == "old"


def test_texts_are_read_back_as_the_fields_they_were_written_from() -> None:
    fields = {"templates.theme": "acme", SUBJECT: "A", "templates.messages.pt-BR.a.b.c": "B"}
    natives = TABLE.encode(fields, {})
    assert natives == {
        "/emailTheme": "acme",
        "/localization/en/emailTestSubject": "A",
        "/localization/pt-BR/a.b.c": "B",
    }
    assert TABLE.decode({name: str(text) for name, text in natives.items()}) == fields
    assert TABLE.beside({**fields, "sender.name": "x"}) == natives.keys()


def test_a_reading_that_is_no_map_of_texts_fails_the_realm(acme: Sandbox) -> None:
    acme.faults.busy.append(Busy(200, 1, "GET", "localization"))
    with connected(acme) as connection:
        (realm,) = ztrust_mail.plan(spec_of({"messages": {"en": {"a": "1"}}}), connection).realms
    assert realm.status is Status.FAILED
    assert realm.findings[0].rule == "not-the-admin-api"
