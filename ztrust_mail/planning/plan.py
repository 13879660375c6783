"""The plan: what an apply would write to each realm, and what prevents it. Also the digests of plans and specs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from ztrust_mail.core.data import of_json
from ztrust_mail.core.errors import ExitStatus, RealmError, SecretError, ServerError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.core.results import ResultMethods, flatten, summarise
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.gateways.gateway import NOT_SEEN, Account, LiveRealm
from ztrust_mail.model.serialize import to_json
from ztrust_mail.planning.compare import Change, Difference, SecretMode, SecretState
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, GlobMatch


class Status(StrEnum):
    """The state of a realm in a plan or after an apply."""

    IN_SYNC = "in_sync"
    CHANGED = "changed"
    APPLIED = "applied"
    FAILED = "failed"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    SKIPPED = "skipped"

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status that one realm in this state causes."""
        if self in (Status.IN_SYNC, Status.APPLIED):
            return ExitStatus.OK
        return ExitStatus.DIFFERS if self is Status.CHANGED else ExitStatus.PARTIAL


@dataclass(frozen=True, repr=False)
class RealmPlan:
    """One realm's part of a plan. ``live`` is None if the realm could not be read.

    ``secrets`` is the state of each masked secret, ``unresolved`` the error for each secret that cannot be resolved
    here. ``forbidden`` are the violations of the settings' policy. ``losses`` are the fields whose stored secret a
    write would overwrite or remove, with the reference that it was last written from, if that is known.
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

    def __repr__(self) -> str:
        changes = f", {pluralise(len(self.changes), 'change')}" if self.changes else ""
        return f"<{type(self).__name__} {quoted(self.realm)}: {self.status.value}{changes}>"

    @property
    def attributes(self) -> Attributes:
        """The realm's live attributes; empty if it could not be read."""
        return self.live.attributes if self.live else {}

    @property
    def changes(self) -> tuple[Change, ...]:
        """The fields that would be written."""
        return self.difference.changes

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status that the realm causes. A policy violation counts even if nothing would be written."""
        against = [ExitStatus.PARTIAL] if self.forbidden else []
        return ExitStatus.worst([*against, self.status.exit_status])

    @property
    def is_left_out(self) -> bool:
        """Whether the realm exists but could not be planned."""
        return self.status in (Status.FAILED, Status.UNREADABLE)


@dataclass(frozen=True, repr=False)
class Plan(ResultMethods):
    """What an apply would do, in the spec's order. ``uncovered`` are live realms without an entry.

    ``own_findings`` belong to no single realm; :attr:`findings` has all. ``listed`` is True if all realms that the
    account can see were listed. ``unnamed`` counts managed realms in sync that are not in ``realms``. ``command`` is
    what the plan is for, such as ``apply`` or ``revert 7``; ``intro`` has lines that say where it comes from.
    ``resolves`` is False if no secret reference was resolved, so that no masked secret was compared.
    """

    url: str
    account: Account
    realms: tuple[RealmPlan, ...]
    secrets: SecretMode = SecretMode.AUTO
    globs: tuple[GlobMatch, ...] = ()
    uncovered: tuple[str, ...] = ()
    own_findings: tuple[Finding, ...] = ()
    listed: bool = False
    unnamed: int = 0
    command: str = "apply"
    intro: tuple[str, ...] = ()
    resolves: bool = True

    accepted: ClassVar[frozenset[ExitStatus]] = frozenset({ExitStatus.OK, ExitStatus.DIFFERS})

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings: the plan's own, then each realm's with its policy violations."""
        return flatten(self.own_findings, ((*realm.findings, *realm.forbidden) for realm in self.realms))

    @property
    def summary(self) -> str:
        """The server and how many realms are in which state."""
        return summarise(self.url, Counter(realm.status.value for realm in self.realms))

    @property
    def changed(self) -> tuple[RealmPlan, ...]:
        """The realms an apply would write to."""
        return tuple(realm for realm in self.realms if realm.status is Status.CHANGED)

    @property
    def unseen(self) -> str:
        """The message that the live settings are unknown; empty if the server was read."""
        return next((finding.message for finding in self.own_findings if finding.rule == NOT_SEEN), "")

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of a command that only shows this plan."""
        own = [ExitStatus.PARTIAL] if has_errors(self.own_findings) else []
        return ExitStatus.worst([*own, *(realm.exit_status for realm in self.realms)])


def finding_of(e: RealmError | ServerError, realm: str) -> Finding:
    """Return an error as a finding about a realm."""
    return Finding(Severity.ERROR, e.rule or "realm-failed", e.message, e.hint, realm=realm)


def all_findings(plan: Plan) -> Iterable[Finding]:
    """Return every finding of a plan, the general ones first."""
    return [*plan.own_findings, *(finding for realm in plan.realms for finding in realm.findings)]


def of_attributes(attributes: Attributes) -> str:
    """Return the digest of a realm's attributes. The caller masks them first: see ``Dialect.masked``."""
    return of_json(attributes)


def of_spec(spec: Spec) -> str:
    """Return one digest of all spec files, in the order they were read, and of values from a server or an option.

    These are the variables that were filled in, and the labels that selected entries. Paths are not included. Without
    such values, it is the digest of the files alone.
    """
    files = list(spec.digests.values())
    labels = spec.target.labels if spec.target else {}
    chosen = {key: labels[key] for one in spec.written if one.limit for key in one.limit.labels if key in labels}
    if chosen:
        return of_json([files, dict(spec.filled), chosen])
    return of_json([files, dict(spec.filled)] if spec.filled else files)


def of_plan(plan: Plan, dialect: Dialect) -> str:
    """Return the digest of what a plan writes: the realms, their live settings and their desired settings."""
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
