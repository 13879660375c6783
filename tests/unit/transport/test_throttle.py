"""The throttle: fewer requests while a server is busy or slow, none while it is paused or down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from support.waiting import Clock

from ztrust_mail.core.errors import CIRCUIT_OPEN, ExitStatus, ServerUnreachable, WriteDeadlineExceeded
from ztrust_mail.transport import failures as http
from ztrust_mail.transport.throttle import (
    FIRST_PAUSE,
    MAX_FAILURES,
    MAX_PAUSE,
    MAX_REFUSALS,
    MAX_WAITS,
    PROBE_AFTER,
    SUCCESSES_PER_STEP,
    Throttle,
    retry_after,
)

DATE = "Tue, 03 Jun 2025 08:00:00 GMT"
PATIENCE_IN_TESTS = 30


def answered(status: int = 200, **headers: str) -> requests.Response:
    """Return an answer; an underscore in a header's name stands for a hyphen."""
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def slow() -> requests.Response:
    raise http.ResponseTimeout("too slow", rule="slow")


def broken() -> requests.Response:
    raise ServerUnreachable("no connection", rule="unreachable")


def busy() -> requests.Response:
    return answered(503)


def outcome(throttle: Throttle, ask: Callable[[], requests.Response]) -> int | str:
    """Ask and return the status of the answer, or the rule of the failure."""
    try:
        return throttle.call(ask).status_code
    except ServerUnreachable as e:
        return e.rule


class Asked:
    """Answers in turn, the last one for ever; ``times`` counts how often it was asked."""

    def __init__(self, *answers: Callable[[], requests.Response]) -> None:
        self._answers = answers
        self.times = 0

    def __call__(self) -> requests.Response:
        self.times += 1
        return self._answers[min(self.times, len(self._answers)) - 1]()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return clock.throttle(8)


def refused(throttle: Throttle, why: str) -> None:
    """Ask, and find that nothing is sent."""
    ask = Asked(answered)
    with pytest.raises(ServerUnreachable) as failure:
        throttle.call(ask)
    assert (failure.value.rule, failure.value.exit_status) == (CIRCUIT_OPEN, ExitStatus.UNREACHABLE)
    assert failure.value.message == f"id.example.com {why}: this request was not sent"
    assert "run the same command again" in failure.value.hint
    assert ask.times == 0


def down(throttle: Throttle) -> None:
    """Let the circuit open."""
    for _ in range(MAX_FAILURES):
        with pytest.raises(ServerUnreachable, match="no connection"):
            throttle.call(broken)


NO_ANSWER = f"did not answer the last {MAX_FAILURES} requests"


# How many at once


def test_the_number_of_simultaneous_requests_is_bounded(clock: Clock) -> None:
    throttle = clock.throttle(3)
    lock, full, all_here = threading.Lock(), threading.Event(), threading.Barrier(8)
    seen = [0, 0]

    def ask() -> requests.Response:
        with lock:
            seen[0] += 1
            seen[1] = max(seen)
            if seen[0] == 3:
                full.set()
        assert full.wait(PATIENCE_IN_TESTS)
        with lock:
            seen[0] -= 1
        return answered()

    def work(_: int) -> int:
        all_here.wait()
        return throttle.call(ask).status_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [200] * 8
    assert seen == [0, 3]


@pytest.mark.parametrize("ask", [lambda: answered(429), lambda: answered(503), lambda: answered(504), slow])
def test_a_busy_or_slow_server_gets_half_as_many_simultaneous_requests_and_at_least_one(
    clock: Clock, ask: Callable[[], requests.Response]
) -> None:
    throttle = clock.throttle(9)
    limits = []
    for _ in range(5):
        outcome(throttle, ask)
        clock.now += 1000
        limits.append(throttle.limit)
    assert limits == [4, 2, 1, 1, 1]


@pytest.mark.parametrize("ask", [lambda: answered(502), lambda: answered(500), lambda: answered(401), broken])
def test_other_failures_do_not_reduce_the_limit(throttle: Throttle, ask: Callable[[], requests.Response]) -> None:
    outcome(throttle, ask)
    assert throttle.limit == 8


@pytest.mark.parametrize("ask", [busy, slow])
def test_simultaneous_requests_halve_the_limit_once(throttle: Throttle, ask: Callable[[], requests.Response]) -> None:
    def while_another_fails() -> requests.Response:
        outcome(throttle, ask)
        return ask()

    outcome(throttle, while_another_fails)
    assert throttle.limit == 4


def test_after_runs_of_answers_the_limit_grows_one_by_one_to_its_maximum(clock: Clock) -> None:
    throttle = clock.throttle(4)
    throttle.call(busy)
    limits = []
    for _ in range(4 * SUCCESSES_PER_STEP):
        throttle.call(answered)
        limits.append(throttle.limit)
    assert limits == [2] * (SUCCESSES_PER_STEP - 1) + [3] * SUCCESSES_PER_STEP + [4] * (2 * SUCCESSES_PER_STEP + 1)


def test_a_refusal_ends_a_run_of_answers(clock: Clock) -> None:
    throttle = clock.throttle(4)
    throttle.call(busy)
    for _ in range(SUCCESSES_PER_STEP - 1):
        throttle.call(answered)
    throttle.call(busy)
    for _ in range(SUCCESSES_PER_STEP - 1):
        throttle.call(answered)
    assert throttle.limit == 1


def test_an_answer_to_a_request_before_the_refusal_does_not_count_in_a_run(clock: Clock) -> None:
    throttle = clock.throttle(4)

    def while_another_is_refused() -> requests.Response:
        throttle.call(busy)
        return answered()

    throttle.call(while_another_is_refused)
    for _ in range(SUCCESSES_PER_STEP - 1):
        throttle.call(answered)
    assert throttle.limit == 2


def test_an_interrupted_request_frees_its_place_and_does_not_change_the_limit(clock: Clock) -> None:
    throttle = clock.throttle(1)

    def interrupted() -> requests.Response:
        raise KeyboardInterrupt

    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(KeyboardInterrupt):
            throttle.call(interrupted)
    assert throttle.call(answered).status_code == 200


# Waiting


def test_the_pause_that_a_server_asks_for_applies_to_every_thread(clock: Clock, throttle: Throttle) -> None:
    throttle.call(lambda: answered(429, Retry_After="7"))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(throttle.call, answered).result().status_code == 200
    assert clock.waits == [7.0]
    throttle.call(answered)
    assert clock.waits == [7.0]


def test_a_busy_server_is_asked_again_after_the_wait(clock: Clock, throttle: Throttle) -> None:
    ask = Asked(lambda: answered(503, Retry_After="3"), lambda: answered(429, Retry_After="0"), answered)
    assert throttle.call_with_retry(lambda: throttle.call(ask)).status_code == 200
    assert (ask.times, clock.waits) == (3, [3.0])


def test_a_busy_server_without_retry_after_is_given_longer_pauses_until_the_circuit_opens(
    clock: Clock, throttle: Throttle
) -> None:
    ask = Asked(busy)
    assert throttle.call_with_retry(lambda: throttle.call(ask)).status_code == 503
    assert clock.waits == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4, FIRST_PAUSE * 8]
    assert ask.times == MAX_REFUSALS + 1
    refused(throttle, "is still too busy")


def test_an_answer_in_between_resets_the_pauses(clock: Clock, throttle: Throttle) -> None:
    for ask in (busy, busy, answered, busy, answered):
        throttle.call(ask)
    assert clock.waits == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE]


def test_no_wait_is_longer_than_a_minute(clock: Clock, throttle: Throttle) -> None:
    ask = Asked(lambda: answered(503, Retry_After="86400"), answered)
    assert throttle.call_with_retry(lambda: throttle.call(ask)).status_code == 200
    assert clock.waits == [MAX_PAUSE]


def test_one_request_waits_a_bounded_number_of_times_for_a_server_that_answers_others(
    clock: Clock, throttle: Throttle
) -> None:
    def another_is_answered() -> None:
        clock.before_wait = lambda: None
        clock.now += MAX_PAUSE
        throttle.call(answered)
        clock.before_wait = another_is_answered

    clock.before_wait = another_is_answered
    ask = Asked(busy)
    assert throttle.call_with_retry(lambda: throttle.call(ask)).status_code == 503
    assert ask.times == MAX_WAITS + 1
    assert throttle.call(answered).status_code == 200


def test_the_last_answer_comes_with_the_refusals_before_it(throttle: Throttle) -> None:
    ask = Asked(lambda: answered(429), busy, answered)
    last = throttle.call_with_retry(lambda: throttle.call(ask))
    assert (last.status_code, [one.status_code for one in last.history]) == (200, [429, 503])


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ztrust_mail.waits"]


def test_a_wait_of_several_seconds_is_logged_when_it_begins(
    clock: Clock, throttle: Throttle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said: list[list[str]] = []
    clock.before_wait = lambda: said.append(told(caplog))
    ask = Asked(
        lambda: answered(503, Retry_After="2"),
        lambda: answered(503, Retry_After="60"),
        lambda: answered(503, Retry_After="3"),
        answered,
    )
    throttle.call_with_retry(lambda: throttle.call(ask))
    long, short = (f"id.example.com is too busy: retry in {seconds} s" for seconds in (60, 3))
    assert (clock.waits, said) == ([2.0, 60.0, 3.0], [[], [long], [long, short]])


def test_a_wait_is_logged_once_however_often_it_is_waited_for(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    wait: Callable[[float], None] = lambda seconds: clock.wait(min(seconds, 10.0))  # noqa: E731
    throttle = Throttle("id.example.com", 8, clock=lambda: clock.now, wait=wait)
    throttle.call(lambda: answered(503, Retry_After="30"))
    throttle.call(answered)
    assert (clock.waits, len(told(caplog))) == ([10.0] * 3, 1)


def test_another_failure_after_a_wait_is_reported_unchanged(throttle: Throttle) -> None:
    ask = Asked(busy, broken)
    with pytest.raises(ServerUnreachable, match="no connection"):
        throttle.call_with_retry(lambda: throttle.call(ask))
    assert ask.times == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "120"}, 120.0),
        ({"Retry_After": " 5 "}, 5.0),
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": "9" * 5000}, 999_999_999_999.0),
        ({"Retry_After": "Tue, 03 Jun 2025 08:00:30 GMT", "Date": DATE}, 30.0),
        ({"Retry_After": "Tue, 03 Jun 2025 08:00:30 -0000", "Date": DATE}, 30.0),
        ({"Retry_After": "Tue, 03 Jun 2025 07:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry_After": "Tue, 03 Jun 2025 08:00:30 GMT"}, 0.0),
        ({"Retry_After": "Tue, 03 Jun 2025 08:00:30 GMT", "Date": "now"}, 0.0),
        ({}, None),
        ({"Retry_After": ""}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "-5"}, None),
        ({"Retry_After": "1.5"}, None),
        ({"Retry_After": "²"}, None),
        ({"Retry_After": "Tue, 99 Jun 2025 08:00:30 GMT"}, None),
        ({"Retry_After": "Tue, 03 Jun 99999999999 08:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(answered(503, **headers)) == seconds


def test_a_date_in_retry_after_is_compared_with_our_clock_if_the_server_sends_none() -> None:
    wait = retry_after(answered(503, Retry_After="Tue, 03 Jun 2999 08:00:30 GMT"))
    assert wait is not None
    assert wait > MAX_PAUSE


# A rate


def test_with_a_rate_requests_are_sent_so_far_apart(clock: Clock) -> None:
    throttle = Throttle("id.example.com", 8, rate=4, clock=lambda: clock.now, wait=clock.wait)
    sent: list[float] = []
    for _ in range(3):
        throttle.call(lambda: (sent.append(clock.now), answered())[1])
    clock.now += 60.0  # an idle minute saves up nothing
    for _ in range(2):
        throttle.call(lambda: (sent.append(clock.now), answered())[1])
    assert [at - sent[0] for at in sent] == [0.0, 0.25, 0.5, 60.5, 60.75]


def test_the_wait_of_a_rate_goes_on_after_an_interruption(clock: Clock) -> None:
    throttle = Throttle("id.example.com", 8, rate=4, clock=lambda: clock.now, wait=clock.wait)
    throttle.call(answered)
    throttle.stop_waiting()
    assert throttle.call(answered).status_code == 200
    assert clock.waits == [0.25]


def test_a_request_that_waits_for_the_rate_of_a_server_that_is_down_is_still_the_probe(clock: Clock) -> None:
    throttle = Throttle("id.example.com", 8, rate=0.5, clock=lambda: clock.now, wait=clock.wait)
    for _ in range(MAX_FAILURES):
        with pytest.raises(ServerUnreachable):
            throttle.call(broken)
    throttle.allow_probe()
    assert throttle.call(answered).status_code == 200


# Stuck requests


def test_a_request_beyond_all_its_deadlines_is_stuck_until_it_ends(clock: Clock) -> None:
    throttle = Throttle("id.example.com", 8, 280.0, clock=lambda: clock.now, wait=clock.wait)
    began, ends = threading.Event(), threading.Event()

    def ask() -> requests.Response:
        began.set()
        assert ends.wait(30)
        return answered()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(throttle.call, ask)
        assert began.wait(30)
        clock.now += 280.0
        assert not throttle.is_stuck()
        clock.now += 1.0
        assert throttle.is_stuck()
        ends.set()
        asking.result()
    assert not throttle.is_stuck()


# Hurry


def test_after_an_interruption_a_waiting_request_fails_as_not_sent() -> None:
    throttle = Throttle("id.example.com", 8)
    throttle.call(lambda: answered(503, Retry_After="60"))
    ask = Asked(answered)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(throttle.call, ask)
        throttle.stop_waiting()
        with pytest.raises(ServerUnreachable, match="asked to wait, and waiting was cancelled") as failure:
            waiting.result()
    assert (failure.value.rule, ask.times) == (CIRCUIT_OPEN, 0)


def test_after_an_interruption_a_waiting_request_returns_the_refusal_it_has() -> None:
    throttle = Throttle("id.example.com", 8)
    throttle.stop_waiting()
    ask = Asked(lambda: answered(429, Retry_After="60"))
    assert throttle.call_with_retry(lambda: throttle.call(ask)).status_code == 429
    assert ask.times == 1


def test_an_interruption_does_not_stop_requests_to_a_server_that_answers(throttle: Throttle) -> None:
    throttle.stop_waiting()
    assert throttle.call(answered).status_code == 200


def test_ctrl_c_ends_the_waits_and_another_error_does_not(clock: Clock) -> None:
    throttle = clock.throttle()
    with pytest.raises(ValueError, match="x"), throttle.stop_waiting_on_interrupt():
        raise ValueError("x")
    throttle.call(lambda: answered(503, Retry_After="60"))
    assert throttle.call(answered).status_code == 200
    with pytest.raises(KeyboardInterrupt), throttle.stop_waiting_on_interrupt():
        raise KeyboardInterrupt
    throttle.call(lambda: answered(503, Retry_After="60"))
    refused(throttle, "asked to wait, and waiting was cancelled")


# The circuit


@pytest.mark.parametrize("ask", [broken, lambda: answered(502)])
def test_the_circuit_opens_after_several_requests_in_a_row_without_an_answer(
    throttle: Throttle, ask: Callable[[], requests.Response]
) -> None:
    for _ in range(MAX_FAILURES):
        assert outcome(throttle, ask) in ("unreachable", 502)
    refused(throttle, NO_ANSWER)


def test_any_answer_in_between_resets_the_count_of_failures(throttle: Throttle) -> None:
    for _ in range(5):
        outcomes = [outcome(throttle, ask) for ask in (broken, broken, lambda: answered(404))]
        assert outcomes == ["unreachable", "unreachable", 404]


def test_consecutive_time_outs_count_each_and_simultaneous_ones_once(throttle: Throttle) -> None:
    def together(depth: int) -> requests.Response:
        if depth:
            with pytest.raises(http.ResponseTimeout):
                throttle.call(lambda: together(depth - 1))
        return slow()

    with pytest.raises(http.ResponseTimeout):
        throttle.call(lambda: together(MAX_FAILURES + 2))
    for _ in range(MAX_FAILURES - 1):
        with pytest.raises(http.ResponseTimeout):
            throttle.call(slow)
    refused(throttle, NO_ANSWER)


def test_after_a_while_one_probe_is_sent_and_its_answer_closes_the_circuit(clock: Clock, throttle: Throttle) -> None:
    down(throttle)
    clock.now += PROBE_AFTER - 0.1
    refused(throttle, NO_ANSWER)
    clock.now += 0.1

    def the_only_one() -> requests.Response:
        refused(throttle, NO_ANSWER)
        return answered()

    assert throttle.call(the_only_one).status_code == 200
    assert throttle.call(answered).status_code == 200
    with pytest.raises(ServerUnreachable):
        throttle.call(broken)
    assert throttle.call(answered).status_code == 200


def test_a_failed_probe_leaves_the_circuit_open(clock: Clock, throttle: Throttle) -> None:
    down(throttle)
    clock.now += PROBE_AFTER
    with pytest.raises(ServerUnreachable, match="no connection"):
        throttle.call(broken)
    refused(throttle, NO_ANSWER)


def test_after_a_probe_that_was_not_sent_the_next_request_is_the_probe(clock: Clock, throttle: Throttle) -> None:
    def held_back() -> requests.Response:
        raise WriteDeadlineExceeded("too busy")

    for _ in range(MAX_FAILURES):
        outcome(throttle, broken)
    assert outcome(throttle, answered) == CIRCUIT_OPEN
    clock.now += PROBE_AFTER
    with pytest.raises(WriteDeadlineExceeded):
        throttle.call(held_back)
    assert outcome(throttle, answered) == 200


def test_allow_probe_lets_one_probe_through_at_once(throttle: Throttle) -> None:
    down(throttle)
    throttle.allow_probe()
    with pytest.raises(ServerUnreachable, match="no connection"):
        throttle.call(broken)
    refused(throttle, NO_ANSWER)
    throttle.allow_probe()
    assert throttle.call(answered).status_code == 200
    assert throttle.call(answered).status_code == 200


def test_allow_probe_changes_nothing_for_a_server_that_is_not_down(clock: Clock, throttle: Throttle) -> None:
    throttle.call(lambda: answered(503, Retry_After="7"))
    throttle.allow_probe()
    throttle.call(answered)
    assert clock.waits == [7.0]
    down(throttle)
    refused(throttle, NO_ANSWER)


def test_a_probe_of_a_busy_server_is_sent_after_its_retry_after(clock: Clock, throttle: Throttle) -> None:
    ask = Asked(lambda: answered(503, Retry_After="40"))
    throttle.call_with_retry(lambda: throttle.call(ask))
    clock.now += PROBE_AFTER
    refused(throttle, "is still too busy")
    clock.now += 40 - PROBE_AFTER
    assert throttle.call(ask).status_code == 503
    refused(throttle, "is still too busy")
    clock.now += 40
    assert throttle.call(answered).status_code == 200
    assert throttle.call(answered).status_code == 200


def test_a_probe_waits_for_retry_after(clock: Clock, throttle: Throttle) -> None:
    def while_it_goes_down() -> requests.Response:
        down(throttle)
        return answered(503, Retry_After="60")

    throttle.call(while_it_goes_down)
    clock.now += PROBE_AFTER
    assert throttle.call(answered).status_code == 200
    assert clock.waits == [60 - PROBE_AFTER]


def test_a_request_that_waits_for_its_turn_fails_when_the_circuit_opens(clock: Clock) -> None:
    throttle = clock.throttle(1)
    for _ in range(MAX_FAILURES - 1):
        with pytest.raises(ServerUnreachable):
            throttle.call(broken)
    under_way, go = threading.Event(), threading.Event()

    def breaks_when_told() -> requests.Response:
        under_way.set()
        assert go.wait(PATIENCE_IN_TESTS)
        return broken()

    ask = Asked(answered)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(throttle.call, breaks_when_told)
        assert under_way.wait(PATIENCE_IN_TESTS)
        second = pool.submit(throttle.call, ask)
        go.set()
        failures = [future.exception(PATIENCE_IN_TESTS) for future in (first, second)]
    assert [f.rule for f in failures if isinstance(f, ServerUnreachable)] == ["unreachable", CIRCUIT_OPEN]
    assert ask.times == 0


# Whatever happens


@given(st.lists(st.sampled_from([answered, busy, slow, broken, lambda: answered(502)]), max_size=60), st.integers(1, 9))
def test_after_any_failures_a_server_that_answers_again_reaches_the_full_limit(
    asks: list[Callable[[], requests.Response]], connections: int
) -> None:
    clock = Clock()
    throttle = clock.throttle(connections)
    for ask in asks:
        assert outcome(throttle, ask) in (200, 502, 503, "slow", "unreachable", CIRCUIT_OPEN)
        assert 1 <= throttle.limit <= connections
    assert sum(clock.waits) <= MAX_PAUSE * len(asks)
    clock.now += PROBE_AFTER
    for _ in range(SUCCESSES_PER_STEP * connections):
        assert throttle.call(answered).status_code == 200
    assert throttle.limit == connections
