"""The spec as typed dicts, so that a type checker finds a misspelt key and a wrong type.

Made of ``schemas/spec.schema.json`` by ``tests/tools/make_spec_types.py``; do not edit.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class SenderDict(TypedDict, total=False):
    """Who the mail comes from."""

    address: str
    name: str | Literal[False]


class ReplyToDict(TypedDict, total=False):
    """Where replies go; without it they go to the sender."""

    address: str
    name: str | Literal[False]


class SecretDict(TypedDict, total=False):
    """Where a secret comes from."""

    env: str
    file: str
    command: Sequence[str]
    keyring: Sequence[str]
    keycloak_vault: str


class TokenDict(TypedDict, total=False):
    """Login with an OAuth 2.0 access token (XOAUTH2) fetched by client credentials."""

    url: str
    client_id: str
    client_secret: SecretDict
    scope: str


class AuthDict(TypedDict, total=False):
    """How the realm logs in at the relay: username with password, or username with token."""

    username: str
    password: SecretDict
    expires: str | Literal[False]
    token: TokenDict


class TimeoutsDict(TypedDict, total=False):
    """How long the identity server waits for the relay."""

    connect: str | Literal[False]
    read: str | Literal[False]
    write: str | Literal[False]


class RelayDict(TypedDict, total=False):
    """The SMTP server that takes the realm's mail."""

    preset: str
    host: str
    port: int | Literal[False]
    security: Literal["starttls", "tls", "none"]
    auth: AuthDict | Literal[False]
    timeouts: TimeoutsDict | Literal[False]
    utf8: bool
    debug: bool


class NotifyDict(TypedDict, total=False):
    """Who gets notifications by mail, in products that have them."""

    recipients: Sequence[str] | Literal[False]
    alerts: bool


class TemplatesDict(TypedDict, total=False):
    """How the mails of a realm look and what they say."""

    theme: str | Literal[False]
    messages: Mapping[str, Mapping[str, str | Literal[False]] | Literal[False]] | Literal[False]


class DefaultsDict(TypedDict, total=False):
    """Settings every entry starts from."""

    sender: SenderDict
    reply_to: ReplyToDict | Literal[False]
    envelope_from: str | Literal[False]
    relay: RelayDict
    notify: NotifyDict | Literal[False]
    templates: TemplatesDict | Literal[False]
    extra: Mapping[str, str | Literal[False]]
    vars: Mapping[str, str]


class ExpectDict(TypedDict, total=False):
    """What a glob must match."""

    min: int


class EntryDict(TypedDict, total=False):
    """The settings of one realm, or of every realm that a glob matches."""

    sender: SenderDict
    reply_to: ReplyToDict | Literal[False]
    envelope_from: str | Literal[False]
    relay: RelayDict
    notify: NotifyDict | Literal[False]
    templates: TemplatesDict | Literal[False]
    extra: Mapping[str, str | Literal[False]]
    vars: Mapping[str, str]
    servers: str | Sequence[str] | Mapping[str, str | Sequence[str]]
    overlay: bool
    disabled: bool
    expect: ExpectDict


class SpecDict(TypedDict, total=False):
    """E-mail settings of an identity server's realms."""

    version: Literal[1]
    server: str | Sequence[str]
    servers: str | Sequence[str] | Mapping[str, str | Sequence[str]]
    overlay: bool
    defaults: DefaultsDict
    realms: Mapping[str, EntryDict]
