"""Applies a plan: resolves secrets and records the run, then reads, writes and reads back wave by wave."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ztrust_mail.applying.freshness import FreshReads
from ztrust_mail.applying.options import ApplyContext, ApplyOptions
from ztrust_mail.applying.recorder import Recorder
from ztrust_mail.applying.run import ApplyRun
from ztrust_mail.applying.writer import Writer
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import NewRun
from ztrust_mail.planning.compare import SecretMode, secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan, of_plan
from ztrust_mail.secrets.store import ResolvedSecrets


@dataclass(frozen=True)
class Result:
    """The outcome of an apply. ``realms`` are in the spec's order, with APPLIED, FAILED, SKIPPED or as planned.

    ``run`` is the run's number in the journal, 0 where nothing was to be written. ``stopped`` is the reason why the
    rest was skipped. ``exit_statuses`` are those of the run as a whole, without its realms. ``command`` is the run's
    command in the journal.
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
        """The exit status of the command."""
        own = [ExitStatus.INTERRUPTED] if self.interrupted else []
        return ExitStatus.worst([*own, *self.exit_statuses, replace(self.plan, realms=self.realms).exit_status])


def apply_plan(plan: Plan, context: ApplyContext, options: ApplyOptions) -> Result:
    """Write what the plan says, and read back what the server made of it.

    Secrets are resolved before the first write. A realm whose secret cannot be resolved fails alone, as does a realm
    whose settings changed after the plan was made. Raises :class:`JournalError` where the journal cannot be written
    before the first write; later, that stops the run.
    """
    todo = plan.changed
    if not todo:
        return Result(plan, plan.realms, command=options.command)
    gateway = context.gateway
    values: ResolvedSecrets = {}
    if plan.secrets is not SecretMode.KEEP:
        values = context.secrets.get(ref for realm in todo for ref in secret_fields(realm.wanted.fields).values())
    recorder = Recorder(context.journal, gateway.dialect)
    warnings = _find_unsupported(plan, gateway)
    writer = Writer(gateway, FreshReads(gateway, todo), plan.secrets, values, warnings, context.lock_lost)
    recorder.begin(_new_run(plan, context, options), plan, values, context.memory)
    run = ApplyRun(plan, context, options, writer, recorder)
    run.run()
    return Result(
        plan,
        tuple(run.done.get(realm.realm, realm) for realm in plan.realms),
        run.interrupted,
        recorder.number,
        run.stopped,
        tuple(run.findings),
        tuple(run.exit_statuses),
        options.command,
    )


def _new_run(plan: Plan, context: ApplyContext, options: ApplyOptions) -> NewRun:
    gateway = context.gateway
    plan_digest = options.plan_digest or of_plan(plan, gateway.dialect)
    return NewRun(gateway.url, options.command, context.who, options.spec_digest, plan_digest)


def _find_unsupported(plan: Plan, gateway: Gateway) -> dict[str, tuple[Finding, ...]]:
    """Return by realm a warning for each field that needs a newer server."""
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
                f"it needs {' or '.join('.'.join(map(str, v)) for v in row.since)}; the value is stored anyway",
                realm=realm,
                field=row.field,
            )
            for row in gateway.dialect.unsupported_since(names, version)
        )
    return found
