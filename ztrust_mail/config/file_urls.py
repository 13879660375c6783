"""Realm files in place of a server: a file: URL names them, and nothing else of a server's settings applies."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from ztrust_mail.config.tables import Table
from ztrust_mail.errors import ConfigError
from ztrust_mail.text import quoted

FILES = "realm_files"
"""The gateway that works on realm files."""

_START = "file://"
_KEYS = ("url", "gateway")


def is_file_url(url: str) -> bool:
    """Tell whether a URL means files, rightly written or not."""
    return url[:5].casefold() == "file:"


def canonical(url: str, name: str, entry: Table) -> str:
    """Return the one URL by which realm files are known, links followed. Raises :class:`ConfigError`.

    ``entry`` is the server's own one in the settings: it can name no more than the files.
    """
    what = f"server {quoted(name)}" if name else "the server"
    if entry.get("gateway", FILES) != FILES:
        raise ConfigError(f"{what} has a file: URL, which {quoted(entry['gateway'])} does not have", f"use {FILES}")
    if needless := [key for key in entry if key not in _KEYS]:
        raise ConfigError(f"{quoted(needless[0])} of {what} means nothing to realm files", "leave it out")
    if not url.startswith(f"{_START}/") or "\0" in (path := folder_of(url)):
        hint = "write file:///path/to/folder, in a shell file://$PWD/folder"
        raise ConfigError(f"the URL of {what} is no absolute file: URL", hint)
    return Path(os.path.realpath(path)).as_uri()


def folder_of(url: str) -> str:
    """Return the path of the folder or file that a file: URL names."""
    return os.fsdecode(unquote_to_bytes(url.removeprefix(_START)))
