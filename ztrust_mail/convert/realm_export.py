"""Realm exports as ``kc.sh export`` writes them and keycloak-config-cli reads them."""

from collections.abc import Iterator, Mapping

from ztrust_mail.convert.attributes import attributes_of, read_map
from ztrust_mail.convert.format import Files, Format, ReadResult, WriteResult, as_json, name_secrets, with_variables
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding, note, warning
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.products.keycloak import EMAIL_THEME, KEYCLOAK, SMTP_SERVER
from ztrust_mail.model.fields import ABSENT, THEME, FieldMap, message_field, message_of
from ztrust_mail.specfile.readers.document import Document, Pointer

TEXTS = "localizationTexts"


def with_templates(
    fields: FieldMap, document: Document, at: Pointer, realm: Mapping[str, JsonValue], findings: list[Finding]
) -> FieldMap:
    """Return the fields of the realm at a place in a document, with its templates.

    Templates of a realm without e-mail are ignored.
    """
    found = {}
    for name, where, text in _templates(realm):
        if text not in ("", None) and not isinstance(text, str):
            message, place = f"{quoted('.'.join(map(str, where)))} is not text", document.locate((*at, *where))
            findings.append(
                warning("bad-value", message, "left out", realm=str(realm["realm"]), field=name, location=place)
            )
        elif text and fields:
            found[name] = text
    return {**fields, **found}


def _templates(realm: Mapping[str, JsonValue]) -> Iterator[tuple[str, Pointer, JsonValue]]:
    yield THEME, (EMAIL_THEME,), realm.get(EMAIL_THEME)
    locales = realm.get(TEXTS)
    for locale, texts in locales.items() if isinstance(locales, dict) else ():
        for key, text in texts.items() if isinstance(texts, dict) else ():
            yield message_field(locale, key), (TEXTS, locale, key), text


def split(fields: FieldMap) -> tuple[FieldMap, dict[str, object]]:
    """Return the fields without the templates that a realm export can hold, and these templates as it holds them."""
    theme: dict[str, object] = {}
    locales: dict[str, dict[str, str]] = {}
    rest = {}
    for name, value in fields.items():
        message = message_of(name)
        if value is ABSENT or (name != THEME and not message):
            rest[name] = value
        elif message:
            locales.setdefault(message[0], {})[message[1]] = str(value)
        else:
            theme = {EMAIL_THEME: str(value)}
    return rest, {**theme, **({TEXTS: locales} if locales else {})}


_NOT_SAID = "nothing-said"


class RealmExport(Format):
    """Whole realms, of which the e-mail settings are read; the result has the e-mail settings only."""

    name = "realm-export"
    title = "a realm export"

    def read(self, path: str) -> ReadResult:
        """Return the settings of the realms in a file or a folder, except realms without ``smtpServer``."""
        files = Files((".json", ".yaml", ".yml"))
        realms: dict[str, FieldMap] = {}
        notes: list[Finding] = []
        for document in files.documents(path):
            found = 0
            for name, at, realm in _realms(document):
                found += 1
                if realm.get(SMTP_SERVER) is None:
                    message = f"the realm has no {SMTP_SERVER}, so its e-mail settings are unknown"
                    notes.append(note(_NOT_SAID, message, "left out", realm=name, location=document.locate(at)))
                elif files.is_new(name, document.locate((*at, SMTP_SERVER))):
                    fields = read_map(document, (*at, SMTP_SERVER), name, files.findings)
                    if fields is not None:
                        realms[name] = with_templates(fields, document, at, realm, files.findings)
            if not found:
                message = "this file contains no realm"
                notes.append(note(_NOT_SAID, message, "left out", location=document.locate(())))
        return ReadResult(name_secrets(realms), (*files.findings, *notes))

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return one realm as an object, several as a list."""
        named, findings = with_variables(realms, self.title)
        written: list[dict[str, object]] = []
        variables = False
        for realm, fields in named.items():
            own, templates = split(fields)
            given, found = attributes_of(KEYCLOAK, realm, own)
            smtp = given or {}
            written.append({"realm": realm, SMTP_SERVER: smtp, **templates})
            variables |= any("${" in text for text in smtp.values())
            findings.extend(found)
        message = "these realms contain e-mail settings only"
        hint = "merge them into the full exports: an import that overrides replaces the whole realm"
        findings.append(note("partial-realm", message, hint))
        if variables:
            message = "variables are written as ${NAME}, which kc.sh import fills in"
            findings.append(note("variables", message, "keycloak-config-cli writes $(env:NAME)"))
        return WriteResult(as_json(written[0] if len(written) == 1 else written), tuple(findings))


def _realms(document: Document) -> Iterator[tuple[str, Pointer, Mapping[str, JsonValue]]]:
    """Yield the name, place and content of each realm of a document, which is one realm or a list of realms."""
    value = document.value
    found: list[tuple[Pointer, JsonValue]] = [((), value)]
    for at, one in [((n,), one) for n, one in enumerate(value)] if isinstance(value, list) else found:
        if isinstance(one, dict) and isinstance(name := one.get("realm"), str) and name:
            yield name, at, one
