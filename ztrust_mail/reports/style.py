"""Lines of styled text, written so that no untrusted character controls the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from ztrust_mail.core.text import printable


@dataclass(frozen=True)
class Span:
    """A piece of a line with a style such as ``bold red``."""

    text: str
    style: str = ""


Line = tuple[Span, ...]

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
"""The ANSI code of each word of a style."""


def line(*parts: str | Span) -> Line:
    """Return a line of plain and styled pieces."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def plain(lines: Iterable[Line]) -> str:
    """Return lines as text without styles; invisible characters are escaped."""
    return "".join("".join(printable(span.text) for span in one).rstrip() + "\n" for one in lines)


def write(lines: Iterable[Line], stream: TextIO) -> None:
    """Write lines; with colours on a terminal unless ``NO_COLOR`` is set."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        stream.write(plain(lines))
        stream.flush()
        return
    import click  # colours Windows consoles, too

    for one in lines:
        click.echo("".join(_ansi(span) for span in one), file=stream)


def _ansi(span: Span) -> str:
    codes = [_CODES[word] for word in span.style.split()]
    text = printable(span.text)
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes and text else text


def to_stderr(lines: Iterable[Line]) -> None:
    """Write lines that are not the result."""
    write(lines, sys.stderr)


def write_out(lines: Iterable[Line]) -> None:
    """Write lines that are the result."""
    write(lines, sys.stdout)
