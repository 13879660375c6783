"""The products as tests know them: their own samples, what each cannot hold, and one that does not exist."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st
from support.mail_settings import field_maps

from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.codecs import (
    AddressAsAccount,
    Codec,
    HiddenText,
    LoginIfGiven,
    Milliseconds,
    Port,
    SecurityByPort,
    Text,
)
from ztrust_mail.dialects.dialect import BodyFormat, Dialect
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.row import Attributes, Row, no_clear_text
from ztrust_mail.model.fields import (
    ABSENT,
    LOGIN,
    PASSWORD,
    PORT,
    SECURITY,
    USERNAME,
    FieldMap,
    FieldValue,
    Login,
    Masked,
    Security,
)

REF = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
VAULT = SecretRef(SecretKind.KEYCLOAK_VAULT, ("smtp",))

# A product that does not exist: nothing but this table is written for it.
PIGEON = Dialect(
    name="pigeon",
    title="Pigeon",
    mask="<hidden>",
    extras=False,
    rows=(
        Row("relay.host", ("loft",), Text(), label="Loft", mandatory=True),
        Row("relay.port", ("hatch",), Port(), label="Hatch", default=2525),
        Row("relay.security", ("armour",), SecurityByPort("steel", "feathers"), reads=("hatch",), label="Armour"),
        Row("relay.auth", (), LoginIfGiven(), reads=("ring",), absent=Login.NONE),
        Row("relay.auth.username", ("ring",), Text(), label="Ring"),
        Row("relay.auth.password", ("coo",), HiddenText(), label="Coo"),
        Row("envelope_from", ("home",), Text(), label="Home"),
        Row("sender.address", ("from",), Text(), label="From", mandatory=True),
        Row("relay.timeouts.read", ("patience",), Milliseconds(), label="Patience"),
    ),
    constraints=(no_clear_text("Armour", "steel"),),
)
ALL: Mapping[str, Dialect] = {**DIALECTS, "pigeon": PIGEON}

_by_name = st.booleans()
moved_maps: st.SearchStrategy[FieldMap] = st.builds(
    lambda fields, same, port: (
        dict(fields)
        | ({"relay.auth.username": fields["sender.address"]} if same and "relay.auth.username" in fields else {})
        | ({"relay.port": port} if port else {})
    ),
    field_maps,
    _by_name,
    st.sampled_from([None, 465, 587]),
)
"""Whole settings, often with the sender for a user and a usual port."""


def off(value: FieldValue) -> bool:
    """Whether a product without such a field does just the same."""
    return value is ABSENT or value is False or value is Login.NONE


NO_PLACE = {
    "oneaccess": ("reply_to.", "envelope_from", "relay.timeouts.", "extra."),
    "omnibyte": ("reply_to.", "envelope_from", "relay.timeouts.", "extra.", "sender.name"),
    "digitanium": ("relay.timeouts.", "extra."),
    "uipath": ("reply_to.", "envelope_from", "relay.timeouts.", "extra."),
    "pigeon": ("reply_to.", "relay.timeouts.connect", "relay.timeouts.write", "extra.", "sender.name"),
}
"""The beginnings of the fields that a product has no place for, written by hand and not taken from its table."""


def _is_written_by(dialect: Dialect, field: str, codec: type[Codec]) -> bool:
    row = dialect.row(field)
    return row is not None and isinstance(row.codec, codec)


def lost_by(product: str, fields: FieldMap) -> set[str]:
    """Say what a product cannot hold: by hand what it has no place for, the rest by how its table writes it."""
    if product in ("keycloak", "ztrust"):
        return set()
    assert product in NO_PLACE, f"tests/support/products.py: NO_PLACE has no line for {product}"
    no_place, dialect = NO_PLACE[product], ALL[product]
    has_account = _is_written_by(dialect, USERNAME, AddressAsAccount)
    switches = ("relay.utf8", "relay.debug")
    lost = {n for n, v in fields.items() if n.startswith((*no_place, *switches)) and not off(v)}
    login = {name for name in fields if name == "relay.auth" or name.startswith("relay.auth.")}
    security, port = fields["relay.security"], fields["relay.port"]
    by_port = _is_written_by(dialect, SECURITY, SecurityByPort)
    if by_port and security is not Security.NONE and (security is Security.TLS) is not (port == 465):
        lost.add("relay.security")
    if fields["relay.auth"] is Login.TOKEN:
        return lost | login
    in_vault = getattr(fields.get("relay.auth.password"), "kind", None) is SecretKind.KEYCLOAK_VAULT
    if in_vault and has_account:  # no code, no account
        return lost | login
    if in_vault:
        lost.add("relay.auth.password")
    if has_account and fields.get("relay.auth.username") not in (None, fields["sender.address"]):
        lost.add("relay.auth.username")
    return lost


OFFICE_365 = {
    "Connection Type": "SMTP",
    "Username": "no-reply@acme.example",
    "SMTP Server": "smtp.office365.com",
    "Password": "x",
    "Port Number": "587",
    "From Email": "no-reply@acme.example",
    "Enable SSL": "on",
}
GOOGLE = {
    "Email.Smtp.UseDefaultCredentials": "false",
    "Email.Smtp.EnableSsl": "true",
    "Email.Smtp.Host": "smtp.gmail.com",
    "Email.Smtp.Port": "587",
    "Email.Smtp.UserName": "robot@acme.example",
    "Email.Smtp.Password": "x",
    "Email.Smtp.FromEmail": "robot@acme.example",
    "Email.Smtp.FromDisplayName": "Robot",
}
KOBIL = {
    "replyToDisplayName": "Receiver",
    "starttls": "true",
    "port": "587",
    "host": "smtp.gmail.com",
    "replyTo": "reply@acme.example",
    "from": "from@acme.example",
    "fromDisplayName": "From KC Test team",
    "envelopeFrom": "",
    "ssl": "false",
    "user": "from@acme.example",
    "password": "*******",
}
HUAWEI = {
    "enable switch": "on",
    "SMTP HOST": "smtp.example.com",
    "SMTP Port": "465",
    "Email Address": "no-reply@acme.example",
    "Sender Name": "Acme",
    "Authorization Code": "x",
    "Security type": "TLS",
}
TAB = {
    "from": "no-reply@acme.example",
    "fromDisplayName": "Acme",
    "replyTo": "help@acme.example",
    "replyToDisplayName": "Help",
    "envelopeFrom": "bounces@acme.example",
    "host": "smtp.example.com",
    "port": "465",
    "ssl": "true",
    "starttls": "false",
    "auth": "true",
    "authType": "basic",
    "user": "no-reply@acme.example",
    "password": "x",
}
BASIC_LOGIN: FieldMap = {"relay.auth": Login.BASIC, "relay.auth.password": Masked()}
SAMPLES: Mapping[str, tuple[Attributes, FieldMap]] = {
    "omnibyte": (
        OFFICE_365,
        {
            **BASIC_LOGIN,
            "relay.auth.username": "no-reply@acme.example",
            "relay.host": "smtp.office365.com",
            "relay.port": 587,
            "relay.security": Security.STARTTLS,
            "sender.address": "no-reply@acme.example",
        },
    ),
    "uipath": (
        GOOGLE,
        {
            **BASIC_LOGIN,
            "relay.auth.username": "robot@acme.example",
            "relay.host": "smtp.gmail.com",
            "relay.port": 587,
            "relay.security": Security.STARTTLS,
            "sender.address": "robot@acme.example",
            "sender.name": "Robot",
        },
    ),
    "digitanium": (
        KOBIL,
        {
            **BASIC_LOGIN,
            "relay.auth.username": "from@acme.example",
            "relay.host": "smtp.gmail.com",
            "relay.port": 587,
            "relay.security": Security.STARTTLS,
            "reply_to.address": "reply@acme.example",
            "reply_to.name": "Receiver",
            "sender.address": "from@acme.example",
            "sender.name": "From KC Test team",
        },
    ),
    "oneaccess": (
        HUAWEI,
        {
            **BASIC_LOGIN,
            "relay.auth.username": "no-reply@acme.example",
            "relay.host": "smtp.example.com",
            "relay.port": 465,
            "relay.security": Security.TLS,
            "sender.address": "no-reply@acme.example",
            "sender.name": "Acme",
        },
    ),
    "ztrust": (
        TAB,
        {
            **BASIC_LOGIN,
            "relay.auth.username": "no-reply@acme.example",
            "relay.host": "smtp.example.com",
            "relay.port": 465,
            "relay.security": Security.TLS,
            "reply_to.address": "help@acme.example",
            "reply_to.name": "Help",
            "envelope_from": "bounces@acme.example",
            "sender.address": "no-reply@acme.example",
            "sender.name": "Acme",
        },
    ),
}

_YAML = {"spec": ".yaml", "ansible": ".yml", "keycloak-config-cli": ".yaml", "kubernetes": ".yaml"}
FORMAT_SUFFIXES = {**_YAML, "terraform": ".tf"} | {
    name: ".txt" for name, dialect in DIALECTS.items() if dialect.body_format is BodyFormat.FORM
}
LOGGED_IN: FieldMap = {
    "relay.host": "smtp.example.com", PORT: 587, SECURITY: Security.STARTTLS, LOGIN: Login.BASIC,
    "relay.auth.username": "no-reply@acme.example", PASSWORD: REF,
    "sender.address": "no-reply@acme.example", "sender.name": "Acme",
}  # fmt: skip


def meant(fields: FieldMap) -> FieldMap:
    """Return fields without those that say no more than their absence does to Keycloak."""
    return {n: v for n, v in fields.items() if v is not ABSENT and KEYCLOAK.effective_value(n, None) != v}


def as_shown(value: FieldValue) -> FieldValue:
    """Return a value as a server shows it: a secret that it stores is masked."""
    hidden = isinstance(value, SecretRef) and value.kind is not SecretKind.KEYCLOAK_VAULT
    return Masked() if hidden else value
