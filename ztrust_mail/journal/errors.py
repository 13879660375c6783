"""What a database's errors mean to people: never its own words, which may quote values or the URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from ztrust_mail.core.errors import JournalError

RULE: Final = "journal"
"""The rule of every error that is about the journal itself."""

_Words = tuple[str, str]  # what is the matter with the journal, and what to do

_NOT_OURS: Final[_Words] = (
    "is damaged or no journal",
    "move it away or name another journal; the server itself is not touched by that",
)
_CLOSED: Final[_Words] = ("cannot be opened", "check the rights of the file and its folder")
_FULL: Final[_Words] = ("cannot be written: no space is left", "make room, then run the same command again")
_FAILS: Final[_Words] = ("fails", "look at the database's own log, then run the same command again")
_LOST: Final[_Words] = (
    "cannot be reached or lets nobody in",
    "check that it runs, and host, port, database, user and password",
)

_BY_SQLITE_CODE: Final[Mapping[int, _Words]] = {
    sqlite3.SQLITE_ERROR: _NOT_OURS,
    sqlite3.SQLITE_CORRUPT: _NOT_OURS,
    sqlite3.SQLITE_NOTADB: _NOT_OURS,
    sqlite3.SQLITE_CANTOPEN: _CLOSED,
    sqlite3.SQLITE_PERM: _CLOSED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: ("is in use by another program", "wait for it to end, then run the same command again"),
    sqlite3.SQLITE_READONLY: ("cannot be written: it is read-only", "check the rights of the file and its folder"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk fails", "check the disk and its free space"),
}

_BY_SQLSTATE: Final[Mapping[str, _Words]] = {
    "25006": ("cannot be written: the database is read-only", "name the primary server in the journal's URL"),
    "42501": (
        "cannot be used: this account may not",
        "grant it SELECT, INSERT, UPDATE and DELETE on the journal's tables, to make them CREATE on their schema",
    ),
    "53100": _FULL,
    "55P03": ("is in use by another run", "wait for it to end, then run the same command again"),
    "57014": ("takes too long to answer", "look at what else this database is doing, then run the same command again"),
    "08": _LOST,
    "28": _LOST,
    "3D": _LOST,
    "42": _NOT_OURS,
    "53": ("has no resources left", "see that the server has connections and memory to spare"),
    "57": _LOST,
    "XX": _NOT_OURS,
}
"""By PostgreSQL's error code, or by the two characters that name its class."""


@contextmanager
def told(where: str) -> Iterator[None]:
    """Raise what goes wrong with an SQLite file inside as :class:`JournalError`; ``where`` names the journal."""
    try:
        yield
    except UnicodeError:
        raise unkeepable(where) from None
    except sqlite3.Error as e:
        raise journal_error(where, e) from None


def unkeepable(where: str) -> JournalError:
    """Return what to raise for a text that the database cannot hold: only a realm's name can be one."""
    hint = "rename the realm on the server: letters of any script will do"
    return JournalError(f"{where} cannot hold the name of a realm", hint, RULE)


def journal_error(where: str, cause: object) -> JournalError:
    """Return a driver's error in our words."""
    what, hint = _meaning(cause)
    return JournalError(f"{where} {what}", hint, RULE)


def not_ours(where: str) -> JournalError:
    """Return what to raise for a file that is no journal."""
    what, hint = _NOT_OURS
    return JournalError(f"{where} {what}", hint, RULE)


def _meaning(cause: object) -> _Words:
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # none where Python cannot read a value
        return _BY_SQLITE_CODE.get(code & 0xFF, _FAILS)
    state = getattr(cause, "sqlstate", None)
    if not isinstance(state, str):
        return _LOST
    return _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2], _FAILS)
