"""A plan: what an apply would do to each realm, and what stands in its way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ztrust_mail.core.data import of_bytes, of_json
from ztrust_mail.core.errors import ExitStatus, RealmError, SecretError, ServerError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.gateways.gateway import NOT_SEEN, LiveRealm
from ztrust_mail.model.serialize import to_json
from ztrust_mail.planning.compare import Change, Difference, SecretMode, SecretState
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, GlobMatch
from ztrust_mail.transport.account import Account


class Status(StrEnum):
    """Where a realm stands."""

    IN_SYNC = "in_sync"
    CHANGED = "changed"
    APPLIED = "applied"
    FAILED = "failed"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    SKIPPED = "skipped"

    @property
    def exit_status(self) -> ExitStatus:
        """What one realm in this state means for the command."""
        if self in (Status.IN_SYNC, Status.APPLIED):
            return ExitStatus.OK
        return ExitStatus.DIFFERS if self is Status.CHANGED else ExitStatus.PARTIAL


@dataclass(frozen=True)
class RealmPlan:
    """One realm's part of a plan. ``live`` is missing where the realm could not be read.

    ``secrets`` tells of each hidden secret how it relates to the one last written, ``unresolved`` which fields'
    secrets cannot be had here, and why. ``forbidden`` is what the settings' policy has against the realm.
    ``losses`` are the fields whose stored secret would be lost for good, with a place where its value may be had.
    """

    realm: str
    status: Status
    wanted: Desired
    live: LiveRealm | None = None
    difference: Difference = field(default_factory=Difference)
    findings: tuple[Finding, ...] = ()
    secrets: Mapping[str, SecretState] = field(default_factory=dict)
    unresolved: Mapping[str, SecretError] = field(default_factory=dict)
    forbidden: tuple[Finding, ...] = ()
    losses: Mapping[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> tuple[Change, ...]:
        """What would be written."""
        return self.difference.changes

    @property
    def exit_status(self) -> ExitStatus:
        """What the realm means for the command. Against the policy, it fails though nothing is to be written."""
        against = [ExitStatus.PARTIAL] if self.forbidden else []
        return ExitStatus.worst([*against, self.status.exit_status])

    @property
    def is_left_out(self) -> bool:
        """Whether the realm is there, and for some reason could not be planned."""
        return self.status in (Status.FAILED, Status.UNREADABLE)


@dataclass(frozen=True)
class Plan:
    """What an apply would do, in the spec's order. ``uncovered`` are live realms without an entry.

    ``listed`` tells whether all realms that the account sees were looked at. ``unnamed`` counts managed realms in
    sync that do not stand in ``realms``.
    """

    url: str
    account: Account
    realms: tuple[RealmPlan, ...]
    secrets: SecretMode = SecretMode.AUTO
    globs: tuple[GlobMatch, ...] = ()
    uncovered: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default_factory=tuple)
    listed: bool = False
    unnamed: int = 0

    @property
    def changed(self) -> tuple[RealmPlan, ...]:
        """The realms an apply would write to."""
        return tuple(realm for realm in self.realms if realm.status is Status.CHANGED)

    @property
    def unseen(self) -> str:
        """What to say where the plan was made without a look at the server, nothing where it was looked at."""
        return next((finding.message for finding in self.findings if finding.rule == NOT_SEEN), "")

    @property
    def exit_status(self) -> ExitStatus:
        """What this plan means for a command that writes nothing."""
        own = [ExitStatus.PARTIAL] if has_errors(self.findings) else []
        return ExitStatus.worst([*own, *(realm.exit_status for realm in self.realms)])


def finding_of(e: RealmError | ServerError, realm: str) -> Finding:
    """Return an error as something to tell about a realm."""
    return Finding(Severity.ERROR, e.rule or "realm-failed", e.message, e.hint, realm=realm)


def all_findings(plan: Plan) -> Iterable[Finding]:
    """Return every finding of a plan, the general ones first."""
    return [*plan.findings, *(finding for realm in plan.realms for finding in realm.findings)]


__all__ = ["of_attributes", "of_bytes", "of_json", "of_plan", "of_spec"]


def of_attributes(attributes: Attributes) -> str:
    """Return the digest of a realm's attributes, which are to be masked before: see ``Dialect.masked``."""
    return of_json(attributes)


def of_spec(spec: Spec) -> str:
    """Return one digest of all that was read, in the order it was; where the files lie does not count."""
    return of_json(list(spec.digests.values()))


def of_plan(plan: Plan, dialect: Dialect) -> str:
    """Return the digest of what a plan writes: to which realms, as they were, and with which settings."""
    return of_json(
        [
            [
                realm.realm,
                of_attributes(dialect.mask_secrets(realm.live.attributes)) if realm.live else None,
                None if realm.wanted.disabled else to_json(realm.wanted.fields),
            ]
            for realm in plan.changed
        ]
    )
