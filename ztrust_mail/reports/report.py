"""The reports that commands end with, a class per kind of result, and the formats that render them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import Result
    from ztrust_mail.core.rules import Rule
    from ztrust_mail.diagnose.doctor import DoctorReport
    from ztrust_mail.diagnose.mail_test import MailTestRun
    from ztrust_mail.diagnose.servers import ServerList
    from ztrust_mail.drift_detection.drift import Drift
    from ztrust_mail.journal.request_list import RequestList, RequestStatus
    from ztrust_mail.journal.requests import StoredRequest
    from ztrust_mail.kits.result import CheckRun
    from ztrust_mail.linting.result import LintResult
    from ztrust_mail.planning.differences import RunDiff, ServerDiff
    from ztrust_mail.planning.past_runs import PastRun
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.planning.safety import Danger
    from ztrust_mail.planning.saved.write import SavedPlan
    from ztrust_mail.probing.run import ProbeRun
    from ztrust_mail.providers.presets import Preset
    from ztrust_mail.reports.style import Line
    from ztrust_mail.specfile.resolve import Desired


Rendered_co = TypeVar("Rendered_co", covariant=True)


@dataclass(frozen=True)
class Report:
    """The common parts of every report. ``findings`` belong to no single realm of the report.

    ``kind`` is the name of the method of :class:`ReportFormat` that renders the report. ``title`` is the server's
    display name, ``next_step`` the next command. ``specs`` are the files and folders that it was made from.
    """

    kind: ClassVar[str]

    command: str
    exit_status: ExitStatus
    server: str = ""
    findings: tuple[Finding, ...] = ()
    title: str = ""
    next_step: str = ""
    specs: tuple[str, ...] = ()

    def with_findings(self, more: Iterable[Finding]) -> Self:
        """Return the report with more findings."""
        return replace(self, findings=(*self.findings, *more))


@dataclass(frozen=True, kw_only=True)
class FindingsReport(Report):
    """Only findings: of ``validate`` and ``lint``, and of every command that ends with an error.

    ``hidden`` counts findings of lint that are not shown: ``ignored`` by comments in a spec, and in the ``baseline``;
    it is None for an error. ``counts`` describes the content of a checked spec, or the number of findings if it is
    invalid.
    """

    kind: ClassVar[str] = "findings"

    hidden: Mapping[str, int] | None = None
    counts: str = ""


@dataclass(frozen=True, kw_only=True)
class ConversionReport(Report):
    """The output of ``convert``; ``converted`` is None if the text was written elsewhere."""

    kind: ClassVar[str] = "conversion"

    converted: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlanReport(Report):
    """A plan and its dangers.

    ``refusal`` says why it is refused, and is one of the findings; ``refused`` has the dangers that it is refused for.
    ``saved`` is the file's content if the plan was read from a file.
    """

    kind: ClassVar[str] = "plan"

    plan: Plan
    dangers: tuple[Danger, ...] = ()
    refusal: Finding | None = None
    refused: tuple[Danger, ...] = ()
    saved: SavedPlan | None = None


@dataclass(frozen=True, kw_only=True)
class ApplyReport(Report):
    """What became of an applied plan."""

    kind: ClassVar[str] = "apply"

    result: Result


@dataclass(frozen=True, kw_only=True)
class DriftReport(Report):
    """How the server differs from the spec, and why. ``uncovered_fails`` says that a realm without an entry fails."""

    kind: ClassVar[str] = "drift"

    drift: Drift
    uncovered_fails: bool = False


@dataclass(frozen=True, kw_only=True)
class HistoryReport(Report):
    """Runs of the journal; ``whole`` says that one was asked for by its number and has its realms."""

    kind: ClassVar[str] = "history"

    runs: tuple[PastRun, ...]
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class DiffReport(Report):
    """How what two runs left differs; the findings of its realms are with these."""

    kind: ClassVar[str] = "diff"

    diff: RunDiff


@dataclass(frozen=True, kw_only=True)
class ComparisonReport(Report):
    """How two servers differ; the findings of their realms are with these."""

    kind: ClassVar[str] = "comparison"

    found: ServerDiff


@dataclass(frozen=True, kw_only=True)
class RemovalReport(Report):
    """How many runs and writes were removed from the journal."""

    kind: ClassVar[str] = "removal"

    runs: int
    writes: int


@dataclass(frozen=True, kw_only=True)
class MailTestReport(Report):
    """The results of test mails."""

    kind: ClassVar[str] = "mail_tests"

    run: MailTestRun


@dataclass(frozen=True, kw_only=True)
class ProbeReport(Report):
    """What probes of relays found. The findings of the relays are also at their stages."""

    kind: ClassVar[str] = "probe"

    run: ProbeRun


@dataclass(frozen=True, kw_only=True)
class CheckReport(Report):
    """The result of a check before a switch. The findings belong to the realms."""

    kind: ClassVar[str] = "check"

    run: CheckRun


@dataclass(frozen=True, kw_only=True)
class ChecksReport(Report):
    """The doctor's checks. With ``capabilities``, also the table of operations."""

    kind: ClassVar[str] = "checks"

    doctor: DoctorReport
    capabilities: bool = False


@dataclass(frozen=True, kw_only=True)
class CommandsReport(Report):
    """Commands for the reader to run."""

    kind: ClassVar[str] = "commands"

    commands: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ExplanationReport(Report):
    """The resolved settings of a realm, and the fields that it does not inherit because it has another relay."""

    kind: ClassVar[str] = "explanation"

    wanted: Desired
    not_inherited: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RulesReport(Report):
    """Rules with their help; ``whole`` says that one was asked for by its id."""

    kind: ClassVar[str] = "rules"

    rules: tuple[Rule, ...]
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class PresetsReport(Report):
    """Mail providers; ``whole`` says that one was asked for by its name."""

    kind: ClassVar[str] = "presets"

    presets: tuple[Preset, ...]
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class ServersReport(Report):
    """The servers in the settings, and the results of their checks."""

    kind: ClassVar[str] = "servers"

    listed: ServerList


@dataclass(frozen=True)
class ServerResult:
    """One of several servers in a run.

    ``lines`` are its text as shown by the command, None to render the report. ``remark`` replaces the result of the
    report, for example for a server that was never started. ``fill_in`` returns a hint with the user's own arguments.
    """

    name: str
    report: Report
    labels: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[Line, ...] | None = None
    remark: str = ""
    fill_in: Callable[[str], str] = field(default=str, compare=False)


@dataclass(frozen=True, kw_only=True)
class ManyServersReport(Report):
    """What became of each server of a run on several."""

    kind: ClassVar[str] = "many_servers"

    servers: tuple[ServerResult, ...]


@dataclass(frozen=True, kw_only=True)
class RequestListReport(Report):
    """The requests in the journal that have not ended, and the newest others."""

    kind: ClassVar[str] = "request_list"

    listed: RequestList


@dataclass(frozen=True, kw_only=True)
class RequestsReport(Report):
    """The current state of some requests; with ``whole`` in full, otherwise in a sentence each."""

    kind: ClassVar[str] = "requests"

    requests: tuple[RequestStatus, ...]
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class RequestResultReport(Report):
    """The report of a command that a worker carried out, as the worker stored it with the request."""

    kind: ClassVar[str] = "request_result"

    request: StoredRequest


def of_findings(command: str, status: ExitStatus, found: Iterable[Finding]) -> FindingsReport:
    """Report only findings."""
    return FindingsReport(command, status, findings=tuple(found))


def of_lint(command: str, found: LintResult, status: ExitStatus) -> FindingsReport:
    """Report what lint found, and how much it does not show."""
    hidden = {"ignored": found.ignored, "baseline": found.known}
    counts = found.scope if found.is_valid else found.summary
    return FindingsReport(command, status, found.url, found.findings, hidden=hidden, counts=counts)


def of_conversion(status: ExitStatus, found: Iterable[Finding], converted: str | None) -> ConversionReport:
    """Report a conversion, with its output unless that was written elsewhere."""
    return ConversionReport("convert", status, findings=tuple(found), converted=converted)


def of_plan(command: str, plan: Plan, status: ExitStatus, dangers: Iterable[Danger] = ()) -> PlanReport:
    """Report a plan and its dangers."""
    return PlanReport(command, status, plan.url, plan.own_findings, plan=plan, dangers=tuple(dangers))


def of_saved_plan(saved: SavedPlan) -> PlanReport:
    """Report a saved plan as its file describes it."""
    return PlanReport("show", ExitStatus.OK, saved.url, plan=saved.as_plan, saved=saved)


def of_result(done: Result, found: Iterable[Finding] = ()) -> ApplyReport:
    """Report the outcome of an applied plan; ``found`` has additional findings."""
    findings = (*done.plan.own_findings, *found, *done.own_findings)
    return ApplyReport(done.command, done.exit_status, done.plan.url, findings, result=done)


def of_drift(found: Drift, status: ExitStatus) -> DriftReport:
    """Report drift; findings of a realm in the plan belong to that realm."""
    planned = {realm.realm for realm in found.plan.realms}
    others = (finding for finding in found.own_findings if finding.realm not in planned)
    return DriftReport("drift", status, found.plan.url, (*found.plan.own_findings, *others), drift=found)


def of_runs(runs: Sequence[PastRun], server: str, *, whole: bool = False) -> HistoryReport:
    """Report runs; ``whole`` says that one was asked for by its number."""
    return HistoryReport("history", ExitStatus.OK, server, runs=tuple(runs), whole=whole)


def of_run_diff(found: RunDiff) -> DiffReport:
    """Report how what two runs left differs."""
    return DiffReport("diff", found.exit_status, found.url, diff=found)


def of_server_diff(found: ServerDiff) -> ComparisonReport:
    """Report how two servers differ."""
    own = found.own_findings
    return ComparisonReport("compare", found.exit_status, found.urls[0], findings=own, found=found)


def of_removal(runs: int, writes: int) -> RemovalReport:
    """Report how much was removed from the journal."""
    return RemovalReport("history", ExitStatus.OK, runs=runs, writes=writes)


def of_tests(run: MailTestRun) -> MailTestReport:
    """Report test mails."""
    return MailTestReport("test", run.exit_status, run.url, run=run)


def of_probe(run: ProbeRun) -> ProbeReport:
    """Report what probes of relays found."""
    found = (finding for relay in run.relays for finding in relay.findings)
    return ProbeReport("probe", run.exit_status, run.url, tuple(found), run=run)


def of_check(run: CheckRun) -> CheckReport:
    """Report the result of a check before a switch."""
    return CheckReport("check", run.exit_status, run.url, next_step=run.next_step, run=run)


def of_examination(found: DoctorReport, *, capabilities: bool = False) -> ChecksReport:
    """Report the doctor's checks."""
    return ChecksReport("doctor", found.exit_status, found.url, doctor=found, capabilities=capabilities)


def of_commands(command: str, commands: Sequence[str]) -> CommandsReport:
    """Report commands for the reader to run."""
    return CommandsReport(command, ExitStatus.OK, commands=tuple(commands))


def of_explained(wanted: Desired, status: ExitStatus, not_inherited: tuple[str, ...] = ()) -> ExplanationReport:
    """Report one realm's resolved settings."""
    return ExplanationReport("explain", status, findings=wanted.findings, wanted=wanted, not_inherited=not_inherited)


def of_rules(rules: Sequence[Rule], *, whole: bool = False) -> RulesReport:
    """Report rules; ``whole`` says that one was asked for by its id."""
    return RulesReport("rule", ExitStatus.OK, rules=tuple(rules), whole=whole)


def of_presets(presets: Sequence[Preset], *, whole: bool = False) -> PresetsReport:
    """Report mail providers; ``whole`` says that one was asked for by its name."""
    return PresetsReport("presets", ExitStatus.OK, presets=tuple(presets), whole=whole)


def of_servers(found: ServerList, next_step: str = "") -> ServersReport:
    """Report the servers of the settings."""
    return ServersReport("servers", found.exit_status, findings=found.findings, next_step=next_step, listed=found)


def of_servers_run(
    command: str, servers: Iterable[ServerResult], status: ExitStatus, next_step: str = ""
) -> ManyServersReport:
    """Report a run on several servers; ``status`` comes on top of those of the servers."""
    several = tuple(servers)
    worst = ExitStatus.worst([status, *(one.report.exit_status for one in several)])
    return ManyServersReport(command, worst, next_step=next_step, servers=several)


def of_request_list(found: RequestList, server: str = "", next_step: str = "") -> RequestListReport:
    """Report the requests in the journal."""
    return RequestListReport("requests", ExitStatus.OK, server, found.findings, next_step=next_step, listed=found)


def of_requests(
    command: str, found: Iterable[RequestStatus], status: ExitStatus, next_step: str = "", *, whole: bool = False
) -> RequestsReport:
    """Report some requests; with ``whole`` in full."""
    several = tuple(found)
    servers = {one.request.server for one in several}
    server = servers.pop() if len(servers) == 1 else ""
    return RequestsReport(command, status, server, next_step=next_step, requests=several, whole=whole)


def of_request_result(command: str, request: StoredRequest) -> RequestResultReport:
    """Report a worker's report on a request that has ended; a missing report is a finding."""
    other = "cancelled-request" if request.state.value == "cancelled" else "failed-request"
    rule = "dead-request" if request.state.value == "dead" else other
    hint = f"try it again with: ztrust-mail requests {request.number} --retry"
    message = f"request {request.number} is {request.state}{f': {request.summary}' if request.summary else ''}"
    is_missing = not request.report and request.final_status is not ExitStatus.OK
    found = (Finding(Severity.ERROR, rule, message, hint),) if is_missing else ()
    return RequestResultReport(command, request.final_status, request.server, found, request=request)


class OutputFormat(StrEnum):
    """The formats of results. The module of the same name in this package has the format as ``FORMAT``."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"
    GITLAB = "gitlab"


PAGE_FORMATS = (OutputFormat.TEXT, OutputFormat.JSON, OutputFormat.MARKDOWN, OutputFormat.HTML)
"""The formats that hold texts and tables whole; the others are made of findings."""


def load_format(name: OutputFormat) -> ReportFormat[object]:
    """Return a format. Its module is imported only now, since most commands need one format."""
    found: ReportFormat[object] = import_module(f"ztrust_mail.reports.{name}").FORMAT
    return found


class ReportFormat(ABC, Generic[Rendered_co]):
    """Renders every kind of report. A new format is one module with a subclass, and a member of :class:`OutputFormat`.

    ``Rendered_co`` is the form of a single report before it becomes a document, such as lines or plain data.
    """

    @abstractmethod
    def document(self, report: Report, fill_in: Callable[[str], str] = str) -> str:
        """Return a report as the whole content of a file or of standard output.

        ``fill_in`` returns a hint with the user's own arguments in its commands.
        """

    @abstractmethod
    def recognises(self, beginning: bytes) -> bool:
        """Tell from its first bytes whether a file is a report in this format, which a new report may replace."""

    def check_installed(self) -> None:
        """Raise :class:`UsageError` if a package that the format needs is not installed."""

    def render(self, report: Report) -> Rendered_co:
        """Return the report as rendered by the method for its kind."""
        rendered: Rendered_co = getattr(self, report.kind)(report)
        return rendered

    @abstractmethod
    def findings(self, report: FindingsReport) -> Rendered_co:
        """Render only findings."""

    @abstractmethod
    def conversion(self, report: ConversionReport) -> Rendered_co:
        """Render what ``convert`` made."""

    @abstractmethod
    def plan(self, report: PlanReport) -> Rendered_co:
        """Render a plan."""

    @abstractmethod
    def apply(self, report: ApplyReport) -> Rendered_co:
        """Render the outcome of an applied plan."""

    @abstractmethod
    def drift(self, report: DriftReport) -> Rendered_co:
        """Render how the server differs from the spec, and why."""

    @abstractmethod
    def history(self, report: HistoryReport) -> Rendered_co:
        """Render runs of the journal."""

    @abstractmethod
    def diff(self, report: DiffReport) -> Rendered_co:
        """Render how what two runs left differs."""

    @abstractmethod
    def comparison(self, report: ComparisonReport) -> Rendered_co:
        """Return how two servers differ."""

    @abstractmethod
    def removal(self, report: RemovalReport) -> Rendered_co:
        """Render how much was removed from the journal."""

    @abstractmethod
    def mail_tests(self, report: MailTestReport) -> Rendered_co:
        """Render the results of test mails."""

    @abstractmethod
    def probe(self, report: ProbeReport) -> Rendered_co:
        """Render what probes of relays found."""

    @abstractmethod
    def check(self, report: CheckReport) -> Rendered_co:
        """Render the result of a check before a switch."""

    @abstractmethod
    def checks(self, report: ChecksReport) -> Rendered_co:
        """Render the doctor's checks."""

    @abstractmethod
    def commands(self, report: CommandsReport) -> Rendered_co:
        """Render commands for the reader to run."""

    @abstractmethod
    def explanation(self, report: ExplanationReport) -> Rendered_co:
        """Render the resolved settings of a realm."""

    @abstractmethod
    def rules(self, report: RulesReport) -> Rendered_co:
        """Render rules with their help."""

    @abstractmethod
    def presets(self, report: PresetsReport) -> Rendered_co:
        """Render mail providers with their facts."""

    @abstractmethod
    def servers(self, report: ServersReport) -> Rendered_co:
        """Render the servers of the settings."""

    @abstractmethod
    def many_servers(self, report: ManyServersReport) -> Rendered_co:
        """Render the results of a run on several servers."""

    @abstractmethod
    def request_list(self, report: RequestListReport) -> Rendered_co:
        """Render the requests in the journal."""

    @abstractmethod
    def requests(self, report: RequestsReport) -> Rendered_co:
        """Render certain requests."""

    @abstractmethod
    def request_result(self, report: RequestResultReport) -> Rendered_co:
        """Render the report of a worker."""
