"""A product's settings as a file: the body that its API accepts, or a sheet to type from."""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from ztrust_mail.convert.attributes import AttributeReader, add_implied_fields, attributes_of, problems, unknown_port
from ztrust_mail.convert.format import Files, Format, ReadResult, WriteResult, as_json, name_secrets, with_variables
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.files import STDIN
from ztrust_mail.core.findings import Finding, Location, error, note, warning
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.dialects.dialect import BodyFormat, Dialect, labels_of
from ztrust_mail.dialects.products.keycloak import SMTP_SERVER
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.specfile.export import dump_yaml
from ztrust_mail.specfile.readers.document import Document, Pointer

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
        if native in attributes or label != native or dialect.body_format is BodyFormat.FORM:
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

SETTINGS: Final = "settings"


@dataclass(frozen=True)
class ProductEntry:
    """One setting in a file: its attribute name, its value, and its place in the document."""

    native: str
    value: JsonValue
    at: Pointer

    @property
    def has_value(self) -> bool:
        """Whether there is a value."""
        return self.value not in (None, "")


def entries_of(dialect: Dialect, value: JsonValue, at: Pointer) -> list[ProductEntry] | None:
    """Return the settings of the realm at a place in a document, None if the value there does not hold settings."""
    if isinstance(value, dict) and (key := _settings_key(value)):
        value, at = value[key], (*at, key)
    if isinstance(value, dict):
        by_label = {label: native for native, label in labels_of(dialect).items()}
        return [ProductEntry(by_label.get(name, name), inner, (*at, name)) for name, inner in value.items()]
    return _pairs(value, at) if isinstance(value, list) and dialect.body_format is BodyFormat.PAIRS else None


def is_body(value: Mapping[str, JsonValue]) -> bool:
    """Tell whether an object holds one realm's settings, and not several realms by name."""
    return bool(_settings_key(value)) or not all(isinstance(inner, dict | list) for inner in value.values())


def is_off(dialect: Dialect, given: Mapping[str, ProductEntry]) -> bool:
    """Tell whether the product's own switch turns off the realm's e-mail, whatever the other settings are."""
    off = dialect.disabled_attributes or {}
    return bool(off) and off == {name: str(given[name].value).casefold() for name in off if name in given}


def _settings_key(value: Mapping[str, JsonValue]) -> str:
    return next((key for key in value if key.casefold() == SETTINGS and isinstance(value[key], list)), "")


def _pairs(pairs: list[JsonValue], at: Pointer) -> list[ProductEntry] | None:
    entries = []
    for n, pair in enumerate(pairs):
        keys = {key.casefold(): key for key in pair} if isinstance(pair, dict) else {}
        if not isinstance(pair, dict) or not isinstance(name := pair.get(keys.get("key", "")), str):
            return None
        entries.append(ProductEntry(name, pair.get(keys.get("value", "")), (*at, n)))
    return entries


_SUFFIXES = (".json", ".yaml", ".yml", ".txt")


class Product(Format):
    """One product's settings, by its attribute names or by the labels of its page. Secrets are written as ``${NAME}``.

    A file holds the settings of the realm it is named after, or an object of several realms.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.name = dialect.name
        self.title = dialect.title

    def read(self, path: str) -> ReadResult:
        """Return the settings of every realm in JSON, YAML or a sheet that was written as text."""
        files = Files(_SUFFIXES)
        realms: dict[str, FieldMap] = {}
        notes: list[Finding] = []
        for document in files.documents(path):
            for realm, at, named in self._realms(document, files.findings):
                if not files.is_new(realm, document.locate_key(at)):
                    continue
                fields = self._fields(document, realm, at, files.findings)
                if fields is not None:
                    realms[realm] = fields
                    if not named:
                        message = f"the file does not name its realm; {quoted(realm)} is assumed, from the file's name"
                        notes.append(note("realm-name", message, "correct the name in the result", realm=realm))
        return ReadResult(name_secrets(realms), (*files.findings, *notes))

    def write(self, realms: Mapping[str, FieldMap], style: Style | None = None) -> WriteResult:
        """Return one realm's settings as the product accepts them, an object of several realms, or a sheet.

        The default style is a text sheet for a product that has only a form, and JSON for any other.
        """
        style = style or (Style.TEXT if self.dialect.body_format is BodyFormat.FORM else Style.JSON)
        dialect = (
            self.dialect
            if style is not Style.JSON or self.dialect.body_format is BodyFormat.FORM
            else self.dialect.without_page_only
        )
        named, findings = with_variables(realms, self.title, self._keeps)
        written: dict[str, Attributes] = {}
        for realm, fields in named.items():
            attributes, found = attributes_of(dialect, realm, fields)
            findings.extend(found)
            if attributes is not None:
                written[realm] = attributes
        if style is not Style.JSON:
            return WriteResult(write_sheet(style, self.dialect, written), tuple(findings))
        if len(written) > 1:
            message = f"{self.title} accepts one realm at a time, and the result holds several by name"
            findings.append(note("several-realms", message, "choose one with --realm"))
        return WriteResult(self._json(written), tuple(findings))

    def _keeps(self, name: str, reference: SecretRef) -> bool:
        row = self.dialect.row(name)
        in_vault = reference.kind is SecretKind.KEYCLOAK_VAULT
        return row is None or reference.kind is SecretKind.ENV or (in_vault and row.codec.can_encode(reference))

    def _json(self, written: Mapping[str, Attributes]) -> str:
        if not written:
            return ""
        bodies = {realm: self._body(attributes) for realm, attributes in written.items()}
        return as_json(bodies if len(bodies) > 1 else next(iter(bodies.values())))

    def _body(self, attributes: Attributes) -> object:
        if self.dialect.body_format is BodyFormat.PAIRS:
            return {SETTINGS: [{"key": key, "value": text} for key, text in attributes.items()]}
        return attributes

    def _realms(self, document: Document, findings: list[Finding]) -> Iterator[tuple[str, Pointer, bool]]:
        """Yield each realm of a document, its place, and whether the document names it."""
        value = document.value
        if isinstance(value, dict) and (SMTP_SERVER in value or isinstance(value.get("realm"), str)):
            hint = "use --from realm-export"
            findings.append(error("not-a-map", "this is a whole realm", hint, document.locate(())))
        elif isinstance(value, dict) and {"version", "realms"} <= value.keys():
            findings.append(error("not-a-map", "this is a spec", "use --from spec", document.locate(())))
        elif isinstance(value, dict) and value and not is_body(value):
            yield from ((realm, (realm,), True) for realm in value)
        else:
            yield Path(document.path).stem if document.path != STDIN else "realm", (), False

    def _fields(self, document: Document, realm: str, at: Pointer, findings: list[Finding]) -> FieldMap | None:
        """Return one realm's fields, or None if nothing is usable."""
        value = document.value[str(at[0])] if at and isinstance(document.value, dict) else document.value
        entries = entries_of(self.dialect, value, at)
        if entries is None:
            message = "the e-mail settings are not a mapping"
            findings.append(error("not-a-map", message, "write them as key and value", document.locate(at)))
            return None
        given = {entry.native: entry for entry in entries}
        for entry in entries:
            if given[entry.native] is not entry:
                message = f"{quoted(entry.native)} is given twice"
                findings.append(error("duplicate-key", message, "keep one of the two", document.locate_key(entry.at)))

        def locate(name: str) -> Location:
            return document.locate_key(given[name].at if name in given else at)

        reader = AttributeReader(realm, locate, dialect=self.dialect)
        fields = reader.read({name: entry.value for name, entry in given.items()})
        if is_off(self.dialect, given):
            findings.extend(finding for finding in reader.findings if finding.rule == "plain-secret")
            disabled = self.dialect.disabled_attributes or {}
            if others := [name for name, e in given.items() if name not in disabled and e.has_value]:
                message = f"e-mail is switched off, so {', '.join(map(quoted, others))} has no effect"
                findings.append(warning("switched-off", message, "left out", document.locate_key(at), realm))
            return {}
        findings.extend(reader.findings)
        if not fields:
            return fields
        for found in (*unknown_port(self.dialect, realm, fields), *problems(self.dialect, realm, fields)):
            name = next(iter(self.dialect.attributes_of(str(found.field))), "")
            findings.append(replace(found, location=locate(name)))
        return add_implied_fields(self.dialect, fields)
