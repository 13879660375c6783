"""E-mail settings to try things with: whole specs, junk a server may hold, and random ones of both."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import cast

from hypothesis import strategies as st

from ztrust_mail import load_spec
from ztrust_mail.api.spec_types import SpecDict
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, MASK
from ztrust_mail.dialects.row import Attributes, Outgoing
from ztrust_mail.model.fields import ABSENT, DEFAULT_PORTS, RECIPIENTS, Duration, FieldMap, FieldValue, Login, Security
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.placeholders import escape

ENVIRON = {"SMTP_PASSWORD": "relay-Passw0rd", "SMTP_CLIENT_SECRET": "oauth-Secr3t"}
ENV_PASSWORD = {"env": "SMTP_PASSWORD"}
TOKEN = {
    "url": "https://login.example.com/token",
    "client_id": "keycloak-mail",
    "client_secret": {"env": "SMTP_CLIENT_SECRET"},
    "scope": "https://outlook.example.com/.default",
}
SENDER = {"address": "no-reply@acme.example"}

NO_LOGIN: dict[str, object] = {"sender": SENDER, "relay": {"host": "smtp.example.com"}}
BASIC: dict[str, object] = {
    "sender": {"address": "no-reply@acme.example", "name": "Acme"},
    "reply_to": {"address": "help@acme.example", "name": "Help"},
    "relay": {"host": "smtp.example.com", "auth": {"username": "apikey", "password": ENV_PASSWORD}},
}
ENTRIES: Mapping[str, dict[str, object]] = {
    "no-auth": NO_LOGIN,
    "basic": BASIC,
    "token": {"sender": SENDER, "relay": {"host": "smtp.example.com", "auth": {"username": "u", "token": TOKEN}}},
    "disabled": {"disabled": True},
    "extra": {**BASIC, "extra": {"x-hint": "bulk", "x-{realm}": "{{braces}} for {realm}"}},
    "removals": {**BASIC, "reply_to": False, "envelope_from": False, "extra": {"x-old": False, "x-hint": False}},
    "timeouts": {
        **NO_LOGIN,
        "relay": {"host": "h.example.com", "timeouts": {"connect": "10s", "read": "1500ms", "write": "1m"}},
    },
    "utf8": {
        "sender": {"address": "grüße@acme.example", "name": "Grüße 😀"},
        "relay": {"host": "smtp.example.com", "security": "tls", "utf8": True, "debug": False},
    },
    "vault": {
        "sender": SENDER,
        "relay": {
            "host": "10.0.0.1",
            "security": "none",
            "auth": {"username": "u", "password": {"keycloak_vault": "smtp.key"}},
        },
    },
}
"""One entry of every kind a spec can have."""

STORED = {
    "from": "no-reply@acme.example", "fromDisplayName": "Acme", "replyTo": "help@acme.example",
    "replyToDisplayName": "Help", "host": "smtp.example.com", "port": "587", "starttls": "true", "ssl": "false",
    "auth": "true", "authType": "basic", "user": "apikey", "password": "relay-Passw0rd",
}  # fmt: skip
"""What ``BASIC`` looks like on a server."""

JUNK: Mapping[str, dict[str, str]] = {
    "nothing": {},
    "a port that is no number": {**STORED, "port": "abc"},
    "a port out of range": {**STORED, "port": "70000"},
    "TRUE": {**STORED, "ssl": "TRUE", "starttls": "False", "auth": "TRUE", "debug": "yes", "allowutf8": "1"},
    "both switches on": {**STORED, "ssl": "true", "starttls": "true"},
    "all empty": dict.fromkeys(STORED, ""),
    "a mask for a user": {**STORED, "user": MASK, "password": MASK},
    "a vault reference": {**STORED, "password": "${vault.other}"},
    "an odd vault reference": {**STORED, "password": "${vault.a b}", "authTokenClientSecret": "${vault.}"},
    "unknown keys": {**STORED, "x-old": "1", "x-hint": "other", "sender.address": "x", "": "no name"},
    "a login without its kind": {k: v for k, v in STORED.items() if k != "authType"},
    "an unknown kind of login": {**STORED, "authType": "kerberos"},
    "a login left behind": {**STORED, "auth": "false"},
    "a token login": {**STORED, "authType": "token", "authTokenUrl": "http://x", "authTokenClientSecret": "old"},
    "timeouts": {**STORED, "connectionTimeout": "-1", "timeout": "soon", "writeTimeout": "99999999999"},
    "no sender": {"host": "smtp.example.com"},
    "control characters": {**STORED, "fromDisplayName": "a\r\nBcc: x", "x\tname": "v\n"},
}
"""What servers hold that nobody would write into a spec."""

NATIVES = (*KEYCLOAK.attribute_names, "x-hint", "x-old", "", "Ü", "sender.address", "extra.port")


def one_realm(entry: Mapping[str, object], realm: str = "acme") -> Spec:
    """Return a spec with one entry."""
    return realms({realm: entry})


def realms(entries: Mapping[str, Mapping[str, object]], defaults: Mapping[str, object] | None = None) -> Spec:
    """Return a spec with these entries."""
    spec = {"version": 1, **({"defaults": defaults} if defaults else {}), "realms": entries}
    return load_spec(cast("SpecDict", spec))


def shown(attributes: Outgoing) -> Attributes:
    """Return what a server shows of what was written: secrets masked."""
    return {name: MASK if isinstance(value, Secret) else value for name, value in attributes.items()}


def entry_of(fields: FieldMap) -> dict[str, object]:
    """Return the entry of a spec that says these fields."""
    root: dict[str, object] = {}
    for name, value in fields.items():
        if name == "relay.auth":
            continue
        keys = name.split(".", 1) if name.startswith("extra.") else name.split(".")
        node = root
        for key in keys[:-1]:
            node = node.setdefault(key, {})  # type: ignore[assignment]
        node[keys[-1]] = _written(name, value)
    return root


def _written(name: str, value: FieldValue) -> object:
    if value is ABSENT:
        return False
    if isinstance(value, SecretRef):
        return {value.kind.value: value.argument[0]}
    if isinstance(value, bool | int):
        return value
    if isinstance(value, Duration):
        return f"{value.milliseconds}ms"
    if name == RECIPIENTS and isinstance(value, str):
        return [escape(address) for address in value.split(", ")]
    return str(value) if ".token." in name else escape(str(value))


_STEERING = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_CHARACTERS = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=_STEERING)
texts = st.text(_CHARACTERS, min_size=1, max_size=20).filter(lambda text: text.strip())
_words = st.text(string.ascii_lowercase, min_size=2, max_size=5)
_names = st.lists(_words, min_size=2, max_size=3).map(".".join)
_locals = st.text(string.ascii_lowercase + string.digits + "!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=20)
addresses = st.builds("{}@{}".format, _locals, _names)
hosts = (
    st.builds("{}{}".format, _words, st.text(string.ascii_lowercase + string.digits, max_size=8))
    | _names
    | st.just("::1")
)
durations = st.integers(1, 3_600_000).map(Duration)
extras = st.dictionaries(texts.map("extra.x-{}".format), texts | st.just(ABSENT), max_size=3)
_SECRETS = {"relay.auth.password": "SMTP_PASSWORD", "relay.auth.token.client_secret": "SMTP_CLIENT_SECRET"}


def _reference(name: str) -> st.SearchStrategy[SecretRef]:
    vault = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
    return st.just(SecretRef(SecretKind.ENV, (_SECRETS[name],))) | vault.map(
        lambda key: SecretRef(SecretKind.KEYCLOAK_VAULT, (key,))
    )


_logins = st.one_of(
    st.just({"relay.auth": Login.NONE}),
    st.fixed_dictionaries(
        {
            "relay.auth": st.just(Login.BASIC),
            "relay.auth.username": texts,
            "relay.auth.password": _reference("relay.auth.password"),
        }
    ),
    st.fixed_dictionaries(
        {
            "relay.auth": st.just(Login.TOKEN),
            "relay.auth.username": texts,
            "relay.auth.token.url": hosts.filter(lambda host: ":" not in host).map("https://{}/token".format),
            "relay.auth.token.client_id": texts,
            "relay.auth.token.client_secret": _reference("relay.auth.token.client_secret"),
        },
        optional={"relay.auth.token.scope": texts},
    ),
)
_plain = st.fixed_dictionaries(
    {
        "sender.address": addresses,
        "relay.host": hosts,
        "relay.security": st.sampled_from(Security),
        "relay.port": st.integers(1, 65535) | st.sampled_from(list(DEFAULT_PORTS.values())),
    },
    optional={
        "sender.name": texts,
        "envelope_from": addresses,
        "relay.timeouts.connect": durations,
        "relay.timeouts.read": durations,
        "relay.timeouts.write": durations,
        "relay.utf8": st.booleans(),
        "relay.debug": st.booleans(),
    },
)
_reply_to: st.SearchStrategy[FieldMap] = st.just({}) | st.fixed_dictionaries(
    {"reply_to.address": addresses}, optional={"reply_to.name": texts}
)  # fmt: skip
field_maps: st.SearchStrategy[FieldMap] = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()}, _plain, _reply_to, _logins, extras
)
"""Every field map that a spec's entry can come to."""

_odd = st.sampled_from(
    ["", "true", "false", "TRUE", " ", "25", "587", "0587", "٣", "abc", "-1", "none", "basic", "token", "{realm}", "no",
     MASK, "${vault.x}", "${vault.}", "${vault.a b}", "a@b.example", "no@", "1e3", "2024-01-01", "a: b # c", "{" * 140,
     "https://x/y", "http://x", "::1", "0:0::1", "smtp.example.com", "x\r\ny", "\u202e", "10s", "3600001", "y" * 255]
)  # fmt: skip
junk: st.SearchStrategy[dict[str, str]] = st.dictionaries(st.sampled_from(NATIVES), _odd | texts, max_size=12)
"""Attributes with anything in them that a server's database takes."""


def stored(fields: FieldMap) -> dict[str, str]:
    """Return the attributes a server stores for the fields, with the secrets of ``ENVIRON``."""
    values = {
        value: Secret(ENVIRON[value.argument[0]])
        for value in fields.values()
        if isinstance(value, SecretRef) and value.kind is SecretKind.ENV
    }
    encoded = KEYCLOAK.encode(fields, values)
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in encoded.items()}


live: st.SearchStrategy[dict[str, str]] = st.one_of(
    field_maps.map(stored), junk, st.builds(lambda fields, odd: stored(fields) | odd, field_maps, junk)
)
"""What a server may hold: sound settings, junk, and sound settings with junk in them."""
