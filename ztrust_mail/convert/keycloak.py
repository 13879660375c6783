"""Keycloak's own ``smtpServer`` map as a file of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ztrust_mail.convert.attributes import AttributeReader
from ztrust_mail.convert.base import Extract, Format, Written, named_secrets, note, warning, with_variables
from ztrust_mail.convert.files import Files
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.findings import Finding, error
from ztrust_mail.sensitive import Secret, SecretKind, SecretRef
from ztrust_mail.spec.fields import ABSENT, FieldMap
from ztrust_mail.spec.source import STDIN, Document, Pointer
from ztrust_mail.text import quoted

SMTP_SERVER = "smtpServer"


class Keycloak(Format):
    """One realm's map of attributes. Secrets are written as ``${NAME}``."""

    name = "keycloak"
    title = "an smtpServer map"

    def read(self, path: str) -> Extract:
        """Return the settings of a map, for a realm called as the file is."""
        files = Files((".json",))
        realms: dict[str, FieldMap] = {}
        findings: list[Finding] = []
        for document in files.documents(path):
            realm = Path(document.path).stem if document.path != STDIN else "realm"
            if isinstance(document.value, dict) and (SMTP_SERVER in document.value or "realm" in document.value):
                hint = "use --from realm-export"
                files.findings.append(error("not-a-map", "this is a whole realm", hint, document.locate(())))
            elif realm in realms:
                hint = "rename one of them"
                files.findings.append(error("defined-twice", "two files have this name", hint, document.locate(())))
            elif (fields := read_map(document, (), realm, files.findings)) is not None:
                realms[realm] = fields
                message = f"the file does not name its realm; taken to be {quoted(realm)}, after the file"
                findings.append(note("realm-name", message, "correct the name in the result", realm))
        return Extract(named_secrets(realms), (*files.findings, *findings))

    def write(self, realms: Mapping[str, FieldMap]) -> Written:
        """Return the map of the first realm; it has no place for others."""
        first, *others = realms
        attributes, findings = attributes_of({first: realms[first]}, self.title)
        for realm in others:
            message = "an smtpServer map is one realm's; there is no place for this one"
            findings.append(warning("cannot-hold", message, "left out: use --to realm-export", realm))
        return Written(as_text(attributes[first]), tuple(findings))


def read_map(document: Document, at: Pointer, realm: str, findings: list[Finding]) -> FieldMap | None:
    """Return the settings of the attributes at a place in a document, or None where there is nothing to use."""
    value = document.value
    for part in at:
        assert isinstance(value, dict | list)
        value = value[part]  # type: ignore[index]
    if isinstance(value, list) and len(value) == 1:  # as Crossplane writes it
        value, at = value[0], (*at, 0)
    if not isinstance(value, dict):
        message = "the e-mail settings are no mapping of attributes"
        findings.append(error("not-a-map", message, "write them as key and value", document.locate(at)))
        return None
    reader = AttributeReader(realm, lambda native: document.locate_key((*at, native)))
    fields = reader.read(value)
    findings.extend(reader.findings)
    return fields


def attributes_of(realms: Mapping[str, FieldMap], title: str) -> tuple[dict[str, dict[str, str]], list[Finding]]:
    """Return each realm's attributes with ``${NAME}`` for a secret, and what they cannot say."""
    named, findings = with_variables(realms, title)
    result = {}
    for realm, fields in named.items():
        for name in (n for n, value in fields.items() if value is ABSENT):
            message = f"{title} cannot say that {quoted(name)} must not be there"
            findings.append(note("cannot-hold", message, "left out: what is not in the map is removed", realm))
        result[realm] = encoded(fields)
    return result, findings


def encoded(fields: FieldMap) -> dict[str, str]:
    """Return the attributes of one realm with ``${NAME}`` for a secret."""
    references = [value for value in fields.values() if isinstance(value, SecretRef)]
    texts = {ref: Secret(f"${{{ref.argument[0]}}}") for ref in references if ref.kind is SecretKind.ENV}
    written = KEYCLOAK.encode(fields, texts)
    return {name: text.reveal() if isinstance(text, Secret) else text for name, text in written.items()}


def as_text(data: object) -> str:
    """Return JSON as the server writes it."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
