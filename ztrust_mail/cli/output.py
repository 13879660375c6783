"""Where results go: standard output in the chosen format, reports into files, the rest to standard error."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from ztrust_mail.api import Connection
from ztrust_mail.cli.options import Format
from ztrust_mail.cli.progress import tell_of_waits
from ztrust_mail.cli.report_files import (
    TEXT_HEADING,
    Own,
    ReportFile,
    check_not_journal,
    check_outside,
    reason_to_spare,
    report_files,
)
from ztrust_mail.cli.streams import OutputError
from ztrust_mail.config import FILES, folder_of
from ztrust_mail.errors import ExitStatus, SpecError, Unsafe, UsageError, ZtrustMailError
from ztrust_mail.files import write_file
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.reports import json, lines, text
from ztrust_mail.reports.lines import Line
from ztrust_mail.text import quoted


@dataclass
class Output(AbstractContextManager["Output"]):
    """One command's output. Inside ``with``, our own errors become messages and the exit status.

    In JSON every ending is one report, a bug and an interruption included. ``own`` are the files that no report may be
    written over.
    """

    command: str
    format: Format = Format.TEXT
    reports: Sequence[str] = ()
    own: Own = field(default_factory=Own)
    _files: list[ReportFile] = field(default_factory=list)
    _said: list[Line] = field(default_factory=list)
    _server: str = ""
    _noted: tuple[Finding, ...] = ()
    _finished: bool = False

    def __enter__(self) -> Output:
        try:
            self._files = report_files(self.reports, self.own)
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
            self.tell([lines.line("Interrupted.")])
            self._give_up(ExitStatus.INTERRUPTED, "interrupted", "interrupted")
            exit_with(ExitStatus.INTERRUPTED)
        elif isinstance(e, Exception):
            self._give_up(ExitStatus.BUG, "bug", f"a bug of ours: {type(e).__name__}")

    def _fail(self, e: ZtrustMailError, found: Sequence[Finding] = (), more: Sequence[Finding] = ()) -> NoReturn:
        """End with an error; ``more`` stands in the report only."""
        found = found or (Finding(Severity.ERROR, e.rule or self.command, e.message, e.hint),)
        self.tell(text.findings(found))
        self.finish((), json.of_findings(self.command, e.exit_status, [*found, *more]))

    def _give_up(self, status: ExitStatus, rule: str, message: str) -> None:
        if not self._finished:
            self._deliver((), json.of_findings(self.command, status, [Finding(Severity.ERROR, rule, message)]))

    def connected(self, connection: Connection) -> None:
        """Take note of the server, and tell what is worth telling about the settings.

        Raises :class:`UsageError` where a report or the plan to be saved would be one of the server's realm files.
        """
        self._server = connection.server.url
        if connection.server.gateway == FILES:
            self._check_outside(folder_of(connection.server.url))
        self.note(connection.findings)
        tell_of_waits()

    def _check_outside(self, exports: str) -> None:
        files, self._files = self._files, []  # none is written where one is refused
        for path in (*(path for _, path in files), *filter(None, [self.own.out])):
            check_outside(path, exports)
        self._files = files

    def note(self, found: Sequence[Finding]) -> None:
        """Tell findings, which stand in the report too, however the command ends."""
        self._noted += tuple(found)
        self.tell(text.findings(found))

    def tell(self, said: Iterable[Line]) -> None:
        """Say something beside the result."""
        lines.to_stderr(self._remembered(said))

    def show(self, said: Iterable[Line]) -> None:
        """Write a part of the result before the server is written to, to standard error if the format is not text.

        Raises :class:`OutputError` where nobody can read it: then nothing is to be written to the server.
        """
        try:
            lines.write(self._remembered(said), sys.stdout if self.format is Format.TEXT else sys.stderr)
        except OutputError as e:
            raise OutputError(f"{e.message}; nothing was written to the server", e.hint, e.rule) from None

    def finish(self, result: Iterable[Line], report: json.Report) -> NoReturn:
        """Write the result and the reports, and exit with the report's status."""
        exit_with(self._deliver(result, report))

    def _deliver(self, result: Iterable[Line], report: json.Report) -> ExitStatus:
        said = self._remembered(result)
        found = (*self._noted, *report.findings)
        report = self._save_reports(replace(report, server=report.server or self._server, findings=found))
        self._finished = True
        try:
            if self.format is Format.JSON:
                sys.stdout.write(report.text())
                sys.stdout.flush()
            else:
                lines.write(said, sys.stdout)
        except OutputError as e:
            report = self._save_reports(self._with_problem(report, "output", e.message, e.hint))
        return report.exit_status

    def _save_reports(self, report: json.Report) -> json.Report:
        """Write the report files; a text one holds all that was said, whatever the stream."""
        for kind, path in self._files:
            content = (
                report.text() if kind is Format.JSON else f"{TEXT_HEADING}{self.command}\n{lines.plain(self._said)}"
            )
            if why := _why_not_written(path, content):
                message = f"cannot write the report {quoted(path)}: {why}"
                report = self._with_problem(report, "report", message, "make room, or name another file")
        return report

    def _with_problem(self, report: json.Report, rule: str, message: str, hint: str) -> json.Report:
        """Report that a finished command's result could not be written, and return the report with that finding."""
        problem = Finding(Severity.ERROR, rule, message, f"the command did its work; {hint}")
        self.tell([text.finding(problem)])
        status = ExitStatus.worst([report.exit_status, ExitStatus.USAGE])
        return replace(report, exit_status=status, findings=(*report.findings, problem))

    def _remembered(self, said: Iterable[Line]) -> list[Line]:
        new = list(said)
        if any(kind is Format.TEXT for kind, _ in self._files):
            self._said += new
        return new


def _why_not_written(path: Path, report: str) -> str:
    """Write a report file; return why it could not be written, empty where it was."""
    if why := reason_to_spare(path):  # something came there while the command was at work
        return why
    try:
        write_file(path, report.encode())
    except OSError as e:
        return e.strerror or "it cannot be written"
    return ""


def check_product(path: Path | None, *, force: bool) -> None:
    """Raise :class:`UsageError` before any work is done where the product could not be written."""
    if path is None:
        return
    if path.exists() and not force:
        raise UsageError(f"{quoted(path)} exists and is not overwritten", "name another file, or add --force")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {quoted(path)}: its folder does not exist", "name a file in an existing folder")


def save_product(path: Path | None, content: str, *, force: bool, settings: str | None = None) -> None:
    """Write what a command makes, to standard output or to a file; in UTF-8.

    Raises :class:`UsageError` for a file that is there unless ``force``, and for the journal of these settings.
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
        raise UsageError(f"{quoted(path)} exists and is not overwritten", hint) from None
    except OSError as e:
        raise UsageError(f"cannot write {quoted(path)}: {e.strerror}", "check the path and its folder") from None


def exit_with(status: ExitStatus) -> NoReturn:
    """End the command."""
    sys.exit(status)
