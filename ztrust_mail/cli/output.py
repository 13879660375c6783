"""Where results go: standard output in the chosen format, reports into files, the rest to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import typer

from ztrust_mail.cli.options import Format
from ztrust_mail.errors import ExitStatus, SpecError, UsageError, ZtrustMailError
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.reports import json, lines, text
from ztrust_mail.reports.lines import Line
from ztrust_mail.text import did_you_mean, quoted


@dataclass
class Output(AbstractContextManager["Output"]):
    """One command's output. Inside ``with``, our own errors become messages and the exit status."""

    command: str
    format: Format = Format.TEXT
    reports: Sequence[str] = ()
    _files: list[tuple[Format, Path]] = field(default_factory=list)

    def __enter__(self) -> Output:
        for given in self.reports:
            kind, separator, file = given.partition("=")
            if not separator or not file or kind not in list(Format):
                hint = did_you_mean(kind, list(Format)) or "write --report json=FILE or text=FILE"
                raise typer.BadParameter(f"{quoted(given)} is no FORMAT=FILE; {hint}")
            self._files.append((Format(kind), Path(file)))
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(e, SpecError):
            self._fail(e, e.findings)
        elif isinstance(e, ZtrustMailError):
            self._fail(e, (Finding(Severity.ERROR, e.rule or self.command, e.message, e.hint),))
        elif isinstance(e, KeyboardInterrupt | typer.Abort):
            self.tell([lines.line("Interrupted.")])
            exit_with(ExitStatus.INTERRUPTED)

    def _fail(self, e: ZtrustMailError, found: Sequence[Finding]) -> NoReturn:
        self.tell(text.findings(found))
        self.finish((), json.of_findings(self.command, e.exit_status, found))

    def tell(self, said: Iterable[Line]) -> None:
        """Say something beside the result."""
        lines.to_stderr(said)

    def show(self, said: Iterable[Line]) -> None:
        """Write a part of the result now, where the format is text; else beside it."""
        lines.write(said, sys.stdout if self.format is Format.TEXT else sys.stderr)

    def finish(self, result: Iterable[Line], report: json.Report) -> NoReturn:
        """Write the result and the reports, and exit with the report's status."""
        said = list(result)
        for kind, path in self._files:
            _save(path, report.text() if kind is Format.JSON else lines.plain(said))
        if self.format is Format.JSON:
            sys.stdout.write(report.text())
            sys.stdout.flush()
        else:
            lines.write(said, sys.stdout)
        raise typer.Exit(int(report.exit_status))


def _save(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as e:
        raise UsageError(f"cannot write the report {path}: {e.strerror}", "check the folder") from None


def save_product(path: Path | None, content: str, *, force: bool) -> None:
    """Write what a command makes, to standard output or to a file that is not there yet."""
    if path is None:
        sys.stdout.write(content)
        sys.stdout.flush()
        return
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not overwritten", "name another file, or add --force") from None
    except OSError as e:
        raise UsageError(f"cannot write {path}: {e.strerror}", "check the folder") from None


def exit_with(status: ExitStatus) -> NoReturn:
    """End the command."""
    raise typer.Exit(int(status))
