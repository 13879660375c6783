"""The journal: runs and their writes, leases, and the fingerprints of secrets; in SQLite or PostgreSQL."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import JournalError, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.journal import queries
from ztrust_mail.journal.database import Database, Row, Transaction, Value, location_of
from ztrust_mail.journal.errors import RULE
from ztrust_mail.journal.lease import DEFAULT_TIMING, UNMONITORED, Lease, Monitor, Timing, hold_lease, lost_to_another
from ztrust_mail.journal.opening import QUEUE, SALT_SIZE, check_version, open_at, set_meta
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
    secret_times,
    step_of,
    write_of,
    write_values,
)
from ztrust_mail.journal.requests import RequestTable

_COST, _BLOCK, _PARALLEL, _SIZE = 2**14, 8, 1, 32
_MAX_THREADS: Final = 8  # each takes 16 MB


class Fingerprints:
    """Computes fingerprints, once for each distinct secret. May be used by several threads."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._key = secrets.token_bytes(SALT_SIZE)  # this object must not reveal the secrets either
        self._lock = threading.Lock()
        self._futures: dict[bytes, Future[str]] = {}

    def of(self, secret: Secret) -> str:
        """Return a secret's fingerprint, as hex digits; computing it takes about 50 ms of one processor."""
        value = secret.reveal().encode("utf-8", "surrogatepass")
        known = hashlib.blake2b(value, key=self._key).digest()
        with self._lock:
            if is_new := known not in self._futures:
                self._futures[known] = Future()
            future = self._futures[known]
        if is_new:
            future.set_result(_scrypt(value, self._salt))
        return future.result()

    def of_all(self, several: Iterable[Secret]) -> list[str]:
        """Return the fingerprints of several secrets, computed in parallel."""
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS)) as pool:
            return list(pool.map(self.of, several))


def _scrypt(value: bytes, salt: bytes) -> str:
    return hashlib.scrypt(value, salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=_SIZE).hex()


def find_run(journal: Journal | None, server: str, number: int) -> tuple[Journal, Run]:
    """Return the run with a number, and the journal that holds it.

    Raises :class:`UsageError` if there is no such run, or if it wrote to another server.
    """
    if journal is None:
        raise UsageError(f"there is no run {number}: there is no journal yet", "the first apply creates it")
    run = journal.run(number)
    if run is None:
        newest = journal.runs(server, 1)
        there = f"the newest on this server is run {newest[0].number}" if newest else "this server has no run"
        raise UsageError(f"there is no run {number}", f"{there}; list the runs with: ztrust-mail history")
    if run.server != server:
        raise UsageError(f"run {number} wrote to {quoted(run.server)}, not to {quoted(server)}", "check --server")
    return journal, run


def _first_run_to_preserve(transaction: Transaction, server: str, *, keep: int, before: datetime | None) -> int:
    """Return the number of the run before which the journal may be pruned, 0 for none.

    ``keep`` is how many runs to keep, ``before`` the time before which pruned runs started. The newest run that had
    something to write is never pruned: it may have to be resumed.
    """
    newest = _query_number(transaction, queries.NEWEST_THAT_WROTE, server=server)
    if before is None:
        return min(newest, _query_number(transaction, queries.NTH_NEWEST_RUN, server=server, newer=keep - 1))
    earlier = _query_number(transaction, queries.NEWEST_RUN_BEFORE, server=server, time=before)
    return min(newest, earlier + 1) if earlier else 0


def _query_number(transaction: Transaction, sql: str, **values: Value) -> int:
    """Return the number that a query finds, 0 if it finds none."""
    return next((int(row["number"]) for row in transaction.query(sql, **values) if row["number"] is not None), 0)


def _known_queue(transaction: Transaction) -> str | None:
    return next((row["value"] for row in transaction.query(queries.META) if row["name"] == QUEUE), None)


def _can_be_stored(realm: str) -> bool:
    """Tell whether a journal may know a realm of this name: it may come from a command line."""
    return "\0" not in realm and realm == realm.encode(errors="replace").decode()


_FINAL_STEPS = frozenset({Step.VERIFIED, Step.ACCEPTED, Step.FAILED, Step.SKIPPED})


def open_journal(url: Secret | None, *, writable: bool, timing: Timing = DEFAULT_TIMING) -> Journal | None:
    """Open the journal at a URL, in the user's state folder without one. ``timing`` is that of its leases.

    If there is none, creates it for writing and returns None for reading. An old one is migrated.
    Raises :class:`JournalError` if it cannot be opened, is damaged, or is newer than this program.
    """
    opened = open_at(location_of(url), writable=writable)
    return Journal(opened.database, opened.salt, timing) if opened else None


class Journal:
    """An open journal; a context manager. May be used by several threads.

    Every method raises :class:`JournalError` when the database fails.
    """

    def __init__(self, database: Database, salt: bytes, timing: Timing = DEFAULT_TIMING) -> None:
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

    @property
    def is_shared(self) -> bool:
        """Whether it is in a database server, from which workers take requests."""
        return self._database.is_shared

    @property
    def requests(self) -> RequestTable:
        """The requests in this journal."""
        return RequestTable(self._database)

    def prepare_queue(self, version: str, apply: Callable[[Transaction, str | None], None]) -> None:
        """Create the tables of a queue in the journal's database, or migrate them to a version.

        ``apply`` gets the version that was applied before, None if there was none. Only one program at a time calls it.
        """
        with self._database.reading() as transaction:
            if _known_queue(transaction) == version:
                return
        with self._database.migrating() as transaction:
            known = _known_queue(transaction)
            if known is None or known < version:
                apply(transaction, known)
                set_meta(transaction, QUEUE, version)

    def begin(self, run: NewRun, writes: Sequence[Write]) -> int:
        """Store a run and its intended writes, and return the run's number. Raises :class:`NewerJournal`."""
        with self._database.writing() as transaction:
            check_version(transaction, self.where)
            row = {**run_values(run), "tool_version": __version__, "outcome": Outcome.RUNNING.value}
            number = _query_number(transaction, queries.NEW_RUN, **row, started=transaction.now())
            if writes:
                rows = [write_values(write, number, run.server, n) for n, write in enumerate(writes)]
                transaction.execute(queries.NEW_WRITE, *rows)
            lease = self._leases.get(run.server)
            if lease and not lease.renew_within(transaction, number):
                raise lost_to_another(run.server)
        if lease:
            self._guarded[number] = run.server
        return number

    def record(self, run: int, updates: Sequence[Update]) -> None:
        """Store steps, all or none.

        After the lease on the server is lost, no write can be marked as about to start, and no write that another run
        has settled is changed.
        """
        lease = self._leases.get(self._guarded.get(run, ""))
        with self._database.writing() as transaction:
            is_ours = lease is None or lease.renew_within(transaction)
            now = transaction.now()
            rows = [_step_values(run, u, now) for u in updates if is_ours or u.step is not Step.WRITING]
            if rows and not is_ours:
                transaction.execute(queries.NEXT_STEP + queries.STILL_OPEN, *rows)
            elif rows and transaction.execute(queries.NEXT_STEP, *rows) != len(rows):
                hint = "the journal was changed by hand or replaced; plan shows what is left to do"
                raise JournalError(f"{self.where} holds no such write of run {run}", hint, RULE)
        if lease and not is_ours:
            raise lost_to_another(lease.server)

    def finish(self, run: int, outcome: Outcome) -> None:
        """Store the outcome of a run, unless it lost its lease and another run has done so."""
        lease = self._leases.get(self._guarded.get(run, ""))
        with self._database.writing() as transaction:
            is_ours = lease is None or lease.renew_within(transaction)
            end = queries.END_OF_RUN if is_ours else queries.END_OF_RUN + queries.STILL_RUNNING
            transaction.execute(end, {"run": run, "outcome": outcome.value, "now": transaction.now()})

    def runs(self, server: str | None = None, limit: int = 50) -> list[Run]:
        """Return the newest runs, newest first."""
        if server is None:
            return [run_of(row) for row in self._rows(queries.NEWEST_RUNS, limit=limit)]
        return [run_of(row) for row in self._rows(queries.NEWEST_RUNS_ON, server=server, limit=limit)]

    def run(self, number: int) -> Run | None:
        """Return one run."""
        return next((run_of(row) for row in self._rows(queries.RUN, run=number)), None)

    def run_of_request(self, request: int) -> Run | None:
        """Return the newest run that was made for a request."""
        return next((run_of(row) for row in self._rows(queries.RUN_OF_REQUEST, request=request)), None)

    def writes(self, run: int) -> list[Write]:
        """Return the writes of a run, in the order of the plan."""
        return [write_of(row) for row in self._rows(queries.WRITES, run=run)]

    def steps(self, numbers: Sequence[int]) -> dict[int, dict[Step, int]]:
        """Return the number of realms at each step, by run, without reading the written settings."""
        with self._database.reading() as transaction:
            rows = {number: transaction.query(queries.STEPS, run=number) for number in numbers}
        return {number: {step_of(row["step"]): row["number"] for row in found} for number, found in rows.items()}

    def steps_by_realm(self, run: int) -> dict[str, Step]:
        """Return by realm the step that it reached in a run."""
        return {row["realm"]: step_of(row["step"]) for row in self._rows(queries.STEPS_BY_REALM, run=run)}

    def history_of(self, server: str, realm: str) -> list[Write]:
        """Return all writes to one realm, newest first."""
        return [write_of(row) for row in self._rows(queries.HISTORY, server=server, realm=realm)]

    def last_known(self, server: str, realms: Iterable[str] | None = None) -> dict[str, LastKnown]:
        """Return by realm the last completed write, and later ones with unknown outcome or not preserved.

        Of the realms that are given, or of all that were ever written: these cost more, the more there are.
        """
        if realms is None:
            return last_known(self._rows(queries.LAST_KNOWN, server=server, not_kept=queries.UNKEPT))
        names, rows = [one for one in dict.fromkeys(realms) if _can_be_stored(one)], list[Row]()
        with self._database.reading() as transaction:
            for start in range(0, len(names), queries.MOST_NAMED):
                part = {f"realm_{n}": one for n, one in enumerate(names[start : start + queries.MOST_NAMED])}
                statement = queries.last_known_of(len(part))
                rows += transaction.query(statement, server=server, not_kept=queries.UNKEPT, **part)
        return last_known(rows)

    def in_doubt(self, server: str) -> list[Write]:
        """Return the writes whose outcome is unknown, unless a later write to the same realm was completed."""
        return [write_of(row) for row in self._rows(queries.IN_DOUBT, server=server)]

    def secret_times(self, server: str) -> dict[str, datetime]:
        """Return when each realm's present secret was first written, as far as the journal goes back."""
        return secret_times(self._rows(queries.SECRET_TIMES, server=server))

    def resumable(self, server: str) -> Run | None:
        """Return the newest run that had something to write, if it was cut off or some realms failed."""
        return next((run_of(row) for row in self._rows(queries.NEWEST_RUN_IF_LEFT, server=server)), None)

    def forget(self, server: str, realm: str) -> int:
        """Delete all writes to a realm; return how many there were."""
        with self._database.writing() as transaction:
            return transaction.execute(queries.FORGET, {"server": server, "realm": realm})

    def prunable(self, server: str, *, keep: int = 0, before: datetime | None = None) -> tuple[int, int]:
        """Return the first run that pruning would preserve whole, and the number of runs before it."""
        with self._database.reading() as transaction:
            first = _first_run_to_preserve(transaction, server, keep=keep, before=before)
            return first, _query_number(transaction, queries.RUNS_BEFORE, server=server, first=first)

    def prune(self, server: str, first: int) -> tuple[int, int]:
        """Delete records of earlier runs that are no longer needed; return the number of deleted runs and writes.

        A run without any write left is deleted as a whole.
        """
        before: Mapping[str, Value] = {"server": server, "first": first}
        with self._database.writing() as transaction:
            writes = transaction.execute(queries.PRUNE_WRITES, before)
            return transaction.execute(queries.PRUNE_RUNS, before), writes

    def fingerprint(self, secret: Secret) -> str:
        """Return the fingerprint of a secret: the same text for the same secret in the same journal."""
        return self._fingerprints.of(secret)

    def fingerprints(self, several: Iterable[Secret]) -> list[str]:
        """Return the fingerprints of several secrets, computed in parallel."""
        return self._fingerprints.of_all(several)

    @contextmanager
    def lease(self, server: str, who: str, *, wait: float = 0.0, monitor: Monitor = UNMONITORED) -> Iterator[None]:
        """Hold the lease on a server, which excludes other runs; ``wait`` is how many seconds to wait for them.

        The refusal of another run names the run started here, which can mark no more writes once the lease is lost.
        Raises :class:`Unsafe`, with the rule ``locked``, naming the holder of the lease.
        """
        with hold_lease(self._database, server, who, wait=wait, monitor=monitor, timing=self._timing) as lease:
            self._leases[server] = lease
            try:
                yield
            finally:
                del self._leases[server]

    def has_lease(self, server: str) -> bool:
        """Tell whether the lease taken here still excludes other runs; true if none was taken here."""
        lease = self._leases.get(server)
        return lease is None or lease.is_certain

    def holder(self, server: str) -> Holder | None:
        """Return who holds the lease on a server now."""
        with self._database.reading() as transaction:
            now, rows = transaction.now(), transaction.query(queries.LEASE, server=server)
        found = [holder for holder, expires in map(holder_of, rows) if expires > now]
        return found[0] if found else None

    def _rows(self, sql: str, **values: Value) -> list[Row]:
        with self._database.reading() as transaction:
            return transaction.query(sql, **values)


def _step_values(run: int, update: Update, now: datetime) -> dict[str, Value]:
    return {
        "run": run,
        "realm": update.realm,
        "step": update.step.value,
        "error": printable(update.error),
        "after": None if update.after is None else attributes_text(update.after),
        "started": now if update.step is Step.WRITING else None,
        "ended": now if update.step in _FINAL_STEPS else None,
    }
