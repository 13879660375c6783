"""Where results go: standard output in the chosen format, reports into files, the rest to standard error."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from ztrust_mail import settings as config
from ztrust_mail.api import Session
from ztrust_mail.cli.progress import tell_of_waits
from ztrust_mail.cli.streams import OutputError
from ztrust_mail.core.errors import (
    ConfigError,
    ExitStatus,
    JournalError,
    SpecError,
    Unsafe,
    UsageError,
    ZtrustMailError,
)
from ztrust_mail.core.files import STDIN, content_of, is_inside, is_spec_in, write_file
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.reports import style, text
from ztrust_mail.reports.format import OutputFormat, load_format
from ztrust_mail.reports.json import schema_at
from ztrust_mail.reports.report import Report, of_findings
from ztrust_mail.reports.style import Line
from ztrust_mail.reports.text.findings import finding_line, finding_lines
from ztrust_mail.settings import FILES, folder_of

ReportFile = tuple[OutputFormat, Path]

_BEGINNING = 512
_STREAMS = {1: "standard output", 2: "standard error"}


class FileKind(Enum):
    """What is at a path, by its content."""

    NEW = "nothing, or an empty file"
    REPORT = "a report"
    PLAN = "a saved plan"
    DEVICE = "a device or pipe"
    OTHER = "something else"


def kind_at(path: Path) -> FileKind:
    """Return what is at a path. What cannot be examined counts as new: writing it then reports why it fails."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return FileKind.NEW
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return FileKind.DEVICE
    try:
        return _kind_of(content_of(os.path.realpath(path), _BEGINNING)) if stat.S_ISREG(mode) else FileKind.OTHER
    except OSError:  # it cannot be read
        return FileKind.OTHER


def _kind_of(beginning: bytes) -> FileKind:
    from ztrust_mail.planning.saved.write import SCHEMAS  # most commands know no saved plan

    if not beginning:
        return FileKind.NEW
    if schema_at(beginning).startswith(SCHEMAS):
        return FileKind.PLAN
    is_report = any(load_format(name).recognises(beginning) for name in OutputFormat)
    return FileKind.REPORT if is_report else FileKind.OTHER


def reason_to_spare(path: Path, replaceable: FileKind = FileKind.REPORT) -> str:
    """Return why what is at a path may not be replaced by something of that kind, empty where it may."""
    if (kind := kind_at(path)) in (FileKind.NEW, FileKind.DEVICE, replaceable):
        return ""
    return f"it holds something other than {replaceable.value}" if kind is FileKind.OTHER else f"it is {kind.value}"


@dataclass(frozen=True)
class ProtectedFiles:
    """The files that a command reads or makes, as they were given; ``settings`` is None where nobody named any."""

    specs: Sequence[str] = ()
    plan: str | None = None
    out: Path | None = None
    settings: str | None = None

    def reason_against(self, path: Path, replaceable: FileKind = FileKind.REPORT) -> str:
        """Return why no report, or no other file of that kind, may be written to a path, empty where it may."""
        return next(self._reasons(path), "") or reason_to_spare(path, replaceable)

    def _reasons(self, path: Path) -> Iterator[str]:
        yield from (why for other, why in self._each() if _is_same(path, other))
        yield from (f"it would be one of the specs in {quoted(one)}" for one in self.specs if is_spec_in(path, one))
        yield from (f"{name} goes there" for handle, name in _STREAMS.items() if _is_file_of(path, handle))
        yield from ("it is the journal" for other in _journal_files(self.settings) if _is_same(path, other))

    def _each(self) -> Iterator[tuple[str | Path | None, str]]:
        yield from ((spec, "it is a spec") for spec in self.specs if spec != STDIN)
        yield self.plan, "it is the saved plan"
        yield self.out, "it is what --out names"
        yield from ((place, "it is a settings file") for place in config.places(self.settings))


def check_plan_file(path: Path, own: ProtectedFiles) -> None:
    """Raise :class:`UsageError` where saving a plan would replace anything but a saved plan."""
    if why := replace(own, out=None).reason_against(path, FileKind.PLAN):
        raise UsageError(f"cannot write the plan {quoted(path)}: {why}", "name a file elsewhere")


def check_not_journal(path: Path, settings: str | None) -> None:
    """Raise :class:`UsageError` where a command's product would replace the journal in force."""
    if any(_is_same(path, other) for other in _journal_files(settings)):
        raise UsageError(f"cannot write {quoted(path)}: it is the journal", "name another file")


def check_outside(path: Path, exports: str) -> None:
    """Raise :class:`UsageError` where a report or plan would be one of the realm exports in a file or folder."""
    real, root = os.path.realpath(path), os.path.realpath(exports)
    if real == root or (real.endswith(".json") and is_inside(real, root)):
        message = f"cannot write {quoted(path)}: it would be one of the realm exports in {quoted(exports, 255)}"
        raise UsageError(message, "name a file in another folder")


def report_files(given: Sequence[str], own: ProtectedFiles) -> list[ReportFile]:
    """Return what each ``FORMAT=FILE`` names.

    Raises :class:`UsageError`, before any work is done, where one is none, cannot be written, or would be written over
    a file of the command's own or another report.
    """
    found: list[ReportFile] = []
    for one in given:
        kind, path = _report_file(one)
        another = any(_is_same(path, other) for _, other in found)
        if why := "another report goes there" if another else own.reason_against(path):
            raise UsageError(f"cannot write the report {quoted(path)}: {why}", "name another file")
        found.append((kind, path))
    return found


def _report_file(given: str) -> ReportFile:
    kind, separator, file = given.partition("=")
    if not separator or not file or kind not in list(OutputFormat):
        hint = "" if kind in list(OutputFormat) else did_you_mean(kind, list(OutputFormat))
        raise UsageError(
            f"--report {quoted(given)} is no FORMAT=FILE",
            hint or f"write {' or '.join(f'{name}=FILE' for name in sorted(OutputFormat))}",
        )
    if file == STDIN:
        hint = "write it there as JSON with --format json, or name a file"
        raise UsageError(f"--report {quoted(given)}: standard output has the result already", hint)
    path = Path(file)
    if os.path.isdir(path) or not os.path.isdir(path.parent):
        problem = "it is a folder" if os.path.isdir(path) else "its folder does not exist"
        raise UsageError(f"cannot write the report {quoted(path)}: {problem}", "name a file in an existing folder")
    return OutputFormat(kind), path


def _journal_files(settings: str | None) -> Sequence[Path]:
    """Return the journal's file and those that SQLite keeps with it; none where a database server has it."""
    from ztrust_mail.journal.database import location_of  # most commands write no report

    url = None
    with suppress(ConfigError):  # reported by whatever needs the settings
        url = config.journal_url(config.load(settings))
    try:
        file = location_of(url).file
    except JournalError:  # likewise
        return ()
    return [file.with_name(file.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")] if file else ()


def _is_file_of(path: Path, handle: int) -> bool:
    """Tell whether a path leads to the regular file that a standard stream is redirected to."""
    with suppress(OSError):  # the path or the stream is not there
        status = os.fstat(handle)
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.stat(path))
    return False


def _is_same(path: Path, other: str | Path | None) -> bool:
    """Tell whether two paths lead to one file, be it by links or yet to be made."""
    if other is None:
        return False
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them is not there
        return os.path.realpath(path) == os.path.realpath(other)


@dataclass
class Output(AbstractContextManager["Output"]):
    """One command's output. Inside ``with``, our own errors become messages and the exit status.

    In JSON every ending is one report, a bug and an interruption included. ``own`` are the files that no report may be
    written over.
    """

    command: str
    format: OutputFormat = OutputFormat.TEXT
    reports: Sequence[str] = ()
    own: ProtectedFiles = field(default_factory=ProtectedFiles)
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
            self.tell([style.line("Interrupted.")])
            self._give_up(ExitStatus.INTERRUPTED, "interrupted", "interrupted")
            exit_with(ExitStatus.INTERRUPTED)
        elif isinstance(e, Exception):
            self._give_up(ExitStatus.BUG, "bug", f"a bug of ours: {type(e).__name__}")

    def _fail(self, e: ZtrustMailError, found: Sequence[Finding] = (), more: Sequence[Finding] = ()) -> NoReturn:
        """End with an error; ``more`` stands in the report only."""
        found = found or (Finding(Severity.ERROR, e.rule or self.command, e.message, e.hint),)
        self.tell(finding_lines(found))
        self.finish((), of_findings(self.command, e.exit_status, [*found, *more]))

    def _give_up(self, status: ExitStatus, rule: str, message: str) -> None:
        if not self._finished:
            self._deliver((), of_findings(self.command, status, [Finding(Severity.ERROR, rule, message)]))

    def connected(self, connection: Session) -> None:
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
        self.tell(finding_lines(found))

    def tell(self, said: Iterable[Line]) -> None:
        """Say something beside the result."""
        style.to_stderr(self._remembered(said))

    def show(self, said: Iterable[Line]) -> None:
        """Write a part of the result before the server is written to, to standard error if the format is not text.

        Raises :class:`OutputError` where nobody can read it: then nothing is to be written to the server.
        """
        try:
            style.write(self._remembered(said), sys.stdout if self.format is OutputFormat.TEXT else sys.stderr)
        except OutputError as e:
            raise OutputError(f"{e.message}; nothing was written to the server", e.hint, e.rule) from None

    def finish_report(self, report: Report) -> NoReturn:
        """Write a report to standard output and into the report files, and exit with its status."""
        self.finish(text.FORMAT.render(report), report)

    def finish(self, result: Iterable[Line], report: Report) -> NoReturn:
        """Write a report whose text is ``result``, and exit with the report's status."""
        exit_with(self._deliver(result, report))

    def _deliver(self, result: Iterable[Line], report: Report) -> ExitStatus:
        said = self._remembered(result)
        found = (*self._noted, *report.findings)
        report = self._save_reports(replace(report, server=report.server or self._server, findings=found))
        self._finished = True
        try:
            if self.format is OutputFormat.TEXT:
                style.write(said, sys.stdout)
            else:
                sys.stdout.write(load_format(self.format).document(report))
                sys.stdout.flush()
        except OutputError as e:
            report = self._save_reports(self._with_problem(report, "output", e.message, e.hint))
        return report.exit_status

    def _save_reports(self, report: Report) -> Report:
        """Write the report files; a text one holds all that was said, whatever the stream."""
        for kind, path in self._files:
            is_text = kind is OutputFormat.TEXT
            content = text.file_content(self.command, self._said) if is_text else load_format(kind).document(report)
            if why := _why_not_written(path, content):
                message = f"cannot write the report {quoted(path)}: {why}"
                report = self._with_problem(report, "report", message, "make room, or name another file")
        return report

    def _with_problem(self, report: Report, rule: str, message: str, hint: str) -> Report:
        """Report that a finished command's result could not be written, and return the report with that finding."""
        problem = Finding(Severity.ERROR, rule, message, f"the command did its work; {hint}")
        self.tell([finding_line(problem)])
        status = ExitStatus.worst([report.exit_status, ExitStatus.USAGE])
        return replace(report, exit_status=status, findings=(*report.findings, problem))

    def _remembered(self, said: Iterable[Line]) -> list[Line]:
        new = list(said)
        if any(kind is OutputFormat.TEXT for kind, _ in self._files):
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
