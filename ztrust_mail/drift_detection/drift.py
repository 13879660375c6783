"""Three-way drift: live against desired against last applied, so that every difference has a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import MASTER, glob_matches, pluralise, quoted
from ztrust_mail.drift_detection import attribution
from ztrust_mail.drift_detection.attribution import AppliedState, Cause, is_critical
from ztrust_mail.gateways.gateway import Edit, Gateway
from ztrust_mail.journal.records import NOT_KEPT, LastKnown, Write
from ztrust_mail.model.fields import ABSENT, FieldValue, Masked
from ztrust_mail.planning.compare import Change
from ztrust_mail.planning.plan import Plan, RealmPlan, all_findings
from ztrust_mail.planning.planners.from_spec import nothing_selected, unmatched

_NOTHING = LastKnown()
_GONE_OUT = ", and which mail and password went there"
_ANOTHER_JOURNAL = "A run with another journal looks the same"


@dataclass(frozen=True)
class Drift:
    """How the server differs from the spec, and why: the plan, and the cause of each change by realm and field.

    ``vanished`` are realms that this tool wrote, that the spec's globs would cover, and that cannot be seen now.
    ``findings`` come on top of the plan's.
    """

    plan: Plan
    causes: Mapping[str, Mapping[str, Cause]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    vanished: tuple[str, ...] = ()

    @property
    def exit_status(self) -> ExitStatus:
        """What this means for the command."""
        gone = [ExitStatus.DIFFERS] if self.vanished else []
        return ExitStatus.worst([*gone, self.plan.exit_status])

    @property
    def all_findings(self) -> list[Finding]:
        """Every finding, the plan's included; critical ones first."""
        found = [*all_findings(self.plan), *self.findings]
        return sorted(found, key=lambda one: one.severity is not Severity.CRITICAL)

    def is_critical(self, realm: str, field: str) -> bool:
        """Tell whether somebody changed a field by which credentials are stolen or mail is forged."""
        return self.causes[realm][field].by_others and is_critical(field)


def explain_drift(
    plan: Plan,
    remembered: Mapping[str, LastKnown],
    gateway: Gateway,
    *,
    selected: Sequence[str] = (),
    under_way: int | None = None,
) -> Drift:
    """Return what a plan's changes come from, by what the journal remembers of the server's realms.

    ``selected`` are the globs that the plan is limited to; what a run ``under_way`` writes is in no doubt. The gateway
    is asked who edited the realms that somebody seems to have changed, and for nothing else. Of one that shows nothing,
    nobody can be said to have changed it. Raises ``UsageError`` where the globs fit no realm of the spec, not even one
    that has vanished.
    """
    vanished = _vanished(plan, remembered, selected)
    if not plan.realms and not vanished:
        nothing_selected(selected)
    if not gateway.capabilities.read:
        remembered = {name: replace(known, last=None) if known.doubt else known for name, known in remembered.items()}
    pasts = {r.realm: AppliedState.of(gateway.dialect, r, remembered.get(r.realm, _NOTHING)) for r in plan.changed}
    causes = {r.realm: {c.field: pasts[r.realm].cause(c) for c in r.changes} for r in plan.changed}
    suspects = _suspects(plan, causes)
    edits = attribution.edits_since(gateway, {r.realm: _since(remembered[r.realm].last) for r in suspects})
    findings = unmatched(selected, {*vanished, *(realm.realm for realm in plan.realms)})
    for realm in plan.changed:
        known = remembered.get(realm.realm, _NOTHING)
        past, cause, edited = pasts[realm.realm], causes[realm.realm], edits.get(realm.realm, ())
        told = _RealmDriftFindings(realm, known, past, cause, edited, under_way)
        findings += told.findings()
    findings += _left_open(len(suspects), len(edits))
    findings += [_gone(name, remembered[name]) for name in vanished]
    return Drift(plan, causes, tuple(findings), vanished)


def _suspects(plan: Plan, causes: Mapping[str, Mapping[str, Cause]]) -> list[RealmPlan]:
    """Return the realms that somebody changed, those with a critical change first."""
    by_others = {
        realm.realm: [c.field for c in realm.changes if causes[realm.realm][c.field].by_others]
        for realm in plan.changed
    }
    suspects = [realm for realm in plan.changed if by_others[realm.realm]]
    return sorted(suspects, key=lambda realm: not any(map(is_critical, by_others[realm.realm])))


def _since(last: Write | None) -> datetime | None:
    at = (last.ended or last.started) if last else None
    return attribution.utc(at) if at else None


@dataclass(frozen=True)
class _RealmDriftFindings:
    """One realm's part of what there is to tell."""

    realm: RealmPlan
    known: LastKnown
    past: AppliedState
    causes: Mapping[str, Cause]
    edits: Sequence[Edit]
    under_way: int | None

    def findings(self) -> list[Finding]:
        """Return a finding for every field that somebody changed, and what else there is to say of the realm."""
        others = [change for change in self.realm.changes if self.causes[change.field].by_others]
        authors = {change.field: attribution.author(self.past, change, self.edits) for change in others}
        found = [self._changed(change, authors[change.field]) for change in others]
        found += [self._not_kept(c) for c in self.realm.changes if self.causes[c.field] is Cause.NOT_KEPT]
        if self.edits and None in authors.values():
            message = f"since then the server saw this realm edited by {attribution.in_words(self.edits)}"
            hint = "some may be of other settings than e-mail; admin events tell more with their details on"
            found.append(Finding(Severity.NOTE, "edited-by", message, hint, realm=self.realm.realm))
        if self.known.doubt and self.known.doubt.run != self.under_way:
            message = f"{_run(self.known.doubt)} began to write this realm, and it is not known whether that arrived"
            hint = "run apply --resume"
            found.append(Finding(Severity.WARNING, "in-doubt", message, hint, realm=self.realm.realm))
        return found

    def _not_kept(self, change: Change) -> Finding:
        assert self.known.unkept is not None  # without it, nothing is known not to be kept
        message = (
            f"{quoted(change.field)} is {_in_words(change.before)}: {NOT_KEPT} what {_run(self.known.unkept)} wrote"
        )
        hint = "look at the server's log: it may not take this value, or somebody changed it at that very moment"
        return Finding(Severity.WARNING, "not-kept", message, hint, realm=self.realm.realm, field=change.field)

    def _changed(self, change: Change, author: Edit | None) -> Finding:
        last = self.known.last
        assert last is not None  # without it, nothing is known to be by others
        now, then = _in_words(change.before), _in_words(self.past.last_applied(change))
        who = f" by {attribution.in_words([author])}" if author else ""
        message = (
            f"{quoted(change.field)} is {now}; it was {then} when {_run(last)} applied it, and was changed since{who}"
        )
        if self.causes[change.field] is Cause.BOTH:
            message += f"; the spec has moved on too, it says {_in_words(change.after)}"
        critical = is_critical(change.field)
        hint = f"find out who did it{_GONE_OUT if critical else ''}; apply puts it right. {_ANOTHER_JOURNAL}"
        severity = Severity.CRITICAL if critical else Severity.WARNING
        return Finding(severity, "out-of-band", message, hint, realm=self.realm.realm, field=change.field)


def _left_open(suspects: int, named: int) -> Iterator[Finding]:
    asked = min(suspects, attribution.MOST_REALMS)
    if unnamed := asked - named:
        message = (
            f"nothing tells who edited {pluralise(unnamed, 'realm')}: no admin events are kept, or we may not see them"
        )
        hint = "turn on admin events with their details there, and give the account the role view-events"
        yield Finding(Severity.NOTE, "no-admin-events", message, hint)
    if more := suspects - asked:
        message = f"of {pluralise(more, 'more realm')} it was not asked who edited them"
        yield Finding(Severity.NOTE, "not-asked", message, f"drift --realm GLOB asks for up to {asked} realms")


def _vanished(plan: Plan, remembered: Mapping[str, LastKnown], selected: Sequence[str]) -> tuple[str, ...]:
    """Return the realms written before that a glob of the spec covers and the complete list does not have."""
    if not plan.listed:
        return ()
    visible = {realm.realm for realm in plan.realms}.union(plan.uncovered)
    globs = [match.entry.name for match in plan.globs]
    return tuple(
        name
        for name in sorted(remembered.keys() - visible - {MASTER})
        if any(glob_matches(glob, name) for glob in globs)
        and (not selected or any(glob_matches(glob, name) for glob in selected))
    )


def _gone(realm: str, known: LastKnown) -> Finding:
    write = known.last or known.doubt or known.unkept
    assert write is not None  # a realm is remembered for one of them
    message = f"the realm is not there, or not to be seen any more; {_run(write)} wrote it"
    hint = "look whether it was removed or renamed, and whether the account still has its role in it"
    hint += "; if it is gone for good: history --forget REALM"
    return Finding(Severity.ERROR, "vanished", message, hint, realm=realm)


def _run(write: Write) -> str:
    at = write.ended or write.started
    return f"run {write.run}{f' of {attribution.moment(at)}' if at else ''}"


def _in_words(value: FieldValue | None) -> str:
    if value is None or value is ABSENT or value == "":
        return "not set"
    if isinstance(value, Masked):
        return "a hidden secret"
    return quoted(str(value).lower() if isinstance(value, bool) else value)
