"""Which files a folder of specs is read for."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

MAX_BYTES = 10_000_000
STDIN = "-"

SUFFIXES = (".yaml", ".yml", ".json", ".toml")


def file_bytes(path: str, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[str, bytes]:
    """Return the rule that forbids to read a file, or nothing and its bytes. Raises :class:`OSError`."""
    if path == STDIN:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin else b""
    else:
        status = os.stat(path)  # before opening it, which has an effect on some devices
        if not stat.S_ISREG(status.st_mode):
            return "not-a-file", b""
        if not path.lower().endswith(suffixes):
            return "unknown-file-type", b""
        if status.st_size > MAX_BYTES:
            return "too-large", b""
        # O_NONBLOCK: it may have become a pipe by now
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    return "too-large" if len(data) > MAX_BYTES else "", data


def files_in(folder: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the spec files in a folder and all below it, sorted, and the paths that are refused, with the rule.

    Names that start with a dot are passed over.
    """
    root = os.path.realpath(folder)
    waiting, visited, files = [folder], set(), []
    refused: list[tuple[str, str]] = []
    while waiting:
        path = waiting.pop()
        real, named = os.path.realpath(path), path.lower().endswith(SUFFIXES)
        is_folder = os.path.isdir(real)
        if (is_folder or named) and not is_inside(real, root):
            refused.append((path, "link-outside"))
        elif is_folder and named:
            refused.append((path, "not-a-file"))
        elif is_folder and real not in visited:
            visited.add(real)  # links may lead round in a circle
            try:
                names = sorted((name for name in os.listdir(path) if not name.startswith(".")), reverse=True)
            except OSError:
                refused.append((path, "cannot-read"))
                continue
            waiting.extend(os.path.join(path, name) for name in names)
        elif named:
            files.append(path)
    return files, refused


def is_inside(real: str, root: str) -> bool:
    """Tell whether a path is a folder or lies below it. Both paths must be real: absolute and without links."""
    return os.path.commonpath([root, real]) == root


def is_spec_in(path: str | os.PathLike[str], folder: str) -> bool:
    """Tell whether a file at a path is, or would be, among those that a folder is read for."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if not os.path.isdir(folder) or not is_inside(real, root):
        return False
    names = os.path.relpath(real, root).split(os.sep)
    return real.lower().endswith(SUFFIXES) and not any(name.startswith(".") for name in names)


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


PREFIX = ".ztrust-mail-"
"""How the names of temporary files begin."""

_NAME = re.compile(re.escape(PREFIX) + r"[0-9a-f]{32}")
_ATTEMPTS = 5
_FOLDER_IS_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
"""What the system answers where only the content of a file may be written: its folder is read-only, it is another
user's, or it is mounted into a container by itself."""


class Changed(Exception):
    """The file is not what it was when it was read."""


def is_read_only(path: str) -> bool:
    """Tell whether a file or its folder may not be written; a mode without a w says so to the superuser too."""
    for one in (path, os.path.dirname(path)):
        if not os.access(one, os.W_OK) or not stat.S_IMODE(os.stat(one).st_mode) & 0o222:
            return True
    return False


def replace_file(path: str, before: bytes, after: bytes) -> None:
    """Replace the content of a file, preserving mode, owner and extended attributes.

    Raises :class:`Changed` where the file does not hold ``before`` any more, :class:`OSError` where it cannot be
    written or its owner not be preserved; then it is as it was.
    """
    if is_read_only(path):
        raise PermissionError(0, "it, or its folder, is read-only")
    with _temporary(os.path.dirname(path)) as (file, temporary):
        _write(file, after)
        if content_of(path, len(before) + 1) != before:
            raise Changed
        _copy_status(path, temporary)
        os.replace(temporary, path)
    _sync(os.path.dirname(path))


def write_file(path: str | os.PathLike[str], content: bytes, *, overwrite: bool = True) -> None:
    """Write a file, preserving the mode and owner of one that is there; a new file gets the usual mode.

    A device or pipe is written to directly, and so is a file whose folder permits nothing else.

    Raises :class:`FileExistsError` for a file that is there unless ``overwrite``, :class:`OSError` where it cannot be
    written: then it is as it was.
    """
    real = os.path.realpath(path) if overwrite else os.path.abspath(path)
    folder = os.path.dirname(real)
    remove_leftovers(folder)
    if not overwrite or not os.path.exists(path):
        with _temporary(folder, 0o666) as (file, temporary):
            _write(file, content)
            os.replace(temporary, real) if overwrite else _rename_to_new(temporary, real)
    elif not _is_replaceable(path, real) or not _replaced(real, content):
        with open(path, "wb") as file:
            file.write(content)
    with suppress(OSError):  # the file is there; a folder that may not be read cannot be synchronised
        _sync(folder)


def remove_leftovers(folder: str) -> None:
    """Remove the temporary files that killed processes left in a folder, as far as that is permitted."""
    with suppress(OSError), os.scandir(folder) as entries:
        leftovers = [entry.path for entry in entries if _NAME.fullmatch(entry.name)]
        for path in leftovers:
            with suppress(OSError):  # a live process holds its lock, or the file is another user's
                _remove_unlocked(path)


def content_of(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the first bytes of a file. A pipe is not waited for, and a link not followed."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        return file.read(most)


def _remove_unlocked(path: str) -> None:
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(handle)


def _is_replaceable(path: str | os.PathLike[str], real: str) -> bool:
    """Tell whether a path leads to a regular file that may be written and has that real path."""
    with suppress(OSError):  # an open file that was deleted has no path
        return stat.S_ISREG(os.stat(path).st_mode) and os.path.samefile(path, real) and os.access(real, os.W_OK)
    return False


def _replaced(path: str, content: bytes) -> bool:
    """Replace the content of a file and return True, or False where the folder or the owner does not permit that."""
    try:
        with _temporary(os.path.dirname(path)) as (file, temporary):
            _write(file, content)
            _copy_status(path, temporary)
            os.replace(temporary, path)
    except OSError as e:
        if e.errno in _FOLDER_IS_CLOSED:
            return False
        raise
    return True


def _rename_to_new(temporary: str, path: str) -> None:
    """Give a temporary file its name unless that is taken. Raises :class:`FileExistsError`."""
    try:
        os.link(temporary, path)  # unlike a rename it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # this file system has no second names
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(temporary, path)


@contextmanager
def _temporary(folder: str, mode: int = 0o600) -> Iterator[tuple[BinaryIO, str]]:
    """Give a new, locked temporary file and its path; remove it in the end, unless it has got another name."""
    handle, path = _create(folder, mode)
    with open(handle, "wb") as file:
        try:
            yield file, path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _create(folder: str, mode: int) -> tuple[int, str]:
    for _ in range(_ATTEMPTS):
        path = os.path.join(folder, PREFIX + os.urandom(16).hex())
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with suppress(OSError):  # a file system without locks: nothing is removed there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return handle, path
        os.close(handle)  # another run took it for a leftover before it was locked
    raise OSError(errno.EAGAIN, "other runs remove its temporary file")


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _copy_status(path: str, temporary: str) -> None:
    """Give a complete temporary file the owner, the mode and the extended attributes of the file it will replace."""
    status = os.stat(path)
    os.chown(temporary, status.st_uid, status.st_gid)
    shutil.copystat(path, temporary)
    os.utime(temporary)


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
