"""Explains drift: compares live, desired and last applied settings, so that every difference has a cause."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.results import ResultMethods, flatten, summarise
from ztrust_mail.core.text import MASTER, as_utc, is_selected, matches_any, pluralise, quoted, to_minute
from ztrust_mail.drift_detection import attribution
from ztrust_mail.drift_detection.attribution import AppliedState, Cause
from ztrust_mail.gateways.gateway import Edit, Gateway
from ztrust_mail.journal.records import NOT_KEPT, LastKnown, Write
from ztrust_mail.model.fields import ABSENT, FieldValue, Masked, is_critical
from ztrust_mail.planning.compare import Change
from ztrust_mail.planning.plan import Plan, RealmPlan, Status, all_findings
from ztrust_mail.planning.planners.from_spec import find_unmatched, nothing_selected

OUT_OF_BAND, EDITED_BY, VANISHED = "out-of-band", "edited-by", "vanished"
_NOTHING = LastKnown()
_NEVER = datetime.min.replace(tzinfo=UTC)


class FailOn(StrEnum):
    """The drift that counts for the exit status."""

    ANY = "any"
    CRITICAL = "critical"
    """Only what can steal passwords or forge mail: changed outside ztrust-mail, or by whom the journal cannot tell."""


@dataclass(frozen=True, repr=False)
class Drift(ResultMethods):
    """How the server differs from the spec, and why: the plan, and the cause of each change by realm and field.

    ``vanished`` are realms that an earlier run wrote, that a glob of the spec covers, and that the server does not list
    now. ``own_findings`` come on top of the plan's; :attr:`findings` are all. For realms that were changed outside
    ztrust-mail, ``applied`` is the run that last wrote them, and ``editors`` are those who edited them since, as far as
    the server says. ``fail_on`` is the drift that counts for the exit status; set it with :meth:`failing_on`.
    """

    plan: Plan
    causes: Mapping[str, Mapping[str, Cause]] = field(default_factory=dict)
    own_findings: tuple[Finding, ...] = ()
    vanished: tuple[str, ...] = ()
    applied: Mapping[str, str] = field(default_factory=dict)
    editors: Mapping[str, str] = field(default_factory=dict)
    fail_on: FailOn = FailOn.ANY

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of the command. Missing and failed realms always count, regardless of ``fail_on``."""
        gone = [ExitStatus.DIFFERS] if self.vanished else []
        status = ExitStatus.worst([*gone, self.plan.exit_status])
        is_below = self.fail_on is FailOn.CRITICAL and all(map(self._is_below_limit, self.plan.changed))
        return ExitStatus.OK if status is ExitStatus.DIFFERS and is_below else status

    @property
    def below_limit(self) -> tuple[str, ...]:
        """The realms that drifted or vanished and do not count for the exit status."""
        if self.fail_on is FailOn.ANY:
            return ()
        return (*(one.realm for one in self.plan.changed if self._is_below_limit(one)), *self.vanished)

    def failing_on(self, limit: FailOn) -> Self:
        """Return the drift with another limit; findings on vanished realms below it are warnings."""
        is_below = limit is FailOn.CRITICAL
        severity = Severity.WARNING if is_below else Severity.ERROR
        found = tuple(replace(one, severity=severity) if one.rule == VANISHED else one for one in self.own_findings)
        return replace(self, fail_on=limit, own_findings=found)

    def _is_below_limit(self, realm: RealmPlan) -> bool:
        """Tell whether no change of a realm is or may be critical; without a journal the cause is unknown."""
        causes = self.causes[realm.realm]
        return not any(
            is_critical(name) and (cause.by_others or cause is Cause.UNATTRIBUTED) for name, cause in causes.items()
        )

    def has_critical_change(self, realm: RealmPlan) -> bool:
        """Tell whether any change of a realm is critical."""
        return any(self.is_critical(realm.realm, change.field) for change in realm.changes)

    @property
    def realms(self) -> tuple[RealmPlan, ...]:
        """The realms of the plan."""
        return self.plan.realms

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, those of the plan included; critical ones first."""
        found = flatten(all_findings(self.plan), [self.own_findings])
        return tuple(sorted(found, key=lambda one: one.severity is not Severity.CRITICAL))

    @property
    def summary(self) -> str:
        """The server and how many realms are in which state."""
        gone = f", {len(self.vanished):,} vanished" if self.vanished else ""
        statuses = Counter("drifted" if one.status is Status.CHANGED else one.status.value for one in self.realms)
        return f"{summarise(self.plan.url, statuses)}{gone}"

    def is_critical(self, realm: str, field: str) -> bool:
        """Tell whether a change outside ztrust-mail could steal passwords or forge mail."""
        return self.causes[realm][field].by_others and is_critical(field)


def explain_drift(
    plan: Plan,
    remembered: Mapping[str, LastKnown],
    gateway: Gateway,
    *,
    selected: Sequence[str] = (),
    under_way: int | None = None,
) -> Drift:
    """Return the causes of a plan's changes, according to the journal.

    ``selected`` are the globs that the plan is limited to. Writes of a run ``under_way`` are not reported as unknown
    outcomes. The gateway is asked only for the edits of realms that were changed outside ztrust-mail. A product that
    shows no settings has no such changes. Raises :class:`UsageError` if the globs match neither a realm of the plan
    nor a vanished one.
    """
    vanished = _vanished_realms(plan, remembered, selected)
    if not plan.realms and not vanished:
        nothing_selected(selected)
    if not gateway.capabilities.read:
        remembered = {name: replace(known, last=None) if known.doubt else known for name, known in remembered.items()}
    pasts = {r.realm: AppliedState.of(gateway.dialect, r, remembered.get(r.realm, _NOTHING)) for r in plan.changed}
    causes = {r.realm: {c.field: pasts[r.realm].cause(c) for c in r.changes} for r in plan.changed}
    changed = _externally_changed(plan, causes)
    edits = attribution.edits_since(gateway, {r.realm: _last_write_time(remembered[r.realm].last) for r in changed})
    findings = find_unmatched(selected, {*vanished, *(realm.realm for realm in plan.realms)})
    for realm in plan.changed:
        known = remembered.get(realm.realm, _NOTHING)
        past, cause, edited = pasts[realm.realm], causes[realm.realm], edits.get(realm.realm, ())
        findings += _RealmDriftFindings(realm, known, past, cause, edited, under_way).findings()
    findings += _unknown_editors(len(changed), len(edits))
    findings += [_vanished_finding(name, remembered[name]) for name in vanished]
    applied = _describe_runs({r.realm: last for r in changed if (last := remembered[r.realm].last)})
    editors = attribution.describe_editors_by_realm(edits)
    return Drift(plan, causes, tuple(findings), vanished, applied, editors)


def _externally_changed(plan: Plan, causes: Mapping[str, Mapping[str, Cause]]) -> list[RealmPlan]:
    """Return the realms that were changed outside ztrust-mail, those with a critical change first."""
    by_others = {
        realm.realm: [c.field for c in realm.changes if causes[realm.realm][c.field].by_others]
        for realm in plan.changed
    }
    changed = [realm for realm in plan.changed if by_others[realm.realm]]
    return sorted(changed, key=lambda realm: not any(map(is_critical, by_others[realm.realm])))


def _last_write_time(last: Write | None) -> datetime | None:
    at = (last.ended or last.started) if last else None
    return as_utc(at) if at else None


@dataclass(frozen=True)
class _RealmDriftFindings:
    """Makes the findings of one realm."""

    realm: RealmPlan
    known: LastKnown
    past: AppliedState
    causes: Mapping[str, Cause]
    edits: Sequence[Edit]
    under_way: int | None

    def findings(self) -> list[Finding]:
        """Return the findings of single fields, then those of the whole realm."""
        others = [change for change in self.realm.changes if self.causes[change.field].by_others]
        authors = {change.field: attribution.find_author(self.past, change, self.edits) for change in others}
        found = [self._external_change(change, authors[change.field]) for change in others]
        found += [self._not_kept(c) for c in self.realm.changes if self.causes[c.field] is Cause.NOT_KEPT]
        if self.edits and None in authors.values():
            message = f"edited since then by {attribution.describe_editors(self.edits)}"
            hint = (
                "some edits may concern other settings than e-mail; switch on the details of admin events to see more"
            )
            found.append(Finding(Severity.NOTE, EDITED_BY, message, hint, realm=self.realm.realm))
        if self.known.doubt and self.known.doubt.run != self.under_way:
            message = f"{_run(self.known.doubt)} began to write this realm, and the outcome is unknown"
            hint = "run: ztrust-mail apply SPEC... --resume"
            found.append(Finding(Severity.WARNING, "in-doubt", message, hint, realm=self.realm.realm))
        return found

    def _not_kept(self, change: Change) -> Finding:
        assert self.known.unkept is not None  # else no change has this cause
        message = (
            f"{quoted(change.field)} is {_display(change.before)}: {NOT_KEPT} what {_run(self.known.unkept)} wrote"
        )
        hint = "read the server's log: it may not take this value, or somebody changed it at the same moment"
        return Finding(Severity.WARNING, "not-kept", message, hint, realm=self.realm.realm, field=change.field)

    def _external_change(self, change: Change, author: Edit | None) -> Finding:
        last = self.known.last
        assert last is not None  # else no change counts as made by others
        now, then = _display(change.before), _display(self.past.last_applied(change))
        who = f", by {attribution.describe_editors([author])}" if author else ""
        message = f"{quoted(change.field)} changed outside ztrust-mail since {_run(last)}: {then} → {now}{who}"
        if self.causes[change.field] is Cause.BOTH:
            message += f"; the spec changed as well, to {_display(change.after)}"
        severity = Severity.CRITICAL if is_critical(change.field) else Severity.WARNING
        return Finding(severity, OUT_OF_BAND, message, realm=self.realm.realm, field=change.field)


def _unknown_editors(changed: int, named: int) -> Iterator[Finding]:
    asked = min(changed, attribution.MOST_REALMS)
    if unnamed := asked - named:
        message = f"unknown who edited {pluralise(unnamed, 'realm')}: no admin events, or this account may not see them"
        hint = "switch on admin events with their details there, and give the account the role view-events"
        yield Finding(Severity.NOTE, "no-admin-events", message, hint)
    if more := changed - asked:
        message = f"did not look up who edited {pluralise(more, 'more realm')}"
        hint = f"`ztrust-mail drift SPEC... --realm GLOB` looks up {asked} realms at a time"
        yield Finding(Severity.NOTE, "not-asked", message, hint)


def _vanished_realms(plan: Plan, remembered: Mapping[str, LastKnown], selected: Sequence[str]) -> tuple[str, ...]:
    """Return the realms that the journal knows, a glob of the spec covers, and the complete list does not have."""
    if not plan.listed:
        return ()
    visible = {realm.realm for realm in plan.realms}.union(plan.uncovered)
    globs = [match.entry.name for match in plan.globs]
    return tuple(
        name
        for name in sorted(remembered.keys() - visible - {MASTER})
        if matches_any(name, globs) and is_selected(name, selected)
    )


def _vanished_finding(realm: str, known: LastKnown) -> Finding:
    write = known.last or known.doubt or known.unkept
    assert write is not None  # the journal knows a realm by one of them
    message = f"the realm is gone or no longer visible; {_run(write)} wrote it"
    hint = "check whether it was removed or renamed, and whether the account still has its role in it"
    hint += "; if it is gone for good: ztrust-mail history --forget REALM"
    return Finding(Severity.ERROR, VANISHED, message, hint, realm=realm)


def _describe_runs(writes: Mapping[str, Write]) -> dict[str, str]:
    """Return by realm the run that wrote it, with the time of the run's newest write: equal for all of its realms."""
    runs = {
        write.run: _run(write) for write in sorted(writes.values(), key=lambda write: _last_write_time(write) or _NEVER)
    }
    return {realm: runs[write.run] for realm, write in writes.items()}


def _run(write: Write) -> str:
    at = write.ended or write.started
    return f"run {write.run}{f' of {to_minute(at)}' if at else ''}"


def _display(value: FieldValue | None) -> str:
    if value is None or value is ABSENT or value == "":
        return "not set"
    if isinstance(value, Masked):
        return "a masked secret"
    return quoted(str(value).lower() if isinstance(value, bool) else value)
