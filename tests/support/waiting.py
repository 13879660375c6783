"""Throttles whose waits take no time: a clock that waiting itself moves on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ztrust_mail.transport.throttle import Throttle


class Clock:
    """A clock for throttles. ``now`` is in seconds, ``waits`` are those made so far."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.before_wait: Callable[[], None] = lambda: None

    def wait(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self.before_wait()
        self.waits.append(seconds)
        self.now += seconds

    def throttle(self, connections: int = 8) -> Throttle:
        """Return a throttle that goes by this clock."""
        return Throttle("id.example.com", connections, clock=lambda: self.now, wait=self.wait)


@pytest.fixture
def clock() -> Clock:
    """A clock whose waits take no time."""
    return Clock()
