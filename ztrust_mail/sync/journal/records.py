"""What the journal holds: runs, and one write per realm of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from ztrust_mail.dialects.base import Attributes
from ztrust_mail.spec.fields import FieldMap

RULE: Final = "journal"
"""The rule of every error that is about the journal itself."""

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
class Remembered:
    """What is known of one realm: its last write that was done, a later one in doubt, a later one that was not kept."""

    last: Write | None = None
    doubt: Write | None = None
    unkept: Write | None = None


@dataclass(frozen=True)
class Holder:
    """Who holds the lease on a server, and since when (UTC)."""

    who: str
    since: datetime
    run: int | None = None
