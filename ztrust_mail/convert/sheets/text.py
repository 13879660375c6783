"""A sheet as text that is also YAML, so that it can be read back."""

import re
import textwrap
from collections.abc import Iterable, Iterator

from ztrust_mail.convert.sheets.sheet import ADVICE, RealmSheet, Sheet, finding_text
from ztrust_mail.specfile.export import dump_yaml

WIDTH = 80
_QUOTES = "Quotes around a value are not part of it."
# YAML reads these texts back unchanged when attributes are read as text; most names and addresses are among them.
_AS_IT_IS = re.compile(r"\d{1,9}|true|false|on|off|[A-Za-z][A-Za-z0-9]*(?:[@._ -][A-Za-z0-9]+)+", re.ASCII)


def write(sheet: Sheet) -> str:
    """Return the sheet as text."""
    quotes = any(
        field.value and _scalar(field.value) != field.value for realm in sheet.realms for field in realm.form_fields
    )
    head = [sheet.title, *(f"{label}: {text}" for label, text in sheet.facts), *sheet.instructions]
    head += [_QUOTES] if quotes else []
    parts = [_comment([*head, *map(finding_text, sheet.findings)]), *map(_realm, sheet.realms)]
    if sheet.advice:
        parts.append(_comment([f"{ADVICE}:", *(f"[ ] {advice}" for advice in sheet.advice)]))
    return "\n".join(parts)


def _realm(realm: RealmSheet) -> str:
    width = max((len(_scalar(field.label)) for field in realm.form_fields), default=0) + 1
    head = f"{_scalar(realm.realm)}:" + ("" if realm.form_fields else " {}")
    return _comment(map(finding_text, realm.findings)) + "\n".join([head, *_field_lines(realm, width), ""])


def _field_lines(realm: RealmSheet, width: int) -> Iterator[str]:
    for field in realm.form_fields:
        yield from _comment(map(finding_text, field.findings), "  ").splitlines()
        value = _scalar(field.value) if field.value else ""
        yield f"  {f'{_scalar(field.label)}:':<{width}} {value}".rstrip()


def _comment(lines: Iterable[str], indent: str = "") -> str:
    first = f"{indent}# "
    fill = textwrap.TextWrapper(WIDTH, initial_indent=first, break_on_hyphens=False)
    wrapped = []
    for line in lines:
        fill.subsequent_indent = first + " " * 4 * line.startswith("[")
        wrapped.append(fill.fill(line))
    return "".join(f"{line}\n" for line in wrapped)


def _scalar(text: str) -> str:
    """Return text as YAML on one line, with invisible characters escaped."""
    return text if _AS_IT_IS.fullmatch(text) else dump_yaml([text]).removeprefix("- ").removesuffix("\n")
