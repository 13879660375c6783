"""Plans to restore the settings that realms had before a run.

A realm is reverted only if it is unchanged since the run, including its secrets as far as the journal knows. If a later
run or somebody else has changed it, it is reported and not reverted, unless the user names both the run and the realm
in full. So a revert never undoes a later change silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ztrust_mail.core.errors import RealmError, UsageError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import is_selected, quoted, shell_word, to_minute
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, is_template
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.journal import records
from ztrust_mail.journal.journal import Journal, find_run
from ztrust_mail.journal.records import Run, Step, Write
from ztrust_mail.model.fields import ABSENT, FieldMap, FieldValue, Raw, masked_fields
from ztrust_mail.planning.compare import WriteOutcome, compare, write_outcome
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.planners.from_spec import PlanningContext, plan_wanted
from ztrust_mail.planning.planners.secret_recovery import RealmHistory, RevertTarget, SecretRecovery, may_have_written
from ztrust_mail.planning.policy_check import violations
from ztrust_mail.specfile.resolve import Desired, desired_from_journal

MAX_RUNS = 1_000
"""How many runs are searched for the newest one that wrote."""

CHANGED_SINCE = "changed-since"
"""The rule of a finding about a realm that changed after the run."""

UNDOES_REVERT = "undoes-revert"
"""The rule of a note that the run to revert is a revert itself."""


def run_to_revert(journal: Journal | None, server: str, number: int | None = None, realms: Sequence[str] = ()) -> Run:
    """Return the run with a number, or without one the newest run that wrote a realm selected by ``realms``, globs.

    Raises :class:`UsageError` if there is no such run, or if it wrote to another server or to none of the realms.
    """
    if journal is None:
        hint = "the journal begins with the first apply"
        raise UsageError("nothing to revert: no run has written yet", hint)
    if number is None:
        if newest := _last_run_that_wrote(journal, server, realms):
            return newest
        message = f"nothing to revert: no run on {quoted(server)} has written{_to_realms(realms)}"
        raise UsageError(message, "see ztrust-mail history")
    _, chosen = find_run(journal, server, number)
    if not _writes_of(journal, chosen, realms):
        raise UsageError(f"run {number} wrote nothing{_to_realms(realms)}", f"see ztrust-mail history {number}")
    return chosen


def _writes_of(journal: Journal, run: Run, realms: Sequence[str]) -> list[Write]:
    writes = journal.writes(run.number)
    return [write for write in writes if may_have_written(write) and is_selected(write.realm, realms)]


def _to_realms(globs: Sequence[str]) -> str:
    return f" to a realm that matches {' or '.join(quoted(glob) for glob in globs)}" if globs else ""


def plan_revert(
    journal: Journal,
    gateway: Gateway,
    context: PlanningContext,
    run: Run,
    realms: Sequence[str] = (),
    *,
    insist: bool = False,
) -> Plan:
    """Return the plan that restores the settings from before a run in the realms that it wrote.

    ``realms`` are globs that limit the plan. With ``insist``, realms that these name in full are reverted even if they
    changed after the run. Secrets that cannot be restored are reported. Raises ``ServerError`` if nothing can be read.
    """
    writes = _writes_of(journal, run, realms)
    gateway.login()
    names = {write.realm: records.names_of(gateway.dialect, write) for write in writes}
    reading = read_with_templates(gateway, [*names], names)
    recovery = SecretRecovery(context, journal.fingerprint)
    insisted = frozenset(realms if insist else ())
    planner = _RevertPlanner(gateway.dialect, context, recovery, insisted, gateway.capabilities.read)
    decisions = []
    for write in writes:
        history = RealmHistory.of(write, journal.history_of(gateway.url, write.realm))
        decisions.append(planner.decide(history, reading.realms[write.realm]))
    wanted = [decision.wanted for decision in decisions if decision.left_as is None]
    made = plan_wanted(wanted, gateway, context, reading=reading)
    planned = {realm.realm: realm for realm in made.realms}
    return replace(
        made,
        realms=tuple(decision.to_plan(planned) for decision in decisions),
        own_findings=(*_undoes_revert(journal, run, realms), *made.own_findings),
        command=f"revert {run.number}",
        intro=(f"Back to before run {run.number}: {run.command}, {to_minute(run.started)}, by {run.who}",),
    )


def _undoes_revert(journal: Journal, run: Run, realms: Sequence[str]) -> Iterator[Finding]:
    """Yield a note if the run is a revert itself, with the command that goes one step further back instead."""
    if not run.reverted:
        return
    message = f"run {run.number} is a revert of run {run.reverted}: this brings back what run {run.reverted} wrote"
    hint = f"run {run.reverted} is not in the journal any more"
    if undone := journal.run(run.reverted):
        if undone.reverted:
            hint = f"run {undone.number} was a revert, too"
        elif before := _last_run_that_wrote(journal, undone.server, realms, before=undone.number):
            only = "".join(f" --realm {shell_word(glob)}" for glob in realms)
            hint = f"to go one step further back instead: ztrust-mail revert {before.number}{only}"
        else:
            hint = f"no run before run {run.reverted} wrote{_to_realms(realms)}, so there is no step further back"
    yield Finding(Severity.NOTE, UNDOES_REVERT, message, hint)


def _last_run_that_wrote(journal: Journal, server: str, realms: Sequence[str], before: int | None = None) -> Run | None:
    """Return the newest run that wrote a selected realm, of those before a number if one is given."""
    runs = journal.runs(server, MAX_RUNS)
    return next((r for r in runs if (before is None or r.number < before) and _writes_of(journal, r, realms)), None)


@dataclass(frozen=True)
class _RevertDecision:
    """The effect of a revert on one realm: write the ``wanted`` settings, or nothing.

    If it writes nothing, ``left_as`` is the realm's status, and ``live`` its settings as read.
    """

    wanted: Desired
    findings: tuple[Finding, ...] = ()
    left_as: Status | None = None
    live: LiveRealm | None = None

    def to_plan(self, planned: dict[str, RealmPlan]) -> RealmPlan:
        """Return the realm's part of the plan; ``planned`` holds the realms that are written, as planned."""
        realm = self.wanted.realm
        if self.left_as is not None:
            return RealmPlan(realm, self.left_as, self.wanted, self.live, findings=self.findings)
        return replace(planned[realm], findings=(*planned[realm].findings, *self.findings))


@dataclass(frozen=True)
class _RevertPlanner:
    """Decides the effect of a revert realm by realm.

    ``insisted`` are realms to revert even if they changed after the run. ``is_readable`` is False for a server that
    shows no settings.
    """

    dialect: Dialect
    context: PlanningContext
    recovery: SecretRecovery
    insisted: frozenset[str] = field(default_factory=frozenset)
    is_readable: bool = True

    def decide(self, history: RealmHistory, live: LiveRealm | RealmError) -> _RevertDecision:
        """Decide the effect of the revert on one realm."""
        write = history.write
        fields = _fields_before(self.dialect, write.before, live)
        wanted = desired_from_journal(write.realm, fields or None)
        if isinstance(live, RealmError):
            return _RevertDecision(wanted)  # the plan reports the error
        if not self.is_readable and not write.before:
            return _fail(wanted, [_unknown_before(write)])
        target = self._target(history, wanted, self.dialect.mask_secrets(live.attributes))
        if target.is_reverted or self._never_arrived(history, target.live):
            message = f"already as it was before run {write.run}, as far as the server shows"
            note = _finding(Severity.NOTE, "already-so", write, message)
            return _RevertDecision(wanted, (note,), Status.IN_SYNC, live)
        findings: tuple[Finding, ...] = ()
        if change := self._later_change(history, target.live):
            if write.realm not in self.insisted:
                return _RevertDecision(wanted, (_changed_since(write, change),), Status.SKIPPED, live)
            message = f"{change}; this revert undoes that too"
            findings = (_finding(Severity.WARNING, CHANGED_SINCE, write, message),)
        if names := self._unwritable(fields):
            return _fail(wanted, [_cannot_write_back(write, names)])
        return self._restore_secrets(target, wanted, findings)

    def _target(self, history: RealmHistory, wanted: Desired, live: Attributes) -> RevertTarget:
        fields = wanted.fields
        with_references = replace(wanted, fields={**fields, **_any_reference(masked_fields(fields))})
        changes = compare(self.dialect, with_references, live).changes
        return RevertTarget(history, fields, self.dialect.decode(live), live, changes)

    def _never_arrived(self, history: RealmHistory, live: Attributes) -> bool:
        is_latest = history.latest.run == history.write.run
        return is_latest and self._outcome(history.write, live) is WriteOutcome.NOT_ARRIVED

    def _outcome(self, write: Write, live: Attributes) -> WriteOutcome | None:
        """Return the outcome of a write that the journal does not know, None if the journal knows it."""
        if not write.step.in_doubt:
            return None
        if not self.is_readable:
            return WriteOutcome.CANNOT_TELL
        return write_outcome(self.dialect, desired_from_journal(write.realm, write.intent), write.before, live)

    def _later_change(self, history: RealmHistory, live: Attributes) -> str:
        """Return what changed the realm after the run, as text; empty if it is as the run left it."""
        write, latest = history.write, history.latest
        is_as_left = history.is_as_left(live, masked_fields(self.dialect.decode(live)))
        if latest.run != write.run:
            return "" if is_as_left else f"run {latest.run} wrote this realm after run {write.run}"
        if write.step is Step.FAILED:
            return f"the server did not store what run {write.run} wrote"
        arrived = self._outcome(write, live) in (WriteOutcome.ARRIVED, WriteOutcome.CANNOT_TELL)
        return "" if arrived or is_as_left else f"somebody changed this realm after run {write.run}"

    def _unwritable(self, fields: FieldMap) -> list[str]:
        """Return the fields with a ``Raw`` value that the dialect cannot write back as it was."""
        raw = {name: value for name, value in fields.items() if isinstance(value, Raw)}
        return [name for name, value in raw.items() if not self._round_trips(name, value)]

    def _round_trips(self, name: str, value: FieldValue) -> bool:
        try:
            written = self.dialect.encode({name: value}, {})
        except TypeError:  # the field's codec does not encode text
            return False
        return self.dialect.decode({n: text for n, text in written.items() if isinstance(text, str)}) == {name: value}

    def _restore_secrets(self, target: RevertTarget, wanted: Desired, findings: tuple[Finding, ...]) -> _RevertDecision:
        """Replace each mask in ``wanted`` by a reference; the realm fails if a needed secret cannot be restored."""
        plain = {name: value for name, value in wanted.fields.items() if name not in target.masked}
        if violations(self.context.policy, replace(wanted, fields=plain)):
            # Applying this plan is refused by the policy, so no reference is resolved for it.
            refs = {name: ref for name in target.masked for ref in target.history.references(name)[:1]}
            return _RevertDecision(replace(wanted, fields=plain | refs), findings)
        choices = {name: self.recovery.choose(target, name) for name in target.masked}
        reported = [choice.finding for choice in choices.values() if choice.finding]
        if has_errors(reported):
            return _fail(wanted, [*findings, *reported])
        values = {name: choice.value for name, choice in choices.items() if choice.value is not None}
        fields = {n: values.get(n, v) for n, v in wanted.fields.items() if n in plain or n in values}
        return _RevertDecision(replace(wanted, fields=fields), (*findings, *reported))


def _fields_before(dialect: Dialect, before: Attributes, live: LiveRealm | RealmError) -> FieldMap:
    """Return the fields from before the run, with ABSENT for open fields that were added since.

    Any other added field is removed anyway because it is not named; open fields (extra attributes, templates,
    notifications) are removed only if they are named.
    """
    fields = dialect.decode(before)
    if isinstance(live, RealmError):
        return fields
    added = [name for name in live.attributes if name not in before]
    if not fields and not any(map(is_template, added)):
        return {}
    named = [
        dialect.field_of_attribute(name) for name in added if is_template(name) or name not in dialect.attribute_names
    ]
    return {**fields, **{name: ABSENT for name in named if name not in fields}}


def _any_reference(names: Iterable[str]) -> dict[str, FieldValue]:
    """Return a stand-in reference for each secret: a comparison only needs to know that there is one."""
    return {name: SecretRef(SecretKind.ENV, ("",)) for name in names}


def _fail(wanted: Desired, findings: Sequence[Finding]) -> _RevertDecision:
    return _RevertDecision(replace(wanted, fields={}, findings=tuple(findings)))


def _changed_since(write: Write, change: str) -> Finding:
    hint = f"to revert it anyway: ztrust-mail revert {write.run} --realm {shell_word(write.realm)}"
    return replace(_finding(Severity.ERROR, CHANGED_SINCE, write, f"not reverted: {change}"), hint=hint)


def _cannot_write_back(write: Write, names: Sequence[str]) -> Finding:
    fields = ", ".join(quoted(name) for name in names)
    message = f"cannot write back the value of {fields} from before run {write.run}: it is not valid for the field"
    return Finding(
        Severity.ERROR, "not-sayable", message, "set it in the server's console", realm=write.realm, field=names[0]
    )


def _unknown_before(write: Write) -> Finding:
    message = f"the settings from before run {write.run} are unknown: the server does not show them"
    hint = "write an entry for this realm in a spec, and apply the spec"
    return replace(_finding(Severity.ERROR, "never-seen", write, message), hint=hint)


def _finding(severity: Severity, rule: str, write: Write, message: str) -> Finding:
    return Finding(severity, rule, message, realm=write.realm)
