"""Leases: whoever works on a server keeps others off it, until done or no longer heard of."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ztrust_mail.core.errors import JournalError, Unsafe
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.journal import queries
from ztrust_mail.journal.database import Database, Transaction, Value
from ztrust_mail.journal.records import LOCK_LOST, Holder, holder_of

LOCKED: Final = "locked"


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # unlike a sleep's, its end by Ctrl-C is the same on every system


@dataclass(frozen=True)
class Timing:
    """How long a lease holds without renewal and how often a taken one is looked at, in seconds."""

    ttl: float = 60.0
    poll: float = 1.0
    pause: Callable[[float], None] = _pause
    clock: Callable[[], float] = time.monotonic


USUAL: Final = Timing()


@dataclass(frozen=True)
class Monitor:
    """What the thread that renews a lease asks and reports.

    ``lost`` is called once, when somebody else has the lease, it could not be renewed in time, or the run is stuck.
    ``is_stuck`` returns whether the run hangs beyond all its deadlines; its lease is not renewed then.
    """

    lost: Callable[[], None] = lambda: None
    is_stuck: Callable[[], bool] = lambda: False


UNMONITORED: Final = Monitor()


@dataclass(frozen=True)
class _Taken:
    """A lease that somebody else holds, for so many seconds more."""

    holder: Holder
    expires_in: float


@dataclass
class Lease:
    """A lease that is held. ``lost`` is set when it turns out that it no longer is."""

    database: Database
    server: str
    timing: Timing = USUAL
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    lost: threading.Event = field(default_factory=threading.Event)

    def acquire(self, who: str, wait: float) -> None:
        """Take the lease, or wait for it so many seconds. Raises :class:`Unsafe` naming who has it."""
        start = self.timing.clock()
        while taken := self._try(who):
            left = wait - (self.timing.clock() - start)
            if left <= 0:
                raise _locked(self.server, taken)
            self.timing.pause(min(self.timing.poll, left))

    def _try(self, who: str) -> _Taken | None:
        with self.database.writing() as transaction:
            now = transaction.now()
            mine: dict[str, Value] = {"server": self.server, "holder": self.holder, "who": printable(who)}
            times = {"now": now, "expires": now + self._ttl, "never": now + 2 * self._ttl}  # a clock that was set back
            transaction.do(queries.TAKE_LEASE, {**mine, **times})
            [row] = transaction.ask(queries.LEASE, server=self.server)
        if row["holder"] == self.holder:
            return None
        holder, expires = holder_of(row)
        return _Taken(holder, (expires - now).total_seconds())

    @property
    def _ttl(self) -> timedelta:
        return timedelta(seconds=self.timing.ttl)

    def renew_within(self, transaction: Transaction, run: int | None = None) -> bool:
        """Renew the lease in a transaction of the caller's; tell whether it still is ours."""
        expires = transaction.now() + self._ttl
        mine: dict[str, Value] = {"server": self.server, "holder": self.holder, "expires": expires, "run": run}
        return transaction.do(queries.RENEW_LEASE, mine) == 1

    def renew(self) -> bool:
        """Renew the lease; tell whether it still is ours. Raises :class:`JournalError`."""
        with self.database.writing() as transaction:
            return self.renew_within(transaction)

    def release(self) -> None:
        """Give the lease back, if it still is ours. Raises :class:`JournalError`."""
        with self.database.writing() as transaction:
            transaction.do(queries.GIVE_BACK_LEASE, {"server": self.server, "holder": self.holder})


@contextmanager
def hold_lease(
    database: Database, server: str, who: str, *, wait: float, monitor: Monitor, timing: Timing
) -> Iterator[Lease]:
    """Hold the lease on a server meanwhile and renew it from a thread; ``wait`` is in seconds.

    Raises :class:`Unsafe` naming who holds it since when, :class:`JournalError`.
    """
    lease, done = Lease(database, server, timing), threading.Event()
    lease.acquire(who, wait)
    keeper = threading.Thread(target=keep_renewed, args=(lease, done, monitor), name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        done.set()
        keeper.join()
        with suppress(JournalError):  # then it ends by itself, and what was done is done
            lease.release()


def keep_renewed(lease: Lease, done: threading.Event, monitor: Monitor) -> None:
    """Renew a lease until ``done`` is set or the lease is lost; a database that is away is tried again until then."""
    timing = lease.timing
    usual, soon = timing.ttl / 3, timing.ttl / 12
    renewed, pause = timing.clock(), usual
    while not done.wait(pause):
        now = timing.clock()
        try:
            ours = not monitor.is_stuck() and lease.renew()
            renewed, pause = now, usual
        except JournalError:
            ours = now - renewed + soon < timing.ttl
            pause = soon
        if not ours:
            lease.lost.set()
            monitor.lost()
            return


def _locked(server: str, taken: _Taken) -> Unsafe:
    holder = taken.holder
    run = f" (run {holder.run})" if holder.run else ""
    message = f"{holder.who} holds {quoted(server, 200)} since {holder.since:%Y-%m-%d %H:%M:%S} UTC{run}"
    seconds = max(1, round(taken.expires_in))
    hint = f"wait for it with --wait 10m; if that run was killed, its hold ends by itself within {seconds} s"
    return Unsafe(message, hint, LOCKED)


def lost_to_another(server: str) -> JournalError:
    """Return what to raise when the lease turns out to be gone in mid-run."""
    message = f"this run no longer holds {quoted(server, 200)}: another one has taken over, or it was cut off too long"
    return JournalError(message, "see history for the other run; plan shows what is left to do", LOCK_LOST)
