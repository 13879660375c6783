"""The tests' own proxy: every fault as a client meets it, and what the server really got."""

from __future__ import annotations

import gzip
import io
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.admin_api import AdminApi
from support.bad_server import CLOSE, BadServer, Behaviour, Peer, nobody
from support.fault_proxy import Fault, FaultProxy
from support.http_bytes import read_answer, read_request
from support.waiting import Clock

from ztrust_mail.core.errors import NOT_THE_API, RealmError, ServerUnreachable
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.settings import Server
from ztrust_mail.transport.failures import ConnectionLost

SMTP = {"host": "mail.example", "from": "a@b.example"}


@pytest.fixture
def proxy(ztrust_sandbox: Sandbox) -> Iterator[FaultProxy]:
    """A proxy before the sandbox."""
    with FaultProxy(ztrust_sandbox.url) as made:
        yield made


@pytest.fixture
def gateway(proxy: FaultProxy, clock: Clock) -> Iterator[KeycloakGateway]:
    """A gateway through the proxy that has logged in."""
    made = KeycloakGateway(Server(proxy.url, username="admin", password=Secret("admin")), KEYCLOAK, clock.throttle())
    made.login()
    yield made
    made.close()


@pytest.fixture
def impatient(proxy: FaultProxy, clock: Clock) -> Iterator[KeycloakGateway]:
    """One that does not wait long for an answer."""
    server = Server(proxy.url, username="admin", password=Secret("admin"), timeout=0.2)
    made = KeycloakGateway(server, KEYCLOAK, clock.throttle())
    made.login()
    yield made
    made.close()


def puts(sandbox: Sandbox) -> int:
    """Return how many PUTs the server got."""
    return sum(request.method == "PUT" for request in sandbox.requests)


# Without a fault


def test_without_a_fault_every_request_is_forwarded_and_recorded(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, gateway: KeycloakGateway
) -> None:
    gateway.write("acme", SMTP)
    assert gateway.read_one("acme").attributes == SMTP
    assert set(gateway.read([], everything=True).realms) == {"master", "acme", "globex"}
    seen = [(e.method, e.path, e.forwarded, e.status, e.fault) for e in proxy.requests]
    assert seen == [
        ("POST", "/realms/master/protocol/openid-connect/token", True, 200, None),
        ("PUT", "/admin/realms/acme", True, 204, None),
        ("GET", "/admin/realms/acme", True, 200, None),
        ("GET", "/admin/realms", True, 200, None),
    ]
    assert json.loads(proxy.requests[1].body) == {"smtpServer": SMTP}
    assert [(r.method, r.path, r.status) for r in ztrust_sandbox.requests] == [(m, p, s) for m, p, _, s, _ in seen]


def test_the_url_of_the_proxy_has_the_path_of_the_server() -> None:
    with Sandbox(SandboxOptions(base_path="/auth")) as sandbox, FaultProxy(f"{sandbox.url}/") as proxy:
        assert proxy.url == f"http://127.0.0.1:{proxy.port}/auth"
        api = AdminApi(proxy.url)
        assert api.smtp("acme") == {}
        api.close()


def test_many_clients_work_at_once(ztrust_sandbox: Sandbox, proxy: FaultProxy, gateway: KeycloakGateway) -> None:
    for number in range(40):
        ztrust_sandbox.create_realm(f"realm-{number}")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: gateway.write(f"realm-{number}", SMTP), range(40)))
    assert puts(ztrust_sandbox) == len(proxy.forwarded("PUT")) == 40
    assert [e.status for e in proxy.forwarded("PUT", "/realm-7")] == [204]


# Faults


def test_a_connection_cut_before_the_request_keeps_it_from_the_server(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, gateway: KeycloakGateway
) -> None:
    proxy.fault(Fault.CUT_BEFORE_REQUEST, method="PUT", times=2)
    with pytest.raises(ConnectionLost):
        gateway.write("acme", SMTP)
    assert (puts(ztrust_sandbox), proxy.forwarded("PUT")) == (0, [])
    assert [(e.fault, e.status) for e in proxy.requests if e.method == "PUT"] == [(Fault.CUT_BEFORE_REQUEST, None)] * 2
    gateway.write("acme", SMTP)
    assert puts(ztrust_sandbox) == 1


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE_ANSWER, Fault.CUT_IN_ANSWER])
def test_a_connection_cut_after_the_request_leaves_it_executed(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, gateway: KeycloakGateway, fault: Fault
) -> None:
    proxy.fault(fault, method="PUT", times=2)
    with pytest.raises(ConnectionLost):
        gateway.write("acme", SMTP)
    assert ztrust_sandbox.smtp("acme") == SMTP
    assert [(e.fault, e.status) for e in proxy.forwarded("PUT")] == [(fault, 204)] * 2


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE_ANSWER, Fault.CUT_IN_ANSWER, Fault.GARBAGE])
def test_a_read_that_was_cut_off_is_repeated(proxy: FaultProxy, gateway: KeycloakGateway, fault: Fault) -> None:
    proxy.fault(fault, method="GET")
    assert gateway.read_one("acme").attributes == {}
    assert [e.fault for e in proxy.requests if e.method == "GET"] == [fault, None]


def test_a_cut_answer_has_half_of_its_body(proxy: FaultProxy) -> None:
    proxy.fault(Fault.CUT_IN_ANSWER)
    with socket.create_connection(("127.0.0.1", proxy.port)) as client, client.makefile("rb") as stream:
        client.sendall(b"GET /realms/acme HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionError, match="the body breaks off"):
            read_answer(stream, "GET")


def test_an_answer_that_is_not_http_fails_the_request(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, gateway: KeycloakGateway
) -> None:
    proxy.fault(Fault.GARBAGE, method="PUT", times=2)
    with pytest.raises(ConnectionLost):
        gateway.write("acme", SMTP)
    assert puts(ztrust_sandbox) == 0


def test_a_page_instead_of_the_answer_leaves_the_request_executed(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, gateway: KeycloakGateway
) -> None:
    proxy.fault(Fault.PAGE, method="PUT")
    with pytest.raises(RealmError, match="answered 200 with a web page") as failure:
        gateway.write("acme", SMTP)
    assert failure.value.rule == NOT_THE_API
    assert puts(ztrust_sandbox) == 1


def test_a_busy_answer_comes_from_the_proxy_and_has_retry_after(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, gateway: KeycloakGateway, clock: Clock
) -> None:
    proxy.fault(Fault.BUSY, method="PUT", retry_after="7")
    proxy.fault(Fault.BUSY, method="PUT", at=2, retry_after="")
    gateway.write("acme", SMTP)
    assert (puts(ztrust_sandbox), len(clock.waits), clock.waits[0]) == (1, 2, 7.0)
    assert [e.forwarded for e in proxy.requests if e.method == "PUT"] == [False, False, True]


def test_a_hanging_request_is_given_up_by_the_client(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, impatient: KeycloakGateway
) -> None:
    proxy.fault(Fault.HANG, method="PUT")
    with pytest.raises(ServerUnreachable) as failure:
        impatient.write("acme", SMTP)
    assert (failure.value.rule, puts(ztrust_sandbox)) == ("slow", 0)


def test_a_delayed_answer_leaves_the_request_executed(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, impatient: KeycloakGateway
) -> None:
    proxy.fault(Fault.DELAY, method="PUT", seconds=3600)
    with pytest.raises(ServerUnreachable) as failure:
        impatient.write("acme", SMTP)
    assert (failure.value.rule, ztrust_sandbox.smtp("acme")) == ("slow", SMTP)
    proxy.fault(Fault.DELAY, method="GET")
    assert impatient.read_one("acme").attributes == SMTP


def test_a_server_that_goes_down_refuses_every_connection_until_it_is_back(
    ztrust_sandbox: Sandbox, proxy: FaultProxy, gateway: KeycloakGateway
) -> None:
    gateway.write("globex", SMTP)
    proxy.fault(Fault.REFUSE, method="PUT")
    port = proxy.port
    with pytest.raises(ServerUnreachable) as failure:
        gateway.write("acme", SMTP)
    assert failure.value.rule == "unreachable"  # the second try
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    proxy.refuse()
    proxy.listen()
    gateway.write("acme", SMTP)
    assert (proxy.port, puts(ztrust_sandbox)) == (port, 2)


# Which requests


def test_a_fault_applies_to_the_nth_matching_request_from_now_on(proxy: FaultProxy, gateway: KeycloakGateway) -> None:
    gateway.read_one("acme")
    proxy.fault(Fault.PAGE, method="GET", path="/acme", at=2, times=2)
    proxy.fault(Fault.CUT_BEFORE_ANSWER, path="/acme", at=3)
    outcomes = []
    for realm in ("acme", "globex", "acme", "acme", "acme"):
        try:
            outcomes.append(type(gateway.read_one(realm)).__name__)
        except RealmError as e:
            outcomes.append(e.rule)
    assert outcomes == ["LiveRealm", "LiveRealm", NOT_THE_API, NOT_THE_API, "LiveRealm"]
    assert [e.fault for e in proxy.requests][-5:] == [None, None, Fault.PAGE, Fault.PAGE, None]


def test_no_fault_is_left_after_clearing(proxy: FaultProxy, gateway: KeycloakGateway) -> None:
    proxy.fault(Fault.PAGE, times=99)
    proxy.clear()
    assert gateway.read_one("acme").attributes == {}


# The server behind


def test_a_server_that_is_not_there_or_breaks_off_gives_no_answer() -> None:
    with nobody() as url, FaultProxy(url) as proxy:
        with pytest.raises(requests.ConnectionError):
            requests.get(proxy.url, timeout=30)
        assert [(e.forwarded, e.status) for e in proxy.requests] == [(False, None)]
    with BadServer(CLOSE) as server, FaultProxy(server.url) as proxy:
        with pytest.raises(requests.ConnectionError):
            requests.get(proxy.url, timeout=30)
        assert [(e.forwarded, e.status) for e in proxy.requests] == [(True, None)]


@pytest.mark.parametrize("url", ["https://id.example.com", "id.example.com"])
def test_only_a_server_without_tls_can_be_behind_it(url: str) -> None:
    with pytest.raises(ValueError, match="http URL"):
        FaultProxy(url)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n%s\r\n%s"


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED % (b"", b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\n\r\nhello world",
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    ],
    ids=["chunks", "until the end", "length"],
)
def test_every_kind_of_body_is_passed_on(answer: bytes) -> None:
    with BadServer(Behaviour(lambda peer: peer.send(answer))) as server, FaultProxy(server.url) as proxy:
        assert requests.get(proxy.url, timeout=30).text == "hello world"


def test_a_compressed_answer_is_passed_on_as_it_is() -> None:
    packed = gzip.compress(b"hello world")
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    answer = CHUNKED % (b"Content-Encoding: gzip\r\n", chunks)
    with BadServer(Behaviour(lambda peer: peer.send(answer))) as server, FaultProxy(server.url) as proxy:
        assert requests.get(proxy.url, timeout=30).text == "hello world"


def test_a_connection_that_the_server_has_closed_is_opened_again() -> None:
    def act(peer: Peer) -> None:
        peer.connection.send(b"HTTP/1.1 204 No Content\r\n\r\n", socket.MSG_MORE)
        peer.connection.shutdown(socket.SHUT_WR)  # goes out together with the answer

    with BadServer(Behaviour(act)) as server, FaultProxy(server.url) as proxy, requests.Session() as session:
        assert session.head(proxy.url, timeout=30).status_code == 204
        assert session.get(proxy.url, timeout=30).status_code == 204
        assert server.accepted == 2


def read(data: bytes) -> object:
    return read_request(io.BytesIO(data))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_a_truncated_request_is_refused(data: bytes) -> None:
    with pytest.raises(ConnectionError):
        read(data)


def test_the_end_of_a_connection_is_no_request() -> None:
    assert read(b"") is None
