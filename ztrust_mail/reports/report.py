"""The reports that commands end with: a class per kind of result, which a format renders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding

if TYPE_CHECKING:
    from ztrust_mail.api.journal import PastRun
    from ztrust_mail.applying.apply import Result
    from ztrust_mail.core.rules import Rule
    from ztrust_mail.diagnose.doctor import DoctorReport
    from ztrust_mail.diagnose.mail_test import MailTestRun
    from ztrust_mail.drift_detection.drift import Drift
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.planning.safety import Danger
    from ztrust_mail.specfile.resolve import Desired


@dataclass(frozen=True)
class Report:
    """What every report has. ``findings`` are those that belong to no single realm of the report."""

    command: str
    exit_status: ExitStatus
    server: str = ""
    findings: tuple[Finding, ...] = ()

    def with_findings(self, more: Iterable[Finding]) -> Self:
        """Return the report with more findings."""
        return replace(self, findings=(*self.findings, *more))


class FindingsReport(Report):
    """Findings alone: of ``validate``, and of every command that ends with an error."""


@dataclass(frozen=True, kw_only=True)
class ConversionReport(Report):
    """What ``convert`` made; ``converted`` is None where the text went elsewhere."""

    converted: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlanReport(Report):
    """A plan and what is dangerous about it."""

    plan: Plan
    dangers: tuple[Danger, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ApplyReport(Report):
    """What became of an applied plan."""

    result: Result


@dataclass(frozen=True, kw_only=True)
class DriftReport(Report):
    """How the server differs from the spec, and why."""

    drift: Drift


@dataclass(frozen=True, kw_only=True)
class HistoryReport(Report):
    """Runs of the journal; ``whole`` says that one was asked for by its number and has its realms."""

    runs: tuple[PastRun, ...]
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class RemovalReport(Report):
    """How many runs and writes were removed from the journal."""

    runs: int
    writes: int


@dataclass(frozen=True, kw_only=True)
class MailTestReport(Report):
    """The results of test mails."""

    run: MailTestRun


@dataclass(frozen=True, kw_only=True)
class ChecksReport(Report):
    """The doctor's checks."""

    doctor: DoctorReport


@dataclass(frozen=True, kw_only=True)
class CommandsReport(Report):
    """Commands for the reader to run."""

    commands: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ExplanationReport(Report):
    """The resolved settings of a realm."""

    wanted: Desired


@dataclass(frozen=True, kw_only=True)
class RulesReport(Report):
    """Rules with their help; ``whole`` says that one was asked for by its id."""

    rules: tuple[Rule, ...]
    whole: bool = False


def of_findings(command: str, status: ExitStatus, found: Iterable[Finding]) -> FindingsReport:
    """Report findings alone."""
    return FindingsReport(command, status, findings=tuple(found))


def of_conversion(status: ExitStatus, found: Iterable[Finding], converted: str | None) -> ConversionReport:
    """Report a conversion, with the text that was made where the report is the place for it."""
    return ConversionReport("convert", status, findings=tuple(found), converted=converted)


def of_plan(
    command: str, plan: Plan, status: ExitStatus, found: Iterable[Finding] = (), dangers: Iterable[Danger] = ()
) -> PlanReport:
    """Report a plan and what is dangerous about it; ``found`` comes on top of the plan's findings."""
    return PlanReport(command, status, plan.url, (*plan.findings, *found), plan=plan, dangers=tuple(dangers))


def of_result(done: Result, found: Iterable[Finding] = ()) -> ApplyReport:
    """Report what became of an applied plan; ``found`` comes on top of its findings."""
    findings = (*done.plan.findings, *found, *done.findings)
    return ApplyReport(done.command, done.exit_status, done.plan.url, findings, result=done)


def of_drift(found: Drift, status: ExitStatus) -> DriftReport:
    """Report drift; findings of a realm in the plan belong to that realm."""
    planned = {realm.realm for realm in found.plan.realms}
    others = (finding for finding in found.findings if finding.realm not in planned)
    return DriftReport("drift", status, found.plan.url, (*found.plan.findings, *others), drift=found)


def of_runs(runs: Sequence[PastRun], server: str, *, whole: bool = False) -> HistoryReport:
    """Report runs; ``whole`` says that one was asked for by its number."""
    return HistoryReport("history", ExitStatus.OK, server, runs=tuple(runs), whole=whole)


def of_removal(runs: int, writes: int) -> RemovalReport:
    """Report how much was removed from the journal."""
    return RemovalReport("history", ExitStatus.OK, runs=runs, writes=writes)


def of_tests(run: MailTestRun) -> MailTestReport:
    """Report test mails."""
    return MailTestReport("test", run.exit_status, run.url, run=run)


def of_examination(found: DoctorReport) -> ChecksReport:
    """Report the doctor's checks."""
    return ChecksReport("doctor", found.exit_status, found.url, doctor=found)


def of_commands(command: str, commands: Sequence[str]) -> CommandsReport:
    """Report commands for the reader to run."""
    return CommandsReport(command, ExitStatus.OK, commands=tuple(commands))


def of_explained(wanted: Desired, status: ExitStatus) -> ExplanationReport:
    """Report one realm's resolved settings."""
    return ExplanationReport("explain", status, findings=wanted.findings, wanted=wanted)


def of_rules(rules: Sequence[Rule], *, whole: bool = False) -> RulesReport:
    """Report rules; ``whole`` says that one was asked for by its id."""
    return RulesReport("rule", ExitStatus.OK, rules=tuple(rules), whole=whole)
