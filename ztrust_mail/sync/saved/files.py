"""Reads files that somebody named, which may be anything."""

from __future__ import annotations

import os
import stat


def is_path(text: str) -> bool:
    """Tell whether a file can have that path at all, which a text in JSON need not be."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def bytes_of(path: str, most: int) -> bytes:
    """Return a regular file's bytes, one more than ``most`` where there are more.

    Raises ``OSError`` for a file that is not there, not readable, or something else than a file, such as a pipe.
    """
    if not is_path(path) or not stat.S_ISREG(os.stat(path).st_mode):  # before opening it, which some devices notice
        raise OSError(0, "it is no regular file")
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # it may have become a pipe by now
        return file.read(most + 1)
