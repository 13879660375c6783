"""Writes a sheet to type from: the fields of a product's page in their order, and what to check on the page."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from ztrust_mail.core.text import printable
from ztrust_mail.dialects.dialect import BodyFormat, Dialect, labels_of
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.specfile.export import dump_yaml

WIDTH = 80
_HOW = "Type in the values from top to bottom; a field without a value stays empty."
_SECRETS = "${NAME} is a secret: type the value of the variable NAME, not its name."
_QUOTES = "Quotes around a value are not part of it."
_ADVICE = "Before you leave the page"
# YAML reads these texts back unchanged when attributes are read as text; most names and addresses are among them.
_AS_IT_IS = re.compile(r"\d{1,9}|true|false|on|off|[A-Za-z][A-Za-z0-9]*(?:[@._ -][A-Za-z0-9]+)+", re.ASCII)

Line = tuple[str, str]


class Style(StrEnum):
    """How a product's settings are written; all styles but JSON are sheets."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


def style_of(suffix: str) -> Style | None:
    """Return the style for a file suffix, None if there is none."""
    styles = {".txt": Style.TEXT, ".yaml": Style.TEXT, ".yml": Style.TEXT, ".md": Style.MARKDOWN}
    return (styles | {".html": Style.HTML, ".htm": Style.HTML, ".json": Style.JSON}).get(suffix.lower())


def write_sheet(style: Style, dialect: Dialect, realms: Mapping[str, Attributes]) -> str:
    """Return one sheet for all realms."""
    write: Callable[[Dialect, Mapping[str, list[Line]]], str] = _WRITERS[style]
    return write(dialect, {realm: list(_lines(dialect, attributes)) for realm, attributes in realms.items()})


def _lines(dialect: Dialect, attributes: Attributes) -> Iterator[Line]:
    """Yield label and value of each line; an empty attribute that is not on the page is left out."""
    labels = labels_of(dialect)
    for native, label in labels.items():
        if native in attributes or label != native or dialect.shape is BodyFormat.FORM:
            yield label, attributes.get(native, "")
    for native, text in attributes.items():
        if native not in labels:
            yield native, text


def _title(dialect: Dialect) -> str:
    return f"{dialect.title}: {dialect.page}" if dialect.page else dialect.title


def _instructions(realms: Mapping[str, list[Line]]) -> list[str]:
    marked = any("${" in text for lines in realms.values() for _, text in lines)
    return [_HOW, _SECRETS] if marked else [_HOW]


def _as_text(dialect: Dialect, realms: Mapping[str, list[Line]]) -> str:
    """Return a sheet that is also YAML, so that it can be read back."""
    parts = []
    for realm, lines in realms.items():
        pairs = [(_scalar(label), _scalar(text) if text else "") for label, text in lines]
        width = max((len(label) for label, _ in pairs), default=0) + 1
        body = [f"  {f'{label}:':<{width}} {text}".rstrip() for label, text in pairs]
        parts.append("\n".join([f"{_scalar(realm)}:" + ("" if body else " {}"), *body, ""]))
    quotes = [_QUOTES] if any(_needs_quotes(text) for lines in realms.values() for _, text in lines) else []
    parts.insert(0, _comment([_title(dialect), *_instructions(realms), *quotes]))
    if dialect.advice:
        parts.append(_comment([f"{_ADVICE}:", *(f"[ ] {advice}" for advice in dialect.advice)]))
    return "\n".join(parts)


def _comment(lines: list[str]) -> str:
    wrapped = (
        textwrap.fill(line, WIDTH, initial_indent="# ", subsequent_indent="#     " if line.startswith("[") else "# ")
        for line in lines
    )
    return "".join(f"{line}\n" for line in wrapped)


def _needs_quotes(text: str) -> bool:
    return text != "" and _scalar(text) != text


def _scalar(text: str) -> str:
    """Return text as YAML on one line, with invisible characters escaped."""
    return text if _AS_IT_IS.fullmatch(text) else dump_yaml([text]).removeprefix("- ").removesuffix("\n")


def _as_markdown(dialect: Dialect, realms: Mapping[str, list[Line]]) -> str:
    parts = [f"# {_title(dialect)}", *_instructions(realms)]
    for realm, lines in realms.items():
        rows = [f"| {_cell(label)} | {_code(text)} |".replace("|  |", "| |") for label, text in lines]
        parts.append(f"## {_code(realm)}")
        parts.append("\n".join(["| Field | Value |", "| --- | --- |", *rows]))
    if dialect.advice:
        parts.append(f"## {_ADVICE}")
        parts.append("\n".join(f"- [ ] {advice}" for advice in dialect.advice))
    return "\n\n".join(parts) + "\n"


def _cell(label: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|&~])", r"\\\1", printable(label))


def _code(text: str) -> str:
    """Return text as Markdown code; only a table's bar is escaped."""
    if not text:
        return ""
    text = printable(text).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border: 1px solid #767676; padding: .3rem .6rem; text-align: left; vertical-align: top; }}
td {{ font-family: monospace; white-space: pre-wrap; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def _as_html(dialect: Dialect, realms: Mapping[str, list[Line]]) -> str:
    body = [f"<p>{_escape(line)}</p>" for line in _instructions(realms)]
    for realm, lines in realms.items():
        rows = [f'<tr><th scope="row">{_escape(label)}</th><td>{_escape(text)}</td></tr>' for label, text in lines]
        body += [f"<h2>{_escape(realm)}</h2>", "<table>", *rows, "</table>"]
    if dialect.advice:
        points = [f'<li><label><input type="checkbox"> {_escape(advice)}</label></li>' for advice in dialect.advice]
        body += [f"<h2>{_ADVICE}</h2>", "<ul>", *points, "</ul>"]
    return _PAGE.format(title=_escape(_title(dialect)), body="\n".join(body))


def _escape(text: str) -> str:
    import html

    return html.escape(printable(text))


_WRITERS = {Style.TEXT: _as_text, Style.MARKDOWN: _as_markdown, Style.HTML: _as_html}
