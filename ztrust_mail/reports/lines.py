"""Lines of styled text, written so that foreign characters cannot steer the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from ztrust_mail.text import printable


@dataclass(frozen=True)
class Span:
    """A piece of a line with a style of rich's: ``bold`` or ``red``."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """Return a line of plain and styled pieces."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def plain(lines: Iterable[Line]) -> str:
    """Return lines as text without styles, everything invisible made visible."""
    return "".join("".join(printable(span.text) for span in one).rstrip() + "\n" for one in lines)


def write(lines: Iterable[Line], stream: TextIO) -> None:
    """Write lines; colours only on a terminal, and not where ``NO_COLOR`` is set."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        stream.write(plain(lines))
        stream.flush()
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True)
    for one in lines:
        console.print(Text.assemble(*((printable(span.text), span.style) for span in one)))


def to_stderr(lines: Iterable[Line]) -> None:
    """Write lines that are not the result."""
    write(lines, sys.stderr)


def write_out(lines: Iterable[Line]) -> None:
    """Write lines that are the result."""
    write(lines, sys.stdout)
