"""Writes results to standard output in the chosen format, reports to files, and the rest to standard error."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from ztrust_mail.api import Session
from ztrust_mail.cli.main import OutputError
from ztrust_mail.cli.progress import log_waits
from ztrust_mail.cli.protected_files import (
    ProtectedFiles,
    ReportFile,
    check_not_journal,
    check_outside,
    parse_report_files,
    why_not_replace,
)
from ztrust_mail.core.errors import ExitStatus, SpecError, Unsafe, UsageError, ZtrustMailError
from ztrust_mail.core.files import write_file
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import quoted
from ztrust_mail.reports import style, text
from ztrust_mail.reports.report import OutputFormat, Report, load_format, of_findings
from ztrust_mail.reports.style import Line
from ztrust_mail.reports.text.code_frame import spec_finding_lines
from ztrust_mail.reports.text.findings import finding_line, finding_lines
from ztrust_mail.settings import FILES, folder_of


@dataclass
class Output(AbstractContextManager["Output"]):
    """The output of one command. Inside ``with``, errors of this package become messages and the exit status.

    With JSON every end of the command is one report, also an internal error and an interruption. No report may
    overwrite a file of ``own``.
    """

    command: str
    format: OutputFormat = OutputFormat.TEXT
    reports: Sequence[str] = ()
    own: ProtectedFiles = field(default_factory=ProtectedFiles)
    _files: list[ReportFile] = field(default_factory=list)
    _lines: list[Line] = field(default_factory=list)
    _server: str = ""
    _findings: tuple[Finding, ...] = ()
    _finished: bool = False

    def __enter__(self) -> Output:
        try:
            self._files = parse_report_files(self.reports, self.own)
        except UsageError as e:
            self._fail(e)
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(e, SpecError):
            self._fail(e, e.findings)
        elif isinstance(e, Unsafe):
            self._fail(e, more=e.findings)
        elif isinstance(e, ZtrustMailError):
            self._fail(e)
        elif isinstance(e, KeyboardInterrupt):
            self.print_note([style.line("Interrupted.")])
            self._report_abort(ExitStatus.INTERRUPTED, "interrupted", "interrupted")
            exit_with(ExitStatus.INTERRUPTED)
        elif isinstance(e, Exception):
            self._report_abort(ExitStatus.BUG, "bug", f"internal error: {type(e).__name__}")

    def _fail(self, e: ZtrustMailError, found: Sequence[Finding] = (), more: Sequence[Finding] = ()) -> NoReturn:
        """End the command with an error; ``more`` goes into the report only."""
        if isinstance(e, SpecError):
            self.print_note(spec_finding_lines(found, sys.stderr))
        else:
            found = found or (Finding(Severity.ERROR, e.rule or self.command, e.message, e.hint),)
            self.print_note(finding_lines(found))
        self.finish((), of_findings(self.command, e.exit_status, [*found, *more]))

    def _report_abort(self, status: ExitStatus, rule: str, message: str) -> None:
        if not self._finished:
            self._deliver((), of_findings(self.command, status, [Finding(Severity.ERROR, rule, message)]))

    def attach(self, session: Session) -> None:
        """Put the server into the report, print the findings of the settings, and print waits from now on.

        Raises :class:`UsageError` where a report or the plan to be saved would overwrite a realm export.
        """
        self._server = session.server.url
        if session.server.gateway == FILES:
            self._check_outside(folder_of(session.server.url))
        self.add_findings(session.findings)
        log_waits()

    def _check_outside(self, exports: str) -> None:
        files, self._files = self._files, []  # where one is refused, none is written
        for path in (*(path for _, path in files), *filter(None, [self.own.out])):
            check_outside(path, exports)
        self._files = files

    def add_findings(self, found: Sequence[Finding]) -> None:
        """Print findings, and put them into the report however the command ends."""
        self._findings += tuple(found)
        self.print_note(finding_lines(found))

    def print_note(self, lines: Iterable[Line]) -> None:
        """Print lines that are not the result to standard error."""
        style.to_stderr(self._record(lines))

    def print_preview(self, lines: Iterable[Line]) -> None:
        """Print the plan before it is applied, to standard error unless the format is text.

        Raises :class:`OutputError` where it cannot be written: then nothing may be written to the server.
        """
        try:
            style.write(self._record(lines), sys.stdout if self.format is OutputFormat.TEXT else sys.stderr)
        except OutputError as e:
            raise OutputError(f"{e.message}; nothing was written to the server", e.hint, e.rule) from None

    def finish_report(self, report: Report) -> NoReturn:
        """Write a report to standard output and into the report files, and exit with its status."""
        self.finish(text.FORMAT.render(report), report)

    def finish(self, result: Iterable[Line], report: Report) -> NoReturn:
        """Write a report whose text is ``result``, and exit with the report's status."""
        exit_with(self._deliver(result, report))

    def _deliver(self, result: Iterable[Line], report: Report) -> ExitStatus:
        lines = self._record(result)
        found = (*self._findings, *report.findings)
        report = self._save_reports(replace(report, server=report.server or self._server, findings=found))
        self._finished = True
        try:
            if self.format is OutputFormat.TEXT:
                style.write(lines, sys.stdout)
            else:
                sys.stdout.write(load_format(self.format).document(report))
                sys.stdout.flush()
        except OutputError as e:
            report = self._save_reports(self._with_problem(report, "output", e.message, e.hint))
        return report.exit_status

    def _save_reports(self, report: Report) -> Report:
        """Write the report files; a text report holds all lines of both streams."""
        for kind, path in self._files:
            is_text = kind is OutputFormat.TEXT
            content = text.file_content(self.command, self._lines) if is_text else load_format(kind).document(report)
            if why := _why_not_written(path, content):
                message = f"cannot write the report {quoted(path)}: {why}"
                report = self._with_problem(report, "report", message, "free some disk space, or name another file")
        return report

    def _with_problem(self, report: Report, rule: str, message: str, hint: str) -> Report:
        """Report that a finished command's result could not be written, and return the report with that finding."""
        problem = Finding(Severity.ERROR, rule, message, f"the command has finished its work; {hint}")
        self.print_note([finding_line(problem)])
        status = ExitStatus.worst([report.exit_status, ExitStatus.USAGE])
        return replace(report, exit_status=status, findings=(*report.findings, problem))

    def _record(self, lines: Iterable[Line]) -> list[Line]:
        """Return lines as a list, and keep them for a text report."""
        new = list(lines)
        if any(kind is OutputFormat.TEXT for kind, _ in self._files):
            self._lines += new
        return new


def _why_not_written(path: Path, report: str) -> str:
    """Write a report file; return why it could not be written, empty where it was."""
    if why := why_not_replace(path):  # a file was created there while the command ran
        return why
    try:
        write_file(path, report.encode())
    except OSError as e:
        return e.strerror or "it cannot be written"
    return ""


def check_output_file(path: Path | None, *, force: bool) -> None:
    """Raise :class:`UsageError` before any work is done where the output file could not be written."""
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
