"""Faults of connections become errors in our own words, in time, and nothing is sent twice."""

from __future__ import annotations

import base64
import errno
import gzip
import io
import json
import socket
import ssl
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import requests
import responses
import trustme
import urllib3
from requests import exceptions as failures
from support import bad_server
from support.bad_server import (
    BadServer,
    Behaviour,
    answer,
    drip,
    endless,
    half_json,
    redirect,
    reset_in_mid_answer,
    stall,
)
from support.waiting import Clock

from ztrust_mail.core.errors import (
    CIRCUIT_OPEN,
    TOO_BUSY,
    ConfigError,
    ExitStatus,
    MailTestFailed,
    RealmError,
    ServerError,
    ServerUnreachable,
    ZtrustMailError,
)
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures as http
from ztrust_mail.transport import throttle
from ztrust_mail.transport.deadline import ResolutionTimeout

HIDDEN = "S3cr3t-w0rd"
READY = "ready-token"
REALM = {"realm": "acme", "smtpServer": {"host": "h"}}

Step = Callable[[KeycloakGateway], object]
READ: Step = lambda gateway: gateway.read_one("acme")  # noqa: E731  # a table of steps
WRITE: Step = lambda gateway: gateway.write("acme", {"password": Secret(HIDDEN)})  # noqa: E731
TEST: Step = lambda gateway: gateway.test("acme", {"password": Secret(HIDDEN)})  # noqa: E731
MAY_WRITE: Step = lambda gateway: gateway.may_write("acme")  # noqa: E731
LIST: Step = lambda gateway: gateway.read([], everything=True)  # noqa: E731
LOGIN: Step = lambda gateway: gateway.login()  # noqa: E731
STEPS = [READ, WRITE, TEST]
NAMES = ["GET", "PUT", "POST"]


def gateway_to(url: str, *, login: bool = False, clock: Clock | None = None, **more: object) -> KeycloakGateway:
    """Return a gateway that has a token, or with ``login`` a password, and some patience."""
    account: dict[str, object] = {"token": Secret(READY)}
    if login:
        account = {"username": "admin", "password": Secret(HIDDEN)}
    server = Server(url, **{"timeout": 20.0, **account, **more})  # type: ignore[arg-type]
    return KeycloakGateway(server, KEYCLOAK, (clock or Clock()).throttle(server.connections))


def failed(gateway: KeycloakGateway, step: Step) -> ServerError:
    """Return how a step fails, which has to be told without secrets or a library's words."""
    with pytest.raises(ServerError) as failure:
        step(gateway)
    gateway.close()
    error = failure.value
    assert error.exit_status is ExitStatus.UNREACHABLE
    assert error.hint
    told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    for foreign in (HIDDEN, READY, "HTTPConnectionPool", "urllib3.", "Errno", "Max retries"):
        assert foreign not in f"{error.message} {error.hint}"
    assert HIDDEN not in told
    assert READY not in told
    return error


# Nobody there, or nothing but silence


@pytest.mark.parametrize("login", [True, False])
def test_a_server_that_is_not_there_is_unreachable(login: bool) -> None:
    with bad_server.nobody() as url:
        error = failed(gateway_to(url, login=login), READ)
    assert type(error) is ServerUnreachable
    assert (error.rule, error.message) == ("unreachable", f"cannot connect to {url[7:]}: connection refused")


@pytest.mark.parametrize("login", [True, False])
def test_a_server_that_takes_no_connection_is_unreachable(login: bool) -> None:
    with bad_server.never_accepting() as url:
        error = failed(gateway_to(url, login=login, timeout=0.2), READ)
    assert (error.rule, error.message) == ("unreachable", f"cannot connect to {url[7:]}: timed out after 0.2s")


def test_a_host_that_does_not_exist_is_unreachable() -> None:
    assert failed(gateway_to("https://no-such-host.invalid"), READ).rule in ("unreachable", "proxy")


@pytest.mark.parametrize("behaviour", [bad_server.HANG, bad_server.HANG_AFTER_ACCEPT, drip(), stall()])
@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_a_server_that_takes_too_long_is_slow_and_asked_once(step: Step, behaviour: Behaviour) -> None:
    with BadServer(behaviour) as server:
        error = failed(gateway_to(server.url, timeout=0.05), step)
    assert error.rule == "slow"
    assert "accepted the connection but did not answer within 0.3s" in error.message
    assert "timeout" in error.hint
    assert server.accepted == 1


def test_a_login_has_a_time_out_too() -> None:
    for behaviour in (bad_server.HANG, bad_server.HANG_AFTER_ACCEPT, drip(), stall()):
        with BadServer(behaviour) as server:
            error = failed(gateway_to(server.url, login=True, timeout=0.05), LOGIN)
        assert (error.rule, server.accepted) == ("slow", 1)


def test_an_answer_may_take_longer_than_a_connection() -> None:
    with BadServer(bad_server.HANG) as server:
        error = failed(gateway_to(server.url, timeout=0.1), READ)
    assert "within 0.6s" in error.message


def drip_of_a_head(*, after: bytes) -> Behaviour:
    """Send the beginning of an answer's head and then a byte of it now and then, for ever."""

    def act(peer: bad_server.Peer) -> None:
        peer.send(after)
        while not peer.closing.wait(0.02):
            peer.send(b"x")

    return Behaviour(act)


def flood_of_heads() -> Behaviour:
    """Send one head after another as quickly as it goes."""

    def act(peer: bad_server.Peer) -> None:
        while not peer.closing.is_set():
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 400)

    return Behaviour(act)


ENDLESS_HEADS = {
    "flood": flood_of_heads(),
    "status": drip_of_a_head(after=b"HTTP/1.1 200 "),
    "header": drip_of_a_head(after=b"HTTP/1.1 200 OK\r\nX-Long: "),
    "headers": drip_of_a_head(after=b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n"),
    "continue": drip_of_a_head(after=b"HTTP/1.1 100 Continue\r\n\r\n" * 3),
}


@pytest.mark.parametrize("behaviour", ENDLESS_HEADS.values(), ids=ENDLESS_HEADS)
@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_a_head_that_drips_in_is_slow_as_a_whole(step: Step, behaviour: Behaviour) -> None:
    with BadServer(behaviour) as server:
        assert failed(gateway_to(server.url, timeout=0.05), step).rule == "slow"
        assert server.accepted == 1


def test_a_login_whose_head_drips_in_is_slow_as_a_whole() -> None:
    with BadServer(ENDLESS_HEADS["header"]) as server:
        assert failed(gateway_to(server.url, login=True, timeout=0.05), LOGIN).rule == "slow"


def test_an_answer_in_pieces_after_100_continue_is_read() -> None:
    def act(peer: bad_server.Peer) -> None:
        body = json.dumps(REALM).encode()
        head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        for byte in head % len(body) + body:
            peer.send(bytes([byte]))

    with BadServer(Behaviour(act)) as server:
        gateway = gateway_to(server.url)
        assert gateway.read_one("acme").attributes == {"host": "h"}
        gateway.close()


# Broken connections


def cut_head(data: bytes) -> Behaviour:
    """Send a part of an answer's head and close."""
    return Behaviour(lambda peer: peer.send(data))


BREAKS = [
    bad_server.RESET,
    bad_server.RESET_UNREAD,
    bad_server.CLOSE,
    bad_server.BROKEN_CHUNKS,
    bad_server.CUT_CHUNKS,
    bad_server.NOT_HTTP,
    bad_server.BAD_GZIP,
    reset_in_mid_answer(),
    half_json(right_length=False),
    cut_head(b"HTTP/1.1 204"),
    cut_head(b"HTTP/1.1 204 No Content\r\nX: y\r\n"),
]
BREAK_NAMES = ["reset", "unread", "close", "chunks", "cut", "not-http", "gzip", "mid-answer", "length", "204", "head"]


@pytest.mark.parametrize("behaviour", BREAKS, ids=BREAK_NAMES)
@pytest.mark.parametrize(("step", "times"), [(READ, 2), (WRITE, 2), (TEST, 1)])
def test_a_broken_connection_is_reported_after_one_repetition_and_a_post_is_never_repeated(
    step: Step, times: int, behaviour: Behaviour
) -> None:
    with BadServer(behaviour) as server:
        error = failed(gateway_to(server.url), step)
    assert isinstance(error, http.ConnectionLost)
    assert (error.rule, error.message) == (
        "reset",
        f"127.0.0.1:{server.port} closed the connection before it had answered",
    )
    assert server.accepted == times


@pytest.mark.parametrize("behaviour", BREAKS, ids=BREAK_NAMES)
def test_checking_rights_by_an_empty_test_mail_is_not_repeated_either(behaviour: Behaviour) -> None:
    with BadServer(answer(403), behaviour) as server:
        assert failed(gateway_to(server.url), MAY_WRITE).rule == "reset"
    assert server.accepted == 2
    assert [request.method for request in server.requests] in (["GET", "POST"], ["GET"])


@pytest.mark.parametrize("behaviour", BREAKS, ids=BREAK_NAMES)
def test_a_login_is_not_repeated_after_a_broken_connection(behaviour: Behaviour) -> None:
    with BadServer(behaviour) as server:
        error = failed(gateway_to(server.url, login=True), LOGIN)
    assert (error.rule, server.accepted) == ("reset", 1)


@pytest.mark.parametrize("behaviour", BREAKS, ids=BREAK_NAMES)
def test_a_read_or_write_succeeds_after_one_broken_connection(behaviour: Behaviour) -> None:
    with BadServer(behaviour, answer(200, REALM)) as server:
        gateway = gateway_to(server.url)
        assert gateway.read_one("acme").attributes == {"host": "h"}
        gateway.close()
    assert server.accepted == 2
    with BadServer(behaviour, answer(204)) as server:
        gateway = gateway_to(server.url)
        gateway.write("acme", {"password": Secret(HIDDEN)})
        gateway.close()
    assert server.accepted == 2
    sent = [(request.method, json.loads(request.body)) for request in server.requests]
    assert set(map(str, sent)) == {str(("PUT", {"smtpServer": {"password": HIDDEN}}))}


def test_a_refused_token_after_a_broken_connection_is_still_renewed() -> None:
    token = answer(200, {"access_token": "a.b.c", "expires_in": 60})
    with BadServer(token, bad_server.RESET, answer(401), token, answer(200, REALM)) as server:
        gateway = gateway_to(server.url, login=True)
        assert gateway.read_one("acme").realm == "acme"
        gateway.close()
    assert [request.method for request in server.requests] == ["POST", "GET", "GET", "POST", "GET"]


# A server that is busy


def busy(status: int = 503, **headers: str) -> Behaviour:
    """Refuse for now; an underscore in a header's name stands for a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(status, b"<h1>Busy</h1>", "text/html", named)


@pytest.mark.parametrize("status", [429, 503])
def test_reads_and_writes_are_repeated_after_the_retry_after_of_a_busy_server(status: int) -> None:
    given = [(READ, answer(200, REALM), "GET"), (WRITE, answer(204), "PUT")]
    for step, done, method in given:
        clock = Clock()
        with BadServer(busy(status, Retry_After="7"), busy(status), done) as server:
            gateway = gateway_to(server.url, clock=clock)
            step(gateway)
            gateway.close()
        assert clock.waits == [7.0, throttle.FIRST_PAUSE * 2]
        assert [request.method for request in server.requests] == [method] * 3
        assert len({request.body for request in server.requests}) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_test_mail_is_never_sent_again_and_waits_before_it_is_sent(status: int) -> None:
    clock = Clock()
    with BadServer(busy(status, Retry_After="7"), answer(204)) as server:
        gateway = gateway_to(server.url, clock=clock)
        with pytest.raises(RealmError, match=f"busy.*: it answers {status}$"):
            TEST(gateway)
        assert (server.accepted, clock.waits) == (1, [])
        TEST(gateway)
        gateway.close()
    assert (server.accepted, clock.waits) == (2, [7.0])


def test_a_token_that_expires_while_a_test_mail_waits_is_renewed_before_the_request() -> None:
    clock = Clock()

    def a_minute_passes() -> None:
        clock.now += 60

    clock.before_wait = a_minute_passes
    first, second = (answer(200, {"access_token": name, "expires_in": 60}) for name in ("first", "second"))
    with BadServer(first, busy(Retry_After="7"), second, answer(204)) as server:
        gateway = gateway_to(server.url, login=True, clock=clock)
        with pytest.raises(RealmError, match="busy"):
            TEST(gateway)
        TEST(gateway)
        gateway.close()
    assert [request.headers.get("authorization") for request in server.requests] == [
        None,
        "Bearer first",
        None,
        "Bearer second",
    ]


def test_a_token_with_a_lifetime_of_zero_suffices_for_a_test_mail() -> None:
    with BadServer(answer(200, {"access_token": "a.b.c", "expires_in": 0}), answer(204)) as server:
        gateway = gateway_to(server.url, login=True)
        TEST(gateway)
        gateway.close()
    assert server.accepted == 2


def busy_in_json(status: int) -> Behaviour:
    return answer(status, {"error": "slow_down", "error_description": "too many requests"})


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (busy(429), "is too busy: it still answers 429 after 5 tries"),
        (busy(503), "is too busy, or not up: it still answers 503 after 5 tries"),
        (answer(429, {}), "is too busy: it still answers 429 after 5 tries"),
        (busy_in_json(429), "is too busy: it still answers 429 after 5 tries"),
        (busy_in_json(503), "is too busy, or not up: it still answers 503 after 5 tries"),
    ],
)
@pytest.mark.parametrize(
    ("step", "kind"),
    [(READ, RealmError), (WRITE, RealmError), (LIST, ServerUnreachable), (LOGIN, ServerUnreachable)],
)
def test_a_server_that_stays_busy_is_reported_with_the_number_of_requests(
    step: Step, kind: type[ZtrustMailError], behaviour: Behaviour, words: str
) -> None:
    clock = Clock()
    with BadServer(behaviour) as server:
        gateway = gateway_to(server.url, login=step is LOGIN, clock=clock)
        with pytest.raises(kind) as failure:
            step(gateway)
        assert failure.value.message == f"127.0.0.1:{server.port} {words}"
        assert failure.value.rule == TOO_BUSY
        assert "later, or with fewer connections" in failure.value.hint
        with pytest.raises(ServerUnreachable, match="is still too busy: this request was not sent"):
            step(gateway)
        gateway.close()
    assert server.accepted == throttle.MAX_REFUSALS + 1
    assert len(clock.waits) == throttle.MAX_REFUSALS


@pytest.mark.parametrize("status", [429, 503])
def test_a_login_waits_for_a_busy_server_and_its_refusal_is_not_repeated(status: int) -> None:
    clock = Clock()
    no = answer(401, {"error": "invalid_grant"})
    with BadServer(busy(status, Retry_After="7"), no) as server:
        assert failed(gateway_to(server.url, login=True, clock=clock), LOGIN).rule == "login-refused"
    assert (server.accepted, clock.waits) == (2, [7.0])


def test_a_token_that_expires_while_waiting_for_a_busy_server_is_renewed() -> None:
    token = answer(200, {"access_token": "a.b.c", "expires_in": 60})
    steps = [token, answer(401), token, busy(Retry_After="7"), answer(401), token, answer(200, REALM)]
    with BadServer(*steps) as server:
        gateway = gateway_to(server.url, login=True)
        assert gateway.read_one("acme").realm == "acme"
        gateway.close()
    methods = [request.method for request in server.requests]
    assert methods == ["POST", "GET", "POST", "GET", "GET", "POST", "GET"]


# A server that is down


def test_after_several_failures_in_a_row_nothing_more_is_sent() -> None:
    with BadServer(bad_server.RESET) as server:
        gateway = gateway_to(server.url)
        for step in (READ, WRITE, TEST):
            with pytest.raises(http.ConnectionLost):
                step(gateway)
        assert server.accepted == 5
        for step in (*STEPS, MAY_WRITE):
            with pytest.raises(ServerUnreachable) as failure:
                step(gateway)
            assert failure.value.rule == CIRCUIT_OPEN
        assert server.accepted == 5
        gateway.allow_probe()
        with pytest.raises(http.ConnectionLost):
            TEST(gateway)
        gateway.close()
        assert server.accepted == 6


def test_a_cut_off_write_is_reported_as_such_even_if_the_circuit_opens() -> None:
    with BadServer(bad_server.RESET) as server:
        gateway = gateway_to(server.url)
        for _ in range(throttle.MAX_FAILURES):
            with pytest.raises(http.ConnectionLost):
                WRITE(gateway)
        gateway.close()


def test_a_login_to_a_server_that_is_down_is_not_sent_either() -> None:
    with bad_server.nobody() as url:
        gateway = gateway_to(url, login=True)
        rules = []
        for _ in range(throttle.MAX_FAILURES + 1):
            with pytest.raises(ServerUnreachable) as failure:
                gateway.login()
            rules.append(failure.value.rule)
        gateway.close()
    assert rules == ["unreachable"] * throttle.MAX_FAILURES + [CIRCUIT_OPEN]


# Answers that are no answers


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (bad_server.PAGE, "answered 200 with a web page instead of the admin API's JSON"),
        (bad_server.BAD_GATEWAY, "answered 502 with a web page"),
        (half_json(right_length=True), "answered 200 with broken or unknown JSON"),
        (answer(200, b""), "answered 200 with broken or unknown JSON"),
        (answer(200, []), "answered 200 with broken or unknown JSON"),
        (answer(200, "text"), "answered 200 with broken or unknown JSON"),
        (answer(200, b"hello", "text/plain"), "answered 200 with something else"),
        (answer(200, b"[" * 200_000), "answered 200 with broken or unknown JSON"),
    ],
)
def test_an_answer_from_something_else_than_an_identity_server_fails_the_realm_with_a_next_step(
    behaviour: Behaviour, words: str
) -> None:
    with BadServer(behaviour) as server:
        gateway = gateway_to(server.url)
        with pytest.raises(RealmError) as failure:
            gateway.read_one("acme")
        gateway.close()
    assert type(failure.value) is RealmError
    assert words in failure.value.message
    assert failure.value.rule == "not-the-admin-api"
    assert "/auth" in failure.value.hint
    assert server.accepted == 1


@pytest.mark.parametrize("behaviour", [bad_server.PAGE, bad_server.BAD_GATEWAY, answer(500, b"<h1>", "text/html")])
@pytest.mark.parametrize("step", [WRITE, TEST])
def test_a_proxys_page_counts_neither_as_a_write_nor_as_a_sent_mail(step: Step, behaviour: Behaviour) -> None:
    with BadServer(behaviour) as server:
        gateway = gateway_to(server.url)
        with pytest.raises(RealmError) as failure:
            step(gateway)
        gateway.close()
    assert not isinstance(failure.value, MailTestFailed)
    assert "with a web page" in failure.value.message
    assert server.accepted == 1


@pytest.mark.parametrize("behaviour", [bad_server.PAGE, bad_server.BAD_GATEWAY, answer(200, []), answer(200, {})])
@pytest.mark.parametrize("step", [LOGIN, lambda gateway: gateway.read([], everything=True)])
def test_a_login_answered_with_something_else_is_not_the_admin_api(step: Step, behaviour: Behaviour) -> None:
    with BadServer(behaviour) as server:
        assert failed(gateway_to(server.url, login=True), step).rule == "not-the-admin-api"


@pytest.mark.parametrize("behaviour", [bad_server.PAGE, bad_server.BAD_GATEWAY, answer(200, {}), answer(200, b"")])
def test_a_list_answered_with_something_else_is_not_the_admin_api(behaviour: Behaviour) -> None:
    for step in (lambda g: g.realms(), lambda g: g.read([], everything=True)):
        with BadServer(behaviour) as server:
            assert failed(gateway_to(server.url), step).rule == "not-the-admin-api"


@pytest.mark.parametrize(("size", "fits"), [(128 * 1024**2, True), (128 * 1024**2 + 1, False)])
def test_the_size_of_an_answer_is_bounded_once_decompressed(size: int, fits: bool) -> None:
    body = json.dumps(REALM).encode()
    packed = gzip.compress(body + b" " * (size - len(body)), 1)
    with BadServer(answer(200, packed, headers={"Content-Encoding": "gzip"})) as server:
        gateway = gateway_to(server.url)
        if fits:
            assert gateway.read_one("acme").attributes == {"host": "h"}
            gateway.close()
        else:
            assert failed(gateway, READ).rule == "too-large"


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_an_endless_answer_is_cut_off_and_not_requested_again(step: Step) -> None:
    with BadServer(endless()) as server:
        error = failed(gateway_to(server.url), step)
    assert error.rule == "too-large"
    assert error.message == f"the response of 127.0.0.1:{server.port} has more than 128 MiB"
    assert server.accepted == 1


def test_a_compressed_answer_is_read() -> None:
    packed = answer(200, gzip.compress(json.dumps(REALM).encode()), headers={"Content-Encoding": "gzip"})
    with BadServer(packed) as server:
        gateway = gateway_to(server.url)
        assert gateway.read_one("acme").attributes == {"host": "h"}
        gateway.close()


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(("step", "login"), [(READ, False), (WRITE, False), (TEST, False), (LOGIN, True)])
def test_a_redirect_is_not_followed_and_reported_with_its_target(step: Step, login: bool, status: int) -> None:
    with BadServer(answer(200, REALM)) as other, BadServer(redirect(f"{other.url}/x", status)) as server:
        error = failed(gateway_to(server.url, login=login), step)
    assert error.rule == "redirect"
    assert f"redirect to `127.0.0.1:{other.port}`, which is not followed" in error.message
    assert other.accepted == 0
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/elsewhere", "a redirect to another path,"),
        ("http://[broken", "a redirect to another path,"),
        ("https://id.example.com/", "a redirect to `id.example.com`,"),
        ("https://id.example.com\x1b(0/", r"a redirect to `id.example.com\x1b(0`,"),
    ],
)
def test_the_target_of_a_redirect_is_shown_in_printable_characters(location: str, words: str) -> None:
    with BadServer(redirect(location)) as server:
        assert words in failed(gateway_to(server.url), READ).message


@pytest.mark.parametrize("spelled", [str, lambda s: f"user:{s}@host", lambda s: base64.b64encode(s.encode()).decode()])
@pytest.mark.parametrize("step", [READ, WRITE, TEST])
def test_a_redirect_to_a_host_that_quotes_a_secret_does_not_show_it(step: Step, spelled: Callable[[str], str]) -> None:
    for secret in (HIDDEN, READY):
        with BadServer(answer(204), redirect(f"https://{spelled(secret)}/")) as server:
            gateway = gateway_to(server.url)
            WRITE(gateway)
            error = failed(gateway, step)
        assert error.rule == "redirect"
        assert spelled(secret) not in error.message
        assert "a redirect to `" in error.message


@pytest.mark.parametrize("secret", ["first/S3cr3t", "first?S3cr3t", "first#S3cr3t", "first\\S3cr3t"])
@pytest.mark.parametrize("location", ["https://{}/", "//{}", "https://user:{}@host/", "https://x.{}.example/"])
def test_a_redirect_whose_host_ends_within_a_secret_shows_no_part_of_it(secret: str, location: str) -> None:
    with BadServer(answer(204), redirect(location.format(secret))) as server:
        gateway = gateway_to(server.url)
        gateway.write("acme", {"host": "h", "password": Secret(secret)})
        error = failed(gateway, READ)
    assert error.rule == "redirect"
    assert "first" not in error.message


def test_a_redirect_to_bytes_that_are_no_text_is_reported() -> None:
    for login, step in ((True, LOGIN), (False, READ)):
        with BadServer(redirect("/caf\xe9")) as server:
            assert failed(gateway_to(server.url, login=login), step).rule in ("redirect", "unreachable")


# Certificates


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS with a certificate of the test's own authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(params=["no bundle", "a bundle"])
def _bundle_in_the_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "a bundle":
        trustme.CA().cert_pem.write_to_path(tmp_path / "unrelated.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "unrelated.pem"))


@pytest.mark.usefixtures("_bundle_in_the_environment")
@pytest.mark.parametrize("login", [True, False])
def test_a_private_authority_is_trusted_with_ca_bundle_alone(tls: ssl.SSLContext, ca_file: Path, login: bool) -> None:
    given = [answer(200, {"access_token": "a.b.c"})] if login else []
    with BadServer(*given, answer(200, REALM), tls=tls) as server:
        gateway = gateway_to(server.url, login=login, ca_bundle=str(ca_file))
        assert gateway.read_one("acme").attributes == {"host": "h"}
        gateway.close()
    with BadServer(answer(200, REALM), tls=tls) as server:
        error = failed(gateway_to(server.url, login=login), READ)
    assert (error.rule, error.message) == (
        "tls",
        f"TLS handshake with 127.0.0.1:{server.port} failed: its certificate is signed by an unknown authority",
    )
    assert "ca_bundle" in error.hint
    assert server.requests == []


def test_the_environments_bundle_is_used_without_ca_bundle(
    tls: ssl.SSLContext, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    with BadServer(answer(200, {"access_token": "a.b.c"}), answer(200, REALM), tls=tls) as server:
        gateway = gateway_to(server.url, login=True)
        assert gateway.read_one("acme").attributes == {"host": "h"}
        gateway.close()


@pytest.mark.parametrize("login", [True, False])
def test_a_certificate_for_another_name_is_not_trusted(authority: trustme.CA, ca_file: Path, login: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with BadServer(answer(200, REALM), tls=context) as server:
        assert "certificate" in failed(gateway_to(server.url, login=login, ca_bundle=str(ca_file)), READ).message
    assert server.requests == []


def test_a_port_without_tls_is_not_reported_as_a_wrong_certificate() -> None:
    with BadServer(Behaviour(lambda peer: peer.send(b"HTTP/1.1 400 Bad\r\n\r\n"), reads=False)) as server:
        error = failed(gateway_to(server.url.replace("http:", "https:")), READ)
    assert (error.rule, error.message) == (
        "tls",
        f"TLS handshake with 127.0.0.1:{server.port} failed: the port does not speak TLS",
    )


@pytest.mark.parametrize("login", [True, False])
def test_a_bundle_without_certificates_is_reported(tls: ssl.SSLContext, tmp_path: Path, login: bool) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate", encoding="ascii")
    with BadServer(answer(200, REALM), tls=tls) as server:
        error = failed(gateway_to(server.url, login=login, ca_bundle=str(bundle)), READ)
    assert error.rule == "tls"
    assert "ca_bundle" in error.hint
    assert server.requests == []


@pytest.mark.parametrize("login", [True, False])
def test_a_missing_bundle_of_the_environment_is_reported_with_its_variable(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, login: bool
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with BadServer(answer(200, REALM), tls=tls) as server:
        error = failed(gateway_to(server.url, login=login), READ)
    assert (error.rule, error.message) == ("tls", "cannot read the file of trusted certificates")
    assert "REQUESTS_CA_BUNDLE" in error.hint
    assert server.accepted == 0


def test_neither_ca_bundle_nor_the_environment_makes_connecting_warn_or_fail(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    gateway_to("https://id.example.com", ca_bundle=str(ca_file)).close()
    gateway_to("https://id.example.com").close()


# Logins of others, and proxies


@pytest.mark.parametrize("login", [True, False])
def test_a_login_in_netrc_is_not_used(
    tls: ssl.SSLContext, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: bool
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login netrc-user password netrc-word\n", encoding="ascii")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with BadServer(answer(200, {"access_token": "a.b.c", **REALM}), tls=tls) as server:  # plain http ignores the file
        assert requests.utils.get_netrc_auth(server.url) == ("netrc-user", "netrc-word")
        gateway = gateway_to(server.url, login=login, ca_bundle=str(ca_file))
        gateway.read_one("acme")
        gateway.close()
    headers = [request.headers.get("authorization") for request in server.requests]
    assert headers == ([None, "Bearer a.b.c"] if login else [f"Bearer {READY}"])


@pytest.mark.usefixtures("_no_proxy")
def test_plain_http_to_this_machine_does_not_go_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with BadServer(answer(200, {"access_token": "a.b.c", **REALM})) as server, BadServer(answer(200)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        gateway = gateway_to(server.url, login=True)
        gateway.read_one("acme")
        gateway.close()
    assert (server.accepted, proxy.accepted) == (2, 0)


@pytest.mark.usefixtures("_no_proxy")
@pytest.mark.parametrize("login", [True, False])
def test_a_proxy_that_does_not_work_is_reported(monkeypatch: pytest.MonkeyPatch, login: bool) -> None:
    with BadServer(answer(407)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        error = failed(gateway_to("https://id.example.com", login=login), READ)
    assert (error.rule, error.message) == ("proxy", "cannot reach id.example.com through the proxy")
    assert [request.method for request in proxy.requests] == ["CONNECT"]


@pytest.mark.usefixtures("_no_proxy")
def test_a_proxy_of_an_unsupported_kind_is_reported_at_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"ftp://{HIDDEN}@proxy.example:1")
    with pytest.raises(ConfigError) as failure:
        gateway_to("https://id.example.com").login()
    assert failure.value.rule == "proxy"
    assert "HTTPS_PROXY" in failure.value.hint
    assert HIDDEN not in "".join(traceback.format_exception(failure.value))


@pytest.mark.usefixtures("_no_proxy")
@pytest.mark.parametrize("login", [True, False])
def test_a_proxy_with_a_broken_url_is_reported(monkeypatch: pytest.MonkeyPatch, login: bool) -> None:
    monkeypatch.setenv("https_proxy", "http://[broken")
    assert "HTTPS_PROXY" in failed(gateway_to("https://id.example.com", login=login), READ).hint


# Requests that cannot be sent


@pytest.mark.parametrize("login", [True, False])
@pytest.mark.parametrize("host", ["a..b.example", "x" * 64 + ".example", "exa mple.com", "-\u00fc-.\u0600"])
def test_an_impossible_host_name_is_reported(host: str, login: bool) -> None:
    assert failed(gateway_to(f"https://{host}", login=login), READ).rule in ("unreachable", "proxy")


def test_a_login_with_a_lone_surrogate_is_reported() -> None:
    with BadServer(answer(200)) as server:
        gateway = gateway_to(server.url, login=True, username="caf\udce9")
        error = failed(gateway, LOGIN)
    assert "cannot send the request" in error.message
    assert "login" in error.hint
    assert server.requests == []


@pytest.mark.parametrize(
    ("cause", "rule"),
    [
        (failures.InvalidURL("x"), "unreachable"),
        (failures.InvalidSchema("Missing dependencies for SOCKS support."), "unreachable"),
        (failures.ConnectionError(urllib3.exceptions.ProtocolError("x")), "reset"),
        (failures.ConnectionError(), "reset"),
        (failures.TooManyRedirects(), "redirect"),
        (failures.SSLError(), "tls"),
        (failures.ProxyError(), "proxy"),
        (failures.InvalidProxyURL(), "proxy"),
        (failures.RetryError(), "unreachable"),
        (ValueError("x"), "unreachable"),
        (OSError("x"), "tls"),
        (None, "unreachable"),
    ],
)
def test_only_a_broken_connection_counts_as_a_lost_connection(cause: BaseException | None, rule: str) -> None:
    error = http.describe_failure(cause, "https://id.example.com", (1, 2), Redactor())
    assert error.rule == rule
    assert isinstance(error, http.ConnectionLost) is (rule == "reset")


def cannot_connect(reason: urllib3.exceptions.NewConnectionError) -> failures.ConnectionError:
    """Return the error of requests for a connection that was never made."""
    return failures.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", reason))  # type: ignore[arg-type]


def no_connection(cause: OSError) -> urllib3.exceptions.NewConnectionError:
    """Return the error of urllib3 for what the operating system says."""
    error = urllib3.exceptions.NewConnectionError(None, "x")  # type: ignore[arg-type]
    error.__cause__ = cause
    return error


UNRESOLVED = urllib3.exceptions.NameResolutionError("id.example.com", None, socket.gaierror())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (UNRESOLVED, "its name does not resolve"),
        (no_connection(ConnectionRefusedError()), "connection refused"),
        (no_connection(OSError(errno.ENETUNREACH, "x")), "network unreachable"),
        (no_connection(OSError(errno.EHOSTUNREACH, "x")), "network unreachable"),
        (no_connection(OSError(errno.EMFILE, "x")), "this machine does not open the connection"),
        (ResolutionTimeout(None, "x"), "its name did not resolve within 1s"),  # type: ignore[arg-type]
    ],
)
def test_a_connection_that_cannot_be_made_says_why(reason: urllib3.exceptions.NewConnectionError, words: str) -> None:
    error = http.describe_failure(cannot_connect(reason), "https://id.example.com", (1, 2), Redactor())
    assert type(error) is ServerUnreachable
    assert (error.rule, error.message) == ("unreachable", f"cannot connect to id.example.com: {words}")


def test_a_certificate_that_has_expired_says_so(authority: trustme.CA, ca_file: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 2, tzinfo=UTC)).configure_cert(context)
    with BadServer(answer(200, REALM), tls=context) as server:
        error = failed(gateway_to(server.url, ca_bundle=str(ca_file)), READ)
    assert error.message == f"TLS handshake with 127.0.0.1:{server.port} failed: its certificate has expired"
    assert server.requests == []


# The server's own words


def answered(body: object, status: int = 400) -> requests.Response:
    """Return an answer as requests has it."""
    response = requests.Response()
    response.status_code = status
    response.url = "https://id.example.com/x"
    response.raw = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    return response


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"errorMessage": "a", "error": "b"}, "a"),
        ({"error": "b", "error_description": "c"}, "c"),
        ({"error": "b", "message": "d"}, "b"),
        ({"message": "d"}, "d"),
        ({"errorMessage": "", "error": "b"}, "b"),
        ({"errorMessage": None, "error": ["x"]}, ""),
        ({"errorMessage": "x" * 500}, "x" * 300),
        ([], ""),
        ("text", ""),
        (b"<html>", ""),
        (b"\xff", ""),
        (b"[" * 200_000, ""),
        (b"", ""),
    ],
)
def test_the_servers_own_message_is_found(body: object, message: str) -> None:
    assert http.server_message(answered(body), Redactor()) == message


def knowing(*secrets: str) -> Redactor:
    """Return a redactor that knows some secrets."""
    redactor = Redactor()
    redactor.add([*map(Secret, secrets), "host", None])
    return redactor


@pytest.mark.parametrize("secret", ["S3cr3t", 'a"b\\c', "pä ss&w/ö", "x"])
@pytest.mark.parametrize("quote", [str, lambda s: json.dumps(s)[1:-1], lambda s: requests.utils.quote(s, safe="")])
def test_a_secret_of_the_request_is_removed_from_the_servers_message(secret: str, quote: Callable[[str], str]) -> None:
    response = answered({"errorMessage": f"bad value {quote(secret)}!"})
    message = http.server_message(response, knowing(secret))
    assert secret not in message.removeprefix("bad value")
    assert message.endswith("…!")


def test_a_secret_at_the_end_of_a_long_message_is_not_cut_into() -> None:
    message = http.server_message(answered({"error": "x" * 295 + HIDDEN}), knowing(HIDDEN))
    assert message == "x" * 295 + "…"


def test_two_nested_secrets_are_both_removed_from_a_message() -> None:
    assert http.server_message(answered({"error": "abcdef"}), knowing("cd", "abcdef")) == "…"


@pytest.mark.parametrize(
    "quoted", [str, quote, quote_plus, lambda s: quote_plus(s).lower(), lambda s: quote(s, safe="")]
)
def test_form_and_url_encoded_secrets_are_removed_from_a_message(quoted: Callable[[str], str]) -> None:
    secret = "Top secret/Pä+ss&word"
    assert http.server_message(answered({"error": f"no: {quoted(secret)}."}), knowing(secret)) == "no: …."


@responses.activate
def test_an_answer_without_a_content_type_is_not_the_admin_api() -> None:
    responses.get("https://id.example.com/admin/realms/acme", body=b"x", content_type="")
    with pytest.raises(RealmError, match="with something else"):
        gateway_to("https://id.example.com").read_one("acme")
