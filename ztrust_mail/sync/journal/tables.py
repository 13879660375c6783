"""The journal's tables as this program knows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Column, DateTime, Dialect, ForeignKey, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """A point in time, in UTC on both sides; SQLite keeps it as text without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata: Final = MetaData()

versions: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own table; in a collection of its own because Alembic makes it."""

meta: Final = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

runs: Final = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("server", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("spec_digest", Text, nullable=False),
    Column("plan_digest", Text, nullable=False),
    Column("tool_version", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("started", UtcTime, nullable=False),
    Column("ended", UtcTime),
    sqlite_autoincrement=True,
)

writes: Final = Table(
    "writes",
    metadata,
    Column("run", ForeignKey(runs.c.number), primary_key=True, autoincrement=False),
    Column("realm", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("server", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("intent", Text),
    Column("fingerprints", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("after", Text),
    Column("error", Text, nullable=False),
    Column("started", UtcTime),
    Column("ended", UtcTime),
)
"""``before``, ``intent``, ``fingerprints`` and ``after`` are JSON; an ``intent`` of NULL means no e-mail at all.
``server`` is the run's once more, for the index that finds a realm's last write without a walk through its history."""

Index("writes_by_realm", writes.c.server, writes.c.realm, writes.c.step, writes.c.run)

leases: Final = Table(
    "leases",
    metadata,
    Column("server", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("expires", UtcTime, nullable=False),
    Column("run", Integer),
)
"""Who works on a server: one row each, void once it has expired. ``holder`` is made anew for every lease."""
