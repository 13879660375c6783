"""A journal in a file, by the standard library's sqlite3: importing SQLAlchemy takes longer than all that is asked."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ztrust_mail.core.errors import JournalError
from ztrust_mail.journal.database import BUSY_TIMEOUT, Database, Row, Transaction, Value, file_url
from ztrust_mail.journal.errors import RULE, told

if TYPE_CHECKING:
    import sqlalchemy

SWITCH_TIMEOUT, _SWITCH_PAUSE = 10.0, 0.05

_TO_READ, _TO_WRITE = "BEGIN", "BEGIN IMMEDIATE"
"""A transaction that reads before it writes would fail, without waiting, when another has written meanwhile."""

_TIME: Final = "%Y-%m-%d %H:%M:%S.%f"


class SqliteDatabase(Database):
    """An SQLite file. Each thread at work has a connection of its own, which the next one takes over."""

    is_shared = False

    def __init__(self, file: Path, where: str, *, writable: bool, immutable: bool = False) -> None:
        super().__init__(where, writable=writable)
        self._file = file
        self._immutable = immutable
        self._idle: list[sqlite3.Connection] = []
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """See :meth:`Database.reading`."""
        with self._transaction(_TO_READ) as transaction:
            yield transaction

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """See :meth:`Database.writing`."""
        with self._transaction(_TO_WRITE) as transaction:
            yield transaction

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        with told(self.where):
            connection = self._connection()
            try:
                connection.execute(begin)
                self._check_place()
                yield SqliteTransaction(connection)
                connection.commit()
            finally:
                connection.rollback()  # of what did not come to its end
                self._idle.append(connection)

    def _check_place(self) -> None:
        """Raise :class:`JournalError` where the file is no longer the one that was opened: nobody would find it."""
        try:
            found = self._file.stat()
        except OSError:
            found = None
        here = found and (found.st_dev, found.st_ino)
        self._identity = self._identity or here
        if not here or here != self._identity:
            hint = "put it back and use apply --resume; without it, plan shows what is left to do"
            raise JournalError(f"{self.where} was taken away or replaced meanwhile", hint, RULE)

    def _connection(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return opened(self._file, writable=self.writable, immutable=self._immutable)

    @contextmanager
    def migrating(self) -> Iterator[tuple[Transaction, sqlalchemy.Connection]]:
        """See :meth:`Database.migrating`."""
        from sqlalchemy import NullPool, create_engine, event

        from ztrust_mail.journal.postgresql import told_by_sqlalchemy

        with told(self.where), told_by_sqlalchemy(self.where):
            connection = opened(self._file, writable=True)
            engine = create_engine("sqlite://", creator=lambda: connection, poolclass=NullPool, hide_parameters=True)
            event.listen(engine, "begin", lambda begun: begun.exec_driver_sql(_TO_WRITE))
            with engine.begin() as for_alembic:
                yield SqliteTransaction(connection), for_alembic

    def close(self) -> None:
        """See :meth:`Database.close`."""
        while self._idle:
            self._idle.pop().close()


class SqliteTransaction(Transaction):
    """What is said to an SQLite file between ``BEGIN`` and its end; times are kept as text, in UTC."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def ask(self, sql: str, /, **values: Value) -> list[Row]:
        """See :meth:`Transaction.ask`."""
        answer = self._connection.execute(sql, _kept(values))
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer]

    def do(self, sql: str, /, *several: Mapping[str, Value]) -> int:
        """See :meth:`Transaction.do`."""
        if not several:
            return self._connection.execute(sql).rowcount
        return self._connection.executemany(sql, map(_kept, several)).rowcount

    def now(self) -> datetime:
        """See :meth:`Transaction.now`: whoever shares a file has this machine's clock."""
        return datetime.now(UTC)

    def tables(self) -> set[str]:
        """See :meth:`Transaction.tables`."""
        found = self.ask("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row["name"] for row in found if not row["name"].startswith("sqlite_")}


def _kept(values: Mapping[str, Value]) -> dict[str, str | int | None]:
    return {
        name: f"{value.astimezone(UTC):{_TIME}}" if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def opened(file: Path, *, writable: bool, immutable: bool = False) -> sqlite3.Connection:
    """Return a connection to a file that is there, for any thread. Raises :class:`sqlite3.Error`."""
    name = file_url(file, writable=writable, immutable=immutable)
    # Without an isolation level the driver begins no transactions of its own, which leave schema changes out.
    connection = sqlite3.connect(name, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        if writable:
            _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on a Mac only this reaches the disk itself
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to write-ahead logging; two that do so at once get no busy timeout from SQLite."""
    end = time.monotonic() + SWITCH_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        _pause(_SWITCH_PAUSE)


_pause: Callable[[float], object] = threading.Event().wait
