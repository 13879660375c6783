"""Limits how many requests one server gets at once: fewer while it is busy or slow, none while it is paused or down.

Each throttle belongs to one host. It has a limit (from 1 to the number of connections), a pause and a circuit breaker.
What a request meets:

==================================  ================================================================================
state                               the request
==================================  ================================================================================
closed, fewer than limit under way  is sent
closed, limit reached               waits for a turn
paused                              waits until the pause is over; after ``stop_waiting`` it fails instead
open                                fails at once with the rule ``circuit-open``: it was not sent
open, and its time is over          is sent as a probe; others still fail
==================================  ================================================================================

What its outcome changes. A request is current if the limit was not halved since it was sent: of the requests that were
under way together, only one halves the limit.

=============  =========================  ==================================  ========================================
outcome        limit                      pause                               circuit
=============  =========================  ==================================  ========================================
answered       one more after 10 answers  –                                   closes; all counts begin anew
               in a row, if current
busy           halved, if current         ``Retry-After``, else 0.5 s, twice  opens for the pause, 10 s at least, after
(429, 503)                                as long each time; 60 s at most     more than 4 refusals in a row
slow (no       halved, if current         –                                   opens for 10 s after 3 failures in a row,
answer, 504)                                                                  if current
broken (no     –                          –                                   opens for 10 s after 3 failures in a row
connection,
502)
interrupted    –                          –                                   if open, lets the next request probe
=============  =========================  ==================================  ========================================

With a rate, requests are also sent at least so far apart. That wait goes on after ``stop_waiting``, as it is short.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

import requests

from ztrust_mail.core.errors import CIRCUIT_OPEN, TOO_BUSY, ServerUnreachable, WriteDeadlineExceeded
from ztrust_mail.core.text import as_utc
from ztrust_mail.transport import failures

SUCCESSES_PER_STEP = 10
"""The limit grows by one after this many answers in a row."""

FIRST_PAUSE = 0.5
"""Seconds of the first pause for a busy server that names none; each further pause is twice as long."""

MAX_PAUSE = 60.0
"""The longest pause in seconds, regardless of what the server asks for."""

MAX_REFUSALS = 4
"""The circuit opens when a server refuses more often than this, with no answer in between."""

MAX_WAITS = 10
"""One request waits at most this often for a busy server that answers other requests."""

MAX_FAILURES = 3
"""The circuit opens after this many requests in a row without an answer."""

PROBE_AFTER = 10.0
"""Seconds after which one request is let through to a server that is down."""

MIN_LOGGED_WAIT = 2.5
"""Waits of at least this many seconds are logged at INFO when they start."""

_LOG = logging.getLogger("ztrust_mail.waits")


class _Outcome(Enum):
    ANSWERED = "the identity server answered"
    BUSY = "the server refuses for now"
    SLOW = "the server was reached and did not answer in time"
    BROKEN = "there is no connection, or only a proxy without one"
    UNKNOWN = "interrupted: it says nothing about the server"


_OUTCOMES = {
    requests.codes.bad_gateway: _Outcome.BROKEN,
    requests.codes.gateway_timeout: _Outcome.SLOW,
    **dict.fromkeys(failures.BUSY, _Outcome.BUSY),
}

Request = Callable[[], requests.Response]


@dataclass(frozen=True, eq=False)
class _Turn:
    """A request in progress: the epoch in which it started, and when, by the throttle's clock in seconds."""

    epoch: int
    began: float


def require_in_time(before: float) -> None:
    """Raise :class:`WriteDeadlineExceeded` if it is later than ``before``, in monotonic seconds."""
    if time.monotonic() > before:
        raise WriteDeadlineExceeded("the server is too busy", "run the same command again later", TOO_BUSY)


def longest_turn(timeout: float) -> float:
    """Return the most seconds that one request takes, given the time-out of a connection; a longer one is stuck.

    A request has a deadline for the connection and one for the response, and is repeated once after a broken
    connection. Twice that leaves room for a host with several addresses.
    """
    return 2 * 2 * sum(failures.timeouts_of(timeout))


@contextmanager
def on_interruption(do: Callable[[], None]) -> Iterator[None]:
    """Call ``do`` on Ctrl-C before the interruption is passed on."""
    try:
        yield
    except KeyboardInterrupt:
        do()
        raise


class Throttle:
    """The throttle and circuit breaker of one host, shared by all threads that send requests to it.

    A turn that takes longer than ``longest_turn`` seconds counts as stuck. ``rate`` is the most requests per second,
    None for no limit. ``clock`` returns monotonic seconds; ``wait`` waits that many seconds, by default until
    :meth:`stop_waiting` is called.
    """

    def __init__(
        self,
        host: str,
        connections: int,
        longest_turn: float = math.inf,
        *,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._host, self._max_limit, self._limit = host, connections, connections
        self.clock = clock
        self._longest_turn = longest_turn
        self._turns: list[_Turn] = []
        self._stop_waiting = threading.Event()
        self._wait, self._sleep = wait or self._stop_waiting.wait, wait or time.sleep
        self.rate, self._next_at = rate, 0.0
        self._changed = threading.Condition(threading.Lock())
        self._epoch = 0  # the number of halvings so far
        self._answers = 0
        self._refusals = 0
        self._failures = 0
        self._pause_until = self._logged_until = 0.0
        self._down_until: float | None = None

    @property
    def limit(self) -> int:
        """The current limit of concurrent requests."""
        return self._limit

    def stop_waiting(self) -> None:
        """Stop waiting for a busy server: requests that wait fail as not sent, or return the refusal they have."""
        self._stop_waiting.set()

    def allow_probe(self) -> None:
        """Let the next request through to a server that counts as down, once the pause it asked for is over."""
        with self._changed:
            if self._down_until is not None:
                self._down_until = self.clock()

    def is_stuck(self) -> bool:
        """Return whether a request has taken longer than its deadlines permit."""
        with self._changed:
            now = self.clock()
            return any(now - turn.began > self._longest_turn for turn in self._turns)

    def stop_waiting_on_interrupt(self) -> AbstractContextManager[None]:
        """Stop waiting on Ctrl-C, for a thread that would otherwise wait for other threads."""
        return on_interruption(self.stop_waiting)

    def call_with_retry(self, request: Request) -> requests.Response:
        """Call ``request``, which uses :meth:`call`, and call it again after a wait while the server is too busy.

        Returns the last response, which may be a refusal, with the refusals before it as its history. Only for requests
        that do no harm when they are repeated.
        """
        response = request()
        for _ in range(MAX_WAITS):
            if response.status_code not in failures.BUSY:
                break
            try:
                latest = request()
            except ServerUnreachable as e:
                if e.rule != CIRCUIT_OPEN:
                    raise
                break
            latest.history = [*response.history, response]  # requests keeps redirects there, which are never followed
            response = latest
        return response

    def call(self, request: Request) -> requests.Response:
        """Call ``request`` once when its turn comes, and adapt to its outcome.

        Raises :class:`ServerUnreachable` with the rule ``circuit-open`` if the request was not sent.
        """
        turn = self._acquire()
        outcome, pause = _Outcome.UNKNOWN, None
        try:
            response = request()
            outcome = _OUTCOMES.get(response.status_code, _Outcome.ANSWERED)
            pause = retry_after(response) if outcome is _Outcome.BUSY else None
            return response
        except failures.ResponseTimeout:
            outcome = _Outcome.SLOW
            raise
        except ServerUnreachable:
            outcome = _Outcome.BROKEN
            raise
        finally:
            self._release(outcome, turn, pause)

    def _acquire(self) -> _Turn:
        """Start a request's turn as soon as the limit, the pause and the circuit breaker permit it."""
        while True:
            with self._changed:
                while (gap := self._gap()) <= 0 and (pause := self._pause()) <= 0:
                    if len(self._turns) < self._limit:
                        return self._begin_turn()
                    self._changed.wait()
            if gap > 0:
                self._sleep(gap)
                continue
            if self._stop_waiting.is_set():
                raise self._not_sent("asked to wait, and waiting was cancelled")
            self._log_wait(pause)
            self._wait(pause)

    def _begin_turn(self) -> _Turn:
        turn = _Turn(self._epoch, self.clock())
        self._turns.append(turn)
        self._next_at = turn.began + (1 / self.rate if self.rate else 0.0)
        return turn

    def _gap(self) -> float:
        """Return the seconds until the rate permits another request."""
        return self._next_at - self.clock() if self.rate else 0.0

    def _log_wait(self, pause: float) -> None:
        """Log the start of a long wait, once for all waiting threads."""
        with self._changed:
            is_new, self._logged_until = self._pause_until > self._logged_until, self._pause_until
        if is_new and pause >= MIN_LOGGED_WAIT:
            _LOG.info("%s is too busy: retry in %.0f s", self._host, pause)

    def _pause(self) -> float:
        """Return the seconds for which nothing may be sent; raises if the circuit is open."""
        if not self._down_until and not self._pause_until:
            return 0.0
        now = self.clock()
        pause = self._pause_until - now
        if self._down_until is not None:
            if now < self._down_until:
                is_busy = self._refusals > MAX_REFUSALS
                why = "is still too busy" if is_busy else f"did not answer the last {MAX_FAILURES} requests"
                raise self._not_sent(why)
            if pause <= 0 and len(self._turns) < self._limit:
                self._down_until = now + PROBE_AFTER  # this request is the probe, the others still fail
        return pause

    def _not_sent(self, why: str) -> ServerUnreachable:
        hint = "check that the server is up, then run the same command again"
        return ServerUnreachable(f"{self._host} {why}: this request was not sent", hint, CIRCUIT_OPEN)

    def _release(self, outcome: _Outcome, turn: _Turn, pause: float | None) -> None:
        """End a request's turn and adapt to its outcome, as the table of this module says."""
        with self._changed:
            self._turns.remove(turn)
            is_current = turn.epoch == self._epoch
            if outcome is _Outcome.ANSWERED:
                self._on_success(is_current)
            elif outcome is _Outcome.BUSY:
                self._on_busy(is_current, pause)
            elif outcome is _Outcome.BROKEN:
                self._on_failure()
            elif outcome is _Outcome.SLOW and is_current:
                self._halve()
                self._on_failure()
            elif outcome is _Outcome.UNKNOWN and self._down_until is not None:
                self._down_until = min(self._down_until, self.clock())
            self._changed.notify_all()

    def _on_success(self, is_current: bool) -> None:
        self._refusals = self._failures = 0
        self._down_until = None
        if is_current and self._limit < self._max_limit:
            self._answers += 1
            if self._answers >= SUCCESSES_PER_STEP:
                self._limit, self._answers = self._limit + 1, 0

    def _on_busy(self, is_current: bool, pause: float | None) -> None:
        if is_current:
            self._refusals += 1
            self._halve()
        if pause is None:
            pause = FIRST_PAUSE * 2.0 ** min(max(self._refusals - 1, 0), MAX_REFUSALS)
        pause = min(pause, MAX_PAUSE)
        now = self.clock()
        self._pause_until = max(self._pause_until, now + pause)
        if self._refusals > MAX_REFUSALS:
            self._down_until = now + max(PROBE_AFTER, pause)

    def _on_failure(self) -> None:
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._down_until = self.clock() + PROBE_AFTER

    def _halve(self) -> None:
        self._limit, self._answers = max(1, self._limit // 2), 0
        self._epoch += 1


def retry_after(response: requests.Response) -> float | None:
    """Return the seconds that a response's ``Retry-After`` asks to wait; None if it is missing or invalid.

    A date is compared with the response's own ``Date``, since the server's clock may differ from ours.
    """
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    then = _parse_date(text)
    if then is None:
        return None
    now = _parse_date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _parse_date(text: str) -> datetime | None:
    try:
        return as_utc(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError):
        return None
