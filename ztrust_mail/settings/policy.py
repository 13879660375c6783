"""The policy: limits on specs, read from trusted settings, which the author of a spec cannot change."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.secret import SecretKind
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.settings.inputs import Keys, Table, check_keys

POLICY_KEYS: Keys = {
    "relays": list,
    "token_hosts": list,
    "sender_domains": list,
    "reply_domains": list,
    "minimum_security": str,
    "secrets": dict,
    "templates": bool,
}
SECRET_KEYS: Keys = {kind.value: list for kind in SecretKind}
SECURITY_WORDS = ("starttls", "tls")

_LABEL = "[A-Za-z0-9_-]+"
IPV4_PATTERN = r"[0-9*?]{1,3}(\.[0-9*?]{1,3}){3}"
"""Matches addresses only: 10.0.0.* must not allow 10.0.0.example.com."""
HOST_PATTERN = (
    r"^(\*"
    rf"|{IPV4_PATTERN}"
    r"|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*"
    rf"|(([A-Za-z0-9_*?-]+\.)*(\*|{_LABEL})\.)?{_LABEL})$"
)
"""``*`` alone, an IPv4 address with ``*`` and ``?`` in it, an IPv6 address, or a name.

The end of a name must be fixed, as it tells the owner: ``*example.com`` would allow evilexample.com, and ``smtp.*``
any domain.
"""


@dataclass(frozen=True)
class Policy:
    """The limits of the settings on specs.

    A list that is None allows everything, an empty list nothing. Patterns of hosts and domains are in lower case.
    ``secrets`` holds the allowed prefixes for each kind of reference; a missing kind is forbidden. ``templates`` tells
    whether a spec may set a theme and texts. ``path`` is the settings file.
    """

    relays: tuple[str, ...] | None = None
    token_hosts: tuple[str, ...] | None = None
    sender_domains: tuple[str, ...] | None = None
    reply_domains: tuple[str, ...] | None = None
    minimum_security: str = ""
    secrets: Mapping[SecretKind, tuple[str, ...]] | None = None
    templates: bool = True
    path: str = ""


def read_policy(path: Path, table: Table) -> Policy:
    """Return the policy in the table ``[policy]`` of a settings file. Raises :class:`ConfigError`."""
    check_keys(path, "policy.", table, POLICY_KEYS)
    return Policy(
        relays=_patterns(path, table, "relays"),
        token_hosts=_patterns(path, table, "token_hosts"),
        sender_domains=_patterns(path, table, "sender_domains"),
        reply_domains=_patterns(path, table, "reply_domains"),
        minimum_security=_security(path, table),
        secrets=_secrets(path, cast("Table", table["secrets"])) if "secrets" in table else None,
        templates=table.get("templates") is not False,
        path=str(path),
    )


def _patterns(path: Path, table: Table, key: str) -> tuple[str, ...] | None:
    if key not in table:
        return None
    return tuple(_pattern(path, key, text) for text in cast("list[str]", table[key]))


def _pattern(path: Path, key: str, text: str) -> str:
    try:
        if not re.fullmatch(HOST_PATTERN, text):
            raise ValueError
        return str(ipaddress.ip_address(text)) if ":" in text else text.lower()
    except ValueError:
        message = f"{path}: {quoted(f'policy.{key}')} contains {quoted(text)}, which is not a pattern of hosts"
        hint = "write smtp.example.com or *.example.com, without scheme, port, path, @ or a wildcard at the end"
        raise ConfigError(message, hint) from None


def _security(path: Path, table: Table) -> str:
    word = str(table.get("minimum_security", ""))
    if word and word not in SECURITY_WORDS:
        hint = did_you_mean(word, SECURITY_WORDS) or "write starttls or tls, or leave it out"
        raise ConfigError(f"{path}: `policy.minimum_security` is {quoted(word)}", hint)
    return word


def _secrets(path: Path, table: Table) -> Mapping[SecretKind, tuple[str, ...]]:
    check_keys(path, "policy.secrets.", table, SECRET_KEYS, empty_items=True)
    prefixes = {SecretKind(kind): tuple(cast("list[str]", texts)) for kind, texts in table.items()}
    for kind, texts in prefixes.items():
        if bad := [text for text in texts if not text.isprintable()]:
            message = f"{path}: {quoted(f'policy.secrets.{kind}')} contains {quoted(bad[0])} with a control character"
            raise ConfigError(message, "remove it")
    if SecretKind.FILE in prefixes:
        folder = path.absolute().parent
        real = (os.path.realpath(folder / text) if text else "" for text in prefixes[SecretKind.FILE])
        prefixes[SecretKind.FILE] = tuple(real)
    return prefixes
