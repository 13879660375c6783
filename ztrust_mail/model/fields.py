"""The fields of a spec and the types of their values, in which specs and servers are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeGuard

from ztrust_mail.core.secret import SecretKind, SecretRef


def is_within(name: str, group: str) -> bool:
    """Tell whether a field is the group itself or belongs to it.

    An extra attribute or a localised text is not a group, even if its name contains dots.
    """
    is_leaf = group.startswith(f"{EXTRA}.") or message_of(group)
    return name == group or (name.startswith(f"{group}.") and not is_leaf)


def in_token(name: str) -> bool:
    """Tell whether a field belongs to the token login, which is inherited as a whole."""
    return is_within(name, TOKEN)


class Security(StrEnum):
    """How the connection to the relay is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class Login(StrEnum):
    """How a realm logs in to its relay."""

    BASIC = "basic"
    TOKEN = "token"
    NONE = "none"


@dataclass(frozen=True, order=True)
class Duration:
    """A span of time in milliseconds."""

    milliseconds: int

    def __str__(self) -> str:
        whole, rest = divmod(self.milliseconds, 1000)
        return f"{self.milliseconds}ms" if rest else f"{whole}s"


@dataclass(frozen=True)
class Masked:
    """A secret that the server stores and masks."""

    def __str__(self) -> str:
        return "(set, hidden by the server)"


@dataclass(frozen=True)
class Raw:
    """Live text that is not a valid value of its field; it differs from every value in a spec."""

    text: str

    def __str__(self) -> str:
        return self.text


class Absent(Enum):
    """The value of a field or attribute that must be absent."""

    ABSENT = "absent"

    def __str__(self) -> str:
        return "(not set)"


ABSENT = Absent.ABSENT

FieldValue = str | bool | int | Security | Login | Duration | SecretRef | Masked | Raw | Absent
FieldMap = Mapping[str, FieldValue]
"""The canonical form of a realm's e-mail settings: field → value. A missing field is unspecified."""


def is_resolvable(value: FieldValue | None) -> TypeGuard[SecretRef]:
    """Tell whether a value is a secret reference that is resolved here; the value in a vault stays on the server."""
    return isinstance(value, SecretRef) and value.kind is not SecretKind.KEYCLOAK_VAULT


def text_of(fields: FieldMap, name: str) -> str:
    """Return a field's text, empty without one."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def masked_fields(fields: FieldMap) -> tuple[str, ...]:
    """Return the fields that hold a secret which the server masks."""
    return tuple(name for name, value in fields.items() if isinstance(value, Masked))


class Kind(Enum):
    """The kind of a field's value, which decides how it is checked."""

    ADDRESS = "an e-mail address"
    TEXT = "text"
    HOST = "a host name or IP address"
    PORT = "a port"
    SECURITY = "a security mode"
    LOGIN = "a login mode"
    SECRET = "a secret reference"
    URL = "an https URL"
    DURATION = "a duration"
    BOOLEAN = "true or false"
    ADDRESSES = "a list of e-mail addresses"
    THEME = "the name of a theme"
    SUBJECT = "a mail's subject"
    MESSAGE = "a message text"


@dataclass(frozen=True)
class Field:
    """One row of the spec's field table."""

    name: str
    kind: Kind
    mandatory: bool = False
    placeholders: bool = False

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to this field in an entry."""
        return tuple(self.name.split("."))

    @property
    def secret(self) -> bool:
        """Whether the value must never be shown."""
        return self.kind is Kind.SECRET


SENDER_ADDRESS, SENDER_NAME = "sender.address", "sender.name"
REPLY_TO_ADDRESS, REPLY_TO_NAME = "reply_to.address", "reply_to.name"
ENVELOPE_FROM = "envelope_from"
HOST, PORT, SECURITY = "relay.host", "relay.port", "relay.security"
LOGIN, USERNAME, PASSWORD, TOKEN = (
    "relay.auth",
    "relay.auth.username",
    "relay.auth.password",
    "relay.auth.token",
)
TOKEN_URL, TOKEN_CLIENT_ID, TOKEN_CLIENT_SECRET, TOKEN_SCOPE = (
    f"{TOKEN}.url",
    f"{TOKEN}.client_id",
    f"{TOKEN}.client_secret",
    f"{TOKEN}.scope",
)
CONNECT_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT = (
    "relay.timeouts.connect",
    "relay.timeouts.read",
    "relay.timeouts.write",
)
UTF8, DEBUG = "relay.utf8", "relay.debug"
PRESET = "relay.preset"  # no field: a spec's short form of host, port and security
EXPIRES = f"{LOGIN}.expires"  # not a field: only for lint
EXTRA = "extra"
NOTIFY, RECIPIENTS, ALERTS = "notify", "notify.recipients", "notify.alerts"
TEMPLATES, THEME, MESSAGES = "templates", "templates.theme", "templates.messages"

_ROWS = (
    Field(SENDER_ADDRESS, Kind.ADDRESS, mandatory=True, placeholders=True),
    Field(SENDER_NAME, Kind.TEXT, placeholders=True),
    Field(REPLY_TO_ADDRESS, Kind.ADDRESS, placeholders=True),
    Field(REPLY_TO_NAME, Kind.TEXT, placeholders=True),
    Field(ENVELOPE_FROM, Kind.ADDRESS, placeholders=True),
    Field(HOST, Kind.HOST, mandatory=True, placeholders=True),
    Field(PORT, Kind.PORT),
    Field(SECURITY, Kind.SECURITY),
    Field(USERNAME, Kind.TEXT, placeholders=True),
    Field(PASSWORD, Kind.SECRET, placeholders=True),
    Field(TOKEN_URL, Kind.URL),
    Field(TOKEN_CLIENT_ID, Kind.TEXT),
    Field(TOKEN_CLIENT_SECRET, Kind.SECRET, placeholders=True),
    Field(TOKEN_SCOPE, Kind.TEXT),
    Field(CONNECT_TIMEOUT, Kind.DURATION),
    Field(READ_TIMEOUT, Kind.DURATION),
    Field(WRITE_TIMEOUT, Kind.DURATION),
    Field(UTF8, Kind.BOOLEAN),
    Field(DEBUG, Kind.BOOLEAN),
    Field(RECIPIENTS, Kind.ADDRESSES, placeholders=True),
    Field(ALERTS, Kind.BOOLEAN),
    Field(THEME, Kind.THEME, placeholders=True),
)

FIELDS: Mapping[str, Field] = {row.name: row for row in _ROWS}
"""Every field that a spec can set, in the order of reports, without ``templates.messages.LOCALE.KEY`` and
``extra.NAME``.
"""

LOGIN_FIELDS: Mapping[Login, tuple[str, ...]] = {
    Login.NONE: (),
    Login.BASIC: (USERNAME, PASSWORD),
    Login.TOKEN: (USERNAME, TOKEN_URL, TOKEN_CLIENT_ID, TOKEN_CLIENT_SECRET),
}
"""The fields that each mode of login requires. A token login may also have ``TOKEN_SCOPE``."""

LOGIN_SECRETS: Mapping[Login, str] = {Login.BASIC: PASSWORD, Login.TOKEN: TOKEN_CLIENT_SECRET}
"""The secret of each mode of login."""

DEFAULT_SECURITY = Security.STARTTLS
DEFAULT_PORTS: Mapping[Security, int] = {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}


def extra_field(attribute: str) -> str:
    """Return the field name of an extra attribute."""
    return f"{EXTRA}.{attribute}"


def message_field(locale: str, key: str) -> str:
    """Return the field name of a localised text; a key may contain dots, a locale may not."""
    return f"{MESSAGES}.{locale}.{key}"


def message_of(name: str) -> tuple[str, str] | None:
    """Return the locale and the key of a localised text's field, None for any other field or a group."""
    if not name.startswith(f"{MESSAGES}."):
        return None
    locale, _, key = name.removeprefix(f"{MESSAGES}.").partition(".")
    return (locale, key) if locale and key else None


def is_removable(name: str) -> bool:
    """Tell whether a field is unmanaged unless the spec names it, and ``false`` removes it."""
    return name == THEME or message_of(name) is not None or name.partition(".")[0] == EXTRA


def is_critical(name: str) -> bool:
    """Tell whether a change of a field can steal passwords or forge mail."""
    return name in (HOST, PORT, SECURITY, LOGIN, SENDER_ADDRESS) or name.startswith(f"{LOGIN}.")


def field_of(name: str) -> Field:
    """Return the row of a field; every ``extra.NAME`` is text.

    A localised text has no placeholders: its braces are the server's own.
    """
    if row := FIELDS.get(name):
        return row
    if message := message_of(name):
        return Field(name, Kind.SUBJECT if message[1].endswith("Subject") else Kind.MESSAGE)
    return Field(name, Kind.TEXT, placeholders=True)
