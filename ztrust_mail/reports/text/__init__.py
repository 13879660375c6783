"""Reports as text: a module of lines per kind of result, and the format that combines them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ztrust_mail.core.text import pluralise
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.report import ReportFormat
from ztrust_mail.reports.style import WIDTH, Line, Span, line, plain
from ztrust_mail.reports.text.lines import HEADING, TextReport, finding_lines, note_lines

__all__ = ["HEADING", "NOTHING", "TextFormat", "TextReport"]

NOTHING = TextReport()


class TextFormat(ReportFormat[TextReport]):
    """Lines of styled text. ``details`` shows every realm by itself.

    Each method imports its lines when called, since a command needs few of them.
    """

    def __init__(self, *, details: bool = False) -> None:
        self._details = details

    def document(self, report: reports.Report, fill_in: Callable[[str], str] = str) -> str:
        """Return a report as the text of a file."""
        body, verdict = self.render(report)
        lines = (tuple(replace(span, text=fill_in(span.text)) for span in one) for one in [*body, *verdict])
        return file_content(report.command, lines)

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file begins with the heading of a text report."""
        return beginning.startswith(HEADING.encode())

    def findings(self, report: reports.FindingsReport) -> TextReport:
        """Return a line per finding."""
        return TextReport(finding_lines(report.findings))

    def conversion(self, report: reports.ConversionReport) -> TextReport:
        """Return a line per finding, without the converted text."""
        return TextReport(finding_lines(report.findings))

    def plan(self, report: reports.PlanReport) -> TextReport:
        """Return the changes, those that several realms have in common once."""
        from ztrust_mail.reports.text.plan import plan_body, plan_verdict

        return TextReport(plan_body(report, details=self._details), plan_verdict(report))

    def apply(self, report: reports.ApplyReport) -> TextReport:
        """Return the outcomes of the realms."""
        from ztrust_mail.reports.text.plan import result_body, result_verdict

        return TextReport(result_body(report, details=self._details), result_verdict(report))

    def drift(self, report: reports.DriftReport) -> TextReport:
        """Return the differences with their causes."""
        from ztrust_mail.reports.text.drift import drift_body, drift_verdict

        return TextReport(drift_body(report, details=self._details), drift_verdict(report))

    def history(self, report: reports.HistoryReport) -> TextReport:
        """Return one run with its realms, or a table of runs."""
        from ztrust_mail.reports.text.history import run_lines, run_table

        if report.whole:
            return TextReport(run_lines(report.runs[0], details=self._details))
        server = report.title or report.server
        return TextReport([line(server), line(), *note_lines(report.findings), *run_table(report.runs, server)])

    def diff(self, report: reports.DiffReport) -> TextReport:
        """Return how realms differ, those that differ alike once."""
        from ztrust_mail.reports.text.history import diff_body, diff_verdict

        return TextReport(diff_body(report, details=self._details), diff_verdict(report))

    def comparison(self, report: reports.ComparisonReport) -> TextReport:
        """Return how two servers differ, realms that differ alike once."""
        from ztrust_mail.reports.text.history import comparison_body, comparison_verdict

        return TextReport(comparison_body(report, details=self._details), comparison_verdict(report))

    def removal(self, report: reports.RemovalReport) -> TextReport:
        """Return one line with the numbers."""
        removed = f"Removed: {pluralise(report.runs, 'run')} and {pluralise(report.writes, 'write')}."
        return TextReport(verdict=[line(removed)])

    def mail_tests(self, report: reports.MailTestReport) -> TextReport:
        """Return the results of test mails, equal ones of several realms once."""
        from ztrust_mail.reports.text.mail_test import mail_test_body, mail_test_verdict

        return TextReport(mail_test_body(report, details=self._details), mail_test_verdict(report))

    def probe(self, report: reports.ProbeReport) -> TextReport:
        """Return the stages of each relay, with the realms that use it."""
        from ztrust_mail.reports.text.probe import probe_body, probe_verdict

        return TextReport(probe_body(report, details=self._details), probe_verdict(report))

    def check(self, report: reports.CheckReport) -> TextReport:
        """Return the facts of each subject, those that several have in common once."""
        from ztrust_mail.reports.text.probe import check_body, check_verdict

        return TextReport(check_body(report, details=self._details), check_verdict(report))

    def checks(self, report: reports.ChecksReport) -> TextReport:
        """Return a line per check."""
        from ztrust_mail.reports.text.servers import doctor_lines, doctor_verdict

        lines = doctor_lines(report.doctor, capabilities=report.capabilities)
        return TextReport([*finding_lines(report.findings), *lines], doctor_verdict(report.doctor))

    def commands(self, report: reports.CommandsReport) -> TextReport:
        """Return the commands, a line each."""
        return TextReport(map(line, report.commands))

    def explanation(self, report: reports.ExplanationReport) -> TextReport:
        """Return the settings of a realm, each with the file and line that it comes from."""
        return TextReport(_explanation_lines(report))

    def rules(self, report: reports.RulesReport) -> TextReport:
        """Return one rule with its help, or a table of rules."""
        from ztrust_mail.reports.text.reference import rule_lines, rule_table

        return TextReport(rule_lines(report.rules[0]) if report.whole else rule_table(report.rules))

    def presets(self, report: reports.PresetsReport) -> TextReport:
        """Return one preset with all its facts, or a table of presets."""
        from ztrust_mail.reports.text.reference import preset_lines, preset_table

        return TextReport(preset_lines(report.presets[0]) if report.whole else preset_table(report.presets))

    def servers(self, report: reports.ServersReport) -> TextReport:
        """Return the servers, then the findings about them."""
        from ztrust_mail.reports.text.servers import server_list_lines, server_list_verdict

        notes = list(finding_lines(report.findings))
        lines = [*server_list_lines(report.listed), *([line()] if notes else []), *notes, line()]
        return TextReport(lines, server_list_verdict(report))

    def many_servers(self, report: reports.ManyServersReport) -> TextReport:
        """Return the text of each server, and a table of all."""
        from ztrust_mail.reports.text.many_servers import many_servers_body, many_servers_verdict

        body = many_servers_body(report, self.render, details=self._details)
        return TextReport([*note_lines(report.findings), *body], many_servers_verdict(report))

    def request_list(self, report: reports.RequestListReport) -> TextReport:
        """Return a table of requests, equal ones in one row."""
        from ztrust_mail.reports.text.requests import request_table, request_table_verdict

        table = request_table(report.listed, details=self._details)
        return TextReport([*note_lines(report.findings), *table], request_table_verdict(report))

    def requests(self, report: reports.RequestsReport) -> TextReport:
        """Return a sentence for each request, or all its details."""
        from ztrust_mail.reports.text.requests import request_lines, requests_verdict

        body = request_lines(report) if report.whole else ()
        return TextReport([*finding_lines(report.findings), *body], requests_verdict(report))

    def request_result(self, report: reports.RequestResultReport) -> TextReport:
        """Return the text of the worker's report, and the outcome of the request."""
        from ztrust_mail.reports.text.requests import stored_lines, stored_verdict

        return TextReport([*finding_lines(report.findings), *stored_lines(report.request)], stored_verdict(report))


FORMAT = TextFormat()


def _explanation_lines(report: reports.ExplanationReport) -> Iterator[Line]:
    from ztrust_mail.model.serialize import display_short

    wanted = report.wanted
    yield from finding_lines(report.findings)
    yield line(Span(wanted.realm, "bold"), f"  uses entry {wanted.entry.name} ({wanted.entry.location})")
    for overlay in wanted.entry.overlays:
        yield line(f"  with the overlay for {overlay.limit} ({overlay.location})")
    if wanted.disabled:
        yield line("  no e-mail at all: the entry is disabled")
    elif not wanted.fields and not wanted.findings:
        yield line("  not set")
    values = {name: display_short(value) for name, value in wanted.fields.items()}
    names, texts = max(map(len, values), default=0), min(max(map(len, values.values()), default=0), 36)
    for name, text in values.items():
        why = "not inherited: another relay" if name in report.not_inherited else "by default"
        yield line(f"  {name:<{names}}  {text:<{texts}}  ", Span(wanted.describe_origin(name) or why, "dim"))


def file_content(command: str, lines: Iterable[Line]) -> str:
    """Return the content of a text report of a command."""
    return f"{HEADING}{command}\n{plain(lines, WIDTH)}"
