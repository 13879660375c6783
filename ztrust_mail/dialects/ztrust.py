"""ZTrust's Email tab (V1 to V4.x): Keycloak's table with the labels of ZTrust's own console."""

from __future__ import annotations

from ztrust_mail.dialects.keycloak import KEYCLOAK

ZTRUST = KEYCLOAK.child(
    "ztrust",
    "ZTrust",
    labels={
        "from": "From",
        "fromDisplayName": "From Display Name",
        "replyTo": "Reply To",
        "replyToDisplayName": "Reply To Display Name",
        "envelopeFrom": "Envelope From",
        "host": "Host",
        "port": "Port",
        "ssl": "Enable SSL",
        "starttls": "Enable StartTLS",
        "auth": "Authentication",
        "user": "Username",
        "password": "Password",
    },
)
