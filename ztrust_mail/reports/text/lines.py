"""Lines that several reports have: the server, blocks of realms, values, and commands to copy."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ztrust_mail.reports.grouping import Block, Statement, name_realm, name_realms
from ztrust_mail.reports.style import HANG, WHOLE, Line, Span, line

HEADING = "ztrust-mail report: "
"""How the first line of a text report begins, by which a later one is permitted to replace it."""

REMOVED = "remove"
"""The kind of a statement whose value goes away."""

_EXAMPLE, _MOST_NAME = " " * 8, 30
"""What indents an example, and the most columns to which names of realms are padded."""


class TextReport(NamedTuple):
    """A report as lines: the whole result, and what it comes to with what to do next."""

    body: Iterable[Line] = ()
    verdict: Iterable[Line] = ()


def server_lines(title: str, account: object, intro: Iterable[str] = ()) -> Iterator[Line]:
    """Yield the server and the account, further lines, and an empty line."""
    yield line(f"{title}, as {account}")
    yield from map(line, intro)
    yield line()


def command_line(words: str, command: str) -> Line:
    """Return a line with a command that can be copied."""
    return line(f"{words}: ", Span(command, WHOLE))


def block_lines(
    blocks: Iterable[Block],
    describe: Callable[[Block], Sequence[str | Span]],
    render: Callable[[Sequence[Statement]], Iterator[Line]],
) -> Iterator[Line]:
    """Yield each block: its realms and description, what all of them have in common, and what some have on top."""
    for block in blocks:
        yield line(Span(name_realms(block.realms), "bold"), *describe(block))
        yield from render(block.statements)
        for other in block.others:
            yield line(Span(f"{name_realms(other.realms)} also", "bold"))
            yield from render(other.statements)


def value_lines(start: Sequence[str | Span], one: Statement, style: str = "") -> Iterator[Line]:
    """Yield the values of a statement after ``start``; those that differ by realm as examples, each on its own line.

    ``style`` is that of a statement that is no change, such as a remark.
    """
    if not one.examples:
        yield line(*start, *([Span(one.texts[0], style)] if style else _value_spans(one)))
        return
    yield line(*start, Span("differs by realm (--details shows each):", "dim"))
    names = [name_realm(realm) for realm, _ in one.examples]
    width = min(max(map(len, names)), _MOST_NAME)
    for name, (_, texts) in zip(names, one.examples, strict=True):
        yield line(f"{_EXAMPLE}{name:<{width}}  ", Span("", HANG), Span(" → ".join(texts), style))
    yield line(Span(f"{_EXAMPLE}…", "dim"))


def _value_spans(one: Statement) -> Iterator[Span]:
    if len(one.texts) == 2:
        yield from (Span(one.texts[0], "red"), Span(" → "), Span(one.texts[1], "green"))
    else:
        yield Span(one.texts[0], "red" if one.kind == REMOVED else "green")
