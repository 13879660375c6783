"""The logger ``ztrust_mail.requests``: each request at DEBUG, repetitions at INFO, and never a secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support import bad_server
from support.bad_server import BadServer, answer
from support.canaries import canary, leaks
from support.waiting import Clock

from ztrust_mail.core.errors import RealmError, ServerError
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.settings import Server

REALM = {"realm": "acme", "smtpServer": {"host": "h"}}


@pytest.fixture(autouse=True)
def _debug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG, logger="ztrust_mail"):
        yield


def logged(caplog: pytest.LogCaptureFixture, level: int = logging.DEBUG) -> list[str]:
    """Return the messages of a level, with the milliseconds left out."""
    records = [r for r in caplog.records if r.name == "ztrust_mail.requests" and r.levelno == level]
    return [record.getMessage().replace(f" in {getattr(record, 'milliseconds', 0)} ms", "") for record in records]


def gateway_to(url: str, **account: object) -> KeycloakGateway:
    """Return a gateway that logs in with a password, or with the account given, and never waits in real time."""
    given = account or {"username": "admin", "password": Secret(canary("login"))}
    return KeycloakGateway(Server(url, **given), KEYCLOAK, Clock().throttle(4))  # type: ignore[arg-type]


def test_each_request_is_logged_with_method_path_status_time_and_try(caplog: pytest.LogCaptureFixture) -> None:
    token = answer(200, {"access_token": "a.b.c"})
    with BadServer(token, answer(200, REALM), answer(200, []), answer(403)) as server:
        gateway = gateway_to(server.url)
        gateway.read_one("acme")
        gateway.realms()
        with pytest.raises(RealmError):
            gateway.write("acme", {"host": "h"})
        gateway.close()
    host = f"127.0.0.1:{server.port}"
    assert logged(caplog) == [
        f"POST {host}/realms/master/protocol/openid-connect/token: 200, try 1",
        f"GET {host}/admin/realms/acme: 200, try 1",
        f"GET {host}/admin/realms: 200, try 1",
        f"PUT {host}/admin/realms/acme: 403, try 1",
    ]
    assert all(record.milliseconds >= 0 for record in caplog.records if record.name == "ztrust_mail.requests")  # type: ignore[attr-defined]


def test_repetitions_are_numbered_and_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    busy = answer(503, headers={"Retry-After": "7"})
    with BadServer(bad_server.RESET, busy, answer(200, REALM)) as server:
        gateway = gateway_to(server.url, token=Secret("t"))
        gateway.read_one("acme")
        gateway.close()
    host = f"127.0.0.1:{server.port}"
    line = f"GET {host}/admin/realms/acme"
    assert logged(caplog) == [f"{line}: failed [reset], try 1", f"{line}: 503, try 2", f"{line}: 200, try 3"]
    assert logged(caplog, logging.INFO) == [
        f"{line}: broken connection, sent again", f"{line}: too busy (503), try 2",
    ]  # fmt: skip
    (wait,) = (record for record in caplog.records if record.name == "ztrust_mail.waits")
    assert wait.getMessage().endswith("is too busy: retry in 7 s")


def test_a_new_token_makes_the_second_try_of_the_same_request(caplog: pytest.LogCaptureFixture) -> None:
    token = answer(200, {"access_token": "a.b.c"})
    with BadServer(token, answer(401), token, answer(200, REALM)) as server:
        gateway = gateway_to(server.url)
        gateway.read_one("acme")
        gateway.close()
    tries = [message.rpartition("/")[2] for message in logged(caplog)]
    assert tries == ["token: 200, try 1", "acme: 401, try 1", "token: 200, try 1", "acme: 200, try 2"]


@pytest.mark.parametrize("product", ["keycloak", "uipath"])
@pytest.mark.parametrize("status", [200, 401, 403, 500])
def test_no_secret_is_ever_logged(product: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = canary("mail")
    with BadServer(answer(status, {"errorMessage": f"wrong password {secret}"})) as server:
        gateway = connect(Server(server.url, gateway=product, token=Secret(canary("token"))))
        with suppress(RealmError, ServerError):
            gateway.write("acme", {"host": "h", "password": Secret(secret)})
        with suppress(RealmError, ServerError):
            gateway.read_one("acme")
        gateway.close()
    assert len(logged(caplog)) >= 2
    assert not leaks(caplog.text)


def test_the_query_and_a_login_in_the_url_are_not_logged() -> None:
    from ztrust_mail.transport.channel import RequestLine

    line = RequestLine("GET", "https://user:S3cr3t@id.example.com/admin/realms?search=S3cr3t")
    assert str(line) == repr(line) == "GET id.example.com/admin/realms"
