"""Kubernetes resources that hold a realm's e-mail settings: of Crossplane, and of several operators of Keycloak.

| kind | of | settings |
| --- | --- | --- |
| ``Realm`` | Crossplane's provider-keycloak | ``spec.forProvider.smtpServer`` |
| ``KeycloakRealmImport`` | Keycloak's operator | ``spec.realm.smtpServer`` |
| ``KeycloakRealm`` | Keycloak's operator before 20, and the operators of EDP and of others | ``spec.realm.smtpServer``,
``spec.smtp``, ``spec.smtpServer`` |
| ``ClusterKeycloakRealm`` | EDP's operator | ``spec.smtp`` |
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ztrust_mail.convert.attributes import AttributeReader
from ztrust_mail.convert.format import UNNAMED, Files, Format, Node, ReadResult, WriteResult, mapping_of
from ztrust_mail.convert.realm_export import add_realm, representations
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding, error, note
from ztrust_mail.core.text import first_and_more, pluralise, quoted, shell_word
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, SMTP_SERVER
from ztrust_mail.model.fields import LOGIN, TOKEN_CLIENT_SECRET, FieldMap, Login
from ztrust_mail.specfile.export import dump_yaml
from ztrust_mail.specfile.readers.document import Document, Pointer

_NOT_SAID = "nothing-said"
_CROSSPLANE = ("realm.keycloak.crossplane.io", "realm.keycloak.m.crossplane.io")
_IMPORT: Final = "KeycloakRealmImport"
_REALM_KINDS = ("KeycloakRealm", "ClusterKeycloakRealm")
_EXTERNAL_NAME = "crossplane.io/external-name"
_REFERENCES = ("secretKeyRef", "configMapKeyRef")
_PASSWORD, _CLIENT_SECRET = (KEYCLOAK.attributes_of(name)[0] for name in ("relay.auth.password", TOKEN_CLIENT_SECRET))
_SWITCH, _KIND = KEYCLOAK.attributes_of(LOGIN)
_BASIC = {"username": "user", "password": _PASSWORD}
_TOKEN = {
    "username": "user",
    "url": "authTokenUrl",
    "clientId": "authTokenClientId",
    "clientSecret": _CLIENT_SECRET,
    "scope": "authTokenScope",
}
_CONNECTION = {"host": "host", "port": "port", "enableSSL": "ssl", "enableStartTLS": "starttls"}
_SAME = {n: n for n in ("host", "port", "from", "fromDisplayName", "replyTo", "replyToDisplayName", "envelopeFrom")}
_CROSSPLANE_NAMES = {**_SAME, "ssl": "ssl", "starttls": "starttls", "allowUtf8": "allowutf8"}


@dataclass
class _Settings:
    """The attributes of one realm, their places, and the references to secrets and other resources among them."""

    document: Document
    namespace: str
    values: dict[str, JsonValue] = field(default_factory=dict)
    places: dict[str, Pointer] = field(default_factory=dict)
    references: dict[str, tuple[str, Node]] = field(default_factory=dict)

    def take(self, block: Node, at: Pointer, names: Mapping[str, str]) -> None:
        """Add the values of a block under Keycloak's names; an unknown name is reported when it is read."""
        for name, value in block.items():
            reference = _reference(name, value)
            plain = _without_reference(name) if reference else name
            native = names.get(plain, plain)
            self.places[native] = (*at, name)
            if reference:
                self.references[native] = reference
            else:
                self.values[native] = value["value"] if isinstance(value, dict) and "value" in value else value

    def read(self, realm: str, at: Pointer, findings: list[Finding]) -> FieldMap | None:
        """Return the fields, with a reference for each secret that Kubernetes holds."""
        reader = AttributeReader(realm, lambda native: self.document.locate_key(self.places.get(native, at)))
        for native, (kind, reference) in self.references.items():
            name, key = str(reference.get("name", "")), str(reference.get("key", ""))
            namespace = str(reference.get("namespace") or self.namespace)
            where = f"{f'key {quoted(key)} of ' if key else ''}the {kind} {quoted(name)}"
            if native not in (_PASSWORD, _CLIENT_SECRET):
                reader.leave_out(f"{quoted(native)} is in {where}", "write the value", native)
                continue
            self.values[native] = ""
            reader.elsewhere[native] = UNNAMED
            message = f"{quoted(native)} is in {where}; the result names a variable for it"
            show = f"kubectl get secret {shell_word(name)}{f' -n {shell_word(namespace)}' if namespace else ''} -o json"
            found = note("kubernetes-secret", message, f"read the value with: {show}", reader.locate(native), realm)
            findings.append(found)
        fields = reader.read(self.values)
        findings.extend(reader.findings)
        return fields


class Kubernetes(Format):
    """Kubernetes resources, of which those with the e-mail settings of a realm are read."""

    name = "kubernetes"
    title = "a Kubernetes resource"

    def read(self, path: str) -> ReadResult:
        """Return the settings of the resources in a file or a folder; other kinds are counted in one note."""
        files = Files((".yaml", ".yml", ".json"))
        notes: list[Finding] = []
        others: Counter[str] = Counter()
        for document in files.documents(path, several=True):
            for resource, at in _resources(document):
                read = _reader_of(resource)
                kind = str(resource.get("kind", "no kind"))
                if read is None:
                    others[kind] += 1
                elif not read(files, document, resource, at):
                    message = f"the {kind} has no e-mail settings, so these are unknown"
                    notes.append(note(_NOT_SAID, message, "left out", location=document.locate(at)))
        if others:
            count, kinds = others.total(), first_and_more(list(map(quoted, others)), 3)
            message = f"{pluralise(count, 'resource')} of other kinds: {kinds}"
            notes.append(note(_NOT_SAID, message, "left out"))
        return files.result(notes)

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return a ``KeycloakRealmImport`` for each realm."""
        written, findings = representations(realms, self.title)
        documents, used = [], set[str]()
        for one in written:
            name = _unique(re.sub(r"[^a-z0-9]+", "-", one.realm.lower()).strip("-")[:50] or "realm", used)
            secrets = {v: {"secret": {"name": f"{name}-email", "key": v}} for v in one.variables.values()}
            placeholders = {"placeholders": secrets} if secrets else {}
            spec = {"keycloakCRName": "keycloak", **placeholders, "realm": one.as_object()}
            body = {"apiVersion": "k8s.keycloak.org/v2alpha1", "kind": _IMPORT, "metadata": {"name": f"{name}-email"}}
            documents.append(dump_yaml({**body, "spec": spec}))
        message = "the operator imports new realms only, from a KeycloakRealmImport, and changes no existing one"
        findings.append(note("partial-realm", message, "merge the settings into the realm's own resource"))
        return WriteResult("---\n".join(documents), tuple(findings))


def _resources(document: Document) -> Iterator[tuple[Node, Pointer]]:
    """Yield the resources of a document and their places; a list of resources has them under ``items``."""
    value = document.value
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List"):
        items = value.get("items")
        for n, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict):
                yield item, ("items", n)
    elif isinstance(value, dict):
        yield value, ()


_Read = Callable[[Files, Document, Node, Pointer], bool]
"""Adds a resource's settings to the result, and returns whether it has any."""


def _reader_of(resource: Node) -> _Read | None:
    """Return the function that reads a resource, None if it holds no e-mail settings of a realm."""
    kind, group = resource.get("kind"), str(resource.get("apiVersion", "")).partition("/")[0]
    spec = mapping_of(resource.get("spec"))
    if kind == "Realm" and group in _CROSSPLANE:
        return _read_crossplane
    if kind == _IMPORT or (kind in _REALM_KINDS and isinstance(spec.get("realm"), dict)):
        return _read_representation
    return _read_operator if kind in _REALM_KINDS else None


def _read_representation(files: Files, document: Document, resource: Node, at: Pointer) -> bool:
    realm = mapping_of(mapping_of(resource.get("spec")).get("realm"))
    name = realm.get("realm") or realm.get("id")
    if realm.get(SMTP_SERVER) is None or not isinstance(name, str):
        return False
    add_realm(files, document, name, (*at, "spec", "realm"), {**realm, "realm": name})
    return True


def _read_crossplane(files: Files, document: Document, resource: Node, at: Pointer) -> bool:
    given, where = mapping_of(mapping_of(resource.get("spec")).get("forProvider")), (*at, "spec", "forProvider")
    block, inside = _block(given, SMTP_SERVER, where)
    if block is None:
        return False
    settings = _Settings(document, _namespace(resource))
    settings.take({n: v for n, v in block.items() if n not in ("auth", "tokenAuth")}, inside, _CROSSPLANE_NAMES)
    for name, login, names in (("auth", Login.BASIC, _BASIC), ("tokenAuth", Login.TOKEN, _TOKEN)):
        inner, place = _block(block, name, inside)
        if inner:
            settings.take(inner, place, names)
            settings.values |= {_SWITCH: True, _KIND: str(login)}
    metadata = mapping_of(resource.get("metadata"))
    external = mapping_of(metadata.get("annotations")).get(_EXTERNAL_NAME)
    return _add(files, settings, given.get("realm") or external or metadata.get("name"), inside)


def _read_operator(files: Files, document: Document, resource: Node, at: Pointer) -> bool:
    spec, where = mapping_of(resource.get("spec")), (*at, "spec")
    settings = _Settings(document, _namespace(resource))
    smtp, inside = _block(spec, "smtp", where)
    own, place = _block(spec, SMTP_SERVER, where)
    if smtp is not None:
        for name, names in (("template", _SAME), ("connection", _CONNECTION)):
            block, within = _block(smtp, name, inside)
            settings.take({n: v for n, v in (block or {}).items() if n != "authentication"}, within, names)
            login, within = _block(block or {}, "authentication", within)
            if login:
                settings.take(login, within, _BASIC)
                settings.values |= {_SWITCH: True, _KIND: str(Login.BASIC)}
    elif own is not None:
        inside = place
        settings.take(own, place, {})
    else:
        return False
    realm = spec.get("realmName") or spec.get("realm") or mapping_of(resource.get("metadata")).get("name")
    return _add(files, settings, realm, inside)


def _add(files: Files, settings: _Settings, name: JsonValue, at: Pointer) -> bool:
    where = settings.document.locate(at)
    if not isinstance(name, str) or not name:
        message, hint = "the resource has no name for its realm", "write the name"
        files.findings.append(error("not-a-map", message, hint, where))
        return True
    if realm := files.name(name, where):
        files.add(realm, settings.read(realm, at, files.findings))
    return True


def _without_reference(name: str) -> str:
    """Return the name of a value without what says that it is in a secret: ``passwordSecretRef``."""
    return re.sub(r"Secret(?:Ref)?$", "", name) if name != "clientSecret" else name


def _reference(name: str, value: JsonValue) -> tuple[str, Node] | None:
    """Return the kind and the reference of a value that is in a secret or a config map, None for any other."""
    found = mapping_of(value)
    for kind in _REFERENCES:
        if isinstance(inner := found.get(kind), dict):
            return ("secret" if kind == "secretKeyRef" else "config map"), inner
    return ("secret", found) if "Secret" in name and isinstance(found.get("name"), str) else None


def _block(given: Node, name: str, at: Pointer) -> tuple[Node | None, Pointer]:
    """Return a mapping, or the only one in a list as Crossplane has it, and its place; None if there is none."""
    value = given.get(name)
    if isinstance(value, list):
        return (mapping_of(value[0]), (*at, name, 0)) if value else (None, at)
    return (value if isinstance(value, dict) else None), (*at, name)


def _namespace(resource: Node) -> str:
    return str(mapping_of(resource.get("metadata")).get("namespace") or "")


def _unique(name: str, used: set[str]) -> str:
    number, unique = 2, name
    while unique in used:
        unique, number = f"{name}-{number}", number + 1
    used.add(unique)
    return unique
