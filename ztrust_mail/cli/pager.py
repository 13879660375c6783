"""Shows long output page by page on a terminal."""

import os
import shlex
import shutil
import subprocess
from contextlib import suppress
from typing import TextIO

DEFAULT = "less -FRX"


def is_too_long(text: str, stream: TextIO) -> bool:
    """Tell whether text does not fit on the terminal, and the environment permits a pager."""
    if not stream.isatty() or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return text.count("\n") >= shutil.get_terminal_size().lines


def page(text: str) -> bool:
    """Show text in the user's pager and wait for its end. Return whether it was shown.

    It was not where the pager is missing, or ended with an error.
    """
    try:
        command = shlex.split(os.environ.get("PAGER", DEFAULT))
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError, IndexError):  # no such program; an unclosed quotation mark; an empty command
        return False
    with suppress(OSError):  # the user has left the pager before the end of the text
        pager.communicate(text)
    while True:
        try:
            return pager.wait() == 0
        except KeyboardInterrupt:  # the pager handles Ctrl-C itself
            continue
