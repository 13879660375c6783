"""The schema of a journal: its version, and the numbered migrations that create and update it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.text import quoted
from ztrust_mail.journal import queries
from ztrust_mail.journal.database import Database, Transaction
from ztrust_mail.journal.errors import RULE
from ztrust_mail.journal.fingerprints import new_salt

VERSIONS: Final = ("0001", "0002")
"""All versions of the schema, oldest first. Each has a file in ``migrations``; a published one never changes."""

HEAD: Final = VERSIONS[-1]

SALT, WRITTEN_BY = "salt", "written_by"
"""Names in ``meta``: the salt of the fingerprints, as hex digits, and the program that made or migrated the journal."""

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


@dataclass(frozen=True)
class SchemaState:
    """What a journal says about itself."""

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
    versions = [row["version_num"] for row in transaction.query(queries.VERSION)]
    if len(versions) != 1:
        raise _damage_error(where, "its schema version")
    [version] = versions
    meta = {row["name"]: row["value"] for row in transaction.query(queries.META)}
    if version not in VERSIONS:
        program = quoted(f"ztrust-mail {meta.get(WRITTEN_BY, '')}".strip())
        message = f"{where} was written by {program}, which is newer than this ztrust-mail {__version__}"
        raise JournalError(message, "update this one, or name another journal", RULE)
    try:
        return SchemaState(version, bytes.fromhex(meta[SALT]))
    except (KeyError, ValueError):
        raise _damage_error(where, "its salt") from None


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
        _set_meta(transaction, SALT, new_salt().hex())
    _set_meta(transaction, WRITTEN_BY, __version__)


def _set_meta(transaction: Transaction, name: str, value: str) -> None:
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
