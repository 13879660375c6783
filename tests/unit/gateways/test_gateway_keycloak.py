"""The Keycloak gateway: names in paths, missing rights, and the answers to reads, writes and tests."""

from __future__ import annotations

import base64
import json
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import pytest
import requests
import responses
from responses import matchers
from support.bad_server import BadServer, answer
from support.waiting import Clock

from ztrust_mail.core.errors import (
    NOT_THE_API,
    ConfigError,
    MailTestFailed,
    RealmError,
    RealmMissing,
    RealmUnreadable,
    ServerRefused,
    ServerUnreachable,
    ZtrustMailError,
)
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.gateway import TEST_UNKNOWN, Account, LiveRealm
from ztrust_mail.gateways.keycloak.client import KeycloakClient
from ztrust_mail.gateways.keycloak.gateway import FEW_READS, MAX_SINGLE_READS, SINGLE_READ_COST, KeycloakGateway
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.sandbox.state import Busy
from ztrust_mail.settings import Server, Settings, choose_server

HIDDEN = "S3cr3t-w0rd"
URL = "https://id.example.com"
ADMIN = {"username": "admin", "password": Secret("admin")}
MANY = tuple(f"realm-{n:03}" for n in range(MAX_SINGLE_READS + 4))
SMTP = {"host": "mail.example", "from": "a@b.example"}


def gateway_to(url: str, clock: Clock | None = None, **more: object) -> KeycloakGateway:
    """Return a gateway of the administrator, unless another login is given."""
    login = {} if {"username", "client_secret", "token"} & set(more) else ADMIN
    server = Server(url, **{**login, **more})  # type: ignore[arg-type]
    return KeycloakGateway(server, KEYCLOAK, (clock or Clock()).throttle(server.connections))


@pytest.fixture
def gateway(ztrust_sandbox: Sandbox) -> Iterator[KeycloakGateway]:
    """The administrator's gateway to the sandbox."""
    made = gateway_to(ztrust_sandbox.url)
    yield made
    made.close()


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    """Answers to exact requests, each of which has to come."""
    with responses.RequestsMock() as made:
        yield made


@pytest.fixture
def ready(mock: responses.RequestsMock) -> Iterator[KeycloakGateway]:
    """A gateway with a ready token, for these answers."""
    made = gateway_to(URL, token=Secret("ready-token"))
    yield made
    made.close()


def admin_requests(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Return what came in beside logins."""
    return [(r.method, r.path) for r in sandbox.requests if not r.path.endswith("/token")]


def logins(sandbox: Sandbox) -> int:
    """Return how many tokens were asked for."""
    return len(sandbox.requests) - len(admin_requests(sandbox))


def kinds(reading: dict[str, object]) -> dict[str, type]:
    """Return what became of each realm."""
    return {name: type(live) for name, live in reading.items()}


# Where things are


def test_connecting_sends_nothing_and_takes_the_products_dialect(ztrust_sandbox: Sandbox) -> None:
    for name in ("keycloak", "ztrust"):
        made = connect(Server(ztrust_sandbox.url, gateway=name, connections=3))
        assert (made.dialect.name, made.url, made.connections) == (name, ztrust_sandbox.url, 3)
        assert made.dialect.rows[:-1] == DIALECTS[name].rows
        assert made.capabilities.write
        made.close()
    assert ztrust_sandbox.requests == ()


@pytest.mark.parametrize("slash", ["", "/", "//"])
@pytest.mark.parametrize("base", ["", "/auth", "/id/auth"])
@responses.activate
def test_the_base_path_of_a_url_is_used_with_or_without_a_final_slash(base: str, slash: str) -> None:
    environ = {"ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": "admin"}
    responses.post(f"{URL}{base}/realms/master/protocol/openid-connect/token", json={"access_token": "a"})
    responses.get(f"{URL}{base}/admin/realms/acme", json={"realm": "acme", "smtpServer": SMTP})
    responses.put(f"{URL}{base}/admin/realms/acme", status=204)
    responses.post(f"{URL}{base}/admin/realms/acme/testSMTPConnection", status=204)
    responses.get(f"{URL}{base}/admin/realms", json=[])
    responses.get(f"{URL}{base}/admin/serverinfo", json={"systemInfo": {"version": "26.7.4"}})
    made = connect(choose_server(Settings(), f"{URL}{base}{slash}", environ=environ))
    assert made.read_one("acme").attributes == SMTP
    made.write("acme", {})
    made.test("acme", SMTP)
    assert made.realms() == []
    assert made.version() == (26, 7, 4)
    made.close()


def test_old_servers_under_auth_work() -> None:
    with Sandbox(SandboxOptions(version="16.1.1", base_path="/auth")) as sandbox:
        made = gateway_to(sandbox.url)
        made.write("acme", SMTP)
        assert made.read_one("acme").attributes == SMTP
        made.close()


NAMES = [
    "a b",
    "100%",
    "%2e%2e",
    "über",
    "a+b",
    "日本",
    "a%20b",
    "...",
    "a.b",
    "~x",
    "a=b@c:d",
    "x'y\"z",
    "\\",
    "a\u00a0b",
]


@pytest.mark.parametrize("name", NAMES)
def test_realms_of_every_valid_name_are_read_written_and_tested(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway, name: str
) -> None:
    ztrust_sandbox.create_realm(name, SMTP)
    assert gateway.read_one(name).attributes == SMTP
    gateway.write(name, {**SMTP, "host": "new.example"})
    assert ztrust_sandbox.smtp(name)["host"] == "new.example"
    assert gateway.may_write(name)
    paths = [path for _, path in admin_requests(ztrust_sandbox) if not path.endswith("/whoami")]
    assert {unquote(path.split("/")[3]) for path in paths} == {name}
    assert {len(path.split("/")) for path in paths} == {4, 5}


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("a/b", "a%2Fb"),
        ("/", "%2F"),
        ("a?b", "a%3Fb"),
        ("a#b", "a%23b"),
        ("a;b", "a%3Bb"),
        ("../master", "..%2Fmaster"),
    ],
)
def test_an_unusual_name_is_one_segment_of_the_path_and_reported_as_missing(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway, name: str, segment: str
) -> None:
    with pytest.raises(RealmError):
        gateway.write(name, SMTP)
    assert admin_requests(ztrust_sandbox) == [("PUT", f"/admin/realms/{segment}")]


@pytest.mark.parametrize("name", [".", "..", "", "caf\udce9"])
def test_a_name_that_would_change_the_path_is_refused_before_any_request(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway, name: str
) -> None:
    gateway.login()
    for call in (lambda: gateway.read_one(name), lambda: gateway.write(name, SMTP), lambda: gateway.test(name, SMTP)):
        with pytest.raises(RealmError) as refusal:
            call()
        assert refusal.value.rule == "bad-name"
        assert "cannot be used in a URL" in refusal.value.message
    assert kinds(dict(gateway.read([name, "acme"], everything=False).realms)) == {name: RealmError, "acme": LiveRealm}
    assert [path for _, path in admin_requests(ztrust_sandbox)] == ["/admin/realms/acme"]


@pytest.mark.parametrize("name", [".", "..", ""])
def test_nothing_is_written_to_a_realm_name_that_changes_the_path(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway, name: str
) -> None:
    assert gateway.may_write(name) is False
    assert ztrust_sandbox.requests == ()


# One token


def test_many_threads_log_in_once(ztrust_sandbox: Sandbox) -> None:
    made = gateway_to(ztrust_sandbox.url, connections=32)
    gate = threading.Barrier(32)

    def read(_: int) -> LiveRealm:
        gate.wait()
        return made.read_one("acme")

    with ThreadPoolExecutor(32) as pool:
        assert [live.realm for live in pool.map(read, range(32))] == ["acme"] * 32
    assert logins(ztrust_sandbox) == 1
    assert len(admin_requests(ztrust_sandbox)) == 32
    made.close()


@pytest.mark.parametrize("many", [1, 32])
def test_a_token_that_the_server_has_forgotten_is_renewed_once(ztrust_sandbox: Sandbox, many: int) -> None:
    made = gateway_to(ztrust_sandbox.url, connections=32)
    made.login()
    ztrust_sandbox.expire_tokens()
    with ThreadPoolExecutor(many) as pool:
        assert len(list(pool.map(made.read_one, ["acme"] * many))) == many
    assert logins(ztrust_sandbox) == 2
    made.close()


def test_a_write_survives_a_forgotten_token(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    gateway.login()
    ztrust_sandbox.expire_tokens()
    gateway.write("acme", SMTP)
    assert ztrust_sandbox.smtp("acme") == SMTP
    assert logins(ztrust_sandbox) == 2


def test_a_test_mail_is_not_asked_for_again_after_a_refused_token(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway
) -> None:
    relay = {"host": ztrust_sandbox.mail.host, "port": str(ztrust_sandbox.mail.port), "from": "a@b.example"}
    gateway.login()
    ztrust_sandbox.expire_tokens()
    with pytest.raises(MailTestFailed) as failure:
        gateway.test("acme", relay)
    assert failure.value.rule == TEST_UNKNOWN
    assert "answered 401 after the request was sent: the test mail may have been sent" in failure.value.message
    assert failure.value.hint == "check the mailbox first; if no mail has arrived, test again"
    assert len(admin_requests(ztrust_sandbox)) == 1
    gateway.test("acme", relay)  # with a new token
    assert len(ztrust_sandbox.mail.received) == 1
    assert logins(ztrust_sandbox) == 2


@pytest.mark.parametrize("status", [502, 504])
def test_a_404_in_json_from_a_proxy_does_not_count_as_the_servers_answer(
    mock: responses.RequestsMock, status: int
) -> None:
    mock.post(f"{URL}/admin/realms/acme/testSMTPConnection", status=status, json={"message": "upstream timed out"})
    made = gateway_to(URL, token=Secret("a-token"))
    with pytest.raises(RealmError) as failure:
        made.test("acme", SMTP)
    assert failure.value.rule == NOT_THE_API  # after which a test reports that the mail may have been sent
    made.close()


def test_a_given_token_refused_for_a_test_mail_is_not_used_again(mock: responses.RequestsMock) -> None:
    mock.post(f"{URL}/admin/realms/acme/testSMTPConnection", status=401)
    made = gateway_to(URL, token=Secret("long-gone"))
    with pytest.raises(MailTestFailed, match="may have been sent") as failure:
        made.test("acme", SMTP)
    assert "ZTRUST_MAIL_TOKEN" in failure.value.hint
    with pytest.raises(ServerRefused, match="expired or was revoked"):
        made.test("acme", SMTP)
    assert len(mock.calls) == 1
    made.close()


@pytest.mark.parametrize("call", ["read_one", "write", "realms"])
def test_a_token_that_is_always_refused_is_renewed_once_and_then_reported(call: str) -> None:
    with responses.RequestsMock() as mock:
        mock.post(f"{URL}/realms/master/protocol/openid-connect/token", json={"access_token": "a.b.c"})
        for method in ("GET", "PUT", "POST"):
            mock.add(method, f"{URL}/admin/realms/acme", status=401, json={"error": "HTTP 401 Unauthorized"})
            mock.add(method, f"{URL}/admin/realms", status=401)
        mock.assert_all_requests_are_fired = False
        made = gateway_to(URL)
        arguments = {"read_one": ("acme",), "write": ("acme", SMTP), "realms": ()}[call]
        with pytest.raises(ServerRefused) as refusal:
            getattr(made, call)(*arguments)
        paths = [str(sent.request.url).removeprefix(URL) for sent in mock.calls]
        made.close()
    assert (refusal.value.rule, refusal.value.message) == ("token-refused", "id.example.com refuses the token")
    assert len(paths) == 4
    assert sum(path.endswith("/token") for path in paths) == 2


def test_a_given_token_that_expires_is_explained(ztrust_sandbox: Sandbox) -> None:
    made = gateway_to(ztrust_sandbox.url, token=Secret("long-gone"))
    with pytest.raises(ServerRefused) as refusal:
        made.read([], everything=True)
    made.close()
    assert "the given token: it has expired or was revoked" in refusal.value.message
    assert refusal.value.hint == "set a fresh ZTRUST_MAIL_TOKEN"
    assert len(ztrust_sandbox.requests) == 1


# Reading


def test_a_read_realm_has_its_attributes_as_text(ready: KeycloakGateway, mock: responses.RequestsMock) -> None:
    smtp = {"host": "h", "port": 587, "auth": True, "debug": False, "user": None, "x": {"a": 1}}
    mock.get(f"{URL}/admin/realms/acme", json={"realm": "acme", "smtpServer": smtp})
    assert ready.read_one("acme").attributes == {
        "host": "h",
        "port": "587",
        "auth": "true",
        "debug": "false",
        "x": '{"a": 1}',
    }


def test_a_realm_without_settings_is_empty_and_not_unreadable(gateway: KeycloakGateway) -> None:
    assert gateway.read_one("acme").attributes == {}


def test_few_realms_are_read_one_by_one_and_many_by_one_list(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    for name in MANY:
        ztrust_sandbox.create_realm(name, {"host": name})
    few = gateway.read(MANY[:MAX_SINGLE_READS], everything=False)
    assert not few.complete
    assert sorted(admin_requests(ztrust_sandbox)) == [("GET", f"/admin/realms/{n}") for n in MANY[:MAX_SINGLE_READS]]
    many = gateway.read(MANY, everything=False)
    assert many.complete
    assert set(MANY) < set(many.realms)
    assert admin_requests(ztrust_sandbox)[MAX_SINGLE_READS:] == [("GET", "/admin/realms")]
    assert all(live.attributes == {"host": name} for name, live in few.realms.items() if isinstance(live, LiveRealm))


def test_after_a_list_the_number_of_all_realms_decides(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    for name in MANY:
        ztrust_sandbox.create_realm(name, {"host": name})
    all_realms = len(gateway.read([], everything=True).realms)
    most = (all_realms - 1) // SINGLE_READ_COST
    for count in (1, FEW_READS, most, most + 1):
        before = len(admin_requests(ztrust_sandbox))
        gateway.read(MANY[:count], everything=False)
        listed = ("GET", "/admin/realms") in admin_requests(ztrust_sandbox)[before:]
        assert (listed, gateway.prefers_list(count)) == (count > most, count > most)
    assert gateway.prefers_list(all_realms, within=60.0)
    assert not gateway.prefers_list(all_realms, within=0.0)


def test_a_list_that_showed_no_settings_is_not_asked_for_again(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway
) -> None:
    for name in MANY:
        ztrust_sandbox.create_realm(name, {"host": name})
    ztrust_sandbox.faults.list_breaks_after = 3
    gateway.read(MANY, everything=False)
    before = len(admin_requests(ztrust_sandbox))
    gateway.read(MANY, everything=False)
    assert sorted(admin_requests(ztrust_sandbox)[before:]) == [("GET", f"/admin/realms/{name}") for name in MANY]


def test_everything_is_read_by_one_list(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    reading = gateway.read([], everything=True)
    assert kinds(dict(reading.realms)) == dict.fromkeys(["master", "acme", "globex"], LiveRealm)
    assert reading.complete
    assert admin_requests(ztrust_sandbox) == [("GET", "/admin/realms")]
    assert gateway.realms() == ["acme", "globex", "master"]


def test_a_wanted_realm_that_the_list_lacks_is_asked_for_alone(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway
) -> None:
    reading = gateway.read(["acme", "acne"], everything=True)
    missing = reading.realms["acne"]
    assert isinstance(missing, RealmMissing)
    assert missing.message == f"there is no realm `acne` on 127.0.0.1:{ztrust_sandbox.port}"
    assert admin_requests(ztrust_sandbox) == [("GET", "/admin/realms"), ("GET", "/admin/realms/acne")]
    assert logins(ztrust_sandbox) == 1


def test_a_realm_shown_by_name_alone_is_unreadable_and_not_missing(ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.create_client("master", "tool", "word", ["acme-realm:manage-realm", "globex-realm:query-users"])
    made = gateway_to(ztrust_sandbox.url, client_id="tool", client_secret=Secret("word"))
    reading = made.read(["acme", "globex", "master", "nowhere"], everything=True)
    made.close()
    assert kinds(dict(reading.realms)) == {
        "acme": LiveRealm,
        "globex": RealmUnreadable,
        "master": RealmUnreadable,
        "nowhere": RealmMissing,
    }
    hidden = reading.realms["globex"]
    assert isinstance(hidden, RealmUnreadable)
    assert hidden.rule == "may-not-see"
    assert "view-realm" in hidden.hint


def test_a_truncated_realm_never_counts_as_one_without_mail(
    ready: KeycloakGateway, mock: responses.RequestsMock
) -> None:
    truncated = {"realm": "acme", "bruteForceProtected": False, "supportedLocales": []}
    mock.get(f"{URL}/admin/realms/acme", json=truncated)
    with pytest.raises(RealmUnreadable, match="this account may not see the e-mail settings"):
        ready.read_one("acme")


@pytest.mark.parametrize("smtp", [None, "", [], "x", 1])
def test_settings_that_are_not_a_map_do_not_count_as_empty(
    ready: KeycloakGateway, mock: responses.RequestsMock, smtp: object
) -> None:
    mock.get(f"{URL}/admin/realms/acme", json={"realm": "acme", "smtpServer": smtp})
    with pytest.raises(RealmUnreadable):
        ready.read_one("acme")


def test_a_realm_is_unreadable_without_any_rights(ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.create_user("acme", "nobody", "word")
    made = gateway_to(ztrust_sandbox.url, username="nobody", password=Secret("word"), realm="acme")
    with pytest.raises(RealmUnreadable) as refusal:
        made.read_one("acme")
    made.close()
    assert refusal.value.rule == "no-rights"
    assert refusal.value.message == "this account may not read the e-mail settings of `acme`"


@pytest.mark.parametrize("wanted", [("young",), ("acme", *MANY, "young")])
def test_a_realm_younger_than_the_token_is_seen_with_one_renewed_token(wanted: tuple[str, ...]) -> None:
    with Sandbox(SandboxOptions(version="26.4.0", realms=("acme", *MANY))) as sandbox:
        sandbox.create_client("master", "tool", "word", ["admin"])
        made = gateway_to(sandbox.url, client_id="tool", client_secret=Secret("word"))
        made.login()
        for name in ("young", "younger"):
            sandbox.create_realm(name, SMTP)
        reading = made.read([*wanted, "younger"], everything=False)
        again = made.read(["young"], everything=False)
        made.close()
        assert logins(sandbox) == 2
    young = reading.realms["young"], reading.realms["younger"], again.realms["young"]
    assert [live.attributes for live in young if isinstance(live, LiveRealm)] == [SMTP] * 3


@pytest.mark.parametrize("everything", [True, False])
def test_with_a_given_token_an_unreadable_realm_fails_alone(ztrust_sandbox: Sandbox, everything: bool) -> None:
    ztrust_sandbox.create_client("master", "tool", "word", ["acme-realm:view-realm", "globex-realm:query-users"])
    first = gateway_to(ztrust_sandbox.url, client_id="tool", client_secret=Secret("word"))
    token = first._tokens.current().value
    first.close()
    made = gateway_to(ztrust_sandbox.url, token=token)
    reading = made.read(["acme", "globex", "nowhere"], everything=everything)
    made.close()
    assert kinds(dict(reading.realms)) == {"acme": LiveRealm, "globex": RealmUnreadable, "nowhere": RealmMissing}


# Lists that fail


@pytest.mark.parametrize("everything", [True, False])
def test_after_a_truncated_list_realms_are_read_singly(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway, everything: bool
) -> None:
    for name in MANY:
        ztrust_sandbox.create_realm(name, {"host": name})
    ztrust_sandbox.faults.list_breaks_after = 3
    reading = gateway.read(MANY, everything=everything)
    assert {name: live.attributes["host"] for name, live in reading.realms.items() if isinstance(live, LiveRealm)} == {
        name: name for name in MANY
    }
    assert not reading.complete


def test_after_a_truncated_list_the_brief_list_is_read(ready: KeycloakGateway, mock: responses.RequestsMock) -> None:
    whole, brief = (
        b'[{"realm":"acme","smtpServer":{}},{"id":"{"error":"unknown_error"}',
        [{"realm": "acme"}, {"realm": "b"}],
    )
    mock.get(f"{URL}/admin/realms", json=brief, match=[matchers.query_param_matcher({"briefRepresentation": "true"})])
    mock.get(
        f"{URL}/admin/realms", body=whole, content_type="application/json", match=[matchers.query_param_matcher({})]
    )
    for name in ("acme", "b"):
        mock.get(f"{URL}/admin/realms/{name}", json={"realm": name, "smtpServer": SMTP})
    reading = ready.read([], everything=True)
    assert reading.complete
    assert kinds(dict(reading.realms)) == {"acme": LiveRealm, "b": LiveRealm}


def test_another_failure_of_the_brief_list_is_raised(ready: KeycloakGateway, mock: responses.RequestsMock) -> None:
    brief = [matchers.query_param_matcher({"briefRepresentation": "true"})]
    mock.get(f"{URL}/admin/realms", body=requests.exceptions.ReadTimeout(), match=brief)
    mock.get(f"{URL}/admin/realms", body=b"[{", match=[matchers.query_param_matcher({})])
    with pytest.raises(ServerUnreachable) as failure:
        ready.read([], everything=True)
    assert failure.value.rule == "slow"


@pytest.mark.parametrize("everything", [True, False])
def test_a_forbidden_list_is_replaced_by_single_reads_of_what_is_wanted(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway, everything: bool
) -> None:
    ztrust_sandbox.faults.list_forbidden = True
    wanted = ["acme", "globex", *MANY]
    reading = gateway.read(wanted, everything=everything)
    assert kinds(dict(reading.realms)) == dict.fromkeys(wanted, RealmMissing) | dict.fromkeys(
        ["acme", "globex"], LiveRealm
    )
    assert not reading.complete
    assert gateway.realms() == []


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize(
    ("failing", "rule"),
    [
        ({"body": requests.exceptions.ReadTimeout()}, "slow"),
        ({"status": 500, "json": {"error": "unknown_error"}}, NOT_THE_API),
        ({"status": 504, "body": "<html>Gateway Time-out</html>"}, NOT_THE_API),
    ],
)
def test_a_list_that_fails_or_takes_too_long_is_replaced_by_single_reads_where_they_do(
    ready: KeycloakGateway, mock: responses.RequestsMock, failing: dict[str, Any], rule: str, everything: bool
) -> None:
    mock.assert_all_requests_are_fired = False
    mock.get(f"{URL}/admin/realms", **failing)
    for name in MANY:
        mock.get(f"{URL}/admin/realms/{name}", json={"realm": name, "smtpServer": SMTP})
    if everything:
        with pytest.raises(ServerUnreachable) as failure:
            ready.read(MANY, everything=True)
        assert failure.value.rule == rule
    else:
        reading = ready.read(MANY, everything=False)
        assert kinds(dict(reading.realms)) == dict.fromkeys(MANY, LiveRealm)
        assert not reading.complete
    assert sum(call.request.path_url == "/admin/realms" for call in mock.calls) == 1


@pytest.mark.parametrize("body", [{}, {"realms": []}, "x", None])
def test_an_answer_that_is_not_a_list_does_not_count_as_an_empty_list(
    ready: KeycloakGateway, mock: responses.RequestsMock, body: object
) -> None:
    mock.get(f"{URL}/admin/realms", json=body)
    with pytest.raises(ServerUnreachable) as failure:
        ready.realms()
    assert failure.value.rule == "not-the-admin-api"


def test_list_items_that_are_no_realms_are_skipped(ready: KeycloakGateway, mock: responses.RequestsMock) -> None:
    mock.get(f"{URL}/admin/realms", json=[{"realm": "b"}, 7, None, {}, {"realm": "a"}])
    assert ready.realms() == ["a", "b"]


def test_one_failing_realm_does_not_stop_the_others(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    ztrust_sandbox.faults.failing_realms.add("globex")
    reading = gateway.read(["globex", "acme", "nowhere"], everything=False)
    assert kinds(dict(reading.realms)) == {"globex": RealmError, "acme": LiveRealm, "nowhere": RealmMissing}
    failed = reading.realms["globex"]
    assert isinstance(failed, RealmError)
    assert failed.message == "the server refuses to read `globex` (500): `unknown_error`"


def test_a_404_that_is_not_about_the_realm_is_no_missing_realm(
    ready: KeycloakGateway, mock: responses.RequestsMock
) -> None:
    body = {"error": "Unable to find matching target resource method"}
    mock.get(f"{URL}/admin/realms/acme", json=body, status=404)
    with pytest.raises(RealmError) as failure:
        ready.read_one("acme")
    assert type(failure.value) is RealmError
    assert "(404)" in failure.value.message


# Writing and testing


def test_a_write_sends_the_settings_and_nothing_else(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    before = ztrust_sandbox.realm_settings("acme")
    sent = {**SMTP, "auth": "true", "authType": "basic", "user": "u", "password": Secret(HIDDEN)}
    gateway.write("acme", sent)
    assert ztrust_sandbox.smtp("acme") == {**sent, "password": HIDDEN}
    assert ztrust_sandbox.realm_settings("acme") == before
    (put,) = [request for request in ztrust_sandbox.requests if request.method == "PUT"]
    assert put.body == {"smtpServer": {**sent, "password": HIDDEN}}
    gateway.write("acme", {})
    assert ztrust_sandbox.smtp("acme") == {}


def test_non_ascii_values_arrive_whole(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    gateway.write("acme", {**SMTP, "fromDisplayName": "Ünïcode 😀 \u2028 €"})
    assert ztrust_sandbox.smtp("acme")["fromDisplayName"] == "Ünïcode 😀 \u2028 €"


def test_a_write_to_a_deleted_realm_is_reported_as_missing(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    ztrust_sandbox.remove_realm("globex")
    with pytest.raises(RealmMissing):
        gateway.write("globex", SMTP)


@pytest.mark.parametrize(("call", "doing"), [("write", "write"), ("test", "test")])
def test_missing_rights_are_reported_with_the_role(ztrust_sandbox: Sandbox, call: str, doing: str) -> None:
    ztrust_sandbox.create_user("acme", "viewer", "word", ["view-realm"])
    made = gateway_to(ztrust_sandbox.url, username="viewer", password=Secret("word"), realm="acme")
    with pytest.raises(RealmError) as failure:
        getattr(made, call)("acme", SMTP)
    made.close()
    assert failure.value.message == f"this account may not {doing} the e-mail settings of `acme`"
    assert "manage-realm" in failure.value.hint
    assert not isinstance(failure.value, MailTestFailed)


def test_the_servers_reason_for_refusing_a_write_is_shown(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    with pytest.raises(RealmError) as failure:
        gateway.write("acme", {**SMTP, "from": "not an address"})
    assert "refuses to write `acme` (400): `" in failure.value.message
    assert "ddress" in failure.value.message
    assert ztrust_sandbox.smtp("acme") == {}


@pytest.mark.parametrize(("method", "path", "call"), [("PUT", "", "write"), ("POST", "/testSMTPConnection", "test")])
@pytest.mark.parametrize("status", [400, 409, 500])
def test_a_secret_that_the_server_quotes_is_not_shown(
    ready: KeycloakGateway, mock: responses.RequestsMock, method: str, path: str, call: str, status: int
) -> None:
    said = f"value {HIDDEN} of ready-token is bad\x1b[0m"
    mock.add(method, f"{URL}/admin/realms/acme{path}", json={"errorMessage": said}, status=status)
    with pytest.raises(RealmError) as failure:
        getattr(ready, call)("acme", {"password": Secret(HIDDEN), "host": "h"})
    assert r"value … of … is bad\x1b[0m" in failure.value.message
    captured = traceback.TracebackException.from_exception(failure.value, capture_locals=True)
    own = [frame for frame in captured.stack if "ztrust_mail" in frame.filename]
    assert own
    assert HIDDEN not in "".join(str(frame.locals) for frame in own) + str(failure.value)


@pytest.mark.parametrize("status", [200, 204])
def test_a_write_or_test_succeeds_with_status_200_or_204(
    ready: KeycloakGateway, mock: responses.RequestsMock, status: int
) -> None:
    mock.put(f"{URL}/admin/realms/acme", status=status, content_type="application/json")
    mock.post(f"{URL}/admin/realms/acme/testSMTPConnection", status=status, content_type="application/json")
    ready.write("acme", SMTP)
    ready.test("acme", SMTP)
    bodies = [json.loads(call.request.body) for call in mock.calls]
    assert bodies == [{"smtpServer": SMTP}, SMTP]
    assert all(call.request.headers["Content-Type"] == "application/json" for call in mock.calls)


@pytest.mark.parametrize("status", [201, 202, 302, 304])
def test_no_other_status_counts_as_success(ready: KeycloakGateway, mock: responses.RequestsMock, status: int) -> None:
    mock.put(f"{URL}/admin/realms/acme", status=status)
    mock.post(f"{URL}/admin/realms/acme/testSMTPConnection", status=status)
    for call in (ready.write, ready.test):
        with pytest.raises(RealmError):
            call("acme", SMTP)


def test_a_test_mail_is_sent_once(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    gateway.test("acme", {**SMTP, "host": ztrust_sandbox.mail.host, "port": str(ztrust_sandbox.mail.port)})
    assert [mail.sender for mail in ztrust_sandbox.mail.received] == ["a@b.example"]
    assert admin_requests(ztrust_sandbox) == [("POST", "/admin/realms/acme/testSMTPConnection")]


def test_a_failed_test_mail_is_reported_and_not_repeated(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    with pytest.raises(MailTestFailed) as failure:
        gateway.test("acme", {**SMTP, "host": "127.0.0.1", "port": "1"})
    assert failure.value.rule == "test-failed"
    assert failure.value.message == "the test mail failed; the server says `Failed to send email`"
    assert len(admin_requests(ztrust_sandbox)) == 1


@pytest.mark.parametrize(("status", "body"), [(404, {"error": "Realm not found."}), (429, {}), (502, {}), (405, {})])
def test_an_answer_to_a_test_that_is_not_about_the_relay_is_not_a_failed_mail(
    ready: KeycloakGateway, mock: responses.RequestsMock, status: int, body: object
) -> None:
    mock.post(f"{URL}/admin/realms/acme/testSMTPConnection", json=body, status=status)
    with pytest.raises(RealmError) as failure:
        ready.test("acme", SMTP)
    assert type(failure.value) is (RealmMissing if status == 404 else RealmError)


# What we may do, who we are, and what the server is


@pytest.mark.parametrize(("version", "asked"), [("26.7.4", ["GET", "POST"]), ("16.1.1", ["GET"])])
@pytest.mark.parametrize(
    ("roles", "may"), [(["manage-realm"], True), (["view-realm"], False), (["query-users"], False)]
)
def test_the_right_to_write_is_checked_without_writing_or_sending(
    roles: list[str], may: bool, version: str, asked: list[str]
) -> None:
    with Sandbox(SandboxOptions(version=version)) as sandbox:
        sandbox.edit_smtp("acme", {**SMTP, "host": sandbox.mail.host, "port": str(sandbox.mail.port)})
        before = sandbox.smtp("acme")
        sandbox.create_user("acme", "ann", "word", roles, email="ann@b.example")
        made = gateway_to(sandbox.url, username="ann", password=Secret("word"), realm="acme")
        assert made.may_write("acme") is may
        made.close()
        assert sandbox.smtp("acme") == before
        assert sandbox.mail.received == ()
        assert [method for method, _ in admin_requests(sandbox)] == asked


def test_a_realm_that_is_not_there_cannot_be_written(gateway: KeycloakGateway) -> None:
    assert gateway.may_write("nowhere") is False


@pytest.mark.parametrize("role", [None, "manage-realm"])
def test_the_account_has_the_address_of_its_id_token(ztrust_sandbox: Sandbox, role: str | None) -> None:
    ztrust_sandbox.create_user("acme", "ann", "word", [role] if role else [], email="ann@b.example")
    made = gateway_to(ztrust_sandbox.url, username="ann", password=Secret("word"), realm="acme")
    assert made.account() == Account("ann", "acme", "ann@b.example")
    made.close()
    assert admin_requests(ztrust_sandbox) == []


@pytest.mark.parametrize(("roles", "email"), [(["view-users"], ""), ([], None)])
def test_an_address_that_no_token_contains_is_looked_up_if_permitted(
    ztrust_sandbox: Sandbox, roles: list[str], email: str | None
) -> None:
    ztrust_sandbox.create_user("acme", "ann", "word", roles)
    made = gateway_to(ztrust_sandbox.url, username="ann", password=Secret("word"), realm="acme")
    assert made.account() == Account("ann", "acme", email)
    made.close()
    ((method, path),) = admin_requests(ztrust_sandbox)
    assert method == "GET"
    assert path.startswith("/admin/realms/acme/users/")


def test_a_service_accounts_address_is_found(ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.create_client("acme", "mailer", "word", ["manage-realm"], email="bot@b.example")
    made = gateway_to(ztrust_sandbox.url, client_id="mailer", client_secret=Secret("word"), realm="acme")
    assert made.account() == Account("service-account-mailer", "acme", "bot@b.example")
    made.close()


def jwt(**claims: object) -> Secret:
    """Return a ready token that says so."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return Secret(f"e30.{payload}.c2ln")


@responses.activate
@pytest.mark.parametrize(
    ("claims", "account"),
    [
        ({}, Account("the owner of the given token", "master", None)),
        ({"azp": "admin-cli", "iss": f"{URL}/realms/tools"}, Account("the owner of the given token", "tools", None)),
        (
            {"iss": f"{URL}/auth/realms/a%20b%2525", "preferred_username": "ann", "email": "a@b"},
            Account("ann", "a b%25", "a@b"),
        ),
        ({"iss": "elsewhere", "preferred_username": 7, "email": 8}, Account("7", "master", "8")),
        ({"iss": None, "sub": ".."}, Account("the owner of the given token", "master", None)),
        ({"iss": f"{URL}/realms/..", "sub": "1"}, Account("the owner of the given token", "..", None)),
        ({"sub": 5}, Account("the owner of the given token", "master", None)),
    ],
)
def test_the_account_is_taken_from_the_claims_of_a_given_token(claims: dict[str, object], account: Account) -> None:
    made = gateway_to(URL, token=jwt(**claims))
    assert made.account() == account
    made.close()
    assert len(responses.calls) == 0


@responses.activate
def test_the_address_of_a_given_tokens_owner_is_looked_up_in_its_own_realm() -> None:
    responses.get(f"{URL}/admin/realms/a%20b/users/u%2F1", json={"email": "ann@b.example"})
    made = gateway_to(URL, token=jwt(iss=f"{URL}/realms/a%20b", sub="u/1"))
    assert made.account().email == "ann@b.example"
    made.close()


@responses.activate
@pytest.mark.parametrize(("body", "email"), [({"email": None}, ""), ({}, ""), ([], None)])
def test_an_account_without_an_address_has_none(body: object, email: str | None) -> None:
    responses.get(f"{URL}/admin/realms/master/users/1", json=body)
    made = gateway_to(URL, token=jwt(sub="1"))
    assert made.account().email == email
    made.close()


def test_the_version_is_empty_for_accounts_that_may_not_see_it(
    ztrust_sandbox: Sandbox, gateway: KeycloakGateway
) -> None:
    assert gateway.version() == (26, 7, 4)
    ztrust_sandbox.create_user("acme", "nobody", "word")
    ztrust_sandbox.create_user("acme", "viewer", "word", ["view-realm"])
    for name in ("nobody", "viewer"):
        made = gateway_to(ztrust_sandbox.url, username=name, password=Secret("word"), realm="acme")
        assert made.version() == ()
        made.close()


@pytest.mark.parametrize("body", [{}, [], {"systemInfo": None}, {"systemInfo": {}}, {"systemInfo": {"version": None}}])
def test_a_missing_version_is_unknown(ready: KeycloakGateway, mock: responses.RequestsMock, body: object) -> None:
    mock.get(f"{URL}/admin/serverinfo", json=body)
    assert ready.version() == ()


# The whole of it


def test_only_the_documented_paths_are_requested(ztrust_sandbox: Sandbox, gateway: KeycloakGateway) -> None:
    gateway.login()
    gateway.account()
    gateway.version()
    gateway.realms()
    gateway.read(["acme"], everything=True)
    gateway.read_one("acme")
    gateway.write("acme", SMTP)
    gateway.may_write("acme")
    assert [(r.method, r.path) for r in ztrust_sandbox.requests] == [
        ("POST", "/realms/master/protocol/openid-connect/token"),
        ("GET", "/admin/serverinfo"),
        ("GET", "/admin/realms"),
        ("GET", "/admin/realms"),
        ("GET", "/admin/realms/acme"),
        ("PUT", "/admin/realms/acme"),
        ("GET", "/admin/master/console/whoami"),
        ("POST", "/admin/realms/acme/testSMTPConnection"),
    ]


def test_a_closed_gateway_leaves_no_connection_open(ztrust_sandbox: Sandbox) -> None:
    made = gateway_to(ztrust_sandbox.url)
    made.read(["acme", "globex"], everything=False)
    made.close()
    made.close()
    assert len(made._connection._s.get_adapter(made.url).poolmanager.pools) == 0


def test_a_gateway_does_not_show_its_login() -> None:
    made = gateway_to(URL, username="admin", password=Secret(HIDDEN), client_secret=Secret(HIDDEN))
    shown = repr(made) + repr(vars(made)) + repr(vars(made._connection)) + repr(vars(made._tokens))
    made.close()
    assert HIDDEN not in shown


def test_an_unusable_proxy_of_the_environment_is_not_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "gopher://proxy.example")
    with pytest.raises(ConfigError, match="proxy"):
        gateway_to(URL).login()


def test_every_failure_is_an_error_of_ztrust_mail(ztrust_sandbox: Sandbox) -> None:
    steps: list[tuple[Callable[[KeycloakGateway], object], type[ZtrustMailError]]] = [
        (lambda gateway: gateway.realms(), ServerUnreachable),
        (lambda gateway: gateway.read([], everything=True), ServerUnreachable),
        (lambda gateway: gateway.read_one("acme"), RealmError),
        (lambda gateway: gateway.write("acme", {}), RealmError),
        (lambda gateway: gateway.test("acme", SMTP), RealmError),
        (lambda gateway: gateway.may_write("acme"), ServerUnreachable),
    ]
    for step, kind in steps:
        ztrust_sandbox.faults.unavailable = False
        made = gateway_to(ztrust_sandbox.url)
        made.login()
        ztrust_sandbox.faults.unavailable = True
        with pytest.raises(kind, match=r"answer(s|ed) 503|is still too busy"):
            step(made)
        made.close()


def test_a_server_that_temporarily_hides_its_version_has_none(ztrust_sandbox: Sandbox) -> None:
    made = gateway_to(ztrust_sandbox.url)
    made.login()
    ztrust_sandbox.faults.unavailable = True
    assert made.version() == ()
    made.close()


def test_single_reads_of_many_realms_survive_a_busy_server(ztrust_sandbox: Sandbox) -> None:
    for name in MANY:
        ztrust_sandbox.create_realm(name, SMTP)
    ztrust_sandbox.faults.list_forbidden = True
    # As many as may follow each other with no answer in between: whether one comes first is up to the threads.
    ztrust_sandbox.faults.busy += [
        Busy(429, 2, "GET", "realms/realm-", "2"),
        Busy(503, 2, path="realm-", retry_after="1"),
    ]
    clock = Clock()
    made = gateway_to(ztrust_sandbox.url, clock)
    reading = made.read(MANY, everything=False)
    made.close()
    assert kinds(dict(reading.realms)) == dict.fromkeys(MANY, LiveRealm)
    assert clock.waits
    assert len(admin_requests(ztrust_sandbox)) == 1 + len(MANY) + 4


class Interrupted(KeycloakGateway):
    """A gateway whose main thread is interrupted while others work."""

    @property
    def _connection(self) -> KeycloakClient:  # type: ignore[override]
        raise KeyboardInterrupt


class InterruptedAtAcme(KeycloakGateway):
    """A gateway that is interrupted at one realm, while another one is read."""

    other_has_begun = threading.Event()

    def read_one(self, realm: str) -> LiveRealm:
        if realm == "acme":
            assert self.other_has_begun.wait(30)
            raise KeyboardInterrupt
        self.other_has_begun.set()
        return super().read_one(realm)


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        (Interrupted, lambda gateway: gateway.login()),
        (InterruptedAtAcme, lambda gateway: gateway.read(["acme", "globex"], everything=False)),
    ],
)
def test_ctrl_c_does_not_wait_for_a_busy_server(
    ztrust_sandbox: Sandbox, kind: type[KeycloakGateway], step: Callable[[KeycloakGateway], object]
) -> None:
    made = kind(Server(ztrust_sandbox.url, **ADMIN), KEYCLOAK)  # type: ignore[arg-type]
    if kind is InterruptedAtAcme:
        made.login()
    before = len(ztrust_sandbox.requests)
    ztrust_sandbox.faults.busy.append(Busy(times=99, retry_after="60"))
    with pytest.raises(KeyboardInterrupt):
        step(made)
    made.close()
    assert len(ztrust_sandbox.requests) <= before + 1


def test_a_gateway_that_stopped_waiting_fails_at_once_on_a_busy_server(ztrust_sandbox: Sandbox) -> None:
    made = connect(Server(ztrust_sandbox.url, **ADMIN))  # type: ignore[arg-type]
    assert isinstance(made, KeycloakGateway)
    ztrust_sandbox.faults.busy.append(Busy(times=99, retry_after="60"))
    made.stop_waiting()
    with pytest.raises(ServerUnreachable, match="answers 503"):
        made.login()
    made.close()
    assert len(ztrust_sandbox.requests) == 1


def test_cookies_of_the_server_are_not_stored() -> None:
    page = answer(200, {"access_token": "a.b.c", "smtpServer": {}}, headers={"Set-Cookie": "AFFINITY=x; Path=/"})
    with BadServer(page) as server:
        made = gateway_to(server.url)
        made.read_one("acme")
        made.read_one("acme")
        made.close()
    assert len(server.requests) == 3
    assert all("cookie" not in request.headers for request in server.requests)


@pytest.mark.parametrize(("profile", "taken_for"), [("V1", (16, 1, 1)), ("V4", ()), ("", ())])
def test_an_unknown_version_of_ztrust_counts_as_the_last_of_its_line(profile, taken_for) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as answers:
        base = "https://id.example.com/auth"
        answers.post(
            f"{base}/realms/master/protocol/openid-connect/token", json={"access_token": "x", "expires_in": 60}
        )
        answers.get(f"{base}/admin/serverinfo", status=403)
        made = connect(Server(base, gateway="ztrust", profile=profile, username="a", password=Secret("b")))
        assert made.version() == taken_for
        made.close()
