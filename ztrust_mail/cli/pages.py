"""The pages of the documentation, which the package holds: their names, and as text for a terminal."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.reports.style import HANG, WHOLE, Line, Span, line

_FOLDER, _SUFFIX = "docs", ".md"
_INDEX = "README"
_LINK = re.compile(r"(!?)\[((?:`[^`]*`|[^\]])+)\]\(([^)\s]+)\)")
_COMMENT = re.compile(r"^<!--.*?-->\n+", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"(\s*)([-*]|\d+\.) (?=\S)")
_INDENT = "  "
_GAP = 2  # columns between the cells of a table
_SHORT = 30  # cells up to this length share a line if a table is too wide for the terminal


@cache
def page_names() -> Sequence[str]:
    """Return the names of all pages: first those of the index in its order, then the others."""
    there = sorted(path.name.removesuffix(_SUFFIX) for path in _folder().iterdir() if path.name.endswith(_SUFFIX))
    listed = [name for _, names in _index_rows() for name in names]
    return tuple(dict.fromkeys(name for name in (*listed, *there) if name in there and name != _INDEX))


def find_page(name: str) -> str:
    """Return the name of a page, which may be given with ``docs/`` and ``.md``. Raises :class:`UsageError`."""
    wanted = PurePosixPath(name.lower()).name.removesuffix(_SUFFIX)
    if wanted not in page_names():
        hint = did_you_mean(wanted, page_names()) or "all pages: ztrust-mail docs"
        raise UsageError(f"unknown page {quoted(name)}", hint)
    return wanted


def index_lines() -> Iterator[Line]:
    """Yield the list of all pages, with what each is for."""
    rows = [(", ".join(names), purpose) for purpose, names in _index_rows() if names]
    listed = {name for _, names in _index_rows() for name in names}
    rows += [(name, _title(name)) for name in page_names() if name not in listed]
    width = max(len(names) for names, _ in rows)
    for names, purpose in rows:
        padding = " " * (width - len(names) + _GAP)
        yield line(_INDENT, Span(names, "bold"), padding, Span("", HANG), purpose)
    yield line()
    yield line("Read one with: ", Span("ztrust-mail docs PAGE", WHOLE))


def page_lines(name: str, width: int) -> Iterator[Line]:
    """Yield the lines of a page; tables that are wider than ``width`` become a list."""
    yield from text_lines(_read(name), width)


def text_lines(page: str, width: int) -> Iterator[Line]:
    """Yield the lines of a text in Markdown."""
    rows = iter(_COMMENT.sub("", page).splitlines())
    text: list[str] = []
    table: list[str] = []
    for row in rows:
        if table and not row.startswith("|"):
            yield from _table_lines(table, width)
            table = []
        is_code, is_table = row.lstrip().startswith("```"), row.startswith("|")
        if text and (is_code or is_table or not row.strip() or _ITEM.match(row) or row.startswith("#")):
            yield _text_line(text)
            text = []
        if is_code:
            yield from _code_lines(rows)
        elif is_table:
            table.append(row)
        elif row.startswith("#"):
            yield line(Span(_plain(row), "bold"))
        elif row.strip():
            text.append(row)
        else:
            yield line()
    yield from _table_lines(table, width) if table else ()
    if text:
        yield _text_line(text)


def _folder() -> Traversable:
    return resources.files("ztrust_mail") / _FOLDER


def _read(name: str) -> str:
    return (_folder() / f"{name}{_SUFFIX}").read_text("utf-8")


def _title(name: str) -> str:
    return next((row.lstrip("# ") for row in _read(name).splitlines() if row.startswith("#")), "")


@cache
def _index_rows() -> Sequence[tuple[str, Sequence[str]]]:
    """Return the rows of the index: a reader's goal, and the pages for it."""
    rows = (_cells(row) for row in _read(_INDEX).splitlines() if "](" in row and row.startswith("|"))
    return tuple((purpose, tuple(_pages_in(links))) for purpose, links in rows)


def _pages_in(text: str) -> Iterator[str]:
    """Yield the names of the pages of this folder to which a text has links."""
    for _, _, target in _LINK.findall(text):
        path = target.partition("#")[0]
        if "/" not in path and path.endswith(_SUFFIX):
            yield path.removesuffix(_SUFFIX)


def _code_lines(rows: Iterator[str]) -> Iterator[Line]:
    """Yield the lines of a block up to its closing fence, indented and not wrapped."""
    for row in rows:
        if row.lstrip().startswith("```"):
            return
        yield line(Span(f"{_INDENT}{_INDENT}{row}".rstrip(), WHOLE))


def _text_line(rows: Sequence[str]) -> Line:
    """Return a paragraph or an item of a list as one line, to be wrapped."""
    text = " ".join([rows[0].rstrip(), *(row.strip() for row in rows[1:])])
    found = _ITEM.match(text)
    marker = found[0] if found else ""
    return (Span(marker), Span("", HANG), *_spans(text[len(marker) :]))


def _table_lines(rows: Sequence[str], width: int) -> Iterator[Line]:
    head, _, *body = ([_plain(cell) for cell in _cells(row)] for row in rows)
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    if sum(widths) + _GAP * (len(widths) - 1) <= width:
        for cells, style in ((head, "bold"), *((cells, "") for cells in body)):
            padded = (cell.ljust(size + _GAP) for cell, size in zip(cells, widths, strict=True))
            yield line(Span("".join(padded).rstrip(), style))
        return
    for first, *others in body:
        yield line(Span(first, "bold"))
        named = [f"{name}: {cell}" if len(others) > 1 else cell for name, cell in zip(head[1:], others, strict=True)]
        parts = [part for part, cell in zip(named, others, strict=True) if cell]
        for text in ["; ".join(parts)] if all(len(cell) <= _SHORT for cell in others) else parts:
            yield line(f"{_INDENT}{_INDENT}", Span("", HANG), text)


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip()[1:-1])]


def _plain(text: str) -> str:
    return "".join(span.text for span in _spans(text))


def _spans(text: str) -> Iterator[Span]:
    """Yield the parts of a text without its markup; text between ``**`` is bold."""
    for number, part in enumerate(_LINK.sub(_shown_link, text).split("**")):
        if part:
            yield Span(part, "bold" if number % 2 else "")


def _shown_link(found: re.Match[str]) -> str:
    """Return the text of a link, with the command or the address that leads to its target."""
    is_image, text, target = found.groups()
    path = target.partition("#")[0]
    page = path.removesuffix(_SUFFIX)
    if is_image:
        return f"(picture: {text})"
    if target.startswith(("https:", "http:")):
        return target if text == target else f"{text} ({target})"
    if not path:
        return text
    if path != page and page in page_names():
        return f"`ztrust-mail docs {page}`" if text == path else f"{text} (`ztrust-mail docs {page}`)"
    source = posixpath.normpath(posixpath.join(_FOLDER, path))
    return f"{source} of the source" if text == source else f"{text} ({source} of the source)"
