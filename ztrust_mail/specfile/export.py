"""Writes a realm's settings as a spec, with variables for the secrets that a server masks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, cast

from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import CI_COMMAND, SURROGATE, escaped, printable
from ztrust_mail.model.fields import (
    DEFAULT_PORTS,
    EXTRA,
    FIELDS,
    HOST,
    LOGIN,
    LOGIN_FIELDS,
    PASSWORD,
    PORT,
    PRESET,
    RECIPIENTS,
    REPLY_TO_ADDRESS,
    REPLY_TO_NAME,
    SECURITY,
    USERNAME,
    UTF8,
    FieldMap,
    FieldValue,
    Kind,
    Login,
    Masked,
    Raw,
    Security,
    field_of,
    in_token,
    message_of,
)
from ztrust_mail.model.values import BadValue, is_locale, is_message_key, parse
from ztrust_mail.specfile import placeholders

if TYPE_CHECKING:
    from yaml import SafeDumper
    from yaml.nodes import ScalarNode


MODELINE = "# yaml-language-server: $schema=./spec.schema.json\n"
"""The first line of each exported spec, by which editors find the schema next to it."""


def dump_yaml(data: object, *, flow: bool | None = False) -> str:
    """Return data as YAML in the order given; text with invisible characters is double-quoted and escaped.

    ``flow`` None writes mappings and lists without further ones inside on one line.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(str, _represent_text)
    text: str = yaml.dump(
        data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=flow, indent=2
    )
    return escaped(text)


def _represent_text(dumper: SafeDumper, text: str) -> ScalarNode:
    is_plain = printable(text) == text and not text.startswith("::") and not CI_COMMAND.search(text)
    style = None if is_plain else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Leaf = str | int | bool | SecretRef
Leaves = dict[str, Leaf]
"""One entry as field → value."""

Node = Leaf | list[str] | dict[str, "Node"]

_HIDDEN = re.compile(r"^(.*\{env: '?SMTP_(?:PASSWORD|CLIENT_SECRET)_.*)$", re.MULTILINE)


def to_yaml(
    realms: Mapping[str, Leaves | None],
    defaults: Leaves,
    head: str = "",
    *,
    because: str = "the server hides the value",
    server: str = "",
) -> str:
    """Return a spec with these entries; None means a realm without e-mail.

    A reference that replaces a masked secret gets a comment with the reason, ``because``. Host, port and security that
    match a preset exactly are replaced by its name. With ``server``, the spec is guarded for the server of that name.
    """
    body: dict[str, Node] = {"version": 1}
    if server:
        body["server"] = server
    if defaults:
        body["defaults"] = _nest(_name_preset(defaults))
    entries = {name: None if leaves is None else _name_preset(leaves) for name, leaves in realms.items()}
    body["realms"] = {name: {"disabled": True} if e is None else _nest(e) for name, e in entries.items()}
    text = _HIDDEN.sub(rf"\1  # {because}: put it into this variable", dump_yaml(body, flow=None))
    return MODELINE + "".join(f"# {printable(line)}\n" for line in head.splitlines()) + text


def _name_preset(leaves: Leaves) -> Leaves:
    from ztrust_mail.providers.presets import recognise_preset

    host, port, security = (leaves.get(name) for name in (HOST, PORT, SECURITY))
    if not (isinstance(host, str) and isinstance(port, int) and isinstance(security, str)):
        return leaves
    if not (preset := recognise_preset(host, port, Security(security))):
        return leaves
    named: Leaves = {}
    for name, value in leaves.items():
        if name == HOST:
            named[PRESET] = preset.name
        elif name not in (PORT, SECURITY):
            named[name] = value
    return named


def _nest(leaves: Leaves) -> Node:
    root: dict[str, Node] = {}
    for name, value in leaves.items():
        message = message_of(name)
        keys = name.split(".", 3 if message else 1 if name.startswith(f"{EXTRA}.") else -1)
        node = root
        for key in keys[:-1]:
            node = cast("dict[str, Node]", node.setdefault(key, {}))
        listed = name == RECIPIENTS and isinstance(value, str)
        node[keys[-1]] = (
            str(value).split(", ") if listed else reference_node(value) if isinstance(value, SecretRef) else value
        )
    return root


def reference_node(ref: SecretRef) -> Node:
    """Return a reference as a spec writes it: the kind, and a text or a list."""
    return {ref.kind.value: ref.argument[0] if ref.kind.form.is_text else list(ref.argument)}


_LONGEST_STEM = 200  # of a variable's name; a realm's name may have 255 characters


def login_of(fields: FieldMap) -> Login:
    """Return the kind of login; an unreadable one counts as none."""
    login = fields.get(LOGIN)
    return login if isinstance(login, Login) else Login.NONE


def is_valid_entry_name(realm: str) -> bool:
    """Tell whether a realm can have its own entry."""
    return not any(c in realm for c in "*?/") and realm not in (".", "..") and _is_text(realm)


def _is_text(text: str) -> bool:
    """Tell whether a spec can hold the text: not blank, no control characters, not too long, no surrogates."""
    try:
        parse(Kind.TEXT, text)
        text.encode()
    except ValueError:
        return False
    return True


def unrepresentable(fields: FieldMap) -> list[str]:
    """Return the fields whose value a spec would refuse."""
    utf8 = fields.get(UTF8) is True
    return [name for name, value in fields.items() if isinstance(value, Raw) or not _parses(name, value, utf8)]


def _parses(name: str, value: FieldValue, utf8: bool) -> bool:
    if not isinstance(value, str) or name in (SECURITY, LOGIN):
        return True
    if message := message_of(name):
        named = is_locale(message[0]) and is_message_key(message[1]) and not SURROGATE.search(value)
    else:
        named = _is_text(name.removeprefix(f"{EXTRA}.")) and (name == RECIPIENTS or _is_text(str(_leaf(name, value))))
    if not named:
        return False
    try:
        return parse(field_of(name).kind, value, utf8=utf8) == value
    except BadValue:
        return False


def unused_login_fields(fields: FieldMap) -> list[str]:
    """Return the login fields that the server ignores in its mode of login."""
    login = login_of(fields)
    unused = {Login.NONE: (USERNAME, PASSWORD), Login.TOKEN: (PASSWORD,)}.get(login, ())
    names = [n for n in fields if n in unused or (in_token(n) and login is not Login.TOKEN)]
    if REPLY_TO_NAME in fields and REPLY_TO_ADDRESS not in fields:
        names.append(REPLY_TO_NAME)
    return names


def missing_fields(fields: FieldMap) -> list[str]:
    """Return the fields that an entry needs and lacks."""
    mandatory = [row.name for row in FIELDS.values() if row.mandatory]
    return [name for name in (*mandatory, *LOGIN_FIELDS[login_of(fields)]) if name not in fields]


def to_entry(fields: FieldMap, left_out: Collection[str]) -> Leaves:
    """Return the fields as an entry. Defaults of the server that differ from a spec's defaults are written out."""
    implied: FieldMap = {SECURITY: Security.NONE, PORT: DEFAULT_PORTS[Security.NONE]}
    complete = {n: v for n, v in implied.items() if n not in left_out} | dict(fields)
    order = {name: n for n, name in enumerate(FIELDS)}
    names = sorted((n for n in complete if n != LOGIN), key=lambda n: (order.get(n, len(order)), n))
    return {name: _leaf(name, complete[name]) for name in names}


def _leaf(name: str, value: FieldValue) -> Leaf:
    if isinstance(value, Masked):
        return SecretRef(SecretKind.ENV, ("",))
    if isinstance(value, bool | int | SecretRef):
        return value
    return placeholders.escape(str(value)) if field_of(name).placeholders else str(value)


def variables_for(secrets: Iterable[tuple[str, str]], taken: Collection[str] = ()) -> dict[tuple[str, str], str]:
    """Return a unique variable name, not in ``taken``, for each secret, given as realm and field."""
    used = set(taken)
    names: dict[tuple[str, str], str] = {}
    for realm, name in secrets:
        stem = f"{secret_stem(name)}{placeholders.as_env_name(realm)}"[:_LONGEST_STEM]
        names[realm, name] = next(n for n in _number(stem) if n not in used)
        used.add(names[realm, name])
    return names


def secret_stem(name: str) -> str:
    """Return the beginning of the variable name for a secret."""
    return "SMTP_PASSWORD_" if name == PASSWORD else "SMTP_CLIENT_SECRET_"


def _number(stem: str) -> Iterable[str]:
    yield stem
    for n in range(2, 100_000):
        yield f"{stem}_{n}"
