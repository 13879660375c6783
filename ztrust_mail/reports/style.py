"""Lines of styled text, wrapped to a width, and written so that no untrusted character controls the terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from ztrust_mail.core.text import CI_COMMAND, printable

WIDTH = 80
"""The columns of text that does not go to a terminal."""

LEAST_WIDTH = 20

HANG = "hang"
"""The style of an empty span that marks the column where the continuation of a wrapped line begins."""

WHOLE = "whole"
"""The style of a span that is not broken, so that it can be copied, such as a command."""

PLACE = "place"
"""The style of a span that names a place in a file. Editors and CI read such lines: only a terminal wraps them."""


class ColorMode(StrEnum):
    """When text is coloured."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True)
class Span:
    """A piece of a line with a style such as ``bold red``."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """Return a line of plain and styled pieces."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def plain(lines: Iterable[Line], width: int = 0, *, terminal: bool = False) -> str:
    """Return lines as text without styles, wrapped to a width unless that is 0; invisible characters are escaped."""
    wrapped = wrap(lines, width, terminal=terminal)
    return "".join("".join(span.text for span in one).rstrip() + "\n" for one in wrapped)


def wrap(lines: Iterable[Line], width: int, *, terminal: bool = False) -> Iterator[Line]:
    """Yield printable lines of at most ``width`` columns, 0 for any. Breaks at blanks; longer words stay whole."""
    for one in lines:
        shown = tuple(Span(CI_COMMAND.sub(r"\\x23#", printable(span.text)), span.style) for span in one)
        is_fixed = not width or (shown and shown[0].style == PLACE and not terminal)
        if not is_fixed and sum(len(span.text) for span in shown) > width:
            yield from map(_disarm, _wrap(shown, max(width, LEAST_WIDTH)))
        else:
            yield _disarm(shown)


_CI_COMMAND_IN_DOCUMENT = re.compile(rf"{CI_COMMAND.pattern}|^[^\S\n]*::", re.MULTILINE)


def disarm_document(content: str, escape: Callable[[str], str]) -> str:
    """Return a document in which no CI service finds a command, should the document go to a job's output.

    ``escape`` returns a character as the document's format writes it by its code.
    """
    if "##" not in content and "::" not in content:
        return content
    return _CI_COMMAND_IN_DOCUMENT.sub(lambda found: f"{found[0][:-2]}{escape(found[0][-1])}{found[0][-1]}", content)


def escape_in_json(character: str) -> str:
    r"""Return ``\u0023`` for a number sign."""
    return f"\\u{ord(character):04x}"


def escape_visibly(character: str) -> str:
    r"""Return ``\x23`` for a number sign, as a visible escape in text without other escapes."""
    return f"\\x{ord(character):02x}"


def escape_in_markup(character: str) -> str:
    """Return ``&#35;`` for a number sign, in XML and HTML."""
    return f"&#{ord(character)};"


def _disarm(row: Line) -> Line:
    """Return a line that GitHub does not interpret as a command, which would begin with ``::``."""
    for place, span in enumerate(row):
        if text := span.text.lstrip():
            if text.startswith("::"):
                disarmed = Span(span.text.replace("::", r"\x3a:", 1), span.style)
                return (*row[:place], disarmed, *row[place + 1 :])
            break
    return row


def _wrap(one: Line, width: int) -> Iterator[Line]:
    hang = _hang(one, width)
    row: list[Span] = []
    used, blanks = 0, ""
    for span in one:
        words = [span.text] if WHOLE in span.style else re.split("( +)", span.text)
        for word in words:
            if not word.strip(" "):
                blanks += word
            elif row and used > hang and used + len(blanks) + len(word) > width:
                yield tuple(row)
                row, used, blanks = [Span(" " * hang), Span(word, span.style)], hang + len(word), ""
            else:
                row.append(Span(blanks + word, span.style))
                used, blanks = used + len(blanks) + len(word), ""
    if row:
        yield tuple(row)


def _hang(one: Line, width: int) -> int:
    """Return the indentation of continuation lines: the marked column unless it leaves little room."""
    text = "".join(span.text for span in one)
    indent = len(text) - len(text.lstrip(" ")) + 2
    column = 0
    for span in one:
        if span.style == HANG:
            return column if column <= width // 2 else min(indent + 2, width // 4)
        column += len(span.text)
    return min(indent, width // 4)


def width_of(stream: TextIO) -> int:
    """Return the columns of a terminal, 80 for other streams; ``COLUMNS`` overrides both."""
    if stream.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size((WIDTH, 24)).columns
    return WIDTH


def has_colors(stream: TextIO, mode: ColorMode = ColorMode.AUTO) -> bool:
    """Tell whether text on a stream is coloured: by the mode, ``NO_COLOR``, ``FORCE_COLOR``, or as a terminal."""
    if mode is not ColorMode.AUTO:
        return mode is ColorMode.ALWAYS
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def render(lines: Iterable[Line], stream: TextIO, mode: ColorMode = ColorMode.AUTO) -> str:
    """Return lines as shown on a stream: wrapped, and coloured if it supports colours."""
    if not has_colors(stream, mode):
        return plain(lines, width_of(stream), terminal=stream.isatty())
    wrapped = wrap(lines, width_of(stream), terminal=stream.isatty())
    return "".join("".join(map(_add_style, one)) + "\n" for one in wrapped)


def _add_style(span: Span) -> str:
    import click  # most commands write no colours

    words = [word for word in span.style.split() if word not in (HANG, WHOLE, PLACE)]
    if not words or not span.text:
        return span.text
    colour = next((word for word in words if word not in ("bold", "dim")), None)
    return click.style(span.text, colour, bold="bold" in words or None, dim="dim" in words or None)


def write(lines: Iterable[Line], stream: TextIO, mode: ColorMode = ColorMode.AUTO) -> None:
    """Write lines as :func:`render` returns them."""
    write_text(render(lines, stream, mode), stream)


def write_text(text: str, stream: TextIO) -> None:
    """Write rendered text. Colours are translated for old Windows consoles."""
    if "\x1b" in text and sys.platform == "win32":
        import click

        click.echo(text, file=stream, nl=False, color=True)
    else:
        stream.write(text)
        stream.flush()


def write_out(lines: Iterable[Line]) -> None:
    """Write lines that are the result."""
    write(lines, sys.stdout)
