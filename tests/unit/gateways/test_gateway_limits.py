"""The limits of a server in the settings hold for every gateway that sends requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ztrust_mail.core.secret import Secret
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.token_gateway import TokenGateway
from ztrust_mail.settings import FILES, GATEWAYS, Server
from ztrust_mail.settings.limits import Limits


@pytest.mark.parametrize("product", [name for name in GATEWAYS if name != FILES])
def test_the_rate_of_the_settings_is_that_of_the_throttle(product: str) -> None:
    server = Server("https://id.example.com", gateway=product, token=Secret("t"), limits=Limits(2.5))
    gateway = connect(server)
    if isinstance(gateway, TokenGateway):  # it has a throttle for each host that was asked
        channel: Callable[[str], object] = gateway._channel
        channel(server.url)
    assert [throttle.rate for throttle in gateway.throttles()] == [2.5]
    gateway.close()
