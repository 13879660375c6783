"""A product's settings as a file, made from its table alone: the body its API takes, or a sheet to type from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ztrust_mail.convert import native
from ztrust_mail.convert.attributes import AttributeReader
from ztrust_mail.convert.base import Extract, Format, Written, as_json, named_secrets, note, warning, with_variables
from ztrust_mail.convert.entries import SETTINGS, entries_of, is_body, is_off
from ztrust_mail.convert.files import Files
from ztrust_mail.convert.keycloak import SMTP_SERVER
from ztrust_mail.convert.sheet import Style, written_as
from ztrust_mail.dialects.base import Attributes, Dialect
from ztrust_mail.dialects.page import Shape
from ztrust_mail.findings import Finding, Location, error
from ztrust_mail.sensitive import SecretKind, SecretRef
from ztrust_mail.spec.fields import FieldMap
from ztrust_mail.spec.source import STDIN, Document, Pointer
from ztrust_mail.text import quoted

_SUFFIXES = (".json", ".yaml", ".yml", ".txt")


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
        dialect = self.dialect if style is not Style.JSON or self.dialect.shape is Shape.FORM else self.dialect.by_api
        named, findings = with_variables(realms, self.title, self._keeps)
        written: dict[str, Attributes] = {}
        for realm, fields in named.items():
            attributes, found = native.attributes_of(dialect, realm, fields)
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
            return {SETTINGS: [{"key": key, "value": text} for key, text in attributes.items()]}
        return attributes

    def _realms(self, document: Document, findings: list[Finding]) -> Iterator[tuple[str, Pointer, bool]]:
        """Yield each realm of a document, where it stands, and whether the document names it."""
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
        """Return one realm's fields, or None where nothing can be used."""
        value = document.value[str(at[0])] if at and isinstance(document.value, dict) else document.value
        entries = entries_of(self.dialect, value, at)
        if entries is None:
            message = "the e-mail settings are no mapping of attributes"
            findings.append(error("not-a-map", message, "write them as key and value", document.locate(at)))
            return None
        given = {entry.native: entry for entry in entries}
        for entry in entries:
            if given[entry.native] is not entry:
                message = f"{quoted(entry.native)} is given here and a second time"
                findings.append(error("duplicate-key", message, "keep one of the two", document.locate_key(entry.at)))

        def locate(name: str) -> Location:
            return document.locate_key(given[name].at if name in given else at)

        reader = AttributeReader(realm, locate, dialect=self.dialect)
        fields = reader.read({name: entry.value for name, entry in given.items()})
        if is_off(self.dialect, given):
            findings.extend(finding for finding in reader.findings if finding.rule == "plain-secret")
            if beside := [name for name, e in given.items() if name not in (self.dialect.off or {}) and e.says]:
                message = f"e-mail is switched off, and {', '.join(map(quoted, beside))} given beside that"
                findings.append(warning("switched-off", message, "left out", realm, at=document.locate_key(at)))
            return {}
        findings.extend(reader.findings)
        if not fields:
            return fields
        for found in (*native.unknown_port(self.dialect, realm, fields), *native.problems(self.dialect, realm, fields)):
            name = next(iter(self.dialect.natives_of(str(found.field))), "")
            findings.append(replace(found, location=locate(name)))
        return native.completed(self.dialect, fields)
