"""Ansible's ``community.general.keycloak_realm`` tasks.

The module's options for ``smtp_server`` have Keycloak's names and typed values. The module refuses other names
(community.general 11 and 12) and an empty map, since ``host`` and ``from`` are required.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from ztrust_mail.convert.attributes import encode_attributes, read_map
from ztrust_mail.convert.format import (
    CANNOT_HOLD,
    Files,
    Format,
    ReadResult,
    WriteResult,
    storable,
    with_variables,
)
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding, error, note, warning
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, SMTP_SERVER
from ztrust_mail.model import fields
from ztrust_mail.model.fields import FieldMap, Login
from ztrust_mail.specfile.export import dump_yaml
from ztrust_mail.specfile.readers.document import Pointer

MODULE: Final = "community.general.keycloak_realm"
_OPTIONS = ("smtp_server", SMTP_SERVER)
_LOGIN = (fields.LOGIN, fields.USERNAME, fields.PASSWORD)
_FIELDS = (
    *(fields.SENDER_ADDRESS, fields.SENDER_NAME, fields.REPLY_TO_ADDRESS, fields.REPLY_TO_NAME, fields.ENVELOPE_FROM),
    *(fields.HOST, fields.PORT, fields.SECURITY, *_LOGIN),
)
_SWITCHES = (*KEYCLOAK.attributes_of(fields.SECURITY), KEYCLOAK.attributes_of(fields.LOGIN)[0])
_ON, _OFF = ("yes", "on", "y", "t", "1", "true"), ("no", "off", "n", "f", "0", "false")
_ONE_STRING = re.compile(r"\{\{ '((?:[^'\\]|\\['\\])*)' \}\}")
_TAG = re.compile(r"^([ \t]*(?:- )?[\w.-]+:[ \t]+)(!(?:vault|unsafe))(?=\s)", re.MULTILINE)


class Ansible(Format):
    """Tasks that manage a realm, of which the e-mail settings are read; the result has the e-mail settings only."""

    name = "ansible"
    title = "an Ansible task"

    def read(self, path: str) -> ReadResult:
        """Return the settings of the tasks in a playbook or a list of tasks."""
        files = Files((".yaml", ".yml"))
        notes: list[Finding] = []
        for document in files.documents(path, _without_tags):
            for module, at in _modules(document.value, ()):
                if not isinstance(module, dict):
                    message = "the task's arguments are not a mapping"
                    hint = "left out; write them as a mapping below the module's name"
                    files.findings.append(error("not-a-map", message, hint, document.locate(at)))
                    continue
                name = next((str(name) for key in ("realm", "name", "id") if (name := module.get(key))), "")
                realm = _text(name)
                option = next((key for key in _OPTIONS if module.get(key) is not None), "")
                where = document.locate(at)
                if not option or not realm:
                    message = f"the task has no {'smtp_server' if realm else 'realm'}, so e-mail settings are unknown"
                    notes.append(note("nothing-said", message, "left out", realm=realm, location=where))
                elif named := files.name(realm, where, is_literal=realm != name):
                    _resolve(module, option)
                    files.add(named, read_map(document, (*at, option), named, files.findings))
        return files.result(notes)

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return one task for each realm that has e-mail."""
        named, findings = with_variables(realms, self.title)
        tasks = []
        for realm, settings in named.items():
            unknown = _LOGIN if settings.get(fields.LOGIN) == Login.TOKEN else ()
            known = [name for name in _FIELDS if name not in unknown]
            kept, lost = storable(realm, settings, self.title, known)
            findings.extend(lost)
            if kept:
                tasks.append(_task(realm, kept))
            else:
                message = "an Ansible task cannot say that a realm has no e-mail"
                findings.append(warning(CANNOT_HOLD, message, "left out; clear its settings elsewhere", realm=realm))
        head = "# Add the server and the login to each task, or use module_defaults.\n"
        return WriteResult(head + dump_yaml(tasks), tuple(findings))


def _without_tags(text: str) -> str:
    """Blank out Ansible's own tags, so that every character keeps its place."""
    return _TAG.sub(lambda found: found[1] + " " * len(found[2]), text)


def _modules(value: JsonValue, at: Pointer) -> Iterator[tuple[JsonValue, Pointer]]:
    """Yield the arguments of every task of the module, however deep in plays and blocks.

    The arguments may be ``key=value`` text, and the module may be given by the legacy keys ``action`` and
    ``local_action``.
    """
    if isinstance(value, list):
        for n, inner in enumerate(value):
            yield from _modules(inner, (*at, n))
    elif isinstance(value, dict):
        for key, inner in value.items():
            if _is_module(key) and _are_arguments(inner):
                yield inner, (*at, key)
            elif key in ("action", "local_action") and _calls_module(inner):
                yield None, (*at, key)
            elif isinstance(inner, list):
                yield from _modules(inner, (*at, key))


def _is_module(name: str) -> bool:
    return name.rpartition(".")[2] == MODULE.rpartition(".")[2]


def _are_arguments(value: JsonValue) -> bool:
    """Tell whether a value holds a module's arguments, and is not the value of a variable with the module's name."""
    return value is None or isinstance(value, dict) or (isinstance(value, str) and ("=" in value or "{{" in value))


def _calls_module(action: JsonValue) -> bool:
    called = action.get("module") if isinstance(action, dict) else action
    return isinstance(called, str) and _is_module(called.partition(" ")[0])


def _resolve(module: dict[str, JsonValue], option: str) -> None:
    """Convert switches to true and false as Ansible does, and templates of one string to that string."""
    options = module[option]
    if not isinstance(options, dict):
        return
    options.update({native: _text(value) for native, value in options.items() if isinstance(value, str)})
    for native in _SWITCHES:
        word = str(options.get(native)).lower()
        if word in (*_ON, *_OFF):
            options[native] = word in _ON


def _task(realm: str, settings: FieldMap) -> dict[str, object]:
    login = KEYCLOAK.attributes_of(fields.LOGIN)[1]
    secrets = {n: v for n, v in settings.items() if isinstance(v, SecretRef) and v.kind is SecretKind.ENV}
    others = {n: v for n, v in settings.items() if n not in secrets}
    options: dict[str, object] = {n: _plain(text) for n, text in encode_attributes(others).items() if n != login}
    for name, reference in secrets.items():
        options[KEYCLOAK.attributes_of(name)[0]] = f"{{{{ lookup('ansible.builtin.env', '{reference.argument[0]}') }}}}"
    for native in _SWITCHES:
        if native in options:
            options[native] = options[native] == "true"
    (port,) = KEYCLOAK.attributes_of(fields.PORT)
    if port in options:
        options[port] = int(str(options[port]))
    module = {"realm": _plain(realm), "state": "present", "smtp_server": options}
    return {"name": f"E-mail settings of {_plain(realm)}", MODULE: module, "no_log": True}


def _plain(text: str) -> str:
    """Return text that Ansible does not change: as a template of one string if it could be read as a template."""
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"{{{{ '{escaped}' }}}}"


def _text(template: str) -> str:
    """Return the text that :func:`_plain` wrote as a template; return any other text unchanged."""
    found = _ONE_STRING.fullmatch(template)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else template
