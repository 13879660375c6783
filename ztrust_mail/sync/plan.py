"""A plan: what an apply would do to each realm, and what stands in its way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ztrust_mail.errors import ExitStatus, RealmError, RealmMissing, RealmUnreadable, ServerError, UsageError
from ztrust_mail.findings import Finding, Severity, has_errors
from ztrust_mail.gateways.base import Account, Gateway, LiveRealm
from ztrust_mail.spec import rules
from ztrust_mail.spec.model import Entry, Spec
from ztrust_mail.spec.resolve import Desired, GlobMatch, Matching, desired, glob_matches, match
from ztrust_mail.sync.compare import Change, Difference, SecretMode, compare
from ztrust_mail.text import quoted


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
    """One realm's part of a plan. ``live`` is missing where the realm could not be read."""

    realm: str
    status: Status
    wanted: Desired
    live: LiveRealm | None = None
    difference: Difference = field(default_factory=Difference)
    findings: tuple[Finding, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """What would be written."""
        return self.difference.changes


@dataclass(frozen=True)
class Plan:
    """What an apply would do, in the spec's order. ``uncovered`` are live realms without an entry."""

    url: str
    account: Account
    realms: tuple[RealmPlan, ...]
    secrets: SecretMode = SecretMode.AUTO
    globs: tuple[GlobMatch, ...] = ()
    uncovered: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default_factory=tuple)

    @property
    def changed(self) -> tuple[RealmPlan, ...]:
        """The realms an apply would write to."""
        return tuple(realm for realm in self.realms if realm.status is Status.CHANGED)

    @property
    def exit_status(self) -> ExitStatus:
        """What this plan means for a command that writes nothing."""
        own = [ExitStatus.PARTIAL] if has_errors(self.findings) else []
        return ExitStatus.worst([*own, *(realm.status.exit_status for realm in self.realms)])


def make_plan(
    spec: Spec,
    gateway: Gateway,
    *,
    realms: Sequence[str] = (),
    secrets: SecretMode = SecretMode.AUTO,
    everything: bool = False,
) -> Plan:
    """Read the server and compare it with the spec.

    ``realms`` are globs that limit the plan; ``everything`` reads the realms without an entry too.
    Raises :class:`UsageError` when the globs leave nothing, ``ServerError`` when nothing can be read.
    """
    gateway.login()
    spec, named = _narrowed(spec, realms)
    exact = [entry.name for entry in spec.entries if not entry.is_glob and _selected(entry.name, realms)]
    listing = bool(spec.globs) or (everything and not named)
    if not exact and not listing:
        _nothing_selected(realms)
    reading = gateway.read(exact, everything=listing)
    matching = match(spec, [r for r, live in reading.realms.items() if not isinstance(live, RealmMissing)])
    planned = [
        _plan_realm(gateway, spec, entry, realm, reading.realms[realm], matching, secrets)
        for realm, entry in matching.entries.items()
        if _selected(realm, realms)
    ]
    if not planned:
        _nothing_selected(realms)
    findings = [*spec.warnings, *matching.findings]
    if listing and not reading.complete:
        findings.append(_no_list(spec))
    return Plan(
        gateway.url,
        gateway.account(with_email=False),
        tuple(planned),
        secrets,
        matching.globs,
        tuple(realm for realm in matching.uncovered if _selected(realm, realms)) if listing else (),
        tuple(findings),
    )


def _narrowed(spec: Spec, realms: Sequence[str]) -> tuple[Spec, bool]:
    """Return the spec without its globs, and True, where the realms wanted all have entries of their own."""
    entries = tuple(entry for entry in spec.entries if entry.name in realms and not entry.is_glob)
    if realms and len(entries) == len(set(realms)):
        return replace(spec, entries=entries), True
    return spec, False


def _selected(realm: str, globs: Sequence[str]) -> bool:
    return not globs or any(glob_matches(glob, realm) for glob in globs)


def _nothing_selected(globs: Sequence[str]) -> None:
    if globs:
        wanted = " or ".join(quoted(glob) for glob in globs)
        raise UsageError(f"no realm of the spec matches --realm {wanted}", "realm names are matched to the letter")


def _no_list(spec: Spec) -> Finding:
    severity = Severity.ERROR if spec.globs else Severity.WARNING
    so = "globs match nothing" if spec.globs else "realms without an entry stay unknown"
    message = f"the server gives no list of its realms, so {so}"
    hint = "give the account the role view-realm in its realms; if it has it, look at the server's log"
    return Finding(severity, "no-realm-list", message, hint)


def _plan_realm(
    gateway: Gateway,
    spec: Spec,
    entry: Entry,
    realm: str,
    live: LiveRealm | RealmError,
    matching: Matching,
    secrets: SecretMode,
) -> RealmPlan:
    wanted = desired(spec, entry, realm)
    problems = list(wanted.findings)
    if tie := matching.ties.get(realm):
        problems.append(tie)
    if isinstance(live, RealmError):
        status = {RealmMissing: Status.MISSING, RealmUnreadable: Status.UNREADABLE}.get(type(live), Status.FAILED)
        return RealmPlan(realm, status, wanted, findings=(finding_of(live, realm), *problems))
    if problems:
        return RealmPlan(realm, Status.FAILED, wanted, live, findings=tuple(problems))
    if any(g.entry is entry and g.count < entry.expect_min for g in matching.globs):
        return RealmPlan(realm, Status.SKIPPED, wanted, live)
    difference = compare(gateway.dialect, wanted, live.attributes, secrets)
    status = Status.CHANGED if difference.changes else Status.IN_SYNC
    return RealmPlan(realm, status, wanted, live, difference, tuple(rules.warnings(wanted)))


def finding_of(e: RealmError | ServerError, realm: str) -> Finding:
    """Return an error as something to tell about a realm."""
    return Finding(Severity.ERROR, e.rule or "realm-failed", e.message, e.hint, realm=realm)


def all_findings(plan: Plan) -> Iterable[Finding]:
    """Return every finding of a plan, the general ones first."""
    return [*plan.findings, *(finding for realm in plan.realms for finding in realm.findings)]
