"""The entry point of the command line, which turns every error into an exit status."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ztrust_mail._version import __version__
from ztrust_mail.cli import streams
from ztrust_mail.core.errors import ExitStatus

if TYPE_CHECKING:
    import click

COLLECT_AFTER = 100_000
"""How many new objects trigger a garbage collection: imports make few reference cycles."""

PROGRAM = "ztrust-mail"

COMPLETION_VARIABLE = "_ZTRUST_MAIL_COMPLETE"
"""Set by the completion script of a shell when it asks for suggestions."""


def main() -> NoReturn:
    """Run the command line and exit."""
    streams.guard()
    try:
        if sys.argv[1:] == ["--version"]:  # before anything heavy is imported
            print(f"ztrust-mail {__version__}", flush=True)
            sys.exit(ExitStatus.OK)
        gc.set_threshold(COLLECT_AFTER)  # otherwise a tenth of a short command's time is garbage collection
        sys.exit(run(sys.argv[1:]))
    except streams.OutputError as e:  # from output that no command writes, such as the help
        print(f"ztrust-mail: {e.message}; {e.hint}", file=sys.stderr)
        sys.exit(e.exit_status)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    import click

    from ztrust_mail.cli.app import app

    try:
        if instruction := os.environ.get(COMPLETION_VARIABLE):
            from click.shell_completion import shell_complete

            return shell_complete(app, {}, PROGRAM, COMPLETION_VARIABLE, instruction)
        return int(app.main(arguments, PROGRAM, standalone_mode=False) or ExitStatus.OK)
    except click.UsageError as e:
        return _report_misuse(e, arguments)
    except SystemExit as e:  # every command ends so
        return e.code if isinstance(e.code, int) else ExitStatus.OK
    except (click.Abort, KeyboardInterrupt):  # outside of a command's own handling
        return ExitStatus.INTERRUPTED
    except streams.OutputError:
        raise
    except Exception as e:  # an internal error, reported without values, which may be secrets
        return _report_internal_error(e)


def _report_misuse(e: click.UsageError, arguments: Sequence[str]) -> int:
    """Print a usage error, and a JSON report where the arguments ask for one."""
    e.show()
    words = "\0".join(arguments)
    if "--format" in words:
        from ztrust_mail.core.findings import Finding, Severity
        from ztrust_mail.reports.format import OutputFormat, load_format
        from ztrust_mail.reports.report import of_findings

        command = e.ctx.info_name if e.ctx and e.ctx.parent else ""
        hint = f"see: {e.ctx.command_path if e.ctx else PROGRAM} --help"
        found = Finding(Severity.ERROR, "usage", e.format_message(), hint)
        report = of_findings(command or "", ExitStatus.USAGE, [found])
        asked = [name for name in OutputFormat if f"--format\0{name}" in words or f"--format={name}" in words]
        for name in set(asked) - {OutputFormat.TEXT}:
            sys.stdout.write(load_format(name).document(report))
    return ExitStatus.USAGE


def _report_internal_error(e: Exception) -> int:
    frames = [f"  {f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(e.__traceback__)]
    print("\n".join(frames), file=sys.stderr)
    print(f"ztrust-mail: internal error: {type(e).__name__}; please report the lines above", file=sys.stderr)
    return ExitStatus.BUG
