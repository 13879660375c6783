"""Applies a plan: secrets and the journal first, then wave by wave the newest look, the write, the reading back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ztrust_mail.applying.freshness import FreshReads
from ztrust_mail.applying.recorder import Recorder
from ztrust_mail.applying.run import ApplyRun, Conduct
from ztrust_mail.applying.writer import Writer
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import NOTHING_REMEMBERED, JournalState, NewRun
from ztrust_mail.planning.compare import SecretMode, secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan
from ztrust_mail.secrets.store import ResolvedSecrets, SecretStore

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal


@dataclass(frozen=True)
class Result:
    """What an apply did. ``realms`` are in the spec's order, with APPLIED, FAILED, SKIPPED or as planned.

    ``run`` is the run's number in the journal, 0 where nothing was to be written. ``stopped`` says why the rest
    was not begun; ``exit_statuses`` hold what the run as a whole adds to those of its realms; ``command`` is what the
    journal calls it.
    """

    plan: Plan
    realms: tuple[RealmPlan, ...]
    interrupted: bool = False
    run: int = 0
    stopped: str = ""
    findings: tuple[Finding, ...] = ()
    exit_statuses: tuple[ExitStatus, ...] = ()
    command: str = "apply"

    @property
    def exit_status(self) -> ExitStatus:
        """What this result means for the command."""
        own = [ExitStatus.INTERRUPTED] if self.interrupted else []
        return ExitStatus.worst([*own, *self.exit_statuses, replace(self.plan, realms=self.realms).exit_status])


def apply_plan(
    plan: Plan,
    gateway: Gateway,
    secrets: SecretStore,
    journal: Journal,
    run: NewRun,
    *,
    memory: JournalState = NOTHING_REMEMBERED,
    conduct: Conduct | None = None,
) -> Result:
    """Write what the plan says, and read back what the server made of it.

    Secrets are resolved before the first write; a realm whose secret cannot be had fails alone, as does one whose
    settings are no longer what the plan saw. ``memory`` says what the journal knew when the plan was made.
    Raises :class:`JournalError` where the journal cannot be written before the first write; later, that stops the run.
    """
    conduct = conduct or Conduct()
    todo = plan.changed
    conduct.waves.check(todo)
    if not todo:
        return Result(plan, plan.realms, command=run.command)
    values: ResolvedSecrets = {}
    if plan.secrets is not SecretMode.KEEP:
        values = secrets.get(ref for realm in todo for ref in secret_fields(realm.wanted.fields).values())
    recorder = Recorder(journal, gateway.dialect)
    warnings, lock_lost = _too_new(plan, gateway), conduct.lock_lost
    writer = Writer(gateway, FreshReads(gateway, todo), plan.secrets, values, warnings, lock_lost)
    recorder.begin(run, plan, values, memory)
    going = ApplyRun(plan, gateway, writer, recorder, conduct)
    going.go()
    return Result(
        plan,
        tuple(going.done.get(realm.realm, realm) for realm in plan.realms),
        going.interrupted,
        recorder.number,
        going.stopped,
        tuple(going.findings),
        tuple(going.exit_statuses),
        run.command,
    )


def _too_new(plan: Plan, gateway: Gateway) -> dict[str, tuple[Finding, ...]]:
    """Return a warning for each field that this server's version does not know yet."""
    fields = {r.realm: [c.field for c in r.changes if c.field in r.wanted.fields] for r in plan.changed}
    recent = any(gateway.dialect.unsupported_since(names, (0,)) for names in fields.values())
    version = gateway.version() if recent else ()
    found: dict[str, tuple[Finding, ...]] = {}
    for realm, names in fields.items() if version else ():
        found[realm] = tuple(
            Finding(
                Severity.WARNING,
                "too-new",
                f"`{row.field}` has no effect: this server is {'.'.join(map(str, version))}",
                f"it needs {' or '.join('.'.join(map(str, v)) for v in row.since)}; it is stored all the same",
                realm=realm,
                field=row.field,
            )
            for row in gateway.dialect.unsupported_since(names, version)
        )
    return found
