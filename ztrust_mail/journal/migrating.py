"""Brings a journal's schema forward: the only module that needs Alembic, imported where there is something to do."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from ztrust_mail._version import __version__
from ztrust_mail.journal import queries
from ztrust_mail.journal.database import Database, Transaction
from ztrust_mail.journal.fingerprints import new_salt
from ztrust_mail.journal.opening import look
from ztrust_mail.journal.records import HEAD, SALT, WRITTEN_BY

_ALEMBIC = threading.Lock()  # it keeps what it works on in a global


def migrate(database: Database, to: str = HEAD) -> None:
    """Make the tables of an empty database, or bring old ones forward; all or nothing, one program at a time."""
    with _ALEMBIC, database.migrating() as (transaction, connection):
        before = look(transaction, database)
        if before and before.version == HEAD:
            return  # somebody else was faster
        command.upgrade(_config(connection), to)
        if not before:
            _note(transaction, SALT, new_salt().hex())
        _note(transaction, WRITTEN_BY, __version__)


def _note(transaction: Transaction, name: str, value: str) -> None:
    transaction.do(queries.NO_NOTE, {"name": name})
    transaction.do(queries.NEW_NOTE, {"name": name, "value": value})


def _config(connection: Connection) -> Config:
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
