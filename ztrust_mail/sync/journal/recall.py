"""What a journal remembers of a server's realms; out of a file without SQLAlchemy, whose import takes longer than that.

The question is the same text for all databases. It is asked in SQL, so that years of history cost a plan nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ztrust_mail.sync.journal.place import BUSY_TIMEOUT, file_url
from ztrust_mail.sync.journal.records import HEAD, NOT_KEPT, SALT, Remembered, Step
from ztrust_mail.sync.journal.rows import write_of

Row = Mapping[str, Any]  # as databases give it: write_of looks at every value

REMEMBERED: Final = """
WITH RECURSIVE realms(realm) AS (
    SELECT min(realm) FROM writes WHERE server = :server
    UNION ALL
    SELECT (SELECT min(w.realm) FROM writes AS w WHERE w.server = :server AND w.realm > realms.realm)
    FROM realms WHERE realms.realm IS NOT NULL
),
sure AS (
    SELECT realm, (
        SELECT max(w.run) FROM writes AS w
        WHERE w.server = :server AND w.realm = realms.realm AND w.step IN (:verified, :accepted)
    ) AS done
    FROM realms WHERE realm IS NOT NULL
),
latest AS (
    SELECT realm, done, (
        SELECT max(w.run) FROM writes AS w
        WHERE w.server = :server AND w.realm = sure.realm AND w.step IN (:writing, :written)
        AND w.run > coalesce(done, 0)
    ) AS doubt, (
        SELECT max(w.run) FROM writes AS w
        WHERE w.server = :server AND w.realm = sure.realm AND w.step = :failed AND w.error LIKE :not_kept
        AND w.run > coalesce(done, 0)
    ) AS unkept
    FROM sure
)
SELECT w.run, w.realm, w.before, w.intent, w.fingerprints, w.step, w.after, w.error, w.started, w.ended
FROM latest JOIN writes AS w ON w.realm = latest.realm AND w.run IN (latest.done, latest.doubt, latest.unkept)
"""
"""Each realm's last write that was done; its newest in doubt and its newest not kept, where no later one was done.

A realm is found by one step through the index, however often it was written.
"""


def parameters(server: str) -> dict[str, str]:
    """Return what :data:`REMEMBERED` is asked with."""
    steps = {step.value: step.value for step in Step if step.is_done or step.in_doubt or step is Step.FAILED}
    return {"server": server, "not_kept": f"{NOT_KEPT}%", **steps}


def remembered(rows: Iterable[Row]) -> dict[str, Remembered]:
    """Return by realm what the answer tells. Raises :class:`~ztrust_mail.errors.JournalError` where it is damaged."""
    known: dict[str, Remembered] = {}
    for write in map(write_of, rows):
        part = "last" if write.step.is_done else "doubt" if write.step.in_doubt else "unkept"
        known[write.realm] = replace(known.get(write.realm, _NOTHING), **{part: write})
    return known


_NOTHING = Remembered()


@dataclass(frozen=True)
class Recalled:
    """What a file remembers of a server's realms, and the salt of its fingerprints."""

    realms: Mapping[str, Remembered]
    salt: bytes


def recall(file: Path, server: str) -> Recalled | None:
    """Return what an up-to-date journal in a file remembers; None where it is not as simple as that.

    Raises :class:`~ztrust_mail.errors.JournalError` where a row of it is damaged.
    """
    try:
        with closing(sqlite3.connect(file_url(file, writable=False), uri=True, timeout=BUSY_TIMEOUT)) as connection:
            connection.execute("BEGIN")
            versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            salts = connection.execute("SELECT value FROM meta WHERE name = ?", (SALT,)).fetchall()
            if versions != [(HEAD,)] or not salts:
                return None
            answer = connection.execute(REMEMBERED, parameters(server))
            names = [column[0] for column in answer.description]
            rows = [_timed(dict(zip(names, row, strict=True))) for row in answer]
            return Recalled(remembered(rows), bytes.fromhex(str(salts[0][0])))
    except (sqlite3.Error, ValueError):  # whoever opens it in full says what is the matter
        return None


def _timed(row: dict[str, Any]) -> Row:
    times = {name: datetime.fromisoformat(str(row[name])) for name in ("started", "ended") if row[name] is not None}
    return row | {name: time.replace(tzinfo=UTC) for name, time in times.items()}
