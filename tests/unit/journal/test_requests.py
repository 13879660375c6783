"""Requests in the journal: stored once, taken in order, ended by whoever took them last."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from support.journals import asked, change, journal_at
from support.queued import SERVER, new_request

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import JournalError, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.opening import NewerJournal
from ztrust_mail.journal.records import NewRun
from ztrust_mail.journal.requests import (
    LONGEST_PAUSE,
    MAX_LISTED_CONTENT,
    BusyServer,
    NewRequest,
    Postponed,
    RequestEnd,
    RequestState,
    RequestTable,
    StoredRequest,
)

DONE = RequestEnd(RequestState.DONE, 0, "in sync", "{}", "in sync\n")
FAILED = RequestEnd(RequestState.FAILED, 4, "1 realm failed")


@pytest.fixture
def requests(journal: Journal) -> RequestTable:
    """The requests of a new journal."""
    return journal.requests


def add(requests: RequestTable, request: NewRequest) -> StoredRequest:
    """Store a request."""
    with requests.adding(request) as (stored, _):
        return stored


def taken(requests: RequestTable, request: NewRequest) -> StoredRequest:
    """Store a request and take it."""
    [found] = requests.take([add(requests, request)])
    return found


def test_a_new_request_waits_and_is_due_at_once(requests: RequestTable) -> None:
    stored = add(requests, new_request("one", key="order 4711", priority=3, who="eve", message="Launch"))
    assert stored == requests.get(stored.number)
    assert (stored.state, stored.attempts, stored.exit_status) == (RequestState.WAITING, 0, None)
    assert (stored.key, stored.priority, stored.who, stored.message) == ("order 4711", 3, "eve", "Launch")
    assert stored.submitted == stored.due
    assert stored.submitted.tzinfo is UTC
    assert stored.tool_version
    assert requests.waiting_for(SERVER) == [stored]


def test_the_same_request_is_stored_once_while_it_waits_or_runs(requests: RequestTable) -> None:
    first = add(requests, new_request())
    assert add(requests, new_request()).number == first.number
    requests.take([first])
    assert add(requests, new_request()).state is RequestState.RUNNING
    assert len(requests.newest()) == 1


@pytest.mark.parametrize("state", [one for one in RequestState if one.is_final])
def test_the_same_request_is_stored_again_after_the_first_has_ended(
    requests: RequestTable, state: RequestState
) -> None:
    first = taken(requests, new_request())
    requests.store([(first, RequestEnd(state))])
    assert add(requests, new_request()).number == first.number + 1


@pytest.mark.parametrize("state", [one for one in RequestState if one.is_final])
def test_a_key_is_that_of_the_first_request_even_after_its_end(requests: RequestTable, state: RequestState) -> None:
    first = taken(requests, new_request(key="order 1"))
    requests.store([(first, RequestEnd(state))])
    again = add(requests, new_request("something else", key="order 1"))
    assert (again.number, again.state, again.content) == (first.number, state, "{}")


def test_a_key_is_that_of_one_server(requests: RequestTable) -> None:
    first = add(requests, new_request(key="order 1"))
    other = add(requests, new_request(server="https://other.example.com", key="order 1"))
    assert other.number != first.number
    assert requests.has_key(SERVER, "order 1")
    assert not requests.has_key(SERVER, "order 2")
    assert not requests.has_key(SERVER, "")


def test_two_keys_may_ask_for_the_same_work_and_both_are_remembered(requests: RequestTable) -> None:
    first, second = (add(requests, new_request(key=key)) for key in ("order 1", "order 2"))
    assert first.number != second.number
    assert [one.key for one in requests.waiting_for(SERVER)] == ["order 1", "order 2"]


def test_without_a_key_the_same_work_of_a_request_with_one_is_not_stored_again(requests: RequestTable) -> None:
    first = add(requests, new_request(key="order 1"))
    assert add(requests, new_request()).number == first.number


def test_a_failure_while_a_request_is_added_stores_nothing(requests: RequestTable) -> None:
    with pytest.raises(RuntimeError), requests.adding(new_request()):
        raise RuntimeError
    assert requests.newest() == []


def test_threads_that_submit_the_same_request_at_once_store_it_once(requests: RequestTable) -> None:
    barrier, numbers = Barrier(4), list[int]()

    def submit() -> None:
        barrier.wait()
        numbers.append(add(requests, new_request(key="order 1")).number)

    threads = [Thread(target=submit) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(numbers) == 4
    assert len(set(numbers)) == 1


def test_invisible_characters_in_the_reason_are_made_visible(requests: RequestTable) -> None:
    stored = add(requests, new_request(who="eve\x1b[2J", message="why\n##vso[x]\x00"))
    assert (stored.who, stored.message) == ("eve\\x1b[2J", "why\\x0a##vso[x]\\x00")


def test_a_request_that_is_missing_is_reported_with_the_list(requests: RequestTable) -> None:
    for call in (requests.get, requests.cancel):
        with pytest.raises(UsageError, match="there is no request 7") as caught:
            call(7)
        assert "ztrust-mail requests" in caught.value.hint


# Order


def test_requests_are_taken_by_priority_and_then_in_their_order(requests: RequestTable) -> None:
    low, high, later = (
        add(requests, new_request(text, priority=priority)).number
        for text, priority in [("a", 0), ("b", 30), ("c", 30)]
    )
    assert [one.number for one in requests.waiting_for(SERVER)] == [high, later, low]


def test_what_a_killed_worker_has_left_comes_first_whatever_its_priority(requests: RequestTable) -> None:
    left = taken(requests, new_request("a", priority=0))
    waiting = add(requests, new_request("b", priority=30))
    assert [one.number for one in requests.waiting_for(SERVER)] == [left.number, waiting.number]


def test_only_requests_of_the_server_are_taken(requests: RequestTable) -> None:
    add(requests, new_request(server="https://other.example.com"))
    assert requests.waiting_for(SERVER) == []


def test_a_request_that_was_put_back_is_taken_when_it_is_due(requests: RequestTable, journal_url: Secret) -> None:
    one = taken(requests, new_request())
    requests.store([(one, Postponed("the server is down", timedelta(seconds=60)))])
    waiting = requests.get(one.number)
    assert (waiting.state, waiting.summary, waiting.attempts) == (RequestState.WAITING, "the server is down", 0)
    assert waiting.due > waiting.submitted + timedelta(seconds=59)
    assert requests.waiting_for(SERVER) == []
    change(journal_url, "UPDATE journal_requests SET due = submitted")
    assert [found.number for found in requests.waiting_for(SERVER)] == [one.number]


def test_all_requests_of_a_server_are_held_back_and_none_of_another(requests: RequestTable) -> None:
    held, later = add(requests, new_request("a")), taken(requests, new_request("b"))
    requests.store([(later, Postponed("", timedelta(minutes=10)))])
    due = requests.get(later.number).due
    add(requests, new_request(server="https://other.example.com"))
    requests.hold_back(SERVER, timedelta(minutes=1))
    assert requests.waiting_for(SERVER) == []
    assert requests.get(held.number).due >= held.submitted + timedelta(minutes=1)
    assert requests.get(later.number).due == due
    assert [one.server for one in requests.busy_servers()] == ["https://other.example.com"]


def test_no_request_waits_longer_than_the_longest_pause(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    requests.store([(one, Postponed("later", timedelta(days=400)))])
    stored = requests.get(one.number)
    assert stored.due <= requests.now() + LONGEST_PAUSE


def test_a_request_from_before_a_clock_was_set_back_is_due(requests: RequestTable, journal_url: Secret) -> None:
    """Its times are those of a clock that was years ahead."""
    one = add(requests, new_request())
    change(journal_url, "UPDATE journal_requests SET due = '2099-01-01 00:00:00+00:00', submitted = due")
    assert [found.number for found in requests.waiting_for(SERVER)] == [one.number]
    assert [busy.server for busy in requests.busy_servers()] == [SERVER]


def test_a_long_content_is_only_read_when_its_request_is_taken(requests: RequestTable) -> None:
    content = "x" * (MAX_LISTED_CONTENT + 1)
    add(requests, new_request(content))
    [listed] = requests.waiting_for(SERVER)
    assert listed.content == ""
    [found] = requests.take([listed])
    assert found.content == content


def test_lists_have_neither_content_nor_reports(requests: RequestTable) -> None:
    requests.store([(taken(requests, new_request("a")), DONE)])
    add(requests, new_request("b"))
    newest = requests.newest()
    assert [(one.number, one.content, one.report, one.report_text) for one in newest] == [
        (2, "", "", ""),
        (1, "", "", ""),
    ]
    assert [one.number for one in requests.newest(limit=1)] == [2]
    assert [one.number for one in requests.list_unfinished()] == [2]


def test_the_requests_ahead_are_those_with_a_higher_priority_and_the_earlier_ones(requests: RequestTable) -> None:
    stored = [add(requests, new_request(str(n), priority=priority)) for n, priority in enumerate([10, 30, 10, 0])]
    assert [requests.ahead_of(one) for one in stored] == [1, 0, 2, 3]


# Attempts


def test_each_attempt_is_counted_and_two_cannot_take_the_same_one(requests: RequestTable) -> None:
    one = add(requests, new_request())
    [first] = requests.take([one])
    assert (first.attempts, first.state) == (1, RequestState.RUNNING)
    assert first.started
    assert requests.take([one]) == []
    [second] = requests.take([first])
    assert second.attempts == 2


def test_a_request_that_runs_no_longer_says_why_it_waited(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    requests.store([(one, Postponed("the server went down", timedelta()))])
    [again] = requests.take([requests.get(one.number)])
    assert (again.state, again.summary) == (RequestState.RUNNING, "")


def test_a_worker_that_was_overtaken_can_neither_end_a_request_nor_put_it_back(requests: RequestTable) -> None:
    slow = taken(requests, new_request())
    [fast] = requests.take([slow])
    requests.store([(slow, FAILED)])
    requests.store([(slow, Postponed("too late", timedelta()))])
    assert requests.get(slow.number) == fast
    requests.store([(fast, DONE)])
    requests.store([(slow, FAILED)])
    ended = requests.get(slow.number)
    assert (ended.state, ended.summary, ended.attempts) == (RequestState.DONE, "in sync", 2)


def test_a_worker_from_before_a_retry_can_neither_end_a_request_nor_put_it_back(requests: RequestTable) -> None:
    slow = taken(requests, new_request())
    [fast] = requests.take([slow])
    requests.store([(fast, FAILED)])
    with requests.retrying(slow.number) as (again, _):
        pass
    [retried] = requests.take([again])
    assert retried.attempts == slow.attempts
    requests.store([(slow, DONE)])
    requests.store([(slow, Postponed("too late", timedelta()))])
    assert requests.get(slow.number) == retried


def test_the_end_of_a_request_is_stored_with_its_reports(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    requests.store([(one, DONE)])
    ended = requests.get(one.number)
    assert (ended.state, ended.exit_status, ended.report, ended.report_text) == (
        RequestState.DONE,
        0,
        "{}",
        "in sync\n",
    )
    assert ended.ended
    assert ended.state.is_final
    assert requests.waiting_for(SERVER) == []


# Cancel and retry


def test_a_waiting_request_is_cancelled_at_once(requests: RequestTable) -> None:
    one = add(requests, new_request())
    cancelled = requests.cancel(one.number)
    assert (cancelled.state, cancelled.is_cancelled) == (RequestState.CANCELLED, True)
    assert cancelled.ended
    assert requests.take([one]) == []
    assert requests.waiting_for(SERVER) == []


def test_a_running_request_is_asked_to_stop(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    assert requests.find_cancelled() == set()
    assert requests.cancel(one.number).state is RequestState.RUNNING
    assert requests.find_cancelled() == {one.number}
    requests.store([(one, RequestEnd(RequestState.CANCELLED))])
    assert requests.find_cancelled() == set()


def test_a_cancelled_request_that_is_put_back_is_cancelled(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    requests.cancel(one.number)
    requests.store([(one, Postponed("the server is down", timedelta()))])
    ended = requests.get(one.number)
    assert (ended.state, ended.summary) == (RequestState.CANCELLED, "cancelled (the server is down)")
    assert ended.ended


def test_what_is_known_of_test_mails_is_recorded_by_whoever_took_the_request_last(requests: RequestTable) -> None:
    one, other = taken(requests, new_request("one")), taken(requests, new_request("other"))
    assert requests.record_mails([(one, '{"acme":"due"}'), (other, '{"globex":"due"}')])
    [again] = requests.take([one])
    assert again.mails == '{"acme":"due"}'
    assert not requests.record_mails([(one, '{"acme":"sent"}'), (other, '{"globex":"sent"}')])
    assert [requests.get(number).mails for number in (one.number, other.number)] == [
        '{"acme":"due"}',
        '{"globex":"sent"}',
    ]
    requests.store([(again, DONE)])
    assert not requests.record_mails([(again, "{}")])


def test_a_retry_has_the_mails_sent_again_that_failed_and_no_others(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    name = json.dumps(':"failed"')
    marks = f'{{"acme":"failed",{name}:"sent","globex":"sending","initech":"failed"}}'
    requests.record_mails([(one, marks)])
    requests.store([(one, FAILED)])
    with requests.retrying(one.number) as (again, _):
        assert json.loads(again.mails) == {
            "acme": "due", ':"failed"': "sent", "globex": "sending", "initech": "due",
        }  # fmt: skip


def test_a_request_that_is_being_cancelled_is_not_the_same_as_a_new_one(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    requests.cancel(one.number)
    with pytest.raises(UsageError, match="request 1 asks for the same, and is being cancelled") as caught:
        add(requests, new_request())
    assert caught.value.hint == "submit again when it has ended: ztrust-mail requests 1 --follow"
    requests.store([(one, RequestEnd(RequestState.CANCELLED))])
    assert add(requests, new_request()).number == 2


def test_a_key_remains_that_of_a_request_that_is_being_cancelled(requests: RequestTable) -> None:
    one = taken(requests, new_request(key="order 1"))
    requests.cancel(one.number)
    assert add(requests, new_request(key="order 1")).number == one.number
    assert add(requests, new_request()).number == 2


def test_to_cancel_a_request_that_has_ended_changes_nothing(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    requests.store([(one, DONE)])
    before = requests.get(one.number)
    assert requests.cancel(one.number) == before


@pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.DEAD, RequestState.CANCELLED])
def test_a_request_that_was_not_done_can_be_tried_again(requests: RequestTable, state: RequestState) -> None:
    one = taken(requests, new_request(key="order 1"))
    requests.cancel(one.number)
    requests.store([(one, replace(FAILED, state=state))])
    with requests.retrying(one.number) as (again, _):
        assert (again.state, again.attempts, again.is_cancelled) == (RequestState.WAITING, 0, False)
    assert (again.exit_status, again.summary, again.started, again.ended) == (None, "", None, None)
    assert requests.waiting_for(SERVER) == [again]


def test_a_request_that_is_done_waits_or_runs_cannot_be_tried_again(requests: RequestTable) -> None:
    one = add(requests, new_request())
    for state in (RequestState.WAITING, RequestState.RUNNING, RequestState.DONE):
        with pytest.raises(UsageError, match=f"request 1 is {state} and cannot be retried") as caught:
            requests.retrying(1).__enter__()
        assert caught.value.hint == "see: ztrust-mail requests 1"
        found = requests.take([one])
        if found:
            one = found[0]
        if state is RequestState.RUNNING:
            requests.store([(one, DONE)])


def test_a_request_that_is_being_cancelled_is_tried_again_when_it_has_ended(requests: RequestTable) -> None:
    one = taken(requests, new_request())
    requests.cancel(one.number)
    with pytest.raises(UsageError, match="request 1 is being cancelled and cannot be retried yet") as caught:
        requests.retrying(1).__enter__()
    assert caught.value.hint == "retry when it has ended: ztrust-mail requests 1 --follow"


def test_a_request_is_not_tried_again_while_the_same_one_waits(requests: RequestTable) -> None:
    requests.store([(taken(requests, new_request()), FAILED)])
    second = add(requests, new_request())
    with pytest.raises(UsageError, match=f"request 1 cannot be retried: request {second.number} is the same"):
        requests.retrying(1).__enter__()
    assert requests.get(1).state is RequestState.FAILED


# Servers, counts and pruning


def test_busy_servers_come_by_their_most_urgent_request(requests: RequestTable) -> None:
    add(requests, new_request("a", "https://a.example", priority=0))
    add(requests, new_request("b", "https://b.example", priority=0))
    add(requests, new_request("c", "https://b.example", priority=30))
    requests.store([(taken(requests, new_request("d", "https://done.example")), DONE)])
    later = taken(requests, new_request("e", "https://later.example"))
    requests.store([(later, Postponed("", timedelta(minutes=1)))])
    taken(requests, new_request("f", "https://killed.example", priority=10))
    assert requests.busy_servers() == [
        BusyServer("https://b.example", "prod", "default", 30),
        BusyServer("https://killed.example", "prod", "default", 10),
        BusyServer("https://a.example", "prod", "default", 0),
    ]
    assert requests.busy_servers(without="SELECT 1 WHERE s.server = 'https://b.example'")[0].priority == 10


def test_a_server_has_the_name_and_the_queue_of_its_newest_request(requests: RequestTable) -> None:
    add(requests, new_request("a"))
    add(requests, replace(new_request("b"), name="production", queue="eu"))
    assert requests.busy_servers() == [BusyServer(SERVER, "production", "eu", 0)]


def test_requests_are_counted_by_queue_and_state(requests: RequestTable) -> None:
    first = add(requests, new_request("a"))
    add(requests, new_request("b"))
    requests.store([(taken(requests, replace(new_request("c"), queue="eu")), FAILED)])
    counted = {(one.queue, one.state): (one.number, one.oldest) for one in requests.counts(timedelta(hours=1))}
    assert counted["default", RequestState.WAITING] == (2, first.submitted)
    assert counted["eu", RequestState.FAILED][0] == 1
    assert len(counted) == 2
    assert sorted(requests.queues()) == ["eu"], "that of the newest request for the server"


def test_requests_that_ended_before_a_period_are_not_counted(requests: RequestTable, journal_url: Secret) -> None:
    requests.store([(taken(requests, new_request("old")), FAILED), (taken(requests, new_request("new")), FAILED)])
    waiting = add(requests, new_request("waits"))
    change(
        journal_url,
        "UPDATE journal_requests SET ended = '2020-01-01 00:00:00+00:00' WHERE number = 1",
        f"UPDATE journal_requests SET submitted = '2020-01-01 00:00:00+00:00' WHERE number = {waiting.number}",
    )
    counted = {one.state: one.number for one in requests.counts(timedelta(hours=1))}
    assert counted == {RequestState.FAILED: 1, RequestState.WAITING: 1}


def test_only_requests_that_ended_long_ago_are_pruned(requests: RequestTable, journal_url: Secret) -> None:
    requests.store([(taken(requests, new_request("old")), DONE)])
    waiting = add(requests, new_request("waits"))
    running = taken(requests, new_request("runs"))
    recent = taken(requests, new_request("recent"))
    requests.store([(recent, DONE)])
    change(
        journal_url,
        "UPDATE journal_requests SET submitted = '2020-01-01 00:00:00+00:00'",
        "UPDATE journal_requests SET ended = '2020-01-01 00:00:00+00:00' WHERE number = 1",
    )
    assert requests.prune(timedelta(days=90)) == 1
    assert [one.number for one in requests.newest()] == [recent.number, running.number, waiting.number]
    assert requests.prune(timedelta(days=90)) == 0


def test_the_key_of_a_pruned_request_is_free_again(requests: RequestTable, journal_url: Secret) -> None:
    requests.store([(taken(requests, new_request(key="order 1")), DONE)])
    change(journal_url, "UPDATE journal_requests SET ended = '2020-01-01 00:00:00+00:00'")
    requests.prune(timedelta(days=1))
    assert add(requests, new_request(key="order 1")).number == 2


SPOILT = (
    "state = 'sideways'",
    "attempts = 2147483647",
    "attempts = -1",
    *(f"{time} = 'infinity'" for time in ("submitted", "due", "started", "ended")),
)


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_damaged_request_is_reported_as_damage_and_left_out_of_lists(
    requests: RequestTable, journal_url: Secret, spoilt: str
) -> None:
    one, other = add(requests, new_request()), add(requests, new_request("other"))
    change(journal_url, f"UPDATE journal_requests SET {spoilt} WHERE number = {one.number}")
    column = spoilt.split()[0]
    with pytest.raises(JournalError, match=f"is damaged at request 1: `{column}` cannot be read$") as caught:
        requests.get(one.number)
    assert "requests 1 --retry" in caught.value.hint
    for listed in (requests.newest(), requests.list_unfinished(), requests.waiting_for(SERVER)):
        assert [found.number for found in listed] == [other.number]
    assert [found.number for found in requests.take([other])] == [other.number]
    waits = spoilt not in SPOILT[:1]
    assert requests.find_damaged() == ({one.number: column} if waits else {})
    assert requests.count_by_state() == {
        **({RequestState.WAITING: 1} if waits else {}),
        RequestState.RUNNING: 1,
    }
    assert {found.state for found in requests.counts(timedelta(hours=1))} == requests.count_by_state().keys()


@pytest.mark.parametrize("spoilt", [*SPOILT[1:], "submitted = '-infinity', due = '-infinity', started = '-infinity'"])
def test_a_damaged_request_is_ended_and_can_be_tried_again(
    requests: RequestTable, journal_url: Secret, spoilt: str
) -> None:
    one = add(requests, new_request(key="order 1", priority=7))
    change(journal_url, f"UPDATE journal_requests SET {spoilt}")
    assert requests.has_waiting(SERVER), "so that a worker comes to end it"
    assert requests.end_damaged(SERVER).keys() == {one.number}
    assert not requests.has_waiting(SERVER)
    ended = requests.get(one.number)
    assert (ended.state, ended.final_status) == (RequestState.FAILED, 4)
    assert ended.summary.endswith(f"cannot be read; try it again: ztrust-mail requests {one.number} --retry")
    assert (ended.content, ended.key, ended.priority) == (one.content, one.key, one.priority)
    if "submitted" not in spoilt:
        assert ended.submitted == one.submitted
    assert requests.end_damaged(SERVER) == {}
    with requests.retrying(one.number) as (again, _):
        assert again.state is RequestState.WAITING
    assert requests.waiting_for(SERVER) == [again]


def test_a_request_that_has_ended_is_not_ended_again_as_damaged(requests: RequestTable, journal_url: Secret) -> None:
    done = taken(requests, new_request())
    requests.store([(done, DONE)])
    change(journal_url, "UPDATE journal_requests SET submitted = 'infinity'")
    assert requests.end_damaged(SERVER) == {}
    assert requests.list_ended() == []


def test_a_journal_that_was_migrated_while_it_was_open_takes_and_gives_no_more_requests(
    journal: Journal, journal_url: Secret
) -> None:
    requests = journal.requests
    requests.store([(taken(requests, new_request("failed")), FAILED)])
    waiting = add(requests, new_request("waits"))
    change(journal_url, "UPDATE alembic_version SET version_num = '0099'")
    before = asked(journal_url, "SELECT * FROM journal_requests ORDER BY number")
    for act in (
        lambda: add(requests, new_request("new")),
        lambda: requests.waiting_for(SERVER),
        lambda: requests.has_waiting(SERVER),
        requests.busy_servers,
        lambda: requests.retrying(1).__enter__(),
        lambda: journal.begin(NewRun(SERVER, "apply", "eve"), []),
    ):
        with pytest.raises(NewerJournal, match=f"is newer than this ztrust-mail {__version__}$"):
            act()
    assert asked(journal_url, "SELECT * FROM journal_requests ORDER BY number") == before
    assert journal.runs() == []
    assert requests.get(waiting.number) == waiting, "what there is may be looked at"


def test_requests_are_stored_in_the_time_of_the_database(requests: RequestTable) -> None:
    before = datetime.now(UTC) - timedelta(hours=1)
    assert before < requests.now() < before + timedelta(hours=2)
    assert before < add(requests, new_request()).submitted < before + timedelta(hours=2)


def test_requests_survive_the_end_of_the_program(journal_url: Secret) -> None:
    with journal_at(journal_url) as journal:
        add(journal.requests, new_request("Ümläut"))
    with journal_at(journal_url) as journal:
        assert journal.requests.get(1).content == "Ümläut"
    assert asked(journal_url, "SELECT server, name, queue FROM journal_servers") == [(SERVER, "prod", "default")]
