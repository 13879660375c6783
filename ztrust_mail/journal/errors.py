"""Messages for the errors of a database. Its own texts are never shown: they may quote values or the URL."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from ztrust_mail.core.errors import JournalError

RULE: Final = "journal"
"""The rule id of every error about the journal itself."""

_Message = tuple[str, str]  # the problem with the journal, and the next step

_NOT_A_JOURNAL: Final[_Message] = (
    "is damaged or no journal",
    "move it away or name another journal; that does not touch the server itself",
)
_CLOSED: Final[_Message] = ("cannot be opened", "check the rights of the file and its folder")
_FULL: Final[_Message] = ("cannot be written: no space is left", "free disk space, then run the same command again")
_FAILS: Final[_Message] = ("fails", "read the database's own log, then run the same command again")
_LOST: Final[_Message] = (
    "cannot be reached or refuses the login",
    "check that it runs, and check its URL: host, port, database, user, password and parameters",
)

_BY_SQLSTATE: Final[Mapping[str, _Message]] = {
    "25006": ("cannot be written: the database is read-only", "name the primary server in the journal's URL"),
    "42501": (
        "cannot be used: this account lacks the right",
        "grant it SELECT, INSERT, UPDATE and DELETE on the journal's tables, USAGE on their sequences, and CREATE on "
        "their schema to create them",
    ),
    "53100": _FULL,
    "53300": (
        "has no free connection",
        "raise max_connections of PostgreSQL, or the pool of a pooler such as PgBouncer: a worker needs up to 20",
    ),
    "55P03": ("is in use by another run", "wait for it to end, then run the same command again"),
    "57014": ("takes too long to answer", "check what else this database is doing, then run the same command again"),
    "08": _LOST,
    "28": _LOST,
    "3D": _LOST,
    "42": _NOT_A_JOURNAL,
    "53": ("has no resources left", "make sure that the server has free connections and memory"),
    "57": _LOST,
    "XX": _NOT_A_JOURNAL,
}
"""By PostgreSQL's error code, or by the two characters that name its class."""


def unstorable_name(where: str) -> JournalError:
    """Return the error for a text that the database cannot store. Only the name of a realm can be one."""
    hint = "rename the realm on the server: letters of any script are allowed"
    return JournalError(f"{where} cannot hold the name of a realm", hint, RULE)


def journal_error(where: str, cause: object) -> JournalError:
    """Return the error for a driver's exception."""
    what, hint = _message_for(cause)
    return JournalError(f"{where} {what}", hint, RULE)


def not_a_journal(where: str) -> JournalError:
    """Return the error for a file that is not a journal."""
    what, hint = _NOT_A_JOURNAL
    return JournalError(f"{where} {what}", hint, RULE)


@cache
def _messages_by_sqlite_code() -> Mapping[int, _Message]:
    import sqlite3  # most commands open no journal

    return {
        sqlite3.SQLITE_ERROR: _NOT_A_JOURNAL,
        sqlite3.SQLITE_CORRUPT: _NOT_A_JOURNAL,
        sqlite3.SQLITE_NOTADB: _NOT_A_JOURNAL,
        sqlite3.SQLITE_CANTOPEN: _CLOSED,
        sqlite3.SQLITE_PERM: _CLOSED,
        sqlite3.SQLITE_FULL: _FULL,
        sqlite3.SQLITE_BUSY: ("is in use by another program", "wait for it to end, then run the same command again"),
        sqlite3.SQLITE_READONLY: ("cannot be written: it is read-only", "check the rights of the file and its folder"),
        sqlite3.SQLITE_IOERR: (
            "cannot be read or written: the disk reports an error",
            "check the disk and its free space",
        ),
    }


def _message_for(cause: object) -> _Message:
    import sqlite3

    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # missing when Python cannot decode a value
        return _messages_by_sqlite_code().get(code & 0xFF, _FAILS)
    state = getattr(cause, "sqlstate", None)
    if not isinstance(state, str):
        return _LOST
    return _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2], _FAILS)
