"""Leases exclude a second run on the same server, in SQLite and in PostgreSQL alike."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from support.journals import (
    RUN,
    SERVER,
    asked,
    begun,
    change,
    database_at,
    expire_leases,
    in_another_process,
    journal_at,
    write,
)
from support.waiting import Clock

from ztrust_mail.core.errors import ExitStatus, JournalError, Unsafe
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.lease import DEFAULT_TIMING, UNMONITORED, Lease, Monitor, Timing, keep_renewed
from ztrust_mail.journal.records import Outcome, Step, Update

PATIENCE = 30.0  # seconds until a test that waits for a thread gives up
HOLDERS = "SELECT who, run FROM leases"


def refusal(url: Secret, timing: Timing = DEFAULT_TIMING, wait: float = 0.0) -> Unsafe:
    """Return the error of another run that tries to take the lease."""
    with pytest.raises(Unsafe) as caught, journal_at(url, timing) as second, second.lease(SERVER, "bob", wait=wait):
        pass
    return caught.value


def test_the_refusal_names_the_holder_of_the_lease(journal: Journal, journal_url: Secret) -> None:
    before = datetime.now(UTC)
    with journal.lease(SERVER, "eve\x1b on desk"):
        number = begun(journal, "acme")
        refused = refusal(journal_url)
    pattern = rf"`{SERVER}` is locked by eve\\x1b on desk since (.{{19}}) UTC \(run {number}\)"
    match = re.fullmatch(pattern, refused.message)
    assert match
    assert abs((datetime.fromisoformat(f"{match[1]}+00:00") - before).total_seconds()) < 600
    assert (refused.rule, refused.exit_status) == ("locked", ExitStatus.UNSAFE)
    assert "--wait" in refused.hint
    assert "within 60 s" in refused.hint


def test_the_refusal_names_no_run_before_one_has_begun(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"):
        assert refusal(journal_url).message.endswith("UTC")


def test_the_lease_is_released_at_the_end(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"):
        assert asked(journal_url, HOLDERS) == [("eve", None)]
    assert asked(journal_url, HOLDERS) == []


def test_the_lease_is_released_after_an_exception(journal: Journal, journal_url: Secret) -> None:
    with pytest.raises(ZeroDivisionError), journal.lease(SERVER, "eve"):
        raise ZeroDivisionError
    assert asked(journal_url, HOLDERS) == []


def test_a_lease_locks_only_its_own_server(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"), journal.lease("https://other.example.com", "bob"):
        assert asked(journal_url, f"{HOLDERS} ORDER BY who") == [("bob", None), ("eve", None)]


def test_a_failed_release_does_not_hide_the_result_of_the_run(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"):
        number = begun(journal, "acme", step=Step.VERIFIED)
        change(journal_url, "DROP TABLE leases")
    assert journal.writes(number)[0].step is Step.VERIFIED


def test_an_expired_lease_is_taken_over(journal: Journal, journal_url: Secret) -> None:
    with ExitStack() as first, journal_at(journal_url) as second:
        first.enter_context(journal.lease(SERVER, "eve"))
        begun(journal, "acme")
        expire_leases(journal_url)
        with second.lease(SERVER, "bob"):
            assert asked(journal_url, HOLDERS) == [("bob", None)]
            first.close()  # a lost lease is not released
            assert asked(journal_url, HOLDERS) == [("bob", None)]


def test_a_lease_that_ends_too_far_in_the_future_is_taken_over(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"), journal_at(journal_url) as second:
        ahead = "2999-01-01 00:00:00.000000+00"
        change(journal_url, f"UPDATE leases SET since = '{ahead}', expires = '{ahead}'")
        with second.lease(SERVER, "bob"):
            assert asked(journal_url, HOLDERS) == [("bob", None)]


def test_a_run_that_lost_its_lease_marks_no_more_writes(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"), journal_at(journal_url) as second:
        number = begun(journal, "acme", "beta", step=Step.WRITING)
        expire_leases(journal_url)
        with second.lease(SERVER, "bob"):
            updates = [Update("acme", Step.VERIFIED), Update("beta", Step.WRITING)]
            with pytest.raises(JournalError, match="lost its lock") as caught:
                journal.record(number, updates)
    assert caught.value.rule == "lease-lost"
    assert [one.step for one in journal.writes(number)] == [Step.VERIFIED, Step.WRITING]


def test_a_run_that_lost_its_lease_changes_nothing_that_another_run_has_settled(
    journal: Journal, journal_url: Secret
) -> None:
    with journal.lease(SERVER, "eve"), journal_at(journal_url) as second:
        number = begun(journal, "acme", "beta", step=Step.WRITING)
        expire_leases(journal_url)
        with second.lease(SERVER, "bob"):
            second.record(number, [Update("acme", Step.VERIFIED)])
            second.finish(number, Outcome.INTERRUPTED)
        with pytest.raises(JournalError, match="lost its lock"):
            journal.record(number, [Update("acme", Step.WRITTEN), Update("beta", Step.WRITTEN)])
        journal.finish(number, Outcome.STOPPED)
    assert [one.step for one in journal.writes(number)] == [Step.VERIFIED, Step.WRITTEN]
    assert journal.runs()[0].outcome is Outcome.INTERRUPTED


def test_a_run_that_lost_its_lease_can_store_its_end(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"), journal_at(journal_url) as second:
        number = begun(journal, "acme")
        expire_leases(journal_url)
        with second.lease(SERVER, "bob"):
            journal.finish(number, Outcome.STOPPED)
    assert journal.runs()[0].outcome is Outcome.STOPPED


def test_a_lease_is_certain_until_it_was_not_renewed_for_as_long_as_it_lasts(clock: Clock, journal_url: Secret) -> None:
    with journal_at(journal_url, clock.timing) as journal:
        assert journal.has_lease(SERVER)
        with journal.lease(SERVER, "eve"):
            assert journal.has_lease(SERVER)
            clock.now += clock.timing.ttl - 1
            assert journal.has_lease(SERVER)
            clock.now += 1
            assert not journal.has_lease(SERVER)


def test_a_run_cannot_begin_after_its_lease_is_lost(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"), journal_at(journal_url) as second:
        expire_leases(journal_url)
        with second.lease(SERVER, "bob"), pytest.raises(JournalError, match="lost its lock"):
            journal.begin(RUN, [write("acme")])
    assert journal.runs() == []


def test_every_mark_renews_the_lease(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"):
        number = begun(journal, "acme")
        expire_leases(journal_url)
        journal.record(number, [Update("acme", Step.WRITING)])
        assert asked(journal_url, "SELECT count(*) FROM leases WHERE expires > since") == [(1,)]


def test_steps_of_a_run_can_be_stored_after_its_lease_was_released(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"):
        number = begun(journal, "acme", step=Step.WRITING)
    journal.record(number, [Update("acme", Step.WRITING), Update("acme", Step.VERIFIED)])
    assert journal.writes(number)[0].step is Step.VERIFIED


def test_a_wait_ends_when_the_lease_is_released(journal: Journal, journal_url: Secret) -> None:
    with ExitStack() as first:
        first.enter_context(journal.lease(SERVER, "eve"))
        clock = Clock(then=first.close)
        with journal_at(journal_url, clock.timing) as second, second.lease(SERVER, "bob", wait=60):
            assert asked(journal_url, HOLDERS) == [("bob", None)]
    assert clock.waits == [1.0]


def test_a_wait_ends_with_a_refusal_after_its_time(journal: Journal, journal_url: Secret) -> None:
    clock = Clock()
    with journal.lease(SERVER, "eve"):
        assert refusal(journal_url, clock.timing, wait=2.5).message.startswith(f"`{SERVER}` is locked by eve since")
    assert clock.waits == [1.0, 1.0, 0.5]


def test_a_wait_sleeps_between_its_attempts(journal: Journal, journal_url: Secret) -> None:
    with journal.lease(SERVER, "eve"):
        assert refusal(journal_url, Timing(poll=0.001), wait=0.003).rule == "locked"


def test_a_wait_ends_with_a_refusal_when_it_is_cancelled(journal: Journal, journal_url: Secret) -> None:
    cancel = threading.Event()
    clock, monitor = Clock(then=cancel.set), Monitor(is_cancelled=cancel.is_set)
    with ExitStack() as both:
        both.enter_context(journal.lease(SERVER, "eve"))
        second = both.enter_context(journal_at(journal_url, clock.timing))
        with pytest.raises(Unsafe), second.lease(SERVER, "bob", wait=60, monitor=monitor):
            pass
    assert clock.waits == [1.0]


def test_a_wait_can_be_interrupted(journal: Journal, journal_url: Secret) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    clock = Clock(then=interrupt)
    with journal.lease(SERVER, "eve"), journal_at(journal_url, clock.timing) as second:
        with pytest.raises(KeyboardInterrupt), second.lease(SERVER, "bob", wait=60):
            pass
        assert asked(journal_url, HOLDERS) == [("eve", None)]


def test_the_monitor_is_called_when_another_run_takes_the_lease(journal_url: Secret) -> None:
    lost = threading.Event()
    with journal_at(journal_url, Timing(ttl=0.3)) as journal, journal.lease(SERVER, "eve", monitor=Monitor(lost.set)):
        change(journal_url, "UPDATE leases SET holder = 'another'")
        assert lost.wait(PATIENCE)
    assert asked(journal_url, HOLDERS) == [("eve", None)]


def test_a_thread_renews_the_lease(journal_url: Secret) -> None:
    renewals = []
    renewed = threading.Event()
    original = Lease.renew

    def renew(lease: Lease) -> bool:
        renewals.append(original(lease))
        if len(renewals) == 3:
            renewed.set()
        return renewals[-1]

    with pytest.MonkeyPatch.context() as patch, journal_at(journal_url, Timing(ttl=0.06)) as journal:
        patch.setattr(Lease, "renew", renew)
        with journal.lease(SERVER, "eve"):
            assert renewed.wait(PATIENCE)
            assert asked(journal_url, HOLDERS) == [("eve", None)]
    assert renewals[:3] == [True, True, True]


class Rounds(threading.Event):
    """An event that is set after a fixed number of waits, each of which only advances the clock.

    ``before`` is called before each round with its number.
    """

    def __init__(self, clock: Clock, count: int, before: Callable[[int], None] = lambda n: None) -> None:
        super().__init__()
        self.clock, self.count, self.before = clock, count, before

    def wait(self, timeout: float | None = None) -> bool:
        if len(self.clock.waits) == self.count:
            return True
        self.clock.wait(timeout or 0.0)
        self.before(len(self.clock.waits))
        return False


def test_a_failed_renewal_is_retried_until_the_lease_expires(journal_url: Secret) -> None:
    clock, lost = Clock(), threading.Event()
    with journal_at(journal_url), database_at(journal_url) as database:
        lease = Lease(database, SERVER, clock.timing)
        lease.acquire("eve", 0)
        change(journal_url, "ALTER TABLE leases RENAME TO away")
        keep_renewed(lease, Rounds(clock, 100), Monitor(lost.set))
    assert clock.waits == [20, 5, 5, 5, 5, 5, 5, 5]  # the next would come too late
    assert lost.is_set()
    assert lease.lost.is_set()


def test_a_lease_survives_a_short_failure_of_the_database(journal_url: Secret) -> None:
    def away_and_back(number: int) -> None:
        if number == 2:
            change(journal_url, "ALTER TABLE leases RENAME TO away")
        if number == 4:
            change(journal_url, "ALTER TABLE away RENAME TO leases")

    clock = Clock()
    with journal_at(journal_url), database_at(journal_url) as database:
        lease = Lease(database, SERVER, clock.timing)
        lease.acquire("eve", 0)
        keep_renewed(lease, Rounds(clock, 6, away_and_back), UNMONITORED)
    assert clock.waits == [20, 20, 5, 5, 20, 20]
    assert not lease.lost.is_set()


def test_the_lease_of_a_stuck_run_is_not_renewed(journal_url: Secret) -> None:
    clock, lost = Clock(), threading.Event()
    with journal_at(journal_url), database_at(journal_url) as database:
        lease = Lease(database, SERVER, clock.timing)
        lease.acquire("eve", 0)
        keep_renewed(lease, Rounds(clock, 100), Monitor(lost.set, lambda: len(clock.waits) == 3))
    assert clock.waits == [20, 20, 20]
    assert lost.is_set()
    assert lease.lost.is_set()


def test_a_lease_can_be_lost_without_a_monitor(journal_url: Secret) -> None:
    with journal_at(journal_url), database_at(journal_url) as database:
        lease = Lease(database, SERVER)
        keep_renewed(lease, Rounds(Clock(), 100), UNMONITORED)
    assert lease.lost.is_set()


def test_one_of_several_threads_gets_the_lease(journal: Journal, journal_url: Secret) -> None:
    start, tried = threading.Barrier(8), threading.Barrier(8)

    def attempt(number: int) -> str:
        with journal_at(journal_url) as mine:
            start.wait(PATIENCE)
            try:
                with mine.lease(SERVER, f"person {number}"):
                    tried.wait(PATIENCE)
                    return "held"
            except Unsafe as e:
                tried.wait(PATIENCE)
                return e.rule

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(8)))
    assert sorted(outcomes) == ["held"] + ["locked"] * 7


def test_one_of_several_threads_takes_over_an_expired_lease(journal: Journal, journal_url: Secret) -> None:
    with ExitStack() as first, database_at(journal_url) as database:
        first.enter_context(journal.lease(SERVER, "eve"))
        expire_leases(journal_url)

        def attempt(number: int) -> bool:
            try:
                Lease(database, SERVER).acquire(f"person {number}", 0)
            except Unsafe:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, range(8))) == 1


KILLED = """
with journal.lease("https://id.example.com", "eve"):
    number = journal.begin(NewRun("https://id.example.com", "apply", "eve"), [Write("acme", {}, None)])
    journal.record(number, [Update("acme", Step.WRITING)])
    print(number, flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_leaves_its_mark_and_a_lease_that_expires(journal_url: Secret) -> None:
    with in_another_process(journal_url, KILLED) as process:
        assert process.stdout
        number = int(process.stdout.readline())
        process.kill()
        process.wait()
    with journal_at(journal_url) as journal:
        assert refusal(journal_url).message.endswith(f"UTC (run {number})")
        expire_leases(journal_url)
        with journal.lease(SERVER, "bob"):
            doubt = journal.last_known(SERVER)["acme"].doubt
            assert journal.resumable(SERVER) == journal.run(number)
    assert doubt
    assert (doubt.run, doubt.step) == (number, Step.WRITING)
