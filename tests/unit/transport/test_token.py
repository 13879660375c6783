"""One token for all threads: fetched once, renewed in time, and every refusal explained."""

from __future__ import annotations

import base64
import json
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import responses
from support.bad_server import BadServer, answer
from support.waiting import Clock

from ztrust_mail.core.errors import ServerError, ServerRefused, ServerUnreachable
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.settings import Server
from ztrust_mail.transport.throttle import PROBE_AFTER
from ztrust_mail.transport.token import Token, TokenSource

HIDDEN = "S3cr3t-w0rd"
URL = "https://id.example.com"
ENDPOINT = f"{URL}/realms/master/protocol/openid-connect/token"
THREADS = 32


def source_at(url: str = URL, waiting: Clock | None = None, **more: object) -> TokenSource:
    """Return a token source with the sandbox administrator's login, unless told otherwise."""
    account = {"username": "admin", "password": Secret("admin")}
    server = Server(url, **{**account, **more})  # type: ignore[arg-type]
    return TokenSource(server, (waiting or Clock()).throttle(), Redactor())


def jwt(**claims: object) -> str:
    """Return a token that says so."""
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in ({}, claims, "s"))


def refused(source: TokenSource, kind: type[ServerError] = ServerRefused) -> ServerError:
    """Return why there is no token."""
    with pytest.raises(ServerError) as refusal:
        source.current()
    assert type(refusal.value) is kind
    assert refusal.value.hint
    assert refusal.value.__context__ is None or isinstance(refusal.value.__context__, ServerError)
    told = traceback.TracebackException.from_exception(refusal.value, capture_locals=True)
    assert HIDDEN not in "".join(told.format()) + refusal.value.message
    return refusal.value


def logins(sandbox: Sandbox) -> int:
    """Return how many tokens were asked for."""
    return sum(request.path.endswith("/token") for request in sandbox.requests)


def together(work: Callable[[int], object]) -> list[object]:
    """Do something in many threads that all begin at once; what it raises is what it returns."""
    gate = threading.Barrier(THREADS)

    def one(number: int) -> object:
        gate.wait()
        try:
            return work(number)
        except ServerError as e:
            return e

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


def test_no_error_about_a_password_that_is_not_unicode_holds_it() -> None:
    refused(source_at(password=Secret(f"{HIDDEN}\udce4")), ServerUnreachable)


# One token for all


def test_many_threads_share_one_login(ztrust_sandbox: Sandbox) -> None:
    source = source_at(ztrust_sandbox.url)
    tokens = together(lambda _: source.current())
    assert all(token is tokens[0] for token in tokens)
    assert logins(ztrust_sandbox) == 1
    source.close()


def test_many_threads_share_one_renewal_of_a_refused_token(ztrust_sandbox: Sandbox) -> None:
    source = source_at(ztrust_sandbox.url)
    first = source.current()
    tokens = together(lambda _: source.renew(first))
    assert all(token is tokens[0] for token in tokens)
    assert tokens[0] is not first
    assert logins(ztrust_sandbox) == 2
    source.close()


def test_a_token_that_somebody_has_renewed_already_is_not_renewed_again(ztrust_sandbox: Sandbox) -> None:
    source = source_at(ztrust_sandbox.url)
    first = source.current()
    second = source.renew(first)
    assert source.renew(first) is second
    assert source.current() is second
    assert logins(ztrust_sandbox) == 2
    source.close()


def test_threads_that_wait_for_a_failed_login_fail_without_trying_again() -> None:
    """A server that answers the login only when all threads are waiting for it."""
    waiting = threading.Semaphore(0)

    class Counting(TokenSource):
        def _get_shared(self, is_due: Callable[[Token], bool]) -> Token:
            waiting.release()
            return super()._get_shared(is_due)

    def hold(peer: object) -> None:
        for _ in range(THREADS):
            assert waiting.acquire(timeout=20)
        wrong.act(peer)  # type: ignore[arg-type]

    wrong = answer(401, {"error": "invalid_grant", "error_description": "Invalid user credentials"})
    with BadServer(type(wrong)(hold), wrong) as server:
        account = Server(server.url, username="ann", password=Secret(HIDDEN), timeout=30)
        source = Counting(account, Clock().throttle(), Redactor())
        failures = together(lambda _: source.current())
        source.close()
    assert {(type(f), f.rule) for f in failures if isinstance(f, ServerError)} == {(ServerRefused, "login-refused")}
    assert len(failures) == THREADS
    # a thread between counting and waiting may come late and try for itself; all of them never do
    assert server.accepted < THREADS / 2


def test_a_login_that_failed_may_be_tried_again_later(ztrust_sandbox: Sandbox) -> None:
    waiting = Clock()
    source = source_at(ztrust_sandbox.url, waiting)
    ztrust_sandbox.faults.unavailable = True
    assert refused(source, ServerUnreachable).rule == "too-busy"
    ztrust_sandbox.faults.unavailable = False
    waiting.now += PROBE_AFTER
    assert source.current().value.reveal()
    source.close()


# Renewal in time


@responses.activate
def test_a_token_is_used_until_a_quarter_of_its_life_is_left(clock: Clock) -> None:
    for name in "abc":
        responses.post(ENDPOINT, json={"access_token": name, "expires_in": 60})
    source = source_at(waiting=clock)
    seen = []
    for now in (0.0, 44.9, 45.0, 89.9, 90.0):
        clock.now = 1000.0 + now
        seen.append(source.current().value.reveal())
    assert seen == ["a", "a", "b", "b", "c"]


@responses.activate
@pytest.mark.parametrize(
    ("expires_in", "used_for"),
    [
        (4, 3.0),
        (2.0, 1.5),
        (None, 45.0),
        ("soon", 45.0),
        (10**400, 64_800.0),
        (1e300, 64_800.0),
    ],
)
def test_absent_or_implausible_token_lifetimes_are_bounded(clock: Clock, expires_in: object, used_for: float) -> None:
    responses.post(ENDPOINT, json={"access_token": "a", "expires_in": expires_in})
    responses.post(ENDPOINT, json={"access_token": "b", "expires_in": 60})
    source = source_at(waiting=clock)
    assert source.current().value.reveal() == "a"
    clock.now += used_for - 0.1
    assert source.current().value.reveal() == "a"
    clock.now += 0.1
    assert source.current().value.reveal() == "b"


@responses.activate
@pytest.mark.parametrize("expires_in", [0, -5])
def test_a_token_without_a_lifetime_is_fetched_for_every_use(expires_in: int) -> None:
    responses.post(ENDPOINT, json={"access_token": "a", "expires_in": expires_in})
    source = source_at()
    assert [source.current().value.reveal() for _ in range(3)] == ["a"] * 3
    assert len(responses.calls) == 3


# A ready token


@responses.activate
def test_a_ready_token_is_used_as_it_is_and_no_login_is_made(clock: Clock) -> None:
    source = source_at(waiting=clock, token=Secret("ready.token"), username="", password=None)
    clock.now += 1e9
    assert source.current().value == Secret("ready.token")
    assert not source.renewable
    assert len(responses.calls) == 0


def test_a_ready_token_that_is_refused_is_explained() -> None:
    source = source_at(token=Secret(HIDDEN))
    first = source.current()
    with pytest.raises(ServerRefused) as refusal:
        source.renew(first)
    assert refusal.value.rule == "token-refused"
    assert "it has expired or was revoked" in refusal.value.message
    assert "ZTRUST_MAIL_TOKEN" in refusal.value.hint
    assert HIDDEN not in refusal.value.message
    assert source.current() is first


@pytest.mark.parametrize("token", [f"{HIDDEN}\n", f" {HIDDEN}", f"Bearer {HIDDEN}", f"{HIDDEN}é", f"{HIDDEN}\x00"])
def test_a_given_token_with_invalid_characters_is_refused_before_it_is_sent(token: str) -> None:
    error = refused(source_at(token=Secret(token)))
    assert error.rule == "token-refused"
    assert error.message == "the given token contains characters that no token has"


# What is sent


@responses.activate
@pytest.mark.parametrize(
    ("given", "form"),
    [
        (
            {"username": "ann", "password": Secret("p&=ä")},
            {"grant_type": "password", "client_id": "admin-cli", "username": "ann", "password": "p&=ä"},
        ),
        (
            {"username": "ann", "password": None},
            {"grant_type": "password", "client_id": "admin-cli", "username": "ann"},
        ),
        (
            {"username": "", "client_id": "mailer", "client_secret": Secret("s")},
            {"grant_type": "client_credentials", "client_id": "mailer", "client_secret": "s"},
        ),
        (
            {"username": "ann", "password": Secret("p"), "client_id": "mailer", "client_secret": Secret("s")},
            {
                "grant_type": "password",
                "client_id": "mailer",
                "client_secret": "s",
                "username": "ann",
                "password": "p",
            },
        ),
    ],
)
def test_the_login_fits_the_credentials(given: dict[str, object], form: dict[str, str]) -> None:
    matching = responses.matchers.urlencoded_params_matcher({**form, "scope": "openid"})
    responses.post(ENDPOINT, json={"access_token": "a", "expires_in": 60}, match=[matching])
    assert source_at(**given).current().value == Secret("a")


@responses.activate
@pytest.mark.parametrize(
    ("realm", "segment"),
    [("a b", "a%20b"), ("ü", "%C3%BC"), ("a/b", "a%2Fb"), ("50%", "50%25"), ("a?b#c", "a%3Fb%23c")],
)
def test_the_realm_of_the_login_is_percent_encoded(realm: str, segment: str) -> None:
    responses.post(f"{URL}/realms/{segment}/protocol/openid-connect/token", json={"access_token": "a"})
    source_at(realm=realm).current()
    assert str(responses.calls[0].request.url).startswith(f"{URL}/realms/{segment}/protocol/")


def test_without_any_login_nothing_is_sent() -> None:
    error = refused(source_at("http://nobody.invalid", username="", password=Secret(HIDDEN)))
    assert (error.rule, error.message) == ("no-login", "no credentials given")
    for variable in ("USERNAME", "_CLIENT_ID", "_TOKEN"):
        assert variable in error.hint


def test_a_user_and_a_service_account_log_in_at_the_sandbox(ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.create_client("acme", "mailer", "word", ["manage-realm"])
    user = source_at(ztrust_sandbox.url)
    service = source_at(ztrust_sandbox.url, username="", client_id="mailer", client_secret=Secret("word"), realm="acme")
    assert user.current().claims["email"] == "admin@sandbox.example"
    assert service.current().claims["preferred_username"] == "service-account-mailer"
    user.close()
    service.close()


# Refusals


@pytest.mark.parametrize("version", ["16.1.1", "26.7.4"])
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"password": Secret(HIDDEN)}, "login of `admin` to realm `master`: the user name or password is wrong"),
        ({"username": "nobody"}, "login of `nobody` to realm `master`: the user name or password is wrong"),
        ({"client_id": "nil"}, "the client id or its secret is wrong"),
        (
            {"client_id": "mailer", "client_secret": Secret(HIDDEN), "username": ""},
            "login of `mailer` to realm `master`: the client id or its secret is wrong",
        ),
        ({"client_id": "mailer"}, "the client id or its secret is wrong"),
        ({"client_secret": Secret("x"), "username": ""}, "the client may not log in this way"),
    ],
)
def test_a_refused_login_is_reported_with_its_reason_and_the_servers_message(
    version: str, given: dict[str, object], reason: str
) -> None:
    with Sandbox(SandboxOptions(version=version)) as sandbox:
        sandbox.create_client("master", "mailer", "word")
        source = source_at(sandbox.url, **given)
        error = refused(source)
        source.close()
        assert logins(sandbox) == 1
    assert error.rule == "login-refused"
    assert error.message.startswith(f"127.0.0.1:{sandbox.port} refuses the login of ")
    assert reason in error.message
    assert "; the server says `" in error.message


def test_a_login_realm_that_does_not_exist_is_reported(ztrust_sandbox: Sandbox) -> None:
    source = source_at(ztrust_sandbox.url, realm="mastre")
    error = refused(source)
    source.close()
    assert error.rule == "no-realm"
    assert "has no realm `mastre` to log in to" in error.message


@responses.activate
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": "Unable to find matching target resource method"}),
        (404, {"error": "RESTEASY003210: Could not find resource for full path: https://id/x"}),
        (404, []),
        (500, {}),
        (200, {}),
        (200, []),
        (200, {"access_token": 1}),
        (200, {"access_token": None}),
    ],
)
def test_an_answer_from_the_wrong_place_points_to_the_urls_path(status: int, body: object) -> None:
    responses.post(ENDPOINT, json=body, status=status)
    error = refused(source_at(), ServerUnreachable)
    assert error.rule == "not-the-admin-api"
    assert "/auth" in error.hint


@responses.activate
@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[" * 200_000, b"\xff"])
@pytest.mark.parametrize("status", [200, 401])
def test_a_login_answer_that_is_not_json_points_to_the_urls_path(status: int, body: bytes) -> None:
    responses.post(ENDPOINT, body=body, status=status, content_type="text/html")
    assert refused(source_at(), ServerUnreachable).rule == "not-the-admin-api"


@responses.activate
def test_an_unknown_refusal_is_reported_with_the_servers_message() -> None:
    responses.post(ENDPOINT, json={"error": "access_denied", "error_description": "Realm not enabled"}, status=403)
    error = refused(source_at())
    assert error.message.endswith("to realm `master`; the server says `Realm not enabled`")


@responses.activate
@pytest.mark.parametrize("error", [None, [], {"a": 1}, 7, ""])
def test_a_refusal_without_a_message_is_reported(error: object) -> None:
    responses.post(ENDPOINT, json={"error": error}, status=401)
    assert refused(source_at()).message.endswith("refuses the login of `admin` to realm `master`")


@responses.activate
@pytest.mark.parametrize("grant", [{"client_secret": Secret(HIDDEN)}, {"password": Secret(HIDDEN)}])
def test_a_server_message_that_quotes_the_secret_is_not_shown(grant: dict[str, object]) -> None:
    said = f"bad value {HIDDEN} in {HIDDEN}\x1b[31m"
    responses.post(ENDPOINT, json={"error": "invalid_grant", "error_description": said}, status=400)
    assert r"the server says `bad value … in …\x1b[31m`" in refused(source_at(**grant)).message


# What a token says


@responses.activate
@pytest.mark.parametrize(
    ("access", "identity", "claims"),
    [
        (jwt(sub="1", email="a@b"), None, {"sub": "1", "email": "a@b"}),
        (jwt(sub="1", email="old@b"), jwt(email="a@b"), {"sub": "1", "email": "a@b"}),
        (jwt(name="ünï"), 7, {"name": "ünï"}),
        ("opaque", "a.b.c", {}),
        ("a.%%%.c", None, {}),
        ("a.é.c", None, {}),
        (f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.c", None, {}),
        (f"a.{base64.urlsafe_b64encode(b'[' * 200_000).decode()}.c", None, {}),
        (f"a.{base64.urlsafe_b64encode(bytes([0xFF])).decode()}.c", None, {}),
    ],
)
def test_claims_are_read_from_jwts_and_other_tokens_have_none(
    access: str, identity: object, claims: dict[str, object]
) -> None:
    responses.post(ENDPOINT, json={"access_token": access, "id_token": identity, "expires_in": 60})
    token = source_at().current()
    assert dict(token.claims) == claims
    assert token.value == Secret(access)


@responses.activate
def test_the_repr_of_a_token_does_not_show_it() -> None:
    responses.post(ENDPOINT, json={"access_token": HIDDEN, "refresh_token": HIDDEN, "expires_in": 60})
    source = source_at(password=Secret(HIDDEN))
    assert HIDDEN not in repr(source.current()) + repr(vars(source))
