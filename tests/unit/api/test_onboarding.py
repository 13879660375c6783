"""``ensure``: the whole onboarding in one call, however often, from however many threads."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.cli import report_validator
from support.relays import OddRelays, answering

import ztrust_mail
from ztrust_mail.api.onboarding import LONGEST_PAUSE, Ensured, wait_for_realms
from ztrust_mail.core.errors import (
    ExitStatus,
    MailTestFailed,
    RealmMissing,
    ResultError,
    SecretError,
    Unsafe,
    UsageError,
)
from ztrust_mail.core.findings import Severity
from ztrust_mail.gateways.gateway import Reading
from ztrust_mail.sandbox import Sandbox

SECRET = "relay-Passw0rd"


class NoWait(threading.Event):
    """An event to cancel by, for which waiting takes no time; ``meanwhile`` is called instead."""

    def __init__(self, meanwhile=lambda: None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.meanwhile = meanwhile

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        self.meanwhile()
        return self.is_set()


def settings(sandbox: Sandbox, **relay: object) -> dict[str, object]:
    here = {"host": "127.0.0.1", "port": sandbox.mail.port, "security": "none"}
    return {"sender": {"address": "no-reply@acme.example"}, "relay": {**here, **relay}}


def ensure(sandbox: Sandbox, realms: dict[str, object], **keywords: object) -> Ensured:
    login = {"environ": {}, "username": "admin", "password": "admin"}
    return ztrust_mail.ensure(sandbox.url, realms, **{**login, **keywords})


def writes(sandbox: Sandbox) -> list[str]:
    return [request.path for request in sandbox.requests if request.method == "PUT"]


def test_the_first_call_writes_and_tests_and_the_next_does_neither(ztrust_sandbox):
    first = ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox)})
    assert (first.written, first.tested, first.exit_status) == (("acme",), ("acme",), ExitStatus.OK)
    assert ztrust_sandbox.smtp("acme")["from"] == "no-reply@acme.example"
    assert len(ztrust_sandbox.mail.wait_for(1)) == 1
    second = ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox)})
    assert (second.written, second.tested, second.exit_status) == ((), (), ExitStatus.OK)
    assert len(writes(ztrust_sandbox)) == 1
    assert len(ztrust_sandbox.mail.received) == 1


def test_a_message_is_recorded_with_the_run(ztrust_sandbox):
    ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox)}, message="Sign-up of Acme")
    with ztrust_mail.connect(ztrust_sandbox.url, environ={}, username="admin", password="admin") as session:
        assert [one.run.message for one in ztrust_mail.history(session)] == ["Sign-up of Acme"]


def test_test_mails_are_left_out_or_sent_for_realms_in_sync_when_asked_for(ztrust_sandbox):
    assert ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox)}, test=False).tested == ()
    assert ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox)}, test="always").tested == ("acme",)
    assert ensure(ztrust_sandbox, {"acme": {"disabled": True}}, allow=["all"]).tested == ()


def test_the_result_is_a_report_and_one_line(ztrust_sandbox):
    done = ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox)})
    report = json.loads(json.dumps(done.to_dict()))
    report_validator().validate(report)
    assert (report["command"], report["summary"]) == ("ensure", {"realms": 1, "applied": 1})
    url = ztrust_sandbox.url
    assert str(done) == f"{url}: 1 realm: 1 applied; test mails: {url}: 1 realm: 1 sent"
    assert [realm.realm for realm in done.realms] == ["acme"]


def test_a_realm_that_does_not_exist_yet_is_waited_for(ztrust_sandbox):
    cancel = NoWait()

    def create() -> None:
        if len(cancel.waits) == 3:
            ztrust_sandbox.create_realm("late")

    cancel.meanwhile = create
    done = ensure(ztrust_sandbox, {"late": settings(ztrust_sandbox)}, cancel=cancel)
    assert done.written == ("late",)
    assert cancel.waits[:3] == [0.25, 0.5, 1.0]


def test_the_pauses_grow_to_a_limit_and_the_last_ends_at_the_deadline():
    class Empty:
        reads = 0

        def read(self, names: Sequence[str], *, everything: bool) -> Reading:
            self.reads += 1
            found = RealmMissing("no realm") if self.reads < 9 else None
            return Reading(dict.fromkeys(names, found), complete=False)

    cancel = NoWait()
    wait_for_realms(Empty(), ["late"], 1000.0, cancel)
    assert cancel.waits == [0.25, 0.5, 1.0, 2.0, *[LONGEST_PAUSE] * 5]
    cancel = NoWait()
    wait_for_realms(Empty(), ["late"], 0.1, cancel)
    assert 0 < cancel.waits[0] <= 0.1


def test_a_realm_that_never_comes_raises_after_the_others_are_written(ztrust_sandbox):
    realms = {"late": settings(ztrust_sandbox), "acme": settings(ztrust_sandbox)}
    with pytest.raises(RealmMissing, match="there is no realm `late`") as missing:
        ensure(ztrust_sandbox, realms, wait_for_realm=0.0)
    assert missing.value.exit_status is ExitStatus.PARTIAL
    assert [finding.rule for finding in missing.value.findings] == ["no-realm"]
    assert ztrust_sandbox.smtp("acme")


def test_a_cancelled_call_writes_nothing_and_raises(ztrust_sandbox):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(ResultError) as cancelled:
        ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox)}, cancel=cancel)
    assert cancelled.value.exit_status is ExitStatus.INTERRUPTED
    assert writes(ztrust_sandbox) == []


def test_a_failed_test_mail_raises_and_says_how_to_test_again(ztrust_sandbox):
    broken = settings(ztrust_sandbox, port=1)
    with pytest.raises(MailTestFailed) as failed:
        ensure(ztrust_sandbox, {"acme": broken})
    assert failed.value.exit_status is ExitStatus.DIFFERS
    assert 'test="always"' in failed.value.hint
    with pytest.raises(MailTestFailed):
        ensure(ztrust_sandbox, {"acme": broken}, test="always")
    assert len(writes(ztrust_sandbox)) == 1


def test_the_relay_is_left_to_the_server(ztrust_sandbox: Sandbox, odd_relays: OddRelays) -> None:
    relay = odd_relays(answering({"MAIL": b"550 5.7.1 no\r\n"}))
    with pytest.raises(MailTestFailed) as failed:
        ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox, port=relay.port)})
    assert relay.connections == 1
    assert [one.rule for one in failed.value.findings if one.severity is Severity.ERROR] == ["test-failed"]


def test_a_danger_is_refused_unless_it_is_allowed(ztrust_sandbox):
    ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox, security="tls")}, test=False)
    plain = settings(ztrust_sandbox)
    with pytest.raises(Unsafe, match="weaker-security"):
        ensure(ztrust_sandbox, {"acme": plain})
    assert ensure(ztrust_sandbox, {"acme": plain}, allow=["weaker-security"]).written == ("acme",)


def test_secrets_and_defaults_may_be_given_and_nothing_shows_a_secret(ztrust_sandbox):
    auth = {"username": "apikey", "password": {"env": "SMTP_PASSWORD"}}
    defaults = settings(ztrust_sandbox, auth=auth)
    done = ensure(ztrust_sandbox, {"acme": {}}, defaults=defaults, secrets={"SMTP_PASSWORD": SECRET}, test=False)
    assert ztrust_sandbox.smtp("acme")["password"] == SECRET
    assert SECRET not in f"{done!r} {done} {done.to_dict()} {RuntimeError(done)!r}"
    with pytest.raises(SecretError) as missing:
        ensure(ztrust_sandbox, {"globex": {}}, defaults=defaults, secrets={"OTHER": SECRET}, test=False)
    captured = traceback.TracebackException.from_exception(missing.value, capture_locals=True)
    own = [frame.locals for frame in captured.stack if "/ztrust_mail/" in frame.filename]
    assert own
    assert SECRET not in str(own)


def test_an_open_session_is_used_and_stays_open(ztrust_sandbox):
    with ztrust_mail.connect(ztrust_sandbox.url, environ={}, username="admin", password="admin") as session:
        assert ztrust_mail.ensure(session, {"acme": settings(ztrust_sandbox)}).written == ("acme",)
        assert ztrust_mail.ensure(session, {"globex": settings(ztrust_sandbox)}).written == ("globex",)
        with pytest.raises(UsageError, match="an open session takes no `username`"):
            ztrust_mail.ensure(session, {"acme": settings(ztrust_sandbox)}, username="eve")


@pytest.mark.parametrize(
    ("realms", "keywords", "error", "message"),
    [
        ({}, {}, UsageError, "without a realm"),
        ({"tenant-*": {}}, {}, UsageError, "`tenant-\\*` is a glob"),
        ({"acme": {"sender": {"adress": "x"}}}, {}, ztrust_mail.SpecError, "unknown key `adress`"),
        ({"acme": {}}, {"alow": ["all"]}, TypeError, r"ensure\(\) got an unexpected keyword argument 'alow'"),
        ({"acme": {}}, {"password": ""}, UsageError, "`password` of the login is empty"),
    ],
)
def test_a_wrong_call_is_refused_before_any_request(ztrust_sandbox, realms, keywords, error, message):
    with pytest.raises(error, match=message):
        ensure(ztrust_sandbox, realms, **keywords)
    assert ztrust_sandbox.requests == ()


def test_a_test_that_the_product_cannot_make_is_refused_before_the_write(tmp_path):
    (tmp_path / "acme-realm.json").write_text('{"realm": "acme"}', encoding="utf-8")
    entry = {"sender": {"address": "a@acme.example"}, "relay": {"host": "smtp.example.com"}}
    with pytest.raises(UsageError):
        ztrust_mail.ensure(f"file://{tmp_path}", {"acme": entry}, environ={})
    assert "smtpServer" not in (tmp_path / "acme-realm.json").read_text(encoding="utf-8")


def test_threads_that_ensure_the_same_realm_write_it_once(ztrust_sandbox):
    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(ensure, ztrust_sandbox, {"acme": settings(ztrust_sandbox)}) for _ in range(6)]
        done = [call.result() for call in calls]
    assert [one.exit_status for one in done] == [ExitStatus.OK] * 6
    assert sorted(one.written for one in done) == [()] * 5 + [("acme",)]
    assert len(writes(ztrust_sandbox)) == 1


def test_threads_that_share_a_session_ensure_realms_of_their_own(ztrust_sandbox):
    with (
        ztrust_mail.connect(ztrust_sandbox.url, environ={}, username="admin", password="admin") as session,
        ThreadPoolExecutor(2) as pool,
    ):
        calls = [
            pool.submit(ztrust_mail.ensure, session, {name: settings(ztrust_sandbox)}) for name in ("acme", "globex")
        ]
        assert [call.result().written for call in calls] == [("acme",), ("globex",)]


def test_the_call_works_inside_a_running_event_loop(ztrust_sandbox):
    async def onboard() -> Ensured:
        return ensure(ztrust_sandbox, {"acme": settings(ztrust_sandbox)})

    assert asyncio.run(onboard()).written == ("acme",)
