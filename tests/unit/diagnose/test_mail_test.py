"""Test mails: what is tested, what is said of it, and that no mail is sent twice."""

from __future__ import annotations

import threading

import pytest
from support.connecting import FakeGateway, Unreadable, connected, sent
from support.mail_settings import BASIC, ENTRIES, ENVIRON, NO_LOGIN, STORED, one_realm, realms
from support.results import rules, statuses
from support.smtp import PASSWORD, USER

from ztrust_mail import test as send_tests
from ztrust_mail.core.errors import (
    NOT_THE_API,
    ExitStatus,
    MailTestFailed,
    RealmError,
    RealmUnreadable,
    ServerRefused,
    ServerUnreachable,
    UsageError,
)
from ztrust_mail.diagnose import mail_test
from ztrust_mail.diagnose.mail_test import MailTestRun, MailTestStatus
from ztrust_mail.dialects.products.keycloak import MASK
from ztrust_mail.gateways.gateway import TEST_UNKNOWN
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.sandbox.relay.sink import MailSink
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.specfile.resolve import resolve_entry


def at(sandbox: Sandbox, **more: str) -> dict[str, str]:
    """Return settings that reach the sandbox's own relay."""
    return {"from": "a@acme.example", "host": sandbox.mail.host, "port": str(sandbox.mail.port), **more}


def mailed(sandbox: Sandbox, *globs: str, spec=None, environ=None, **account) -> MailTestRun:
    with connected(sandbox, Unreadable() if environ is None else environ, **account) as connection:
        return send_tests(connection, globs, spec=spec, probe=False)


def test_stored_settings_are_tested_as_they_are_and_each_realm_once(ztrust_sandbox):
    for name in ("acme", "globex"):
        ztrust_sandbox.edit_smtp(name, at(ztrust_sandbox, fromDisplayName=name))
    run = mailed(ztrust_sandbox, "acme", "globex", "acme")
    assert statuses(run) == {"acme": "sent", "globex": "sent"}
    assert run.exit_status is ExitStatus.OK
    assert [r.path for r in sent(ztrust_sandbox, "POST")] in (
        [f"/admin/realms/{a}/testSMTPConnection" for a in ("acme", "globex")],
        [f"/admin/realms/{a}/testSMTPConnection" for a in ("globex", "acme")],
    )
    mails = ztrust_sandbox.mail.wait_for(2)
    assert len(mails) == 2
    assert {mail.recipients for mail in mails} == {("admin@sandbox.example",)}
    assert sent(ztrust_sandbox, "PUT") == []
    assert run.url == ztrust_sandbox.url


def test_test_mails_report_their_progress_whatever_becomes_of_them(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", at(ztrust_sandbox))
    seen: list[tuple[int, int]] = []
    with connected(ztrust_sandbox, Unreadable()) as connection:
        send_tests(connection, ["acme", "globex", "gone"], progress=lambda done, total: seen.append((done, total)))
    assert sorted(seen) == [(1, 3), (2, 3), (3, 3)]


def test_a_misspelt_realm_is_answered_with_the_realm_that_is_meant(ztrust_sandbox):
    run = mailed(ztrust_sandbox, "glbex")
    [found] = run.findings
    assert (found.rule, found.hint.partition("?")[0]) == ("no-realm", "did you mean `globex`")
    [requests] = [[r.path for r in ztrust_sandbox.requests if r.method == "GET" and r.path.endswith("admin/realms")]]
    assert len(requests) == 1


@pytest.mark.parametrize("version", ["16.1.1", "26.0.0", "26.7.4", "26.8.0"])
def test_a_masked_password_in_a_test_means_the_stored_one(version):
    relay = MailSink(credentials=(USER, PASSWORD))
    with Sandbox(SandboxOptions(version=version), mail=relay) as sandbox:
        smtp = at(sandbox, auth="true", authType="basic", user=USER, password=PASSWORD)
        sandbox.edit_smtp("acme", smtp)
        assert statuses(mailed(sandbox, "acme")) == {"acme": "sent"}
        (post,) = sent(sandbox, "POST")
        assert post.body == smtp | {"password": MASK}
        assert relay.wait_for(1)[0].login == USER


def test_a_relay_that_refuses_makes_the_test_fail_and_only_that_realm(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", at(ztrust_sandbox, port="1"))
    ztrust_sandbox.edit_smtp("globex", at(ztrust_sandbox))
    run = mailed(ztrust_sandbox, "acme", "globex")
    assert statuses(run) == {"acme": "failed", "globex": "sent"}
    assert rules(run) == ["test-failed"]
    assert run.exit_status is ExitStatus.DIFFERS
    assert len(sent(ztrust_sandbox, "POST")) == 2


def entry(sandbox: Sandbox, **relay: object) -> dict[str, object]:
    where = {"host": sandbox.mail.host, "port": sandbox.mail.port, "security": "none"}
    return {"sender": {"address": "a@acme.example"}, "relay": where | relay}


def test_a_spec_is_tested_without_being_stored_and_with_its_secrets(ztrust_sandbox):
    auth = {"username": "u", "password": {"env": "SMTP_PASSWORD"}}
    spec = realms({"globex": entry(ztrust_sandbox, auth=auth), "acme": {"disabled": True}})
    run = mailed(ztrust_sandbox, spec=spec, environ=ENVIRON)
    assert statuses(run) == {"globex": "sent", "acme": "skipped"}
    assert run.outcomes[1].proof == "has no e-mail settings to test"
    (post,) = sent(ztrust_sandbox, "POST")
    assert post.body["password"] == ENVIRON["SMTP_PASSWORD"]
    assert (ztrust_sandbox.smtp("globex"), sent(ztrust_sandbox, "PUT")) == ({}, [])
    assert ztrust_sandbox.mail.wait_for(1)[0].login == "u"
    assert ENVIRON["SMTP_PASSWORD"] not in repr(run)


def test_an_unresolvable_secret_fails_its_realm_before_any_mail(ztrust_sandbox):
    spec = realms({"acme": BASIC, "globex": entry(ztrust_sandbox)})
    run = mailed(ztrust_sandbox, spec=spec, environ={})
    assert statuses(run) == {"acme": "failed", "globex": "sent"}
    assert rules(run) == ["secret-missing"]
    assert [r.path for r in sent(ztrust_sandbox, "POST")] == ["/admin/realms/globex/testSMTPConnection"]


def test_a_failed_test_never_quotes_the_secret(ztrust_sandbox):
    auth = {"username": "u", "password": {"env": "SMTP_PASSWORD"}}
    run = mailed(ztrust_sandbox, spec=one_realm(entry(ztrust_sandbox, port=1, auth=auth)), environ=ENVIRON)
    assert statuses(run) == {"acme": "failed"}
    assert ENVIRON["SMTP_PASSWORD"] not in repr(run)


@pytest.mark.parametrize(
    ("smtp", "words"),
    [
        (
            {"starttls": "true"},
            "sent; encryption not verified: the server sends in clear text to a relay without STARTTLS",
        ),
        ({"ssl": "true"}, "sent over TLS"),
        ({}, "sent in clear text"),
        ({"ssl": "", "starttls": "false"}, "sent in clear text"),
        (
            {"ssl": "true", "starttls": "true"},
            "sent; unusual combination of ssl and starttls, so encryption is unknown",
        ),
        ({"ssl": "TRUE"}, "sent; unusual combination of ssl and starttls, so encryption is unknown"),
    ],
)
def test_the_proof_of_a_sent_mail_follows_from_its_security(smtp, words):
    run = mail_test.send_stored(FakeGateway({"acme": {"from": "a@b.example", "host": "h", **smtp}}), ["acme"])
    assert [(o.status, o.proof) for o in run.outcomes] == [(MailTestStatus.SENT, words)]


def test_starttls_counts_as_unverified_since_the_server_may_send_in_clear_text(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", at(ztrust_sandbox, starttls="true"))
    run = mailed(ztrust_sandbox, "acme")
    assert not ztrust_sandbox.mail.wait_for(1)[0].tls
    assert "encryption not verified" in run.outcomes[0].proof


@pytest.mark.parametrize("version", ["16.1.1", "26.7.4"])
def test_without_an_address_nothing_is_sent_and_the_account_is_named(version):
    with Sandbox(SandboxOptions(version=version, admin_email=None)) as sandbox:
        sandbox.edit_smtp("acme", at(sandbox))
        run = mailed(sandbox, "acme")
        assert (statuses(run), rules(run)) == ({"acme": "failed"}, ["no-address"])
        assert run.account.email == ""
        assert "admin in realm master" in run.outcomes[0].findings[0].hint
        assert sent(sandbox, "POST") == []
        assert {r.method for r in sandbox.requests if "/users/" in r.path} <= {"GET"}


def test_a_recipient_that_cannot_be_seen_does_not_stop_the_test():
    gateway = FakeGateway({"acme": STORED})
    gateway.email = None
    run = mail_test.send_stored(gateway, ["acme"])
    assert (statuses(run), run.account.email) == ({"acme": "sent"}, None)


def test_a_realm_without_settings_is_skipped(ztrust_sandbox):
    run = mailed(ztrust_sandbox, "acme")
    assert (statuses(run), run.exit_status) == ({"acme": "skipped"}, ExitStatus.OK)
    assert sent(ztrust_sandbox, "POST") == []


def test_missing_unreadable_and_forbidden_realms_have_different_statuses(ztrust_sandbox):
    ztrust_sandbox.create_user("master", "clerk", "pw", roles=("acme-realm:query-users", "globex-realm:view-realm"))
    ztrust_sandbox.edit_smtp("globex", at(ztrust_sandbox))
    run = mailed(ztrust_sandbox, "nosuch", "acme", "globex", ".", username="clerk", password="pw")
    assert statuses(run) == {"nosuch": "missing", "acme": "unreadable", "globex": "failed", ".": "failed"}
    assert rules(run) == ["no-realm", "may-not-see", "no-rights", "bad-name"]
    assert run.exit_status is ExitStatus.PARTIAL


@pytest.mark.parametrize("entries", [{"nosuch": NO_LOGIN}, {"nosuch": ENTRIES["vault"]}])
def test_a_realm_of_the_spec_that_is_not_there_is_missing(ztrust_sandbox, entries):
    run = mailed(ztrust_sandbox, spec=realms(entries))
    assert (statuses(run), run.exit_status) == ({"nosuch": "missing"}, ExitStatus.PARTIAL)


def test_realms_wrong_after_expansion_or_tied_fail_and_the_rest_is_tested(ztrust_sandbox):
    ztrust_sandbox.create_realm("third")
    sound = entry(ztrust_sandbox)
    wrong = sound | {"sender": {"address": "{who}@x.example"}, "vars": {"who": "a@b"}}
    spec = realms({"acme": wrong, "globe?": sound, "?lobex": sound, "third": sound})
    run = mailed(ztrust_sandbox, spec=spec)
    assert statuses(run) == {"acme": "failed", "globex": "failed", "third": "sent"}
    assert rules(run) == ["bad-value", "glob-tie"]
    assert [r.path for r in sent(ztrust_sandbox, "POST")] == ["/admin/realms/third/testSMTPConnection"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ((), ["acme", "globex", "master"]),
        (("*",), ["acme", "globex", "master"]),
        (("nosuch", "g*"), ["nosuch", "globex"]),
    ],
)
def test_globs_choose_among_the_servers_realms(ztrust_sandbox, globs, expected):
    assert [*statuses(mailed(ztrust_sandbox, *globs))] == expected


@pytest.mark.parametrize(
    ("globs", "expected"), [((), ["globex", "acme"]), (("ac*",), ["acme"]), (("globex",), ["globex"])]
)
def test_globs_choose_among_the_specs_realms(ztrust_sandbox, globs, expected):
    spec = realms({"globex": {"disabled": True}, "a*": {"disabled": True}})
    assert [*statuses(mailed(ztrust_sandbox, *globs, spec=spec))] == expected


@pytest.mark.parametrize("spec", [None, one_realm(NO_LOGIN)])
def test_globs_that_leave_nothing_are_an_error(ztrust_sandbox, spec):
    with pytest.raises(UsageError, match="matches"):
        mailed(ztrust_sandbox, "x-*", spec=spec)


@pytest.mark.parametrize(
    ("error", "status", "exit_status"),
    [
        (MailTestFailed("no", rule="test-failed"), "failed", ExitStatus.DIFFERS),
        (ServerUnreachable("no connection", rule="unreachable"), "failed", ExitStatus.PARTIAL),
        (ServerRefused("refused", rule="token-refused"), "failed", ExitStatus.PARTIAL),
        (RealmError("may not", rule="no-rights"), "failed", ExitStatus.PARTIAL),
        (RealmUnreadable("may not", rule="may-not-see"), "unreadable", ExitStatus.PARTIAL),
    ],
)
def test_a_failed_test_does_not_hide_the_other_results(error, status, exit_status):
    smtp = {"from": "a@b.example", "host": "h"}
    gateway = FakeGateway({"a": smtp, "b": smtp, "c": smtp}, connections=1)

    def fail(realm: str) -> None:
        if realm == "b":
            raise error

    gateway.before_test = fail
    run = mail_test.send_stored(gateway, "abc")
    assert statuses(run) == {"a": "sent", "b": status, "c": "sent"}
    assert rules(run) == [error.rule]
    assert run.exit_status is exit_status
    assert gateway.tested == ["a", "b", "c"]


def test_a_cancelled_test_skips_the_realms_that_have_not_had_their_turn():
    smtp = {"from": "a@b.example", "host": "h"}
    gateway, cancel = FakeGateway({"a": smtp, "b": smtp, "c": smtp}, connections=1), threading.Event()
    gateway.before_test = lambda realm: cancel.set() if realm == "b" else None
    run = mail_test.send_stored(gateway, "abc", cancel=cancel)
    assert statuses(run) == {"a": "sent", "b": "sent", "c": "skipped"}
    assert gateway.tested == ["a", "b"]
    assert run.exit_status is ExitStatus.INTERRUPTED


class Record:
    """Writes down when mails are begun and how tests end; does not let the mail of ``b`` be sent."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, realm: str) -> bool:
        self.said.append(f"{realm} begins")
        return realm != "b"

    def end(self, outcome: mail_test.MailTestOutcome) -> None:
        self.said.append(f"{outcome.realm} {outcome.status}")


def test_a_record_has_each_mail_before_it_is_sent_and_each_outcome_and_may_forbid_a_mail():
    smtp = {"from": "a@b.example", "host": "h"}
    gateway, record = FakeGateway({"a": smtp, "b": smtp, "c": {}}, connections=1), Record()
    gateway.before_test = lambda realm: record.said.append(f"{realm} is sent")
    run = mail_test.send_stored(gateway, "abc", record=record)
    assert statuses(run) == {"a": "sent", "b": "skipped", "c": "skipped"}
    assert gateway.tested == ["a"]
    assert record.said == ["a begins", "a is sent", "a sent", "b begins", "b skipped", "c skipped"]
    assert run.outcomes[1].exit_status is ExitStatus.INTERRUPTED


@pytest.mark.parametrize(
    "error",
    [
        ServerUnreachable("it broke the connection off", "try again", "reset"),
        ServerUnreachable("it gave no answer", "raise timeout", "slow"),
        ServerUnreachable("it sends more than 128 MiB", "check the URL", "too-large"),
        RealmError("it answered 504 with a web page", "check the URL", NOT_THE_API),
    ],
)
@pytest.mark.parametrize(("email", "mailbox"), [("ann@acme.example", "ann@acme.example"), (None, "the account admin")])
def test_a_test_mail_without_an_answer_may_have_been_sent(error, email, mailbox):
    gateway = FakeGateway({"acme": STORED})
    gateway.email = email

    def fail(realm: str) -> None:
        raise error

    gateway.before_test = fail
    run = mail_test.send_stored(gateway, ["acme"])
    (finding,) = run.outcomes[0].findings
    assert (statuses(run), finding.rule) == ({"acme": "failed"}, TEST_UNKNOWN)
    assert finding.message == f"{error.message}: the test mail may have been sent"
    assert finding.hint.startswith(f"check the mailbox of {mailbox} and the server's log before you test again")
    assert run.exit_status is ExitStatus.DIFFERS


def test_a_vault_reference_is_tested_as_it_would_be_stored():
    gateway = FakeGateway({"acme": STORED})
    seen: list[object] = []
    gateway.test = lambda realm, attributes: seen.append(attributes["password"])  # type: ignore[method-assign]
    spec = one_realm(ENTRIES["vault"])
    run = mail_test.send_wanted(
        gateway, [resolve_entry(spec, spec.entries[0], "acme")], SecretStore(Reach(environ=Unreadable()))
    )
    assert (statuses(run), seen) == ({"acme": "sent"}, ["${vault.smtp.key}"])
