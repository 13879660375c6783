"""Throttles and leases whose waits take no time: a clock that waiting itself moves on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ztrust_mail.journal.lease import Timing
from ztrust_mail.transport.throttle import Throttle


class Clock:
    """A clock for throttles and leases. ``now`` is in seconds, ``waits`` are those made so far.

    ``then`` is called at the end of the first wait.
    """

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.then = then
        self.now = 1000.0
        self.waits: list[float] = []
        self.before_wait: Callable[[], None] = lambda: None

    def wait(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self.before_wait()
        self.waits.append(seconds)
        self.now += seconds
        if len(self.waits) == 1:
            self.then()

    @property
    def timing(self) -> Timing:
        """The usual timing of leases by this clock."""
        return Timing(clock=lambda: self.now, pause=self.wait)

    def throttle(self, connections: int = 8) -> Throttle:
        """Return a throttle that goes by this clock."""
        return Throttle("id.example.com", connections, clock=lambda: self.now, wait=self.wait)


@pytest.fixture
def clock() -> Clock:
    """A clock whose waits take no time."""
    return Clock()
