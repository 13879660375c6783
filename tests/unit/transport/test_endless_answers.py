"""Endless answers end at their deadline, wherever in the answer the server continues for ever."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import requests
import trustme
from support.bad_server import BadServer, Behaviour, Peer, answer
from support.cli import PATIENCE, Cli
from support.fault_proxy import Fault, FaultProxy
from support.waiting import Clock

from ztrust_mail.core.errors import ExitStatus, ServerError
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures

REALM = {"realm": "acme", "smtpServer": {"host": "h"}}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = CHUNKED + b"2\r\n{}\r\n0\r\n"
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"


def gzip_begun() -> bytes:
    """Return the beginning of a compressed answer, to which empty blocks can be added for ever."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    return HEAD + b"Content-Encoding: gzip\r\n\r\n" + packing.compress(b"{}") + packing.flush(zlib.Z_FULL_FLUSH)


def without_end(begun: bytes, more: bytes, *, flood: bool = False) -> Behaviour:
    """Begin an answer and go on with it for ever, now and then or as quickly as it goes."""

    def act(peer: Peer) -> None:
        peer.send(begun)
        while not peer.closing.wait(0 if flood else 0.02):
            peer.send(more * (4096 if flood else 1))

    return Behaviour(act)


ENDLESS = {
    "a dripping chunk size": without_end(CHUNKED + b"5;", b"x"),
    "dripping trailers": without_end(LAST_CHUNK, b"X: y\r\n"),
    "a flood of trailers": without_end(LAST_CHUNK, b"X: " + b"y" * 1000 + b"\r\n", flood=True),
    "dripping empty blocks": without_end(gzip_begun(), EMPTY_BLOCK),
    "a flood of empty blocks": without_end(gzip_begun(), EMPTY_BLOCK, flood=True),
    "dripping chunks": without_end(CHUNKED, b"1\r\n \r\n"),
}

OVER = ("slow", "too-large")
"""The rules of the error that ends such an answer: a flood may come to the largest size before the deadline."""

STEPS: dict[str, Callable[[KeycloakGateway], object]] = {
    "GET": lambda gateway: gateway.read_one("acme"),
    "PUT": lambda gateway: gateway.write("acme", {}),
    "POST": lambda gateway: gateway.test("acme", {}),
}


def gateway_to(url: str, **more: object) -> KeycloakGateway:
    account: dict[str, object] = {"token": Secret("ready"), "timeout": 0.05}
    return KeycloakGateway(Server(url, **{**account, **more}), KEYCLOAK, Clock().throttle())  # type: ignore[arg-type]


def rule_of(gateway: KeycloakGateway, step: str = "GET") -> str:
    """Return the rule of the error with which a step ends."""
    with pytest.raises(ServerError) as failure:
        STEPS[step](gateway)
    gateway.close()
    return failure.value.rule


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("step", STEPS)
def test_an_endless_answer_ends_at_its_deadline_and_is_not_requested_again(step: str, behaviour: Behaviour) -> None:
    with BadServer(behaviour) as server:
        assert rule_of(gateway_to(server.url), step) in OVER
        assert server.accepted == 1


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_login_answer_ends_at_its_deadline(behaviour: Behaviour) -> None:
    with BadServer(behaviour) as server:
        assert rule_of(gateway_to(server.url, token=None, username="admin", password=Secret("word"))) in OVER


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_answer_over_tls_ends_at_its_deadline(
    authority: trustme.CA, ca_file: object, behaviour: Behaviour
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with BadServer(behaviour, tls=tls) as server:
        session, waits = requests.Session(), (30.0, 1.0)  # a busy machine may take a while to shake hands
        failures.secure_session(session, server.url)
        with session, pytest.raises(failures.FAILURES) as cause:
            session.get(server.url, timeout=waits, verify=str(ca_file))
        assert failures.describe_failure(cause.value, server.url, waits, Redactor()).rule in OVER


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
def test_a_proxy_that_never_opens_the_tunnel_is_given_up(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with BadServer(without_end(begun, b"x")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert rule_of(gateway_to("https://id.example.com")) == "slow"


def test_a_connection_is_not_used_again_after_its_deadline() -> None:
    with BadServer(ENDLESS["dripping trailers"], answer(200, REALM)) as server:
        gateway = gateway_to(server.url)
        with pytest.raises(failures.ResponseTimeout):
            gateway.read_one("acme")
        assert gateway.read_one("acme").attributes == {"host": "h"}
        gateway.close()
        assert server.accepted == 2


@pytest.mark.parametrize("kind", ["a flood of trailers", "a flood of empty blocks"])
def test_the_received_bytes_are_bounded_whatever_they_decompress_to(kind: str) -> None:
    with BadServer(ENDLESS[kind]) as server:
        assert rule_of(gateway_to(server.url, timeout=60.0)) == "too-large"
        assert server.accepted == 1


def test_an_answer_in_chunks_with_trailers_is_read_to_its_end() -> None:
    body = b'{"realm": "acme", "smtpServer": {"host": "h"}}'
    chunks = b"".join(b"1;note=x\r\n%c\r\n" % byte for byte in body)
    with BadServer(Behaviour(lambda peer: peer.send(CHUNKED + chunks + b"0\r\nX: y\r\n\r\n"))) as server:
        gateway = gateway_to(server.url)
        assert gateway.read_one("acme").attributes == {"host": "h"}
        gateway.close()


@pytest.mark.parametrize(
    ("begin", "value", "end"), [(b"[", b"[],", b"[]]"), (b'{"a":{', b'"a":1,', b'"b":1}}'), (b"[", b"1,", b"1]")]
)
def test_the_values_of_an_answer_are_bounded(begin: bytes, value: bytes, end: bytes) -> None:
    count = failures.MAX_VALUES // (2 if b"[" in value else 1)
    with BadServer(answer(200, begin + value * count + end)) as server:
        gateway = gateway_to(server.url, timeout=60.0)
        with pytest.raises(ServerError, match="has more than 4,000,000 values") as failure:
            gateway.read([], everything=True)
        gateway.close()
    assert failure.value.rule == "too-large"


# One realm's trouble


SPEC = """
version: 1
defaults: {sender: {address: no-reply@acme.example}, relay: {host: smtp.example.com}}
realms: {acme: {}, globex: {}, initech: {}}
"""


class EndlessProxy(FaultProxy):
    """A proxy whose answer has trailers without an end where another hangs."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.reached = threading.Event()

    def _keep_back(self, client: socket.socket, rule: object) -> None:
        self.reached.set()
        client.sendall(LAST_CHUNK)
        while not self._closing.wait(0.02):
            client.sendall(b"X: y\r\n")


@pytest.fixture
def proxy(cli: Cli, sandbox: Sandbox) -> Iterator[EndlessProxy]:
    sandbox.create_realm("initech")
    with EndlessProxy(sandbox.url) as made:
        made.fault(Fault.HANG, method="PUT", path="/acme")
        cli.set(URL=made.url, TIMEOUT="300ms")
        cli.write("mail.yaml", SPEC)
        yield made


def test_an_endless_write_fails_its_own_realm_alone(cli: Cli, sandbox: Sandbox, proxy: EndlessProxy) -> None:
    report = cli.json("apply", "mail.yaml", "--yes")
    assert {realm["realm"]: realm["status"] for realm in report["realms"]} == {
        "acme": "failed",
        "globex": "applied",
        "initech": "applied",
    }
    assert report["exit_status"] == 4
    assert [sandbox.smtp(name).get("host") for name in ("acme", "globex")] == [None, "smtp.example.com"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_an_endless_write_stops_the_run(cli: Cli, proxy: EndlessProxy, sent: signal.Signals) -> None:
    """The deadline is six time-outs away: the write under way may take them, and no more is begun."""
    cli.set(CONNECTIONS="1")
    arguments = [sys.executable, "-m", "ztrust_mail", "apply", "mail.yaml", "--yes"]
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ) as process:
        assert proxy.reached.wait(PATIENCE)
        process.send_signal(sent)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitStatus.INTERRUPTED, said
    assert proxy.forwarded("PUT") == []


def test_ctrl_c_again_and_again_ends_the_program_without_a_traceback(cli: Cli, proxy: EndlessProxy) -> None:
    proxy.clear()
    proxy.fault(Fault.HANG, method="GET", at=4, times=100)  # the plan has been read, the read-back never ends
    cli.set(TIMEOUT="10s")
    arguments = [sys.executable, "-m", "ztrust_mail", "apply", "mail.yaml", "--yes"]
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ) as process:
        assert proxy.reached.wait(PATIENCE)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode in (ExitStatus.INTERRUPTED, -signal.SIGINT)
    assert b"Traceback" not in said
