"""The output of a command for one of several servers, collected and printed as a whole."""

from __future__ import annotations

import io
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TextIO

import click
from click.core import ParameterSource

from ztrust_mail.api import Session
from ztrust_mail.cli.many_servers.turns import Turns
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.progress import Progress
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.reports import text
from ztrust_mail.reports.report import PlanReport, Report, ServerResult, of_findings
from ztrust_mail.reports.style import Line, line
from ztrust_mail.settings.inventory import SelectedServer

_SELECTING = ("server", "label", "all_servers", "parallel", "order")
"""The parameters that differ, or are missing, in the command for a single server."""


@dataclass
class ServerOutput(Output):
    """Collects the output for one server. ``context`` is the command as typed for this server alone.

    ``refusal`` is the remark in the table of all servers if the user declines.
    """

    server: SelectedServer = field(default_factory=lambda: SelectedServer(""))
    turns: Turns = field(default_factory=lambda: Turns([], 1))
    context: click.Context | None = None
    remark: str = ""
    refusal: str = ""
    preview: PlanReport | None = None
    _collected: list[Line] = field(default_factory=list)
    _session: Session | None = None
    _report: Report | None = None

    @classmethod
    def of(cls, output: Output, server: SelectedServer, turns: Turns) -> ServerOutput:
        """Return the output for one server of the command that runs."""
        typed = click.get_current_context(silent=True)
        context = context_of(typed, server.name) if typed else None
        return cls(
            output.command, own=output.own, display=output.display, cancel=turns.cancel, logged=output.logged,
            server=server, turns=turns, context=context,
        )  # fmt: skip

    def __enter__(self) -> ServerOutput:
        return self

    @property
    def is_one_of_several(self) -> bool:
        """Whether the command runs on several servers, of which this output is for one."""
        return True

    @property
    def result(self) -> ServerResult:
        """The result for the server; interrupted if its command has not ended."""
        report = self._report or self._interruption()
        return ServerResult(
            self.server.name, report, self.server.labels, tuple(self._collected), self.remark, self.fill_in
        )

    @property
    def preview_result(self) -> ServerResult:
        """The plan that waits for confirmation, or else the result for the server."""
        if self.preview is None or self.turns.is_done(self.server.name):
            return self.result
        return replace(self.result, report=self.preview, lines=None)

    def stop_waiting(self) -> None:
        """End requests that are waiting for a busy server."""
        if self._session:
            self._session.opened.stop_waiting()

    def abandon(self) -> None:
        """End without waiting for the server's thread."""
        self.turns.finish(self.server.name, lambda: self._keep(self._interruption(), [line("Interrupted.")]))

    def end_without_report(self) -> None:
        """End a server without a report, so that the others do not wait for it. No effect if it has a report."""
        found = [Finding(Severity.ERROR, "bug", "internal error: cannot create its report")]
        self.turns.finish(self.server.name, lambda: self._keep(of_findings(self.command, ExitStatus.BUG, found), []))

    def report_internal_error(self, e: Exception) -> None:
        """Collect where an internal error happened, without values, which may be secrets."""
        frames = traceback.extract_tb(e.__traceback__)
        self._collected += [line(f"  {one.filename}:{one.lineno} in {one.name}") for one in frames]
        self._collected.append(line(f"internal error: {type(e).__name__}; please report the lines above"))

    def fill_in(self, text: str) -> str:
        """Return a text with the user's arguments for this server filled into its commands."""
        with self.scope():
            return self._fill_in(text)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Make suggested commands refer to this server."""
        if self.context is None:
            yield
            return
        with self.context.scope(cleanup=False):
            yield

    def attach(self, session: Session, activity: str = "Reading") -> None:
        """Remember the session, and attach the server to the report."""
        self._session = session
        super().attach(session, activity)

    def show_activity(self, what: str) -> None:
        """Show nothing: the run on all servers has its own activity line."""

    def note_request(self, note: Line) -> None:
        """Print nothing: the report of the request follows."""

    def wait_for_turn(self) -> bool:
        """Wait for the confirmation for all servers, or for this server's stage."""
        is_agreed = self.turns.wait_for_answer(self.server.name)
        self.remark = "" if is_agreed else self.refusal
        return is_agreed

    def waiting(self) -> AbstractContextManager[None]:
        """Return a context in which another server may use this server's slot."""
        return self.turns.without_slot()

    def make_progress(self) -> Progress:
        """Return a progress display that shows nothing."""
        return Progress(stream=io.StringIO())

    def ask(self, report: PlanReport, question: str, *, yes: bool) -> bool:
        """Store the plan for the common question, or show it above the result; wait for the answer."""
        self.preview = self._complete(report)
        if yes:
            shown = self._text_of(self.preview)
            self._collected += self._record([*shown.body, *shown.verdict, line()])
        self._shown = (*self._findings, *report.findings)
        return self.wait_for_turn()

    def _print(self, lines: Iterable[Line], stream: TextIO) -> None:
        self._collected += self._record(lines)

    def _deliver(self, result: text.TextReport, report: Report) -> ExitStatus:
        lines = [*self._record(result.body), *self._record(result.verdict)]
        self.turns.finish(self.server.name, lambda: self._keep(report, lines))
        self._finished = True
        return report.exit_status

    def _keep(self, report: Report, lines: list[Line]) -> None:
        self._report = report
        self._collected += lines

    def _interruption(self) -> Report:
        found = [Finding(Severity.ERROR, "interrupted", "interrupted")]
        return of_findings(self.command, ExitStatus.INTERRUPTED, found)


def context_of(typed: click.Context, server: str) -> click.Context:
    """Return the context of a command as if it had been typed for this server alone."""
    context = click.Context(typed.command, typed.parent, typed.info_name)
    for name, value in typed.params.items():
        source = typed.get_parameter_source(name)
        if name in _SELECTING:
            value, source = ((server,), ParameterSource.COMMANDLINE) if name == "server" else (None, None)
        context.params[name] = value
        context.set_parameter_source(name, source or ParameterSource.DEFAULT)
    return context
