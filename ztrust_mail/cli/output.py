"""Writes results to standard output in the chosen format, reports to files, and the rest to standard error."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TextIO, TypeVar

from ztrust_mail.api import Session
from ztrust_mail.cli.invocation import Display, current_display, fill_in_arguments
from ztrust_mail.cli.progress import Activity, Progress, is_screen, log_to_stderr
from ztrust_mail.cli.protected_files import (
    ProtectedFiles,
    ReportFile,
    check_not_journal,
    check_outside,
    parse_report_files,
    why_not_replace,
)
from ztrust_mail.cli.streams import OutputError, interrupt_on_termination, is_too_long, page
from ztrust_mail.core.errors import ExitStatus, SpecError, Unsafe, UsageError, ZtrustMailError
from ztrust_mail.core.files import write_file
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.reports import style, text
from ztrust_mail.reports.report import ApplyReport, OutputFormat, PlanReport, Report, load_format, of_findings
from ztrust_mail.reports.style import Line
from ztrust_mail.reports.text.code_frame import spec_finding_lines
from ztrust_mail.reports.text.lines import finding_line, finding_lines
from ztrust_mail.settings import FILES, folder_of

R = TypeVar("R", bound=Report)
_LOG = logging.getLogger(__name__)
_GRAVE = (Severity.ERROR.value, Severity.CRITICAL.value)


@dataclass
class Output(AbstractContextManager["Output"]):
    """The output of one command. Inside ``with``, errors of this package become messages and the exit status.

    For text, standard output has the complete result; standard error has progress, questions, and errors that end the
    command. With another format, the output is always a single document, even after an internal error or an
    interruption. No report may overwrite a file of ``own``. ``title`` is the server's name and URL; ``can_test`` tells
    whether it can send test mails. ``declined`` says why a plan was not applied. Setting ``cancel`` ends an apply after
    the writes in progress. ``logged`` are the reasons for waiting that have been logged.
    """

    command: str
    format: OutputFormat = OutputFormat.TEXT
    reports: Sequence[str] = ()
    own: ProtectedFiles = field(default_factory=ProtectedFiles)
    display: Display = field(default_factory=current_display)
    _activity: Activity = field(default_factory=Activity)
    _files: list[ReportFile] = field(default_factory=list)
    _lines: list[Line] = field(default_factory=list)
    _server: str = ""
    title: str = ""
    can_test: bool = False
    _findings: tuple[Finding, ...] = ()
    _shown: tuple[Finding, ...] = ()
    declined: str = "Declined: nothing was written."
    cancel: threading.Event = field(default_factory=threading.Event)
    logged: set[str] = field(default_factory=set)
    _finished: bool = False
    _resume: str = ""

    def __enter__(self) -> Output:
        try:
            self._check_format()
            self._files = parse_report_files(self.reports, self.own)
        except UsageError as e:
            self._fail(e)
        if self._files or self.is_document:
            interrupt_on_termination()
        return self

    def _check_format(self) -> None:
        """Raise :class:`UsageError`, to be shown as text, if the format needs a package that is not installed."""
        wanted, self.format = self.format, OutputFormat.TEXT
        load_format(wanted).check_installed()
        self.format = wanted

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._activity.stop()
        if isinstance(e, SpecError):
            self._fail(e, e.findings)
        elif isinstance(e, Unsafe):
            self._fail(e, more=e.findings)
        elif isinstance(e, ZtrustMailError):
            self._fail(e)
        elif isinstance(e, KeyboardInterrupt):
            self._print([style.line("Interrupted.")], sys.stderr)
            self._report_abort(ExitStatus.INTERRUPTED, "interrupted", "interrupted")
            exit_with(ExitStatus.INTERRUPTED)
        elif isinstance(e, Exception):
            self._report_abort(ExitStatus.BUG, "bug", f"internal error: {type(e).__name__}")

    def _fail(self, e: ZtrustMailError, found: Sequence[Finding] = (), more: Sequence[Finding] = ()) -> NoReturn:
        """End the command with an error; ``more`` goes into the report only."""
        found = found or (Finding(Severity.ERROR, e.rule or self.command, e.message, e.hint),)
        if not self.is_document:
            self._print(finding_lines(self._findings), sys.stderr)
        is_spec = isinstance(e, SpecError)
        self._print(spec_finding_lines(found, sys.stderr) if is_spec else finding_lines(found), sys.stderr)
        self._deliver(text.TextReport(), self._complete(of_findings(self.command, e.exit_status, [*found, *more])))
        exit_with(e.exit_status)

    def _report_abort(self, status: ExitStatus, rule: str, message: str) -> None:
        if not self._finished:
            found = [Finding(Severity.ERROR, rule, message)]
            self._deliver(text.TextReport(), self._complete(of_findings(self.command, status, found)))

    @property
    def is_document(self) -> bool:
        """Whether standard output gets one document, such as JSON, instead of text."""
        return self.format is not OutputFormat.TEXT

    @property
    def is_one_of_several(self) -> bool:
        """Whether the command runs on several servers, of which this output is for one."""
        return False

    @property
    def is_attached(self) -> bool:
        """Whether the server is known."""
        return bool(self._server)

    def attach(self, session: Session, activity: str = "Reading") -> None:
        """Put the server and the findings of the settings into the report, and show activity.

        Raises :class:`UsageError` if a report or the plan to be saved would overwrite a realm export.
        """
        self._server = session.server.url
        self.title = f"{session.server.name} ({self._server})" if session.server.name else self._server
        if session.server.gateway == FILES:
            self.check_outside_exports(folder_of(session.server.url))
        self.can_test = session.opened.capabilities.test
        self._findings += session.findings
        self.show_activity(f"{activity} {self.title}")

    def show_activity(self, what: str) -> None:
        """Show activity on a terminal, and if verbose what is sent."""
        log_to_stderr(verbose=self.display.verbose, quiet=self.display.quiet)
        if not self.display.quiet:
            self._activity.start(what)

    def show_new_activity(self, what: str) -> None:
        """Show activity on servers after a question was answered."""
        self._activity.stop()
        self._activity = Activity()
        self._activity.switch(what, "server")
        self.show_activity(what)

    def count_servers(self, done: int, total: int) -> None:
        """Show from any thread how many of several servers are done."""
        if not done:
            self._activity.switch(f"{self.command} on {pluralise(total, 'server')}", "server")
        self._activity(done, total)

    @property
    def count_realms(self) -> Callable[[int, int], None]:
        """What to call with the numbers of realms that are done and of all realms, from any thread."""
        return self._activity

    def show_request(self, what: str, done: int, total: int, noun: str) -> None:
        """Show on a terminal the state of a request, how many of its realms are done, and the elapsed time."""
        self.show_activity(what)
        self._activity.switch(what, noun)
        self._activity(done, total)

    def note_request(self, note: Line) -> None:
        """Print the new state of a request, unless a terminal shows it anyway."""
        if not is_screen(sys.stderr):
            self.print_note([note])

    def log_once(self, message: str) -> None:
        """Log from any thread why the command waits, unless it has done so before."""
        if message not in self.logged:
            self.logged.add(message)
            _LOG.info("%s", message)

    def wait_for_turn(self) -> bool:
        """Wait until the server may be written, and return whether it may at all."""
        return True

    def waiting(self) -> AbstractContextManager[None]:
        """Return a context in which the command only waits for workers, so that other servers may continue."""
        return nullcontext()

    def count_relays(self, done: int, total: int) -> None:
        """Show from any thread how many relays of tests are probed, after the tests themselves."""
        if not done:
            self._activity.switch("Probing the relays from here", "relay")
        self._activity(done, total)

    def check_outside_exports(self, exports: str) -> None:
        """Raise :class:`UsageError` if a report or a saved plan would overwrite a realm export of that folder."""
        files, self._files = self._files, []  # if one is refused, none is written
        for path in (*(path for _, path in files), *filter(None, [self.own.out])):
            check_outside(path, exports)
        self._files = files

    def add_findings(self, found: Iterable[Finding]) -> None:
        """Put findings into the result however the command ends."""
        self._findings += tuple(found)

    def take_new_findings(self) -> tuple[Finding, ...]:
        """Return the findings that were not shown so far, for a caller that shows them now."""
        new = tuple(one for one in self._findings if one not in self._shown)
        self._shown += new
        return new

    def print_findings(self, found: Iterable[Finding], *, fold: bool = False) -> None:
        """Print findings to standard error if standard output is neither a report nor a document.

        With ``fold``, long lists of findings about realms are shortened, unless details are wanted.
        """
        if not self.is_document:
            new = (one for one in (*self._findings, *found) if one not in self._shown)
            self.print_note(finding_lines(new, fold=fold and not self.display.details))

    def print_note(self, lines: Iterable[Line]) -> None:
        """Print lines that are not the result to standard error, unless only the result is wanted."""
        if self.display.quiet:
            self._record(lines)
        else:
            self._print(lines, sys.stderr)

    def make_progress(self) -> Progress:
        """Return what shows the progress of an apply."""
        return Progress()

    def ask(self, report: PlanReport, question: str, *, yes: bool) -> bool:
        """Show a plan and return whether to write it, by asking unless the user said ``yes`` beforehand."""
        self.print_preview(report, asks=not yes)
        return yes or confirm(question)

    def print_preview(self, report: PlanReport, *, asks: bool) -> None:
        """Print a plan before it is applied; with a document to standard error, and only if a question follows.

        Raises :class:`OutputError` if it cannot be written: then nothing may be written to the server.
        """
        shown, self._shown = self._text_of(self._complete(report)), (*self._findings, *report.findings)
        self.show_preview(shown._replace(verdict=[*shown.verdict, style.line()]), asks=asks)

    def show_preview(self, shown: text.TextReport, *, asks: bool) -> None:
        """Print lines as :meth:`print_preview` prints those of a plan."""
        self._activity.stop()
        try:
            if self.is_document and not asks:
                self._record([*shown.body, *shown.verdict])
            else:
                self._print_text(shown, sys.stderr if self.is_document else sys.stdout, pages=asks)
        except OutputError as e:
            raise OutputError(f"{e.message}; nothing was written to the server", e.hint, e.rule) from None

    def finish_report(
        self, report: Report, shown: text.TextReport | None = None, more: text.TextReport = text.NOTHING
    ) -> NoReturn:
        """Write a report to standard output and into the report files, and exit with its status.

        ``shown`` replaces the report's own text, and ``more`` follows it; with a document, the body of ``more`` is a
        note.
        """
        self._resume = report.next_step if isinstance(report, ApplyReport) else ""
        if self.is_document:
            self.print_note(more.body)
        report = self._complete(report)
        shown = shown or self._text_of(report)
        exit_with(self._deliver(text.TextReport([*shown.body, *more.body], [*shown.verdict, *more.verdict]), report))

    def finish(self, result: Iterable[Line], report: Report) -> NoReturn:
        """Write a report whose text is ``result``, and exit with the report's status. With a document, it is a note."""
        if self.is_document:
            self.print_note(result)
        found = finding_lines(one for one in self._findings if one not in self._shown)
        self.finish_report(report, text.TextReport(found, list(result)))

    def _text_of(self, report: Report) -> text.TextReport:
        new = tuple(one for one in report.findings if one not in self._shown)
        return text.TextFormat(details=self.display.details).render(replace(report, findings=new))

    def _complete(self, report: R) -> R:
        found = (*self._findings, *report.findings)
        specs = tuple(map(str, self.own.specs))
        return replace(report, server=report.server or self._server, title=self.title, findings=found, specs=specs)

    def _deliver(self, result: text.TextReport, report: Report) -> ExitStatus:
        lines = text.TextReport(self._record(result.body), self._record(result.verdict))
        report = self._save_reports(report)
        self._finished = True
        try:
            if self.is_document:
                self._activity.stop()
                sys.stdout.write(load_format(self.format).document(report, self._fill_in))
                sys.stdout.flush()
            else:
                self._print_text(lines, sys.stdout, pages=True, record=False)
        except OutputError as e:
            report = self._save_reports(self._with_problem(report, "output", e.message, e.hint))
        return report.exit_status

    def _print_text(self, shown: text.TextReport, stream: TextIO, *, pages: bool, record: bool = True) -> None:
        """Print a text: the body, in a pager if it is long, or only its errors if quiet; then the verdict."""
        body, verdict = (self._record(part) if record else list(part) for part in shown)
        self._activity.stop()
        if self.display.quiet:
            body = [one for one in body if any(span.text in _GRAVE for span in one)]
        rendered = style.render(body, stream, self.display.color)
        end = style.render(verdict, stream, self.display.color)
        if pages and not self.display.no_pager and rendered and is_too_long(rendered + end, stream) and page(rendered):
            rendered = ""
        style.write_text(rendered + end, stream)

    def _print(self, lines: Iterable[Line], stream: TextIO) -> None:
        self._activity.stop()
        style.write(self._record(lines), stream, self.display.color)

    def _save_reports(self, report: Report) -> Report:
        """Write the report files; a text report holds all lines of both streams."""
        for kind, path in self._files:
            is_text = kind is OutputFormat.TEXT
            if is_text:
                content = text.file_content(self.command, self._lines)
            else:
                content = load_format(kind).document(report, self._fill_in)
            if why := _why_not_written(path, content):
                message = f"cannot write the report {quoted(path)}: {why}"
                report = self._with_problem(report, "report", message, "free some disk space, or name another file")
        return report

    def _with_problem(self, report: Report, rule: str, message: str, hint: str) -> Report:
        """Report that a finished command's result could not be written, and return the report with that finding."""
        problem = Finding(Severity.ERROR, rule, message, f"the command has finished its work; {hint}")
        self._print([finding_line(problem)], sys.stderr)
        status = ExitStatus.worst([report.exit_status, ExitStatus.USAGE])
        return replace(report, exit_status=status, findings=(*report.findings, problem))

    def _record(self, lines: Iterable[Line]) -> list[Line]:
        """Return lines as a list, and keep them for a text report."""
        new = [tuple(replace(span, text=self._fill_in(span.text)) for span in one) for one in lines]
        if any(kind is OutputFormat.TEXT for kind, _ in self._files):
            self._lines += new
        return new

    def _fill_in(self, text: str) -> str:
        return fill_in_arguments(text, self._resume)


def confirm(question: str) -> bool:
    """Ask on standard error, so that a redirected result stays intact. Any answer but yes means no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _why_not_written(path: Path, report: str) -> str:
    """Write a report file; return why it could not be written, empty if it was."""
    if why := why_not_replace(path):  # a file was created there while the command ran
        return why
    try:
        write_file(path, report.encode())
    except OSError as e:
        return e.strerror or "it cannot be written"
    return ""


def check_output_file(path: Path | None, *, force: bool) -> None:
    """Raise :class:`UsageError` before any work is done if the output file could not be written."""
    if path is None:
        return
    if path.exists() and not force:
        raise UsageError(f"{quoted(path)} already exists", "name another file, or add --force")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {quoted(path)}: its folder does not exist", "name a file in an existing folder")


def write_output(path: Path | None, content: str, *, force: bool, settings: str | None = None) -> None:
    """Write the output of a command in UTF-8, to standard output or to a file.

    Raises :class:`UsageError` for a file that exists unless ``force``, and for the journal of these settings.
    """
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        sys.stdout.write(content)
        sys.stdout.flush()
        return
    check_not_journal(path, settings)
    try:
        write_file(path, content.encode(), overwrite=force)
    except FileExistsError:
        hint = "name another file, or add --force"
        raise UsageError(f"{quoted(path)} already exists", hint) from None
    except OSError as e:
        raise UsageError(f"cannot write {quoted(path)}: {e.strerror}", "check the path and its folder") from None


def exit_with(status: ExitStatus) -> NoReturn:
    """End the command."""
    sys.exit(status)
