"""The ``smtp_server`` block of Terraform's ``keycloak_realm`` resources.

The providers mrparkers/keycloak and its successor keycloak/keycloak (5.x) have the same block.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count

from ztrust_mail.convert import hcl, terraform_json
from ztrust_mail.convert.attributes import AttributeReader, encode_attributes
from ztrust_mail.convert.format import (
    CANNOT_HOLD,
    MAX_FILES,
    Files,
    Format,
    ReadResult,
    WriteResult,
    storable,
    with_variables,
)
from ztrust_mail.convert.hcl import Block, Resource, string
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.files import STDIN, files_in
from ztrust_mail.core.findings import Finding, Location, error, note, warning
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model import fields
from ztrust_mail.model.fields import FieldMap, Login, Raw, field_of
from ztrust_mail.specfile.readers.document import Broken

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    fields.HOST: ("host",),
    fields.PORT: ("port",),
    fields.SENDER_ADDRESS: ("from",),
    fields.SENDER_NAME: ("from_display_name",),
    fields.REPLY_TO_ADDRESS: ("reply_to",),
    fields.REPLY_TO_NAME: ("reply_to_display_name",),
    fields.ENVELOPE_FROM: ("envelope_from",),
    fields.SECURITY: ("starttls", "ssl"),
}
_READ: Mapping[str, tuple[str, ...]] = {**_ARGUMENTS, fields.UTF8: ("allow_utf8",)}  # which not all 5.x releases accept
_BASIC: Mapping[str, tuple[str, ...]] = {fields.USERNAME: ("username",), fields.PASSWORD: ("password",)}
_TOKEN: Mapping[str, tuple[str, ...]] = {
    fields.USERNAME: ("username",),
    fields.TOKEN_URL: ("url",),
    fields.TOKEN_CLIENT_ID: ("client_id",),
    fields.TOKEN_CLIENT_SECRET: ("client_secret",),
    fields.TOKEN_SCOPE: ("scope",),
}
_LOGINS = {"auth": (Login.BASIC, _BASIC), "token_auth": (Login.TOKEN, _TOKEN)}
_CONFIGURATIONS = (".tf", ".tf.json")
_STATES = (".tfstate", ".json")
_RESOLVED = "terraform show -json | ztrust-mail convert --from terraform --to spec -"
_HEAD = """\
# Merge each smtp_server and lifecycle block into the realm's full resource: the provider resets what a resource omits.
# With ignore_changes, ztrust-mail manages the e-mail settings and Terraform everything else.
"""


class Terraform(Format):
    """Realm resources, of which the e-mail settings are read; the result has the e-mail settings only."""

    name = "terraform"
    title = "Terraform's smtp_server"

    def read(self, path: str) -> ReadResult:
        """Return the settings in configurations (``.tf``), a state, or the output of ``terraform show -json``.

        Of a folder, only configurations are read. Terraform's own language needs the extra ``convert``.
        """
        is_folder = path != STDIN and os.path.isdir(path)
        files = Files(_CONFIGURATIONS if is_folder else (*_CONFIGURATIONS, *_STATES))
        notes = _unread_states(path) if is_folder else []
        is_evaluated = True
        for source in files.texts(path):
            is_json = terraform_json.is_json(source.text)
            is_evaluated &= is_json and not source.path.lower().endswith(_CONFIGURATIONS)
            with suppress(Broken):
                for resource in (terraform_json if is_json else hcl).realms_in(source):
                    _add(resource, files, notes)
            files.findings.extend(source.findings)
        result = files.result(notes)
        if is_evaluated or not (result.unnamed or any(one.rule == "placeholder" for one in result.findings)):
            return result
        message = "variables, locals, modules and for_each of a configuration are not evaluated"
        advice = note("not-evaluated", message, f"for resolved values: {_RESOLVED}")
        return replace(result, findings=(*result.findings, advice))

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return a resource for each realm that has e-mail, and the variables for its secrets."""
        named, findings = with_variables(realms, self.title)
        labels: set[str] = set()
        blocks: list[str] = []
        taken: dict[str, None] = {}
        for realm, settings in named.items():
            login = settings.get(fields.LOGIN)
            table = _TOKEN if login is Login.TOKEN else _BASIC if login is Login.BASIC else {}
            known = {*_ARGUMENTS, *table, *([fields.LOGIN] if table else [])}
            kept, lost = storable(realm, settings, self.title, known, raw=(fields.PORT,))
            findings.extend(lost)
            findings.extend(_incomplete(realm, kept, table))
            if not kept:
                message = "a resource without e-mail has no smtp_server block"
                findings.append(warning(CANNOT_HOLD, message, "left out; remove the block", realm=realm))
                continue
            blocks.append(_resource(_label(realm, labels), realm, kept))
            taken |= dict.fromkeys(variable for v in kept.values() if (variable := _variable(v)))
        declared = [f'variable "{name}" {{\n  type      = string\n  sensitive = true\n}}\n' for name in taken]
        if taken:
            message = "Terraform reads the secrets from variables"
            findings.append(note("variables", message, f"set TF_VAR_{next(iter(taken))} and the others"))
        return WriteResult("\n".join([_HEAD, *blocks, *declared]), tuple(findings))


def _add(resource: Resource, files: Files, notes: list[Finding]) -> None:
    """Add the settings of a resource to the result."""
    realm, where = resource.realm, resource.where
    if resource.problem:
        hint = f"left out; write the arguments, or convert the state: {_RESOLVED}"
        files.findings.append(error("unknown-settings", resource.problem, hint, where, realm))
    elif not resource.smtp_server:
        message = "the resource has no smtp_server block, so the e-mail settings are unknown"
        notes.append(note("nothing-said", message, "left out", where, realm))
    elif named := files.name(realm, where):
        files.add(named, _fields(replace(resource, realm=named), files.findings))


def _unread_states(folder: str) -> list[Finding]:
    states, _ = files_in(folder, (".tfstate",), MAX_FILES)
    message, hint = "a state in a folder is not read", f"for resolved values: {_RESOLVED}"
    return [note("not-evaluated", message, hint, location=Location(state)) for state in states[:1]]


def _fields(resource: Resource, findings: list[Finding]) -> FieldMap | None:
    reader = AttributeReader(resource.realm, lambda _: resource.where)
    given = _natives(_without_sensitive(resource, "", reader), _READ, reader, tuple(_LOGINS))
    for block, (login, table) in _LOGINS.items():
        if isinstance(inner := resource.smtp_server.get(block), Mapping):
            switch, kind = KEYCLOAK.attributes_of(fields.LOGIN)
            given |= {
                **_natives(_without_sensitive(resource, block, reader), table, reader, ()),
                switch: True,
                kind: str(login),
            }
        elif inner is not None:
            reader.warn("bad-value", f"{quoted(block)} is not a block", "left out; write it as a block", block)
    settings = reader.read(given)
    findings.extend(reader.findings)
    return settings


def _without_sensitive(resource: Resource, name: str, reader: AttributeReader) -> Block:
    """Return a block without the arguments that are sensitive and not secrets, after a warning on each."""
    inner = resource.smtp_server.get(name) if name else resource.smtp_server
    table, block = dict(_LOGINS[name][1] if name else _READ), inner if isinstance(inner, Mapping) else {}
    natives = {a: n for f, args in table.items() for a, n in zip(args, KEYCLOAK.attributes_of(f), strict=True)}
    hidden = {"", name} & resource.sensitive
    shown = dict(block)
    for argument, native in natives.items():
        path = f"{name}.{argument}" if name else argument
        if block.get(argument) in (None, "") or not (hidden or path in resource.sensitive):
            continue
        if not field_of(KEYCLOAK.attribute_names[native]).secret:
            del shown[argument]
            reader.leave_out(f"{quoted(argument)} is marked as sensitive", "write the value", native)
    return shown


def _natives(
    block: Block, table: Mapping[str, tuple[str, ...]], reader: AttributeReader, blocks: tuple[str, ...]
) -> dict[str, JsonValue]:
    """Return a block's arguments by Keycloak's names, and warn of each one that the provider does not know."""
    natives = {
        arg: n for name, args in table.items() for arg, n in zip(args, KEYCLOAK.attributes_of(name), strict=True)
    }
    given: dict[str, JsonValue] = {}
    for argument, value in block.items():
        if argument in natives and not isinstance(value, Mapping):
            given[natives[argument]] = value
        elif argument not in blocks:
            reader.warn("unknown-attribute", f"the provider has no argument {quoted(argument)}", "left out", argument)
    return given


def _incomplete(realm: str, settings: FieldMap, table: Mapping[str, tuple[str, ...]]) -> list[Finding]:
    required = [fields.HOST, fields.SENDER_ADDRESS, *(table if fields.LOGIN in settings else ())]
    absent = [name for name in required if settings and name not in settings]
    return [
        warning(
            "missing-field", f"`{name}` is missing, and the provider requires it", "add it", realm=realm, field=name
        )
        for name in absent
    ]


def _resource(label: str, realm: str, settings: FieldMap) -> str:
    table = _TOKEN if settings.get(fields.LOGIN) is Login.TOKEN else _BASIC
    lines = [f'resource "keycloak_realm" "{label}" {{', f"  realm = {string(realm)}", "", "  smtp_server {"]
    lines += _arguments(settings, _ARGUMENTS, "    ")
    if fields.LOGIN in settings:
        lines += ["", f"    {'token_auth' if table is _TOKEN else 'auth'} {{", *_arguments(settings, table, " " * 6)]
        lines.append("    }")
    lines += ["  }", "", "  lifecycle {", "    ignore_changes = [smtp_server]", "  }", "}", ""]
    return "\n".join(lines)


def _arguments(settings: FieldMap, table: Mapping[str, tuple[str, ...]], indent: str) -> list[str]:
    """Return a line for each argument, aligned as ``terraform fmt`` does."""
    written: dict[str, str] = {}
    for name, arguments in table.items():
        if name not in settings:
            continue
        value = settings[name]
        if variable := _variable(value):
            written[arguments[0]] = f"var.{variable}"
            continue
        attributes = encode_attributes({name: value})
        for argument, native in zip(arguments, KEYCLOAK.attributes_of(name), strict=True):
            text = attributes.get(native, "")
            written[argument] = text if len(arguments) > 1 and not isinstance(value, Raw) else string(text)
    width = max(map(len, written), default=0)
    return [f"{indent}{argument:<{width}} = {text}" for argument, text in written.items()]


def _variable(value: object) -> str:
    """Return the variable a secret comes from, or nothing."""
    return value.argument[0] if isinstance(value, SecretRef) and value.kind is SecretKind.ENV else ""


def _label(realm: str, used: set[str]) -> str:
    """Return a unique label for a resource: Terraform's names start with a letter or ``_``."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", realm)
    stem = stem if re.match(r"[A-Za-z_]", stem) else f"_{stem}"
    label = next(n for n in chain([stem], (f"{stem}_{k}" for k in count(2))) if n not in used)
    used.add(label)
    return label
