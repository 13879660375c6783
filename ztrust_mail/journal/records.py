"""The records of the journal: runs, and one write per realm of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from sys import intern
from typing import Final

from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import as_utc, printable, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, is_template
from ztrust_mail.journal.database import Row
from ztrust_mail.journal.errors import RULE
from ztrust_mail.model import serialize
from ztrust_mail.model.fields import FieldMap


def names_of(dialect: Dialect, write: Write) -> frozenset[str]:
    """Return the names of the templates and themes that a write concerned."""
    seen = {native for native in (*write.before, *(write.after or {})) if is_template(native)}
    return dialect.template_names(write.intent or {}) | seen


@dataclass(frozen=True)
class JournalState:
    """The journal's records of the realms of a server, and its functions for fingerprints of secrets.

    ``fingerprints`` computes several at once, in parallel and within the journal's bound of memory. ``rewritten`` names
    by realm the fields whose secret is sent even if its fingerprint is unchanged.
    """

    realms: Mapping[str, LastKnown] = field(default_factory=dict)
    fingerprint: Callable[[Secret], str] = lambda secret: ""
    rewritten: Mapping[str, Collection[str]] = field(default_factory=dict)
    fingerprints: Callable[[Iterable[Secret]], Sequence[str]] = lambda several: ["" for _ in several]

    def of(self, realm: str) -> LastKnown:
        """Return the record of a realm."""
        return self.realms.get(realm, NOTHING_KNOWN)


@dataclass(frozen=True)
class LastKnown:
    """A realm's last completed write, and later ones.

    ``doubt`` is a later write with unknown outcome, ``unkept`` a later one that the server stored differently.
    """

    last: Write | None = None
    doubt: Write | None = None
    unkept: Write | None = None


NOTHING_KNOWN = LastKnown()

NOTHING_REMEMBERED = JournalState()
"""The state when there is no journal."""

LOCK_LOST: Final = "lease-lost"
"""The rule id of errors about a lock on a server that this run has lost."""

OF_SAVED_PLAN: Final = "apply --plan"
"""The prefix of the command of a run that applied a saved plan.

Unless it was an ordinary apply, the plan's purpose follows in parentheses: ``apply --plan (revert 7)``.
"""

_REVERT: Final = re.compile(r"\brevert ([0-9]{1,10})\b")


NOT_KEPT: Final = "the server did not keep"
"""The beginning of the error of a write that the server accepted but stored differently."""


class Outcome(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    """Still running, or killed."""
    DONE = "done"
    FAILED = "failed"
    """Ended by itself; some realms failed."""
    STOPPED = "stopped"
    """Stopped by a canary or by too many failures; some realms were not reached."""
    INTERRUPTED = "interrupted"
    RESUMED = "resumed"
    """A later run completed all that this one had left."""


class Step(StrEnum):
    """The state of the write to one realm."""

    PLANNED = "planned"
    WRITING = "writing"
    """The request is about to be sent, or was sent: its outcome is unknown."""
    WRITTEN = "written"
    """The server reported success; the result was not read back yet."""
    VERIFIED = "verified"
    ACCEPTED = "accepted"
    """The server reported success, and offers no way to read the result back."""
    FAILED = "failed"
    """Nothing was written, or the server stored something else; ``error`` says which."""
    SKIPPED = "skipped"

    @property
    def in_doubt(self) -> bool:
        """Whether the outcome is unknown: the server may or may not have the write."""
        return self in (Step.WRITING, Step.WRITTEN)

    @property
    def is_done(self) -> bool:
        """Whether the write is complete: read back, or accepted by a server that shows nothing."""
        return self in (Step.VERIFIED, Step.ACCEPTED)


@dataclass(frozen=True)
class NewRun:
    """A run about to start.

    ``who`` names the account, and the user as far as known to the machine. ``message`` says why the run was made,
    ``request`` is the number of the request that it was made for.
    """

    server: str
    command: str
    who: str
    spec_digest: str = ""
    plan_digest: str = ""
    message: str = ""
    request: int | None = None


@dataclass(frozen=True)
class Run(NewRun):
    """A stored run; times are in UTC."""

    number: int = 0
    tool_version: str = ""
    outcome: Outcome = Outcome.RUNNING
    started: datetime = datetime.min
    ended: datetime | None = None

    @property
    def reverted(self) -> int | None:
        """The number of the run that this one reverted, also by a saved plan; None for any other run."""
        found = _REVERT.search(self.command)
        return int(found[1]) if found else None


@dataclass(frozen=True)
class Write:
    """The effect of a run on one realm.

    ``before`` and ``after`` are the server's attributes with masks in place of secrets. ``intent`` holds the fields
    to write, secrets as references; None removes the e-mail settings. ``fingerprints`` identify the secrets by field.
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
        """Whether the realm could not be planned, so that no request was sent for it."""
        return self.step is Step.FAILED and self.started is None


@dataclass(frozen=True)
class Update:
    """A new state of the write to a realm."""

    realm: str
    step: Step
    after: Attributes | None = None
    error: str = ""


@dataclass(frozen=True)
class Holder:
    """The holder of the lease on a server, and since when (UTC)."""

    who: str
    since: datetime
    run: int | None = None


Values = dict[str, str | int | None]


def run_values(run: NewRun) -> Values:
    """Return the row of a new run, without version, outcome and times."""
    return {
        "server": run.server,
        "command": printable(run.command),
        "who": printable(run.who),
        "spec_digest": run.spec_digest,
        "plan_digest": run.plan_digest,
        "message": printable(run.message),
        "request": run.request,
    }


def run_of(row: Row) -> Run:
    """Return the run in a row. Raises :class:`JournalError` if it is damaged."""
    with report_damage(f"run {row['number']}"):
        times = {"started": time_of(row["started"]), "ended": time_if_any(row["ended"])}
        return Run(**{**row, "outcome": Outcome(row["outcome"]), **times})


def write_values(write: Write, run: int, server: str, position: int) -> Values:
    """Return the row of an intended write."""
    return {
        "run": run,
        "realm": write.realm,
        "position": position,
        "server": server,
        "before": attributes_text(write.before),
        "intent": None if write.intent is None else _to_json(serialize.to_json(write.intent)),
        "fingerprints": attributes_text(write.fingerprints),
        "step": write.step.value,
        "after": None if write.after is None else attributes_text(write.after),
        "error": printable(write.error),
    }


def write_of(row: Row) -> Write:
    """Return the write in a row. Raises :class:`JournalError` if it is damaged."""
    with report_damage(f"run {row['run']}, realm {quoted(row['realm'])}"):
        return Write(
            realm=row["realm"],
            before=_attributes(row["before"]),
            intent=None if row["intent"] is None else _fields(row["intent"]),
            fingerprints=_attributes(row["fingerprints"]),
            step=Step(row["step"]),
            after=None if row["after"] is None else _attributes(row["after"]),
            error=row["error"],
            run=row["run"],
            started=time_if_any(row["started"]),
            ended=time_if_any(row["ended"]),
        )


def last_known(rows: Iterable[Row]) -> dict[str, LastKnown]:
    """Return by realm what :data:`queries.LAST_KNOWN` found. Raises :class:`JournalError` if a row is damaged."""
    known: dict[str, LastKnown] = {}
    for write in map(write_of, rows):
        part = "last" if write.step.is_done else "doubt" if write.step.in_doubt else "unkept"
        known[write.realm] = replace(known.get(write.realm, NOTHING_KNOWN), **{part: write})
    return known


def secret_times(rows: Iterable[Row]) -> dict[str, datetime]:
    """Return when each realm's present secret was first written: :data:`queries.SECRET_TIMES` has it last."""
    newest = {row["realm"]: row for row in rows}
    with report_damage("the times of its writes"):
        return {
            r: time_of(row["since"]) for r, row in newest.items() if row["since"] and _attributes(row["fingerprints"])
        }


def holder_of(row: Row) -> tuple[Holder, datetime]:
    """Return the holder in a row of ``leases``, and when that lease ends. Raises :class:`JournalError` if damaged."""
    with report_damage("its leases"):
        return Holder(row["who"], time_of(row["since"]), row["run"]), time_of(row["expires"])


def step_of(text: str) -> Step:
    """Return the step that a row names. Raises :class:`JournalError` if it is none."""
    with report_damage(f"the step {quoted(text)}"):
        return Step(text)


def attributes_text(attributes: Mapping[str, str]) -> str:
    """Return attributes as the journal stores them."""
    return _to_json(dict(attributes))


def _to_json(data: Mapping[str, object]) -> str:
    return json.dumps(data, separators=(",", ":"))


def _attributes(text: str) -> dict[str, str]:
    # Thousands of realms share most names and values: intern stores each once in memory.
    return {intern(name): intern(value) for name, value in json.loads(text).items()}


def _fields(text: str) -> FieldMap:
    return {intern(name): value for name, value in serialize.from_json(json.loads(text)).items()}


def time_of(stored: str | datetime) -> datetime:
    """Return a time in UTC; SQLite stores it as text without a zone."""
    return as_utc(datetime.fromisoformat(stored) if isinstance(stored, str) else stored)


def time_if_any(stored: str | datetime | None) -> datetime | None:
    """Return a time in UTC, or None."""
    return None if stored is None else time_of(stored)


@contextmanager
def report_damage(what: str) -> Iterator[None]:
    """Raise :class:`JournalError` if a row cannot be read."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, OverflowError):
        hint = "restore it from a backup, or move it away and begin a new one"
        raise JournalError(f"the journal is damaged at {what}", hint, RULE) from None
