"""How many requests one server gets at once: fewer while it is busy or slow, none while it asks to wait or is down."""

from __future__ import annotations

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
from ztrust_mail.transport import failures


def require_in_time(before: float) -> None:
    """Raise :class:`WriteDeadlineExceeded` when it is later than ``before``, in monotonic seconds."""
    if time.monotonic() > before:
        raise WriteDeadlineExceeded("the server is too busy", "run the same again later", TOO_BUSY)


SUCCESSES_PER_STEP = 10
"""After so many answers in a row, one more request at once is tried."""

FIRST_PAUSE = 0.5
"""Seconds to wait for a busy server that does not say how long; twice as long each time it stays busy."""

MAX_PAUSE = 60.0
"""No wait is longer, in seconds, whatever the server asks for."""

MAX_REFUSALS = 4
"""A server that stays busy after so many waits, with no answer in between, is given up."""

MAX_WAITS = 10
"""One request waits so often for a busy server that does answer others."""

MAX_FAILURES = 3
"""After so many requests in a row without an answer the server counts as down."""

PROBE_AFTER = 10.0
"""Seconds after which one request is let through to a server that is down."""

MIN_LOGGED_WAIT = 2.5
"""A wait of so many seconds is told when it begins: logged as INFO, which nobody hears who does not listen."""

_LOG = logging.getLogger(__name__)


class _Outcome(Enum):
    ANSWERED = "the identity server answered"
    BUSY = "it refuses for now"
    SLOW = "it is there, and gave no answer in time"
    BROKEN = "there is no connection, or only a proxy that has none"
    UNKNOWN = "interrupted: nothing is to be learnt from it"


_MEANING = {
    requests.codes.bad_gateway: _Outcome.BROKEN,
    requests.codes.gateway_timeout: _Outcome.SLOW,
    **dict.fromkeys(failures.BUSY, _Outcome.BUSY),
}

Ask = Callable[[], requests.Response]


@dataclass(frozen=True, eq=False)
class _Turn:
    """A request under way: the round in which it began, and when, in seconds of the throttle's clock."""

    epoch: int
    began: float


def longest_turn(timeout: float) -> float:
    """Return how many seconds one request may take, given the time-out of a connection; any longer and it is stuck.

    A request has a deadline for the connection and one for its answer, and is repeated once after a broken connection.
    Twice that leaves room for a host with several addresses.
    """
    return 2 * 2 * timeout * (1 + failures.READ_TIMEOUT_FACTOR)


@contextmanager
def on_interruption(do: Callable[[], None]) -> Iterator[None]:
    """Do something on Ctrl-C before it goes on its way."""
    try:
        yield
    except KeyboardInterrupt:
        do()
        raise


class Throttle:
    """One server's throttle and circuit breaker, shared by all threads that ask that server.

    A turn that takes longer than ``longest_turn`` seconds counts as stuck. ``clock`` gives monotonic seconds; ``wait``
    waits that many seconds, by default until :meth:`stop_waiting` ends it.
    """

    def __init__(
        self,
        host: str,
        connections: int,
        longest_turn: float = math.inf,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._host, self._most, self._limit = host, connections, connections
        self._clock = clock
        self._longest_turn = longest_turn
        self._turns: list[_Turn] = []
        self._stop_waiting = threading.Event()
        self._wait = wait or self._stop_waiting.wait
        self._changed = threading.Condition(threading.Lock())
        self._epoch = 0  # goes on with each halving: what began before it has nothing new to tell
        self._answers = 0
        self._refusals = 0
        self._failures = 0
        self._pause_until = self._logged_until = 0.0
        self._down_until: float | None = None

    @property
    def limit(self) -> int:
        """How many requests may be under way at once just now."""
        return self._limit

    def stop_waiting(self) -> None:
        """Wait no more for a busy server: what waits is told that it was not sent, or keeps the answer it has."""
        self._stop_waiting.set()

    def allow_probe(self) -> None:
        """Let the next request through to a server that counts as down, once the wait that it asked for is over."""
        with self._changed:
            if self._down_until is not None:
                self._down_until = self._clock()

    def is_stuck(self) -> bool:
        """Return whether a request has been under way for longer than its deadlines permit."""
        with self._changed:
            now = self._clock()
            return any(now - turn.began > self._longest_turn for turn in self._turns)

    def stop_waiting_on_interrupt(self) -> AbstractContextManager[None]:
        """Hurry on Ctrl-C, for a thread that would then have to wait for others."""
        return on_interruption(self.stop_waiting)

    def call_with_retry(self, ask: Ask) -> requests.Response:
        """Ask, each time :meth:`call`, and ask again after the wait when the server is too busy.

        Returns the last answer, be it a refusal, with the refusals before it as its history; only for requests that do
        no harm when they are repeated.
        """
        response = ask()
        for _ in range(MAX_WAITS):
            if response.status_code not in failures.BUSY:
                break
            try:
                again = ask()
            except ServerUnreachable as e:
                if e.rule != CIRCUIT_OPEN:
                    raise
                break
            again.history = [*response.history, response]  # where requests keeps redirects, which are never followed
            response = again
        return response

    def call(self, ask: Ask) -> requests.Response:
        """Ask once, when it is this request's turn, and learn from what becomes of it.

        Raises :class:`ServerUnreachable` with the rule ``circuit-open`` where the request was not sent.
        """
        turn = self._acquire()
        outcome, pause = _Outcome.UNKNOWN, None
        try:
            response = ask()
            outcome = _MEANING.get(response.status_code, _Outcome.ANSWERED)
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
        """Begin a request's turn, once nothing keeps it back."""
        while True:
            with self._changed:
                while (pause := self._pause()) <= 0 and len(self._turns) >= self._limit:
                    self._changed.wait()
                if pause <= 0:
                    self._turns.append(turn := _Turn(self._epoch, self._clock()))
                    return turn
            if self._stop_waiting.is_set():
                raise self._not_sent("asked us to wait, and there is no more time")
            self._log_wait(pause)
            self._wait(pause)

    def _log_wait(self, pause: float) -> None:
        """Say once that a long wait begins, however many threads wait."""
        with self._changed:
            new, self._logged_until = self._pause_until > self._logged_until, self._pause_until
        if new and pause >= MIN_LOGGED_WAIT:
            _LOG.info("%s is too busy: it is asked again in %.0f s", self._host, pause)

    def _pause(self) -> float:
        """Return the seconds for which nothing may be sent; raises where the server is down."""
        if not self._down_until and not self._pause_until:
            return 0.0
        now = self._clock()
        pause = self._pause_until - now
        if self._down_until is not None:
            if now < self._down_until:
                busy = self._refusals > MAX_REFUSALS
                raise self._not_sent("stays too busy" if busy else f"gave the last {MAX_FAILURES} requests no answer")
            if pause <= 0 and len(self._turns) < self._limit:
                self._down_until = now + PROBE_AFTER  # this one tries, the others go on being refused
        return pause

    def _not_sent(self, why: str) -> ServerUnreachable:
        hint = "see that the server is up, then run the same again"
        return ServerUnreachable(f"{self._host} {why}: this request was not sent", hint, CIRCUIT_OPEN)

    def _release(self, outcome: _Outcome, turn: _Turn, pause: float | None) -> None:
        with self._changed:
            self._turns.remove(turn)
            is_current = turn.epoch == self._epoch
            if outcome is _Outcome.ANSWERED:
                self._on_success(is_current)
            elif outcome is _Outcome.BUSY:
                self._on_busy(is_current, pause)
            elif outcome is _Outcome.BROKEN:
                self._on_failure()
            elif outcome is _Outcome.SLOW and is_current:  # of those sent together one speaks for all
                self._halve()
                self._on_failure()
            elif outcome is _Outcome.UNKNOWN and self._down_until is not None:
                self._down_until = min(self._down_until, self._clock())  # it tried nothing: the next one may
            self._changed.notify_all()

    def _on_success(self, is_current: bool) -> None:
        self._refusals = self._failures = 0
        self._down_until = None
        if is_current and self._limit < self._most:
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
        now = self._clock()
        self._pause_until = max(self._pause_until, now + pause)
        if self._refusals > MAX_REFUSALS:
            self._down_until = now + max(PROBE_AFTER, pause)

    def _on_failure(self) -> None:
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._down_until = self._clock() + PROBE_AFTER

    def _halve(self) -> None:
        self._limit, self._answers = max(1, self._limit // 2), 0
        self._epoch += 1


def retry_after(response: requests.Response) -> float | None:
    """Return the seconds that an answer's ``Retry-After`` asks to wait; None where it says nothing of sense.

    A date is measured against the answer's own ``Date``, since the server's clock may be another than ours.
    """
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    then = _moment(text)
    if then is None:
        return None
    now = _moment(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
