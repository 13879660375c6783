"""Hands realms to the threads that write them, never before the journal has their mark on disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ztrust_mail.sync.plan import RealmPlan

SLICE = 32
"""So many realms are marked at once: a mark on disk for each alone would slow the writes down."""


class Queue:
    """Realms waiting to be written. ``mark`` puts on disk that some are about to be; ``stops`` ends the queue."""

    def __init__(
        self, realms: Sequence[RealmPlan], mark: Callable[[list[str]], None], stops: Callable[[], bool]
    ) -> None:
        self._waiting = deque(realms)
        self._marked: deque[RealmPlan] = deque()
        self._mark = mark
        self._stops = stops
        self._lock = threading.Lock()

    def next(self) -> RealmPlan | None:
        """Return the next realm to be written, None when there is none. Raises what ``mark`` raises."""
        with self._lock:
            if self._stops():
                return None
            if not self._marked and self._waiting:
                portion = [self._waiting.popleft() for _ in range(min(SLICE, len(self._waiting)))]
                self._mark([realm.realm for realm in portion])
                self._marked.extend(portion)
            return self._marked.popleft() if self._marked else None


def in_parallel(work: Callable[[], None], threads: int, interrupted: Callable[[], None]) -> None:
    """Run the same work in several threads until all have ended.

    Ctrl-C calls ``interrupted`` and goes on waiting: what is under way finishes. Raises what the work raises.
    """
    jobs: list[Future[None]] = []
    with ThreadPoolExecutor(threads) as pool:
        while True:
            try:
                while len(jobs) < threads:
                    jobs.append(pool.submit(work))
                for job in jobs:
                    job.result()
                return
            except KeyboardInterrupt:
                interrupted()
