"""One gateway per product's API: list, read, write and test the e-mail settings of realms."""

from __future__ import annotations

from ztrust_mail.config import Server
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.gateways.base import Gateway


def connect(server: Server) -> Gateway:
    """Return the gateway to a server; nothing is sent yet."""
    from ztrust_mail.gateways.keycloak import KeycloakGateway

    return KeycloakGateway(server, DIALECTS[server.gateway])
