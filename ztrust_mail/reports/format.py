"""Defines what a format of reports is, and registers the formats there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from importlib import import_module
from typing import Generic, TypeVar

from ztrust_mail.reports import report as reports

Rendered_co = TypeVar("Rendered_co", covariant=True)


class OutputFormat(StrEnum):
    """The formats of results. The module of the same name in this package has the format as ``FORMAT``."""

    TEXT = "text"
    JSON = "json"


def load_format(name: OutputFormat) -> ReportFormat[object]:
    """Return a format. Its module is imported only now, since most commands need one format."""
    found: ReportFormat[object] = import_module(f"ztrust_mail.reports.{name}").FORMAT
    return found


class ReportFormat(ABC, Generic[Rendered_co]):
    """Renders every kind of report. A new format is one module with a subclass, and a member of :class:`OutputFormat`.

    ``Rendered_co`` is what a single report becomes before it is a document, such as lines or plain data.
    """

    @abstractmethod
    def document(self, report: reports.Report) -> str:
        """Return a report as the whole content of a file or of standard output."""

    @abstractmethod
    def recognises(self, beginning: bytes) -> bool:
        """Tell from its first bytes whether a file is a report in this format, which a new report may replace."""

    def render(self, report: reports.Report) -> Rendered_co:
        """Return what the method for this kind of report makes of it."""
        match report:
            case reports.FindingsReport():
                return self.findings(report)
            case reports.ConversionReport():
                return self.conversion(report)
            case reports.PlanReport():
                return self.plan(report)
            case reports.ApplyReport():
                return self.apply(report)
            case reports.DriftReport():
                return self.drift(report)
            case reports.HistoryReport():
                return self.history(report)
            case reports.RemovalReport():
                return self.removal(report)
            case reports.MailTestReport():
                return self.mail_tests(report)
            case reports.ChecksReport():
                return self.checks(report)
            case reports.CommandsReport():
                return self.commands(report)
            case reports.ExplanationReport():
                return self.explanation(report)
            case reports.RulesReport():
                return self.rules(report)
        raise TypeError(type(report).__name__)

    @abstractmethod
    def findings(self, report: reports.FindingsReport) -> Rendered_co:
        """Render findings alone."""

    @abstractmethod
    def conversion(self, report: reports.ConversionReport) -> Rendered_co:
        """Render what ``convert`` made."""

    @abstractmethod
    def plan(self, report: reports.PlanReport) -> Rendered_co:
        """Render a plan."""

    @abstractmethod
    def apply(self, report: reports.ApplyReport) -> Rendered_co:
        """Render what became of an applied plan."""

    @abstractmethod
    def drift(self, report: reports.DriftReport) -> Rendered_co:
        """Render how the server differs from the spec, and why."""

    @abstractmethod
    def history(self, report: reports.HistoryReport) -> Rendered_co:
        """Render runs of the journal."""

    @abstractmethod
    def removal(self, report: reports.RemovalReport) -> Rendered_co:
        """Render how much was removed from the journal."""

    @abstractmethod
    def mail_tests(self, report: reports.MailTestReport) -> Rendered_co:
        """Render the results of test mails."""

    @abstractmethod
    def checks(self, report: reports.ChecksReport) -> Rendered_co:
        """Render the doctor's checks."""

    @abstractmethod
    def commands(self, report: reports.CommandsReport) -> Rendered_co:
        """Render commands for the reader to run."""

    @abstractmethod
    def explanation(self, report: reports.ExplanationReport) -> Rendered_co:
        """Render the resolved settings of a realm."""

    @abstractmethod
    def rules(self, report: reports.RulesReport) -> Rendered_co:
        """Render rules with their help."""
