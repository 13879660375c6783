"""Lines that several reports have: the server, blocks of realms, values, and commands to copy."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from ztrust_mail.reports.grouping import Block, Statement, name_realm, name_realms
from ztrust_mail.reports.style import WHOLE, Line, Span, line

REMOVED = "remove"
"""The kind of a statement whose value goes away."""


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


def value_spans(one: Statement) -> Iterator[Span]:
    """Yield the values of a change, or examples where they differ by realm."""
    if one.examples:
        yield Span("differs by realm: ", "dim")
        yield Span("; ".join(f"{name_realm(realm)}: {' → '.join(texts)}" for realm, texts in one.examples))
        yield Span("; … (--details shows each)", "dim")
    elif len(one.texts) == 2:
        yield from (Span(one.texts[0], "red"), Span(" → "), Span(one.texts[1], "green"))
    else:
        yield Span(one.texts[0], "red" if one.kind == REMOVED else "green")


def statement_text(one: Statement) -> str:
    """Return a statement that is no change, such as a remark."""
    return "".join(span.text for span in value_spans(one))
