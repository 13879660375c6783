"""Theme and localised texts, on every server: what a spec says of them is there, is in the mail, and goes back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from support.admin_api import AdminApi, realm_path
from support.main_job import apply_once, connected, planned, spec_of
from support.results import statuses
from support.server_under_test import ServerUnderTest

import ztrust_mail
from ztrust_mail.core.errors import SpecError
from ztrust_mail.diagnose.mail_test import MailTestStatus
from ztrust_mail.planning.plan import Status

_numbers = itertools.count(1)

TEXTS = {"emailTestSubject": "A test from Ächme", "emailTestBody": "Hello from {0}"}


@pytest.fixture(scope="module")
def admin(server: ServerUnderTest) -> Iterator[AdminApi]:
    api = AdminApi(server.url, server.admin_user, server.admin_password)
    api.set_email("master", server.admin_user, "admin@acme.example")
    yield api
    api.close()


@pytest.fixture
def realm(admin: AdminApi) -> Iterator[str]:
    name = f"templates {next(_numbers)} ü%"
    admin.create_realm(name)
    yield name
    admin.delete_realm(name)


@pytest.fixture
def plain_realm(admin: AdminApi) -> Iterator[str]:
    """A realm of ASCII letters: 16 takes no token of its own of any other."""
    name = f"templates{next(_numbers)}"
    admin.create_realm(name)
    yield name
    admin.delete_realm(name)


def entry(server: ServerUnderTest, **templates: object) -> dict[str, object]:
    relay = {"host": "localhost", "port": server.relay.port, "security": "none"}
    return {"sender": {"address": "a@acme.example"}, "relay": relay, **({"templates": templates} if templates else {})}


def texts(admin: AdminApi, realm: str, locale: str = "en") -> dict[str, str]:
    found: dict[str, str] = admin.ok("GET", f"{realm_path(realm)}/localization/{locale}").json()
    return found


def put(admin: AdminApi, realm: str, locale: str, **new: str) -> None:
    admin.ok("POST", f"{realm_path(realm)}/localization/{locale}", new)


def theme(admin: AdminApi, realm: str) -> object:
    return admin.ok("GET", realm_path(realm)).json().get("emailTheme")


def test_theme_and_texts_are_written_without_touching_others_and_a_second_apply_does_nothing(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    put(admin, realm, "en", emailTestSubject="before", other="stays")
    spec = spec_of({realm: entry(server, theme="base", messages={"en": TEXTS, "pt-BR": {"a.b-c_d": "x\ny 😀"}})})
    changes = {change.field: (change.before, change.after) for change in planned(server, spec).realms[0].changes}
    assert changes["templates.messages.en.emailTestSubject"] == ("before", TEXTS["emailTestSubject"])
    assert changes["templates.theme"] == (None, "base")
    assert statuses(apply_once(server, spec)) == {realm: Status.APPLIED}
    assert theme(admin, realm) == "base"
    assert texts(admin, realm) == {**TEXTS, "other": "stays"}
    assert texts(admin, realm, "pt-BR") == {"a.b-c_d": "x\ny 😀"}
    assert statuses(planned(server, spec)) == {realm: Status.IN_SYNC}


def test_false_removes_theme_and_texts_even_if_they_do_not_exist(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    put(admin, realm, "en", emailTestSubject="before", other="stays")
    admin.ok("PUT", realm_path(realm), {"emailTheme": "base"})
    gone = entry(server, theme=False, messages={"en": {"emailTestSubject": False, "emailTestBody": False}})
    assert statuses(apply_once(server, spec_of({realm: gone}))) == {realm: Status.APPLIED}
    assert not theme(admin, realm)
    assert texts(admin, realm) == {"other": "stays"}


def test_a_revert_restores_earlier_texts_and_deletes_new_ones(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    put(admin, realm, "en", emailTestSubject="before", other="stays")
    apply_once(server, spec_of({realm: entry(server, theme="base", messages={"en": TEXTS})}))
    with connected(server) as connection:
        run = ztrust_mail.run_to_revert(connection, realms=[realm])
        plan = ztrust_mail.revert_plan(run, connection)
        assert statuses(ztrust_mail.apply(plan, connection)) == {realm: Status.APPLIED}
    assert texts(admin, realm) == {"emailTestSubject": "before", "other": "stays"}
    assert not theme(admin, realm)
    assert admin.smtp(realm) == {}


def test_drift_finds_a_text_that_somebody_changed(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    spec = spec_of({realm: entry(server, messages={"en": TEXTS})})
    apply_once(server, spec)
    put(admin, realm, "en", emailTestSubject="forged")
    with connected(server) as connection:
        found = ztrust_mail.drift(spec, connection)
    (told,) = [f for f in found.findings if f.rule == "out-of-band"]
    assert told.field == "templates.messages.en.emailTestSubject"
    assert "`A test from Ächme` → `forged`" in told.message


@pytest.mark.parametrize(
    ("switches", "locale"),
    [
        ({}, "en"),
        ({"defaultLocale": "de", "supportedLocales": ["en", "de"]}, "en"),
        ({"internationalizationEnabled": True, "defaultLocale": "de", "supportedLocales": ["en", "de"]}, "de"),
    ],
    ids=["as it is made", "a locale alone", "international"],
)
def test_the_test_mail_uses_the_default_locale_of_an_international_realm_and_english_otherwise(
    server: ServerUnderTest, admin: AdminApi, realm: str, switches: dict[str, object], locale: str
) -> None:
    admin.ok("PUT", realm_path(realm), {**switches, "displayName": "Acme"})
    messages = {own: {"emailTestSubject": f"{own} ''s", "emailTestBody": f"{own} {{0}}"} for own in ("en", "de")}
    apply_once(server, spec_of({realm: entry(server, messages=messages)}))
    server.relay.clear()
    with connected(server) as connection:
        (outcome,) = ztrust_mail.test(connection, [realm]).outcomes
    assert outcome.status is MailTestStatus.SENT
    (mail,) = server.relay.wait_for(1)
    assert mail.subject == f"{locale} 's"
    assert mail.text.strip() == f"{locale} {realm if server.version.startswith('16.') else 'Acme'}"


def test_a_theme_that_the_server_lacks_is_stored_and_mail_is_still_sent(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    apply_once(server, spec_of({realm: entry(server, theme="no-such-theme")}))
    assert theme(admin, realm) == "no-such-theme"
    server.relay.clear()
    with connected(server) as connection:
        (outcome,) = ztrust_mail.test(connection, [realm]).outcomes
    assert outcome.status is MailTestStatus.SENT


@pytest.mark.parametrize("text", ["a {brace", "{0,text}", "'' {0"], ids=["lone", "unknown format", "open"])
def test_a_spec_refuses_texts_with_which_the_server_cannot_send(
    server: ServerUnderTest, admin: AdminApi, realm: str, text: str
) -> None:
    apply_once(server, spec_of({realm: entry(server)}))
    put(admin, realm, "en", emailTestSubject=text)
    with connected(server) as connection:
        (outcome,) = ztrust_mail.test(connection, [realm]).outcomes
    assert outcome.status is MailTestStatus.FAILED
    with pytest.raises(SpecError) as refused:
        spec_of({realm: entry(server, messages={"en": {"emailTestSubject": text}})})
    assert "has a brace that does not begin an argument" in refused.value.findings[0].message


@pytest.mark.parametrize("text", ["it's {0", "a '{' brace }", "{0} {1,number}"], ids=["quote", "brace", "number"])
def test_the_server_can_send_every_text_that_a_spec_accepts(server: ServerUnderTest, realm: str, text: str) -> None:
    apply_once(server, spec_of({realm: entry(server, messages={"en": {"emailTestSubject": text}})}))
    with connected(server) as connection:
        (outcome,) = ztrust_mail.test(connection, [realm]).outcomes
    assert outcome.status is MailTestStatus.SENT


def test_the_endpoints_of_texts_answer_alike_on_all_servers(admin: AdminApi, realm: str) -> None:
    path = f"{realm_path(realm)}/localization"
    missing = (404, {"error": "Localization text not found"})
    assert (admin.ok("GET", path).json(), texts(admin, realm)) == ([], {})
    put(admin, realm, "en", a="1", b="2")
    put(admin, realm, "en", b="3")
    assert texts(admin, realm) == {"a": "1", "b": "3"}
    found = admin.ok("GET", f"{path}/en/b")
    assert (found.text, found.headers["Content-Type"].partition(";")[0]) == ("3", "text/plain")
    assert admin.call("DELETE", f"{path}/en/b").status_code == 204
    for method in ("GET", "DELETE"):
        given = admin.call(method, f"{path}/en/b")
        assert (given.status_code, given.json()) == missing
    assert admin.call("DELETE", f"{path}/fr/b").status_code == 404
    put(admin, realm, "de", k="x")
    assert admin.call("DELETE", f"{path}/de/k").status_code == 204
    assert sorted(admin.ok("GET", path).json()) == ["de", "en"]
    unknown = admin.call("POST", "/admin/realms/nobody/localization/en", {"a": "b"})
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Realm not found."})
    assert admin.call("PUT", f"{path}/en/a", "json").status_code == 415


@pytest.mark.parametrize(
    ("roles", "read", "write"),
    [(["manage-realm"], 200, 204), (["view-realm"], 200, 403), (["query-users"], 200, 403), ([], 403, 403)],
    ids=["manager", "viewer", "querier", "nobody"],
)
def test_any_role_reads_texts_and_only_managers_write_them(
    admin: AdminApi, plain_realm: str, roles: list[str], read: int, write: int
) -> None:
    realm = plain_realm
    admin.create_user(realm, "somebody", roles, "somebody@acme.example")
    token, path = admin.user_token(realm, "somebody"), f"{realm_path(realm)}/localization/en"
    put(admin, realm, "en", a="1")
    assert admin.call("GET", path, token=token).status_code == read
    assert admin.call("POST", path, {"b": "2"}, token).status_code == write
    assert admin.call("DELETE", f"{path}/a", token=token).status_code == write


def test_a_text_leaves_no_admin_event(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    admin.ok("PUT", realm_path(realm), {"adminEventsEnabled": True})
    events = f"{realm_path(realm)}/admin-events"
    before = len(admin.ok("GET", events).json())
    put(admin, realm, "en", a="1")
    assert len(admin.ok("GET", events).json()) == before
