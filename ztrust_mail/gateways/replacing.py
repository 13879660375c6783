"""A file replaced as a whole: whoever reads it sees the old content or the new one, whatever happens in between."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress

PREFIX = ".ztrust-mail-"
"""How the names of files begin that lie beside the one to be replaced until it is."""


class Changed(Exception):
    """The file is not what it was when it was read."""


def is_read_only(path: str) -> bool:
    """Tell whether a file or its folder may not be written; a mode without a w says so to the superuser too."""
    for one in (path, os.path.dirname(path)):
        if not os.access(one, os.W_OK) or not stat.S_IMODE(os.stat(one).st_mode) & 0o222:
            return True
    return False


def replace_file(path: str, before: bytes, after: bytes) -> None:
    """Put new content in place of the old, keeping mode, owner and extended attributes.

    Raises :class:`Changed` where the file does not hold ``before`` any more, :class:`OSError` where it cannot be
    written or its owner not be kept; then it is as it was.
    """
    if is_read_only(path):
        raise PermissionError(0, "it, or its folder, is read-only")
    folder = os.path.dirname(path)
    handle, temporary = tempfile.mkstemp(prefix=PREFIX, dir=folder)
    try:
        with open(handle, "wb") as file:
            file.write(after)
            file.flush()
            _liken(temporary, path)
            os.fsync(file.fileno())
        if _content(path, len(before) + 1) != before:
            raise Changed
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    _sync(folder)


def _liken(temporary: str, path: str) -> None:
    status = os.stat(path)
    os.chown(temporary, status.st_uid, status.st_gid)
    shutil.copystat(path, temporary)
    os.utime(temporary)


def _content(path: str, most: int) -> bytes:
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        return file.read(most)


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
