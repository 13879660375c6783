"""A journal in a PostgreSQL database that a team shares, by SQLAlchemy and psycopg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DataError, SQLAlchemyError

from ztrust_mail.core.errors import JournalError
from ztrust_mail.journal.database import POSTGRESQL, Database, JournalLocation, Row, Transaction, Value, parsed
from ztrust_mail.journal.errors import RULE, journal_error, unkeepable

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

_CONNECT: Final = {"connect_timeout": "10", "tcp_user_timeout": "15000", "application_name": "ztrust-mail"}
LIMITS: Final = (
    "SET SESSION statement_timeout = '60s'",
    "SET SESSION lock_timeout = '10s'",
    "SET SESSION idle_in_transaction_session_timeout = '60s'",
)
"""A server that hangs, or the transaction of a machine that is gone, holds nobody up for longer."""

_ONE_AT_A_TIME: Final = 0x7A74727573746D61  # "ztrustma": the name of a lock in a PostgreSQL database


class PostgresqlDatabase(Database):
    """A PostgreSQL database."""

    is_shared = True

    def __init__(self, place: JournalLocation, *, writable: bool) -> None:
        super().__init__(place.where, writable=writable)
        self._engine = _engine(place, writable=writable)

    @contextmanager
    def _transaction(self) -> Iterator[PostgresqlTransaction]:
        with told_by_sqlalchemy(self.where), self._engine.connect() as connection, connection.begin():
            yield PostgresqlTransaction(connection, self.where)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """See :meth:`Database.reading`."""
        with self._transaction() as transaction:
            yield transaction

    writing = reading

    @contextmanager
    def migrating(self) -> Iterator[tuple[Transaction, Connection]]:
        """See :meth:`Database.migrating`."""
        with self._transaction() as transaction:
            transaction.ask("SELECT pg_advisory_xact_lock(:lock)", lock=_ONE_AT_A_TIME)
            yield transaction, transaction.connection

    def close(self) -> None:
        """See :meth:`Database.close`."""
        self._engine.dispose()


class PostgresqlTransaction(Transaction):
    """What is said to a PostgreSQL database in one transaction."""

    def __init__(self, connection: Connection, where: str) -> None:
        self.connection = connection
        self._where = where

    def ask(self, sql: str, /, **values: Value) -> list[Row]:
        """See :meth:`Transaction.ask`."""
        return [dict(row) for row in self.connection.execute(text(sql), values).mappings()]

    def do(self, sql: str, /, *several: Mapping[str, Value]) -> int:
        """See :meth:`Transaction.do`."""
        return self.connection.execute(text(sql), several or None).rowcount

    def now(self) -> datetime:
        """See :meth:`Transaction.now`: it is the database's."""
        now: datetime = self.connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now.astimezone(UTC)

    def tables(self) -> set[str]:
        """See :meth:`Transaction.tables`. Raises :class:`JournalError` where no schema is to be seen."""
        if self.ask("SELECT current_schema() AS name")[0]["name"] is None:
            hint = "grant it USAGE on the journal's schema, or name another with ?options=-csearch_path%3DNAME"
            raise JournalError(f"{self._where} cannot be used: this account may see no schema", hint, RULE)
        found = self.ask("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return {row["tablename"] for row in found}


@contextmanager
def told_by_sqlalchemy(where: str) -> Iterator[None]:
    """Raise what SQLAlchemy says of a database as :class:`JournalError`; ``where`` names the journal."""
    try:
        yield
    except (DataError, UnicodeError):
        raise unkeepable(where) from None
    except SQLAlchemyError as e:
        raise journal_error(where, getattr(e, "orig", None)) from None


def _engine(place: JournalLocation, *, writable: bool) -> Engine:
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
    event.listen(engine, "connect", _prepare)
    return engine if writable else engine.execution_options(postgresql_readonly=True)


def _prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for limit in LIMITS:
        cursor.execute(limit)
    cursor.close()
    connection.commit()
