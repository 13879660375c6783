"""One gateway per product's API: list, read, write and test the e-mail settings of realms."""

from __future__ import annotations

from ztrust_mail.config import FILES, Server
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.gateways.base import Gateway


def connect(server: Server) -> Gateway:
    """Return the gateway to a server; nothing is sent yet."""
    if server.gateway == FILES:
        from ztrust_mail.gateways.realm_files import RealmFilesGateway

        return RealmFilesGateway(server, KEYCLOAK)
    if server.gateway == "digitanium":
        from ztrust_mail.gateways.digitanium import DigitaniumGateway

        return DigitaniumGateway(server, DIALECTS[server.gateway])
    if server.gateway == "uipath":
        from ztrust_mail.gateways.uipath import UiPathGateway

        return UiPathGateway(server, DIALECTS[server.gateway].by_api)
    from ztrust_mail.gateways.keycloak import KeycloakGateway

    return KeycloakGateway(server, DIALECTS[server.gateway])
