"""Opens a journal: makes a new one, brings an old one forward, refuses a newer one and one of another program."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.text import quoted
from ztrust_mail.journal import queries, sqlite
from ztrust_mail.journal.database import Database, JournalLocation, Transaction
from ztrust_mail.journal.errors import RULE, not_ours
from ztrust_mail.journal.records import HEAD, SALT, VERSIONS, WRITTEN_BY


def connect(place: JournalLocation, *, writable: bool, immutable: bool = False) -> Database:
    """Return the database at a place, without a look at what it holds. Raises :class:`JournalError`.

    ``immutable`` reads a file as it is, where nothing can be put beside it.
    """
    if place.file:
        from ztrust_mail.journal.sqlite import SqliteDatabase

        return SqliteDatabase(place.file, place.where, writable=writable, immutable=immutable)
    from ztrust_mail.journal.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(place, writable=writable)


@contextmanager
def connected(place: JournalLocation, *, writable: bool) -> Iterator[Database]:
    """Give the database at a place and close it."""
    database = connect(place, writable=writable)
    try:
        yield database
    finally:
        database.close()


_MAGIC = b"SQLite format 3\0"
_NO_HELPERS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_NO_ROOM = (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP)
"""What SQLite says where the files beside a journal that it needs even for reading cannot be made."""


@dataclass(frozen=True)
class Opened:
    """An up-to-date journal, and the salt of its fingerprints."""

    database: Database
    salt: bytes


def open_at(place: JournalLocation, *, writable: bool) -> Opened | None:
    """Return the journal at a place; None where there is none and none is to be made. Raises :class:`JournalError`."""
    if place.file and not place.is_there:
        if not place.usual:
            _check_folder(place.file.parent, place.where)
        if not writable:
            return None
        _make(place, place.file)
    elif place.file:
        _check_kind(place, place.file)
    database = connect(place, writable=True) if writable else _connected_to_read(place)
    try:
        opened = _opened(place, database)
    except BaseException:
        database.close()
        raise
    if place.file and writable:
        _keep_to_its_owner(place.file)
    return opened


def _opened(place: JournalLocation, database: Database) -> Opened | None:
    state = _state(database)
    if state is None and not database.writable:
        database.close()
        return None
    if state is None or state.version != HEAD:
        state = _brought_forward(place, database)
    return Opened(database, state.salt)


def _check_folder(folder: Path, where: str) -> None:
    """Refuse a folder that is not there: a slip in its name would begin a second journal that knows of nothing."""
    if not folder.exists():
        hint = "correct the journal's URL, in the settings or ZTRUST_MAIL_JOURNAL, or make the folder"
        raise JournalError(f"{where} cannot be there: its folder {quoted(folder, 200)} does not exist", hint, RULE)


def _check_kind(place: JournalLocation, file: Path) -> None:
    """Refuse what is no database: SQLite would take a short text for an empty one and write over it."""
    try:
        with file.open("rb") as content:
            beginning = content.read(len(_MAGIC))
    except OSError as e:
        raise place.closed(e) from None
    if beginning not in (b"", _MAGIC):
        raise not_ours(place.where)


def _make(place: JournalLocation, file: Path) -> None:
    """Make an empty file that only its owner may read."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as e:
        if not file.exists():  # else another program was faster
            raise place.closed(e) from None
    except OSError as e:
        raise place.closed(e) from None


def _keep_to_its_owner(file: Path) -> None:
    """Let nobody else read a journal that was there before, such as a backup restored, or what stands beside it."""
    for one in (file, *_beside(file)):
        with suppress(OSError):  # it is not there, or another person's
            if stat.S_IMODE(one.stat().st_mode) & 0o077:
                one.chmod(0o600)


def _connected_to_read(place: JournalLocation) -> Database:
    if place.file and _lacks_helpers(place.file):
        if _has_log(place.file):
            message = f"{place.where} was not closed, and can only be read where its folder can be written"
            raise JournalError(message, "make room, run this where the folder can be written, or copy the folder", RULE)
        return connect(place, writable=False, immutable=True)
    return connect(place, writable=False)


def _lacks_helpers(file: Path) -> bool:
    try:
        with closing(sqlite.opened(file, writable=False)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").close()
    except sqlite3.Error as e:
        code = getattr(e, "sqlite_errorcode", 0)
        return code in _NO_ROOM or code & 0xFF in _NO_HELPERS
    return False


def _has_log(file: Path) -> bool:
    log, _ = _beside(file)
    try:
        return log.stat().st_size > 0
    except OSError:
        return False


def _beside(file: Path) -> tuple[Path, Path]:
    """Return where SQLite keeps the log of what is not in a file yet, and its index."""
    return file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")


def _brought_forward(place: JournalLocation, database: Database) -> SchemaState:
    from ztrust_mail.journal.migrating import migrate

    if database.writable:
        migrate(database)
    else:
        _migrate_beside(place)
    state = _state(database)
    assert state is not None  # it was brought forward just now, and nothing ever takes a journal away
    return state


def _migrate_beside(place: JournalLocation) -> None:
    from ztrust_mail.journal.migrating import migrate

    try:
        with connected(place, writable=True) as database:
            migrate(database)
    except JournalError as e:
        message = f"{place.where} was written by an older ztrust-mail and cannot be brought forward"
        raise JournalError(message, f"run plan once where it can be written; {e.hint}", RULE) from None


def _foreign(where: str) -> JournalError:
    hint = "give the journal a file, database or schema of its own"
    return JournalError(f"{where} holds another program's tables", hint, RULE)


@dataclass(frozen=True)
class SchemaState:
    """What a journal says of itself."""

    version: str
    salt: bytes


def _state(database: Database) -> SchemaState | None:
    with database.reading() as transaction:
        return look(transaction, database)


def look(transaction: Transaction, database: Database) -> SchemaState | None:
    """Return the state of the journal, None where the database is empty. Raises :class:`JournalError`."""
    where, names = database.where, transaction.tables()
    if queries.VERSIONS_TABLE not in names:
        if names & queries.TABLES if database.is_shared else names:
            raise _foreign(where)
        return None
    [version] = [row["version_num"] for row in transaction.ask(queries.VERSION)]
    if "meta" not in names:
        raise _foreign(where)
    notes = {row["name"]: row["value"] for row in transaction.ask(queries.NOTES)}
    if version not in VERSIONS:
        program = quoted(f"ztrust-mail {notes.get(WRITTEN_BY, '')}".strip())
        message = f"{where} was written by {program}, which is newer than this ztrust-mail {__version__}"
        raise JournalError(message, "update this one, or name another journal", RULE)
    try:
        return SchemaState(version, bytes.fromhex(notes[SALT]))
    except (KeyError, ValueError):
        hint = "restore it from a backup, or move it away and begin a new one"
        raise JournalError(f"{where} is damaged: its salt is gone", hint, RULE) from None
