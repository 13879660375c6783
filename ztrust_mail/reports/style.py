"""Lines of styled text, written so that no untrusted character controls the terminal."""

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

    def add_style(span: Span) -> str:
        words, text = span.style.split(), printable(span.text)
        colour = next((word for word in words if word not in ("bold", "dim")), None)
        return click.style(text, colour, bold="bold" in words or None, dim="dim" in words or None) if words else text

    for one in lines:
        click.echo("".join(map(add_style, one)), file=stream)


def to_stderr(lines: Iterable[Line]) -> None:
    """Write lines that are not the result."""
    write(lines, sys.stderr)


def write_out(lines: Iterable[Line]) -> None:
    """Write lines that are the result."""
    write(lines, sys.stdout)
