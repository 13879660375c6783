"""Reports as text for people: a module of lines per kind of result, and the format on top of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ztrust_mail.core.text import pluralise
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.format import ReportFormat
from ztrust_mail.reports.style import Line, line, plain

HEADING = "ztrust-mail report: "
"""How the first line of a text report begins, by which a later one is permitted to replace it."""


class TextFormat(ReportFormat[Iterator[Line]]):
    """Lines of styled text: what standard output shows of a report.

    Each method imports its lines when called, since a command needs few of them.
    """

    def document(self, report: reports.Report) -> str:
        """Return a report as the text of a file."""
        return file_content(report.command, self.render(report))

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file begins with the heading of a text report."""
        return beginning.startswith(HEADING.encode())

    def findings(self, report: reports.FindingsReport) -> Iterator[Line]:
        """Return a line per finding."""
        from ztrust_mail.reports.text.findings import finding_lines

        return finding_lines(report.findings)

    def conversion(self, report: reports.ConversionReport) -> Iterator[Line]:
        """Return a line per finding, without the converted text."""
        from ztrust_mail.reports.text.findings import finding_lines

        return finding_lines(report.findings)

    def plan(self, report: reports.PlanReport) -> Iterator[Line]:
        """Return the changes, realm by realm."""
        from ztrust_mail.reports.text.plan import plan_lines

        return plan_lines(report.plan)

    def apply(self, report: reports.ApplyReport) -> Iterator[Line]:
        """Return what became of each realm."""
        from ztrust_mail.reports.text.apply import result_lines

        return result_lines(report.result)

    def drift(self, report: reports.DriftReport) -> Iterator[Line]:
        """Return the differences with their causes."""
        from ztrust_mail.reports.text.drift import drift_lines

        return drift_lines(report.drift)

    def history(self, report: reports.HistoryReport) -> Iterator[Line]:
        """Return one run with its realms, or a table of runs."""
        from ztrust_mail.reports.text.history import run_lines, run_table

        return run_lines(report.runs[0]) if report.whole else run_table(report.runs, report.server)

    def removal(self, report: reports.RemovalReport) -> Iterator[Line]:
        """Return one line with the numbers."""
        yield line(f"Removed: {pluralise(report.runs, 'run')} and {pluralise(report.writes, 'write')}.")

    def mail_tests(self, report: reports.MailTestReport) -> Iterator[Line]:
        """Return a line per test mail."""
        from ztrust_mail.reports.text.checks import mail_test_lines

        return mail_test_lines(report.run)

    def checks(self, report: reports.ChecksReport) -> Iterator[Line]:
        """Return a line per check."""
        from ztrust_mail.reports.text.checks import check_lines

        return check_lines(report.doctor)

    def commands(self, report: reports.CommandsReport) -> Iterator[Line]:
        """Return the commands, a line each."""
        return map(line, report.commands)

    def explanation(self, report: reports.ExplanationReport) -> Iterator[Line]:
        """Return the settings of a realm, a line each."""
        from ztrust_mail.reports.text.explanation import explanation_lines

        return explanation_lines(report.wanted)

    def rules(self, report: reports.RulesReport) -> Iterator[Line]:
        """Return one rule with its help, or a table of rules."""
        from ztrust_mail.reports.text.explanation import rule_lines, rule_table

        return rule_lines(report.rules[0]) if report.whole else rule_table(report.rules)


FORMAT = TextFormat()


def file_content(command: str, lines: Iterable[Line]) -> str:
    """Return the content of a text report of a command."""
    return f"{HEADING}{command}\n{plain(lines)}"
