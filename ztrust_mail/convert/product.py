"""A product's settings as a file: the body that its API accepts, or a sheet to type from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from ztrust_mail.convert.attributes import AttributeReader, add_implied_fields, attributes_of, problems
from ztrust_mail.convert.format import (
    Files,
    Format,
    ReadResult,
    WriteResult,
    as_json,
    drop_reported,
    name_secrets,
    with_variables,
)
from ztrust_mail.convert.sheets import markdown, text
from ztrust_mail.convert.sheets.sheet import Sheet, Source, make_sheet
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.files import STDIN
from ztrust_mail.core.findings import Finding, Location, error, note, warning
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import BodyFormat, Dialect, labels_of
from ztrust_mail.dialects.products.keycloak import SMTP_SERVER
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.model.fields import PORT, FieldMap
from ztrust_mail.specfile.readers.document import Document, Pointer


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


def write_sheet(style: Style, sheet: Sheet) -> str:
    """Return a sheet in any style but JSON."""
    if style is Style.TEXT:
        return text.write(sheet)
    if style is Style.MARKDOWN:
        return markdown.write(sheet)
    from ztrust_mail.convert.sheets import html  # loads OpenSSL

    return html.write(sheet)


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
    """Tell whether the product's own switch turns off the realm's e-mail, regardless of the other settings."""
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

    def write(
        self, realms: Mapping[str, FieldMap], style: Style | None = None, source: Source | None = None
    ) -> WriteResult:
        """Return one realm's settings as the product accepts them, an object of several realms, or a sheet.

        The default style is a text sheet for a product that has only a form, and JSON for any other. ``source`` and
        all findings are shown on a sheet.
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
            source = source or Source()
            shown = (*source.findings, *drop_reported(findings, source.findings))
            return WriteResult(write_sheet(style, make_sheet(self.dialect, written, source, shown)), tuple(findings))
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
            return {SETTINGS: [{"key": key, "value": value} for key, value in attributes.items()]}
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
            findings.append(error("not-a-map", message, "write them as key and value", document.locate(at), realm))
            return None
        given = {entry.native: entry for entry in entries}
        for entry in entries:
            if given[entry.native] is not entry:
                message = f"{quoted(entry.native)} is given twice"
                where = document.locate_key(entry.at)
                findings.append(error("duplicate-key", message, "keep one of the two", where, realm))

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
        for found in (*_unknown_port(self.dialect, realm, fields), *problems(self.dialect, realm, fields)):
            name = next(iter(self.dialect.attributes_of(str(found.field))), "")
            findings.append(replace(found, location=locate(name)))
        return add_implied_fields(self.dialect, fields)


def _unknown_port(dialect: Dialect, realm: str, fields: FieldMap) -> list[Finding]:
    """Return a warning if there is no port and the product's default is unknown."""
    if not fields or PORT in fields or dialect.effective_value(PORT, None) is not None:
        return []
    message = f"there is no port, and the default of {dialect.title} is unknown; 25 is assumed"
    return [warning("missing-field", message, "write the port", realm=realm, field=PORT)]
