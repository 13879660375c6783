"""References to secrets in the entry of a server: where its password, client secret or token comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.model.fields import Kind
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.settings.inputs import Environment, Table

SECRETS = ("password", "client_secret", "token")
"""The keys of a server's entry that hold a secret or a reference to one."""

KINDS = tuple(kind for kind in SecretKind if kind is not SecretKind.KEYCLOAK_VAULT)
"""The kinds of reference that a server's entry can have: a vault of the server itself cannot hold the login to it."""

_FORMS = {kind: "{" + kind.value + (' = "…"}' if kind.form.is_text else ' = ["…"]}') for kind in KINDS}


@dataclass(frozen=True)
class LoginReferences:
    """The references of one server's login by their keys, and what is needed to resolve them.

    ``settings_paths`` are the settings files, which no reference may name.
    """

    refs: Mapping[str, SecretRef] = field(default_factory=dict)
    environ: Environment = field(default_factory=lambda: Environment({}), repr=False, compare=False)
    settings_paths: tuple[str, ...] = ()


def read_references(path: str, server: str, entry: Table) -> dict[str, SecretRef]:
    """Return the references in a server's entry by their keys. Raises :class:`ConfigError` for a bad one.

    A relative path of a file starts from the folder of the settings file, ``path``.
    """
    found: dict[str, SecretRef] = {}
    for key in SECRETS:
        value = entry.get(key)
        if isinstance(value, dict):
            found[key] = _read(f"{path}: {quoted(f'servers.{server}.{key}')}", value, str(Path(path).absolute().parent))
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


def _read(what: str, table: Table, base: str) -> SecretRef:
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
