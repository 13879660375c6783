"""What the journal needs of a database, whichever it is: transactions in which SQL is spoken, and a clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ztrust_mail.sync.journal.place import Place

if TYPE_CHECKING:
    import sqlalchemy

Value = str | int | datetime | None
Row = Mapping[str, Any]  # as databases give it: whoever makes a record of it looks at every value


class Transaction(Protocol):
    """Statements that count together, or not at all. A named parameter stands as ``:name`` in them."""

    def ask(self, sql: str, /, **values: Value) -> list[Row]:
        """Return the rows of an answer."""
        ...

    def do(self, sql: str, /, *several: Mapping[str, Value]) -> int:
        """Run a statement once for each set of values, or once without any; return how many rows that changed."""
        ...

    def now(self) -> datetime:
        """Return the time of the clock that all users of the journal share."""
        ...

    def tables(self) -> set[str]:
        """Return the names of the tables that are there."""
        ...


class Database(ABC):
    """A database that is there. May be used by several threads."""

    is_shared: bool
    """Whether other programs' tables may lie beside the journal's."""

    def __init__(self, where: str, *, writable: bool) -> None:
        self.where = where
        self.writable = writable

    @abstractmethod
    def reading(self) -> AbstractContextManager[Transaction]:
        """Give a transaction that sees one state of the database. Raises :class:`JournalError`."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Transaction]:
        """Give a transaction that is durable, all or nothing, at its end. Raises :class:`JournalError`."""

    @abstractmethod
    def migrating(self) -> AbstractContextManager[tuple[Transaction, sqlalchemy.Connection]]:
        """Give a transaction as :meth:`writing` does, also as Alembic needs it; only one program has it at a time."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


def connect(place: Place, *, writable: bool, immutable: bool = False) -> Database:
    """Return the database at a place, without a look at what it holds. Raises :class:`JournalError`.

    ``immutable`` reads a file as it is, where nothing can be put beside it.
    """
    if place.file:
        from ztrust_mail.sync.journal.sqlite import SqliteDatabase

        return SqliteDatabase(place.file, place.where, writable=writable, immutable=immutable)
    from ztrust_mail.sync.journal.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(place, writable=writable)


@contextmanager
def connected(place: Place, *, writable: bool) -> Iterator[Database]:
    """Give the database at a place and close it."""
    database = connect(place, writable=writable)
    try:
        yield database
    finally:
        database.close()
