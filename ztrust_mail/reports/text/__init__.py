"""Reports as text for people: a module of lines per kind of result, and the format on top of them."""

from collections.abc import Iterable, Iterator

from ztrust_mail.core.text import pluralise
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.report import ReportFormat
from ztrust_mail.reports.style import Line, Span, line, plain
from ztrust_mail.reports.text.findings import finding_lines

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
        return finding_lines(report.findings)

    def conversion(self, report: reports.ConversionReport) -> Iterator[Line]:
        """Return a line per finding, without the converted text."""
        return finding_lines(report.findings)

    def plan(self, report: reports.PlanReport) -> Iterator[Line]:
        """Return the changes, realm by realm."""
        from ztrust_mail.reports.text.plan import plan_lines

        return plan_lines(report.plan)

    def apply(self, report: reports.ApplyReport) -> Iterator[Line]:
        """Return what became of each realm."""
        from ztrust_mail.reports.text.plan import result_lines

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

        return check_lines(report.doctor, capabilities=report.capabilities)

    def commands(self, report: reports.CommandsReport) -> Iterator[Line]:
        """Return the commands, a line each."""
        return map(line, report.commands)

    def explanation(self, report: reports.ExplanationReport) -> Iterator[Line]:
        """Return the settings of a realm, each with the file and line that it comes from."""
        from ztrust_mail.model.serialize import display_short

        wanted = report.wanted
        yield line(Span(wanted.realm, "bold"), f"  uses entry {wanted.entry.name} ({wanted.entry.location})")
        if wanted.disabled:
            yield line("  no e-mail at all: the entry is disabled")
        elif not wanted.fields and not wanted.findings:
            yield line("  not set")
        values = {name: display_short(value) for name, value in wanted.fields.items()}
        names, texts = max(map(len, values), default=0), min(max(map(len, values.values()), default=0), 36)
        for name, text in values.items():
            origin = wanted.origins.get(name)
            yield line(f"  {name:<{names}}  {text:<{texts}}  ", Span(str(origin) if origin else "by default", "dim"))

    def rules(self, report: reports.RulesReport) -> Iterator[Line]:
        """Return one rule with its help, or a table of rules."""
        from ztrust_mail.reports.text.rules import rule_lines, rule_table

        return rule_lines(report.rules[0]) if report.whole else rule_table(report.rules)


FORMAT = TextFormat()


def file_content(command: str, lines: Iterable[Line]) -> str:
    """Return the content of a text report of a command."""
    return f"{HEADING}{command}\n{plain(lines)}"
