"""``explain``: one realm's settings, and the file and line each value comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.options import Format, FormatOption
from ztrust_mail.cli.output import Output
from ztrust_mail.errors import ExitStatus, UsageError
from ztrust_mail.reports import json, text
from ztrust_mail.spec.fields import EXTRA, FIELDS, LOGIN
from ztrust_mail.spec.model import is_within

NAME = "explain"

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC... REALM [FIELD]", help="Spec files, a realm, and a field or group.", show_default=False
    ),
]


def command(words: Words, format: FormatOption = Format.TEXT) -> None:
    """Show one realm's resolved settings and where each value was written; offline."""
    with Output(NAME, format) as output:
        specs, realm, field = _split(words)
        wanted = api.explain(api.load_spec(specs), realm)
        if field:
            fields = {name: value for name, value in wanted.fields.items() if is_within(name, field)}
            wanted = replace(wanted, fields=fields)
        status = ExitStatus.PARTIAL if wanted.findings else ExitStatus.OK
        output.tell(text.findings(wanted.findings))
        output.finish(text.explained(wanted), json.of_explained(wanted, status))


def _split(words: list[str]) -> tuple[list[str], str, str]:
    """Tell specs, realm and field apart: the last word is a field when it names one."""
    field = words[-1] if len(words) > 2 and _is_field(words[-1]) else ""
    rest = words[:-1] if field else words
    if len(rest) < 2:
        raise UsageError("a spec and a realm are needed", "write: ztrust-mail explain SPEC... REALM [FIELD]")
    return rest[:-1], rest[-1], field


def _is_field(word: str) -> bool:
    groups = {row.name.rsplit(".", n)[0] for row in FIELDS.values() for n in range(row.name.count(".") + 1)}
    return word in groups or word in (EXTRA, LOGIN) or word.startswith(f"{EXTRA}.")
