"""Onboarding requests that are done together: one reading, one run, and each request is judged by itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from support.journals import asked, change
from support.queued import Queue, WatchedDrain, apply_to, entry, new_request, onboard, texts_of

from ztrust_mail.fleet import OnboardRealms, RequestState
from ztrust_mail.fleet.onboarding import LONGEST_PAUSE, choose_batch
from ztrust_mail.fleet.work import write_content
from ztrust_mail.journal.records import Outcome
from ztrust_mail.journal.requests import RequestTable, StoredRequest
from ztrust_mail.sandbox import SandboxOptions

MANY = tuple(f"tenant-{n:02}" for n in range(12))


@pytest.fixture
def queue_options() -> SandboxOptions:
    return SandboxOptions(realms=("acme", "globex", "initech", *MANY))


def stored(number: int, *realms: str, **more: Any) -> StoredRequest:
    """Return a request to onboard realms, as the journal lists it."""
    new = new_request(write_content(onboard(*realms)), kind="onboard")
    return StoredRequest(**{**vars(new), "number": number, **more})


def numbers(requests: list[StoredRequest]) -> list[int]:
    return [one.number for one in requests]


# Which requests are done together


def test_onboarding_requests_with_different_realms_are_done_together() -> None:
    waiting = [stored(1, "acme"), stored(2, "globex"), stored(3, "initech", "hooli")]
    assert numbers(choose_batch(waiting)) == [1, 2, 3]
    assert choose_batch([]) == []


def test_of_two_requests_for_one_realm_the_second_is_done_later() -> None:
    waiting = [stored(1, "acme"), stored(2, "globex", "acme"), stored(3, "globex"), stored(4, "hooli")]
    assert numbers(choose_batch(waiting)) == [1, 4], "globex belongs to request 2 first"


def test_requests_of_another_kind_end_a_batch() -> None:
    other = StoredRequest(**{**vars(new_request("{}", kind="apply")), "number": 2})
    assert numbers(choose_batch([stored(1, "acme"), other, stored(3, "globex")])) == [1]
    assert numbers(choose_batch([other, stored(1, "acme")])) == [2]


def test_what_a_killed_worker_has_left_is_done_alone() -> None:
    killed = [stored(1, "acme", state=RequestState.RUNNING), stored(2, "globex", state=RequestState.RUNNING)]
    assert numbers(choose_batch([*killed, stored(3, "initech")])) == [1]


def test_a_long_request_and_one_that_cannot_be_read_are_no_obstacle() -> None:
    long, damaged = stored(2, "x", content=""), stored(2, "x", content="{")
    assert numbers(choose_batch([stored(1, "acme"), long, stored(3, "globex")])) == [1]
    assert numbers(choose_batch([long, stored(3, "globex")])) == [2]
    assert numbers(choose_batch([stored(1, "acme"), damaged, stored(3, "globex")])) == [1, 2, 3]


# What becomes of them


def test_many_requests_are_one_reading_and_one_run(queue: Queue) -> None:
    for realm in MANY:
        queue.submit(onboard(realm), key=realm)
    assert queue.drain() == len(MANY)
    assert {*queue.states().values()} == {RequestState.DONE}
    assert sorted(queue.writes()) == sorted(MANY)
    [run] = queue.engine.journal.runs()
    assert len(queue.engine.journal.writes(run.number)) == len(MANY)
    lists = [one for one in queue.sandbox.requests if one.method == "GET" and one.path.endswith("/admin/realms")]
    assert len(lists) <= 2


def test_each_request_reports_its_own_realms_only(queue: Queue) -> None:
    first, second = queue.submit(onboard("acme", "globex")).number, queue.submit(onboard("initech")).number
    queue.drain()
    said = [str(texts_of(queue.engine.status(number))) for number in (first, second)]
    assert ["globex" in text for text in said] == [True, False]
    assert ["initech" in text for text in said] == [False, True]


def test_a_mass_change_is_judged_for_each_request_by_itself(queue: Queue) -> None:
    single = [queue.submit(onboard(realm)).number for realm in MANY]
    queue.drain()
    assert {queue.engine.status(number).state for number in single} == {RequestState.DONE}
    refused = queue.submit(onboard(*MANY, address="new@acme.example")).number
    fine = queue.submit(onboard("acme")).number
    queue.drain()
    assert queue.states()[fine] is RequestState.DONE
    assert (queue.engine.status(refused).state, queue.engine.status(refused).exit_status) == (RequestState.FAILED, 5)
    assert "mass-change" in queue.engine.status(refused).report_text
    assert queue.address_of(MANY[0]) == "mail@acme.example"
    allowed = queue.do(onboard(*MANY, address="new@acme.example", allow=["mass-change"]))
    assert allowed.state is RequestState.DONE
    assert queue.address_of(MANY[0]) == "new@acme.example"


def test_a_realm_in_two_requests_has_what_the_second_says(queue: Queue) -> None:
    for address in ("first@acme.example", "second@acme.example"):
        queue.submit(onboard("acme", address=address))
    assert queue.drain() == 2
    assert queue.writes() == ["acme", "acme"]
    assert queue.address_of("acme") == "second@acme.example"


def test_one_failing_realm_fails_its_own_request_only(queue: Queue) -> None:
    queue.sandbox.faults.failing_realms.add("acme")
    failed, done = queue.submit(onboard("acme")).number, queue.submit(onboard("globex")).number
    assert queue.drain() == 2
    assert queue.states() == {failed: RequestState.FAILED, done: RequestState.DONE}
    assert queue.engine.status(failed).exit_status == 4


def test_a_request_with_a_missing_secret_fails_alone(queue: Queue) -> None:
    login = {"username": "u", "password": {"env": "NOT_SET"}}
    wanted: Any = entry()
    work = OnboardRealms({"acme": {**wanted, "relay": {**wanted["relay"], "auth": login}}}, test=False)
    failed, done = queue.submit(work).number, queue.submit(onboard("globex")).number
    assert queue.drain() == 2
    assert queue.states() == {failed: RequestState.FAILED, done: RequestState.DONE}
    assert "NOT_SET" in queue.engine.status(failed).report_text


def test_one_damaged_request_fails_alone(queue: Queue) -> None:
    damaged, done = queue.submit(onboard("acme")).number, queue.submit(onboard("globex")).number
    change(queue.url, f"UPDATE journal_requests SET content = '{{\"format\":1}}' WHERE number = {damaged}")
    assert queue.drain() == 2
    assert queue.states() == {damaged: RequestState.FAILED, done: RequestState.DONE}


def test_realms_in_sync_are_done_without_a_write(queue: Queue) -> None:
    queue.do(onboard("acme"))
    again = queue.do(onboard("acme"))
    assert (again.state, again.exit_status) == (RequestState.DONE, 0)
    assert queue.writes() == ["acme"]


# Cancelling one of several


def cancel_during_write(queue: Queue, number: int, of: str) -> None:
    """Drain a queue whose server is written one realm at a time, and cancel a request during the write of a realm."""
    queue.write_settings("connections = 1")
    drain = WatchedDrain(queue.engine.journal, queue.server.url, queue.engine.options)

    def cancel(realm: str) -> None:
        if realm == of:
            queue.engine.cancel(number)
            drain.wait_until_cancelled(number)

    queue.sandbox.faults.before_write = cancel
    drain.run()
    queue.sandbox.faults.before_write = None


def test_a_cancelled_request_writes_no_more_of_its_realms_and_the_others_go_on(queue: Queue) -> None:
    first, second, third = (
        queue.submit(onboard(*realms)).number
        for realms in (("acme", MANY[0]), ("globex", MANY[1]), ("initech", MANY[2]))
    )
    cancel_during_write(queue, second, of="globex")
    assert queue.states() == {first: RequestState.DONE, second: RequestState.CANCELLED, third: RequestState.DONE}
    assert queue.writes() == ["acme", MANY[0], "globex", "initech", MANY[2]]
    cancelled = queue.engine.status(second)
    assert cancelled.exit_status == 130
    assert cancelled.summary == f"cancelled; written, and not undone: globex; not written: {MANY[1]}"
    assert "Interrupted: 1 realm applied, 1 skipped" in cancelled.report_text
    assert "Interrupted" not in queue.engine.status(first).report_text
    [run] = queue.engine.journal.runs()
    assert run.outcome is Outcome.INTERRUPTED
    queue.engine.retry(second)
    queue.drain()
    assert queue.states()[second] is RequestState.DONE
    assert queue.writes()[5:] == [MANY[1]]


def test_a_request_that_is_cancelled_before_its_first_write_writes_nothing(queue: Queue) -> None:
    first, second = queue.submit(onboard("acme")).number, queue.submit(onboard("globex", "initech")).number
    cancel_during_write(queue, second, of="acme")
    assert queue.states() == {first: RequestState.DONE, second: RequestState.CANCELLED}
    assert queue.engine.status(second).summary == "cancelled; not written: globex and initech"
    assert queue.writes() == ["acme"]


def test_a_request_that_is_cancelled_when_all_is_done_is_done(queue: Queue) -> None:
    first, second = queue.submit(onboard("acme")).number, queue.submit(onboard("globex")).number
    cancel_during_write(queue, first, of="globex")
    assert queue.states() == {first: RequestState.DONE, second: RequestState.DONE}


def test_a_cancelled_request_waits_no_longer_for_its_realm(queue: Queue) -> None:
    first = queue.submit(onboard("acme", "hooli", wait_for_realm=3600.0)).number
    second = queue.submit(onboard("globex")).number
    cancel_during_write(queue, first, of="acme")
    assert queue.states() == {first: RequestState.CANCELLED, second: RequestState.DONE}
    assert queue.engine.status(first).summary == "cancelled; written, and not undone: acme; not written: hooli"


# Realms that do not exist yet


@pytest.fixture
def waiting(queue: Queue) -> StoredRequest:
    """A request that waits for a realm."""
    number = queue.submit(onboard("hooli", wait_for_realm=3600.0)).number
    assert queue.drain() == 0
    return queue.engine.status(number)


def test_a_realm_that_does_not_exist_yet_is_waited_for(queue: Queue, waiting: StoredRequest) -> None:
    assert (waiting.state, waiting.attempts) == (RequestState.WAITING, 0)
    assert waiting.summary == "waits for the realm hooli"
    assert waiting.submitted < waiting.due < waiting.submitted + 2 * LONGEST_PAUSE
    queue.sandbox.create_realm("hooli")
    queue.make_due()
    assert queue.drain() == 1
    assert queue.engine.status(waiting.number).state is RequestState.DONE
    assert queue.address_of("hooli") == "mail@acme.example"


def test_a_batch_that_waits_for_many_realms_asks_for_the_time_once(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        queue.submit(onboard(f"hooli-{n}", wait_for_realm=3600.0))
    now, asked = RequestTable.now, list[RequestTable]()

    def counting(table: RequestTable) -> datetime:
        asked.append(table)
        return now(table)

    monkeypatch.setattr(RequestTable, "now", counting)
    assert queue.drain() == 0
    assert {*queue.states().values()} == {RequestState.WAITING}
    assert len(asked) == 1


def test_the_other_realms_of_a_request_that_waits_are_written_at_once(queue: Queue) -> None:
    number = queue.submit(onboard("acme", "hooli", wait_for_realm=3600.0)).number
    other = queue.submit(onboard("globex")).number
    assert queue.drain() == 1
    assert queue.states() == {number: RequestState.WAITING, other: RequestState.DONE}
    assert sorted(queue.writes()) == ["acme", "globex"]


@pytest.mark.parametrize("submitted", ["2020-01-01 00:00:00+00:00", "2099-01-01 00:00:00+00:00"])
def test_a_realm_that_never_comes_fails_when_the_time_is_over(
    queue: Queue, waiting: StoredRequest, submitted: str
) -> None:
    """Also where the clock was set back since the request was submitted: it would wait for years."""
    change(queue.url, f"UPDATE journal_requests SET submitted = '{submitted}', due = '2020-01-01 00:00:00+00:00'")
    assert queue.drain() == 1
    failed = queue.engine.status(waiting.number)
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 4)
    assert "hooli" in failed.report_text


def test_a_realm_that_is_not_waited_for_fails_at_once(queue: Queue) -> None:
    failed = queue.do(onboard("hooli"))
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 4)
    assert "hooli" in failed.report_text


# Test mails


def test_test_mails_go_to_the_realms_that_were_written_and_asked_for_one(queue: Queue) -> None:
    def with_mail(realm: str, *, test: bool) -> OnboardRealms:
        wanted: Any = entry()
        wanted["relay"]["port"] = queue.sandbox.mail.port
        return OnboardRealms({realm: wanted}, test=test)

    numbers = [queue.submit(with_mail(realm, test=realm != "globex")).number for realm in ("acme", "globex", "initech")]
    assert queue.drain() == 3
    assert {*queue.states().values()} == {RequestState.DONE}, queue.engine.status(numbers[0]).report_text
    assert len(queue.sandbox.mail.received) == 2
    queue.do(with_mail("acme", test=True))
    assert len(queue.sandbox.mail.received) == 2, "nothing was written, so nothing is tested"


def test_a_test_mail_that_is_refused_fails_the_request_of_its_realm_only(queue: Queue) -> None:
    bad, good = OnboardRealms({"acme": entry()}), onboard("globex")
    failed, done = queue.submit(bad).number, queue.submit(good).number
    assert queue.drain() == 2
    assert queue.states() == {failed: RequestState.FAILED, done: RequestState.DONE}
    assert queue.engine.status(failed).exit_status == 1


def test_a_server_that_goes_down_lets_all_of_a_batch_wait(queue: Queue) -> None:
    def go_down(_realm: str) -> None:
        queue.sandbox.faults.unavailable = True

    queue.write_settings("connections = 1")
    for realm in ("acme", "globex"):
        queue.submit(onboard(realm))
    queue.sandbox.faults.before_write = go_down
    queue.drain()
    states = queue.states()
    queue.sandbox.faults.before_write, queue.sandbox.faults.unavailable = None, False
    queue.make_due()
    queue.drain()
    assert {*states.values()} == {RequestState.WAITING}
    assert queue.address_of("globex") == "mail@acme.example"
    assert queue.address_of("acme") == "mail@acme.example"


def test_an_apply_between_two_onboardings_sees_the_first(queue: Queue) -> None:
    """Onboardings come first; the apply then changes what they wrote."""
    queue.submit(apply_to("acme", address="apply@acme.example"))
    queue.submit(onboard("acme", address="onboard@acme.example"))
    queue.drain()
    assert queue.address_of("acme") == "apply@acme.example"


@pytest.mark.parametrize("column", ["content", "mails"])
def test_a_request_with_bytes_for_text_in_a_journal_file_is_not_taken_forever(queue: Queue, column: str) -> None:
    damaged, good = (queue.submit(onboard(realm)).number for realm in ("acme", "globex"))
    change(queue.url, f"UPDATE journal_requests SET {column} = x'00' WHERE number = {damaged}")
    assert queue.drain() == 2
    rows = asked(queue.url, "SELECT number, state, summary FROM journal_requests ORDER BY number")
    assert rows[0][:2] == (damaged, "failed")
    assert f"`{column}` cannot be read" in str(rows[0][2])
    assert rows[1][:2] == (good, "done")
    assert queue.writes() == ["globex"]
