"""The journal itself: runs and their writes, leases, fingerprints; on SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Self

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import JournalError, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.journal import queries
from ztrust_mail.journal.database import Database, Row, Transaction, Value, location_of
from ztrust_mail.journal.errors import RULE
from ztrust_mail.journal.fingerprints import Fingerprints
from ztrust_mail.journal.lease import UNMONITORED, USUAL, Lease, Monitor, Timing, hold_lease, lost_to_another
from ztrust_mail.journal.opening import open_at
from ztrust_mail.journal.records import (
    Holder,
    LastKnown,
    NewRun,
    Outcome,
    Run,
    Step,
    Update,
    Write,
    attributes_text,
    holder_of,
    last_known,
    run_of,
    run_values,
    step_of,
    write_of,
    write_values,
)


def find_run(journal: Journal | None, server: str, number: int) -> tuple[Journal, Run]:
    """Return the run of that number, and the journal that holds it.

    Raises :class:`UsageError` where there is no such run, or where it wrote to another server.
    """
    run = journal.run(number) if journal else None
    if journal is None or run is None:
        raise UsageError(f"there is no run {number}", "history lists the runs there are")
    if run.server != server:
        raise UsageError(f"run {number} wrote to {quoted(run.server)}, not to {quoted(server)}", "check --server")
    return journal, run


def forget(transaction: Transaction, server: str, realm: str) -> int:
    """Take out all writes to a realm; return how many."""
    return transaction.do(queries.FORGET, {"server": server, "realm": realm})


def first_kept(transaction: Transaction, server: str, *, keep: int = 0, before: datetime | None = None) -> int:
    """Return the number of the run before which the journal may be pruned, 0 for none.

    ``keep`` is how many runs stay, ``before`` the time before which the others began. The newest run that had something
    to write stays whole: it may have to be taken up.
    """
    newest = _number(transaction, queries.NEWEST_THAT_WROTE, server=server)
    if before is None:
        return min(newest, _number(transaction, queries.NTH_NEWEST_RUN, server=server, newer=keep - 1))
    earlier = _number(transaction, queries.NEWEST_RUN_BEFORE, server=server, time=before)
    return min(newest, earlier + 1) if earlier else 0


def runs_before(transaction: Transaction, server: str, first: int) -> int:
    """Return how many runs there are before that one."""
    return _number(transaction, queries.RUNS_BEFORE, server=server, first=first)


def prune(transaction: Transaction, server: str, first: int) -> tuple[int, int]:
    """Take out what is not needed of the runs before one; return how many runs are gone, and how many writes.

    A run of which nothing is left goes as a whole.
    """
    before: Mapping[str, Value] = {"server": server, "first": first}
    taken = transaction.do(queries.PRUNE_WRITES, before)
    return transaction.do(queries.PRUNE_RUNS, before), taken


def _number(transaction: Transaction, question: str, **values: Value) -> int:
    """Return the number that a question is answered with, 0 where there is none."""
    return next((int(row["number"]) for row in transaction.ask(question, **values) if row["number"] is not None), 0)


_ENDS = frozenset({Step.VERIFIED, Step.ACCEPTED, Step.FAILED, Step.SKIPPED})


def open_journal(url: Secret | None, *, writable: bool) -> Journal | None:
    """Open the journal at a URL, in the user's state folder without one.

    A writable one is made where there is none; otherwise None is returned then. An old one is brought forward.
    Raises :class:`JournalError` where it cannot be opened, is damaged, or is newer than this.
    """
    opened = open_at(location_of(url), writable=writable)
    return Journal(opened.database, opened.salt) if opened else None


class Journal:
    """An open journal; a context manager. May be used by several threads.

    Every method raises :class:`JournalError` when the database fails.
    """

    def __init__(self, database: Database, salt: bytes, timing: Timing = USUAL) -> None:
        self._database = database
        self._fingerprints = Fingerprints(salt)
        self._timing = timing
        self._leases: dict[str, Lease] = {}
        self._guarded: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections to the database."""
        self._database.close()

    @property
    def where(self) -> str:
        """The journal as messages name it: file or database, without login."""
        return self._database.where

    def begin(self, run: NewRun, writes: Sequence[Write]) -> int:
        """Put a run and what it intends on disk, and return the run's number."""
        with self._database.writing() as transaction:
            row = {**run_values(run), "tool_version": __version__, "outcome": Outcome.RUNNING.value}
            [entered] = transaction.ask(queries.NEW_RUN, **row, started=transaction.now())
            number = int(entered["number"])
            if writes:
                rows = [write_values(write, number, run.server, n) for n, write in enumerate(writes)]
                transaction.do(queries.NEW_WRITE, *rows)
            lease = self._leases.get(run.server)
            if lease and not lease.renew_within(transaction, number):
                raise lost_to_another(run.server)
        if lease:
            self._guarded[number] = run.server
        return number

    def record(self, run: int, updates: Sequence[Update]) -> None:
        """Put steps on disk, all or none; no mark of a write to come where the lease on the server is lost."""
        lease = self._leases.get(self._guarded.get(run, ""))
        with self._database.writing() as transaction:
            ours = lease is None or lease.renew_within(transaction)
            now = transaction.now()
            rows = [_step_values(run, u, now) for u in updates if ours or u.step is not Step.WRITING]
            if rows and transaction.do(queries.NEXT_STEP, *rows) != len(rows):
                hint = "it was changed by hand, or another one was put in its place"
                raise JournalError(f"{self.where} knows no such write of run {run}", hint, RULE)
        if lease and not ours:
            raise lost_to_another(lease.server)

    def finish(self, run: int, outcome: Outcome) -> None:
        """Put a run's outcome on disk."""
        with self._database.writing() as transaction:
            transaction.do(queries.END_OF_RUN, {"run": run, "outcome": outcome.value, "now": transaction.now()})

    def runs(self, server: str | None = None, limit: int = 50) -> list[Run]:
        """Return the newest runs, newest first."""
        if server is None:
            return [run_of(row) for row in self._rows(queries.NEWEST_RUNS, limit=limit)]
        return [run_of(row) for row in self._rows(queries.NEWEST_RUNS_ON, server=server, limit=limit)]

    def run(self, number: int) -> Run | None:
        """Return one run."""
        return next((run_of(row) for row in self._rows(queries.RUN, run=number)), None)

    def writes(self, run: int) -> list[Write]:
        """Return what a run did to each realm, in the plan's order."""
        return [write_of(row) for row in self._rows(queries.WRITES, run=run)]

    def steps(self, numbers: Sequence[int]) -> dict[int, dict[Step, int]]:
        """Return by run how many realms came to each step; what was written to them is not read."""
        with self._database.reading() as transaction:
            rows = {number: transaction.ask(queries.STEPS, run=number) for number in numbers}
        return {number: {step_of(row["step"]): row["number"] for row in found} for number, found in rows.items()}

    def steps_by_realm(self, run: int) -> dict[str, Step]:
        """Return by realm the step that it came to in a run."""
        return {row["realm"]: step_of(row["step"]) for row in self._rows(queries.STEPS_BY_REALM, run=run)}

    def history_of(self, server: str, realm: str) -> list[Write]:
        """Return all writes to one realm, newest first."""
        return [write_of(row) for row in self._rows(queries.HISTORY, server=server, realm=realm)]

    def remembered(self, server: str) -> dict[str, LastKnown]:
        """Return by realm the last write that was done, a later one that is in doubt, and one that was not kept."""
        return last_known(self._rows(queries.REMEMBERED, server=server, not_kept=queries.UNKEPT))

    def resumable(self, server: str) -> Run | None:
        """Return the newest run that had something to write, if it was cut off or some realms failed."""
        return next((run_of(row) for row in self._rows(queries.NEWEST_RUN_IF_LEFT, server=server)), None)

    def forget(self, server: str, realm: str) -> int:
        """Take out all that was noted of a realm; return how many writes that were."""
        with self._database.writing() as transaction:
            return forget(transaction, server, realm)

    def prunable(self, server: str, *, keep: int = 0, before: datetime | None = None) -> tuple[int, int]:
        """Return the first run that would stay whole, and how many there are before it."""
        with self._database.reading() as transaction:
            first = first_kept(transaction, server, keep=keep, before=before)
            return first, runs_before(transaction, server, first)

    def prune(self, server: str, first: int) -> tuple[int, int]:
        """Take out what nobody needs of the runs before one; return how many runs are gone, and how many writes."""
        with self._database.writing() as transaction:
            return prune(transaction, server, first)

    def fingerprint(self, secret: Secret) -> str:
        """Return the fingerprint of a secret: the same text for the same secret in the same journal."""
        return self._fingerprints.of(secret)

    def fingerprints(self, several: Iterable[Secret]) -> list[str]:
        """Return the fingerprints of several secrets; quicker than one by one where there are several processors."""
        return self._fingerprints.of_all(several)

    @contextmanager
    def lease(self, server: str, who: str, *, wait: float = 0.0, monitor: Monitor = UNMONITORED) -> Iterator[None]:
        """Keep other runs off a server meanwhile; ``wait`` is how many seconds to wait for one that is under way.

        Runs begun meanwhile are named to whoever is kept off, and can mark no more writes once the lease is lost.
        Raises :class:`Unsafe`, with the rule
        ``locked``, naming who holds the server since when.
        """
        with hold_lease(self._database, server, who, wait=wait, monitor=monitor, timing=self._timing) as lease:
            self._leases[server] = lease
            try:
                yield
            finally:
                del self._leases[server]

    def holder(self, server: str) -> Holder | None:
        """Return who holds a server just now."""
        with self._database.reading() as transaction:
            now, rows = transaction.now(), transaction.ask(queries.LEASE, server=server)
        found = [holder for holder, expires in map(holder_of, rows) if expires > now]
        return found[0] if found else None

    def _rows(self, question: str, **values: Value) -> list[Row]:
        with self._database.reading() as transaction:
            return transaction.ask(question, **values)


def _step_values(run: int, one: Update, now: datetime) -> dict[str, Value]:
    return {
        "run": run,
        "realm": one.realm,
        "step": one.step.value,
        "error": printable(one.error),
        "after": None if one.after is None else attributes_text(one.after),
        "started": now if one.step is Step.WRITING else None,
        "ended": now if one.step in _ENDS else None,
    }
