"""The journal's records as rows of its tables, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from sys import intern

from ztrust_mail.errors import JournalError
from ztrust_mail.spec import field_json
from ztrust_mail.spec.fields import FieldMap
from ztrust_mail.sync.journal.database import Row
from ztrust_mail.sync.journal.records import RULE, Holder, NewRun, Outcome, Remembered, Run, Step, Write
from ztrust_mail.text import printable, quoted

Values = dict[str, str | int | None]


def run_values(run: NewRun) -> Values:
    """Return what a new run's row holds beside version, outcome and times."""
    return {
        "server": run.server,
        "command": printable(run.command),
        "who": printable(run.who),
        "spec_digest": run.spec_digest,
        "plan_digest": run.plan_digest,
    }


def run_of(row: Row) -> Run:
    """Return a row of ``runs``. Raises :class:`JournalError` where it is damaged."""
    with _sound(f"run {row['number']}"):
        times = {"started": _time(row["started"]), "ended": _time_if_any(row["ended"])}
        return Run(**{**row, "outcome": Outcome(row["outcome"]), **times})


def write_values(write: Write, run: int, server: str, position: int) -> Values:
    """Return the row of a write that is to come."""
    return {
        "run": run,
        "realm": write.realm,
        "position": position,
        "server": server,
        "before": attributes_text(write.before),
        "intent": None if write.intent is None else _dumped(field_json.to_json(write.intent)),
        "fingerprints": attributes_text(write.fingerprints),
        "step": write.step.value,
        "after": None if write.after is None else attributes_text(write.after),
        "error": printable(write.error),
    }


def write_of(row: Row) -> Write:
    """Return a row of ``writes``. Raises :class:`JournalError` where it is damaged."""
    with _sound(f"run {row['run']}, realm {quoted(row['realm'])}"):
        return Write(
            realm=row["realm"],
            before=_attributes(row["before"]),
            intent=None if row["intent"] is None else _fields(row["intent"]),
            fingerprints=_attributes(row["fingerprints"]),
            step=Step(row["step"]),
            after=None if row["after"] is None else _attributes(row["after"]),
            error=row["error"],
            run=row["run"],
            started=_time_if_any(row["started"]),
            ended=_time_if_any(row["ended"]),
        )


def remembered(rows: Iterable[Row]) -> dict[str, Remembered]:
    """Return by realm what :data:`sql.REMEMBERED` found. Raises :class:`JournalError` where a row is damaged."""
    known: dict[str, Remembered] = {}
    for write in map(write_of, rows):
        part = "last" if write.step.is_done else "doubt" if write.step.in_doubt else "unkept"
        known[write.realm] = replace(known.get(write.realm, _NOTHING), **{part: write})
    return known


_NOTHING = Remembered()


def holder_of(row: Row) -> tuple[Holder, datetime]:
    """Return a row of ``leases``, and when that lease ends. Raises :class:`JournalError` where it is damaged."""
    with _sound("its leases"):
        return Holder(row["who"], _time(row["since"]), row["run"]), _time(row["expires"])


def step_of(text: str) -> Step:
    """Return a step as a row names it. Raises :class:`JournalError` where it is none."""
    with _sound(f"the step {quoted(text)}"):
        return Step(text)


def attributes_text(attributes: Mapping[str, str]) -> str:
    """Return attributes as they are kept."""
    return _dumped(dict(attributes))


def _dumped(data: Mapping[str, object]) -> str:
    return json.dumps(data, separators=(",", ":"))


def _attributes(text: str) -> dict[str, str]:
    # Thousands of realms hold mostly the same names and values: each is kept once in memory.
    return {intern(name): intern(value) for name, value in json.loads(text).items()}


def _fields(text: str) -> FieldMap:
    return {intern(name): value for name, value in field_json.from_json(json.loads(text)).items()}


def _time(kept: str | datetime) -> datetime:
    """Return a time in UTC; SQLite keeps it as text without a zone."""
    time = datetime.fromisoformat(kept) if isinstance(kept, str) else kept
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _time_if_any(kept: str | datetime | None) -> datetime | None:
    return None if kept is None else _time(kept)


@contextmanager
def _sound(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, AttributeError):
        hint = "restore it from a backup, or move it away and begin a new one"
        raise JournalError(f"the journal is damaged at {what}", hint, RULE) from None
