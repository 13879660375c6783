"""Test mails of onboardings: recorded before they are sent, so that none is sent twice and none is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.journals import change
from support.queued import Queue, WatchedDrain, entry

from ztrust_mail.core.errors import JournalError
from ztrust_mail.dialects.row import Outgoing
from ztrust_mail.fleet import OnboardRealms, RequestState
from ztrust_mail.fleet.mail_marks import MailMarks
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.journal.requests import RequestTable, StoredRequest

REALMS = ("acme", "globex", "initech")


class Killed(BaseException):
    """Ends a worker where it is."""


@pytest.fixture
def queue(queue: Queue) -> Queue:
    """A queue whose server is asked for one thing at a time."""
    queue.write_settings("connections = 1")
    return queue


def with_mails(queue: Queue, *realms: str, port: int = 0) -> OnboardRealms:
    """Return work that onboards realms with test mails, to the relay of the sandbox unless another port is given."""
    wanted: Any = {realm: entry(f"{realm}@acme.example") for realm in realms}
    for one in wanted.values():
        one["relay"]["port"] = port or queue.sandbox.mail.port
    return OnboardRealms(wanted, wait_for_realm=0.0)


def mails(queue: Queue) -> list[str]:
    """Return the realms whose test mails have arrived, in order."""
    return [one.sender.partition("@")[0] for one in queue.sandbox.mail.received]


def report(queue: Queue, number: int) -> str:
    """Return the report of a request on one line."""
    return " ".join(queue.engine.status(number).report_text.split())


def drain_until_killed(queue: Queue) -> None:
    """Drain a queue until the worker is killed."""
    with pytest.raises(Killed):
        queue.drain()


def kill(*_: object, **__: object) -> None:
    raise Killed


def kill_at_mail(patch: pytest.MonkeyPatch, nth: int, *, is_sent: bool) -> None:
    """Let a worker be killed as it sends a mail: before the server gets the request, or after it has sent it."""
    send, begin, seen = KeycloakGateway.test, MailMarks.begin, list[str]()

    def beginning(marks: MailMarks, realm: str) -> bool:
        if len(seen) == nth:
            raise Killed
        return begin(marks, realm)

    def sending(gateway: KeycloakGateway, realm: str, attributes: Outgoing) -> None:
        seen.append(realm)
        if len(seen) < nth or is_sent:
            send(gateway, realm, attributes)
        if len(seen) == nth:
            raise Killed

    patch.setattr(MailMarks, "begin", beginning)
    patch.setattr(KeycloakGateway, "test", sending)


def test_mails_that_a_killed_worker_has_not_begun_are_sent_by_the_next_one(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = queue.submit(with_mails(queue, *REALMS)).number
    with monkeypatch.context() as patch:
        patch.setattr(MailMarks, "begin", kill)
        drain_until_killed(queue)
    assert (sorted(queue.writes()), mails(queue)) == ([*REALMS], [])
    assert queue.drain() == 1
    assert queue.engine.status(number).state is RequestState.DONE
    assert (sorted(queue.writes()), sorted(mails(queue))) == ([*REALMS], [*REALMS])
    assert "test mail" not in report(queue, number)


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_mail_of_which_a_killed_worker_got_no_answer_is_not_sent_again_and_the_report_says_so(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, is_sent: bool
) -> None:
    number = queue.submit(with_mails(queue, *REALMS)).number
    with monkeypatch.context() as patch:
        kill_at_mail(patch, 2, is_sent=is_sent)
        drain_until_killed(queue)
    queue.drain()
    assert mails(queue) == ([*REALMS] if is_sent else ["acme", "initech"])
    done = queue.engine.status(number)
    assert (done.state, done.exit_status) == (RequestState.DONE, 0)
    said = report(queue, number)
    assert "the test mail may or may not have been sent: the worker ended before it had the server's answer" in said
    assert "check the mailbox; if no mail arrived: ztrust-mail test globex --server prod" in said
    assert said.count("[test-unknown]") == 1


@pytest.mark.parametrize("ends", ["is cancelled", "is given up", "is refused"])
def test_a_request_that_ends_before_its_mails_come_up_again_says_that_one_may_have_been_sent(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    number = queue.submit(with_mails(queue, "acme")).number
    with monkeypatch.context() as patch:
        kill_at_mail(patch, 1, is_sent=True)
        drain_until_killed(queue)
    if ends == "is cancelled":
        queue.engine.cancel(number)
    elif ends == "is given up":
        change(queue.url, "UPDATE journal_requests SET attempts = 9")
    else:
        queue.write_settings("limits = {windows = []}")
    assert queue.drain() == 1
    ended = queue.engine.status(number)
    assert ended.state in (RequestState.CANCELLED, RequestState.DEAD, RequestState.FAILED)
    assert ended.summary.endswith("; a test mail may have been sent, so check the mailbox")
    assert mails(queue) == ["acme"]


def test_mails_that_were_sent_are_not_sent_again_by_the_next_worker(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [queue.submit(with_mails(queue, realm)).number for realm in REALMS]
    with monkeypatch.context() as patch:
        patch.setattr(RequestTable, "store", kill)
        drain_until_killed(queue)
    assert mails(queue) == [*REALMS]
    assert queue.drain() == 3
    assert mails(queue) == [*REALMS]
    assert queue.states() == dict.fromkeys(numbers, RequestState.DONE)
    assert not any("test mail" in report(queue, number) for number in numbers)


def test_a_realm_that_needed_no_write_gets_no_mail_from_the_worker_that_follows(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.do(OnboardRealms(with_mails(queue, "acme").entries, test=False))
    number = queue.submit(with_mails(queue, "acme", "globex")).number
    with monkeypatch.context() as patch:
        patch.setattr(MailMarks, "begin", kill)
        drain_until_killed(queue)
    queue.drain()
    assert queue.engine.status(number).state is RequestState.DONE
    assert mails(queue) == ["globex"]


def test_a_mail_that_failed_is_not_sent_again_until_a_person_retries_the_request(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = queue.submit(with_mails(queue, "acme", port=1)).number
    asked: list[str] = []
    send = KeycloakGateway.test

    def sending(gateway: KeycloakGateway, realm: str, attributes: Outgoing) -> None:
        asked.append(realm)
        send(gateway, realm, attributes)

    monkeypatch.setattr(KeycloakGateway, "test", sending)
    with monkeypatch.context() as patch:
        patch.setattr(RequestTable, "store", kill)
        drain_until_killed(queue)
    queue.drain()
    failed = queue.engine.status(number)
    assert (failed.state, failed.exit_status, asked) == (RequestState.FAILED, 1, ["acme"])
    assert "the test mail failed in an earlier attempt, and was not sent again" in report(queue, number)
    assert "then: ztrust-mail requests N --retry" in report(queue, number)
    queue.engine.retry(number)
    queue.drain()
    assert asked == ["acme", "acme"]
    assert queue.engine.status(number).state is RequestState.FAILED


def test_a_worker_that_is_stopped_before_the_mails_leaves_them_to_the_next_one(queue: Queue) -> None:
    number = queue.submit(with_mails(queue, "acme")).number
    drain = WatchedDrain(queue.engine.journal, queue.server.url, queue.engine.options)

    def stop(_realm: str) -> None:
        queue.engine.options.stop.set()
        assert drain.cancel.wait(60)

    queue.sandbox.faults.before_write = stop
    assert drain.run() == 0
    back = queue.engine.status(number)
    assert (back.state, back.summary, mails(queue)) == (RequestState.WAITING, "the worker was stopped", [])
    queue.sandbox.faults.before_write = None
    queue.engine.options.stop.clear()
    assert queue.drain() == 1
    assert (queue.engine.status(number).state, mails(queue)) == (RequestState.DONE, ["acme"])


def test_a_mail_that_cannot_be_recorded_is_not_sent(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    number = queue.submit(with_mails(queue, *REALMS)).number
    record, seen = RequestTable.record_mails, list[str]()

    def recording(table: RequestTable, rows: list[tuple[StoredRequest, str]]) -> bool:
        seen.append(rows[0][1])
        if len(seen) > 3:  # all are due, the first is about to be sent, and was sent
            raise JournalError("the disk is full", "make room", "journal")
        return record(table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(RequestTable, "record_mails", recording)
        with pytest.raises(JournalError):
            queue.drain()
    assert mails(queue) == ["acme"]
    queue.drain()
    assert mails(queue) == [*REALMS]
    assert queue.engine.status(number).state is RequestState.DONE


def test_a_worker_whose_request_another_one_has_taken_sends_no_mail(queue: Queue) -> None:
    number = queue.submit(with_mails(queue, "acme")).number
    queue.sandbox.faults.before_write = lambda _: queue.kill_worker_at(number) and None
    drain = WatchedDrain(queue.engine.journal, queue.server.url, queue.engine.options)
    sent: list[int] = []
    work_off = drain._do

    def working(*arguments: Any, **named: Any) -> Any:
        ends = work_off(*arguments, **named)
        sent.append(len(mails(queue)))
        return ends

    drain._do = working  # type: ignore[method-assign]
    drain.run()
    assert sent == [0, 1]
    assert queue.engine.status(number).state is RequestState.DONE


@pytest.mark.parametrize("marks", ["{", "[]", '{"acme":"later"}', '{"acme":1}', "[" * 100_000])
def test_a_request_with_damaged_marks_fails_alone_and_sends_nothing(queue: Queue, marks: str) -> None:
    damaged, good = queue.submit(with_mails(queue, "acme")).number, queue.submit(with_mails(queue, "globex")).number
    change(queue.url, f"UPDATE journal_requests SET mails = '{marks}' WHERE number = {damaged}")
    assert queue.drain() == 2
    assert queue.states() == {damaged: RequestState.FAILED, good: RequestState.DONE}
    assert (queue.writes(), mails(queue)) == (["globex"], ["globex"])
    assert "is damaged" in queue.engine.status(damaged).summary


def test_marks_of_realms_that_a_request_does_not_name_are_ignored(queue: Queue) -> None:
    number = queue.submit(with_mails(queue, "acme")).number
    change(queue.url, """UPDATE journal_requests SET mails = '{"globex":"due"}'""")
    queue.drain()
    assert queue.engine.status(number).state is RequestState.DONE
    assert mails(queue) == ["acme"]


# Cancelling


def cancel_when(queue: Queue, number: int, hook: Callable[[Callable[[], None]], None]) -> None:
    """Drain a queue; ``hook`` gets what cancels a request and waits until that is noticed."""
    drain = WatchedDrain(queue.engine.journal, queue.server.url, queue.engine.options)

    def cancel() -> None:
        queue.engine.cancel(number)
        drain.wait_until_cancelled(number)

    hook(cancel)
    drain.run()


def test_a_request_that_is_cancelled_before_its_mail_has_none_sent_until_it_is_tried_again(queue: Queue) -> None:
    number = queue.submit(with_mails(queue, "acme")).number
    other = queue.submit(with_mails(queue, "globex")).number

    def during_write(cancel: Callable[[], None]) -> None:
        queue.sandbox.faults.before_write = lambda realm: cancel() if realm == "globex" else None

    cancel_when(queue, number, during_write)
    queue.sandbox.faults.before_write = None
    assert queue.states() == {number: RequestState.CANCELLED, other: RequestState.DONE}
    summary = "cancelled; written, and not undone: acme; no test mail sent for: acme"
    assert (queue.engine.status(number).summary, mails(queue)) == (summary, ["globex"])
    queue.engine.retry(number)
    queue.drain()
    assert queue.engine.status(number).state is RequestState.DONE
    assert (sorted(queue.writes()), mails(queue)) == (["acme", "globex"], ["globex", "acme"])


def test_a_request_that_is_cancelled_while_mails_are_sent_has_no_further_one_sent(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = queue.submit(with_mails(queue, "acme")).number
    second = queue.submit(with_mails(queue, "globex", "initech")).number
    send = KeycloakGateway.test

    def during_mail(cancel: Callable[[], None]) -> None:
        def sending(gateway: KeycloakGateway, realm: str, attributes: Outgoing) -> None:
            send(gateway, realm, attributes)
            if realm == "globex":
                cancel()

        monkeypatch.setattr(KeycloakGateway, "test", sending)

    cancel_when(queue, second, during_mail)
    assert queue.states() == {first: RequestState.DONE, second: RequestState.CANCELLED}
    assert mails(queue) == ["acme", "globex"]
    assert queue.engine.status(second).summary.endswith("; no test mail sent for: initech")
