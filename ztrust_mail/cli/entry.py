"""Where the command line starts, and the one place that turns errors into exit statuses."""

from __future__ import annotations

import gc
import io
import os
import sys
import traceback
from typing import NoReturn

from ztrust_mail._version import __version__
from ztrust_mail.errors import ExitStatus

COLLECT_AFTER = 100_000
"""So many more objects than were freed before the garbage is looked through: imports make few circles."""

COMPLETION_VARIABLE = "_ZTRUST_MAIL_COMPLETE"
"""Set by a shell's completion script when it asks what may follow."""


def main() -> NoReturn:
    """Run the command line and exit."""
    if sys.argv[1:] == ["--version"]:  # before anything heavy is imported
        print(f"ztrust-mail {__version__}")
        sys.exit(ExitStatus.OK)
    gc.set_threshold(COLLECT_AFTER)  # else a tenth of a short command's time goes into looking for garbage
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale without our arrows and foreign names is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    try:
        from ztrust_mail.cli.app import app

        if COMPLETION_VARIABLE in os.environ:
            _prepare_completion()
        app(arguments, prog_name="ztrust-mail")
    except SystemExit as e:  # how the command line ends, whether well or badly
        return e.code if isinstance(e.code, int) else ExitStatus.OK
    except KeyboardInterrupt:  # before or after a command's own handling
        return ExitStatus.INTERRUPTED
    except Exception as e:  # a bug of ours, whatever it is: told without values, which may be secrets
        return _bug(e)
    return ExitStatus.OK


def _prepare_completion() -> None:
    """Register the shells, which typer does by itself only together with options of its own."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # there since 0.1

    completion_init()


def _bug(e: Exception) -> int:
    frames = [f"  {f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(e.__traceback__)]
    print("\n".join(frames), file=sys.stderr)
    print(f"ztrust-mail: a bug of ours: {type(e).__name__}; please report the lines above", file=sys.stderr)
    return ExitStatus.BUG
