"""Keycloak's ``smtpServer`` attributes.

Names and meanings are measured on 16.1.1, 18.0.2 and 26.x; the versions of ``since`` are from the product's release
notes.
"""

from dataclasses import replace

from ztrust_mail.dialects.codecs import AuthAndType, Milliseconds, Port, SecretText, StartTlsAndSsl, Switch, Text
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import TEMPLATE_PREFIX, Row
from ztrust_mail.model.fields import (
    CONNECT_TIMEOUT,
    DEBUG,
    HOST,
    LOGIN,
    PASSWORD,
    PORT,
    READ_TIMEOUT,
    REPLY_TO_ADDRESS,
    REPLY_TO_NAME,
    SECURITY,
    SENDER_ADDRESS,
    SENDER_NAME,
    THEME,
    TOKEN_CLIENT_ID,
    TOKEN_CLIENT_SECRET,
    TOKEN_SCOPE,
    TOKEN_URL,
    USERNAME,
    UTF8,
    WRITE_TIMEOUT,
    Login,
    Security,
)

_TOKEN = ((26, 2, 0),)
_UTF8 = ((26, 2, 8), (26, 3, 3), (26, 4, 0))
_TIMEOUTS = ((26, 5, 0),)

MASK = "**********"
SMTP_SERVER, EMAIL_THEME = "smtpServer", "emailTheme"
"""The keys of a realm that hold its e-mail attributes and its e-mail theme."""

LOCALIZATION = "localization"
"""The path of a realm's own localised texts, below that of the realm."""


_TABLE = Dialect(
    name="keycloak",
    title="Keycloak",
    mask=MASK,
    page="Realm settings → Email",
    disabled_attributes={},
    rows=(
        Row(SENDER_ADDRESS, ("from",), Text(), mandatory=True),
        Row(SENDER_NAME, ("fromDisplayName",), Text()),
        Row(REPLY_TO_ADDRESS, ("replyTo",), Text()),
        Row(REPLY_TO_NAME, ("replyToDisplayName",), Text()),
        Row("envelope_from", ("envelopeFrom",), Text()),
        Row(HOST, ("host",), Text(), mandatory=True),
        Row(PORT, ("port",), Port(), absent=25),
        Row(SECURITY, ("starttls", "ssl"), StartTlsAndSsl(), absent=Security.NONE),
        Row(LOGIN, ("auth", "authType"), AuthAndType(), absent=Login.NONE),
        Row(USERNAME, ("user",), Text()),
        Row(PASSWORD, ("password",), SecretText()),
        Row(TOKEN_URL, ("authTokenUrl",), Text(), since=_TOKEN),
        Row(TOKEN_CLIENT_ID, ("authTokenClientId",), Text(), since=_TOKEN),
        Row(
            TOKEN_CLIENT_SECRET, ("authTokenClientSecret",), SecretText(), since=_TOKEN,),
        Row(TOKEN_SCOPE, ("authTokenScope",), Text(), since=_TOKEN),
        Row(CONNECT_TIMEOUT, ("connectionTimeout",), Milliseconds(), since=_TIMEOUTS),
        Row(READ_TIMEOUT, ("timeout",), Milliseconds(), since=_TIMEOUTS),
        Row(WRITE_TIMEOUT, ("writeTimeout",), Milliseconds(), since=_TIMEOUTS),
        Row(UTF8, ("allowutf8",), Switch(), absent=False, since=_UTF8),
        Row(DEBUG, ("debug",), Switch(), absent=False),
    ),
)  # fmt: skip


KEYCLOAK = _TABLE.child(
    "keycloak",
    "Keycloak",
    labels={
        "from": "From",
        "fromDisplayName": "From display name",
        "replyTo": "Reply to",
        "replyToDisplayName": "Reply to display name",
        "envelopeFrom": "Envelope from",
        "host": "Host",
        "port": "Port",
        "ssl": "Enable SSL",
        "starttls": "Enable StartTLS",
        "auth": "Authentication",
        "user": "Username",
        "password": "Password",
    },
)
"""The table with the labels of Keycloak's admin console."""


def with_templates(dialect: Dialect) -> Dialect:
    """Return the table with rows for the templates of a realm: its e-mail theme and its own localised texts."""
    theme = Row(THEME, (f"{TEMPLATE_PREFIX}{EMAIL_THEME}",), Text())
    return replace(dialect, rows=(*dialect.rows, theme), text_prefix=f"{TEMPLATE_PREFIX}{LOCALIZATION}/")
