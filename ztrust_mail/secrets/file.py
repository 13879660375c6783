"""``{file: PATH}``: a small text file in one of the folders a spec may read secrets from."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ztrust_mail.errors import SecretError
from ztrust_mail.secrets.base import Reach
from ztrust_mail.sensitive import SecretRef
from ztrust_mail.text import quoted

MAX_BYTES = 16_384
RUN_SECRETS = "/run/secrets"
NEVER = ("/proc", "/sys")
"""Where no secret lies and this process's own environment does, should the spec's folder be the root."""


def fetch(ref: SecretRef, reach: Reach) -> str:
    """Return the file's text; raises :class:`SecretError` where it is missing or out of reach."""
    (path,) = ref.argument
    real = os.path.realpath(os.path.join(ref.base, path.replace("\0", "\ufffd")))
    if not _is_reachable(real, ref, reach):
        hint = f"put it into the spec's folder, {RUN_SECRETS} or $CREDENTIALS_DIRECTORY, or permit its folder"
        hint += " with secret_folders under [allow] in trusted settings"
        raise SecretError(f"the file {quoted(path)} is out of a spec's reach", hint, "secret-out-of-reach")
    try:
        return _read(real).decode("utf-8")
    except FileNotFoundError:
        raise SecretError(f"the file {quoted(path)} does not exist", "create it", "secret-missing") from None
    except UnicodeDecodeError:
        pass  # the exception holds the file's content, so no other may have it as its context
    except OSError as e:
        message = f"cannot read the file {quoted(path)}: {e.strerror}"
        raise SecretError(message, "check the path and its permissions", "secret-missing") from None
    raise SecretError(f"the file {quoted(path)} is not UTF-8 text", "save it as text", "secret-bad")


def _is_reachable(real: str, ref: SecretRef, reach: Reach) -> bool:
    if any(_is_inside(real, folder) for folder in NEVER) or _is_settings(real, reach):
        return False
    return any(_is_inside(real, folder) for folder in _folders(ref, reach))


def _folders(ref: SecretRef, reach: Reach) -> Iterator[str]:
    yield ref.base
    yield RUN_SECRETS
    if credentials := reach.environ.get("CREDENTIALS_DIRECTORY"):
        yield credentials
    yield from reach.permissions.secret_folders


def _is_inside(real: str, folder: str) -> bool:
    root = os.path.realpath(folder)
    return os.path.commonpath((real, root)) == root


def _is_settings(real: str, reach: Reach) -> bool:
    return any(_is_same(real, path) for path in reach.settings_paths)


def _is_same(real: str, path: str) -> bool:
    try:
        return os.path.samefile(real, path)
    except OSError:  # one of the two is not there
        return False


def _read(real: str) -> bytes:
    handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "it is no regular file")
        return os.read(handle, MAX_BYTES)
    finally:
        os.close(handle)
