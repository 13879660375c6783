"""Realm files as ``kc.sh export`` writes them, and as keycloak-config-cli reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ztrust_mail.convert import templates
from ztrust_mail.convert.base import Extract, Format, Written, as_json, named_secrets, note, with_variables
from ztrust_mail.convert.files import Files
from ztrust_mail.convert.keycloak import SMTP_SERVER, read_map
from ztrust_mail.convert.native import attributes_of
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.findings import Finding, Location, error
from ztrust_mail.spec.fields import FieldMap
from ztrust_mail.spec.source import Document, Pointer
from ztrust_mail.text import quoted

_NOT_SAID = "nothing-said"


class RealmExport(Format):
    """Realms with all they have, of which the e-mail settings are read; written with those alone."""

    name = "realm-export"
    title = "a realm file"

    def read(self, path: str) -> Extract:
        """Return the settings of the realms in a file or a folder; a realm without the key says nothing of e-mail."""
        files = Files((".json", ".yaml", ".yml"))
        realms: dict[str, FieldMap] = {}
        places: dict[str, Location] = {}
        notes: list[Finding] = []
        for document in files.documents(path):
            found = 0
            for realm, at in _realms(document):
                found += 1
                where = document.locate((*at, SMTP_SERVER))
                if not _says(document, at):
                    message = f"the realm file has no {SMTP_SERVER}, which says nothing of e-mail"
                    notes.append(note(_NOT_SAID, message, "left out", realm, document.locate(at)))
                elif realm in places:
                    message = f"{quoted(realm)} has e-mail settings at {places[realm]} and again here"
                    files.findings.append(error("defined-twice", message, "keep one of the two", where))
                else:
                    places[realm] = where
                    fields = read_map(document, (*at, SMTP_SERVER), realm, files.findings)
                    if fields is not None:
                        realms[realm] = templates.with_templates(fields, document, at, files.findings)
            if not found:
                message = "this file names no realm"
                notes.append(note(_NOT_SAID, message, "left out", at=document.locate(())))
        return Extract(named_secrets(realms), (*files.findings, *notes))

    def write(self, realms: Mapping[str, FieldMap]) -> Written:
        """Return one realm as an object, several as a list."""
        named, findings = with_variables(realms, self.title)
        written: list[dict[str, object]] = []
        variables = False
        for realm, fields in named.items():
            own, beside = templates.split(fields)
            given, found = attributes_of(KEYCLOAK, realm, own)
            smtp = given or {}
            written.append({"realm": realm, SMTP_SERVER: smtp, **beside})
            variables |= any("${" in text for text in smtp.values())
            findings.extend(found)
        message = "these realms hold e-mail settings and nothing else"
        hint = "merge them into the realms' own files: an import that overrides replaces the whole realm"
        findings.append(note("partial-realm", message, hint))
        if variables:
            message = "variables are written as ${NAME}, which kc.sh import fills in"
            findings.append(note("variables", message, "keycloak-config-cli writes $(env:NAME)"))
        return Written(as_json(written[0] if len(written) == 1 else written), tuple(findings))


def _realms(document: Document) -> Iterator[tuple[str, Pointer]]:
    """Yield the realms of a document, which is one or a list of them."""
    value = document.value
    candidates: list[tuple[object, Pointer]] = [(value, ())]
    if isinstance(value, list):
        candidates = [(one, (n,)) for n, one in enumerate(value)]
    for one, at in candidates:
        if isinstance(one, dict) and isinstance(realm := one.get("realm"), str) and realm:
            yield realm, at


def _says(document: Document, at: Pointer) -> bool:
    value = document.value
    if at and isinstance(value, list):
        value = value[int(at[0])]
    return isinstance(value, dict) and value.get(SMTP_SERVER) is not None
