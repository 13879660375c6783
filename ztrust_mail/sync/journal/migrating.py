"""Brings a journal's schema forward: the only module that needs Alembic, imported where there is something to do."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, delete, func, insert, select

from ztrust_mail._version import __version__
from ztrust_mail.sync.journal.database import Database
from ztrust_mail.sync.journal.fingerprints import new_salt
from ztrust_mail.sync.journal.opening import look
from ztrust_mail.sync.journal.records import HEAD, SALT, WRITTEN_BY
from ztrust_mail.sync.journal.tables import meta

_ALEMBIC = threading.Lock()  # it keeps what it works on in a global
_ONE_AT_A_TIME = 0x7A74727573746D61  # "ztrustma": the name of a lock in a PostgreSQL database


def migrate(database: Database, to: str = HEAD) -> None:
    """Make the tables of an empty database, or bring old ones forward; all or nothing, one program at a time."""
    with _ALEMBIC, database.writing() as connection:  # on SQLite nobody else writes from here on
        if database.is_postgresql:
            connection.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        before = look(connection, database.where)
        if before and before.version == HEAD:
            return  # somebody else was faster
        command.upgrade(_config(connection), to)
        if not before:
            _note(connection, SALT, new_salt().hex())
        _note(connection, WRITTEN_BY, __version__)


def _note(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(meta).where(meta.c.name == name))
    connection.execute(insert(meta).values(name=name, value=value))


def _config(connection: Connection) -> Config:
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
