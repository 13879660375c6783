"""A relay with a login, as a realm's settings name it; equal ones are probed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Finding, error
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.model import fields
from ztrust_mail.model.fields import FieldMap, Login, Security, text_of

if TYPE_CHECKING:
    from ztrust_mail.dialects.dialect import Dialect
    from ztrust_mail.dialects.row import Attributes

MAX_PORT = 65_535


@dataclass(frozen=True)
class Relay:
    """Host, port, encryption and login. ``secret`` is None if there is no reference to test the login with.

    ``no_secret`` says why there is none, empty for a realm without a login.
    """

    host: str
    port: int
    security: Security
    login: Login = Login.NONE
    username: str = ""
    secret: SecretRef | None = None
    no_secret: str = ""
    token_url: str = ""
    token_client_id: str = ""
    token_scope: str = ""

    @property
    def address(self) -> str:
        """Host and port, as they are written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """Return ``smtp.example.com:587 (starttls, login apikey)``."""
        if self.login is Login.NONE:
            return f"{self.address} ({self.security.value})"
        kind = "token login" if self.login is Login.TOKEN else "login"
        return f"{self.address} ({self.security.value}, {kind} {self.username})"


def settings_of(dialect: Dialect, attributes: Attributes) -> FieldMap:
    """Return stored settings as fields, with the product's defaults for absent ones."""
    settings = dialect.decode(attributes)
    names = (fields.PORT, fields.SECURITY, fields.LOGIN)
    implied = {name: dialect.effective_value(name, settings.get(name)) for name in names}
    return {**settings, **{name: value for name, value in implied.items() if value is not None}}


MASKED = "the server masks the stored secret; --spec SPEC names where it comes from"


def relay_of(realm: str, settings: FieldMap) -> Relay | Finding:
    """Return the relay of a realm's complete settings, or why there is none to probe."""
    host, port, security = settings.get(fields.HOST), settings.get(fields.PORT), settings.get(fields.SECURITY)
    if not isinstance(host, str) or not host:
        return _unusable(realm, fields.HOST, "names no host")
    if not isinstance(port, int) or not 0 < port <= MAX_PORT:
        return _unusable(realm, fields.PORT, f"is no port from 1 to {MAX_PORT:,}")
    if not isinstance(security, Security):
        return _unusable(realm, fields.SECURITY, "is an unusual combination of ssl and starttls")
    login = settings.get(fields.LOGIN, Login.NONE)
    if not isinstance(login, Login) or login is Login.NONE:
        return Relay(host.lower(), port, security)
    secret = settings.get(fields.LOGIN_SECRETS[login])
    reference = secret if isinstance(secret, SecretRef) else None
    return Relay(
        host.lower(), port, security, login, text_of(settings, fields.USERNAME),
        reference, "" if reference else MASKED, text_of(settings, fields.TOKEN_URL),
        text_of(settings, fields.TOKEN_CLIENT_ID), text_of(settings, fields.TOKEN_SCOPE),
    )  # fmt: skip


def sender_of(settings: FieldMap) -> str:
    """Return the envelope sender of a realm's settings, empty without one."""
    return text_of(settings, fields.ENVELOPE_FROM) or text_of(settings, fields.SENDER_ADDRESS)


def _unusable(realm: str, field: str, problem: str) -> Finding:
    message = f"the relay cannot be probed: `{field}` {problem}"
    return error("relay-settings", message, f"correct `{field}`", realm=realm, field=field)
