"""Realm exports as ``kc.sh export`` writes them and keycloak-config-cli reads them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ztrust_mail.convert.attributes import attributes_of, read_map
from ztrust_mail.convert.format import Files, Format, ReadResult, WriteResult, as_json, with_variables
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding, note, warning
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.products.keycloak import EMAIL_THEME, KEYCLOAK, SMTP_SERVER
from ztrust_mail.model.fields import ABSENT, THEME, FieldMap, message_field, message_of
from ztrust_mail.specfile.export import dump_yaml
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


def add_realm(files: Files, document: Document, name: str, at: Pointer, realm: Mapping[str, JsonValue]) -> None:
    """Add the settings and templates of the realm at a place in a document to the result."""
    named = files.name(name, document.locate((*at, SMTP_SERVER)))
    if named:
        fields = read_map(document, (*at, SMTP_SERVER), named, files.findings)
        if fields is not None:
            files.add(named, with_templates(fields, document, at, {**realm, "realm": named}, files.findings))


_NOT_SAID = "nothing-said"


class RealmExport(Format):
    """Whole realms, of which the e-mail settings are read; the result has the e-mail settings only."""

    name = "realm-export"
    title = "a realm export"

    def read(self, path: str) -> ReadResult:
        """Return the settings of the realms in a file or a folder, except realms without ``smtpServer``."""
        files = Files((".json", ".yaml", ".yml"))
        notes: list[Finding] = []
        for document in files.documents(path, several=True):
            found = 0
            for name, at, realm in _realms(document):
                found += 1
                if realm.get(SMTP_SERVER) is None:
                    message = f"the realm has no {SMTP_SERVER}, so its e-mail settings are unknown"
                    notes.append(note(_NOT_SAID, message, "left out", realm=name, location=document.locate(at)))
                else:
                    add_realm(files, document, name, at, realm)
            if not found:
                notes.append(note(_NOT_SAID, _no_realm(document), "left out", location=document.locate(())))
        return files.result(notes)

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return one realm as an object, several as a list."""
        written, findings = representations(realms, self.title)
        message = "these realms contain e-mail settings only"
        hint = "merge them into the full exports: an import that overrides replaces the whole realm"
        findings.append(note("partial-realm", message, hint))
        if any("${" in text for one in written for text in one.smtp.values()):
            message = "variables are written as ${NAME}, which kc.sh import fills in"
            findings.append(note("variables", message, "--to keycloak-config-cli writes $(env:NAME)"))
        objects = [one.as_object() for one in written]
        return WriteResult(as_json(objects[0] if len(objects) == 1 else objects), tuple(findings))


class KeycloakConfigCli(RealmExport):
    """The files of keycloak-config-cli: realm exports with variables such as ``$(env:NAME)``."""

    name = "keycloak-config-cli"
    title = "keycloak-config-cli"

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return one YAML document for each realm."""
        written, findings = representations(realms, self.title)
        documents = [dump_yaml(one.as_object(lambda text: text.replace("$(", "$$("), "$(env:{})")) for one in written]
        if any(one.variables for one in written):
            hint = "run it with --import.var-substitution.enabled=true"
            findings.append(note("variables", "secrets are written as $(env:NAME)", hint))
        return WriteResult("---\n".join(documents), tuple(findings))


@dataclass(frozen=True)
class Representation:
    """The e-mail settings and templates of a realm under Keycloak's names, and the variable of each secret."""

    realm: str
    smtp: Mapping[str, str]
    templates: Mapping[str, object]
    variables: Mapping[str, str]

    def as_object(self, escape: Callable[[str], str] = str, variable: str = "${{{}}}") -> dict[str, object]:
        """Return the realm as an export has it; ``variable`` is the format of a variable, the rest is escaped."""
        smtp = {
            native: variable.format(self.variables[native]) if native in self.variables else escape(text)
            for native, text in self.smtp.items()
        }
        return {"realm": escape(self.realm), SMTP_SERVER: smtp, **_escape_templates(self.templates, escape)}


def representations(realms: Mapping[str, FieldMap], title: str) -> tuple[list[Representation], list[Finding]]:
    """Return the realms under Keycloak's names, and the findings on what these cannot hold."""
    named, findings = with_variables(realms, title)
    written = []
    for realm, fields in named.items():
        own, templates = split(fields)
        given, found = attributes_of(KEYCLOAK, realm, own)
        findings.extend(found)
        secrets = {n: v for n, v in own.items() if isinstance(v, SecretRef) and v.kind is SecretKind.ENV}
        variables = {KEYCLOAK.attributes_of(name)[0]: reference.argument[0] for name, reference in secrets.items()}
        written.append(Representation(realm, given or {}, templates, variables))
    return written, findings


def _escape_templates(templates: Mapping[str, object], escape: Callable[[str], str]) -> dict[str, object]:
    def convert(value: object) -> object:
        return {key: convert(inner) for key, inner in value.items()} if isinstance(value, dict) else escape(str(value))

    return {name: convert(value) for name, value in templates.items()}


def _no_realm(document: Document) -> str:
    is_resource = isinstance(document.value, dict) and {"apiVersion", "kind"} <= document.value.keys()
    return "this is a Kubernetes resource, for --from kubernetes" if is_resource else "this file contains no realm"


def _realms(document: Document) -> Iterator[tuple[str, Pointer, Mapping[str, JsonValue]]]:
    """Yield the name, place and content of each realm of a document, which is one realm or a list of realms."""
    value = document.value
    found: list[tuple[Pointer, JsonValue]] = [((), value)]
    for at, one in [((n,), one) for n, one in enumerate(value)] if isinstance(value, list) else found:
        if isinstance(one, dict) and isinstance(name := one.get("realm"), str) and name:
            yield name, at, one
