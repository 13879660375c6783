"""The entry point of the command line, which turns every error into an exit status."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

from ztrust_mail._version import __version__
from ztrust_mail.cli.streams import OutputError, end_on_signals, guard_streams
from ztrust_mail.core.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    import click

COLLECT_AFTER = 100_000
"""How many new objects trigger a garbage collection: imports make few reference cycles."""

PROGRAM = "ztrust-mail"

COMPLETION_VARIABLE = "_ZTRUST_MAIL_COMPLETE"
"""Set by the completion script of a shell when it asks for suggestions."""


def main() -> NoReturn:
    """Run the command line and exit."""
    guard_streams()
    try:
        if sys.argv[1:] in (["--version"], ["version"]):  # before anything heavy is imported
            print(f"ztrust-mail {__version__}", flush=True)
            sys.exit(ExitStatus.OK)
        gc.set_threshold(COLLECT_AFTER)  # otherwise a tenth of a short command's time is garbage collection
        status = run(sys.argv[1:])
        end_on_signals()
        sys.exit(status)
    except OutputError as e:  # from output that no command writes, such as the help
        print(f"ztrust-mail: {e.message}; {e.hint}", file=sys.stderr)
        sys.exit(e.exit_status)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    import click

    from ztrust_mail.cli.app import app

    try:
        if instruction := os.environ.get(COMPLETION_VARIABLE):
            from ztrust_mail.cli.completion import answer

            print(answer(app, instruction, os.environ), end="", flush=True)
            return ExitStatus.OK
        return int(app.main(arguments, PROGRAM, standalone_mode=False) or ExitStatus.OK)
    except click.UsageError as e:
        return _report_misuse(e, arguments)
    except SystemExit as e:  # every command ends so
        return e.code if isinstance(e.code, int) else ExitStatus.OK
    except (click.Abort, KeyboardInterrupt):  # outside of a command's own handling
        return ExitStatus.INTERRUPTED
    except OutputError:
        raise
    except Exception as e:  # an internal error, reported without values, which may be secrets
        return _report_internal_error(e)


def _report_internal_error(e: Exception) -> int:
    frames = [f"  {f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(e.__traceback__)]
    print("\n".join(frames), file=sys.stderr)
    print(f"ztrust-mail: internal error: {type(e).__name__}; please report the lines above", file=sys.stderr)
    return ExitStatus.BUG


def _report_misuse(e: click.UsageError, arguments: Sequence[str]) -> ExitStatus:
    """Print a usage error, and report it if the arguments ask for a document or for report files."""
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
