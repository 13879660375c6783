"""A journal in a PostgreSQL database that a team shares."""

import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg.abc import Buffer
from psycopg.rows import DictRow, dict_row
from psycopg.types.datetime import TimestamptzLoader

from ztrust_mail.core.errors import JournalError
from ztrust_mail.journal.database import Database, PostgresqlUrl, Row, Transaction, Value
from ztrust_mail.journal.errors import RULE, journal_error, unstorable_name

_CONNECT: Final = {"connect_timeout": "10", "tcp_user_timeout": "15000", "application_name": "ztrust-mail"}
LIMITS: Final = (
    "SET SESSION statement_timeout = '60s'",
    "SET SESSION lock_timeout = '10s'",
    "SET SESSION idle_in_transaction_session_timeout = '60s'",
)
"""Bound how long a hanging server, or the open transaction of a machine that is gone, blocks others."""

ANSWER_TIMEOUT: Final = 15.0
"""How many seconds a new connection may take for its first answer. A pooler without a free session gives none."""

_MIGRATION_LOCK: Final = 0x7A74727573746D61  # "ztrustma" as a number: the key of a PostgreSQL advisory lock

_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")

_Connection = psycopg.Connection[DictRow]


class PostgresqlDatabase(Database):
    """A PostgreSQL database. Each transaction uses an idle connection, or opens one."""

    is_shared = True
    column_types: Mapping[str, str] = {"auto_number": "SERIAL PRIMARY KEY", "time": "TIMESTAMP WITH TIME ZONE"}

    def __init__(
        self,
        url: PostgresqlUrl,
        where: str,
        *,
        writable: bool,
        limits: Sequence[str] = LIMITS,
        patience: float = ANSWER_TIMEOUT,
    ) -> None:
        super().__init__(where, writable=writable)
        self._patience = patience
        self._url = url
        self._limits = "; ".join(limits)
        self._idle: list[_Connection] = []

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with _translate_errors(self.where):
            connection = self._begin()
            try:
                yield PostgresqlTransaction(connection, self.where)
                connection.commit()
            finally:
                self._release(connection)

    def _begin(self) -> _Connection:
        """Return a connection with a new transaction; replace idle ones that a restart or a firewall has cut."""
        begin = b"BEGIN" if self.writable else b"BEGIN READ ONLY"
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                break
            try:
                connection.execute(begin)
            except psycopg.OperationalError:
                connection.close()
            else:
                return connection
        connection = self._connect()
        connection.execute(begin)
        return connection

    def _connect(self) -> _Connection:
        connection = psycopg.connect(
            **{**_CONNECT, **self._url.connection_arguments(), "client_encoding": "utf8"},  # type: ignore[arg-type]
            autocommit=True,  # _begin starts the transactions
            prepare_threshold=None,  # a connection pooler may serve each transaction by another session
            row_factory=dict_row,
        )
        try:
            with _cut_if_late(connection, self._patience):
                connection.execute(self._limits.encode())
        except BaseException:
            connection.close()
            raise
        return connection

    def _release(self, connection: _Connection) -> None:
        """Roll back what was not committed, and keep the connection if it still works."""
        try:
            connection.rollback()
        except psycopg.Error:
            connection.close()
        else:
            self._idle.append(connection)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._transaction() as transaction:
            yield transaction

    writing = reading

    @contextmanager
    def migrating(self) -> Iterator[Transaction]:
        with self._transaction() as transaction:
            transaction.query("SELECT pg_advisory_xact_lock(:key)", key=_MIGRATION_LOCK)
            yield transaction

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


@contextmanager
def _cut_if_late(connection: _Connection, seconds: float) -> Iterator[None]:
    """Cut a connection that gives no answer in time: raises the error of a server that has no free connection."""
    is_late = threading.Event()

    def cut() -> None:
        is_late.set()
        link = socket.socket(fileno=connection.pgconn.socket)
        try:
            link.shutdown(socket.SHUT_RDWR)
        finally:
            link.detach()  # it belongs to the connection

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.OperationalError:
        if is_late.is_set():
            raise psycopg.errors.TooManyConnections from None
        raise
    finally:
        timer.cancel()
        timer.join()


class PostgresqlTransaction(Transaction):
    """A transaction in a PostgreSQL database."""

    def __init__(self, connection: _Connection, where: str) -> None:
        self._connection = connection
        self._where = where

    @property
    def connection(self) -> _Connection:
        """The connection that the transaction is on, for statements of a library."""
        return self._connection

    def query(self, sql: str, /, **values: Value) -> list[Row]:
        arguments = (_to_psycopg(sql), values) if values else (sql.encode(),)
        found = self._connection.execute(*arguments)
        try:
            return [*found]
        except psycopg.DataError:
            with self._connection.cursor() as patient:
                patient.adapters.register_loader("timestamptz", _TimeOrText)
                return [*patient.execute(*arguments)]

    def execute(self, sql: str, /, *several: Mapping[str, Value]) -> int:
        if not several:
            return self._connection.execute(sql.encode()).rowcount
        with self._connection.cursor() as cursor:
            cursor.executemany(_to_psycopg(sql), several)
            return cursor.rowcount

    def now(self) -> datetime:
        """Return the clock of the database server."""
        [row] = self.query("SELECT clock_timestamp() AS now")
        now: datetime = row["now"]
        return now.astimezone(UTC)

    def tables(self) -> set[str]:
        """Return the names of the tables. Raises :class:`JournalError` if the account may use no schema."""
        if self.query("SELECT current_schema() AS name")[0]["name"] is None:
            hint = "grant it USAGE on the journal's schema, or name another with ?options=-csearch_path%3DNAME"
            raise JournalError(f"{self._where} cannot be used: this account may see no schema", hint, RULE)
        found = self.query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return {row["tablename"] for row in found}


class _TimeOrText(TimestamptzLoader):
    """Loads a time that Python has no value for, such as infinity, as text, so that its row can be read."""

    def load(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            return bytes(data).decode()  # type: ignore[return-value]  # records.py checks it


def _to_psycopg(sql: str) -> bytes:
    """Return a statement with its parameters written as psycopg wants them."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")).encode()


@contextmanager
def _translate_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.DataError, UnicodeError):
        raise unstorable_name(where) from None
    except psycopg.Error as e:
        raise journal_error(where, e) from None
