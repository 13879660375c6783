"""The main job on every server: what a spec says is what the server has, and it stays so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from support.admin_api import AdminApi
from support.main_job import SECRET, apply_once, connected, planned, spec_of
from support.results import messages, statuses
from support.server_under_test import ServerUnderTest
from support.smtp import PASSWORD, USER, Relays

import ztrust_mail
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.diagnose.mail_test import MailTestStatus
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import Status
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.export import to_yaml

_numbers = itertools.count(1)

PLAIN = {"sender": {"address": "no-reply@acme.example"}, "relay": {"host": "smtp.acme.example"}}
LOGIN = {"username": "apikey", "password": {"env": "SMTP_PASSWORD"}}
FULL = {
    "sender": {"address": "no-reply@acme.example", "name": "Ächme & Söhne"},
    "reply_to": {"address": "help@acme.example", "name": "Help {{desk}}"},
    "envelope_from": "bounces@acme.example",
    "relay": {
        "host": "smtp.acme.example",
        "port": 2525,
        "security": "tls",
        "auth": LOGIN,
        "timeouts": {"connect": "1500ms", "read": "20s", "write": "1m"},
        "utf8": True,
        "debug": True,
    },
    "extra": {"x-hint": "bulk"},
}
TOKEN = {
    "url": "https://login.acme.example/token",
    "client_id": "mail",
    "client_secret": {"env": "SMTP_PASSWORD"},
    "scope": "mail.send",
}
SPECS = {
    "plain": PLAIN,
    "every field": FULL,
    "login": {**PLAIN, "relay": {"host": "smtp.acme.example", "auth": LOGIN}},
    "token": {**PLAIN, "relay": {"host": "smtp.acme.example", "auth": {"username": "u", "token": TOKEN}}},
    "vault": {
        **PLAIN,
        "relay": {"host": "h", "auth": {"username": "u", "password": {"keycloak_vault": "smtp"}}},
    },
    "no security": {**PLAIN, "relay": {"host": "h", "security": "none"}},
    "nothing": {"disabled": True},
}


@pytest.fixture(scope="module")
def admin(server: ServerUnderTest) -> Iterator[AdminApi]:
    api = AdminApi(server.url, server.admin_user, server.admin_password)
    yield api
    api.close()


@pytest.fixture
def realm(admin: AdminApi) -> Iterator[str]:
    name = f"job {next(_numbers)} ü%"
    admin.create_realm(name)
    yield name
    admin.delete_realm(name)


@pytest.mark.parametrize("wanted", SPECS.values(), ids=SPECS)
def test_an_applied_spec_is_in_sync_and_a_second_apply_does_nothing(
    server: ServerUnderTest, realm: str, wanted: dict[str, object]
) -> None:
    spec = spec_of({realm: wanted})
    first = apply_once(server, spec)
    second = planned(server, spec)

    assert first.exit_status is ExitStatus.OK, messages(first)
    assert statuses(first)[realm] in (Status.APPLIED, Status.IN_SYNC)
    assert statuses(second) == {realm: Status.IN_SYNC}
    assert not second.changed


def test_applying_any_spec_after_any_other_ends_in_sync(server: ServerUnderTest, realm: str) -> None:
    for wanted in [*SPECS.values(), *reversed(SPECS.values())]:
        spec = spec_of({realm: wanted})
        result = apply_once(server, spec)
        assert result.exit_status is ExitStatus.OK, messages(result)
        assert statuses(planned(server, spec)) == {realm: Status.IN_SYNC}


def test_a_disabled_realm_has_no_settings_at_all(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    admin.put_smtp(realm, {"from": "a@b.example", "host": "h", "x-other": "1"})

    apply_once(server, spec_of({realm: {"disabled": True}}))

    assert admin.smtp(realm) == {}


def test_an_apply_changes_nothing_else_of_a_realm(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    path = f"/admin/realms/{realm.replace('%', '%25')}"
    admin.ok("PUT", path, {"displayName": "Kept", "attributes": {"frontendUrl": "https://id.example"}})
    before = admin.ok("GET", path).json()

    apply_once(server, spec_of({realm: FULL}))
    after = admin.ok("GET", path).json()

    assert before.pop("smtpServer") == {}
    assert after.pop("smtpServer")["host"] == "smtp.acme.example"
    assert after == before


def test_attributes_that_a_spec_does_not_manage_are_preserved(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    admin.put_smtp(realm, {"from": "old@acme.example", "host": "old", "x-other": "kept"})

    plan = planned(server, spec_of({realm: PLAIN}))
    apply_once(server, spec_of({realm: PLAIN}))

    assert plan.realms[0].difference.unmanaged == ("x-other",)
    assert admin.smtp(realm)["x-other"] == "kept"


def test_an_extra_attribute_that_the_spec_sets_to_false_is_removed(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    admin.put_smtp(realm, {"from": "old@acme.example", "host": "old", "x-other": "gone"})
    spec = spec_of({realm: {**PLAIN, "extra": {"x-other": False}}})

    apply_once(server, spec)

    assert "x-other" not in admin.smtp(realm)
    assert statuses(planned(server, spec)) == {realm: Status.IN_SYNC}


def test_junk_on_the_server_is_shown_and_repaired(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    junk = {"from": "a@b.example", "host": "h", "port": "abc", "ssl": "TRUE", "starttls": "", "timeout": "soon"}
    assert admin.put_smtp(realm, junk).ok
    spec = spec_of({realm: PLAIN})

    plan = planned(server, spec)
    apply_once(server, spec)

    before = {change.field: str(change.before) for change in plan.realms[0].changes}
    assert before["relay.port"] == "abc"
    assert "TRUE" in before["relay.security"]
    assert before["relay.timeouts.read"] == "soon"
    assert statuses(planned(server, spec)) == {realm: Status.IN_SYNC}
    assert admin.smtp(realm)["port"] == "587"


def test_starttls_and_ssl_both_on_are_a_difference(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    apply_once(server, spec_of({realm: PLAIN}))
    admin.put_smtp(realm, admin.smtp(realm) | {"ssl": "true", "starttls": "true"})

    assert [change.field for change in planned(server, spec_of({realm: PLAIN})).realms[0].changes] == ["relay.security"]


def test_a_written_password_works_in_the_servers_own_test(server: ServerUnderTest, realm: str, relays: Relays) -> None:
    relay = relays.starttls(login=True)
    auth = {"username": USER, "password": {"env": "SMTP_PASSWORD"}}
    entry = {
        "sender": {"address": "no-reply@acme.example"},
        "relay": {"host": "localhost", "port": relay.port, "auth": auth},
    }
    spec = spec_of({realm: entry})
    apply_once(server, spec)

    with connected(server) as connection:
        run = ztrust_mail.test(connection, [realm])

    assert PASSWORD == SECRET
    (outcome,) = run.outcomes
    assert outcome.status is MailTestStatus.SENT, outcome.findings
    assert "the relay offers STARTTLS, as seen from this machine" in outcome.proof
    (mail,) = relay.wait_for(1)
    assert (mail.login, mail.tls, mail.recipients) == (USER, True, (run.account.email,))


def test_a_spec_can_be_tested_before_it_is_written(
    server: ServerUnderTest, admin: AdminApi, realm: str, relays: Relays
) -> None:
    relay = relays.tls(login=True)
    auth = {"username": USER, "password": {"env": "SMTP_PASSWORD"}}
    settings = {"host": "localhost", "port": relay.port, "security": "tls", "auth": auth}
    spec = spec_of({realm: {"sender": {"address": "no-reply@acme.example"}, "relay": settings}})

    with connected(server, spec) as connection:
        run = ztrust_mail.test(connection, [realm], spec=spec)

    assert [outcome.status for outcome in run.outcomes] == [MailTestStatus.SENT]
    assert relay.wait_for(1)[0].login == USER
    assert admin.smtp(realm) == {}


def test_a_relay_that_refuses_the_login_fails_the_test(server: ServerUnderTest, realm: str, relays: Relays) -> None:
    relay = relays.refusing_login()
    settings = {"host": "localhost", "port": relay.port, "security": "none", "auth": LOGIN}
    spec = spec_of({realm: {"sender": {"address": "no-reply@acme.example"}, "relay": settings}})

    with connected(server, spec) as connection:
        run = ztrust_mail.test(connection, spec=spec)

    assert run.exit_status is ExitStatus.DIFFERS
    assert [outcome.status for outcome in run.outcomes] == [MailTestStatus.FAILED]
    assert SECRET not in str(run)
    assert relay.received == ()


def test_a_stored_password_is_preserved_if_nothing_it_depends_on_changes(
    server: ServerUnderTest, realm: str, relays: Relays
) -> None:
    relay = relays.with_login()
    auth = {"username": USER, "password": {"env": "SMTP_PASSWORD"}}
    entry: dict[str, object] = {
        "sender": {"address": "no-reply@acme.example"},
        "relay": {"host": "localhost", "port": relay.port, "security": "none", "auth": auth},
    }
    apply_once(server, spec_of({realm: entry}))
    spec = spec_of({realm: {**entry, "reply_to": {"address": "help@acme.example"}}})

    with connected(server, spec, SMTP_PASSWORD="") as connection:
        plan = ztrust_mail.plan(spec, connection, secrets=SecretMode.KEEP)
        result = ztrust_mail.apply(plan, connection)
        run = ztrust_mail.test(connection, [realm])

    assert statuses(result) == {realm: Status.APPLIED}, messages(result)
    assert [outcome.status for outcome in run.outcomes] == [MailTestStatus.SENT]
    assert relay.wait_for(1)[0].login == USER


def test_a_stored_password_is_not_preserved_for_another_relay(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    apply_once(server, spec_of({realm: SPECS["login"]}))
    before = admin.smtp(realm)
    spec = spec_of({realm: {**PLAIN, "relay": {"host": "elsewhere.example", "auth": LOGIN}}})

    with connected(server, spec) as connection:
        result = ztrust_mail.apply(ztrust_mail.plan(spec, connection, secrets=SecretMode.KEEP), connection)

    assert statuses(result) == {realm: Status.FAILED}
    assert "cannot be kept" in messages(result)
    assert admin.smtp(realm) == before


def test_a_missing_secret_fails_its_realm_before_anything_is_written(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    spec = spec_of({realm: SPECS["login"]})

    with connected(server, spec, SMTP_PASSWORD="") as connection:
        result = ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection)

    assert result.exit_status is ExitStatus.PARTIAL
    assert "`SMTP_PASSWORD` is not set" in messages(result)
    assert admin.smtp(realm) == {}


def test_a_missing_realm_is_reported_and_the_others_are_applied(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    result = apply_once(server, spec_of({"no such realm": PLAIN, realm: PLAIN}))

    assert statuses(result) == {"no such realm": Status.MISSING, realm: Status.APPLIED}
    assert result.exit_status is ExitStatus.PARTIAL
    assert admin.smtp(realm)["host"] == "smtp.acme.example"


def test_globs_cover_the_realms_that_have_no_entry(server: ServerUnderTest, admin: AdminApi) -> None:
    names = [f"glob-{next(_numbers)}-{n}" for n in range(10)]
    prefix = names[0].rpartition("-")[0]
    names = [f"{prefix}-{n}" for n in range(10)]
    for name in names:
        admin.create_realm(name)
    spec = spec_of({f"{prefix}-*": {"expect": {"min": 9}, **PLAIN}, names[3]: {"disabled": True}})

    result = apply_once(server, spec)
    with connected(server, spec) as connection:
        drift = ztrust_mail.drift(spec, connection).plan

    assert sum(status is Status.APPLIED for status in statuses(result).values()) == 9
    assert set(statuses(drift).values()) == {Status.IN_SYNC}
    assert [glob.count for glob in drift.globs] == [9]
    assert "master" in drift.uncovered
    for name in names:
        admin.delete_realm(name)


def test_an_account_that_may_only_view_can_plan_and_not_apply(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    admin.create_client(
        "master", client := f"viewer-{next(_numbers)}", "s3cret", ["view-realm"], roles_on=f"{realm}-realm"
    )
    login = {
        "ZTRUST_MAIL_USERNAME": "",
        "ZTRUST_MAIL_PASSWORD": "",
        "ZTRUST_MAIL_CLIENT_ID": client,
        "ZTRUST_MAIL_CLIENT_SECRET": "s3cret",
    }
    spec = spec_of({realm: PLAIN})

    with connected(server, spec, **login) as connection:
        plan = ztrust_mail.plan(spec, connection)
        result = ztrust_mail.apply(plan, connection)
        examination = ztrust_mail.doctor(connection)

    assert statuses(plan) == {realm: Status.CHANGED}
    assert statuses(result) == {realm: Status.FAILED}
    assert "may not write" in messages(result)
    answers = {check.question: check.answer for check in examination.checks}
    assert answers["read e-mail settings"] is True
    assert answers["write e-mail settings"] is False
    assert admin.smtp(realm) == {}


def test_settings_that_an_account_may_not_read_never_count_as_empty(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    apply_once(server, spec_of({realm: PLAIN}))
    admin.create_client(
        "master", client := f"blind-{next(_numbers)}", "s3cret", ["query-users"], roles_on=f"{realm}-realm"
    )
    login = {
        "ZTRUST_MAIL_USERNAME": "",
        "ZTRUST_MAIL_PASSWORD": "",
        "ZTRUST_MAIL_CLIENT_ID": client,
        "ZTRUST_MAIL_CLIENT_SECRET": "s3cret",
    }

    plan = planned(server, spec_of({realm: {"disabled": True}}), **login)

    assert statuses(plan) == {realm: Status.UNREADABLE}
    assert plan.exit_status is ExitStatus.PARTIAL


def test_a_ready_token_suffices_as_a_login(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    login = {"ZTRUST_MAIL_USERNAME": "", "ZTRUST_MAIL_PASSWORD": "", "ZTRUST_MAIL_TOKEN": admin.admin_token()}

    assert statuses(planned(server, spec_of({realm: PLAIN}), **login)) == {realm: Status.CHANGED}


def test_a_wrong_password_is_refused_without_being_repeated(server: ServerUnderTest, realm: str) -> None:
    with pytest.raises(ztrust_mail.ZtrustMailError) as caught:
        planned(server, spec_of({realm: PLAIN}), ZTRUST_MAIL_PASSWORD="canary-wrong")

    assert caught.value.exit_status is ExitStatus.UNREACHABLE
    assert "password is wrong" in caught.value.message
    assert "canary-wrong" not in f"{caught.value} {caught.value.hint}"


def test_a_pulled_spec_plans_to_nothing(server: ServerUnderTest, realm: str) -> None:
    apply_once(server, spec_of({realm: FULL}))
    with connected(server) as connection:
        pulled = ztrust_mail.pull(connection, [realm])
        document = to_yaml(pulled.realms, pulled.defaults)

        assert pulled.findings == ()
        assert SECRET not in document
        plan = ztrust_mail.plan(_loaded(document), connection)

    assert statuses(plan) == {realm: Status.IN_SYNC}


def _loaded(document: str) -> Spec:
    import yaml

    return ztrust_mail.load_spec(yaml.safe_load(document))


def test_the_doctor_finds_the_administrator_in_good_health(server: ServerUnderTest, realm: str) -> None:
    with connected(server) as connection:
        examination = ztrust_mail.doctor(connection, [realm])

    assert examination.exit_status is ExitStatus.OK, examination.checks
    assert [check.answer for check in examination.checks] == [True] * 5
    assert examination.checks[1].detail == server.version


def test_the_servers_own_refusal_is_shown_to_the_user(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    too_long_for_java = "\U0001f600" * 128  # two of Java's characters each
    result = apply_once(server, spec_of({realm: {**PLAIN, "extra": {"x-note": too_long_for_java}}}))

    assert statuses(result) == {realm: Status.FAILED}
    assert "the server refuses to write" in messages(result)
    assert admin.smtp(realm) == {}
