"""Leases: whoever works on a server keeps others off it, until done or no longer heard of."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Executable, delete, literal, select, update
from sqlalchemy.dialects import sqlite

from ztrust_mail.errors import JournalError, Unsafe
from ztrust_mail.sync.journal.database import Database
from ztrust_mail.sync.journal.records import Holder
from ztrust_mail.sync.journal.tables import UtcTime, leases
from ztrust_mail.text import printable, quoted

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
        now, expires = self.database.now(), self.database.now(self.timing.ttl)
        new = {"holder": self.holder, "who": printable(who), "since": now, "expires": expires, "run": None}
        with self.database.writing() as connection:
            connection.execute(self._taking(new, leases.c.expires <= now))
            clock = literal(now, UtcTime) if isinstance(now, datetime) else now
            found = connection.execute(select(leases, clock.label("now")).where(leases.c.server == self.server)).one()
        if found.holder == self.holder:
            return None
        return _Taken(Holder(found.who, found.since, found.run), (found.expires - found.now).total_seconds())

    def _taking(self, new: Mapping[str, object], expired: ColumnElement[bool]) -> Executable:
        """Return the one statement that enters the lease, or takes over an expired one."""
        if self.database.is_postgresql:
            from sqlalchemy.dialects import postgresql

            entered = postgresql.insert(leases).values(server=self.server, **new)
            return entered.on_conflict_do_update(index_elements=[leases.c.server], set_=new, where=expired)
        entered_here = sqlite.insert(leases).values(server=self.server, **new)
        return entered_here.on_conflict_do_update(index_elements=[leases.c.server], set_=new, where=expired)

    def renew_within(self, connection: Connection, run: int | None = None) -> bool:
        """Renew the lease in a transaction of the caller's; tell whether it still is ours."""
        values = {"expires": self.database.now(self.timing.ttl)} | ({} if run is None else {"run": run})
        mine = (leases.c.server == self.server) & (leases.c.holder == self.holder)
        return connection.execute(update(leases).where(mine).values(values)).rowcount == 1

    def renew(self) -> bool:
        """Renew the lease; tell whether it still is ours. Raises :class:`JournalError`."""
        with self.database.writing() as connection:
            return self.renew_within(connection)

    def release(self) -> None:
        """Give the lease back, if it still is ours. Raises :class:`JournalError`."""
        with self.database.writing() as connection:
            mine = (leases.c.server == self.server) & (leases.c.holder == self.holder)
            connection.execute(delete(leases).where(mine))


@contextmanager
def held(
    database: Database, server: str, who: str, *, wait: float, lost: Callable[[], None] | None, timing: Timing
) -> Iterator[Lease]:
    """Hold the lease on a server meanwhile and renew it from a thread; ``wait`` is in seconds.

    Raises :class:`Unsafe` naming who holds it since when, :class:`JournalError`. ``lost`` is called from the thread,
    once, when somebody else has the lease or it could not be renewed in time.
    """
    lease, done = Lease(database, server, timing), threading.Event()
    lease.acquire(who, wait)
    keeper = threading.Thread(target=keep_renewed, args=(lease, done, lost), name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        done.set()
        keeper.join()
        with suppress(JournalError):  # then it ends by itself, and what was done is done
            lease.release()


def keep_renewed(lease: Lease, done: threading.Event, lost: Callable[[], None] | None) -> None:
    """Renew a lease until ``done`` is set or the lease is lost; a database that is away is tried again until then."""
    timing = lease.timing
    usual, soon = timing.ttl / 3, timing.ttl / 12
    renewed, pause = timing.clock(), usual
    while not done.wait(pause):
        now = timing.clock()
        try:
            ours = lease.renew()
            renewed, pause = now, usual
        except JournalError:
            ours = now - renewed + soon < timing.ttl
            pause = soon
        if not ours:
            lease.lost.set()
            if lost:
                lost()
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
    return JournalError(message, "see history for the other run, then use apply --resume", "lease-lost")
