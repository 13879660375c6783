"""Where the command line starts, and the one place that turns errors into exit statuses."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

from ztrust_mail._version import __version__
from ztrust_mail.errors import ExitStatus


def main() -> NoReturn:
    """Run the command line and exit."""
    if sys.argv[1:] == ["--version"]:  # before anything heavy is imported
        print(f"ztrust-mail {__version__}")
        sys.exit(ExitStatus.OK)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    from ztrust_mail.cli.app import app

    try:
        app(arguments, prog_name="ztrust-mail")
    except SystemExit as e:  # how the command line ends, whether well or badly
        return e.code if isinstance(e.code, int) else ExitStatus.OK
    except Exception as e:  # a bug of ours, whatever it is: told without values, which may be secrets
        return _bug(e)
    return ExitStatus.OK


def _bug(e: Exception) -> int:
    frames = [f"  {f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(e.__traceback__)]
    print("\n".join(frames), file=sys.stderr)
    print(f"ztrust-mail: a bug of ours: {type(e).__name__}; please report the lines above", file=sys.stderr)
    return ExitStatus.BUG
