"""Each reason why there is no connection has a sentence and a next step of its own, for every product."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import trustme
import urllib3
from support import bad_server
from support.bad_server import BadServer, Behaviour, answer

from ztrust_mail.core.errors import RealmError, ServerError, ServerUnreachable, ZtrustMailError
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.settings import Server
from ztrust_mail.transport.deadline import Resolver
from ztrust_mail.transport.failures import describe_failure

HIDDEN = "S3cr3t-w0rd"
FOREIGN = (HIDDEN, "HTTPConnectionPool", "HTTPSConnection", "urllib3", "Errno", "Max retries", "_ssl.c", "SSL:")

Failure = ServerError | RealmError


def read(gateway: Gateway) -> object:
    return gateway.read_one("acme")


def write(gateway: Gateway) -> object:
    return gateway.write("acme", {})


PRODUCTS: dict[str, Callable[[Gateway], object]] = {"keycloak": read, "uipath": read, "digitanium": write}
HTTP_PRODUCTS = ["keycloak", "uipath"]  # Digitanium is always asked over https


def failure_of(product: str, url: str, **more: object) -> tuple[Failure, str]:
    """Return how the first request to a product fails, and the host that was asked."""
    server = Server(url, gateway=product, token=Secret(HIDDEN), **{"timeout": 20.0, **more})  # type: ignore[arg-type]
    gateway = connect(server)
    with pytest.raises((ServerError, RealmError)) as caught:
        PRODUCTS[product](gateway)
    gateway.close()
    error = caught.value
    assert isinstance(error, ServerError | RealmError)
    context = error.__context__
    while context:  # an exception of requests would hold the request with its token
        assert isinstance(context, ZtrustMailError)
        context = context.__context__
    for foreign in FOREIGN:
        assert foreign not in f"{error.message} {error.hint}"
    host = url.partition("://")[2].removesuffix("/auth")
    return error, host


pytestmark = pytest.mark.usefixtures("_no_proxy")


def on_shift(product: str, url: str) -> str:
    """Return the URL at which a product is asked without a tenant before the host."""
    return f"{url}/auth" if product == "digitanium" else url


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_closed_port_is_a_refused_connection(product: str) -> None:
    with bad_server.nobody() as url:
        error, host = failure_of(product, on_shift(product, url.replace("http:", "https:")))
    assert (error.rule, error.message) == ("unreachable", f"cannot connect to {host}: connection refused")
    assert error.hint == f"check the port in the URL, and that the server is up: curl -sSI https://{host}"


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_name_that_does_not_exist_does_not_resolve(product: str) -> None:
    error, host = failure_of(product, on_shift(product, "https://no-such-host.invalid"))
    assert (error.rule, error.message) == ("unreachable", f"cannot connect to {host}: its name does not resolve")
    assert error.hint.endswith(f"nslookup {host}")


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_port_that_accepts_nothing_times_out(product: str) -> None:
    with bad_server.never_accepting() as url:
        error, host = failure_of(product, on_shift(product, url.replace("http:", "https:")), timeout=0.2)
    assert (error.rule, error.message) == ("unreachable", f"cannot connect to {host}: timed out after 0.2s")
    assert "firewalls" in error.hint


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_port_that_stays_silent_during_the_handshake_is_no_slow_answer(product: str) -> None:
    silent = Behaviour(lambda peer: peer.closing.wait() and None, reads=False)
    with BadServer(silent) as server:
        url = on_shift(product, server.url.replace("http:", "https:"))
        error, host = failure_of(product, url, timeout=0.2)
    assert (error.rule, error.message) == ("tls", f"TLS handshake with {host} failed: timed out after 0.2s")
    assert server.accepted == 1


# A resolver that does not answer


class HungResolver:
    """``getaddrinfo`` that does not return before it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, *arguments: object, **more: object) -> object:
        self.threads.append(threading.current_thread())
        self.released.wait()
        raise socket.gaierror(socket.EAI_NONAME, "x")


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[HungResolver]:
    """The operating system's resolver does not answer."""
    resolver = HungResolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.released.set()


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_resolver_that_does_not_answer_is_waited_for_as_long_as_for_a_connection(
    product: str, hung: HungResolver
) -> None:
    error, host = failure_of(product, on_shift(product, f"https://{product}.example"), timeout=0.05)
    assert error.message == f"cannot connect to {host}: its name did not resolve within 0.05s"
    assert error.hint == f"check the name servers of this machine: nslookup {host}"


def test_a_name_has_one_lookup_under_way_however_many_ask(hung: HungResolver) -> None:
    resolver = Resolver()
    for _ in range(20):
        with pytest.raises(TimeoutError):
            resolver.resolve("id.example", 443, 0.001)
    with pytest.raises(TimeoutError):
        resolver.resolve("other.example", 443, 0.001)
    assert len(hung.threads) == 2
    assert all(thread.daemon for thread in hung.threads)  # the interpreter does not wait for them
    hung.released.set()
    for thread in hung.threads:
        thread.join(30)
    with pytest.raises(socket.gaierror):
        resolver.resolve("id.example", 443, 30)
    assert len(hung.threads) == 3  # nothing is remembered


def test_a_machine_without_a_thread_for_the_lookup_is_named_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    error, host = failure_of("uipath", "https://localhost:1")
    assert error.message == f"cannot connect to {host}: this machine does not open the connection"
    monkeypatch.setattr(threading.Thread, "start", start)
    error, host = failure_of("uipath", "https://localhost:1")
    assert error.message == f"cannot connect to {host}: connection refused"


def test_an_address_needs_no_lookup() -> None:
    threads = threading.active_count()
    assert Resolver().resolve("127.0.0.1", 443, 1.0)[0][4] == ("127.0.0.1", 443)
    assert threading.active_count() == threads


# Certificates


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return a server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[tuple[str, int]]:
    """Yield the URL and the port of a TLS server, which must not get a request."""
    with BadServer(answer(200, {}), tls=context) as server:
        yield server.url, server.port
    assert server.requests == []


def show(host: str, what: str) -> str:
    """Return the command that shows a part of a server's certificate."""
    return f"openssl s_client -connect {host} </dev/null | openssl x509 -noout {what}"


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_certificate_that_has_expired_says_so(product: str, authority: trustme.CA, ca_file: Path) -> None:
    context = context_of(authority.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 2, tzinfo=UTC)))
    with tls_server(context) as (url, _):
        error, host = failure_of(product, on_shift(product, url), ca_bundle=str(ca_file))
    assert error.message == f"TLS handshake with {host} failed: its certificate has expired"
    assert error.hint.endswith(f"renew the server's certificate: {show(host, '-dates')}")


def test_the_commands_to_copy_quote_the_host() -> None:
    expired = ssl.SSLCertVerificationError()
    expired.verify_code = 10
    cause = requests.exceptions.SSLError(urllib3.exceptions.SSLError(expired))
    error = describe_failure(cause, "https://[fe80::1%x;id]", (1, 1), Redactor())
    assert "openssl s_client -connect '[fe80::1%x;id]:443' </dev/null" in error.hint


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize(("name", "kind"), [("127.0.0.1", "IP address"), ("localhost", "host name")])
def test_a_certificate_for_another_name_says_so(
    product: str, name: str, kind: str, authority: trustme.CA, ca_file: Path
) -> None:
    with tls_server(context_of(authority.issue_cert("other.example"))) as (_, port):
        error, host = failure_of(product, on_shift(product, f"https://{name}:{port}"), ca_bundle=str(ca_file))
    assert error.message == f"TLS handshake with {host} failed: its certificate is for another {kind}"
    assert error.hint.endswith(show(host, "-ext subjectAltName"))


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_certificate_of_an_unknown_authority_says_so(product: str, authority: trustme.CA) -> None:
    with tls_server(context_of(authority.issue_cert("127.0.0.1"))) as (url, _):
        error, host = failure_of(product, on_shift(product, url))
    assert error.message == f"TLS handshake with {host} failed: its certificate is signed by an unknown authority"
    assert "set ca_bundle to the PEM file of its authority" in error.hint


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_certificate_that_signs_itself_says_so(product: str, authority: trustme.CA, tmp_path: Path) -> None:
    chain = tmp_path / "self-signed.pem"
    chain.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with tls_server(context) as (url, _):
        error, host = failure_of(product, on_shift(product, url))
    assert error.message == f"TLS handshake with {host} failed: its certificate is self-signed"
    assert "ca_bundle" in error.hint


# The wrong scheme


@pytest.mark.parametrize("product", PRODUCTS)
def test_https_to_a_port_that_speaks_plain_http_says_so(product: str) -> None:
    plain = Behaviour(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), reads=False)
    with BadServer(plain) as server:
        url = on_shift(product, server.url.replace("http:", "https:"))
        error, host = failure_of(product, url)
    assert (error.rule, error.message) == ("tls", f"TLS handshake with {host} failed: the port does not speak TLS")
    assert "may speak plain http" in error.hint


@pytest.mark.parametrize("product", HTTP_PRODUCTS)
@pytest.mark.parametrize(
    "answered",
    [
        Behaviour(lambda peer: peer.send(b"\x15\x03\x03\x00\x02\x02\x50")),
        answer(400, b"<h1>The plain HTTP request was sent to HTTPS port</h1>", "text/html"),
        answer(400, b"<p>You're speaking plain HTTP to an SSL-enabled server port.</p>", "text/html"),
    ],
    ids=["an alert", "nginx", "Apache"],
)
def test_plain_http_to_a_port_that_speaks_tls_says_so(product: str, answered: Behaviour) -> None:
    with BadServer(answered) as server:
        error, host = failure_of(product, server.url)
    assert (error.rule, error.message) == ("tls", f"{host} speaks TLS, and the URL says http")
    assert error.hint == "write https:// in the URL"


@pytest.mark.parametrize("product", HTTP_PRODUCTS)
def test_a_connection_that_breaks_without_a_word_may_be_a_port_that_speaks_tls(product: str) -> None:
    with BadServer(bad_server.RESET) as server:
        error, host = failure_of(product, server.url)
    assert error.message == f"{host} closed the connection before it had answered"
    assert "https://" in error.hint


def test_a_real_tls_server_that_is_asked_in_plain_http_leads_to_https(authority: trustme.CA) -> None:
    with tls_server(context_of(authority.issue_cert("127.0.0.1"))) as (_, port):
        error, _ = failure_of("keycloak", f"http://127.0.0.1:{port}")
    assert isinstance(error, ServerUnreachable)
    assert "https://" in error.hint
