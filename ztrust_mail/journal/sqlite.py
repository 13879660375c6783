"""A journal in a SQLite file."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ztrust_mail.core.errors import JournalError
from ztrust_mail.journal.database import BUSY_TIMEOUT, Database, Row, Transaction, Value, file_url
from ztrust_mail.journal.errors import RULE, journal_error, unstorable_name

_SWITCH_PAUSE = 0.05

_TO_READ, _TO_WRITE = "BEGIN", "BEGIN IMMEDIATE"
"""A transaction that reads first would fail immediately, without waiting, if another program wrote meanwhile."""

_TIME: Final = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True)
class Patience:
    """How long to wait for another program that uses the file, and that creates it, in seconds."""

    busy: float = BUSY_TIMEOUT
    switch: float = 10.0
    pause: Callable[[float], object] = threading.Event().wait


_PATIENCE = Patience()


class SqliteDatabase(Database):
    """A SQLite file. Each transaction uses an idle connection, or opens one."""

    is_shared = False
    column_types: Mapping[str, str] = {"auto_number": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "time": "DATETIME"}

    def __init__(
        self, file: Path, where: str, *, writable: bool, immutable: bool = False, patience: Patience = _PATIENCE
    ) -> None:
        super().__init__(where, writable=writable)
        self._patience = patience
        self._file = file
        self._immutable = immutable
        self._idle: list[sqlite3.Connection] = []
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._transaction(_TO_READ) as transaction:
            yield transaction

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self._transaction(_TO_WRITE) as transaction:
            yield transaction

    migrating = writing  # BEGIN IMMEDIATE keeps other writers out

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        with _translate_errors(self.where):
            connection = self._connect()
            try:
                connection.execute(begin)
                self._check_file()
                yield SqliteTransaction(connection)
                connection.commit()
            finally:
                connection.rollback()  # does nothing after a commit
                self._idle.append(connection)

    def _check_file(self) -> None:
        """Raise :class:`JournalError` if the file was removed or replaced since it was opened: writes would be lost."""
        try:
            status = self._file.stat()
        except OSError:
            status = None
        identity = status and (status.st_dev, status.st_ino)
        self._identity = self._identity or identity
        if not identity or identity != self._identity:
            hint = "put it back, then run ztrust-mail apply --resume; without it, plan shows what is left to do"
            raise JournalError(f"{self.where} was removed or replaced while it was in use", hint, RULE)

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return open_file(self._file, writable=self.writable, immutable=self._immutable, patience=self._patience)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class SqliteTransaction(Transaction):
    """A transaction in a SQLite file. Times are stored as text, in UTC."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def query(self, sql: str, /, **values: Value) -> list[Row]:
        cursor = self._connection.execute(sql, _to_sqlite(values))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def execute(self, sql: str, /, *several: Mapping[str, Value]) -> int:
        if not several:
            return self._connection.execute(sql).rowcount
        return self._connection.executemany(sql, map(_to_sqlite, several)).rowcount

    def now(self) -> datetime:
        """Return the clock of this machine, which all users of a file share."""
        return datetime.now(UTC)

    def tables(self) -> set[str]:
        found = self.query("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row["name"] for row in found if not row["name"].startswith("sqlite_")}


def _to_sqlite(values: Mapping[str, Value]) -> dict[str, str | int | None]:
    return {
        name: f"{value.astimezone(UTC):{_TIME}}" if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def open_file(
    file: Path, *, writable: bool, immutable: bool = False, patience: Patience = _PATIENCE
) -> sqlite3.Connection:
    """Return a connection to an existing file, usable from any thread. Raises :class:`sqlite3.Error`."""
    name = file_url(file, writable=writable, immutable=immutable)
    # Without an isolation level the driver starts no transactions, which would not include schema changes.
    connection = sqlite3.connect(name, uri=True, timeout=patience.busy, isolation_level=None, check_same_thread=False)
    try:
        if writable:
            _use_wal(connection, patience)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on macOS only this flushes the disk's own cache
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, patience: Patience) -> None:
    """Switch a new file to write-ahead logging. SQLite's busy timeout does not cover two programs doing so at once."""
    end = time.monotonic() + patience.switch
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        patience.pause(_SWITCH_PAUSE)


@contextmanager
def _translate_errors(where: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError:
        raise unstorable_name(where) from None
    except sqlite3.Error as e:
        raise journal_error(where, e) from None
