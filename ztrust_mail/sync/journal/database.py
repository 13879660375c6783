"""Where a journal lives: an SQLite file or a PostgreSQL database, and how each is talked to."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import URL, ColumnElement, Connection, DateTime, Engine, create_engine, event, func

from ztrust_mail.errors import JournalError
from ztrust_mail.sync.journal.failures import told
from ztrust_mail.sync.journal.place import BUSY_TIMEOUT, POSTGRESQL, Place, file_url, parsed
from ztrust_mail.sync.journal.records import RULE

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

SWITCH_TIMEOUT, _SWITCH_PAUSE = 10.0, 0.05

_WRITES: Final = "ztrust_mail_writes"
_CONNECT: Final = {"connect_timeout": "10", "tcp_user_timeout": "15000", "application_name": "ztrust-mail"}
LIMITS: Final = (
    "SET SESSION statement_timeout = '60s'",
    "SET SESSION lock_timeout = '10s'",
    "SET SESSION idle_in_transaction_session_timeout = '60s'",
)
"""A server that hangs, or the transaction of a machine that is gone, holds nobody up for longer."""

Moment = ColumnElement[datetime] | datetime


def local_clock() -> datetime:
    """Return this machine's time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Database:
    """A database that is there. May be used by several threads; ``clock`` stands in where the database has none."""

    where: str
    engine: Engine
    writable: bool = True
    clock: Callable[[], datetime] = local_clock

    @property
    def is_postgresql(self) -> bool:
        """Whether this is PostgreSQL, else it is SQLite."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database. Raises :class:`JournalError`."""
        with told(self.where), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose work is durable, all or nothing, at the end. Raises :class:`JournalError`."""
        to_write = {_WRITES: True}
        with told(self.where), self.engine.connect() as connection, connection.execution_options(**to_write).begin():
            yield connection

    def now(self, later: float = 0.0) -> Moment:
        """Return the time of the clock that all users of the journal share, or ``later`` seconds after that."""
        now: Moment = func.clock_timestamp(type_=DateTime(timezone=True)) if self.is_postgresql else self.clock()
        return now + timedelta(seconds=later)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def connect(place: Place, *, writable: bool, immutable: bool = False) -> Database:
    """Return the database at a place, without a look at what it holds. Raises :class:`JournalError`.

    ``immutable`` reads a file as it is, where nothing can be put beside it.
    """
    if place.file:
        return Database(place.where, _sqlite(place.file, writable=writable, immutable=immutable), writable)
    return Database(place.where, _postgresql(place, writable=writable), writable)


def _sqlite(file: Path, *, writable: bool, immutable: bool) -> Engine:
    name = file_url(file, writable=writable, immutable=immutable)
    engine = create_engine(
        URL.create("sqlite", database=name, query={"uri": "true"}),
        connect_args={"timeout": BUSY_TIMEOUT},
        hide_parameters=True,
    )
    if writable:
        event.listen(engine, "connect", _use_wal)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # the driver's own transactions leave schema changes out
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # on a Mac only this reaches the disk itself
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    """Switch a new file to write-ahead logging; two that do so at once get no busy timeout from SQLite."""
    assert isinstance(connection, sqlite3.Connection)
    end = time.monotonic() + SWITCH_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        _pause(_SWITCH_PAUSE)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads before it writes would fail, without waiting, when another has written meanwhile.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(place: Place, *, writable: bool) -> Engine:
    url = parsed(place.url).set(drivername=POSTGRESQL)
    arguments = {name: value for name, value in _CONNECT.items() if name not in url.query}
    try:
        engine = create_engine(
            url,
            connect_args={**arguments, "client_encoding": "utf8", "prepare_threshold": None},
            pool_pre_ping=True,  # a connection may have been closed by a restart or a firewall
            hide_parameters=True,
        )
    except ImportError:
        hint = "install it with: pip install 'ztrust-mail[postgresql]'"
        raise JournalError(f"{place.where} needs psycopg, which is not installed", hint, RULE) from None
    event.listen(engine, "connect", _prepare_postgresql)
    return engine if writable else engine.execution_options(postgresql_readonly=True)


def _prepare_postgresql(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for limit in LIMITS:
        cursor.execute(limit)
    cursor.close()
    connection.commit()
