"""Defines what a format of reports is, and registers the formats there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from ztrust_mail.reports import report

Rendered_co = TypeVar("Rendered_co", covariant=True)


class OutputFormat(StrEnum):
    """The formats of results. The module of the same name in this package has the format as ``FORMAT``."""

    TEXT = "text"
    JSON = "json"


def load_format(name: OutputFormat) -> Format[object]:
    """Return a format. Its module is imported only now, since most commands need one format."""
    found: Format[object] = import_module(f"ztrust_mail.reports.{name}").FORMAT
    return found


class Format(ABC, Generic[Rendered_co]):
    """Renders every kind of report. A new format is one module with a subclass, and a member of :class:`OutputFormat`.

    ``Rendered_co`` is what a single report becomes before it is a document, such as lines or plain data.
    """

    @abstractmethod
    def document(self, report: report.Report) -> str:
        """Return a report as the whole content of a file or of standard output."""

    @abstractmethod
    def recognises(self, beginning: bytes) -> bool:
        """Tell from its first bytes whether a file is a report in this format, which a new report may replace."""

    @abstractmethod
    def findings(self, report: report.FindingsReport) -> Rendered_co:
        """Render findings alone."""

    @abstractmethod
    def conversion(self, report: report.ConversionReport) -> Rendered_co:
        """Render what ``convert`` made."""

    @abstractmethod
    def plan(self, report: report.PlanReport) -> Rendered_co:
        """Render a plan."""

    @abstractmethod
    def apply(self, report: report.ApplyReport) -> Rendered_co:
        """Render what became of an applied plan."""

    @abstractmethod
    def drift(self, report: report.DriftReport) -> Rendered_co:
        """Render how the server differs from the spec, and why."""

    @abstractmethod
    def history(self, report: report.HistoryReport) -> Rendered_co:
        """Render runs of the journal."""

    @abstractmethod
    def removal(self, report: report.RemovalReport) -> Rendered_co:
        """Render how much was removed from the journal."""

    @abstractmethod
    def mail_tests(self, report: report.MailTestReport) -> Rendered_co:
        """Render the results of test mails."""

    @abstractmethod
    def checks(self, report: report.ChecksReport) -> Rendered_co:
        """Render the doctor's checks."""

    @abstractmethod
    def commands(self, report: report.CommandsReport) -> Rendered_co:
        """Render commands for the reader to run."""

    @abstractmethod
    def explanation(self, report: report.ExplanationReport) -> Rendered_co:
        """Render the resolved settings of a realm."""

    @abstractmethod
    def rules(self, report: report.RulesReport) -> Rendered_co:
        """Render rules with their help."""
