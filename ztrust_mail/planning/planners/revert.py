"""Plans the way back to the state before a run.

The rule: a realm is reverted while it is as the run left it, its secrets included as far as the journal can tell,
whoever brought it there. Otherwise it is left alone and named, with what came after the run; to revert it all the same,
the run and the realm are both named in full. So no later run and nobody's later edit is undone without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import RealmError, UsageError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.core.globs import is_selected
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, is_template
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.journal import records
from ztrust_mail.journal.journal import find_run
from ztrust_mail.journal.records import Run, Step, Write
from ztrust_mail.model.fields import ABSENT, FieldMap, FieldValue, Raw
from ztrust_mail.planning.compare import WriteOutcome, compare, write_outcome
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.planners.from_spec import PlanningContext, plan_wanted
from ztrust_mail.planning.planners.realm_history import RealmHistory, has_written
from ztrust_mail.planning.planners.secret_recovery import RevertTarget, SecretRecovery, hidden_in
from ztrust_mail.planning.policy_check import violations
from ztrust_mail.specfile.resolve import Desired, desired_from_journal

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal

MANY_RUNS = 1_000
"""So many runs are looked through for the newest one that wrote."""

CHANGED_SINCE = "changed-since"
"""The rule of a finding that says that a realm is no longer as the run left it."""


def run_to_revert(journal: Journal | None, server: str, number: int | None = None, realms: Sequence[str] = ()) -> Run:
    """Return the run of that number, without one the newest that wrote any of the realms, which are globs.

    Raises :class:`UsageError` where there is none, or where it wrote to another server or to none of the realms.
    """
    if journal is None:
        raise UsageError("there is nothing to revert: no run has written yet", "apply writes, and notes what it does")
    if number is None:
        for run in journal.runs(server, MANY_RUNS):
            if _written(journal, run, realms):
                return run
        raise UsageError(f"there is nothing to revert on {quoted(server)}{_among(realms)}", "look at history")
    _, chosen = find_run(journal, server, number)
    if not _written(journal, chosen, realms):
        raise UsageError(f"run {number} wrote nothing{_among(realms)}", f"look at history {number}")
    return chosen


def _written(journal: Journal, run: Run, realms: Sequence[str]) -> list[Write]:
    return [write for write in journal.writes(run.number) if has_written(write) and is_selected(write.realm, realms)]


def _among(realms: Sequence[str]) -> str:
    return f" to a realm that matches {' or '.join(quoted(glob) for glob in realms)}" if realms else ""


def plan_revert(
    journal: Journal,
    gateway: Gateway,
    means: PlanningContext,
    run: Run,
    realms: Sequence[str] = (),
    *,
    insist: bool = False,
) -> Plan:
    """Return the plan that brings the realms a run wrote back to how they were before it.

    ``realms`` are globs that limit it; with ``insist`` those that they name in full are reverted even though they have
    changed since. Secrets that cannot be brought back are told. Raises ``ServerError`` when nothing can be read.
    """
    writes = _written(journal, run, realms)
    gateway.login()
    names = {write.realm: records.names_of(gateway.dialect, write) for write in writes}
    reading = read_with_templates(gateway, [*names], names)
    insisted = frozenset(realms if insist else ())
    back = _RevertPlanner(
        gateway.dialect, means, SecretRecovery(means, journal.fingerprint), insisted, gateway.capabilities.read
    )
    ways = [
        back.of(RealmHistory.of(write, journal.history_of(gateway.url, write.realm)), reading.realms[write.realm])
        for write in writes
    ]
    made = plan_wanted([way.wanted for way in ways if way.stays is None], gateway, means, reading=reading)
    planned = {realm.realm: realm for realm in made.realms}
    return replace(made, realms=tuple(way.planned(planned) for way in ways))


@dataclass(frozen=True)
class _RevertDecision:
    """What is to become of one realm. ``stays`` is where it stands if it is left as it is."""

    wanted: Desired
    findings: tuple[Finding, ...] = ()
    stays: Status | None = None
    live: LiveRealm | None = None

    def planned(self, made: dict[str, RealmPlan]) -> RealmPlan:
        """Return the realm's part of the plan."""
        realm = self.wanted.realm
        if self.stays is not None:
            return RealmPlan(realm, self.stays, self.wanted, self.live, findings=self.findings)
        return replace(made[realm], findings=(*made[realm].findings, *self.findings))


@dataclass(frozen=True)
class _RevertPlanner:
    """Finds the way back for each realm.

    ``insisted`` are the realms to be reverted whatever came later. ``sees`` is False where the server shows nothing.
    """

    dialect: Dialect
    planning_context: PlanningContext
    finder: SecretRecovery
    insisted: frozenset[str] = field(default_factory=frozenset)
    sees: bool = True

    def of(self, trail: RealmHistory, live: LiveRealm | RealmError) -> _RevertDecision:
        """Return the way back for one realm."""
        write = trail.write
        fields = _with_removals(self.dialect, write.before, live)
        wanted = desired_from_journal(write.realm, fields or None)
        if isinstance(live, RealmError):
            return _RevertDecision(wanted)  # the plan says why
        if not self.sees and not write.before:
            return _failing(wanted, [_never_seen(write)])
        site = self._site(trail, wanted, self.dialect.mask_secrets(live.attributes))
        if site.is_back or self._never_arrived(trail, site.live):
            message = f"it is as it was before run {write.run}, as far as can be seen"
            return _RevertDecision(wanted, (_note(Severity.NOTE, "already-so", write, message),), Status.IN_SYNC, live)
        findings: tuple[Finding, ...] = ()
        if later := self._later(trail, site.live):
            if write.realm not in self.insisted:
                return _RevertDecision(wanted, (_left_alone(write, later),), Status.SKIPPED, live)
            findings = (_note(Severity.WARNING, CHANGED_SINCE, write, f"{later}: that is undone too"),)
        if unsayable := self._unsayable(fields):
            return _failing(wanted, [_cannot_be_said(write, unsayable)])
        return self._with_secrets(site, wanted, findings)

    def _site(self, trail: RealmHistory, wanted: Desired, live: Attributes) -> RevertTarget:
        fields = wanted.fields
        seen_as_references = replace(wanted, fields={**fields, **_stand_in(hidden_in(fields))})
        changes = compare(self.dialect, seen_as_references, live).changes
        return RevertTarget(trail, fields, self.dialect.decode(live), live, changes)

    def _never_arrived(self, trail: RealmHistory, live: Attributes) -> bool:
        return trail.latest.run == trail.write.run and self._fate(trail.write, live) is WriteOutcome.NOT_ARRIVED

    def _fate(self, write: Write, live: Attributes) -> WriteOutcome | None:
        if not write.step.in_doubt:
            return None
        if not self.sees:
            return WriteOutcome.CANNOT_TELL
        return write_outcome(self.dialect, desired_from_journal(write.realm, write.intent), write.before, live)

    def _later(self, trail: RealmHistory, live: Attributes) -> str:
        """Say what came after the run, nothing where the realm is as the run left it."""
        write, latest = trail.write, trail.latest
        hidden = hidden_in(self.dialect.decode(live))
        if latest.run != write.run:
            return "" if trail.is_as_left(live, hidden) else f"run {latest.run} wrote it after run {write.run}"
        if write.step is Step.FAILED:
            return f"run {write.run} did not leave it as it meant to"
        arrived = self._fate(write, live) in (WriteOutcome.ARRIVED, WriteOutcome.CANNOT_TELL)
        return "" if arrived or trail.is_as_left(live, hidden) else f"somebody changed it after run {write.run}"

    def _unsayable(self, fields: FieldMap) -> list[str]:
        """Return the fields of which the dialect cannot write again the odd text that stood there."""
        odd = {name: value for name, value in fields.items() if isinstance(value, Raw)}
        return [name for name, value in odd.items() if not self._comes_back(name, value)]

    def _comes_back(self, name: str, value: FieldValue) -> bool:
        try:
            written = self.dialect.encode({name: value}, {})
        except TypeError:  # this field is never written as text
            return False
        return self.dialect.decode({n: text for n, text in written.items() if isinstance(text, str)}) == {name: value}

    def _with_secrets(self, site: RevertTarget, wanted: Desired, findings: tuple[Finding, ...]) -> _RevertDecision:
        """Return the realm with references in place of masks, failing where one that is needed is not to be had."""
        plain = {name: value for name, value in wanted.fields.items() if name not in site.hidden}
        if violations(self.planning_context.policy, replace(wanted, fields=plain)):
            refs = {name: ref for name in site.hidden for ref in site.trail.references(name)[:1]}
            return _RevertDecision(
                replace(wanted, fields=plain | refs), findings
            )  # refused by whoever applies it: not resolved
        answers = {name: self.finder.answer(site, name) for name in site.hidden}
        told = [answer.finding for answer in answers.values() if answer.finding]
        if has_errors(told):
            return _failing(wanted, [*findings, *told])
        values = {name: answer.value for name, answer in answers.items() if answer.value is not None}
        fields = {n: values.get(n, v) for n, v in wanted.fields.items() if n in plain or n in values}
        return _RevertDecision(replace(wanted, fields=fields), (*findings, *told))


def _with_removals(dialect: Dialect, before: Attributes, live: LiveRealm | RealmError) -> FieldMap:
    """Return the fields from before the run; what a spec has to name, and has come since, is not to be there."""
    fields = dialect.decode(before)
    if isinstance(live, RealmError):
        return fields
    come = [name for name in live.attributes if name not in before]
    if not fields and not any(map(is_template, come)):
        return {}
    named = [
        dialect.field_of_attribute(name) for name in come if is_template(name) or name not in dialect.attribute_names
    ]
    return {**fields, **{name: ABSENT for name in named if name not in fields}}


def _stand_in(names: Iterable[str]) -> dict[str, FieldValue]:
    """Return a reference for each secret that is not found yet: comparing asks only whether there is one."""
    return {name: SecretRef(SecretKind.ENV, ("",)) for name in names}


def _failing(wanted: Desired, findings: Sequence[Finding]) -> _RevertDecision:
    return _RevertDecision(replace(wanted, fields={}, findings=tuple(findings)))


def _left_alone(write: Write, later: str) -> Finding:
    hint = f"to revert it all the same, name both: revert {write.run} --realm {quoted(write.realm)}"
    return replace(_note(Severity.ERROR, CHANGED_SINCE, write, f"left alone: {later}"), hint=hint)


def _cannot_be_said(write: Write, names: Sequence[str]) -> Finding:
    message = f"{', '.join(quoted(name) for name in names)} cannot be written again as it was before run {write.run}"
    return Finding(Severity.ERROR, "not-sayable", message, "set it by hand", realm=write.realm, field=names[0])


def _never_seen(write: Write) -> Finding:
    message = f"what stood there before run {write.run} is not known: nobody could look"
    return replace(_note(Severity.ERROR, "never-seen", write, message), hint="write an entry for it, and apply that")


def _note(severity: Severity, rule: str, write: Write, message: str) -> Finding:
    return Finding(severity, rule, message, realm=write.realm)
