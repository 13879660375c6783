"""Findings on a spec: on a terminal with the source line and a caret, elsewhere one line each, as gcc has it."""

import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TextIO

from ztrust_mail.core.findings import Excerpt, Finding, Location, Severity
from ztrust_mail.core.text import first_and_more, pluralise, printable
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.reports.text.lines import SEVERITY_STYLES, finding_lines

Cells = Sequence[tuple[str, int]]
"""The characters of a text as they are shown, each with the number of columns that it takes."""


def spec_finding_lines(
    found: Sequence[Finding], stream: TextIO, width: int = 0, *, fold: bool = False, count: bool = True
) -> Iterator[Line]:
    """Yield findings on a spec, and with ``count`` the number of its errors if there are several.

    A terminal gets code frames, ``width`` columns wide or as wide as it is; with ``fold``, a warning repeated in a file
    is shown once. A pipe gets one line for each finding, in the format of problem matchers in editors and CI services.
    """
    if not stream.isatty():
        yield from finding_lines(found)
    else:
        columns = width or shutil.get_terminal_size().columns
        for several, more in _fold_places(_group_realms(found), fold=fold):
            yield from frame_lines(several, columns, more) if several[0].location else finding_lines(several)
    yield from _count_lines(found) if count else ()


def frame_lines(several: Sequence[Finding], width: int, more: Sequence[int] = ()) -> Iterator[Line]:
    """Yield the code frame of a finding, which several realms may have at one place.

    ``more`` are further lines of the file that have the same finding.
    """
    found, realms = several[0], [one.realm for one in several if one.realm]
    severity = found.severity.value
    head, *rest = _wrap(f"{severity}: {found.message} [{found.rule}]", width, "")
    yield line(Span(severity, SEVERITY_STYLES[found.severity]), head.removeprefix(severity))
    yield from map(line, rest)
    whose = f" ({pluralise(len(realms), 'realm')}: {first_and_more(realms)})" if realms[1:] else ""
    gutter = " " * (len(str(found.location.line)) + 1 if found.location else 2)
    yield line(f"{gutter[1:]} --> ", f"{found.location}{whose or (f' (realm {realms[0]})' if realms else '')}")
    hint = found.hint
    if found.location and found.excerpt:
        yield line(f"{gutter} |")
        before, marked, after = _fit(found.excerpt, width - len(gutter) - 3)
        yield line(f" {found.location.line} | ", _text(before), _text(marked), _text(after))
        carets = " " * _width(before), "^" * max(_width(marked), 1)
        is_short = len(gutter) + 3 + len("".join(carets)) + 1 + len(printable(hint)) <= width
        label = f" {hint}" if hint and is_short else ""
        yield line(f"{gutter} | {carets[0]}", Span(carets[1] + label, SEVERITY_STYLES[found.severity]))
        hint = "" if is_short else hint
    yield from map(line, _wrap(hint, width, f"{gutter} = "))
    if more:
        others = f"and {pluralise(len(more), 'more line')}: {first_and_more([str(one) for one in more], 3)}"
        yield from map(line, _wrap(f"{others}; --details shows each", width, f"{gutter} = "))


def _group_realms(found: Iterable[Finding]) -> Iterable[Sequence[Finding]]:
    """Return the distinct findings; those at one place that differ only in the realm are together."""
    groups: dict[Finding, list[Finding]] = {}
    for one in dict.fromkeys(found):
        groups.setdefault(replace(one, realm=None) if one.location else one, []).append(one)
    return groups.values()


def _fold_places(
    groups: Iterable[Sequence[Finding]], *, fold: bool
) -> Iterator[tuple[Sequence[Finding], Sequence[int]]]:
    """Yield the groups, each with the lines of equal warnings and notes in the same file, which are left out."""
    alike: dict[Finding | int, list[Sequence[Finding]]] = {}
    for number, several in enumerate(groups):
        one = several[0]
        if fold and one.location and one.severity in (Severity.WARNING, Severity.NOTE):
            alike.setdefault(replace(one, realm=None, location=Location(one.location.path)), []).append(several)
        else:
            alike[number] = [several]
    for first, *others in alike.values():
        yield first, [several[0].location.line for several in others if several[0].location]


def _count_lines(found: Iterable[Finding]) -> Iterator[Line]:
    distinct = [several[0] for several in _group_realms(found)]
    errors = [one for one in distinct if one.severity is Severity.ERROR]
    if len(errors) > 1:
        more = "more than " if any(one.rule == "too-many-findings" for one in errors) else ""
        count = len(errors) - bool(more)
        files = {one.location.path for one in errors if one.location}
        where = f" in {pluralise(len(files), 'file')}" if files else ""
        yield line(f"Found {more}{pluralise(count, 'error')}{where}.")


def _wrap(text: str, width: int, start: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        max(width, 20),
        initial_indent=start,
        subsequent_indent=" " * (len(start) or 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _fit(excerpt: Excerpt, room: int) -> tuple[Cells, Cells, Cells]:
    """Return the text before the place, at it and after it, cut so that all three fit into a number of columns."""
    before, marked, after = _cells(excerpt.before), _cells(excerpt.marked), _cells(excerpt.after)
    marked = _take(marked, max(room - 2, 3))
    room -= _width(marked)
    left = _take(before[::-1], max(room - _width(after), room // 2))[::-1]
    return left, marked, _take(after, room - _width(left))


def _take(cells: Cells, room: int) -> Cells:
    """Return as many cells as there is room for, with ``…`` where more follow."""
    if _width(cells) <= room:
        return cells
    taken: list[tuple[str, int]] = []
    for cell in cells:
        room -= cell[1]
        if room < 1:
            break
        taken.append(cell)
    return [*taken, ("…", 1)]


def _cells(text: str) -> Cells:
    return [(shown, sum(map(_columns, shown))) for shown in map(printable, text)]


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _width(cells: Cells) -> int:
    return sum(width for _, width in cells)


def _text(cells: Cells) -> str:
    return "".join(shown for shown, _ in cells)
