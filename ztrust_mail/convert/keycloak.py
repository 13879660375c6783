"""Keycloak's own ``smtpServer`` map inside the files of other tools."""

from __future__ import annotations

from typing import Final

from ztrust_mail.convert.attributes import AttributeReader
from ztrust_mail.findings import Finding, error
from ztrust_mail.spec.fields import FieldMap
from ztrust_mail.spec.source import Document, Pointer

SMTP_SERVER: Final = "smtpServer"


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
