"""Keycloak's ``smtpServer`` attributes.

Names and meanings are measured on 16.1.1, 18.0.2 and 26.x; the versions of ``since`` are from the product's release
notes.
"""

from dataclasses import replace

from ztrust_mail.dialects.codecs import AuthAndType, Milliseconds, Port, SecretText, StartTlsAndSsl, Switch, Text
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import TEMPLATE_PREFIX, Row
from ztrust_mail.model import fields

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
        Row(fields.SENDER_ADDRESS, ("from",), Text(), mandatory=True),
        Row(fields.SENDER_NAME, ("fromDisplayName",), Text()),
        Row(fields.REPLY_TO_ADDRESS, ("replyTo",), Text()),
        Row(fields.REPLY_TO_NAME, ("replyToDisplayName",), Text()),
        Row(fields.ENVELOPE_FROM, ("envelopeFrom",), Text()),
        Row(fields.HOST, ("host",), Text(), mandatory=True),
        Row(fields.PORT, ("port",), Port(), absent=25),
        Row(fields.SECURITY, ("starttls", "ssl"), StartTlsAndSsl(), absent=fields.Security.NONE),
        Row(fields.LOGIN, ("auth", "authType"), AuthAndType(), absent=fields.Login.NONE),
        Row(fields.USERNAME, ("user",), Text()),
        Row(fields.PASSWORD, ("password",), SecretText()),
        Row(fields.TOKEN_URL, ("authTokenUrl",), Text(), since=_TOKEN),
        Row(fields.TOKEN_CLIENT_ID, ("authTokenClientId",), Text(), since=_TOKEN),
        Row(
            fields.TOKEN_CLIENT_SECRET, ("authTokenClientSecret",), SecretText(), since=_TOKEN,),
        Row(fields.TOKEN_SCOPE, ("authTokenScope",), Text(), since=_TOKEN),
        Row(fields.CONNECT_TIMEOUT, ("connectionTimeout",), Milliseconds(), since=_TIMEOUTS),
        Row(fields.READ_TIMEOUT, ("timeout",), Milliseconds(), since=_TIMEOUTS),
        Row(fields.WRITE_TIMEOUT, ("writeTimeout",), Milliseconds(), since=_TIMEOUTS),
        Row(fields.UTF8, ("allowutf8",), Switch(), absent=False, since=_UTF8),
        Row(fields.DEBUG, ("debug",), Switch(), absent=False),
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
    theme = Row(fields.THEME, (f"{TEMPLATE_PREFIX}{EMAIL_THEME}",), Text())
    return replace(dialect, rows=(*dialect.rows, theme), text_prefix=f"{TEMPLATE_PREFIX}{LOCALIZATION}/")
