"""Requests in the journal: submitted work for workers, with its state and outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import ExitStatus, JournalError, UsageError
from ztrust_mail.core.text import printable
from ztrust_mail.journal import queries
from ztrust_mail.journal.database import Database, Row, Transaction, Value
from ztrust_mail.journal.errors import RULE
from ztrust_mail.journal.opening import check_version
from ztrust_mail.journal.records import time_if_any, time_of

MAX_TAKEN: Final = 500
"""The maximum number of requests read at once to choose the next batch."""

MAX_LISTED_CONTENT: Final = 100_000
"""The maximum length of content that is read before a request is taken."""

LONGEST_PAUSE: Final = timedelta(hours=1)
"""The maximum pause of a request. If one is due later than that, the clock has been set back."""


LARGEST_INTEGER: Final = 2**31 - 1
"""The largest INTEGER of PostgreSQL, which fails to count on from it."""


class RequestState(StrEnum):
    """The state of a request."""

    WAITING = "waiting"
    RUNNING = "running"
    """A worker is processing it, or was killed while doing so."""
    DONE = "done"
    FAILED = "failed"
    """It ended without completing everything."""
    DEAD = "dead"
    """It was given up."""
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the request has ended."""
        return self not in (RequestState.WAITING, RequestState.RUNNING)


@dataclass(frozen=True)
class NewRequest:
    """A request about to be stored.

    ``server`` is a URL, ``name`` the server's name in the settings, if any. ``content`` is JSON with names and
    references, never secrets. For each server, only the first request with a given ``key`` is processed. Without a key,
    only one request with a given ``digest`` can be unfinished at a time. ``who`` submitted it, ``message`` says why.
    """

    server: str
    name: str
    queue: str
    kind: str
    content: str
    digest: str
    key: str = ""
    priority: int = 0
    who: str = ""
    message: str = ""


@dataclass(frozen=True)
class StoredRequest(NewRequest):
    """A request in the journal. Times are in UTC.

    It is not taken before ``due``. ``attempts`` counts how often it was taken and not put back. ``summary`` is one
    line that says how it ended or why it waits. ``report`` is the report as JSON, ``report_text`` as text. ``mails``
    is what is known of its test mails, as JSON. ``content``, the reports and ``mails`` are empty in lists.
    """

    number: int = 0
    tool_version: str = ""
    state: RequestState = RequestState.WAITING
    attempts: int = 0
    is_cancelled: bool = False
    exit_status: int | None = None
    summary: str = ""
    report: str = ""
    report_text: str = ""
    mails: str = ""
    submitted: datetime = datetime.min
    due: datetime = datetime.min
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether the request runs and is to stop."""
        return self.is_cancelled and self.state is RequestState.RUNNING

    def require_retriable(self) -> None:
        """Raise :class:`UsageError` for a request that is done, or has not ended."""
        if self.is_stopping:
            hint = f"retry when it has ended: ztrust-mail requests {self.number} --follow"
            raise UsageError(f"request {self.number} is being cancelled and cannot be retried yet", hint)
        if self.state in (RequestState.DONE, RequestState.WAITING, RequestState.RUNNING):
            hint = f"see: ztrust-mail requests {self.number}"
            raise UsageError(f"request {self.number} is {self.state} and cannot be retried", hint)

    @property
    def final_status(self) -> ExitStatus:
        """The exit status of a command that waited for the request."""
        if self.exit_status is not None and self.exit_status in [*ExitStatus]:  # a newer version may have others
            return ExitStatus(self.exit_status)
        return _STATUSES.get(self.state, ExitStatus.OK)


_STATUSES: Final = {
    RequestState.FAILED: ExitStatus.PARTIAL,
    RequestState.DEAD: ExitStatus.PARTIAL,
    RequestState.CANCELLED: ExitStatus.INTERRUPTED,
}
"""The exit statuses of requests that ended without a result."""


@dataclass(frozen=True)
class RequestEnd:
    """How a request ended."""

    state: RequestState
    exit_status: int | None = None
    summary: str = ""
    report: str = ""
    report_text: str = ""


@dataclass(frozen=True)
class Postponed:
    """The outcome of a running request that has to wait again. It does not count as an attempt.

    ``is_server_down`` means that no other request for the server can be processed now either.
    """

    why: str
    pause: timedelta = timedelta()
    is_server_down: bool = False


@dataclass(frozen=True)
class BusyServer:
    """A server with due requests, and the highest priority among them."""

    server: str
    name: str
    queue: str
    priority: int


@dataclass(frozen=True)
class RequestCount:
    """The number of requests of a queue in a state, and when the oldest was submitted."""

    queue: str
    state: RequestState
    number: int
    oldest: datetime


class RequestTable:
    """The requests of a journal. Every method raises :class:`JournalError` when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def adding(self, request: NewRequest) -> Iterator[tuple[StoredRequest, Transaction]]:
        """Store a request, and yield it with its transaction, which ends with the block.

        If a request with the same key exists, or an identical one is unfinished, yield that and store nothing. Raises
        :class:`UsageError` if that one is being cancelled, and :class:`NewerJournal`.
        """
        with self._database.writing() as transaction:
            check_version(transaction, self._database.where)
            place: dict[str, Value] = {"server": request.server, "name": request.name, "queue": request.queue}
            transaction.execute(queries.KNOW_SERVER, place)
            same = transaction.query(
                queries.SAME_REQUEST, digest=request.digest, server=request.server, request_key=request.key
            )
            number = same[-1]["number"] if same else self._insert(transaction, request)
            stored = _one(transaction, number)
            if stored.is_stopping and not request.key:
                hint = f"submit again when it has ended: ztrust-mail requests {number} --follow"
                raise UsageError(f"request {number} asks for the same, and is being cancelled", hint)
            yield stored, transaction

    def _insert(self, transaction: Transaction, request: NewRequest) -> int:
        values: dict[str, Value] = {**vars(request), "request_key": request.key, "tool_version": __version__}
        del values["key"]
        texts = {"who": printable(request.who), "message": printable(request.message)}
        times: dict[str, Value] = {"pause": _pause_of(request.server), **_times_to_take(transaction)}
        [row] = transaction.query(queries.NEW_REQUEST, **{**values, **texts, **times})
        number: int = row["number"]
        return number

    def get(self, number: int) -> StoredRequest:
        """Return a request. Raises :class:`UsageError` for an unknown number."""
        with self._database.reading() as transaction:
            return _one(transaction, number)

    def get_brief(self, number: int) -> StoredRequest:
        """Like :meth:`get`, but without content and reports, which may be large."""
        with self._database.reading() as transaction:
            return _one(transaction, number, queries.BRIEF_REQUEST)

    def newest(self, limit: int = 50) -> list[StoredRequest]:
        """Return the newest requests, newest first."""
        with self._database.reading() as transaction:
            return _readable(transaction.query(queries.NEWEST_REQUESTS, limit=limit))

    def list_unfinished(self, limit: int = 1000, server: str = "") -> list[StoredRequest]:
        """Return the oldest waiting and running requests, oldest first; of one server, or of all.

        Damaged ones are left out here and in all lists; :meth:`find_damaged` has them.
        """
        with self._database.reading() as transaction:
            return _readable(transaction.query(queries.UNFINISHED_REQUESTS, server=server, limit=limit))

    def find_damaged(self, limit: int = 1000, server: str = "") -> dict[int, str]:
        """Return the unfinished requests that cannot be read: by number, the first damaged column."""
        with self._database.reading() as transaction:
            rows = transaction.query(queries.UNFINISHED_REQUESTS, server=server, limit=limit)
        return {row["number"]: damage for row in rows if (damage := _find_damage(row))}

    def end_damaged(self, server: str) -> dict[int, str]:
        """End the damaged requests of a server as failed, and return them like :meth:`find_damaged`.

        Of those that are due or running, the columns that lists leave out are checked as well: such a request could
        never be taken. The caller must hold the lease on the requests of the server.
        """
        with self._database.reading() as transaction:
            limits: dict[str, Value] = {"server": server, "limit": MAX_TAKEN}
            due = {**limits, "most": MAX_LISTED_CONTENT, **_times_to_take(transaction)}
            rows = transaction.query(queries.UNFINISHED_REQUESTS, **limits)
            rows += transaction.query(queries.REQUESTS_TO_TAKE, **due)
            rows += transaction.query(queries.RUNNING_REQUESTS, server=server)
        damaged: dict[int, str] = {row["number"]: damage for row in rows if (damage := _find_damage(row))}
        for number, column in damaged.items():
            with self._database.writing() as transaction:
                now, [row] = transaction.now(), transaction.query(queries.BRIEF_REQUEST, number=number)
                values: dict[str, Value] = {
                    "number": number,
                    "summary": f"{_damage(number, column)}; try it again: ztrust-mail requests {number} --retry",
                    "priority": row["priority"] if _is_readable("priority", row["priority"]) else 0,
                    "submitted": time_of(row["submitted"]) if _is_readable("submitted", row["submitted"]) else now,
                    "now": now,
                }
                transaction.execute(queries.END_OF_DAMAGED, values)
        return damaged

    def list_ended(self, limit: int = 50, server: str = "") -> list[StoredRequest]:
        """Return the newest ended requests, newest first; of one server, or of all."""
        with self._database.reading() as transaction:
            return _readable(transaction.query(queries.ENDED_REQUESTS, server=server, limit=limit))

    def count_by_state(self, server: str = "") -> dict[RequestState, int]:
        """Return the number of requests in each state; of one server, or of all."""
        with self._database.reading() as transaction:
            rows = transaction.query(queries.COUNTS_BY_STATE, server=server)
        return {RequestState(row["state"]): row["number"] for row in rows if _is_readable("state", row["state"])}

    def ahead_of(self, request: StoredRequest) -> int:
        """Return how many requests of the same server come before one."""
        values: dict[str, Value] = {
            "server": request.server,
            "priority": request.priority,
            "number": request.number,
        }
        with self._database.reading() as transaction:
            [row] = transaction.query(queries.AHEAD, **values)
        number: int = row["number"]
        return number

    def waiting_for(self, server: str, *, limit: int = MAX_TAKEN) -> list[StoredRequest]:
        """Return the due requests in order, first those left by a killed worker. Long contents are left out.

        Waits until requests that are being added are stored. Raises :class:`NewerJournal`.
        """
        with self._database.writing() as transaction:
            transaction.execute(queries.LOCK_SERVER, {"server": server})
            check_version(transaction, self._database.where)
            times = _times_to_take(transaction)
            rows = transaction.query(
                queries.REQUESTS_TO_TAKE, server=server, most=MAX_LISTED_CONTENT, limit=limit, **times
            )
            return _readable(rows)

    def has_waiting(self, server: str) -> bool:
        """Tell whether there is something to take, or something damaged in its place. Waits and raises likewise."""
        with self._database.writing() as transaction:
            transaction.execute(queries.LOCK_SERVER, {"server": server})
            check_version(transaction, self._database.where)
            times = _times_to_take(transaction)
            return bool(transaction.query(queries.ANY_TO_TAKE, server=server, pause=_pause_of(server), **times))

    def take(self, requests: Sequence[StoredRequest]) -> list[StoredRequest]:
        """Mark requests of one server as running. Leave out and do not return those cancelled or taken meanwhile.

        The caller must hold the lease on the requests of the server.
        """
        with self._database.writing() as transaction:
            now = transaction.now()
            rows: list[dict[str, Value]] = [
                {"number": one.number, "attempts": one.attempts, "now": now} for one in requests
            ]
            transaction.execute(queries.TAKE_REQUEST, *rows)
            running = transaction.query(queries.RUNNING_REQUESTS, server=requests[0].server)
        found = {one.number: one for one in _readable(running)}
        taken = [(one, found[one.number]) for one in requests if one.number in found]
        return [one for before, one in taken if one.attempts == before.attempts + 1 and one.started == now]

    def store(self, outcomes: Sequence[tuple[StoredRequest, RequestEnd | Postponed]]) -> None:
        """Store the outcomes of running requests, except of those that another worker has taken meanwhile.

        A postponed request that was cancelled meanwhile ends as cancelled.
        """
        ends = [_end_values(request, end) for request, end in outcomes if isinstance(end, RequestEnd)]
        with self._database.writing() as transaction:
            now = transaction.now()
            if ends:
                transaction.execute(queries.END_OF_REQUEST, *({**one, "now": now} for one in ends))
            again = [_pause_values(request, end, now) for request, end in outcomes if isinstance(end, Postponed)]
            if again:
                transaction.execute(queries.REQUEST_AGAIN, *again)

    def record_mails(self, mails: Sequence[tuple[StoredRequest, str]]) -> bool:
        """Record what is known of the test mails of running requests, as JSON; return whether all were recorded.

        A request that another worker has taken meanwhile is not.
        """
        rows: list[dict[str, Value]] = [
            {"number": request.number, "attempts": request.attempts, "started": request.started, "mails": text}
            for request, text in mails
        ]
        with self._database.writing() as transaction:
            return transaction.execute(queries.MAILS_OF_REQUEST, *rows) == len(rows)

    def hold_back(self, server: str, pause: timedelta, *, later_ones: bool = False) -> None:
        """Postpone all waiting requests of a server to ``pause`` from now or later.

        With ``later_ones``, no request for it is taken until then, however it came to be due.
        """
        with self._database.writing() as transaction:
            times = _times_to_take(transaction)
            due = times["now"] + min(pause, LONGEST_PAUSE)
            transaction.execute(queries.HOLD_BACK, {"server": server, "due": due})
            if later_ones:
                pausing: dict[str, Value] = {"server": _pause_of(server), "holder": "", "who": "", "expires": due}
                transaction.execute(queries.TAKE_LEASE, {**pausing, **times})

    def cancel(self, number: int) -> StoredRequest:
        """Cancel a waiting request, or ask its worker to stop; return it. No effect on a request that has ended."""
        with self._database.writing() as transaction:
            transaction.execute(queries.CANCEL_REQUEST, {"number": number, "now": transaction.now()})
            return _one(transaction, number)

    def find_cancelled(self) -> set[int]:
        """Return the numbers of the running requests that were cancelled."""
        with self._database.reading() as transaction:
            return {row["number"] for row in transaction.query(queries.CANCELLED_AMONG)}

    @contextmanager
    def retrying(self, number: int) -> Iterator[tuple[StoredRequest, Transaction]]:
        """Queue a failed, dead or cancelled request again; yield it like :meth:`adding`.

        It goes to the current queue of its server. Raises :class:`UsageError` if it is in another state, or if an
        identical request is unfinished.
        """
        with self._database.writing() as transaction:
            check_version(transaction, self._database.where)
            transaction.execute(queries.LOCK_SERVER, {"server": _one(transaction, number).server})
            before = _one(transaction, number)  # as it is now, after another retry that had the lock
            before.require_retriable()
            same = transaction.query(queries.SAME_REQUEST, digest=before.digest, server="", request_key=before.key)
            if same:
                message = (
                    f"request {number} cannot be retried: request {same[0]['number']} is the same and has not ended"
                )
                raise UsageError(message, f"see: ztrust-mail requests {same[0]['number']}")
            times: dict[str, Value] = {"pause": _pause_of(before.server), **_times_to_take(transaction)}
            transaction.execute(queries.RETRY_REQUEST, {"number": number, **times})
            yield _one(transaction, number), transaction

    def busy_servers(self, without: str = queries.NOTHING) -> list[BusyServer]:
        """Return the servers with due requests, highest priority first.

        ``without`` is an SQL subquery on ``s.server``; servers for which it returns a row are left out.
        """
        with self._database.reading() as transaction:
            check_version(transaction, self._database.where)
            sql = queries.SERVERS_WITH_WORK.format(without=without)
            rows = transaction.query(sql, **_times_to_take(transaction))
        return [BusyServer(row["server"], row["name"], row["queue"], row["priority"]) for row in rows]

    def has_key(self, server: str, key: str) -> bool:
        """Tell whether a request with this key was submitted for a server."""
        with self._database.reading() as transaction:
            return bool(transaction.query(queries.SAME_REQUEST, digest="", server=server, request_key=key))

    def counts(self, period: timedelta) -> list[RequestCount]:
        """Return the number of unfinished requests per queue and state, and of those that ended within ``period``."""
        with self._database.reading() as transaction:
            now = transaction.now()
            rows = transaction.query(queries.REQUEST_COUNTS, since=now - period)
        return [
            RequestCount(row["queue"], RequestState(row["state"]), row["number"], oldest)
            for row in rows
            if _is_readable("state", row["state"])
            for oldest in [time_of(row["oldest"]) if _is_readable("submitted", row["oldest"]) else now]
        ]

    def queues(self) -> list[str]:
        """Return the queues of all servers that ever had a request."""
        with self._database.reading() as transaction:
            return [row["queue"] for row in transaction.query(queries.QUEUES)]

    def prune(self, keep: timedelta) -> int:
        """Delete the requests that ended longer than ``keep`` ago; return how many."""
        with self._database.writing() as transaction:
            return transaction.execute(queries.PRUNE_REQUESTS, {"before": transaction.now() - keep})

    def now(self) -> datetime:
        """Return the time by the clock shared by all users of the journal."""
        with self._database.reading() as transaction:
            return transaction.now()

    @contextmanager
    def waking(self, server: BusyServer) -> Iterator[Transaction]:
        """Yield a transaction that holds the lock on a server's requests, for waking a worker."""
        with self._database.writing() as transaction:
            transaction.execute(queries.LOCK_SERVER, {"server": server.server})
            yield transaction


def _end_values(request: StoredRequest, end: RequestEnd) -> dict[str, Value]:
    return {
        "number": request.number,
        "attempts": request.attempts,
        "started": request.started,
        "state": end.state.value,
        "exit_status": end.exit_status,
        "summary": printable(end.summary),
        "report": end.report,
        "report_text": end.report_text,
    }


def _pause_values(request: StoredRequest, end: Postponed, now: datetime) -> dict[str, Value]:
    return {
        "number": request.number,
        "attempts": request.attempts,
        "started": request.started,
        "summary": printable(end.why),
        "due": now + min(end.pause, LONGEST_PAUSE),
        "now": now,
    }


def _pause_of(server: str) -> str:
    """Return the name of the lease that stands for a pause after a rejected login."""
    return f"logins of {server}"


def _times_to_take(transaction: Transaction) -> dict[str, datetime]:
    now = transaction.now()
    return {"now": now, "never": now + 2 * LONGEST_PAUSE}


def _one(transaction: Transaction, number: int, sql: str = queries.REQUEST) -> StoredRequest:
    rows = transaction.query(sql, number=number)
    if not rows:
        raise UsageError(f"there is no request {number}", "list the requests with: ztrust-mail requests")
    return request_of(rows[0])


def request_of(row: Row) -> StoredRequest:
    """Return the request in a row. Raises :class:`JournalError` if it is damaged."""
    if column := _find_damage(row):
        number = row["number"]
        hint = f"a worker ends it as failed if it waits or runs; then: ztrust-mail requests {number} --retry"
        raise JournalError(_damage(number, column), hint, RULE)
    values = {name: value for name, value in row.items() if name != "request_key"}
    times = {name: time_if_any(row[name]) for name in _TIMES}
    state, is_cancelled = RequestState(row["state"]), bool(row["is_cancelled"])
    return StoredRequest(**{**values, **times, "key": row["request_key"], "state": state, "is_cancelled": is_cancelled})


def _readable(rows: Iterable[Row]) -> list[StoredRequest]:
    return [request_of(row) for row in rows if not _find_damage(row)]


_TIMES: Final = ("submitted", "due", "started", "ended")
_NUMBERS: Final = ("number", "priority", "attempts", "is_cancelled", "exit_status")
_MAY_BE_MISSING: Final = ("started", "ended", "exit_status")


def _find_damage(row: Row) -> str:
    """Return the first column of a row that does not hold what this program writes there, empty if all do."""
    return next((name for name, value in row.items() if not _is_readable(name, value)), "")


def _is_readable(column: str, value: object) -> bool:
    if value is None:
        return column in _MAY_BE_MISSING
    if column in _NUMBERS:
        return isinstance(value, int) and (column != "attempts" or 0 <= value < LARGEST_INTEGER)
    if column == "state":
        return value in [*RequestState]
    if column not in _TIMES:
        return isinstance(value, str)
    try:
        return isinstance(value, str | datetime) and bool(time_of(value))
    except (ValueError, OverflowError):
        return False


def _damage(number: int, column: str) -> str:
    return f"the journal is damaged at request {number}: `{column}` cannot be read"
