"""The sandbox: all contract tests without a real server, and the features that only the sandbox has."""

from __future__ import annotations

import base64
import json
import logging
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import trustme
from contract import test_server_facts as facts
from contract.test_admin_events import *  # noqa: F403  # the contract's tests run here too
from contract.test_server_facts import *  # noqa: F403
from support.admin_api import AdminApi, realm_path
from support.server_under_test import SANDBOXES, ServerUnderTest, sandbox_server
from support.smtp import Relays, attributes, login_attributes

import ztrust_mail.sandbox
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.sandbox.quirks import quirks_of
from ztrust_mail.sandbox.relay.faults import RelayFault, find_contradiction, make_tls_context
from ztrust_mail.sandbox.relay.sink import Encryption, MailSink
from ztrust_mail.sandbox.state import Busy, Faults

MASK = facts.MASK
MAIL = b"From: a@b.example\r\nSubject: Hi\r\n\r\nbody\r\n"


@pytest.fixture(scope="session", params=list(SANDBOXES))
def server(request: pytest.FixtureRequest, ca_file: Path) -> Iterator[ServerUnderTest]:
    with sandbox_server(request.param, ca_file) as sandbox:
        yield sandbox


def running(version: str) -> Sandbox:
    return Sandbox(SandboxOptions(version=version))


# The handles for tests


def test_the_package_exports_what_it_names_and_nothing_else() -> None:
    assert ztrust_mail.sandbox.Sandbox is Sandbox
    assert ztrust_mail.sandbox.SandboxOptions is SandboxOptions
    with pytest.raises(AttributeError):
        _ = ztrust_mail.sandbox.Nothing


def test_importing_the_package_needs_neither_extra() -> None:
    script = "import sys, ztrust_mail.sandbox; print({'werkzeug', 'aiosmtpd'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_requests_are_recorded_without_tokens_and_passwords(ztrust_sandbox: Sandbox, admin: AdminApi) -> None:
    admin.put_smtp("acme", {**facts.SENDER, "port": 25})
    admin.ok("GET", "/admin/realms?briefRepresentation=true")
    login, put, listed = ztrust_sandbox.requests
    assert (login.method, login.body, login.status) == ("POST", None, 200)
    assert (put.method, put.path, put.status) == ("PUT", "/admin/realms/acme", 204)
    assert put.body == {"smtpServer": {**facts.SENDER, "port": 25}}
    assert (listed.path, listed.query, listed.body) == ("/admin/realms", "briefRepresentation=true", None)
    assert "Bearer" not in repr(ztrust_sandbox.requests)
    assert '"admin"' not in json.dumps([repr(request) for request in ztrust_sandbox.requests])


def test_a_recorded_path_is_as_it_came_and_without_the_base_path() -> None:
    with Sandbox(SandboxOptions(base_path="/auth/", realms=("a b",))) as sandbox:
        assert sandbox.url.endswith("/auth")
        requests.get(f"{sandbox.url}/realms/a%20b", timeout=30).raise_for_status()
        assert sandbox.requests[-1].path == "/realms/a%20b"


def test_a_body_that_is_not_json_is_recorded_as_none(ztrust_sandbox: Sandbox) -> None:
    requests.put(f"{ztrust_sandbox.url}/admin/realms/acme", b"{", timeout=30)
    assert ztrust_sandbox.requests[-1].body is None


def test_stored_settings_can_be_read_and_edited_without_the_api(ztrust_sandbox: Sandbox, admin: AdminApi) -> None:
    admin.put_smtp("acme", {**facts.SENDER, **facts.LOGIN})
    assert ztrust_sandbox.smtp("acme")["password"] == facts.LOGIN["password"]
    ztrust_sandbox.edit_smtp("acme", {"host": "elsewhere"})
    assert admin.smtp("acme") == {"host": "elsewhere"}
    admin.ok("PUT", realm_path("acme"), {"displayName": "Acme"})
    assert ztrust_sandbox.realm_settings("acme")["displayName"] == "Acme"


def test_realms_can_be_added_and_removed(ztrust_sandbox: Sandbox, admin: AdminApi) -> None:
    ztrust_sandbox.create_realm("new", {"host": "h"}, displayName="New")
    assert admin.smtp("new") == {"host": "h"}
    with pytest.raises(ValueError, match="new exists"):
        ztrust_sandbox.create_realm("new")
    ztrust_sandbox.remove_realm("new")
    for gone in (ztrust_sandbox.smtp, ztrust_sandbox.remove_realm, ztrust_sandbox.realm_settings):
        with pytest.raises(KeyError):
            gone("new")


def test_accounts_can_be_added_with_rights_on_their_own_realm_or_others(ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.create_user("acme", "Ann", "pw-1", ["manage-realm"], "ann@acme.example")
    ztrust_sandbox.create_client("master", "fleet", "pw-2", ["acme-realm:view-realm"], "fleet@sandbox.example")
    ztrust_sandbox.create_user("master", "maker", "pw-3", ["create-realm", "view-realm"])
    api = AdminApi(ztrust_sandbox.url)
    ann = api.user_token("acme", "ann", "pw-1")
    fleet = api.client_token("master", "fleet", "pw-2")
    maker = api.user_token("master", "maker", "pw-3")
    assert api.test_mail("acme", attributes(ztrust_sandbox.mail), ann).status_code == 204
    assert ztrust_sandbox.mail.received[0].recipients == ("ann@acme.example",)
    assert "smtpServer" in api.call("GET", realm_path("acme"), token=fleet).json()
    assert "smtpServer" not in api.call("GET", realm_path("globex"), token=fleet).json()
    assert api.call("POST", "/admin/realms", {"realm": "made"}, maker).status_code == 201
    assert "smtpServer" in api.call("GET", realm_path("master"), token=maker).json()
    api.close()


def test_tokens_can_be_expired_and_refreshed(ztrust_sandbox: Sandbox, admin: AdminApi) -> None:
    first = admin.login(grant_type="password", username="admin", password="admin").json()
    ztrust_sandbox.expire_tokens()
    assert admin.call("GET", "/admin/realms", token=first["access_token"]).status_code == 401
    second = admin.login(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert admin.call("GET", "/admin/realms", token=second.json()["access_token"]).status_code == 200


def test_the_token_of_a_removed_user_is_refused_at_once(ztrust_sandbox: Sandbox, admin: AdminApi) -> None:
    user = admin.create_user("acme", "leaver", ["manage-realm"])
    given = admin.login("acme", grant_type="password", username="leaver", password=facts.PASSWORD).json()
    admin.ok("DELETE", f"{realm_path('acme')}/users/{user}")
    assert admin.call("GET", realm_path("acme"), token=given["access_token"]).status_code == 401
    refresh = admin.login("acme", grant_type="refresh_token", refresh_token=given["refresh_token"])
    assert refresh.status_code == 400


def test_a_short_token_lifetime_is_announced_and_enforced() -> None:
    with Sandbox(SandboxOptions(token_lifetime=-1)) as sandbox:
        api = AdminApi(sandbox.url)
        assert api.call("GET", "/admin/realms").status_code == 401
        api.close()


def test_a_representation_contains_no_secret(ztrust_sandbox: Sandbox) -> None:
    options = SandboxOptions(admin_password="hidden-1")
    shown = repr(options) + repr(ztrust_sandbox) + repr(MailSink(credentials=("u", "hidden-2")))
    assert "hidden" not in shown
    assert ztrust_sandbox.url in shown


def test_starting_on_a_taken_port_fails_and_leaves_nothing_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sandbox = Sandbox(SandboxOptions(port=taken.getsockname()[1]))
        with pytest.raises((OSError, SystemExit)):
            sandbox.start()
        sandbox.stop()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", sandbox.mail.port), timeout=5)


def test_stopping_ends_connections_that_clients_hold() -> None:
    with Sandbox() as sandbox, socket.create_connection(("127.0.0.1", sandbox.port), timeout=30) as idle:
        requests.get(sandbox.url, timeout=30).raise_for_status()  # accepted after the idle one
        sandbox.stop()
        assert idle.recv(1) == b""
        with pytest.raises(requests.ConnectionError):
            requests.get(sandbox.url, timeout=30)


def test_the_sandbox_prints_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox() as sandbox, caplog.at_level(logging.WARNING):
        requests.get(f"{sandbox.url}/nothing", timeout=30)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_an_invalid_page_size_of_events_means_the_default(admin: AdminApi) -> None:
    admin.ok("PUT", "/admin/realms/acme/events/config", {"adminEventsEnabled": True})
    every = admin.ok("GET", "/admin/realms/acme/admin-events").json()
    assert len(every) == 1
    assert admin.ok("GET", "/admin/realms/acme/admin-events?first=x&max=-1").json() == every


def test_an_edit_without_the_api_leaves_no_event(ztrust_sandbox: Sandbox, admin: AdminApi) -> None:
    admin.ok("PUT", "/admin/realms/acme", {"adminEventsEnabled": True, "adminEventsDetailsEnabled": True})
    ztrust_sandbox.edit_smtp("acme", facts.SENDER)
    assert admin.ok("GET", "/admin/realms/acme/admin-events").json() == []
    admin.put_smtp("acme", {**facts.SENDER, "port": None})
    (event,) = admin.ok("GET", "/admin/realms/acme/admin-events").json()
    assert json.loads(event["representation"]) == {"smtpServer": facts.SENDER}


# Faults


def test_a_list_can_break_off_in_the_middle(admin: AdminApi, ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.faults.list_breaks_after = 1
    response = admin.call("GET", "/admin/realms")
    assert response.status_code == 200
    assert response.text.endswith('{"error": "unknown_error"}')
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_a_list_can_be_forbidden_while_single_reads_are_not(admin: AdminApi, ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.faults.list_forbidden = True
    assert admin.call("GET", "/admin/realms").status_code == 403
    assert admin.smtp("acme") == {}


def test_single_realms_or_the_whole_server_can_be_made_to_fail(admin: AdminApi, ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.faults.failing_realms.add("acme")
    assert admin.call("GET", realm_path("acme")).status_code == 500
    assert admin.put_smtp("acme", facts.SENDER).status_code == 500
    assert admin.smtp("globex") == {}
    ztrust_sandbox.faults.unavailable = True
    assert admin.call("GET", "/admin/realms").status_code == 503


def test_a_server_can_be_busy_for_the_next_requests_of_one_kind(admin: AdminApi, ztrust_sandbox: Sandbox) -> None:
    token = admin.admin_token()
    ztrust_sandbox.faults.busy = [Busy(429, 2, "PUT", "realms/acme", "7"), Busy(times=1, path="globex")]

    def call(method: str, realm: str) -> tuple[int, str | None]:
        body = {"smtpServer": {}} if method == "PUT" else None
        response = admin.call(method, realm_path(realm), body, token=token)
        return response.status_code, response.headers.get("Retry-After")

    assert [call("GET", "acme"), call("PUT", "acme"), call("PUT", "acme")] == [(200, None), (429, "7"), (429, "7")]
    assert [call("PUT", "acme"), call("GET", "globex"), call("GET", "globex")] == [
        (204, None),
        (503, None),
        (200, None),
    ]
    assert [busy.times for busy in ztrust_sandbox.faults.busy] == [0, 0]


def test_a_busy_server_issues_no_token_either(admin: AdminApi, ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.faults.busy.append(Busy(retry_after="Tue, 03 Jun 2025 08:00:30 GMT"))
    response = requests.post(f"{ztrust_sandbox.url}/realms/master/protocol/openid-connect/token", timeout=30)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "Tue, 03 Jun 2025 08:00:30 GMT")
    assert admin.admin_token()


def test_a_concurrent_edit_can_be_made_just_before_a_write(admin: AdminApi, ztrust_sandbox: Sandbox) -> None:
    seen: list[dict[str, str]] = []
    ztrust_sandbox.faults.before_write = lambda realm: seen.append(ztrust_sandbox.smtp(realm))
    assert admin.put_smtp("acme", facts.SENDER).status_code == 204
    assert seen == [{}]


def test_a_slow_read_ends_when_the_sandbox_stops() -> None:
    reading = threading.Event()

    class Watched(Faults):
        def __getattribute__(self, name: str) -> object:
            if name == "slow_reads":
                reading.set()
            return super().__getattribute__(name)

    with Sandbox() as sandbox:
        sandbox.faults = Watched(slow_reads=3600.0)
        api = AdminApi(sandbox.url)
        token = api.admin_token()
        outcome: list[object] = []

        def read() -> None:
            try:
                outcome.append(api.call("GET", "/admin/realms", token=token).status_code)
            except requests.RequestException as error:  # cut before the answer, or in the middle of it
                outcome.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        assert reading.wait(30)
    reader.join(30)
    api.close()
    assert len(outcome) == 1


# Versions between those that the contract tests run on


def test_a_version_has_the_behaviour_of_the_last_one_known_before_it() -> None:
    assert quirks_of("18.0.2") is quirks_of("16.1.1")
    assert quirks_of("26.6.0") is quirks_of("26.5.1")
    assert quirks_of("27.0.0") is quirks_of("26.8.0")
    with pytest.raises(ValueError, match="invalid literal"):
        quirks_of("newest")


def test_26_2_0_stores_the_mask_itself_unless_authtype_is_sent() -> None:
    with running("26.2.0") as sandbox:
        api = AdminApi(sandbox.url)
        api.put_smtp("acme", {**facts.SENDER, **facts.LOGIN})
        api.put_smtp("acme", {**facts.SENDER, **facts.LOGIN, "password": MASK, "authType": "basic"})
        assert sandbox.smtp("acme")["password"] == "p"
        api.put_smtp("acme", {**facts.SENDER, **facts.LOGIN, "password": MASK})
        assert sandbox.smtp("acme")["password"] == MASK
        api.close()


@pytest.mark.parametrize("change", [{"host": "x"}, {"port": "1"}, {"ssl": "true"}, {"from": "z@b.example"}])
def test_26_8_drops_the_password_when_the_relay_changes(change: dict[str, str]) -> None:
    with running("26.8.0") as sandbox:
        api = AdminApi(sandbox.url)
        masked = {**facts.SENDER, **facts.LOGIN, "password": MASK, "authType": "basic"}
        api.put_smtp("acme", {**masked, "password": "p"})
        api.put_smtp("acme", {**masked, "fromDisplayName": "Acme"})
        assert sandbox.smtp("acme")["password"] == "p"
        api.put_smtp("acme", {**masked, **change})
        assert "password" not in sandbox.smtp("acme")
        api.close()


def test_26_8_tests_with_a_mask_only_where_nothing_changed(relays: Relays) -> None:
    with running("26.8.0") as sandbox:
        api = AdminApi(sandbox.url)
        relay = relays.with_login()
        api.put_smtp("acme", login_attributes(relay))
        assert api.test_mail("acme", login_attributes(relay, MASK)).status_code == 204
        other = {**login_attributes(relay, MASK), "from": "z@b.example"}
        assert api.test_mail("acme", other).status_code == 500
        api.close()


def test_26_0_stores_any_settings_it_is_given() -> None:
    with running("26.0.0") as sandbox:
        api = AdminApi(sandbox.url)
        odd = {"from": "bad", "auth": "false", "user": "u", "authTokenClientSecret": "t"}
        assert api.put_smtp("acme", odd).status_code == 204
        assert api.smtp("acme") == odd
        api.close()


# Accounts, in the corners that no contract test needs


def test_accounts_clients_and_roles_that_are_not_there_are_not_found(admin: AdminApi) -> None:
    base = realm_path("acme")
    (client,) = admin.ok("GET", f"{base}/clients?clientId=account").json()
    for path in (
        f"{base}/clients/none/roles/manage-realm",
        f"{base}/clients/{client['id']}/roles/manage-realm",
        f"{base}/roles/none",
        f"{base}/users/none",
    ):
        assert admin.call("GET", path).status_code == 404
    assert admin.call("GET", f"{base}/clients/{client['id']}/service-account-user").status_code == 400
    assert admin.call("DELETE", f"{base}/clients/none").status_code == 404


def test_names_of_users_and_clients_are_unique(admin: AdminApi) -> None:
    admin.create_user("acme", "once")
    admin.create_client("acme", "once", "s")
    for kind, body in (("users", {"username": "once"}), ("clients", {"clientId": "once"})):
        assert admin.call("POST", f"{realm_path('acme')}/{kind}", body).status_code == 409


def test_a_removed_client_takes_its_service_account_along(admin: AdminApi) -> None:
    base = realm_path("acme")
    user = admin.create_client("acme", "gone", "s")
    admin.ok("POST", f"{base}/clients", {"clientId": "plain", "publicClient": True})
    for client in admin.ok("GET", f"{base}/clients").json():
        if client["clientId"] in ("gone", "plain"):
            admin.ok("DELETE", f"{base}/clients/{client['id']}")
    assert admin.call("GET", f"{base}/users/{user}").status_code == 404


def test_the_admin_role_of_master_can_be_given(admin: AdminApi) -> None:
    user = admin.create_user("master", "second", ["view-users"])
    role = admin.ok("GET", f"{realm_path('master')}/roles/admin").json()
    admin.ok("POST", f"{realm_path('master')}/users/{user}/role-mappings/realm", [role])
    assert admin.call("GET", realm_path("acme"), token=admin.user_token("master", "second")).status_code == 200
    assert admin.call("POST", f"{realm_path('master')}/users/{user}/role-mappings/realm", {}).status_code == 400


def test_rights_of_master_on_a_realm_follow_its_new_name_and_end_with_the_realm(
    admin: AdminApi, ztrust_sandbox: Sandbox
) -> None:
    ztrust_sandbox.create_user("master", "keeper", "pw", ["acme-realm:manage-realm"])
    admin.ok("PUT", realm_path("acme"), {"realm": "renamed"})
    token = admin.user_token("master", "keeper", "pw")
    assert "smtpServer" in admin.call("GET", realm_path("renamed"), token=token).json()
    admin.delete_realm("renamed")
    ztrust_sandbox.create_realm("renamed")
    assert admin.call("GET", realm_path("renamed"), token=token).status_code == 403


def test_a_login_that_is_not_base64_is_an_unknown_client(ztrust_sandbox: Sandbox) -> None:
    url = f"{ztrust_sandbox.url}/realms/master/protocol/openid-connect/token"
    for given in ("=", base64.b64encode(b"\xff").decode()):
        headers = {"Authorization": f"Basic {given}"}
        response = requests.post(url, {"grant_type": "client_credentials"}, headers=headers, timeout=30)
        assert response.json()["error"] == "invalid_client"


# The mail sink and its page


def test_the_page_shows_mails_newest_first_and_escapes_them(ztrust_sandbox: Sandbox) -> None:
    assert "Nothing yet" in requests.get(ztrust_sandbox.url, timeout=30).text
    with smtplib.SMTP("127.0.0.1", ztrust_sandbox.mail.port) as client:
        for subject in ("first", "<script>second"):
            text = f"Subject: {subject}\r\nReply-To: r@b.example\r\n\r\n<b>body</b>\r\n"
            client.sendmail("a@b.example", ["c@d.example"], text.encode())
    shown = requests.get(f"{ztrust_sandbox.url}/", timeout=30)
    assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
    assert shown.text.index("&lt;script&gt;second") < shown.text.index("<h2>first")
    assert "<script>" not in shown.text
    assert "&lt;b&gt;body&lt;/b&gt;" in shown.text
    assert "r@b.example" in shown.text


def send(sandbox: Sandbox, mail: str) -> None:
    with smtplib.SMTP("127.0.0.1", sandbox.mail.port) as client:
        client.sendmail("a@b.example", ["c@d.example"], mail.replace("\n", "\r\n").encode())


def page(sandbox: Sandbox, path: str = "/") -> requests.Response:
    return requests.get(f"{sandbox.url}{path}", timeout=30)


def test_the_page_shows_time_and_realm_of_a_test_mail(ztrust_sandbox: Sandbox, admin: AdminApi) -> None:
    admin.ok("POST", f"{realm_path('globex')}/testSMTPConnection", attributes(ztrust_sandbox.mail))
    send(ztrust_sandbox, "Subject: from elsewhere\n\nbody\n")
    _, elsewhere, sent = page(ztrust_sandbox).text.split("<article>")
    (mail, _) = ztrust_sandbox.mail.received
    assert "<dt>Realm</dt><dd>globex</dd>" in sent
    assert f"<dt>Received</dt><dd>{mail.received_at.astimezone():%Y-%m-%d %H:%M:%S %Z}</dd>" in sent
    assert "<dt>Realm</dt>" not in elsewhere


def test_the_page_shows_what_a_search_finds_whatever_its_case(ztrust_sandbox: Sandbox, admin: AdminApi) -> None:
    for realm in ("acme", "globex"):
        admin.test_mail(realm, attributes(ztrust_sandbox.mail))
    send(ztrust_sandbox, "Subject: Rechnung Ä\n\nbody <tag>\n")
    found = {
        query: page(ztrust_sandbox, f"/?q={query}").text.count("<article>")
        for query in ("", "+", "GLOBEX", "rechnung", "%3Ctag%3E", "nothing")
    }
    assert found == {"": 3, "+": 3, "GLOBEX": 1, "rechnung": 1, "%3Ctag%3E": 1, "nothing": 0}
    hostile = page(ztrust_sandbox, "/?q=%22%3E%3Cscript%3E").text
    assert 'value="&quot;&gt;&lt;script&gt;"' in hostile
    assert "<script>" not in hostile
    assert "No mail contains “&quot;&gt;&lt;script&gt;”." in hostile


def test_the_page_shows_invisible_characters(ztrust_sandbox: Sandbox) -> None:
    send(
        ztrust_sandbox,
        "Subject: =?utf-8?q?a=E2=80=AEb?=\nContent-Type: text/plain; charset=utf-8\n\none\x1b[31m\n\ttwo\u202e\n",
    )
    shown = page(ztrust_sandbox).text
    assert "<h2>a\\u202eb</h2>" in shown
    assert "<pre>one\\x1b[31m\n        two\\u202e</pre>" in shown
    assert not {"\x1b", "\u202e"} & set(shown)


def test_the_page_of_a_busy_relay_shows_the_newest_mails(ztrust_sandbox: Sandbox) -> None:
    with smtplib.SMTP("127.0.0.1", ztrust_sandbox.mail.port) as client:
        for number in range(201):
            client.sendmail("a@b.example", ["c@d.example"], f"Subject: number-{number}-\r\n\r\n".encode())
    shown = page(ztrust_sandbox).text
    assert shown.count("<article>") == 200
    assert "Newest first; the newest 200 are shown." in shown
    assert "number-200-" in shown
    assert "number-0-" not in shown


@pytest.mark.parametrize("base_path", ["", "/auth"])
def test_the_html_of_a_mail_is_a_document_of_its_own_without_rights(base_path: str) -> None:
    with Sandbox(SandboxOptions(base_path=base_path)) as sandbox:
        send(sandbox, "Content-Type: text/plain\n\nplain\n")
        send(sandbox, "Content-Type: text/html\n\n<script>alert(1)</script>\n")
        whole = page(sandbox)
        part = page(sandbox, "/sandbox/mails/2")
        missing = [page(sandbox, f"/sandbox/mails/{name}").status_code for name in ("0", "3", "x", "²", "9" * 5000, "")]
    frame = f'<iframe sandbox loading="lazy" title="HTML part of mail 2" src="{base_path}/sandbox/mails/2"></iframe>'
    assert whole.text.count("<iframe") == 1
    assert frame in whole.text
    assert "default-src 'none'" in whole.headers["Content-Security-Policy"]
    assert "script-src" not in whole.headers["Content-Security-Policy"]
    assert part.text == "<script>alert(1)</script>"
    assert part.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none';")
    assert missing == [404] * 6
    assert {r.headers["X-Content-Type-Options"] for r in (whole, part)} == {"nosniff"}


# Relays that misbehave


def test_a_slow_relay_fails_the_test_mail(admin: AdminApi) -> None:
    with MailSink(faults=[RelayFault.SLOW]) as relay:
        assert admin.test_mail("acme", attributes(relay, timeout="50")).status_code == 500


@pytest.mark.parametrize("fault", [RelayFault.EXPIRED, RelayFault.WRONG_NAME])
def test_a_certificate_with_a_fault_is_refused_for_that_reason_alone(fault: RelayFault, tmp_path: Path) -> None:
    reasons = {RelayFault.EXPIRED: "expired", RelayFault.WRONG_NAME: "IP address mismatch"}
    context = make_tls_context(tmp_path / "ca.pem", [fault])
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with (
        MailSink(encryption=Encryption.STARTTLS, tls_context=context) as sink,
        smtplib.SMTP("127.0.0.1", sink.port) as client,
        pytest.raises(ssl.SSLCertVerificationError, match=reasons[fault]),
    ):
        client.starttls(context=trusting)


@pytest.mark.parametrize(
    ("fault", "command", "code"),
    [
        (RelayFault.AUTH, "MAIL FROM:<a@b.example>", 530),
        (RelayFault.NO_STARTTLS, "MAIL FROM:<a@b.example>", 530),
        (RelayFault.NO_STARTTLS, "AUTH PLAIN AHUAcA==", 538),
        (RelayFault.REFUSE_SENDER, "MAIL FROM:<a@b.example>", 550),
        (RelayFault.AUTH, "AUTH PLAIN AHUAcA==", 535),
    ],
)
def test_a_relay_with_a_fault_gives_the_reply_of_real_relays(fault: RelayFault, command: str, code: int) -> None:
    with MailSink(faults=[fault]) as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.ehlo()
        assert client.docmd(command)[0] == code


def test_a_closed_relay_refuses_connections_and_frees_its_port_in_the_end() -> None:
    with MailSink(faults=[RelayFault.CLOSED]) as sink:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sink.port), timeout=30)
        port = sink.port
    with MailSink() as other, pytest.raises(OSError, match="in use"):
        MailSink(port=other.port, faults=[RelayFault.CLOSED]).start()
    with MailSink(port=port), smtplib.SMTP("127.0.0.1", port) as client:
        assert client.noop()[0] == 250


def test_a_slow_relay_stops_at_once() -> None:
    with MailSink(faults=[RelayFault.SLOW]) as sink:
        client = socket.create_connection(("127.0.0.1", sink.port), timeout=30)
        assert client.recv(100).startswith(b"220 ")
        client.sendall(b"EHLO x\r\n")
        sink.stop()
        with client, suppress(ConnectionResetError):
            assert client.recv(100) == b""


def test_faults_that_exclude_each_other_are_found() -> None:
    assert find_contradiction([RelayFault.SLOW, RelayFault.AUTH]) is None
    assert find_contradiction(list(RelayFault)) is not None
    assert find_contradiction([RelayFault.AUTH, RelayFault.CLOSED]) == (RelayFault.CLOSED, RelayFault.AUTH)
    pair = (RelayFault.NO_STARTTLS, RelayFault.EXPIRED)
    assert find_contradiction(pair) == pair


def test_a_login_brings_no_warning_of_the_library(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        MailSink(credentials=("u", "p")) as sink,
        smtplib.SMTP("127.0.0.1", sink.port) as client,
    ):
        client.login("u", "p")
        client.sendmail("a@b.example", ["c@d.example"], MAIL)
        assert sink.wait_for(1)[0].login == "u"
    assert caplog.messages == []


def test_mails_can_be_waited_for_and_forgotten() -> None:
    with MailSink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        with pytest.raises(TimeoutError, match="0 of 1"):
            sink.wait_for(1, timeout=0.0)
        client.sendmail("a@b.example", ["c@d.example"], MAIL)
        assert sink.wait_for(1)[0].subject == "Hi"
        sink.clear()
        assert sink.received == ()


@pytest.mark.parametrize(
    ("mail", "text"),
    [
        (b"\r\nplain\r\n", "plain"),
        (b"Content-Type: text/html\r\n\r\n<p>html</p>\r\n", "<p>html</p>"),
        (b"Content-Type: text/plain; charset=nonsense\r\n\r\nraw\r\n", "raw"),
        (b"Content-Type: image/png\r\n\r\nx\r\n", ""),
        (b"", ""),
    ],
)
def test_the_text_of_any_mail_can_be_read(mail: bytes, text: str) -> None:
    with MailSink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail("", ["c@d.example"], mail)
        (received,) = sink.wait_for(1)
    assert received.text == text
    assert received.envelope_from == ""


@pytest.mark.parametrize("message_id", ["<", "<>", "<a@", "<[x]@y>", "<a@b.example>"])
def test_a_mail_with_a_broken_header_is_received(message_id: str) -> None:
    with MailSink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail("a@b.example", ["c@d.example"], f"Message-ID: {message_id}\r\nSubject: Hi\r\n\r\nx".encode())
        (received,) = sink.wait_for(1)
    assert (received.message_id, received.subject) == (message_id, "Hi")


def test_a_sink_that_requires_a_login_accepts_nothing_before_it() -> None:
    with MailSink(credentials=("u", "p")) as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("a@b.example", ["c@d.example"], MAIL)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("u", "wrong")
        client.login("u", "p")
        client.sendmail("a@b.example", ["c@d.example"], MAIL)
        assert sink.wait_for(1)[0].login == "u"


@pytest.mark.parametrize("response", ["", "AAAA", "A"])
def test_an_invalid_token_login_is_refused(response: str) -> None:
    with MailSink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.ehlo()
        code, _ = client.docmd("AUTH", f"XOAUTH2 {response}".strip())
        if code == 334:
            code, _ = client.docmd("AAAA")
        assert code == 535


def test_a_token_login_may_be_sent_in_two_steps() -> None:
    with MailSink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.ehlo()
        assert client.docmd("AUTH", "XOAUTH2")[0] == 334
        assert client.docmd(base64.b64encode(b"user=u\x01auth=Bearer t\x01\x01").decode())[0] == 235


def test_encryption_without_a_certificate_and_the_reverse_are_refused(authority: trustme.CA) -> None:
    with pytest.raises(ValueError, match="need each other"):
        MailSink(encryption=Encryption.TLS)
    with pytest.raises(ValueError, match="need each other"):
        MailSink(tls_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def test_a_sink_stops_with_clients_still_connected(relays: Relays, authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    relay = relays.starttls()
    plain, encrypted = smtplib.SMTP("localhost", relay.port), smtplib.SMTP("localhost", relay.port)
    encrypted.starttls(context=trusting)
    relay.stop()
    relay.stop()
    for client in (plain, encrypted):
        with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
            client.noop()
        client.close()


def test_a_sink_stops_although_a_client_leaves_the_end_of_tls_unanswered(
    relays: Relays, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    relay = relays.tls()
    with smtplib.SMTP_SSL("localhost", relay.port, timeout=5.0, context=trusting) as client:
        assert client.docmd("QUIT")[0] == 221
        relay.stop()
        assert isinstance(client.sock, ssl.SSLSocket)
        with client.sock.unwrap() as connection:
            assert connection.recv(1) == b""
        client.close()
    assert caplog.messages == []


# The test call, in the corners


def test_a_timeout_of_the_settings_is_used_and_a_silent_relay_fails(admin: AdminApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {"host": "127.0.0.1", "port": silent.getsockname()[1], "from": "a@b.example"}
        response = admin.test_mail("acme", {**settings, "connectionTimeout": "50", "timeout": "50"})
    assert response.status_code == 500


@pytest.mark.parametrize("url", ["", "file:///etc/hostname", "http://127.0.0.1:1/"])
def test_a_login_by_token_needs_a_url_that_gives_one(admin: AdminApi, ztrust_sandbox: Sandbox, url: str) -> None:
    by_token = {"auth": "true", "authType": "token", "user": "u", "authTokenUrl": url}
    assert admin.test_mail("acme", attributes(ztrust_sandbox.mail, **by_token)).status_code == 500


def test_a_token_endpoint_without_a_token_fails_the_test(admin: AdminApi, ztrust_sandbox: Sandbox) -> None:
    by_token = {"auth": "true", "authType": "token", "user": "u", "authTokenUrl": f"{ztrust_sandbox.url}/"}
    assert admin.test_mail("acme", attributes(ztrust_sandbox.mail, **by_token)).status_code == 500


@pytest.mark.parametrize("sender", ["ä@b.example", '"a b"@c.example'])
def test_unusual_senders_are_sent_where_the_server_takes_them(
    admin: AdminApi, ztrust_sandbox: Sandbox, sender: str
) -> None:
    settings = attributes(ztrust_sandbox.mail, allowutf8="true", fromDisplayName="Acme")
    assert admin.test_mail("acme", {**settings, "from": sender}).status_code == 204
    assert sender in ztrust_sandbox.mail.received[0].sender


def test_a_test_without_a_host_fails(admin: AdminApi) -> None:
    assert admin.test_mail("acme", {"from": "a@b.example"}).status_code == 500


def test_an_empty_test_is_refused(admin: AdminApi) -> None:
    assert admin.test_mail("acme", []).status_code == 400
