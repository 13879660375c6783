"""A product's settings as a file, made from its table alone: the body its API takes, or a sheet to type from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ztrust_mail.convert import native
from ztrust_mail.convert.attributes import AttributeReader
from ztrust_mail.convert.base import Extract, Format, Written, as_json, named_secrets, note, with_variables
from ztrust_mail.convert.files import Files
from ztrust_mail.convert.keycloak import SMTP_SERVER
from ztrust_mail.convert.sheet import Style, written_as
from ztrust_mail.dialects.base import Attributes, Dialect
from ztrust_mail.dialects.page import Shape, labels_of
from ztrust_mail.findings import Finding, Location, error
from ztrust_mail.sensitive import SecretKind, SecretRef
from ztrust_mail.spec.fields import FieldMap
from ztrust_mail.spec.source import STDIN, Document, JsonValue, Pointer
from ztrust_mail.text import quoted

_SUFFIXES = (".json", ".yaml", ".yml", ".txt")
_SETTINGS = "settings"


@dataclass(frozen=True)
class Entry:
    """One setting in a file, by the product's own name for it, and where it stands."""

    native: str
    value: JsonValue
    at: Pointer


class Product(Format):
    """One product's settings, by its own names or by the labels of its page. Secrets are written as ``${NAME}``.

    A file holds one realm's settings, and is called after it, or an object of several realms.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.name = dialect.name
        self.title = dialect.title

    def read(self, path: str) -> Extract:
        """Return the settings of every realm in JSON, YAML or a sheet that was written as text."""
        files = Files(_SUFFIXES)
        realms: dict[str, FieldMap] = {}
        places: dict[str, Location] = {}
        notes: list[Finding] = []
        for document in files.documents(path):
            for realm, at, named in self._realms(document, files.findings):
                where = document.locate_key(at)
                if realm in places:
                    message = f"{quoted(realm)} has e-mail settings at {places[realm]} and again here"
                    files.findings.append(error("defined-twice", message, "keep one of the two, or rename it", where))
                    continue
                places[realm] = where
                fields = self._fields(document, realm, at, files.findings)
                if fields is not None:
                    realms[realm] = fields
                    if not named:
                        message = f"the file does not name its realm; taken to be {quoted(realm)}, after the file"
                        notes.append(note("realm-name", message, "correct the name in the result", realm))
        return Extract(named_secrets(realms), (*files.findings, *notes))

    def write(self, realms: Mapping[str, FieldMap], style: Style | None = None) -> Written:
        """Return one realm's settings as the product takes them, or an object of several; or a sheet.

        Without a style a product that has only a form gets a sheet as text, any other JSON.
        """
        style = style or (Style.TEXT if self.dialect.shape is Shape.FORM else Style.JSON)
        named, findings = with_variables(realms, self.title, self._keeps)
        written: dict[str, Attributes] = {}
        for realm, fields in named.items():
            attributes, found = native.attributes_of(self.dialect, realm, fields)
            findings.extend(found)
            if attributes is not None:
                written[realm] = attributes
        if style is not Style.JSON:
            return Written(written_as(style, self.dialect, written), tuple(findings))
        if len(written) > 1:
            message = f"{self.title} takes one realm's settings at a time; the result holds several, by name"
            findings.append(note("several-realms", message, "choose one with --realm"))
        return Written(self._json(written), tuple(findings))

    def _keeps(self, name: str, reference: SecretRef) -> bool:
        row = self.dialect.row(name)
        in_vault = reference.kind is SecretKind.KEYCLOAK_VAULT
        return row is None or reference.kind is SecretKind.ENV or (in_vault and row.codec.holds(reference))

    def _json(self, written: Mapping[str, Attributes]) -> str:
        if not written:
            return ""
        bodies = {realm: self._body(attributes) for realm, attributes in written.items()}
        return as_json(bodies if len(bodies) > 1 else next(iter(bodies.values())))

    def _body(self, attributes: Attributes) -> object:
        if self.dialect.shape is Shape.PAIRS:
            return {_SETTINGS: [{"key": key, "value": text} for key, text in attributes.items()]}
        return attributes

    def _realms(self, document: Document, findings: list[Finding]) -> Iterator[tuple[str, Pointer, bool]]:
        """Yield each realm of a document, where it stands, and whether the document names it."""
        value = document.value
        if isinstance(value, dict) and (SMTP_SERVER in value or isinstance(value.get("realm"), str)):
            hint = "use --from realm-export"
            findings.append(error("not-a-map", "this is a whole realm", hint, document.locate(())))
        elif isinstance(value, dict) and {"version", "realms"} <= value.keys():
            findings.append(error("not-a-map", "this is a spec", "use --from spec", document.locate(())))
        elif isinstance(value, dict) and value and not _is_body(value):
            yield from ((realm, (realm,), True) for realm in value)
        else:
            yield Path(document.path).stem if document.path != STDIN else "realm", (), False

    def _fields(self, document: Document, realm: str, at: Pointer, findings: list[Finding]) -> FieldMap | None:
        """Return one realm's fields, or None where nothing can be used."""
        value = document.value[str(at[0])] if at and isinstance(document.value, dict) else document.value
        entries = self._entries(value, at)
        if entries is None:
            message = "the e-mail settings are no mapping of attributes"
            findings.append(error("not-a-map", message, "write them as key and value", document.locate(at)))
            return None
        given: dict[str, JsonValue] = {}
        places: dict[str, Pointer] = {}
        for entry in entries:
            if entry.native in given:
                message = f"{quoted(entry.native)} stands here a second time"
                findings.append(error("duplicate-key", message, "keep one of the two", document.locate(entry.at)))
            given[entry.native], places[entry.native] = entry.value, entry.at
        reader = AttributeReader(realm, lambda name: document.locate_key(places.get(name, at)), dialect=self.dialect)
        if self.dialect.off and all(str(given.get(name)).casefold() == text for name, text in self.dialect.off.items()):
            for name in (n for n, v in given.items() if n not in self.dialect.off and v not in (None, "")):
                reader.tell("switched-off", f"{quoted(name)} stands beside a switch that is off", "left out", name)
            findings.extend(reader.findings)
            return {}
        fields = reader.read(given)
        findings.extend(reader.findings)
        if not fields:
            return fields
        for found in (*native.unknown_port(self.dialect, realm, fields), *native.problems(self.dialect, realm, fields)):
            name = next(iter(self.dialect.natives_of(str(found.field))), "")
            findings.append(replace(found, location=reader.locate(name)))
        return native.completed(self.dialect, fields)

    def _entries(self, value: JsonValue, at: Pointer) -> list[Entry] | None:
        """Return the settings by attribute; a label of the page stands for its attribute."""
        by_label = {label: name for name, label in labels_of(self.dialect).items()}
        if isinstance(value, dict) and (key := _settings_key(value)):
            value, at = value[key], (*at, key)
        if isinstance(value, dict):
            return [Entry(by_label.get(name, name), text, (*at, name)) for name, text in value.items()]
        if not isinstance(value, list) or self.dialect.shape is not Shape.PAIRS:
            return None
        entries = []
        for n, pair in enumerate(value):
            keys = {key.casefold(): key for key in pair} if isinstance(pair, dict) else {}
            if not isinstance(pair, dict) or not isinstance(name := pair.get(keys.get("key", "")), str):
                return None
            entries.append(Entry(name, pair.get(keys.get("value", "")), (*at, n)))
        return entries


def _settings_key(value: Mapping[str, JsonValue]) -> str:
    return next((key for key in value if key.casefold() == _SETTINGS and isinstance(value[key], list)), "")


def _is_body(value: Mapping[str, JsonValue]) -> bool:
    return bool(_settings_key(value)) or not all(isinstance(inner, dict | list) for inner in value.values())
