"""The location of a journal, by its URL, and the interface of each kind of database."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, quote, unquote

from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.journal.errors import RULE

SCHEMES: Final = ("postgresql", "postgresql+psycopg")

_URL: Final = re.compile(
    r"""
    (?P<scheme> [\w+]+ ) ://
    (?: (?P<user> [^:/]* ) (?: : (?P<password> [^@]* ) )? @ )?
    (?: \[ (?P<ipv6> [^/?]+ ) \] | (?P<name> [^/:?]+ ) )?
    (?: : (?P<port> [0-9]* ) )?
    (?: / (?P<database> [^?]* ) )?
    (?: \? (?P<query> .* ) )?
    """,
    re.VERBOSE,
)
_HOST_AND_PORT: Final = re.compile(r"([\w.-]+):(\d+)")


@dataclass(frozen=True)
class PostgresqlUrl:
    """The parts of a URL. ``hosts`` are the ``host`` parameters as written, each possibly with a port."""

    scheme: str
    host: str
    port: str
    database: str
    hosts: Sequence[str]
    login: Mapping[str, str] = field(repr=False)
    options: Mapping[str, str] = field(repr=False)

    @property
    def description(self) -> str:
        """The database as messages name it, without login."""
        host = self.host or ", ".join(self.hosts) or "localhost"
        port = f":{self.port}" if self.port else ""
        return f"{quoted(self.database)} at {printable(host)}{port}"

    def connection_arguments(self) -> dict[str, str]:
        """Return the connection parameters of libpq. A parameter of the query wins over the same part of the URL."""
        parts = {"host": self.host, "port": self.port, "dbname": self.database}
        arguments = {**self.login, **{name: value for name, value in parts.items() if value}, **self.options}
        if self.hosts:
            pairs = [_split_port(host) for host in self.hosts]
            arguments["host"] = ",".join(host for host, _ in pairs)
            if any(port for _, port in pairs):
                arguments["port"] = ",".join(port for _, port in pairs)
        return arguments


def parse_url(url: Secret) -> PostgresqlUrl:
    """Return a database URL in its parts. Raises :class:`JournalError` without quoting the URL."""
    match = _URL.fullmatch(url.reveal())
    if match is None:
        hint = "write sqlite:////folder/journal.sqlite3 or postgresql://user:password@host/database"
        raise JournalError("the journal's URL cannot be read", hint, RULE)
    query = parse_qsl(match["query"] or "")
    login = {name: unquote(match[name]) for name in ("user", "password") if match[name]}
    return PostgresqlUrl(
        scheme=match["scheme"],
        host=match["ipv6"] or match["name"] or "",
        port=match["port"] or "",
        database=unquote(match["database"] or ""),
        hosts=[value for name, value in query if name == "host"],
        login=login,
        options={name: value for name, value in query if name != "host"},
    )


def _split_port(host: str) -> tuple[str, str]:
    match = _HOST_AND_PORT.fullmatch(host)
    return (match[1], match[2]) if match else (host, "")


FILE_NAME: Final = "journal.sqlite3"
BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for another program that is writing to the same journal."""


@dataclass(frozen=True)
class JournalLocation:
    """The location of a journal: a file, or a database whose URL may contain a password.

    ``usual`` marks the default place in the user's state folder. Its folder is created when it is missing.
    """

    file: Path | None = None
    url: Secret | None = None
    usual: bool = False

    @property
    def is_there(self) -> bool:
        """Whether the file exists. Always true for a database: only a query can tell. Raises :class:`JournalError`."""
        try:
            return self.file is None or bool(self.file.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as e:
            raise self.cannot_open(e) from None

    def cannot_open(self, e: OSError) -> JournalError:
        """Return the error for a file that cannot be opened or created."""
        hint = "check the rights of its folder, or name another journal"
        return JournalError(f"{self.where} cannot be opened: {e.strerror}", hint, RULE)

    @property
    def where(self) -> str:
        """The journal as messages name it, without login."""
        if self.url:
            return f"the journal in the PostgreSQL database {parse_url(self.url).description}"
        return f"the journal {quoted(self.file or '', 200)}"


def location_of(url: Secret | None) -> JournalLocation:
    """Return the location that a URL names; the user's state folder without one. Raises :class:`JournalError`."""
    if url is None:
        import platformdirs

        return JournalLocation(
            Path(platformdirs.user_state_dir("ztrust-mail", appauthor=False)) / FILE_NAME, usual=True
        )
    if url.reveal().startswith("sqlite:"):
        return JournalLocation(_file_of(url))
    if url.reveal().count("@") > 1:  # what follows the first @ may be the end of a password, so it must not be shown
        hint = "write %40 for an @ in a user name or password"
        raise JournalError("the journal's URL holds more than one @", hint, RULE)
    scheme = parse_url(url).scheme
    if scheme not in SCHEMES:
        message = f"a journal cannot be stored in {quoted(scheme)}"
        raise JournalError(message, "use a URL that begins with sqlite:/// or postgresql://", RULE)
    return JournalLocation(url=url)


def _file_of(url: Secret) -> Path:
    before, _, path = url.reveal().partition("sqlite:///")
    if before or path in ("", ":memory:") or "?" in path:
        raise JournalError("the journal's URL names no file", "write sqlite:////folder/journal.sqlite3", RULE)
    return Path(unquote(path))


def file_url(file: Path, *, writable: bool, immutable: bool = False) -> str:
    """Return the URL by which SQLite opens a file of any name.

    ``immutable`` reads only the file, without the write-ahead log and without locks.
    """
    mode = "rw" if writable else "ro"
    return f"file:{quote(str(file.absolute()))}?mode={mode}{'&immutable=1' if immutable else ''}"


Value = str | int | datetime | None
Row = Mapping[str, Any]  # values as the driver returns them; records.py checks each one


class Transaction(Protocol):
    """Statements that take effect together or not at all. Named parameters are written ``:name``."""

    def query(self, sql: str, /, **values: Value) -> list[Row]:
        """Return the rows that a statement finds."""
        ...

    def execute(self, sql: str, /, *several: Mapping[str, Value]) -> int:
        """Run a statement once for each set of values, or once without any; return the number of changed rows."""
        ...

    def now(self) -> datetime:
        """Return the time by the clock shared by all users of the journal."""
        ...

    def tables(self) -> set[str]:
        """Return the names of the existing tables."""
        ...


class Database(ABC):
    """An existing database. May be used by several threads."""

    is_shared: bool
    """Whether the database may also hold tables of other programs."""

    column_types: Mapping[str, str]
    """What migrations write as ``$name`` because the databases spell it differently."""

    def __init__(self, where: str, *, writable: bool) -> None:
        self.where = where
        self.writable = writable

    @abstractmethod
    def reading(self) -> AbstractContextManager[Transaction]:
        """Open a transaction for reading. Raises :class:`JournalError`."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that is committed to disk at its end, all or nothing. Raises :class:`JournalError`."""

    @abstractmethod
    def migrating(self) -> AbstractContextManager[Transaction]:
        """Open a transaction as :meth:`writing` does; only one program at a time gets one."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""
