"""Reads files and folders within bounds, and replaces files as a whole or not at all."""

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

SUFFIXES = (".yaml", ".yml", ".json")
"""How the names of specs end."""

FILE_PROBLEMS = {
    "cannot-read": ("it cannot be read", "check the path and the permissions"),
    "link-outside": ("this link leads out of the folder", "copy the file to here"),
    "no-such-file": ("there is no such file or folder", "check the path"),
    "not-a-file": ("this is not a regular file", "give a file, a folder, or - for standard input"),
    "too-large": (f"the file is larger than {MAX_BYTES // 10**6} MB, the limit", "split it"),
}
"""The message and the hint of each rule that :func:`file_bytes` and :func:`files_in` return."""


def read_regular_file(path: str | os.PathLike[str], limit: int, *, follow_links: bool = True) -> bytes:
    """Return the first ``limit`` bytes of a regular file.

    Raises ``OSError`` for a file that is missing, unreadable or not regular, such as a pipe.
    """
    if not is_path(os.fspath(path)) or not stat.S_ISREG(os.stat(path).st_mode):  # opening some devices has an effect
        raise OSError(errno.EINVAL, "it is not a regular file")
    # O_NONBLOCK: the file may have been replaced by a pipe since
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(limit)


def file_bytes(path: str, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[str, bytes]:
    """Return the bytes of a file or of standard input, or the rule that forbids to read them and no bytes."""
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin else b""
        elif rule := _refusal(path, suffixes):
            return rule, b""
        else:
            data = read_regular_file(path, MAX_BYTES + 1)
    except FileNotFoundError:
        return "no-such-file", b""
    except OSError:
        return "cannot-read", b""
    return ("too-large", b"") if len(data) > MAX_BYTES else ("", data)


def _refusal(path: str, suffixes: tuple[str, ...]) -> str:
    """Return the rule that forbids to open a file, or nothing."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        return "not-a-file"
    if not path.lower().endswith(suffixes):
        return "unknown-file-type"
    return "too-large" if status.st_size > MAX_BYTES else ""


def files_in(
    folder: str, suffixes: tuple[str, ...] = SUFFIXES, limit: int | None = None
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the files with these suffixes in a folder and below it, sorted, and the paths refused, with the rule.

    Names that start with a dot are ignored. More than ``limit`` files are refused: ``too-many``.
    """
    waiting, visited, files = [folder], set(), list[str]()
    refused: list[tuple[str, str]] = []
    while waiting:
        path = waiting.pop()
        real, is_named = os.path.realpath(path), path.lower().endswith(suffixes)
        is_folder = os.path.isdir(real)
        if (is_folder or is_named) and not is_inside(real, folder):
            refused.append((path, "link-outside"))
        elif is_folder and is_named:
            refused.append((path, "not-a-file"))
        elif is_folder and real not in visited:
            visited.add(real)  # links may form a circle
            try:
                names = sorted((name for name in os.listdir(path) if not name.startswith(".")), reverse=True)
            except OSError:
                refused.append((path, "cannot-read"))
                continue
            waiting.extend(os.path.join(path, name) for name in names)
        elif is_named and len(files) == limit:
            return files, [*refused, (folder, "too-many")]
        elif is_named:
            files.append(path)
    return files, refused


def is_inside(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a folder itself or lies below it, links followed."""
    root = os.path.realpath(folder)
    return os.path.commonpath((os.path.realpath(path), root)) == root


def is_spec_in(path: str | os.PathLike[str], folder: str) -> bool:
    """Tell whether a file at a path is, or would be, among the specs of a folder."""
    if not os.path.isdir(folder) or not is_inside(path, folder):
        return False
    real = os.path.realpath(path)
    names = os.path.relpath(real, os.path.realpath(folder)).split(os.sep)
    return real.lower().endswith(SUFFIXES) and not any(name.startswith(".") for name in names)


def is_path(text: str) -> bool:
    """Tell whether a text can be the path of a file, which a text in JSON need not be."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


PREFIX = ".ztrust-mail-"
"""The beginning of the names of temporary files."""

_NAME = re.compile(re.escape(PREFIX) + r"[0-9a-f]{32}")
_ATTEMPTS = 5
_FOLDER_IS_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
"""The errors of the system if only the content of a file may be written: its folder is read-only, the file belongs to
another user, or it is mounted into a container by itself."""


class Changed(Exception):
    """The file has changed since it was read."""


def is_read_only(path: str) -> bool:
    """Tell whether a file or its folder must not be written; a mode without w counts for the superuser too."""
    for one in (path, os.path.dirname(path)):
        if not os.access(one, os.W_OK) or not stat.S_IMODE(os.stat(one).st_mode) & 0o222:
            return True
    return False


def replace_file(path: str, before: bytes, after: bytes) -> None:
    """Replace the content of a file, preserving mode, owner and extended attributes.

    Raises :class:`Changed` if the file no longer contains ``before``, and :class:`OSError` if it cannot be written or
    its owner cannot be preserved; then it is unchanged.
    """
    if is_read_only(path):
        raise PermissionError(0, "it, or its folder, is read-only")
    with _temporary(os.path.dirname(path)) as (file, temporary):
        _write(file, after)
        if read_regular_file(path, len(before) + 1, follow_links=False) != before:
            raise Changed
        _copy_status(path, temporary)
        os.replace(temporary, path)
    _sync(os.path.dirname(path))


def write_file(path: str | os.PathLike[str], content: bytes, *, overwrite: bool = True) -> None:
    """Write a file, preserving the mode and owner of an existing file; a new file gets the usual mode.

    A device or pipe is written directly, and so is a file in a folder where it cannot be replaced.

    Raises :class:`FileExistsError` for an existing file unless ``overwrite``, and :class:`OSError` if the file cannot
    be written; then it is unchanged.
    """
    real = os.path.realpath(path) if overwrite else os.path.abspath(path)
    folder = os.path.dirname(real)
    remove_leftovers(folder)
    if not overwrite or not os.path.exists(path):
        with _temporary(folder, 0o666) as (file, temporary):
            _write(file, content)
            os.replace(temporary, real) if overwrite else _rename_to_new(temporary, real)
    elif not _is_replaceable(path, real) or not _try_replace(real, content):
        with open(path, "wb") as file:
            file.write(content)
    with suppress(OSError):  # the file is written; a folder without read permission cannot be synchronised
        _sync(folder)


def remove_leftovers(folder: str) -> None:
    """Remove the temporary files that killed processes left in a folder, as far as permitted."""
    with suppress(OSError), os.scandir(folder) as entries:
        leftovers = [entry.path for entry in entries if _NAME.fullmatch(entry.name)]
        for path in leftovers:
            with suppress(OSError):  # a running process holds its lock, or the file belongs to another user
                _remove_unlocked(path)


def _remove_unlocked(path: str) -> None:
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(handle)


def _is_replaceable(path: str | os.PathLike[str], real: str) -> bool:
    """Tell whether a path leads to a writable regular file with that real path."""
    with suppress(OSError):  # an open file that was deleted has no path
        return stat.S_ISREG(os.stat(path).st_mode) and os.path.samefile(path, real) and os.access(real, os.W_OK)
    return False


def _try_replace(path: str, content: bytes) -> bool:
    """Replace the content of a file and return True, or False if the folder or the owner does not permit it."""
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
    """Rename a temporary file unless the name is taken. Raises :class:`FileExistsError`."""
    try:
        os.link(temporary, path)  # unlike a rename it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # this file system has no hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(temporary, path)


@contextmanager
def _temporary(folder: str, mode: int = 0o600) -> Iterator[tuple[BinaryIO, str]]:
    """Yield a new, locked temporary file and its path; remove it at the end unless it was renamed."""
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
        with suppress(OSError):  # a file system without locks: nothing is removed on it
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return handle, path
        os.close(handle)  # another run removed it as a leftover before it was locked
    raise OSError(errno.EAGAIN, "other runs keep removing its temporary file")


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _copy_status(path: str, temporary: str) -> None:
    """Copy the owner, the mode and the extended attributes of a file to the temporary file that will replace it."""
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
