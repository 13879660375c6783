"""Draining: requests are done in order, tried again, given up, cancelled, and taken over from killed workers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.bad_server import nobody
from support.journals import change
from support.queued import QUICK, Queue, WatchedDrain, apply_to, entry, onboard, spec

from ztrust_mail import api
from ztrust_mail.core.errors import JournalError
from ztrust_mail.fleet import (
    ApplySavedPlan,
    ApplySpec,
    CheckDrift,
    RequestState,
    RetryPolicy,
    RotateSecrets,
    TestSpec,
    TestStored,
    Work,
)
from ztrust_mail.journal.opening import NewerJournal
from ztrust_mail.journal.requests import RequestTable
from ztrust_mail.settings.limits import Limits

REASONABLE = RetryPolicy()


def drain_until_write(queue: Queue, act: Callable[[], object]) -> int:
    """Drain a queue; during its first write, do something that lets the drain end what it does, and wait for that."""
    drain = WatchedDrain(queue.engine.journal, queue.server.url, queue.engine.options)

    def during_write(_realm: str) -> None:
        queue.sandbox.faults.before_write = None
        act()
        assert drain.cancel.wait(60)

    queue.sandbox.faults.before_write = during_write
    return drain.run()


@pytest.fixture
def one_by_one(queue: Queue) -> Queue:
    """A queue whose server is written one realm at a time."""
    queue.write_settings("connections = 1")
    return queue


def test_each_kind_of_work_is_done_and_reported_under_the_name_of_its_command(queue: Queue) -> None:
    whole = spec("acme")
    works: list[tuple[Work, str]] = [
        (apply_to("acme"), '"command": "apply"'),
        (CheckDrift(whole), '"command": "drift"'),
        (onboard("globex"), '"command": "ensure"'),
    ]
    for work, command in works:
        done = queue.do(work)
        assert (done.state, done.exit_status, done.attempts) == (RequestState.DONE, 0, 1)
        assert command in done.report
        assert done.summary
        assert done.report_text
    assert sorted(queue.writes()) == ["acme", "globex"]


def test_a_drift_that_is_found_is_an_answer_and_no_failure(queue: Queue) -> None:
    found = queue.do(CheckDrift(spec("acme")))
    assert (found.state, found.exit_status) == (RequestState.DONE, 1)


def test_a_realm_that_fails_lets_its_request_fail_with_the_report(queue: Queue) -> None:
    queue.sandbox.faults.failing_realms.add("acme")
    failed = queue.do(apply_to("acme", "globex"))
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 4)
    assert "acme" in failed.report_text
    assert queue.address_of("globex") == "mail@acme.example"


def test_requests_are_done_by_priority_and_in_their_order(queue: Queue) -> None:
    drift = queue.submit(CheckDrift(spec("acme")))
    first = queue.submit(apply_to("acme", address="first@acme.example"))
    second = queue.submit(apply_to("acme", address="second@acme.example"))
    new = queue.submit(onboard("initech"))
    assert queue.drain() == 4
    assert queue.writes() == ["initech", "acme", "acme"]
    assert queue.address_of("acme") == "second@acme.example"
    begun = {one.number: queue.engine.status(one.number).started for one in (drift, first, second, new)}
    assert sorted(begun, key=lambda number: begun[number] or number) == [
        new.number, first.number, second.number, drift.number,
    ]  # fmt: skip


def test_requests_that_come_while_a_server_is_drained_are_done_too(queue: Queue) -> None:
    queue.submit(apply_to("acme"))
    later: list[int] = []

    def submit_another(_realm: str) -> None:
        queue.sandbox.faults.before_write = None
        later.append(queue.submit(apply_to("globex")).number)

    queue.sandbox.faults.before_write = submit_another
    assert queue.drain() == 2
    assert queue.engine.status(later[0]).state is RequestState.DONE


def test_a_run_names_the_request_and_the_reason_in_the_journal(queue: Queue) -> None:
    done = queue.do(apply_to("acme"), message="Launch of Acme")
    run = queue.engine.journal.run_of_request(done.number)
    assert run
    assert (run.message, run.command) == ("Launch of Acme", "apply")


def test_a_drain_ends_at_once_where_another_one_works_on_the_server(queue: Queue) -> None:
    queue.submit(apply_to("acme"))
    with queue.engine.journal.lease(f"requests of {queue.server.url}", "another worker"):
        assert queue.drain() == 0
    assert queue.writes() == []
    assert queue.drain() == 1


def test_a_drain_of_a_server_without_requests_sends_nothing(queue: Queue) -> None:
    assert queue.drain() == 0
    assert queue.engine.drain("https://nowhere.example") == 0
    assert queue.sandbox.requests == ()


# Attempts


def test_the_pauses_for_a_server_grow_with_the_age_of_a_request_until_it_is_given_up() -> None:
    ages = (-60, 0, 60, 600, 10_000, 86_399, 86_400)
    pauses = [REASONABLE.pause_at(timedelta(seconds=age)) for age in ages]
    assert [one and one.total_seconds() for one in pauses] == [5, 5, 15, 150, 300, 300, None]


def test_requests_wait_for_a_server_that_is_down_and_none_counts_as_an_attempt(queue: Queue) -> None:
    queue.sandbox.faults.unavailable = True
    number = queue.submit(onboard("acme")).number
    other = queue.submit(CheckDrift(spec("globex"))).number
    for _ in range(QUICK.attempts + 1):
        assert queue.drain() == 0
        waiting = queue.engine.status(number)
        assert (waiting.state, waiting.attempts) == (RequestState.WAITING, 0)
        assert waiting.summary
        asked_before = len(queue.sandbox.requests)
        assert queue.drain() == 0, "not before it is due"
        assert len(queue.sandbox.requests) == asked_before
        assert queue.engine.status(other).due > waiting.submitted, "all requests of the server wait"
        queue.make_due()
    queue.sandbox.faults.unavailable = False
    assert queue.drain() == 2
    assert {*queue.states().values()} == {RequestState.DONE}


@pytest.mark.parametrize("content", ["garbage", None])
def test_requests_wait_while_the_settings_of_the_worker_cannot_be_read(queue: Queue, content: str | None) -> None:
    """Else one save of a half-edited file would fail all requests of all servers."""
    numbers = [queue.submit(work).number for work in (onboard("acme"), CheckDrift(spec("globex")))]
    written, url = queue.settings.read_text(encoding="utf-8"), queue.server.url
    queue.settings.unlink()
    if content:
        queue.settings.write_text(content, encoding="utf-8")
    assert queue.engine.drain(url) == 0
    waiting = queue.engine.status(numbers[0])
    assert (waiting.state, waiting.attempts) == (RequestState.WAITING, 0)
    assert waiting.summary.startswith("the settings of this worker cannot be used: ")
    assert queue.sandbox.requests == ()
    queue.settings.write_text(written, encoding="utf-8")
    queue.settings.chmod(0o600)
    queue.make_due()
    assert queue.drain() == 2
    assert queue.states() == dict.fromkeys(numbers, RequestState.DONE)


def test_a_request_is_given_up_when_its_server_was_down_for_too_long(queue: Queue) -> None:
    queue.sandbox.faults.unavailable = True
    number = queue.submit(CheckDrift(spec("acme"))).number
    queue = queue.with_options(retry=replace(QUICK, patience=0.0))
    assert queue.drain() == 1
    dead = queue.engine.status(number)
    assert dead.state is RequestState.DEAD
    assert dead.summary.startswith("given up after 0 hours: ")
    queue.sandbox.faults.unavailable = False
    queue.engine.retry(number)
    assert queue.drain() == 1
    assert queue.engine.status(number).state is RequestState.DONE


def test_a_server_that_cannot_be_connected_to_is_tried_again(queue: Queue) -> None:
    with nobody() as unused:
        queue.write_settings(url=unused)
        waiting = queue.do(apply_to("acme"))
    assert (waiting.state, waiting.attempts) == (RequestState.WAITING, 0)
    assert "connect" in waiting.summary


def test_a_refused_login_fails_at_once(queue: Queue) -> None:
    queue.write_settings(password="wrong")
    failed = queue.do(apply_to("acme"))
    assert (failed.state, failed.exit_status, failed.attempts) == (RequestState.FAILED, 3, 1)
    assert failed.report


def test_a_refused_login_is_not_tried_again_for_each_request(queue: Queue) -> None:
    queue.write_settings(password="wrong")
    first, *others = [queue.submit(apply_to(realm)).number for realm in ("acme", "globex", "initech")]
    assert (queue.drain(), queue.drain()) == (1, 0)
    assert queue.states() == {first: RequestState.FAILED, **dict.fromkeys(others, RequestState.WAITING)}
    assert len([one for one in queue.sandbox.requests if one.path.endswith("/token")]) == 1
    queue.write_settings()
    queue.make_due()
    assert queue.drain() == 2
    assert queue.states() == {first: RequestState.FAILED, **dict.fromkeys(others, RequestState.DONE)}


def test_neither_new_requests_nor_those_of_a_killed_worker_log_in_after_a_refused_login(queue: Queue) -> None:
    queue.write_settings(password="wrong")
    first, left = (queue.submit(apply_to(realm)).number for realm in ("acme", "globex"))
    queue.kill_worker_at(left)
    assert queue.drain() == 1
    queue.kill_worker_at(first)
    new = queue.submit(onboard("initech")).number
    assert queue.engine.status(new).due > queue.engine.status(new).submitted, "so that no list asks for a worker"
    assert (queue.drain(), queue.engine.drain_all()) == (0, 0)
    assert len([one for one in queue.sandbox.requests if one.path.endswith("/token")]) == 1
    queue.write_settings()
    queue.engine.retry(left)
    assert queue.drain() == 0
    queue.make_due()
    assert queue.drain() == 3
    assert queue.states() == dict.fromkeys((first, left, new), RequestState.DONE)


def test_a_run_of_somebody_else_is_waited_for_and_then_tried_again(queue: Queue) -> None:
    queue = queue.with_options(retry=RetryPolicy(wait_for_lock=0.0))
    with queue.engine.journal.lease(queue.server.url, "eve on desk"):
        waiting = queue.do(apply_to("acme"))
    assert (waiting.state, waiting.attempts) == (RequestState.WAITING, 0)
    assert "is locked by eve on desk" in waiting.summary
    queue.make_due()
    assert queue.drain() == 1
    assert queue.engine.status(waiting.number).state is RequestState.DONE


def test_a_request_whose_worker_dies_each_time_is_given_up(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    other = queue.submit(apply_to("globex")).number
    for _ in range(QUICK.attempts):
        queue.kill_worker_at(number)
    assert queue.drain() == 2
    dead = queue.engine.status(number)
    assert (dead.state, dead.attempts) == (RequestState.DEAD, 4)
    assert dead.summary == "given up after 3 attempts: its worker died each time"
    assert queue.engine.status(other).state is RequestState.DONE
    assert queue.writes() == ["globex"]


def test_the_work_of_a_killed_worker_is_done_by_the_next_one(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    queue.kill_worker_at(number)
    assert queue.drain() == 1
    done = queue.engine.status(number)
    assert (done.state, done.attempts) == (RequestState.DONE, 2)
    assert queue.writes() == ["acme"]


@pytest.mark.parametrize("work", [TestStored(), TestSpec(spec("acme"))], ids=["stored", "spec"])
def test_test_mails_are_not_sent_again_after_their_worker_was_killed(queue: Queue, work: Work) -> None:
    number = queue.submit(work).number
    queue.kill_worker_at(number)
    assert queue.drain() == 1
    failed = queue.engine.status(number)
    assert failed.state is RequestState.FAILED
    assert "are not sent again" in failed.summary
    assert queue.sandbox.requests == ()


def test_an_end_of_an_overtaken_worker_changes_nothing(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    queue.sandbox.faults.before_write = lambda _: queue.kill_worker_at(number)  # another worker takes it meanwhile
    queue.drain()
    assert queue.engine.status(number).state is RequestState.DONE
    assert queue.engine.status(number).attempts > 1


# Rows that cannot be read, or not by this version


@pytest.mark.parametrize("column", ["submitted", "due", "started"])
@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_a_damaged_request_ends_as_failed_and_the_others_of_its_server_are_done(
    queue: Queue, column: str, value: str
) -> None:
    first, damaged, last = (queue.submit(onboard(realm)).number for realm in ("acme", "globex", "initech"))
    change(queue.url, f"UPDATE journal_requests SET {column} = '{value}' WHERE number = {damaged}")
    assert queue.drain() == 3
    done, failed = RequestState.DONE, RequestState.FAILED
    assert queue.states() == {first: done, damaged: failed, last: done}
    assert f"`{column}` cannot be read" in queue.engine.status(damaged).summary
    assert sorted(queue.writes()) == ["acme", "initech"]
    queue.engine.retry(damaged)
    assert queue.drain() == 1
    assert queue.engine.status(damaged).state is done


def test_a_damaged_request_of_a_killed_worker_ends_as_failed(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    queue.kill_worker_at(number)
    change(queue.url, "UPDATE journal_requests SET started = 'infinity'")
    assert queue.drain() == 1
    assert queue.states() == {number: RequestState.FAILED}
    assert queue.writes() == []


@pytest.mark.parametrize(
    "newer",
    [
        """replace(content, '"format":', '"format":99')""",
        """replace(content, '"allow":', '"approved_by":"eve","allow":')""",
        """'{"format":99}'""",
    ],
)
@pytest.mark.parametrize("kind", ["apply", "retire"])
def test_a_request_of_a_newer_version_fails_untouched_and_is_done_after_an_update(
    queue: Queue, newer: str, kind: str
) -> None:
    submitted = queue.engine.status(queue.submit(apply_to("acme")).number)
    number = submitted.number
    change(queue.url, f"UPDATE journal_requests SET kind = '{kind}', content = {newer}, tool_version = '99.0.0'")
    before = queue.engine.status(number)
    assert before.content != submitted.content
    assert queue.drain() == 1
    failed = queue.engine.status(number)
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 2)
    assert "[newer-request]" in failed.report_text
    assert "submitted by ztrust-mail 99.0.0, which is newer than this worker" in failed.summary
    assert (failed.kind, failed.content, failed.digest) == (kind, before.content, before.digest)
    assert queue.sandbox.requests == ()
    change(queue.url, f"UPDATE journal_requests SET kind = 'apply', content = '{submitted.content}'")  # the update
    queue.engine.retry(number)
    assert queue.drain() == 1
    assert queue.engine.status(number).state is RequestState.DONE


def test_a_request_of_this_version_with_unknown_fields_is_not_called_newer(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    change(queue.url, """UPDATE journal_requests SET content = replace(content, '"allow":', '"with":1,"allow":')""")
    queue.drain()
    assert "its content has an unknown form" in queue.engine.status(number).summary


def test_a_drain_of_a_journal_that_was_migrated_meanwhile_ends_and_changes_nothing(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    change(queue.url, "UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(NewerJournal):
        queue.drain()
    assert queue.engine.status(number).state is RequestState.WAITING
    assert queue.sandbox.requests == ()


# Cancel and stop


def test_a_cancelled_request_is_not_done(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    assert queue.engine.cancel(number).state is RequestState.CANCELLED
    assert queue.drain() == 0
    assert queue.writes() == []


def test_cancel_stops_a_running_apply_between_two_realms(one_by_one: Queue) -> None:
    queue = one_by_one
    number = queue.submit(apply_to("acme", "globex", "initech")).number
    assert drain_until_write(queue, lambda: queue.engine.cancel(number)) == 1
    cancelled = queue.engine.status(number)
    assert (cancelled.state, cancelled.exit_status) == (RequestState.CANCELLED, 130)
    assert queue.writes() == ["acme"]
    assert queue.address_of("acme") == "mail@acme.example"
    queue.engine.retry(number)
    assert queue.drain() == 1
    assert queue.engine.status(number).state is RequestState.DONE
    assert queue.writes() == ["acme", "globex", "initech"]


def test_cancel_stops_an_onboarding_whose_requests_are_all_cancelled(one_by_one: Queue) -> None:
    queue = one_by_one
    numbers = [queue.submit(onboard(*realms)).number for realms in (("acme", "globex"), ("initech",))]
    drain_until_write(queue, lambda: [queue.engine.cancel(number) for number in numbers])
    assert queue.writes() == ["acme"]
    assert {*queue.states().values()} == {RequestState.CANCELLED}
    assert [queue.engine.status(number).summary for number in numbers] == [
        "cancelled; written, and not undone: acme; not written: globex",
        "cancelled; not written: initech",
    ]


def test_a_stopped_worker_finishes_the_write_under_way_and_puts_the_rest_back(one_by_one: Queue) -> None:
    queue = one_by_one
    number = queue.submit(apply_to("acme", "globex", "initech")).number
    waiting = queue.submit(CheckDrift(spec("acme"))).number
    assert drain_until_write(queue, queue.engine.options.stop.set) == 0
    back = queue.engine.status(number)
    assert (back.state, back.attempts, back.summary) == (RequestState.WAITING, 0, "the worker was stopped")
    assert queue.writes() == ["acme"]
    assert queue.drain() == 0, "a stopped worker begins nothing"
    assert queue.with_options(stop=threading.Event()).drain() == 2
    assert queue.states() == {number: RequestState.DONE, waiting: RequestState.DONE}
    assert queue.writes() == ["acme", "globex", "initech"]


def test_a_request_that_was_cancelled_while_its_worker_was_killed_is_cancelled(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    queue.kill_worker_at(number)
    queue.engine.cancel(number)
    assert queue.drain() == 1
    cancelled = queue.engine.status(number)
    assert cancelled.state is RequestState.CANCELLED
    assert "killed" in cancelled.summary
    assert queue.writes() == []


def test_a_lost_lease_ends_the_drain(one_by_one: Queue) -> None:
    """Another worker has the server now; this one ends after the write under way, and stores no end."""
    queue = one_by_one
    number = queue.submit(apply_to("acme", "globex")).number
    drain = WatchedDrain(queue.engine.journal, queue.server.url, queue.engine.options)

    def lose(_realm: str) -> None:
        queue.sandbox.faults.before_write = None
        drain._lost.set()
        assert drain.cancel.wait(60)

    queue.sandbox.faults.before_write = lose
    assert drain.run() == 0
    assert queue.engine.status(number).state is RequestState.WAITING
    assert queue.writes() == ["acme"]


# Windows

NEVER = "limits = {windows = []}"
RARELY = 'limits = {windows = [{cron = "0 0 29 2 *", duration = "1m"}]}'


@pytest.mark.parametrize("work", [ApplySpec(spec("acme")), onboard("acme")], ids=["apply", "onboard"])
def test_a_write_waits_for_the_window_and_no_attempt_is_counted(queue: Queue, work: Work) -> None:
    queue.write_settings(RARELY)
    waiting = queue.do(work)
    assert (waiting.state, waiting.attempts) == (RequestState.WAITING, 0)
    assert waiting.summary.startswith("the next window opens at ")
    assert waiting.submitted < waiting.due <= waiting.submitted + timedelta(minutes=6)
    queue.write_settings()
    queue.make_due()
    assert queue.drain() == 1
    assert queue.engine.status(waiting.number).state is RequestState.DONE


@pytest.mark.parametrize("limits", [RARELY, NEVER])
def test_a_request_that_allows_it_is_written_outside_of_the_windows(queue: Queue, limits: str) -> None:
    queue.write_settings(limits)
    allowed = queue.do(ApplySpec(spec("acme"), allow=["window"]))
    assert allowed.state is RequestState.DONE
    [first, second] = [queue.submit(onboard("globex", allow=["window"])), queue.submit(onboard("initech"))]
    queue.drain()
    assert queue.engine.status(first.number).state is RequestState.DONE
    assert queue.engine.status(second.number).state is not RequestState.DONE
    assert "initech" not in queue.writes()


def test_a_drift_check_needs_no_window(queue: Queue) -> None:
    queue.write_settings(RARELY)
    assert queue.do(CheckDrift(spec("acme"))).state is RequestState.DONE


def test_a_server_that_is_never_written_refuses_at_once(queue: Queue) -> None:
    queue.write_settings(NEVER)
    work = ApplySpec(spec("acme"), allow=["mass-change"])
    refused = queue.do(work)
    assert (refused.state, refused.exit_status) == (RequestState.FAILED, 5)
    assert "no window ever opens" in refused.summary


@pytest.mark.parametrize("work", [ApplySpec(spec("acme")), onboard("acme")], ids=["apply", "onboard"])
def test_a_window_that_closes_while_the_lock_is_waited_for_is_waited_for(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    queue.write_settings(RARELY)
    answers = iter([True])
    monkeypatch.setattr(Limits, "is_open", lambda *_: next(answers, False))
    waiting = queue.do(work)
    assert (waiting.state, waiting.attempts) == (RequestState.WAITING, 0)
    assert queue.writes() == []


# What the worker decides


def test_the_policy_of_the_worker_refuses_whatever_a_request_allows(queue: Queue) -> None:
    queue.write_settings()
    text = queue.settings.read_text(encoding="utf-8")
    queue.settings.write_text(f'{text}\n[policy]\nrelays = ["*.trusted.example"]\n', encoding="utf-8")
    for work in (apply_to("acme"), onboard("globex", allow=["all"])):
        refused = queue.do(work)
        assert (refused.state, refused.exit_status) == (RequestState.FAILED, 5)
        assert "policy" in refused.report_text
    assert queue.writes() == []


def test_a_danger_that_a_request_does_not_allow_is_refused(queue: Queue) -> None:
    queue.sandbox.edit_smtp("acme", {"from": "a@b.example", "host": "h.example"})
    queue.sandbox.edit_realm("acme", resetPasswordAllowed=True)
    emptied: Any = {"version": 1, "realms": {"acme": {"disabled": True}}}
    refused = queue.do(ApplySpec(emptied))
    assert (refused.state, refused.exit_status) == (RequestState.FAILED, 5), refused.report_text
    assert "needed-mail" in refused.report_text
    assert queue.writes() == []
    assert queue.do(ApplySpec(emptied, allow=["needed-mail"])).state is RequestState.DONE


def test_a_server_with_another_url_in_the_settings_of_the_worker_is_not_touched(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    url = queue.server.url
    queue.write_settings(url=queue.sandbox.url.replace("127.0.0.1", "localhost"))
    queue.engine.drain(url)
    failed = queue.engine.status(number)
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 5)
    assert "in this worker's settings, server `prod` is" in failed.summary
    assert "--retry" in failed.report_text
    assert queue.sandbox.requests == ()


def test_a_server_that_the_worker_does_not_know_fails_with_the_reason(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    url = queue.server.url
    queue.settings.write_text(queue.settings.read_text("utf-8").replace("servers.prod", "servers.other"), "utf-8")
    queue.engine.drain(url)
    failed = queue.engine.status(number)
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 2)
    assert "prod" in failed.summary


def test_two_names_of_one_url_share_their_queue(queue: Queue) -> None:
    text = queue.settings.read_text("utf-8")
    twin = text[: text.index("[journal]")].replace("servers.prod", "servers.twin")
    queue.settings.write_text(text + twin, "utf-8")
    first = queue.submit(apply_to("acme", address="first@acme.example"))
    from ztrust_mail import settings as config

    other = config.choose_server(config.load(str(queue.settings), {}), "twin", (), {})
    second = queue.engine.submit(apply_to("acme", address="second@acme.example"), other)
    assert (second.server, second.name) == (first.server, "twin")
    assert queue.drain() == 2
    assert queue.address_of("acme") == "second@acme.example"


def test_the_guard_of_a_spec_is_checked_by_the_worker_too(queue: Queue) -> None:
    """The entry of the server may have another name there."""
    number = queue.submit(apply_to("acme", server="prod")).number
    url, text = queue.server.url, queue.settings.read_text("utf-8")
    queue.settings.write_text(text.replace("servers.prod", "servers.other"), "utf-8")
    change(queue.url, f"UPDATE journal_requests SET name = 'other' WHERE number = {number}")
    queue.engine.drain(url)
    failed = queue.engine.status(number)
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 2)
    assert failed.summary == "the spec is meant for server `prod`, not for `other`"
    queue.settings.write_text(text, "utf-8")
    assert queue.do(apply_to("globex", server="prod")).state is RequestState.DONE


def test_entries_and_variables_are_those_of_the_server_of_the_request(queue: Queue) -> None:
    queue.write_settings('vars = {stage = "live"}')
    realms: dict[str, Any] = {
        "acme": entry("{stage}@{domain}"),
        "globex": {**entry(), "servers": ["staging"]},
    }
    whole: Any = {"version": 1, "realms": realms}
    done = queue.do(ApplySpec(whole, variables={"domain": "acme.example"}, allow=["all"]))
    assert done.state is RequestState.DONE, done.report_text
    assert queue.address_of("acme") == "live@acme.example"
    assert queue.writes() == ["acme"]


def test_a_variable_that_the_worker_lacks_fails_before_anything_is_sent(queue: Queue) -> None:
    queue.write_settings('vars = {stage = "live"}')
    number = queue.submit(onboard("acme", address="{stage}@acme.example")).number
    queue.write_settings()
    queue.drain()
    failed = queue.engine.status(number)
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 2)
    assert "stage" in failed.report_text
    assert queue.writes() == []


# Content that this program cannot read


@pytest.mark.parametrize("kind", ["apply", "onboard", "teleport"])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"format":3,"teleport":true}', "which is newer than this worker"),
        ('{"format":1}', "which is newer than this worker"),
        ('{"format":0}', "cannot be read"),
        ('{"format":"1"}', "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("null", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("9" * 10_000, "cannot be read"),
    ],
)
def test_content_that_cannot_be_read_fails_alone(queue: Queue, kind: str, content: str, why: str) -> None:
    number = queue.submit(apply_to("acme")).number
    good = queue.submit(onboard("globex")).number
    values = f"content = '{content}', kind = '{kind}', tool_version = '99.1'"
    change(queue.url, f"UPDATE journal_requests SET {values} WHERE number = {number}")
    assert queue.drain() == 2
    failed = queue.engine.status(number)
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 2)
    assert why in failed.summary
    assert queue.engine.status(good).state is RequestState.DONE


def test_a_request_of_a_newer_program_names_its_version_and_the_next_step(queue: Queue) -> None:
    number = queue.submit(apply_to("acme")).number
    change(queue.url, "UPDATE journal_requests SET content = '{\"format\":3}', tool_version = '99.1'")
    queue.drain()
    failed = queue.engine.status(number)
    assert "99.1" in failed.summary
    assert "update the worker" in failed.report_text


# Saved plans and rotation


def saved_plan(queue: Queue, *realms: str, address: str = "mail@acme.example") -> ApplySavedPlan:
    whole = api.load_spec(spec(*realms, address=address))
    with api.connect("prod", config_path=str(queue.settings), environ={}) as session:
        return ApplySavedPlan(api.save_plan(api.plan(whole, session), whole, session), allow=["all"])


def test_a_saved_plan_is_applied_and_not_a_second_time(queue: Queue) -> None:
    work = saved_plan(queue, "acme", "globex")
    done = queue.do(work)
    assert done.state is RequestState.DONE, done.report_text
    assert sorted(queue.writes()) == ["acme", "globex"]
    stale = queue.do(work)
    assert sorted(queue.writes()) == ["acme", "globex"]
    assert stale.state in (RequestState.DONE, RequestState.FAILED)


def test_a_saved_plan_that_no_longer_fits_fails_as_stale(queue: Queue) -> None:
    number = queue.submit(saved_plan(queue, "acme")).number
    queue.sandbox.edit_smtp("acme", {"from": "eve@acme.example", "host": "h.example"})
    queue.drain()
    failed = queue.engine.status(number)
    assert failed.state is RequestState.FAILED
    assert queue.writes() == []


def test_what_a_stopped_worker_has_left_of_a_saved_plan_is_applied_by_the_next_one(one_by_one: Queue) -> None:
    queue = one_by_one
    number = queue.submit(saved_plan(queue, "acme", "globex", "initech")).number
    assert drain_until_write(queue, queue.engine.options.stop.set) == 0
    assert queue.writes() == ["acme"]
    assert queue.with_options(stop=threading.Event()).drain() == 1
    done = queue.engine.status(number)
    assert done.state is RequestState.DONE, done.report_text
    assert queue.writes() == ["acme", "globex", "initech"]


def test_a_rotation_writes_the_new_value(queue: Queue) -> None:
    login = {"auth": {"username": "u", "password": {"env": "SMTP_PASSWORD"}}}
    whole = spec("acme")
    whole["realms"]["acme"]["relay"] |= login
    queue.environ["SMTP_PASSWORD"] = "old"
    queue.sandbox.edit_smtp("acme", {})
    assert queue.do(ApplySpec(whole, allow=["all"])).state is RequestState.DONE
    queue.environ["SMTP_PASSWORD"] = "new"
    done = queue.do(RotateSecrets(whole, references=["env:SMTP_PASSWORD"]))
    assert queue.writes() == ["acme", "acme"], done.report_text
    assert "rotate" in done.report


def test_a_rotation_of_one_relay_writes_only_the_realms_that_log_in_there(queue: Queue) -> None:
    whole: Any = spec("acme", "globex", "initech")
    for realm, (host, user) in {
        "acme": ("a.example", "u"),
        "globex": ("a.example", "v"),
        "initech": ("b.example", "u"),
    }.items():
        login = {"username": user, "password": {"env": "SMTP_PASSWORD"}}
        whole["realms"][realm]["relay"] |= {"host": host, "auth": login}
    queue.environ["SMTP_PASSWORD"] = "old"
    assert queue.do(ApplySpec(whole, allow=["all"])).state is RequestState.DONE
    before = len(queue.writes())
    queue.environ["SMTP_PASSWORD"] = "new"
    works = [RotateSecrets(whole, relay="a.example", user="u"), RotateSecrets(whole, relay="b.example")]
    reports = [queue.do(work, key=work.relay).report_text for work in works]
    assert queue.writes()[before:] == ["acme", "initech"], reports
    assert queue.sandbox.smtp("globex")["password"] == "old"


# What a drift check and a test are asked for


def test_a_drift_check_counts_only_critical_drift_where_it_is_asked_to(queue: Queue) -> None:
    queue.do(apply_to("acme"))
    queue.sandbox.edit_smtp("acme", {**queue.sandbox.smtp("acme"), "fromDisplayName": "Acme"})
    any_drift, critical = queue.do(CheckDrift(spec("acme"))), queue.do(CheckDrift(spec("acme"), fail_on="critical"))
    assert (any_drift.state, any_drift.exit_status) == (RequestState.DONE, 1)
    assert (critical.state, critical.exit_status) == (RequestState.DONE, 0)
    queue.sandbox.edit_smtp("acme", {**queue.sandbox.smtp("acme"), "host": "evil.example"})
    assert queue.do(CheckDrift(spec("acme"), fail_on="critical")).exit_status == 1


def test_a_drift_check_counts_realms_without_an_entry_where_it_is_asked_to(queue: Queue) -> None:
    queue.do(apply_to("acme"))
    noted, failed = queue.do(CheckDrift(spec("acme"))), queue.do(CheckDrift(spec("acme"), uncovered="fail"))
    assert (noted.state, noted.exit_status) == (RequestState.DONE, 0)
    assert (failed.state, failed.exit_status) == (RequestState.DONE, 1)
    assert "globex" in failed.report_text


@pytest.mark.parametrize(
    ("chosen", "is_reported"),
    [({}, True), ({"select": ["both-tls-switches"]}, True), ({"ignore": ["both-tls-switches"]}, False)],
    ids=["usual", "selected", "ignored"],
)
def test_a_drift_check_reports_the_lint_rules_that_count(
    queue: Queue, chosen: dict[str, Any], is_reported: bool
) -> None:
    """The rules about the server among them, as the command does."""
    queue.sandbox.edit_smtp("globex", {"from": "a@b.example", "host": "h", "ssl": "true", "starttls": "true"})
    found = queue.do(CheckDrift(spec("acme"), **chosen))
    assert ('"both-tls-switches"' in found.report) is is_reported


def test_a_test_probes_no_relay_where_it_is_asked_not_to(queue: Queue) -> None:
    queue.do(apply_to("acme"))
    probed, alone = queue.do(TestStored(["acme"])), queue.do(TestStored(["acme"], probe=False))
    assert [one.exit_status for one in (probed, alone)] == [1, 1]
    assert ["[relay-unreachable]" in one.report_text for one in (probed, alone)] == [True, False]


# The journal fails


def test_a_journal_that_fails_ends_the_drain_and_the_request_is_taken_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = queue.submit(apply_to("acme")).number

    def fail(*_: object) -> None:
        raise JournalError("the journal cannot be reached", "start it", "journal")

    with monkeypatch.context() as patch:
        patch.setattr(RequestTable, "store", fail)
        with pytest.raises(JournalError):
            queue.drain()
    assert queue.engine.status(number).state is RequestState.RUNNING
    assert queue.drain() == 1
    done = queue.engine.status(number)
    assert (done.state, done.attempts) == (RequestState.DONE, 2)
    assert queue.writes() == ["acme"]


def test_a_request_that_waited_longer_than_its_attempts_allow_does_not_hold_up_those_beside_it(queue: Queue) -> None:
    """Another worker permits more attempts than this one."""
    first, second = (queue.submit(onboard(realm)).number for realm in ("acme", "globex"))
    change(queue.url, f"UPDATE journal_requests SET attempts = 3 WHERE number = {first}")
    assert queue.drain() == 2
    assert queue.states() == {first: RequestState.DEAD, second: RequestState.DONE}
    assert queue.engine.status(second).attempts == 1
