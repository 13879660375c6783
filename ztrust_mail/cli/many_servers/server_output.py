"""The output of a command for one server of several: collected, to be printed whole."""

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
"""The parameters that a command for one of the servers has in another way, or not at all."""


@dataclass
class ServerOutput(Output):
    """Collects the output for one server. ``context`` is the command as typed for this server alone.

    ``refusal`` is what the table of all servers says where the answer is no.
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
            output.command, own=output.own, display=output.display, cancel=turns.cancel, server=server, turns=turns,
            context=context,
        )  # fmt: skip

    def __enter__(self) -> ServerOutput:
        return self

    @property
    def is_one_of_several(self) -> bool:
        """Whether the command runs on several servers, of which this output is for one."""
        return True

    @property
    def result(self) -> ServerResult:
        """What became of the server; interrupted where its command has not ended."""
        report = self._report or self._interruption()
        return ServerResult(
            self.server.name, report, self.server.labels, tuple(self._collected), self.remark, self.fill_in
        )

    @property
    def preview_result(self) -> ServerResult:
        """The plan that waits for an answer, else what became of the server."""
        if self.preview is None or self.turns.is_done(self.server.name):
            return self.result
        return replace(self.result, report=self.preview, lines=None)

    def stop_waiting(self) -> None:
        """Let requests that wait for a busy server end."""
        if self._session:
            self._session.opened.stop_waiting()

    def abandon(self) -> None:
        """End without waiting for what the server's thread does."""
        self.turns.finish(self.server.name, lambda: self._keep(self._interruption(), [line("Interrupted.")]))

    def end_without_report(self) -> None:
        """End a server whose report could not be made, so that the others do not wait for it; else do nothing."""
        found = [Finding(Severity.ERROR, "bug", "internal error: its report could not be made")]
        self.turns.finish(self.server.name, lambda: self._keep(of_findings(self.command, ExitStatus.BUG, found), []))

    def report_internal_error(self, e: Exception) -> None:
        """Collect where an internal error happened, without values, which may be secrets."""
        frames = traceback.extract_tb(e.__traceback__)
        self._collected += [line(f"  {one.filename}:{one.lineno} in {one.name}") for one in frames]
        self._collected.append(line(f"internal error: {type(e).__name__}; please report the lines above"))

    def fill_in(self, text: str) -> str:
        """Return a text with the user's own arguments for this server in its commands."""
        with self.scope():
            return self._fill_in(text)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Let the commands to run next be those for this server."""
        if self.context is None:
            yield
            return
        with self.context.scope(cleanup=False):
            yield

    def attach(self, session: Session, activity: str = "Reading") -> None:
        """Note the server, as its URL and login are known now."""
        self._session = session
        super().attach(session, activity)

    def show_activity(self, what: str) -> None:
        """Show nothing: the run on all servers has a line of its own."""

    def note_request(self, note: Line) -> None:
        """Print nothing: the report of the request follows."""

    def wait_for_turn(self) -> bool:
        """Wait for the answer to all servers, or for the stage of this one."""
        is_agreed = self.turns.wait_for_answer(self.server.name)
        self.remark = "" if is_agreed else self.refusal
        return is_agreed

    def waiting(self) -> AbstractContextManager[None]:
        """Return a context in which another server has the slot of this one."""
        return self.turns.without_slot()

    def make_progress(self) -> Progress:
        """Return what shows nothing."""
        return Progress(stream=io.StringIO())

    def ask(self, report: PlanReport, question: str, *, yes: bool) -> bool:
        """Keep the plan for the question about all servers, or show it above the result; wait for the answer."""
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
    """Return the context of a command as if it had been typed for one server."""
    context = click.Context(typed.command, typed.parent, typed.info_name)
    for name, value in typed.params.items():
        source = typed.get_parameter_source(name)
        if name in _SELECTING:
            value, source = ((server,), ParameterSource.COMMANDLINE) if name == "server" else (None, None)
        context.params[name] = value
        context.set_parameter_source(name, source or ParameterSource.DEFAULT)
    return context
