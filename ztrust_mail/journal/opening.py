"""Opens a journal: creates or migrates its schema, and refuses a newer journal or another program's database."""

import os
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import JournalError, install_hint
from ztrust_mail.core.text import quoted
from ztrust_mail.journal import queries, sqlite
from ztrust_mail.journal.database import Database, JournalLocation, Transaction, parse_url
from ztrust_mail.journal.errors import RULE, not_a_journal
from ztrust_mail.journal.sqlite import SqliteDatabase


class NewerJournal(JournalError):
    """The journal was migrated by a newer version of this program, which this one must not work with."""


VERSIONS: Final = ("0001", "0002", "0003", "0004")
"""All versions of the schema, oldest first. Each has a file in ``migrations``; a published one never changes."""

HEAD: Final = VERSIONS[-1]

SALT, WRITTEN_BY, QUEUE = "salt", "written_by", "queue"
"""Names in ``meta``: the salt of the fingerprints, as hex digits, the program that made or migrated the journal, and
the version of the tables of the queue, if there are any."""

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


SALT_SIZE: Final = 32


def new_salt() -> bytes:
    """Return a salt for a new journal."""
    return secrets.token_bytes(SALT_SIZE)


@dataclass(frozen=True)
class SchemaState:
    """The metadata of a journal."""

    version: str
    salt: bytes


def read_state(transaction: Transaction, database: Database) -> SchemaState | None:
    """Return the state of a journal, None if the database is empty. Raises :class:`JournalError`."""
    where, names = database.where, transaction.tables()
    if queries.VERSIONS_TABLE not in names:
        if names & queries.TABLES if database.is_shared else names:
            raise _foreign_error(where)
        return None
    if "meta" not in names:
        raise _foreign_error(where)
    version = check_version(transaction, where)
    meta = _meta(transaction)
    try:
        return SchemaState(version, bytes.fromhex(meta[SALT]))
    except (KeyError, ValueError):
        raise _damage_error(where, "its salt") from None


def check_version(transaction: Transaction, where: str) -> str:
    """Return the version of the schema. Raises :class:`NewerJournal`, also if it was migrated while it was open."""
    versions: list[str] = [row["version_num"] for row in transaction.query(queries.VERSION)]
    if len(versions) != 1:
        raise _damage_error(where, "its schema version")
    if versions[0] not in VERSIONS:
        program = quoted(f"ztrust-mail {_meta(transaction).get(WRITTEN_BY, '')}".strip())
        message = f"{where} was written by {program}, which is newer than this ztrust-mail {__version__}"
        raise NewerJournal(message, "update this one, or name another journal", RULE)
    return versions[0]


def _meta(transaction: Transaction) -> dict[str, str]:
    return {row["name"]: row["value"] for row in transaction.query(queries.META)}


def migrate(database: Database, to: str = HEAD) -> None:
    """Create the tables of an empty database, or update old ones. Raises :class:`JournalError`.

    Each step is one transaction that only one program at a time can have. It reads the version again, so that programs
    which open the same journal at once do each step once.
    """
    for version in VERSIONS[: VERSIONS.index(to) + 1]:
        with database.migrating() as transaction:
            state = read_state(transaction, database)
            if state is None or state.version < version:
                _apply(transaction, database, version, is_new=state is None)


def _apply(transaction: Transaction, database: Database, version: str, *, is_new: bool) -> None:
    for statement in statements_of(version, database):
        transaction.execute(statement)
    transaction.execute(queries.DELETE_VERSION)
    transaction.execute(queries.INSERT_VERSION, {"version": version})
    if is_new:
        set_meta(transaction, SALT, new_salt().hex())
    set_meta(transaction, WRITTEN_BY, __version__)


def set_meta(transaction: Transaction, name: str, value: str) -> None:
    """Store the journal's metadata."""
    transaction.execute(queries.DELETE_META, {"name": name})
    transaction.execute(queries.INSERT_META, {"name": name, "value": value})


def statements_of(version: str, database: Database) -> Iterator[str]:
    """Yield the statements of a migration, in the database's dialect."""
    [file] = _MIGRATIONS.glob(f"{version}_*.sql")
    text = Template(file.read_text(encoding="utf-8")).substitute(database.column_types)
    yield from filter(None, (statement.strip() for statement in text.split(";\n")))


def _damage_error(where: str, what: str) -> JournalError:
    hint = "restore it from a backup, or move it away and begin a new one"
    return JournalError(f"{where} is damaged: {what} is missing", hint, RULE)


def _foreign_error(where: str) -> JournalError:
    hint = "give the journal a file, database or schema of its own"
    return JournalError(f"{where} holds another program's tables", hint, RULE)


def connect(place: JournalLocation, *, writable: bool, immutable: bool = False) -> Database:
    """Return the database at a location without reading it. Raises :class:`JournalError`.

    ``immutable`` reads a file alone, for a folder in which SQLite cannot create the files of its write-ahead log.
    """
    if place.url is None:
        assert place.file
        return SqliteDatabase(place.file, place.where, writable=writable, immutable=immutable)
    try:
        from ztrust_mail.journal.postgresql import PostgresqlDatabase
    except ImportError:
        message = f"{place.where} needs psycopg, which is not installed"
        raise JournalError(message, install_hint("postgresql"), RULE) from None
    return PostgresqlDatabase(parse_url(place.url), place.where, writable=writable)


@contextmanager
def open_database(place: JournalLocation, *, writable: bool) -> Iterator[Database]:
    """Give the database at a location and close it."""
    database = connect(place, writable=writable)
    try:
        yield database
    finally:
        database.close()


_MAGIC = b"SQLite format 3\0"
_NO_WAL = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_NO_SHARED_MEMORY = (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP)
"""SQLite's errors when it cannot create the files of its write-ahead log, which it needs even for reading."""


@dataclass(frozen=True)
class Opened:
    """An up-to-date journal, and the salt of its fingerprints."""

    database: Database
    salt: bytes


def open_at(place: JournalLocation, *, writable: bool) -> Opened | None:
    """Return the journal at a location, None if there is none and ``writable`` is false.

    Raises :class:`JournalError`.
    """
    if place.file and not place.is_there:
        if not place.usual:
            _check_folder(place.file.parent, place.where)
        if not writable:
            return None
        _create_file(place, place.file)
    elif place.file:
        _check_content(place, place.file)
    database = connect(place, writable=True) if writable else _connect_for_reading(place)
    try:
        opened = _open(place, database)
    except BaseException:
        database.close()
        raise
    if place.file and writable:
        _restrict_mode(place.file)
    return opened


def _open(place: JournalLocation, database: Database) -> Opened | None:
    state = _read_state(database)
    if state is None and not database.writable:
        database.close()
        return None
    if state is None or state.version != HEAD:
        state = _migrate(place, database)
    return Opened(database, state.salt)


def _check_folder(folder: Path, where: str) -> None:
    """Refuse a missing folder: a typo in its name would create a second, empty journal."""
    if not folder.exists():
        hint = "correct the journal's URL, in the settings or ZTRUST_MAIL_JOURNAL, or create the folder"
        raise JournalError(f"{where} cannot exist: its folder {quoted(folder, 200)} does not exist", hint, RULE)


def _check_content(place: JournalLocation, file: Path) -> None:
    """Refuse a file that is not a database: SQLite would take a short text for an empty database and overwrite it."""
    try:
        with file.open("rb") as content:
            beginning = content.read(len(_MAGIC))
    except OSError as e:
        raise place.cannot_open(e) from None
    if beginning not in (b"", _MAGIC):
        raise not_a_journal(place.where)


def _create_file(place: JournalLocation, file: Path) -> None:
    """Create an empty file that only its owner may read."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as e:
        if not file.exists():  # a broken link; otherwise another program created the file first
            raise place.cannot_open(e) from None
    except OSError as e:
        raise place.cannot_open(e) from None


def _restrict_mode(file: Path) -> None:
    """Let only the owner read an existing journal, such as a restored backup, and its write-ahead log."""
    for one in (file, *_wal_files(file)):
        with suppress(OSError):  # the file is missing, or belongs to another user
            if stat.S_IMODE(one.stat().st_mode) & 0o077:
                one.chmod(0o600)


def _connect_for_reading(place: JournalLocation) -> Database:
    if place.file and _wal_unavailable(place.file):
        if _has_wal(place.file):
            message = f"{place.where} was not closed, and can only be read where its folder can be written"
            hint = "free disk space, run this where the folder can be written, or copy the folder"
            raise JournalError(message, hint, RULE)
        return connect(place, writable=False, immutable=True)
    return connect(place, writable=False)


def _wal_unavailable(file: Path) -> bool:
    try:
        with closing(sqlite.open_file(file, writable=False)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").close()
    except sqlite3.Error as e:
        code = getattr(e, "sqlite_errorcode", 0)
        return code in _NO_SHARED_MEMORY or code & 0xFF in _NO_WAL
    return False


def _has_wal(file: Path) -> bool:
    wal, _ = _wal_files(file)
    try:
        return wal.stat().st_size > 0
    except OSError:
        return False


def _wal_files(file: Path) -> tuple[Path, Path]:
    """Return the paths of SQLite's write-ahead log and its index."""
    return file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")


def _read_state(database: Database) -> SchemaState | None:
    with database.reading() as transaction:
        return read_state(transaction, database)


def _migrate(place: JournalLocation, database: Database) -> SchemaState:
    if database.writable:
        migrate(database)
    else:
        _migrate_for_reading(place)
    state = _read_state(database)
    assert state is not None  # migrate has just created or updated it
    return state


def _migrate_for_reading(place: JournalLocation) -> None:
    """Migrate through a second, writable connection."""
    try:
        with open_database(place, writable=True) as database:
            migrate(database)
    except JournalError as e:
        message = f"{place.where} was written by an older ztrust-mail and cannot be migrated"
        hint = f"run ztrust-mail plan once where the journal can be written; {e.hint}"
        raise JournalError(message, hint, RULE) from None
