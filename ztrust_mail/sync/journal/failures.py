"""What a database's errors mean to people: never its own words, which may quote values or the URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DataError, SQLAlchemyError

from ztrust_mail.errors import JournalError

RULE: Final = "journal"

_NOT_OURS: Final = "is damaged or no journal"
_ELSEWHERE: Final = "move it away or name another journal; the server itself is not touched by that"
_FULL: Final = ("cannot be written: no space is left", "make room, then run the same command again")
_CLOSED: Final = ("cannot be written: it is read-only", "check the rights of the file and its folder")

_BY_SQLITE_CODE: Final[Mapping[int, tuple[str, str]]] = {
    sqlite3.SQLITE_BUSY: ("is in use by another program", "wait for it to end, then run the same command again"),
    sqlite3.SQLITE_READONLY: _CLOSED,
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk fails", "check the disk and its free space"),
    sqlite3.SQLITE_CORRUPT: (_NOT_OURS, _ELSEWHERE),
    sqlite3.SQLITE_NOTADB: (_NOT_OURS, _ELSEWHERE),
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check the rights of the file and its folder"),
    sqlite3.SQLITE_PERM: ("cannot be opened", "check the rights of the file and its folder"),
}

_BY_SQLSTATE: Final[Mapping[str, tuple[str, str]]] = {
    "25006": ("cannot be written: the database is read-only", "name the primary server in the journal's URL"),
    "42501": (
        "cannot be used: this account may not",
        "grant it SELECT, INSERT and UPDATE on the tables, or their owner",
    ),
    "53100": _FULL,
    "55P03": ("is in use by another run", "wait for it to end, then run the same command again"),
    "57014": ("takes too long to answer", "look at what else this database is doing, then run the same command again"),
}
_LOST: Final = (
    "cannot be reached or lets nobody in",
    "check that it runs, and host, port, database, user and password",
)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Raise what goes wrong with the database inside as :class:`JournalError`; ``where`` names the journal."""
    try:
        yield
    except (DataError, UnicodeError):
        hint = "rename the realm on the server: letters of any script will do"
        raise JournalError(f"{where} cannot hold the name of a realm", hint, RULE) from None
    except SQLAlchemyError as e:
        raise journal_error(where, e) from None


def journal_error(where: str, e: SQLAlchemyError) -> JournalError:
    """Return the error in our words."""
    what, hint = _meaning(getattr(e, "orig", None))
    return JournalError(f"{where} {what}", hint, RULE)


def not_ours(where: str) -> JournalError:
    """Return what to raise for a file that is no journal."""
    return JournalError(f"{where} {_NOT_OURS}", _ELSEWHERE, RULE)


def _meaning(cause: object) -> tuple[str, str]:
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        return _BY_SQLITE_CODE.get(code, (_NOT_OURS, _ELSEWHERE))
    state = getattr(cause, "sqlstate", None)
    if state is None or (state[:2] in ("08", "28", "3D", "57") and state not in _BY_SQLSTATE):
        return _LOST
    return _BY_SQLSTATE.get(state, (_NOT_OURS, _ELSEWHERE))
