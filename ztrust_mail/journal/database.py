"""What the journal needs of a database, whichever it is: transactions in which SQL is spoken, and a clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, unquote

from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.journal.errors import RULE

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy import URL

FILE_NAME: Final = "journal.sqlite3"
BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for another program that is writing to the same journal."""

POSTGRESQL: Final = "postgresql+psycopg"


@dataclass(frozen=True)
class JournalLocation:
    """Where a journal lies: a file, or else a URL, which may hold a password.

    ``usual`` says that nobody named the place: its folder is made where it is not there.
    """

    file: Path | None = None
    url: Secret | None = None
    usual: bool = False

    @property
    def is_there(self) -> bool:
        """Whether its file is there; of a database nobody knows before it is asked. Raises :class:`JournalError`."""
        try:
            return self.file is None or bool(self.file.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as e:
            raise self.closed(e) from None

    def closed(self, e: OSError) -> JournalError:
        """Return what to raise where its file cannot be opened or made."""
        hint = "check the rights of its folder, or name another journal"
        return JournalError(f"{self.where} cannot be opened: {e.strerror}", hint, RULE)

    @property
    def where(self) -> str:
        """The journal as messages name it, without login."""
        if self.file:
            return f"the journal {quoted(self.file, 200)}"
        url = parsed(self.url)
        host = url.host or url.query.get("host") or "localhost"
        at = host if isinstance(host, str) else ", ".join(host)
        port = f":{url.port}" if url.port else ""
        return f"the journal in the PostgreSQL database {quoted(url.database or '')} at {printable(at)}{port}"


def location_of(url: Secret | None) -> JournalLocation:
    """Return the place a URL names, in the user's state folder without one. Raises :class:`JournalError`."""
    if url is None:
        import platformdirs

        return JournalLocation(
            Path(platformdirs.user_state_dir("ztrust-mail", appauthor=False)) / FILE_NAME, usual=True
        )
    if url.reveal().startswith("sqlite:"):
        return JournalLocation(_file_of(url))
    if url.reveal().count("@") > 1:  # what follows the first may be the end of a password: it is no host to ask or show
        hint = "write %40 for an @ in a user name or password"
        raise JournalError("the journal's URL holds an @ too many", hint, RULE)
    driver = parsed(url).drivername
    if driver in ("postgresql", POSTGRESQL):
        return JournalLocation(url=url)
    message = f"a journal cannot be kept in {quoted(driver)}"
    raise JournalError(message, "its URL begins with sqlite:/// or postgresql://", RULE)


def _file_of(url: Secret) -> Path:
    before, _, path = url.reveal().partition("sqlite:///")
    if before or path in ("", ":memory:") or "?" in path:
        raise JournalError("the journal's URL names no file", "write sqlite:////folder/journal.sqlite3", RULE)
    return Path(unquote(path))


def parsed(url: Secret | None) -> URL:
    """Return a database's URL in its parts. Raises :class:`JournalError`."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url.reveal() if url else "")
    except (ArgumentError, ValueError):
        hint = "write sqlite:////folder/journal.sqlite3 or postgresql://user:password@host/database"
        raise JournalError("the journal's URL cannot be read", hint, RULE) from None


def file_url(file: Path, *, writable: bool, immutable: bool = False) -> str:
    """Return the URL by which SQLite opens a file, whatever its name; ``immutable`` reads it as it lies there."""
    mode = "rw" if writable else "ro"
    return f"file:{quote(str(file.absolute()))}?mode={mode}{'&immutable=1' if immutable else ''}"


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
