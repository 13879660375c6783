"""Handing realms to threads: never before their mark is on disk."""

from __future__ import annotations

import itertools
import signal
import threading

import pytest

from ztrust_mail.applying.apply import INTENT_BATCH, Queue, in_parallel
from ztrust_mail.core.errors import JournalError
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.specfile.resolve import desired_from_journal


def realms(count: int) -> list[RealmPlan]:
    return [RealmPlan(f"r{n}", Status.CHANGED, desired_from_journal(f"r{n}", {})) for n in range(count)]


def test_each_realm_is_handed_out_once_and_only_after_it_was_marked():
    marked: list[str] = []
    queue = Queue(realms(3 * INTENT_BATCH + 5), marked.extend, lambda: False)
    seen: list[str] = []
    unmarked: list[str] = []

    def work() -> None:
        while (realm := queue.next()) is not None:
            seen.append(realm.realm)
            if realm.realm not in marked:
                unmarked.append(realm.realm)

    in_parallel(work, 8, lambda: None)
    assert unmarked == []
    assert sorted(seen) == sorted(realm.realm for realm in realms(3 * INTENT_BATCH + 5))
    assert sorted(marked) == sorted(seen)


def test_realms_are_marked_in_portions():
    portions: list[int] = []
    queue = Queue(realms(INTENT_BATCH + 1), lambda names: portions.append(len(names)), lambda: False)
    while queue.next():
        pass
    assert portions == [INTENT_BATCH, 1]


def test_a_stopped_queue_hands_out_nothing_more_and_marks_nothing_more():
    marked: list[str] = []
    stop = threading.Event()
    queue = Queue(realms(2 * INTENT_BATCH), marked.extend, stop.is_set)
    assert queue.next() is not None
    stop.set()
    assert queue.next() is None
    assert len(marked) == INTENT_BATCH


def test_cancelled_realms_are_left_out_and_not_marked_unless_they_were_cancelled_later():
    marked: list[str] = []
    cancelled = {f"r{n}" for n in range(INTENT_BATCH)}
    queue = Queue(realms(2 * INTENT_BATCH), marked.extend, lambda: False, lambda realm: realm in cancelled)
    first = queue.next()
    cancelled.add(f"r{INTENT_BATCH + 1}")
    seen = [first, *iter(queue.next, None)]
    assert marked == [f"r{n}" for n in range(INTENT_BATCH, 2 * INTENT_BATCH)]
    assert [one and one.realm for one in seen] == [name for name in marked if name not in cancelled]


def test_no_realm_is_handed_out_if_marking_fails():
    def refuse(names: list[str]) -> None:
        raise JournalError("the disk is full")

    queue = Queue(realms(3), refuse, lambda: False)
    with pytest.raises(JournalError):
        queue.next()
    assert queue.next() is None  # the realms of that portion are not handed out later


def test_an_exception_of_a_worker_thread_is_raised():
    def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_parallel(work, 2, lambda: None)


def test_an_interruption_after_an_exception_waits_for_the_work_under_way():
    main, calls = threading.main_thread().ident, itertools.count()
    has_failed, is_interrupted = threading.Event(), threading.Event()
    done: list[str] = []
    assert main is not None

    def work() -> None:
        call = next(calls)
        if call == 0:
            has_failed.set()
            raise ZeroDivisionError
        if call > 1:  # the interruption reached the main thread while it was starting this work
            return
        assert has_failed.wait(30)
        signal.pthread_kill(main, signal.SIGINT)
        assert is_interrupted.wait(30)
        done.append("written")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(ZeroDivisionError):
            in_parallel(work, 2, is_interrupted.set)
    except KeyboardInterrupt:
        pytest.fail("the interruption was passed on before the work under way had ended")
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["written"]
