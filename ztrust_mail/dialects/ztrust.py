"""ZTrust's Email tab (V1 to V4.x): Keycloak's table with the labels of ZTrust's own console."""

from __future__ import annotations

from ztrust_mail.dialects.keycloak import KEYCLOAK

ZTRUST = KEYCLOAK.child(
    "ztrust",
    "ZTrust",
    labels={
        "sender.address": "From",
        "sender.name": "From Display Name",
        "reply_to.address": "Reply To",
        "reply_to.name": "Reply To Display Name",
        "envelope_from": "Envelope From",
        "relay.host": "Host",
        "relay.port": "Port",
        "relay.security": "Enable SSL, Enable StartTLS",
        "relay.auth": "Authentication",
        "relay.auth.username": "Username",
        "relay.auth.password": "Password",
    },
)
