"""ZTrust's Email tab (V1 to V4.x): Keycloak's table with the labels of ZTrust's console."""

from collections.abc import Mapping

from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.row import Version

ASSUMED_VERSIONS: Mapping[str, Version] = {"V1": (16, 1, 1)}
"""The assumed version of Keycloak in a ZTrust whose version the account may not see: V1 is of the WildFly line."""

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
