"""What the journal holds: runs, and one write per realm of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from sys import intern
from typing import Final

from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, is_beside
from ztrust_mail.journal.database import Row
from ztrust_mail.journal.errors import RULE
from ztrust_mail.model import serialize
from ztrust_mail.model.fields import FieldMap


def names_of(dialect: Dialect, write: Write) -> frozenset[str]:
    """Return the names of what a write was about."""
    seen = {native for native in (*write.before, *(write.after or {})) if is_beside(native)}
    return dialect.beside(write.intent or {}) | seen


def _no_fingerprint(secret: Secret) -> str:
    return ""


@dataclass(frozen=True)
class JournalState:
    """What the journal holds of a server's realms, and how it takes a secret's fingerprint.

    ``rewritten`` names by realm the fields whose secret is to be sent whatever the fingerprints say.
    """

    realms: Mapping[str, LastKnown] = field(default_factory=dict)
    fingerprint: Callable[[Secret], str] = _no_fingerprint
    rewritten: Mapping[str, Collection[str]] = field(default_factory=dict)

    def of(self, realm: str) -> LastKnown:
        """Return what is known of a realm."""
        return self.realms.get(realm, _NOTHING_KNOWN)


@dataclass(frozen=True)
class LastKnown:
    """What is known of one realm: its last write that was done, a later one in doubt, a later one that was not kept."""

    last: Write | None = None
    doubt: Write | None = None
    unkept: Write | None = None


_NOTHING_KNOWN = LastKnown()

NOTHING_REMEMBERED = JournalState()
"""The memory of a journal that is not there."""

LOCK_LOST: Final = "lease-lost"
"""The rule of errors about a lock on a server that this run no longer holds."""

HEAD: Final = "0002"
"""The newest migration; stands here too so that opening an up-to-date journal needs no Alembic."""

VERSIONS: Final = ("0001", HEAD)
"""All versions of the schema that this program can bring to the newest."""

SALT, WRITTEN_BY = "salt", "written_by"
"""Names in ``meta``: the salt of the fingerprints, as hex digits, and the program that made or migrated the journal."""

OF_SAVED_PLAN: Final = "apply --plan"
"""The command of a run that applied a saved plan."""


NOT_KEPT: Final = "the server did not keep"
"""So begins the error of a write that the server answered, and did not keep as it was meant."""


class Outcome(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    """Not ended: it is under way, or was killed."""
    DONE = "done"
    FAILED = "failed"
    """It ended by itself; some realms failed."""
    STOPPED = "stopped"
    """A canary or too many failures stopped it; some realms were not reached."""
    INTERRUPTED = "interrupted"
    RESUMED = "resumed"
    """A later run took up all that this one left."""


class Step(StrEnum):
    """How far the write to one realm has come."""

    PLANNED = "planned"
    WRITING = "writing"
    """The request is about to go out or has gone out: what became of it is in doubt."""
    WRITTEN = "written"
    """The server said it was done; nobody has looked yet."""
    VERIFIED = "verified"
    ACCEPTED = "accepted"
    """The server said it was done, and shows nothing by which anybody could look."""
    FAILED = "failed"
    """Nothing was written, or something else than was meant; ``error`` says which."""
    SKIPPED = "skipped"

    @property
    def in_doubt(self) -> bool:
        """Whether the server may or may not hold the write."""
        return self in (Step.WRITING, Step.WRITTEN)

    @property
    def is_done(self) -> bool:
        """Whether the write counts as done: seen there, or accepted by a server that shows nothing."""
        return self in (Step.VERIFIED, Step.ACCEPTED)


@dataclass(frozen=True)
class NewRun:
    """A run that is about to begin. ``who`` names the account, and the person as far as the machine knows."""

    server: str
    command: str
    who: str
    spec_digest: str = ""
    plan_digest: str = ""


@dataclass(frozen=True)
class Run(NewRun):
    """A run as the journal has it; times are in UTC."""

    number: int = 0
    tool_version: str = ""
    outcome: Outcome = Outcome.RUNNING
    started: datetime = datetime.min
    ended: datetime | None = None


@dataclass(frozen=True)
class Write:
    """What a run does to one realm.

    ``before`` and ``after`` are the server's attributes with masks in place of secrets; ``intent`` are the fields
    to be written, secrets as references, None where the realm is to have no e-mail. ``fingerprints`` tell by field
    which secret is written.
    """

    realm: str
    before: Attributes
    intent: FieldMap | None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    step: Step = Step.PLANNED
    after: Attributes | None = None
    error: str = ""
    run: int = 0
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def is_unplanned(self) -> bool:
        """Whether the realm could not even be planned, so that nothing was to be written to it."""
        return self.step is Step.FAILED and self.started is None


@dataclass(frozen=True)
class Update:
    """A step that a realm's write has come to."""

    realm: str
    step: Step
    after: Attributes | None = None
    error: str = ""


@dataclass(frozen=True)
class Holder:
    """Who holds the lease on a server, and since when (UTC)."""

    who: str
    since: datetime
    run: int | None = None


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
        "intent": None if write.intent is None else _dumped(serialize.to_json(write.intent)),
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


def last_known(rows: Iterable[Row]) -> dict[str, LastKnown]:
    """Return by realm what :data:`sql.REMEMBERED` found. Raises :class:`JournalError` where a row is damaged."""
    known: dict[str, LastKnown] = {}
    for write in map(write_of, rows):
        part = "last" if write.step.is_done else "doubt" if write.step.in_doubt else "unkept"
        known[write.realm] = replace(known.get(write.realm, _NOTHING), **{part: write})
    return known


_NOTHING = LastKnown()


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
    return {intern(name): value for name, value in serialize.from_json(json.loads(text)).items()}


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
