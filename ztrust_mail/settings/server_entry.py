"""Reads the entry of a server in the settings: references to the secrets of its login, labels, variables and queue."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.model.fields import Kind
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.settings.inputs import Environment, Keys, Table, check_keys

SERVER_KEYS: Keys = {
    "url": str,
    "gateway": str,
    "profile": str,
    "realm": str,
    "client_id": str,
    "client_secret": Secret,
    "username": str,
    "password": Secret,
    "token": Secret,
    "ca_bundle": str,
    "connections": int,
    "timeout": str,
    "labels": dict,
    "vars": dict,
    "limits": dict,
    "queue": str,
}

SECRETS = ("password", "client_secret", "token")
"""The keys of a server's entry that hold a secret or a reference to one."""

KINDS = tuple(kind for kind in SecretKind if kind is not SecretKind.KEYCLOAK_VAULT)
"""The kinds of reference that a server's entry can have: a vault of the server itself cannot hold the login to it."""

_FORMS = {kind: "{" + kind.value + (' = "…"}' if kind.form.is_text else ' = ["…"]}') for kind in KINDS}

LABEL_NAME = r"^[a-z][a-z0-9_.-]{0,62}$"
LABEL_VALUE = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
VARIABLE_NAME = r"^[a-z][a-z0-9_]{0,63}$"
BUILT_IN = ("realm", "server")
"""Placeholders that every spec has, so that no variable may have their names."""

VARIABLE_VALUE = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029\u202A-\u202E\u2066-\u2069]*$"
"""No control, line or direction characters: as in a spec's own variables."""

MAX_LENGTH = 255
NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""The name of a queue or of a schedule."""

DEFAULT_QUEUE = "default"


@dataclass(frozen=True)
class LoginReferences:
    """The references of one server's login by their keys, and what is needed to resolve them.

    ``settings_paths`` are the settings files, which no reference may name.
    """

    refs: Mapping[str, SecretRef] = field(default_factory=dict)
    environ: Environment = field(default_factory=lambda: Environment({}), repr=False, compare=False)
    settings_paths: tuple[str, ...] = ()


def check_entry(path: str, name: str, entry: Table) -> None:
    """Raise :class:`ConfigError` for an unknown key or a value of another type in a server's entry.

    An entry is checked when its server is used, so that a broken one stops no run on another server.
    """
    values = {key: value for key, value in entry.items() if key not in SECRETS or not isinstance(value, dict)}
    check_keys(Path(path), f"servers.{name}.", values, SERVER_KEYS)


def read_references(path: str, server: str, entry: Table) -> dict[str, SecretRef]:
    """Return the references in a server's entry by their keys. Raises :class:`ConfigError` for a bad one.

    A relative path of a file starts from the folder of the settings file, ``path``.
    """
    found: dict[str, SecretRef] = {}
    for key in SECRETS:
        value = entry.get(key)
        if isinstance(value, dict):
            found[key] = _read_reference(
                f"{path}: {quoted(f'servers.{server}.{key}')}", value, str(Path(path).absolute().parent)
            )
    return found


def known_references(path: str, servers: Mapping[str, Table]) -> tuple[SecretRef, ...]:
    """Return the references of all servers' logins; those of broken entries are left out."""
    found: list[SecretRef] = []
    for name, entry in servers.items():
        try:
            found += read_references(path, name, entry).values()
        except ConfigError:
            continue
    return tuple(found)


def read_labels(server: str, entry: Table) -> Mapping[str, str]:
    """Return the labels in a server's entry. Raises :class:`ConfigError` for a bad name or value."""
    labels = _read_texts(server, entry, "labels")
    for name, value in labels.items():
        if not re.fullmatch(LABEL_NAME, name):
            _refuse(
                server, f"labels.{name}", "is not a name for a label", "write lower-case letters, digits, _ . and -"
            )
        if not re.fullmatch(LABEL_VALUE, value):
            _refuse(server, f"labels.{name}", "is not the value of a label", "write letters, digits, _ . and -")
    return labels


def read_vars(server: str, entry: Table) -> Mapping[str, str]:
    """Return the variables in a server's entry. Raises :class:`ConfigError` for a bad name or value."""
    variables = _read_texts(server, entry, "vars")
    for name, value in variables.items():
        if not re.fullmatch(VARIABLE_NAME, name) or name in BUILT_IN:
            hint = (
                f"write lower-case letters, digits and _, and no other name than a spec's own {' and '.join(BUILT_IN)}"
            )
            _refuse(server, f"vars.{name}", "is not a name for a variable", hint)
        if not re.fullmatch(VARIABLE_VALUE, value):
            _refuse(server, f"vars.{name}", "contains a control character", "remove it")
    return variables


def read_queue(server: str, entry: Table) -> str:
    """Return the queue in a server's entry. Raises :class:`ConfigError` for a bad name."""
    queue = entry.get("queue", DEFAULT_QUEUE)
    if not isinstance(queue, str) or not re.fullmatch(NAME, queue):
        hint = "write up to 63 lower-case letters, digits, . _ and -, such as eu"
        raise ConfigError(f"{quoted(f'servers.{server}.queue')} is {quoted(queue)}", hint)
    return queue


def _read_reference(what: str, table: Table, base: str) -> SecretRef:
    forms = ", ".join(_FORMS.values())
    if len(table) != 1:
        raise ConfigError(f"{what} must have exactly one kind of reference", f"write one of {forms}")
    ((name, value),) = table.items()
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None:
        raise ConfigError(f"{what} has the unknown kind {quoted(name)}", did_you_mean(name, KINDS) or f"write {forms}")
    parts = [value] if kind.form.is_text else value
    if (
        not isinstance(parts, list)
        or not all(isinstance(part, str) and part for part in parts)
        or len(parts) != (kind.form.parts or len(parts) or 1)
    ):
        texts = {1: "a text", 2: "a list of a service and a name"}.get(kind.form.parts or 0, "a list of texts")
        raise ConfigError(f"{what}: {quoted(name)} must be {texts}", f"write {_FORMS[kind]}")
    ref, problem = SecretRef(kind, tuple(parts), base if kind is SecretKind.FILE else ""), ("", "")
    try:
        parse(Kind.SECRET, ref)
    except BadValue as bad:
        problem = (bad.problem, bad.hint)
    if problem[0]:
        raise ConfigError(f"{what} {problem[0]}", problem[1])
    return ref


def _read_texts(server: str, entry: Table, key: str) -> Mapping[str, str]:
    table = entry.get(key, {})
    assert isinstance(table, dict)  # checked with the other types
    for name, value in table.items():
        if not isinstance(value, str) or not 0 < len(value) <= MAX_LENGTH:
            _refuse(server, f"{key}.{name}", f"must be a text of up to {MAX_LENGTH} characters", "write it in quotes")
    return dict(table)


def _refuse(server: str, place: str, problem: str, hint: str) -> None:
    raise ConfigError(f"{quoted(f'servers.{server}.{place}')} {problem}", hint)
