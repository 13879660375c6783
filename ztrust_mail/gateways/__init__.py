"""One gateway per product's API: list, read, write and test the e-mail settings of realms."""

from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.settings import FILES, Server


def connect(server: Server) -> Gateway:
    """Return the gateway to a server. Nothing is sent yet."""
    if server.gateway == FILES:
        from ztrust_mail.gateways.exports.gateway import RealmFilesGateway

        return RealmFilesGateway(server, KEYCLOAK)
    if server.gateway == "digitanium":
        from ztrust_mail.gateways.digitanium import DigitaniumGateway

        return DigitaniumGateway(server, DIALECTS[server.gateway])
    if server.gateway == "uipath":
        from ztrust_mail.gateways.uipath import UiPathGateway

        return UiPathGateway(server, DIALECTS[server.gateway].without_page_only)
    from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway

    return KeycloakGateway(server, DIALECTS[server.gateway])
