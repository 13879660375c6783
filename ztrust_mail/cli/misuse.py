"""Reports an unusable command line, also in the formats and files that it asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

import click

from ztrust_mail.core.errors import ExitStatus, UsageError


def report_misuse(e: click.UsageError, arguments: Sequence[str]) -> ExitStatus:
    """Print a usage error, and report it where the arguments ask for a document or for report files."""
    asked, files = list(_values_of("--format", arguments)), list(_values_of("--report", arguments))
    if asked or files:
        _write_reports(e, asked, files, arguments)
    else:
        e.show()
    return ExitStatus.USAGE


def _write_reports(e: click.UsageError, asked: Sequence[str], files: Sequence[str], arguments: Sequence[str]) -> None:
    """Print and report the error as any other one.

    No file that an argument names is written over, since it is unknown which of them are specs.
    """
    from ztrust_mail.cli.output import Output
    from ztrust_mail.cli.protected_files import ProtectedFiles
    from ztrust_mail.reports.report import OutputFormat

    if e.ctx:
        print(e.ctx.get_usage(), file=sys.stderr)
    command = (e.ctx.info_name if e.ctx and e.ctx.parent else "") or ""
    hint = f"see: {e.ctx.command_path if e.ctx else 'ztrust-mail'} --help"
    chosen = next((name for name in OutputFormat if name in asked), OutputFormat.TEXT)
    own = ProtectedFiles([word for word in arguments if os.path.exists(word)])
    with suppress(SystemExit), Output(command, chosen, files, own):
        raise UsageError(e.format_message().removesuffix("."), hint, "usage")


def _values_of(option: str, arguments: Sequence[str]) -> Iterator[str]:
    """Yield the values of an option on a command line that could not be parsed."""
    yield from (value for word, value in pairwise(arguments) if word == option)
    yield from (word.partition("=")[2] for word in arguments if word.startswith(f"{option}="))
