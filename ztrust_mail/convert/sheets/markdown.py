"""A sheet as Markdown: a table per realm, with a box to tick on each line."""

import re
from collections.abc import Iterable, Iterator

from ztrust_mail.convert.sheets.sheet import ADVICE, FormField, RealmSheet, Sheet, finding_text, marked_parts
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.text import printable

_BOX = "☐"
_NEW_PAGE = '<div style="break-before: page"></div>'


def write(sheet: Sheet) -> str:
    """Return the sheet as Markdown."""
    parts = [f"# {_escape(sheet.title)}", *map(_escape, sheet.instructions)]
    if sheet.facts:
        parts.append("\\\n".join(f"{label}: {_escape(text)}" for label, text in sheet.facts))
    parts += _quotes(sheet.findings)
    for number, realm in enumerate(sheet.realms):
        parts += [_NEW_PAGE] if number else []
        parts += _realm(realm, sheet.advice)
    return "\n\n".join(parts) + "\n"


def _realm(realm: RealmSheet, advice: Iterable[str]) -> Iterator[str]:
    yield f"## {_code(realm.realm)}"
    yield from _quotes(realm.findings)
    noted = any(map(_note, realm.form_fields))
    rows = [_row("Done", "Field", "Value", *["Note"] * noted), _row(*["---"] * (3 + noted))]
    for field in realm.form_fields:
        value = "*missing*" if field.is_missing else _code(field.value)
        rows.append(_row(_BOX, _escape(field.label), value, *[_note(field)] * noted))
    yield "\n".join(rows)
    if advice:
        yield "\n".join([_row("Done", ADVICE), _row("---", "---"), *(_row(_BOX, _escape(one)) for one in advice)])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _note(field: FormField) -> str:
    return " ".join(map(_finding, field.findings))


def _quotes(findings: Iterable[Finding]) -> Iterator[str]:
    return (f"> {_finding(finding)}" for finding in findings)


def _finding(finding: Finding) -> str:
    return "".join(_code(part) if is_code else _escape(part) for part, is_code in marked_parts(finding_text(finding)))


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|&~])", r"\\\1", printable(text))


def _code(text: str) -> str:
    """Return text as Markdown code; only a table's bar is escaped."""
    if not text:
        return ""
    text = printable(text).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"
