"""The outcome of an apply: of each realm, and of the whole run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from ztrust_mail.core.errors import ExitStatus, RealmError, ServerError
from ztrust_mail.core.findings import Finding, has_errors
from ztrust_mail.core.results import ResultMethods, flatten, summarise
from ztrust_mail.core.text import quoted
from ztrust_mail.gateways.gateway import LiveRealm
from ztrust_mail.journal.records import Step
from ztrust_mail.planning.compare import Change
from ztrust_mail.planning.plan import Plan, RealmPlan, Status, finding_of


@dataclass(frozen=True, repr=False)
class RealmOutcome:
    """The outcome of an apply for one realm.

    ``status`` is APPLIED, FAILED or SKIPPED, or as planned where nothing was to be written. ``step`` is how far the
    write came: WRITING and WRITTEN mean that its outcome is unknown until the realm is read back. ``live`` is the
    newest read.
    """

    plan: RealmPlan
    status: Status
    step: Step
    findings: tuple[Finding, ...] = ()
    live: LiveRealm | None = None

    @classmethod
    def of(cls, plan: RealmPlan) -> RealmOutcome:
        """Return the outcome of a realm to which no request was sent."""
        return cls(plan, plan.status, Step.PLANNED, plan.findings, plan.live)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {quoted(self.realm)}: {self.status.value}>"

    @property
    def realm(self) -> str:
        """The realm's name."""
        return self.plan.realm

    @property
    def changes(self) -> tuple[Change, ...]:
        """The fields that were to be written."""
        return self.plan.changes

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status that the realm causes."""
        return replace(self.plan, status=self.status).exit_status

    def move_to(self, status: Status, step: Step, *findings: Finding) -> RealmOutcome:
        """Return the outcome with another status and step, and more findings."""
        return replace(self, status=status, step=step, findings=(*self.findings, *findings))

    def fail(self, e: RealmError | ServerError, step: Step = Step.FAILED) -> RealmOutcome:
        """Return the outcome as FAILED, with the reason among its findings."""
        return self.move_to(Status.FAILED, step, finding_of(e, self.realm))


@dataclass(frozen=True, repr=False)
class Result(ResultMethods):
    """The outcome of an apply, its realms in the spec's order.

    ``run`` is the run's number in the journal, 0 if nothing was to be written. ``stopped`` is the reason why the
    rest was skipped. ``own_findings`` belong to no single realm; :attr:`findings` has all. ``exit_statuses`` are those
    of the run as a whole, without its realms. ``command`` is the run's command in the journal.
    """

    plan: Plan
    realms: tuple[RealmOutcome, ...]
    interrupted: bool = False
    run: int = 0
    stopped: str = ""
    own_findings: tuple[Finding, ...] = ()
    exit_statuses: tuple[ExitStatus, ...] = ()
    command: str = "apply"

    @classmethod
    def of_unchanged(cls, plan: Plan, command: str) -> Result:
        """Return the result of a plan that changes nothing."""
        return cls(plan, tuple(map(RealmOutcome.of, plan.realms)), command=command)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings: the plan's own, the run's, then each realm's."""
        return flatten((*self.plan.own_findings, *self.own_findings), (realm.findings for realm in self.realms))

    @property
    def summary(self) -> str:
        """The server and how many realms are in which state."""
        return summarise(self.plan.url, Counter(realm.status.value for realm in self.realms))

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of the command."""
        own = [ExitStatus.INTERRUPTED] if self.interrupted else []
        own += [ExitStatus.PARTIAL] if has_errors(self.plan.own_findings) else []
        return ExitStatus.worst([*own, *self.exit_statuses, *(realm.exit_status for realm in self.realms)])
