"""One conversion from file to file, as ``ztrust-mail convert`` makes it."""

from __future__ import annotations

from collections.abc import Sequence

from ztrust_mail.convert import Destination, Format, Style, WriteResult, check_pair, write_settings


def convert(
    source: Format,
    target: Format,
    path: str,
    style: Style | None = None,
    globs: Sequence[str] = (),
    destination: Destination | None = None,
) -> WriteResult:
    """Return the settings in a file or folder in another format."""
    check_pair(source, target, style)
    return write_settings(source.read(path), target, path, style, globs, destination)
