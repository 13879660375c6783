"""Templates: theme and localised texts are read and written only in realms whose spec names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from support.cli import Cli
from support.connecting import aged, connected, sent
from support.results import text_lines

import ztrust_mail
from ztrust_mail import Session
from ztrust_mail.applying.outcome import Result
from ztrust_mail.convert import FORMATS
from ztrust_mail.core.errors import ServerUnreachable, Unsafe
from ztrust_mail.core.findings import Severity
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, with_templates
from ztrust_mail.dialects.row import as_attribute, as_native, is_template
from ztrust_mail.model.fields import ABSENT, Kind, field_of
from ztrust_mail.model.serialize import FieldJson
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.planning.plan import Plan, Status
from ztrust_mail.planning.saved.validation import parse_settings
from ztrust_mail.reports.report import of_plan
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sandbox.state import Busy
from ztrust_mail.specfile.entries import Spec

PLAIN: Mapping[str, object] = {"sender": {"address": "a@acme.example"}, "relay": {"host": "h.example"}}
SUBJECT = "templates.messages.en.emailTestSubject"
TABLE = with_templates(KEYCLOAK)
MANY = [f"somebody.with.a.long.name.{n}@acme.example" for n in range(9)]


def spec_of(templates: object = None, **realms: object) -> Spec:
    """Return a spec for acme, with these templates."""
    acme = PLAIN if templates is None else {**PLAIN, "templates": templates}
    return ztrust_mail.load_spec({"version": 1, "realms": {"acme": acme, **realms}})


def texts(sandbox: Sandbox, locale: str = "en") -> dict[str, str]:
    return sandbox.texts("acme").get(locale, {})


def applied(connection: Session, spec: Spec) -> Result:
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


def test_without_templates_no_template_is_read_or_written(acme: Sandbox) -> None:
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


def test_each_text_is_shown_before_and_after(acme: Sandbox) -> None:
    messages = {"en": {"emailTestSubject": "new", "other": False}}
    with connected(acme) as connection:
        (realm,) = ztrust_mail.plan(spec_of({"theme": False, "messages": messages}), connection).realms
    changes = {c.field: (c.before, c.after, c.attributes) for c in realm.changes if c.field.startswith("templates")}
    assert changes == {
        "templates.theme": ("old", None, ("/emailTheme",)),
        SUBJECT: ("old", "new", ("/localization/en/emailTestSubject",)),
        "templates.messages.en.other": ("stays", None, ("/localization/en/other",)),
    }


def test_a_template_that_cannot_be_written_fails_the_realm_and_a_revert_restores_the_rest(acme: Sandbox) -> None:
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


def test_a_text_changed_after_the_plan_was_made_is_not_overwritten(acme: Sandbox) -> None:
    with connected(acme) as connection:
        plan = ztrust_mail.plan(spec_of({"messages": {"en": {"emailTestSubject": "new"}}}), connection)
        acme.edit_texts("acme", "en", {"emailTestSubject": "theirs"})
        (realm,) = ztrust_mail.apply(aged(plan), connection).realms
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


def test_a_run_without_templates_is_reverted_whatever_templates_the_realm_has_now(acme: Sandbox) -> None:
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
            for method in ("write_templates", "read_templates"):
                broken.setattr(connection.gateway, method, lost)
            assert of_acme(ztrust_mail.apply(plan, connection)) is Status.FAILED
        with connection.lock():
            (settled,) = ztrust_mail.settle(connection)
        assert settled.explanation == "the settings were changed since"
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


def test_a_template_that_no_run_wrote_is_not_reported_as_changed(acme: Sandbox) -> None:
    with connected(acme) as connection:
        applied(connection, spec_of())
        found = ztrust_mail.drift(spec_of({"theme": "new"}), connection)
    assert found.causes["acme"]["templates.theme"].value == "unattributed"
    assert not found.findings


def test_a_theme_changed_by_hand_is_reported_without_blaming_an_edit_of_the_realm(acme: Sandbox) -> None:
    spec = spec_of({"theme": "new"})
    acme.edit_realm("acme", adminEventsEnabled=True, adminEventsDetailsEnabled=True)
    with connected(acme) as connection:
        applied(connection, spec)
        acme.edit_realm("acme", emailTheme="forged")
        found = ztrust_mail.drift(spec, connection)
    told = [finding.message for finding in found.findings if finding.rule == "out-of-band"]
    (message,) = told
    assert message.startswith("`templates.theme` changed outside ztrust-mail since run ")
    assert message.endswith(": `new` → `forged`")


# What a product has no place for


def test_an_unsupported_field_is_a_warning_with_its_place_in_the_spec(acme: Sandbox) -> None:
    entry = {**PLAIN, "notify": {"recipients": ["it@acme.example"], "alerts": True}}
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": entry}})
    with connected(acme) as connection:
        (realm,) = ztrust_mail.plan(spec, connection).realms
    assert [(f.severity, f.field, f.message) for f in realm.findings] == [
        (Severity.WARNING, "notify.recipients", "Keycloak does not support `notify.recipients`"),
        (Severity.WARNING, "notify.alerts", "Keycloak does not support `notify.alerts`"),
    ]
    assert all(finding.location and finding.realm == "acme" for finding in realm.findings)


def test_switched_off_alerts_need_no_support() -> None:
    assert TABLE.unsupported_findings({"notify.alerts": False, "templates.theme": ABSENT, SUBJECT: "x"}) == ()
    assert [f.field for f in KEYCLOAK.unsupported_findings({"templates.theme": "x", SUBJECT: "x"})] == [
        "templates.theme",
        SUBJECT,
    ]


# Names


@pytest.mark.parametrize("attribute", ["host", "/emailTheme", "//x", "/localization/en/a", "/", "", "a/b"])
def test_an_attribute_is_never_taken_for_a_template(attribute: str) -> None:
    native = as_native(attribute)
    assert not is_template(native)
    assert as_attribute(native) == attribute
    if attribute != "host":
        field = f"extra.{attribute}"
        assert TABLE.field_of_attribute(native) == field
        assert TABLE.attributes_of(field) == (native,)
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
    assert TABLE.template_names({**fields, "sender.name": "x"}) == natives.keys()


def test_a_reading_that_is_no_map_of_texts_fails_the_realm(acme: Sandbox) -> None:
    acme.faults.busy.append(Busy(200, 1, "GET", "localization"))
    with connected(acme) as connection:
        (realm,) = ztrust_mail.plan(spec_of({"messages": {"en": {"a": "1"}}}), connection).realms
    assert realm.status is Status.FAILED
    assert realm.findings[0].rule == "not-the-admin-api"


# Seen by people


def test_a_long_or_hostile_text_neither_floods_nor_steers_the_terminal(acme: Sandbox) -> None:
    acme.edit_texts("acme", "en", {"emailTestBody": "\x1b[31m" + "x" * 5_000})
    with connected(acme) as connection:
        made = ztrust_mail.plan(spec_of({"messages": {"en": {"emailTestBody": "a\nb"}}}), connection)
    shown = "\n".join(text_lines(of_plan("plan", made, made.exit_status)))
    assert "\\x1b[31mxxx" in shown
    assert "… (5,005 characters) → a\\x0ab" in shown
    assert max(map(len, shown.splitlines())) < 400


@pytest.mark.parametrize(
    "given",
    ["it's {0", "{0,number}, {1,date,short}", "{0,choice,0#none|1#one {1}}", "'{' {12} '{x}'", "a\nb", "x" * 20_000],
)
def test_a_text_that_the_server_can_send_is_accepted(given: str) -> None:
    assert parse(Kind.MESSAGE, given) == given


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("{0,text}", "has a brace that does not begin an argument such as {0}"),
        ("{0,choice,0#" * 6 + "}" * 6, "has a brace that does not begin an argument such as {0}"),
        ("a {b}", "has a brace that does not begin an argument such as {0}"),
        ("'' {", "has a brace that does not begin an argument such as {0}"),
        ("a\x00b", "contains the control character U+0000"),
        ("a\r\nb", "contains the control character U+000D"),
        ("a\n\tb", "contains the control character U+0009"),
        (" \n", "is empty"),
    ],
)
def test_a_text_that_the_server_cannot_send_is_refused(given: str, problem: str) -> None:
    with pytest.raises(BadValue) as refused:
        parse(Kind.MESSAGE, given)
    assert refused.value.problem == problem


def test_a_subject_is_one_line_and_a_text_has_a_bound() -> None:
    for kind, given in ((Kind.SUBJECT, "a\nb"), (Kind.SUBJECT, "x" * 256), (Kind.MESSAGE, "x" * 20_001)):
        with pytest.raises(BadValue):
            parse(kind, given)
    assert (field_of(SUBJECT).kind, field_of("templates.messages.en.body").kind) == (Kind.SUBJECT, Kind.MESSAGE)


@pytest.mark.parametrize("name", ["../x", "a\\b", ".", ".."])
def test_a_themes_name_is_no_path(name: str) -> None:
    with pytest.raises(BadValue, match="not the name of a theme"):
        parse(Kind.THEME, name)


# Levels of a spec


def test_a_group_set_to_false_only_drops_what_is_inherited_and_a_leaf_removes() -> None:
    defaults = {"templates": {"theme": "d", "messages": {"en": {"a": "1", "a.b": "2"}, "de": {"a": "3"}}}}
    entries = {
        "all": {},
        "none": {"templates": False},
        "no-texts": {"templates": {"messages": False}},
        "english": {"templates": {"messages": {"de": False}}},
        "leaves": {"templates": {"theme": False, "messages": {"en": {"a": False}}}},
    }
    spec = ztrust_mail.load_spec({"version": 1, "defaults": {**PLAIN, **defaults}, "realms": entries})
    wanted = {
        name: {n.removeprefix("templates."): v for n, v in ztrust_mail.explain(spec, name).fields.items() if "tem" in n}
        for name in entries
    }
    texts = {"messages.en.a": "1", "messages.en.a.b": "2"}
    assert wanted == {
        "all": {"theme": "d", **texts, "messages.de.a": "3"},
        "none": {},
        "no-texts": {"theme": "d"},
        "english": {"theme": "d", **texts},
        "leaves": {"theme": ABSENT, **texts, "messages.en.a": ABSENT, "messages.de.a": "3"},
    }


@pytest.mark.parametrize(
    "field",
    ["templates.messages.e n.a", "templates.messages.en.a/b", "templates.messages.en...", "templates.messages.en"],
)
def test_a_plan_file_holds_no_text_that_a_spec_cannot_name(field: str) -> None:
    login = {"relay.port": 25, "relay.security": {"security": "none"}, "relay.auth": {"login": "none"}}
    settings: dict[str, FieldJson] = {"sender.address": "a@b.example", "relay.host": "h", **login}
    assert parse_settings({**settings, SUBJECT: "A", "templates.messages.en.a": {"absent": True}})[SUBJECT] == "A"
    with pytest.raises(BadValue):
        parse_settings({**settings, field: "x"})


def test_explain_shows_one_text_or_all_of_them(cli: Cli) -> None:
    cli.write(
        "s.json",
        json.dumps({"version": 1, "realms": {"acme": {**PLAIN, "templates": {"messages": {"en": {"a.b": "x"}}}}}}),
    )
    for field in ("templates.messages.en.a.b", "templates.messages", "templates"):
        assert [one["field"] for one in cli.json("explain", "s.json", "acme", field)["settings"]] == [
            "templates.messages.en.a.b"
        ]


# Files


def test_a_realm_export_carries_theme_and_texts_both_ways(tmp_path: Path) -> None:
    own = {"emailTheme": "acme", "localizationTexts": {"en": {"emailTestSubject": "A {0}", "a.b": "x\ny"}}}
    realm = {"realm": "acme", "smtpServer": {"from": "a@acme.example", "host": "h"}, **own}
    (tmp_path / "a.json").write_text(json.dumps(realm))
    extract = FORMATS["realm-export"].read(str(tmp_path / "a.json"))
    assert extract.findings == ()
    (tmp_path / "a.yaml").write_text(FORMATS["spec"].write(extract.realms).text)
    again = FORMATS["realm-export"].write(FORMATS["spec"].read(str(tmp_path / "a.yaml")).realms)
    written = json.loads(again.text)
    assert {key: written[key] for key in own} == own


def test_values_that_are_no_texts_in_a_realm_export_are_reported(tmp_path: Path) -> None:
    theirs = {"emailTheme": 5, "localizationTexts": {"en": {"a": ["x"], "b": ""}, "de": "x"}}
    realms = [
        {"realm": "acme", "smtpServer": {"host": "h"}, **theirs},
        {"realm": "none", "smtpServer": {}, "emailTheme": "x", "localizationTexts": []},
    ]
    (tmp_path / "a.json").write_text(json.dumps(realms))
    extract = FORMATS["realm-export"].read(str(tmp_path / "a.json"))
    assert extract.realms == {"acme": {"relay.host": "h"}, "none": {}}
    assert [(f.rule, f.field) for f in extract.findings] == [
        ("bad-value", "templates.theme"),
        ("bad-value", "templates.messages.en.a"),
    ]


def test_templates_that_a_file_format_cannot_hold_are_reported() -> None:
    fields = {"relay.host": "h", "notify.recipients": "a@b.example", "templates.theme": ABSENT, SUBJECT: "A"}
    told = {
        name: [(f.field, f.message) for f in FORMATS[name].write({"acme": fields}).findings if f.rule == "cannot-hold"]
        for name in ("keycloak", "realm-export")
    }
    assert (None, "Keycloak cannot say that `templates.theme` is absent") in told["realm-export"]
    assert ("notify.recipients", "Keycloak does not support `notify.recipients`") in told["realm-export"]
    assert (SUBJECT, f"Keycloak does not hold `{SUBJECT}` in its e-mail settings") in told["keycloak"]


def test_texts_that_a_spec_cannot_contain_are_reported_when_one_is_written() -> None:
    odd = {"templates.messages.en.a b": "x", "templates.messages.en.a": "\ud800", "templates.messages.en.b": "{"}
    fields = {"sender.address": "a@b.example", "relay.host": "h", "notify.recipients": ", ".join(MANY), **odd}
    written = FORMATS["spec"].write({"acme": fields})
    assert {f.field for f in written.findings if f.rule == "cannot-hold"} == odd.keys()
    assert all(address in written.text for address in MANY)
