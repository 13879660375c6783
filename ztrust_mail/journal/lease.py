"""Leases: a run holds one on its server, which excludes other runs until it is released or expires."""

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ztrust_mail.core.errors import JournalError, Unsafe
from ztrust_mail.core.text import printable, quoted, to_second
from ztrust_mail.journal import queries
from ztrust_mail.journal.database import Database, Transaction, Value
from ztrust_mail.journal.records import LOCK_LOST, Holder, holder_of

LOCKED: Final = "locked"


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # unlike sleep, Ctrl-C interrupts it in the same way on every system


@dataclass(frozen=True)
class Timing:
    """How long a lease lasts without renewal, and how often a waiting run tries again, in seconds."""

    ttl: float = 60.0
    poll: float = 1.0
    pause: Callable[[float], None] = _pause
    clock: Callable[[], float] = time.monotonic


DEFAULT_TIMING: Final = Timing()


@dataclass(frozen=True)
class Monitor:
    """Callbacks while a run waits for a lease and holds it.

    ``lost`` is called once, when another run has the lease, it could not be renewed in time, or the run is stuck.
    ``is_stuck`` tells whether the run has exceeded all its deadlines, so that its lease is no longer renewed.
    ``is_cancelled`` tells whether to stop waiting for the run that holds the lease.
    """

    lost: Callable[[], None] = lambda: None
    is_stuck: Callable[[], bool] = lambda: False
    is_cancelled: Callable[[], bool] = lambda: False


UNMONITORED: Final = Monitor()


@dataclass(frozen=True)
class _Taken:
    """A lease held by another run, which expires in ``expires_in`` seconds."""

    holder: Holder
    expires_in: float


@dataclass
class Lease:
    """The lease of this run on a server. ``lost`` is set as soon as the loss is detected.

    ``renewed`` is the start of the last successful renewal, by the clock of ``timing``.
    """

    database: Database
    server: str
    timing: Timing = DEFAULT_TIMING
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    lost: threading.Event = field(default_factory=threading.Event)
    renewed: float = -math.inf

    @property
    def is_certain(self) -> bool:
        """Whether no other run can have the lease, because it was renewed in time.

        The renewing thread may not have noticed yet that this process was paused for longer than the lease lasts.
        """
        return not self.lost.is_set() and self.timing.clock() - self.renewed < self.timing.ttl

    def acquire(self, who: str, wait: float, is_cancelled: Callable[[], bool] = lambda: False) -> None:
        """Acquire the lease, waiting up to ``wait`` seconds. Raises :class:`Unsafe`, which names the holder."""
        start = self.timing.clock()
        while taken := self._try(who):
            left = wait - (self.timing.clock() - start)
            if left <= 0 or is_cancelled():
                raise _locked_error(self.server, taken)
            self.timing.pause(min(self.timing.poll, left))

    def _try(self, who: str) -> _Taken | None:
        began = self.timing.clock()
        with self.database.writing() as transaction:
            now = transaction.now()
            own: dict[str, Value] = {"server": self.server, "holder": self.holder, "who": printable(who)}
            times = {"now": now, "expires": now + self._ttl, "never": now + 2 * self._ttl}  # a clock may be set back
            transaction.execute(queries.TAKE_LEASE, {**own, **times})
            [row] = transaction.query(queries.LEASE, server=self.server)
        if row["holder"] == self.holder:
            self.renewed = began
            return None
        holder, expires = holder_of(row)
        return _Taken(holder, (expires - now).total_seconds())

    @property
    def _ttl(self) -> timedelta:
        return timedelta(seconds=self.timing.ttl)

    def renew_within(self, transaction: Transaction, run: int | None = None) -> bool:
        """Renew the lease in the caller's transaction; return whether this run still holds it."""
        expires = transaction.now() + self._ttl
        own: dict[str, Value] = {"server": self.server, "holder": self.holder, "expires": expires, "run": run}
        return transaction.execute(queries.RENEW_LEASE, own) == 1

    def renew(self) -> bool:
        """Renew the lease; return whether this run still holds it. Raises :class:`JournalError`."""
        began = self.timing.clock()
        with self.database.writing() as transaction:
            is_ours = self.renew_within(transaction)
        if is_ours:
            self.renewed = began
        return is_ours

    def release(self) -> None:
        """Release the lease, if this run still holds it. Raises :class:`JournalError`."""
        with self.database.writing() as transaction:
            transaction.execute(queries.DELETE_LEASE, {"server": self.server, "holder": self.holder})


@contextmanager
def hold_lease(
    database: Database, server: str, who: str, *, wait: float, monitor: Monitor, timing: Timing
) -> Iterator[Lease]:
    """Hold the lease on a server, renewed by a thread; ``wait`` is in seconds.

    Raises :class:`Unsafe`, which names the holder, and :class:`JournalError`.
    """
    lease, done = Lease(database, server, timing), threading.Event()
    lease.acquire(who, wait, monitor.is_cancelled)
    renewer = threading.Thread(target=keep_renewed, args=(lease, done, monitor), name="lease", daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        done.set()
        renewer.join()
        with suppress(JournalError):  # the lease expires by itself; the error must not hide the run's result
            lease.release()


def keep_renewed(lease: Lease, done: threading.Event, monitor: Monitor) -> None:
    """Renew a lease until ``done`` is set or the lease is lost. Retries while the database is unreachable."""
    timing = lease.timing
    interval, retry_interval = timing.ttl / 3, timing.ttl / 12
    renewed, pause = timing.clock(), interval
    while not done.wait(pause):
        now = timing.clock()
        try:
            is_ours = not monitor.is_stuck() and lease.renew()
            renewed, pause = now, interval
        except JournalError:
            is_ours = now - renewed + retry_interval < timing.ttl
            pause = retry_interval
        if not is_ours:
            lease.lost.set()
            monitor.lost()
            return


def _locked_error(server: str, taken: _Taken) -> Unsafe:
    holder = taken.holder
    run = f" (run {holder.run})" if holder.run else ""
    message = f"{quoted(server, 200)} is locked by {holder.who} since {to_second(holder.since)}{run}"
    seconds = max(1, round(taken.expires_in))
    hint = f"wait for that run with --wait 10m; if it was killed, the lock expires within {seconds} s"
    return Unsafe(message, hint, LOCKED)


def lost_to_another(server: str) -> JournalError:
    """Return the error for a run that lost its lease."""
    message = f"this run lost its lock on {quoted(server, 200)}: another run took it, or the journal was unreachable"
    hint = "ztrust-mail history shows the other run; ztrust-mail plan shows the remaining changes"
    return JournalError(message, hint, LOCK_LOST)
