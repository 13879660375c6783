"""Reports as Markdown for pull request and merge request comments: of bounded size, with the verdict first.

Untrusted text is never markup: it is in code spans and code blocks, unless it consists of plain words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.drift_detection.drift import EDITED_BY, OUT_OF_BAND
from ztrust_mail.reports.grouping import Block, FindingGroup, Statement, group_findings, name_realms
from ztrust_mail.reports.overview import OverviewFormat
from ztrust_mail.reports.overview.rows import CHANGE_RULES, GRAVE, Overview, Table
from ztrust_mail.reports.style import disarm_document, escape_visibly

MARKER = "<!-- ztrust-mail report: "
"""An invisible marker at the start of a report, by which a pipeline finds the comment to replace."""

MOST_CHARACTERS = 65_536
"""How long a comment of GitHub may be; GitLab takes more."""

_ROOM = MOST_CHARACTERS - 600
"""What sections may use: the rest is for the line that says how much is left out, and for tags that are open."""

_LONGEST = 1_000
_OPEN_LINES = 40
"""Parts with more lines are folded."""

_ORDER = list(Severity)
_IN_BLOCKS = {*CHANGE_RULES, OUT_OF_BAND, EDITED_BY}
"""The rules of findings that the block of a realm shows, unless they are critical."""

_QUIET_STATUSES = {"in_sync", "sent"}
"""Outcomes that are only counted if there is nothing else to report."""

_WORD = re.compile(
    r"(?P<lead>[(\[\"]*)"
    r"(?:(?P<plain>[^\W\d_]+(?:['’-][^\W\d_]+)*|[0-9]{1,3}(?:,[0-9]{3})*|[()%,.;:!?→…–—])|(?P<other>\S+?))"
    r"(?P<trail>[])%\".,;:!?]*)"
)
"""A word between punctuation: plain, or one that could be markup, a link or a mention."""

_LIST_NUMBER = re.compile(r"^([0-9]{1,9})([.)])(?=\s|$)")
"""What begins an ordered list at the start of a line."""


class MarkdownFormat(OverviewFormat):
    """A marker, the verdict, realms in groups, findings and tables, as far as there is room."""

    def write(self, shown: Overview) -> str:
        """Return an overview as a comment."""
        page = _Page([f"{MARKER}{_command(shown)} -->", *_heading(shown)])
        found = sorted(shown.all_findings(), key=lambda one: _ORDER.index(one.severity))
        grave = [one for one in found if one.severity in GRAVE and one.rule not in CHANGE_RULES]
        others = [one for one in found if one.severity not in GRAVE and one.rule not in _IN_BLOCKS]
        rows = [row for row in shown.realms if row.changes or row.note or row.status not in _QUIET_STATUSES]
        is_drift = any(one.cause for row in rows for one in row.changes)
        page.add_section("Errors", [_finding(one) for one in group_findings(grave)])
        heading = "Realms (- on the server, + in the spec)" if is_drift else "Realms"
        page.add_section(heading, [_block(one) for one in shown.blocks(rows)], separator="\n\n")
        page.add_section("Warnings and notes", [_finding(one) for one in group_findings(others)])
        for table in shown.tables:
            page.add_section(table.heading, _table_rows(table))
        if shown.text:
            page.add_section("Result", [_fence(shown.text.rstrip("\n").split("\n"))])
        return disarm_document(page.content(), escape_visibly)

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file begins with the marker."""
        return beginning.startswith(MARKER.encode())


FORMAT = MarkdownFormat()


class _Page:
    """Collects parts as long as there is room."""

    def __init__(self, parts: Iterable[str]) -> None:
        self._parts = list(parts)
        self._used = sum(len(part) + 1 for part in self._parts)
        self._left_out = 0

    def add_section(self, heading: str, items: Sequence[str], separator: str = "\n") -> None:
        """Add a section with as many of its items as there is room for, folded if it is long."""
        if not items:
            return
        is_long = sum(item.count("\n") + 1 for item in items) > _OPEN_LINES
        title = _prose(heading)
        start = f"\n<details><summary>{_html(heading)}</summary>\n" if is_long else f"\n#### {title}\n"
        end = "\n</details>" if is_long else ""
        room = _ROOM - self._used - len(start) - len(end)
        kept: list[str] = []
        for item in items:
            room -= len(item) + len(separator)
            if room < 0:
                break
            kept.append(item)
        self._left_out += len(items) - len(kept)
        if kept:
            self._parts.append(f"{start}\n{separator.join(kept)}\n{end}")
            self._used += len(self._parts[-1]) + 1

    def content(self) -> str:
        """Return the page, with the number of items that there was no room for."""
        if self._left_out:
            more = pluralise(self._left_out, "item")
            self._parts.append(f"\n_{more} left out: the comment would be too long. A report in JSON has all._")
        return "\n".join(self._parts) + "\n"


def _command(shown: Overview) -> str:
    return re.sub(r"[^a-z0-9 ]", "", shown.command)


def _heading(shown: Overview) -> Iterator[str]:
    where = f" on {_code(shown.title)}" if shown.title else ""
    status = f"{shown.exit_status.name.lower()} (exit status {int(shown.exit_status)})"
    yield f"### ztrust-mail {_command(shown)}{where}: {status}\n"
    for line in shown.verdict:
        yield f"{_prose(line)}\n"
    if 0 < len(shown.next_step) <= _LONGEST:  # half a command must not be copied
        yield f"Next step:\n\n{_fence([shown.next_step], 'sh')}\n"


def _block(block: Block) -> str:
    head = f"- {_code(name_realms(block.realms), 500)}: {block.head.replace('_', ' ')}"
    lines = list(_statement_lines(block.statements))
    for other in block.others:
        lines += [f"  {name_realms(other.realms)} also:", *_statement_lines(other.statements)]
    if not lines:
        return head
    fence = _fence([line[:_LONGEST] for line in lines], "diff")
    return head + "\n\n" + "\n".join(f"  {line}" for line in fence.split("\n"))


def _statement_lines(statements: Iterable[Statement]) -> Iterator[str]:
    for one in statements:
        if one.examples:
            yield f"  {one.subject or 'note'}: differs by realm"
            for realm, texts in one.examples:
                yield f"  {realm}: {' → '.join(texts)}"
        elif one.kind == "~":
            old, new, *cause = one.texts
            yield f"- {one.subject}: {old}"
            yield f"+ {one.subject}: {new}{_in_brackets(cause)}"
        elif one.kind:
            value, *cause = one.texts
            yield f"{one.kind} {one.subject}: {value}{_in_brackets(cause)}"
        else:
            yield f"  {one.texts[0]}"


def _in_brackets(cause: Sequence[str]) -> str:
    return f"  ({cause[0]})" if cause else ""


def _finding(group: FindingGroup) -> str:
    found = group.finding
    parts = [f"- **{found.severity.value}**"]
    if found.location:
        parts.append(_code(str(found.location)))
    if group.places:
        parts.append(f"and {pluralise(group.places, 'more place')}")
    if group.realms:
        parts.append(_code(name_realms(group.realms), 500))
    return f"{' '.join(parts)}: {_message(group, found)} [{_code(found.rule)}]"


def _message(group: FindingGroup, found: Finding) -> str:
    if group.more:
        return f"{pluralise(group.more, 'more finding')} of this kind"
    return _prose(found.message) + (f"; {_prose(found.hint)}" if found.hint else "")


def _table_rows(table: Table) -> list[str]:
    rows = [f"| {' | '.join(table.heads)} |\n|{' --- |' * len(table.heads)}"]
    for row in table.rows:
        rows.append(f"| {' | '.join(_cell(text) for text in row)} |")
    return rows


def _cell(text: str) -> str:
    """Return a text for a table, in which code spans must not have the character that separates columns."""
    parts = _cut(text, _LONGEST).split("|")
    return "&#124;".join(_prose(part) if part.strip() else "" for part in parts)


def _prose(text: str) -> str:
    """Return a text with its plain words as text and all other words as code.

    Backquoted text is code too.
    """
    parts = _cut(text, _LONGEST).split("`")
    pieces: list[str] = []
    for number, part in enumerate(parts):
        new = ([_code(part)] if part else []) if number % 2 else _words(part)
        for piece in new:
            if piece.startswith("`") and pieces and pieces[-1].endswith("`"):
                pieces.append(" ")  # otherwise two code spans would become another one
            pieces.append(piece)
    return _LIST_NUMBER.sub(r"\1\\\2", "".join(pieces).strip())


def _words(text: str) -> list[str]:
    """Return words, blanks and punctuation as pieces of Markdown; neighbours that are code are one piece."""
    shown: list[str] = []
    code: list[str] = []

    def flush() -> None:
        if code:
            shown.append(_code(" ".join(code)))
            code.clear()

    for blanks, word in re.findall(r"(\s*)(\S*)", text):
        found = _WORD.fullmatch(word)
        if found is None or found["plain"] or found["lead"]:
            flush()
        if not code:
            shown.append(" " if blanks else "")
        if found:
            shown.append(_escape(found["lead"]))
            if found["plain"]:
                shown.append(found["plain"])
            else:
                code.append(found["other"])
            if found["trail"]:
                flush()
                shown.append(_escape(found["trail"]))
    flush()
    return [piece for piece in shown if piece]


def _escape(punctuation: str) -> str:
    return re.sub(r"[][]", r"\\\g<0>", punctuation)


def _code(text: str, most: int = _LONGEST) -> str:
    """Return a code span, in which nothing is markup."""
    text = _cut(text, most).strip() or "-"
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _fence(lines: Sequence[str], language: str = "") -> str:
    text = "\n".join(lines)
    fence = "`" * max(max(map(len, re.findall("`+", text)), default=0) + 1, 3)
    return f"{fence}{language}\n{text}\n{fence}"


def _html(text: str) -> str:
    return re.sub(r"[^\w .,:()-]", lambda found: f"&#{ord(found[0])};", text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
