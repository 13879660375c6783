"""Any report as an :class:`Overview`, so that a format of it has one method to write."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more, pluralise, to_second
from ztrust_mail.model.serialize import display_short
from ztrust_mail.planning.compare import Action, Change
from ztrust_mail.planning.plan import RealmPlan
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.grouping import list_realms, name_realms
from ztrust_mail.reports.overview.rows import ChangeRow, Overview, RealmRow, Table, make_printable
from ztrust_mail.reports.report import ReportFormat
from ztrust_mail.reports.server_result import SERVER_HEADS, row_of
from ztrust_mail.reports.stored import stored_findings, stored_realms
from ztrust_mail.reports.style import plain
from ztrust_mail.reports.text import TextFormat
from ztrust_mail.reports.text.plan import display_after, remark_statements

if TYPE_CHECKING:
    from ztrust_mail.drift_detection.attribution import Cause
    from ztrust_mail.journal.requests import StoredRequest
    from ztrust_mail.planning.differences import RealmDiff
    from ztrust_mail.planning.past_runs import PastRun

_SIGNS: Mapping[Action, str] = {Action.ADD: "+", Action.CHANGE: "~", Action.REMOVE: "-"}
_ANSWERS: Mapping[bool | None, str] = {True: "yes", False: "no", None: "unknown"}
_SHOWN_CHANGES = 3
"""How many changes the finding of a realm names."""


class OverviewFormat(ReportFormat[Overview]):
    """A format that writes the overview of a report. A subclass has ``write`` and ``recognises``."""

    @abstractmethod
    def write(self, shown: Overview) -> str:
        """Return an overview as the whole content of a file or of standard output."""

    def document(self, report: reports.Report, fill_in: Callable[[str], str] = str) -> str:
        """Return a report as the whole content of a file or of standard output."""
        return self.write(_fill_in(make_printable(self.render(report)), fill_in))

    def findings(self, report: reports.FindingsReport) -> Overview:
        """Return findings."""
        return _overview(report)

    def conversion(self, report: reports.ConversionReport) -> Overview:
        """Return the findings of a conversion and its text."""
        return replace(_overview(report), text=report.converted or "")

    def plan(self, report: reports.PlanReport) -> Overview:
        """Return a plan with all changes; each danger, and each realm that an apply would change, is a finding."""
        made = report.plan
        rows = []
        for realm in made.realms:
            row = _realm_row(realm, [_change_finding(realm)] if realm.changes else [])
            remarks = [one.texts[0] for one in remark_statements(realm, made.secrets)]
            rows.append(replace(row, note="; ".join(remarks)))
        return _overview(_with_dangers(report), rows)

    def apply(self, report: reports.ApplyReport) -> Overview:
        """Return the outcome of each realm of an applied plan."""
        done = report.result
        rows = [replace(_realm_row(one.plan), status=one.status.value, findings=one.findings) for one in done.realms]
        hint = f"continue with: {report.next_step}" if report.next_step else ""
        ended = [Finding(Severity.ERROR, "interrupted", "interrupted", hint)] if done.interrupted else []
        ended += [Finding(Severity.ERROR, "stopped", f"stopped: {done.stopped}", hint)] if done.stopped else []
        return _overview(report.with_findings(ended), rows)

    def drift(self, report: reports.DriftReport) -> Overview:
        """Return the realms with the cause of each change; each realm that differs is a finding."""
        found = report.drift
        own: dict[str, list[Finding]] = {}
        for one in found.own_findings:
            own.setdefault(one.realm or "", []).append(one)
        below, rows = set(found.below_limit), []
        for realm in found.plan.realms:
            is_below = realm.realm in below
            differs = [_drift_finding(realm, Severity.WARNING if is_below else Severity.ERROR)] if realm.changes else []
            row = _realm_row(realm, [*own.get(realm.realm, ()), *differs], found.causes.get(realm.realm))
            notes = [f"last applied by {found.applied[realm.realm]}"] if realm.realm in found.applied else []
            notes += [f"edited since then by {found.editors[realm.realm]}"] if realm.realm in found.editors else []
            changes = tuple(
                one._replace(is_critical=found.is_critical(realm.realm, one.field)) if one.cause else one
                for one in row.changes
            )
            rows.append(replace(row, changes=changes, note="; ".join(notes)))
        return _overview(report.with_findings(_uncovered_findings(report)), rows)

    def history(self, report: reports.HistoryReport) -> Overview:
        """Return runs as a table; of one that was asked for by its number also its realms."""
        heads = ("run", "started", "command", "outcome", "realms", "who", "message")
        rows = [
            RealmRow(one.write.realm, one.write.step.value, tuple(map(_change, one.changes)), note=one.write.error)
            for run in report.runs
            for one in run.realms
        ]
        return _overview(report, rows, [Table("Runs", heads, tuple(map(_run_cells, report.runs)))])

    def diff(self, report: reports.DiffReport) -> Overview:
        """Return how realms differ from one run to another; each that does is a finding."""
        return _overview(report, [_diff_row(realm, _diff_finding(realm)) for realm in report.diff.realms])

    def comparison(self, report: reports.ComparisonReport) -> Overview:
        """Return how realms differ from one server to the other; each that does is a finding."""
        found = report.found
        servers = f"{found.first} and {found.second}"
        return _overview(report, [_diff_row(realm, _server_diff_finding(realm, servers)) for realm in found.realms])

    def removal(self, report: reports.RemovalReport) -> Overview:
        """Return how much was removed from the journal, which the verdict says."""
        return _overview(report)

    def mail_tests(self, report: reports.MailTestReport) -> Overview:
        """Return the result of each test mail, and the diagnoses as a table."""
        from ztrust_mail.reports.text.mail_test import probe_side, server_side

        heads = ("relay", "realms", "server", "from here", "verdict", "next step")
        found = [
            (str(one.relay), name_realms(one.realms), server_side(one), probe_side(one), one.verdict.cause,
             one.verdict.next_step)
            for one in report.run.diagnoses
        ]  # fmt: skip
        rows = [RealmRow(o.realm, o.status.value, (), o.findings, o.proof) for o in report.run.outcomes]
        return _overview(report, rows, [Table("Diagnoses", heads, tuple(found))] if found else [])

    def probe(self, report: reports.ProbeReport) -> Overview:
        """Return the stages of each relay as a table, and the realms that use the relays."""
        heads = ("stage", "status", "line", "found")
        tables = []
        for relay in report.run.relays:
            realms = f": {name_realms(relay.realms)}" if relay.realms else ""
            stages = tuple(
                (one.stage.label, one.status.value, "TLS" if one.encrypted else "clear", one.detail)
                for one in relay.stages
            )
            tables.append(Table(f"{relay.relay}{realms}", heads, stages))
        rows = [RealmRow(o.realm, o.status.value, (), o.findings, o.relay) for o in report.run.realms]
        return _overview(report, rows, tables)

    def check(self, report: reports.CheckReport) -> Overview:
        """Return the facts of subjects as a table, one for all with the same, and the realms with the findings."""
        from ztrust_mail.reports.text.probe import group_subjects, name_group

        tables = []
        for group in group_subjects(report.run.subjects):
            heading = ": ".join(filter(None, name_group(group)))
            facts = tuple((one.name, one.status.value, one.detail) for one in group[0].facts)
            tables.append(Table(heading, ("fact", "status", "found"), facts))
        rows = [RealmRow(o.realm, o.status.value, (), o.findings, o.subject) for o in report.run.realms]
        return _overview(report, rows, tables)

    def checks(self, report: reports.ChecksReport) -> Overview:
        """Return the doctor's checks as a table, and those that failed as findings."""
        doctor = report.doctor
        rows = tuple((check.question, _ANSWERS[check.answer], check.detail, check.hint) for check in doctor.checks)
        groups = [
            Finding(Severity.ERROR, "doctor", f"not in {name_realms(group.realms)}: {group.message}", group.hint)
            for check in doctor.checks
            for group in check.groups
        ]
        able = tuple((one.operation.value, _ANSWERS[one.is_supported], one.remark) for one in doctor.abilities)
        tables = [Table("Checks", ("check", "answer", "detail", "next step"), rows)]
        tables += [Table(f"What {doctor.title} can do", ("operation", "supported", "remark"), able)] if able else []
        return _overview(report.with_findings([*doctor.findings, *groups]), tables=tables)

    def commands(self, report: reports.CommandsReport) -> Overview:
        """Return commands for the reader to run."""
        return replace(_overview(report), text="\n".join(report.commands))

    def explanation(self, report: reports.ExplanationReport) -> Overview:
        """Return a realm's resolved settings, each with the place that it comes from."""
        wanted = report.wanted
        rows = tuple(
            (name, display_short(value), wanted.describe_origin(name)) for name, value in wanted.fields.items()
        )
        heading = f"{wanted.realm} uses entry {wanted.entry.name} ({wanted.entry.location})"
        heading += "".join(f", with the overlay for {one.limit} ({one.location})" for one in wanted.entry.overlays)
        heading += "; no e-mail at all: the entry is disabled" if wanted.disabled else ""
        return _overview(report, tables=[Table(heading, ("field", "value", "defined at"), rows)])

    def rules(self, report: reports.RulesReport) -> Overview:
        """Return rules with their help."""
        rows = tuple((one.id, one.severity.value, one.title, one.help) for one in report.rules)
        return _overview(report, tables=[Table("Rules", ("rule", "severity", "title", "help"), rows)])

    def presets(self, report: reports.PresetsReport) -> Overview:
        """Return a table per preset with all facts, or one table of presets."""
        from ztrust_mail.reports.text.reference import preset_facts

        if not report.whole:
            heads = ("preset", "provider", "host", "port", "security")
            rows = tuple((one.name, one.title, one.host, str(one.port), str(one.security)) for one in report.presets)
            return _overview(report, tables=[Table("Presets", heads, rows)])
        tables = []
        for one in report.presets:
            facts = [(label, "; ".join(texts)) for label, texts in preset_facts(one)]
            facts += [("until", f"{old.date} {old.text} [{old.id}]") for old in one.deprecations]
            facts += [("note", remark) for remark in one.remarks]
            facts += [("source", f"{page.url} (read {page.read}): {', '.join(page.facts)}") for page in one.sources]
            tables.append(Table(f"{one.name}: {one.title}", ("fact", "value"), tuple(facts)))
        return _overview(report, tables=tables)

    def servers(self, report: reports.ServersReport) -> Overview:
        """Return the servers as a table."""
        from ztrust_mail.reports.text.servers import describe_labels, server_facts

        heads = ("server", "URL", "labels", "login and limits", "check")
        rows = []
        for one in report.listed.servers:
            check = report.listed.checks.get(one.name)
            facts = "; ".join(server_facts(replace(one, labels={})))
            url = one.server.url if one.server else "broken"
            answer = f"{check.status.value}: {check.detail}" if check else ""
            rows.append((one.title, url, " ".join(describe_labels(one)), facts, answer))
        return _overview(report, tables=[Table("Servers", heads, tuple(rows))])

    def many_servers(self, report: reports.ManyServersReport) -> Overview:
        """Return the realms of all servers, each with its server's name, and a table of the servers."""
        rows: list[RealmRow] = []
        found: list[Finding] = []
        tables = [Table("Servers", SERVER_HEADS, tuple(map(row_of, report.servers)))]
        for one in report.servers:
            shown = _fill_in(self.render(one.report), one.fill_in)
            rows += (_of_server(one.name, row) for row in shown.realms)
            found += (replace(each, message=f"{one.name}: {each.message}") for each in shown.findings)
            tables += (replace(table, heading=f"{one.name}: {table.heading}") for table in shown.tables)
        return _overview(report.with_findings(found), rows, tables)

    def request_list(self, report: reports.RequestListReport) -> Overview:
        """Return the requests as a table."""
        return _overview(report, tables=[_request_table(report.listed.requests)])

    def requests(self, report: reports.RequestsReport) -> Overview:
        """Return certain requests as a table; what went wrong in one that is shown whole is a finding."""
        requests = [one.request for one in report.requests]
        whole = requests if report.whole else []
        found = [each for one in whole for each in stored_findings(one)]
        rows = [_of_server(one.name or one.server, row) for one in whole for row in _stored_rows(one)]
        return _overview(report.with_findings(found), rows, [_request_table(requests)])

    def request_result(self, report: reports.RequestResultReport) -> Overview:
        """Return the realms and findings of the report that a worker stored."""
        found = report.with_findings(stored_findings(report.request))
        return replace(_overview(found, _stored_rows(report.request)), text=report.request.report_text)


def _of_server(server: str, row: RealmRow) -> RealmRow:
    name = f"{server}/{row.realm}"
    return replace(row, realm=name, findings=tuple(replace(one, realm=name) for one in row.findings))


def _overview(report: reports.Report, realms: Iterable[RealmRow] = (), tables: Iterable[Table] = ()) -> Overview:
    rows = tuple(realms)
    lines = plain(TextFormat().render(replace(report, next_step="")).verdict).splitlines()
    every = [*report.findings, *(one for row in rows for one in row.findings)]
    return Overview(
        report.command,
        report.exit_status,
        report.server,
        report.title or report.server,
        tuple(line.strip() for line in lines if line.strip()) or (_count(report, every),),
        rows,
        tuple(dict.fromkeys(report.findings)),
        tuple(tables),
        report.next_step,
        specs=report.specs,
        step_label=_step_label(report),
    )


def _step_label(report: reports.Report) -> str:
    """Return the words that the text of a report has before the next command, its last line."""
    lines = plain(TextFormat().render(report).verdict).splitlines() if report.next_step else []
    return lines[-1].partition(":")[0] if lines else ""


def _count(report: reports.Report, found: Iterable[Finding]) -> str:
    """Return the verdict of a report without one in its text: the number of findings, and the exit status."""
    numbers = Counter(one.severity for one in dict.fromkeys(found))
    if not numbers and report.exit_status is ExitStatus.OK:
        return "No problem found."
    parts = [pluralise(numbers[one], f"{one.value} finding" if one is Severity.CRITICAL else one.value)
             for one in Severity if numbers[one]]  # fmt: skip
    return f"{report.command}: {', '.join(parts) or 'no findings'}; exit status {int(report.exit_status)}."


def _fill_in(shown: Overview, fill_in: Callable[[str], str]) -> Overview:
    """Return an overview with the user's own arguments in the commands of its hints."""

    def fill(found: Iterable[Finding]) -> tuple[Finding, ...]:
        return tuple(replace(one, hint=fill_in(one.hint)) if one.hint else one for one in found)

    realms = tuple(replace(row, findings=fill(row.findings)) if row.findings else row for row in shown.realms)
    verdict = tuple(map(fill_in, shown.verdict))
    return replace(shown, verdict=verdict, realms=realms, findings=fill(shown.findings))


def _realm_row(realm: RealmPlan, more: Iterable[Finding] = (), causes: Mapping[str, Cause] | None = None) -> RealmRow:
    places, causes = realm.wanted.origins, causes or {}
    changes = tuple(
        _change(one)._replace(cause=causes[one.field].value if one.field in causes else "", place=places.get(one.field))
        for one in realm.changes
    )
    entry = realm.wanted.entry.location
    place = entry if entry.line else None  # an entry of the journal or of a saved plan has no line
    return RealmRow(realm.realm, realm.status.value, changes, (*realm.findings, *more), place=place)


def _change(one: Change) -> ChangeRow:
    return ChangeRow(_SIGNS[one.action], one.field, one.label, display_short(one.before), display_after(one))


def _describe_changes(changes: Sequence[Change]) -> str:
    """Return ``relay.port 25 → 587``, with a count of the changes that are too many to name."""
    said = [f"{one.field} {display_short(one.before)} → {display_after(one)}" for one in changes]
    return first_and_more(said, _SHOWN_CHANGES, "; ") if said else "another secret"


def _change_finding(realm: RealmPlan) -> Finding:
    message = f"apply would write {_describe_changes(realm.changes)}"
    return Finding(Severity.NOTE, "planned-change", message, realm=realm.realm)


def _drift_finding(realm: RealmPlan, severity: Severity) -> Finding:
    message = f"differs from the spec: {_describe_changes(realm.changes)}"
    hint = "restore the spec's values: ztrust-mail apply SPEC..."
    return Finding(severity, "drifted", message, hint, realm=realm.realm)


def _diff_row(realm: RealmDiff, differs: Finding) -> RealmRow:
    parts = [f"{name}: {state.value}" for name, state in realm.secrets.items()]
    note = ", ".join([f"only on {realm.only}", *parts] if realm.only else parts)
    found = (*realm.findings, *([differs] if realm.is_different else []))
    return RealmRow(realm.realm, realm.status.value, tuple(map(_change, realm.changes)), found, note)


def _server_diff_finding(realm: RealmDiff, servers: str) -> Finding:
    differs = f"differs between {servers}: {_describe_changes(realm.changes)}"
    message = f"is only on {realm.only}" if realm.only else differs
    return Finding(Severity.NOTE, "servers-differ", message, realm=realm.realm)


def _diff_finding(realm: RealmDiff) -> Finding:
    message = f"the two runs left it differently: {_describe_changes(realm.changes)}"
    return Finding(Severity.NOTE, "runs-differ", message, realm=realm.realm)


def _uncovered_findings(report: reports.DriftReport) -> Iterator[Finding]:
    severity = Severity.ERROR if report.uncovered_fails else Severity.NOTE
    for name in report.drift.plan.uncovered:
        hint = "add an entry for it, or check the other realms alone with --realm GLOB"
        yield Finding(severity, "uncovered", "the spec has no entry for this realm", hint, realm=name)


def _with_dangers(report: reports.PlanReport) -> reports.PlanReport:
    """Return the report with a finding for each danger, instead of the refusal that names all of them."""
    refused = {danger.reason for danger in report.refused}
    others = [one for one in report.findings if not refused or one != report.refusal]
    hint = report.refusal.hint if report.refusal else ""
    dangers = []
    for one in report.dangers:
        message = f"{one.message}: {list_realms(one.realms)}"
        if one.reason in refused:
            dangers.append(Finding(Severity.ERROR, one.reason.value, f"refused: {message}", hint))
        else:
            dangers.append(Finding(Severity.WARNING, one.reason.value, message))
    return replace(report, findings=(*others, *dangers))


def _request_table(requests: Iterable[StoredRequest]) -> Table:
    heads = ("request", "server", "work", "state", "attempts", "submitted", "by", "message", "summary")
    rows = (
        (str(one.number), one.name or one.server, one.kind, one.state.value, str(one.attempts),
         to_second(one.submitted), one.who, one.message, one.summary)
        for one in requests
    )  # fmt: skip
    return Table("Requests", heads, tuple(rows))


def _stored_rows(request: StoredRequest) -> list[RealmRow]:
    return [RealmRow(realm, status, findings=found) for realm, status, found in stored_realms(request)]


def _run_cells(one: PastRun) -> tuple[str, ...]:
    run = one.run
    steps = ", ".join(f"{number:,} {step.value}" for step, number in one.steps.items())
    return str(run.number), to_second(run.started), run.command, run.outcome.value, steps, run.who, run.message
