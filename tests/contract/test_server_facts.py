"""What an identity server really does with e-mail settings: the same tests on Keycloak and on the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import trustme
from contract.expected import EXPECTED, Expected, Given
from support.admin_api import PASSWORD, AdminApi, access_token, claims, realm_path
from support.server_under_test import ServerUnderTest
from support.smtp import PASSWORD as RELAY_PASSWORD
from support.smtp import USER as RELAY_USER
from support.smtp import Relays, attributes, login_attributes

from ztrust_mail.sandbox.relay.faults import RelayFault

ADDRESSES = json.loads(Path(__file__).with_name("addresses.json").read_text(encoding="utf-8"))
MASK = "*" * 10
REALM, OTHER = "facts", "other facts 50% ü"
SECRET = "client-Secr3t"
UNAUTHORIZED: Given = (401, {"error": "HTTP 401 Unauthorized"})
NOT_FOUND: Given = (404, {"error": "Realm not found."})
FAILED: Given = (500, {"errorMessage": "Failed to send email"})
SENDER = {"from": "a@b.example", "host": "h"}
LOGIN = {"auth": "true", "user": "u", "password": "p"}
TOKEN = {
    "authTokenUrl": "https://login.example/token",
    "authTokenScope": "scope",
    "authTokenClientId": "id",
    "authTokenClientSecret": "secret",
}


def answer(response: requests.Response) -> Given:
    return response.status_code, response.json() if response.content else None


def without_none(settings: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value is not None}


def roles_in(token: str) -> dict[str, set[str]]:
    resources = claims(token).get("resource_access", {})
    assert isinstance(resources, dict)
    return {client: set(access["roles"]) for client, access in resources.items()}


@pytest.fixture(scope="session")
def expected(server: ServerUnderTest) -> Expected:
    return EXPECTED[server.version]


@pytest.fixture(scope="session")
def api(server: ServerUnderTest) -> Iterator[AdminApi]:
    """The administrator, with two realms and one account for each kind of right on the first."""
    session = AdminApi(server.url, server.admin_user, server.admin_password)
    for name in (REALM, OTHER):
        session.create_realm(name)
    session.create_user(REALM, "manager", ["manage-realm"])
    session.create_user(REALM, "viewer", ["view-realm"])
    session.create_user(REALM, "querier", ["query-users"])
    session.create_user(REALM, "user-viewer", ["view-users"])
    session.create_user(REALM, "nobody")
    session.create_client(REALM, "service", SECRET, ["manage-realm"])
    session.create_client("master", "outside", SECRET, ["manage-realm"], roles_on=f"{REALM}-realm")
    yield session
    session.close()


@pytest.fixture
def realm(api: AdminApi) -> str:
    """The first realm, without e-mail settings."""
    assert api.put_smtp(REALM, {}).status_code == 204
    return REALM


# Logging in


def test_a_password_grant_gives_a_token_and_its_lifetime(api: AdminApi, server: ServerUnderTest) -> None:
    response = api.login(grant_type="password", username=server.admin_user, password=server.admin_password)
    given = response.json()
    assert response.status_code == 200
    assert given["token_type"] == "Bearer"
    assert given["expires_in"] == 60
    assert given["refresh_expires_in"] == 1800
    assert {"profile", "email"} <= set(given["scope"].split())


def test_a_service_account_gets_a_token_without_a_refresh_token(api: AdminApi) -> None:
    given = api.login(REALM, grant_type="client_credentials", client_id="service", client_secret=SECRET).json()
    assert given["access_token"]
    assert given["refresh_expires_in"] == 0
    assert "refresh_token" not in given


def test_a_client_may_log_in_by_basic_authentication(api: AdminApi) -> None:
    url = f"{api.url}/realms/{REALM}/protocol/openid-connect/token"
    response = requests.post(url, data={"grant_type": "client_credentials"}, auth=("service", SECRET), timeout=30)
    assert access_token(response)


def test_a_refresh_token_gives_a_new_token(api: AdminApi) -> None:
    first = api.login(REALM, grant_type="password", username="manager", password=PASSWORD).json()
    second = access_token(api.login(REALM, grant_type="refresh_token", refresh_token=first["refresh_token"]))
    assert second != first["access_token"]
    assert api.call("GET", realm_path(REALM), token=second).status_code == 200


def test_a_wrong_password_is_refused(api: AdminApi, expected: Expected) -> None:
    assert answer(api.login(grant_type="password", username="admin", password="x")) == expected.wrong_password


def test_an_unknown_user_gets_the_same_answer_as_a_wrong_password(api: AdminApi, expected: Expected) -> None:
    assert answer(api.login(grant_type="password", username="nil", password="x")) == expected.wrong_password


def test_an_unknown_client_is_refused(api: AdminApi, expected: Expected) -> None:
    form = {"grant_type": "password", "username": "admin", "password": "admin"}
    assert answer(api.login(client_id="nil", **form)) == expected.unknown_client
    assert answer(api.login(client_id="", **form)) == expected.unknown_client


def test_a_wrong_client_secret_is_refused(api: AdminApi, expected: Expected) -> None:
    form = {"grant_type": "client_credentials", "client_id": "service"}
    assert answer(api.login(REALM, client_secret="x", **form)) == expected.wrong_secret
    assert answer(api.login(REALM, **form)) == expected.missing_secret


def test_a_disabled_client_is_refused(api: AdminApi, expected: Expected) -> None:
    api.create_client(REALM, "disabled-client", SECRET, enabled=False)
    form = {"grant_type": "client_credentials", "client_id": "disabled-client", "client_secret": SECRET}
    assert answer(api.login(REALM, **form)) == expected.disabled_client


def test_a_disabled_user_is_refused(api: AdminApi) -> None:
    user = api.create_user(REALM, "disabled-user")
    api.ok("PUT", f"{realm_path(REALM)}/users/{user}", {"enabled": False})
    response = api.login(REALM, grant_type="password", username="disabled-user", password=PASSWORD)
    assert answer(response) == (400, {"error": "invalid_grant", "error_description": "Account disabled"})


def test_nobody_can_log_in_to_a_disabled_realm(api: AdminApi) -> None:
    api.create_realm("facts-disabled", enabled=False)
    response = api.login("facts-disabled", grant_type="password", username="x", password="x")
    assert answer(response) == (403, {"error": "access_denied", "error_description": "Realm not enabled"})
    api.delete_realm("facts-disabled")


def test_an_unknown_realm_issues_no_token(api: AdminApi) -> None:
    response = api.login("nil", grant_type="password", username="x", password="x")
    assert answer(response) == (404, {"error": "Realm does not exist"})


@pytest.mark.parametrize(
    ("form", "status", "code", "text"),
    [
        ({}, 400, "invalid_request", "Missing form parameter: grant_type"),
        ({"grant_type": "x"}, 400, "unsupported_grant_type", "Unsupported grant_type"),
        ({"grant_type": "password"}, 401, "invalid_request", "Missing parameter: username"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request", "No refresh token"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant", "Invalid refresh token"),
        (
            {"grant_type": "client_credentials"},
            401,
            "unauthorized_client",
            "Public client not allowed to retrieve service account",
        ),
        (
            {"grant_type": "password", "client_id": "security-admin-console", "username": "x"},
            400,
            "unauthorized_client",
            "Client not allowed for direct access grants",
        ),
    ],
)
def test_a_wrong_token_request_is_answered_with_the_reason(
    api: AdminApi, form: dict[str, str], status: int, code: str, text: str
) -> None:
    assert answer(api.login(**form)) == (status, {"error": code, "error_description": text})


def test_a_client_without_a_service_account_cannot_log_in_by_itself(api: AdminApi) -> None:
    body = {"clientId": "no-service", "secret": SECRET, "publicClient": False}
    api.ok("POST", f"{realm_path(REALM)}/clients", body)
    given = api.login(REALM, grant_type="client_credentials", client_id="no-service", client_secret=SECRET)
    text = "Client not enabled to retrieve service account"
    assert answer(given) == (401, {"error": "unauthorized_client", "error_description": text})


def test_requests_without_a_token_or_with_a_wrong_one_are_unauthorized(api: AdminApi) -> None:
    for path in ("/admin/realms", realm_path(REALM), "/admin/serverinfo"):
        assert answer(requests.get(api.url + path, timeout=30)) == UNAUTHORIZED
        assert answer(api.call("GET", path, token="x")) == UNAUTHORIZED


def test_an_expired_token_is_unauthorized(api: AdminApi) -> None:
    api.create_realm("facts-expired", accessTokenLifespan=-5)
    api.create_user("facts-expired", "manager", ["manage-realm"])
    token = api.user_token("facts-expired", "manager")
    assert answer(api.call("GET", realm_path("facts-expired"), token=token)) == UNAUTHORIZED
    api.delete_realm("facts-expired")


# What tokens tell, and how an account finds its own address


def test_a_token_names_its_issuer_its_client_and_when_it_expires(api: AdminApi) -> None:
    told = claims(api.user_token(REALM, "manager"))
    assert told["iss"] == f"{api.url}/realms/{REALM}"
    assert told["azp"] == "admin-cli"
    assert told["typ"] == "Bearer"
    assert isinstance(told["exp"], int)
    assert told["exp"] - int(str(told["iat"])) in (60, 300)


def test_an_admin_cli_token_names_no_roles_and_on_new_servers_not_even_its_owner(
    api: AdminApi, expected: Expected
) -> None:
    told = claims(api.admin_token())
    assert "resource_access" not in told
    assert ("sub" in told) is expected.admin_token_has_subject
    assert (told.get("preferred_username") == "admin") is expected.admin_token_has_subject
    assert (told.get("email") == "admin@sandbox.example") is expected.admin_token_has_subject


def test_a_service_accounts_token_lists_its_roles_in_its_realm(api: AdminApi) -> None:
    token = api.client_token(REALM, "service", SECRET)
    assert "manage-realm" in roles_in(token)["realm-management"]
    assert claims(token)["preferred_username"] == "service-account-service"


def test_a_master_service_accounts_token_lists_its_roles_by_realm(api: AdminApi) -> None:
    assert roles_in(api.client_token("master", "outside", SECRET))[f"{REALM}-realm"] == {"manage-realm"}


def test_a_full_token_of_an_administrator_lists_manage_realm_for_every_realm(
    api: AdminApi, server: ServerUnderTest
) -> None:
    credentials = {"client_id": "outside", "client_secret": SECRET}
    roles = roles_in(api.user_token("master", server.admin_user, server.admin_password, **credentials))
    for name in (REALM, OTHER, "master"):
        assert "manage-realm" in roles[f"{name}-realm"]


def test_a_lightweight_token_names_no_roles_but_has_them(api: AdminApi, expected: Expected) -> None:
    light = {"client.use.lightweight.access.token.enabled": "true"}
    api.create_client(REALM, "light", SECRET, ["manage-realm"], attributes=light)
    token = api.client_token(REALM, "light", SECRET)
    assert ("resource_access" in claims(token)) is expected.admin_token_has_subject
    assert "sub" in claims(token)
    assert api.call("GET", realm_path(REALM), token=token).json()["smtpServer"] is not None


def test_the_id_token_of_an_openid_login_has_the_address_even_for_lightweight_clients(
    api: AdminApi, server: ServerUnderTest
) -> None:
    account = {"username": server.admin_user, "password": server.admin_password}
    given = api.login(grant_type="password", scope="openid", **account).json()
    assert claims(given["id_token"])["email"] == "admin@sandbox.example"
    assert "id_token" not in api.login(grant_type="password", **account).json()


def test_the_id_token_of_a_service_account_has_its_address_once_it_has_one(api: AdminApi) -> None:
    user = api.create_client(REALM, "with-address", SECRET)
    form = {"grant_type": "client_credentials", "client_id": "with-address", "client_secret": SECRET}
    before = api.login(REALM, scope="openid", **form).json()
    api.ok("PUT", f"{realm_path(REALM)}/users/{user}", {"email": "service@facts.example"})
    after = api.login(REALM, scope="openid", **form).json()
    assert "email" not in claims(before["id_token"])
    assert claims(after["id_token"])["email"] == "service@facts.example"


def test_userinfo_has_the_address_unless_the_token_is_lightweight(
    api: AdminApi, expected: Expected, server: ServerUnderTest
) -> None:
    path = "/realms/master/protocol/openid-connect/userinfo"
    account = ("master", server.admin_user, server.admin_password)
    light = api.call("GET", path, token=api.user_token(*account, scope="openid"))
    full = {"scope": "openid", "client_id": "outside", "client_secret": SECRET}
    assert api.call("GET", path, token=api.user_token(*account, **full)).json()["email"] == "admin@sandbox.example"
    if expected.userinfo_of_admin is None:
        assert (light.status_code, light.text) == (401, "")
        assert "Lightweight access token not allowed" in light.headers["WWW-Authenticate"]
    else:
        assert (light.status_code, light.json()["email"]) == expected.userinfo_of_admin


def test_userinfo_of_a_full_token_needs_the_openid_scope_on_new_servers(api: AdminApi, expected: Expected) -> None:
    response = api.call(
        "GET",
        f"/realms/{REALM}/protocol/openid-connect/userinfo",
        token=api.client_token(REALM, "service", SECRET),
    )
    assert response.status_code == (403 if expected.userinfo_of_admin is None else 200)


def test_userinfo_refuses_a_wrong_token(api: AdminApi, expected: Expected) -> None:
    url = f"/realms/{REALM}/protocol/openid-connect/userinfo"
    none = requests.get(api.url + url, timeout=30)
    assert api.call("GET", url, token="x").status_code == 401
    assert none.status_code == (401 if expected.userinfo_of_admin is None else 400)


def test_the_account_api_returns_a_users_address_on_new_servers(api: AdminApi, expected: Expected) -> None:
    token = api.user_token(REALM, "manager")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    response = requests.get(f"{api.url}/realms/{REALM}/account", headers=headers, timeout=30)
    assert response.status_code == expected.account_status
    if response.ok:
        assert response.json()["email"] == "manager@facts.example"


def test_a_service_account_may_not_use_the_account_api(api: AdminApi) -> None:
    token = api.client_token(REALM, "service", SECRET)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    assert requests.get(f"{api.url}/realms/{REALM}/account", headers=headers, timeout=30).status_code == 401


def test_users_are_shown_only_to_those_who_may_view_users(api: AdminApi, expected: Expected) -> None:
    (user,) = api.ok("GET", f"{realm_path(REALM)}/users?username=user-viewer&exact=true").json()
    path = f"{realm_path(REALM)}/users/{user['id']}"
    assert answer(api.call("GET", path, token=api.user_token(REALM, "manager"))) == expected.forbidden
    assert api.call("GET", path, token=api.user_token(REALM, "user-viewer")).json()["email"] == user["email"]
    assert answer(api.call("GET", f"{path}x")) == (404, {"error": "User not found"})


def test_whoami_answers_the_console_alone_on_new_servers(api: AdminApi, expected: Expected) -> None:
    response = api.call("GET", "/admin/master/console/whoami")
    assert response.status_code == expected.whoami_status
    if response.ok:
        assert "manage-realm" in response.json()["realm_access"][REALM]
        assert response.json()["createRealm"] is True
    else:
        text = "Token issued for an application that is not the admin console: admin-cli"
        assert response.json() == {"error": text}


def test_whoami_of_a_realm_is_for_its_own_accounts(api: AdminApi, server: ServerUnderTest) -> None:
    response = api.call("GET", f"/admin/{REALM}/console/whoami")
    assert response.status_code == 401


def test_whoami_knows_only_existing_realms(api: AdminApi) -> None:
    response = api.call("GET", "/admin/nil/console/whoami")
    assert answer(response) == (404, {"error": "Realm not found.  Did you type in a bad URL?"})


def test_serverinfo_shows_the_version_to_administrators_of_the_server(api: AdminApi, server: ServerUnderTest) -> None:
    told = api.ok("GET", "/admin/serverinfo").json()
    assert told["systemInfo"]["version"] == server.version
    assert "keycloak" in [theme["name"] for theme in told["themes"]["email"]]


def test_serverinfo_shows_the_version_to_accounts_that_manage_a_realm(api: AdminApi, server: ServerUnderTest) -> None:
    told = api.call("GET", "/admin/serverinfo", token=api.user_token(REALM, "manager")).json()
    assert told["systemInfo"]["version"] == server.version


def test_serverinfo_shows_the_version_to_lesser_accounts_on_old_servers_only(api: AdminApi, expected: Expected) -> None:
    told = api.call("GET", "/admin/serverinfo", token=api.user_token(REALM, "viewer")).json()
    assert ("systemInfo" in told) is expected.serverinfo_version_for_viewer


def test_serverinfo_is_forbidden_for_accounts_without_rights(api: AdminApi, expected: Expected) -> None:
    assert answer(api.call("GET", "/admin/serverinfo", token=api.user_token(REALM, "nobody"))) == expected.forbidden


def test_the_public_page_of_a_realm_names_its_token_service(api: AdminApi) -> None:
    told = requests.get(f"{api.url}/realms/{REALM}", timeout=30).json()
    assert told["realm"] == REALM
    assert told["token-service"] == f"{api.url}/realms/{REALM}/protocol/openid-connect"
    unknown = requests.get(f"{api.url}/realms/nil", timeout=30)
    assert answer(unknown) == (404, {"error": "Realm does not exist"})


# Reading realms


def test_the_list_shows_an_administrator_every_realm_in_full(api: AdminApi) -> None:
    listed = {entry["realm"]: entry for entry in api.ok("GET", "/admin/realms").json()}
    assert {REALM, OTHER, "master"} <= set(listed)
    assert listed[OTHER]["smtpServer"] == {}


def test_the_brief_list_has_id_name_and_state_alone(api: AdminApi) -> None:
    listed = {entry["realm"]: entry for entry in api.ok("GET", "/admin/realms?briefRepresentation=true").json()}
    assert set(listed[REALM]) == {"id", "realm", "enabled"}


@pytest.mark.parametrize("account", ["manager", "viewer"])
def test_the_list_shows_an_account_of_one_realm_that_realm_alone(api: AdminApi, account: str) -> None:
    listed = api.call("GET", "/admin/realms", token=api.user_token(REALM, account)).json()
    assert [entry["realm"] for entry in listed] == [REALM]
    assert "smtpServer" in listed[0]


def test_the_list_shows_a_lesser_account_the_realms_name_alone(api: AdminApi) -> None:
    response = api.call("GET", "/admin/realms", token=api.user_token(REALM, "querier"))
    assert answer(response) == (200, [{"realm": REALM}])


def test_the_list_is_forbidden_for_accounts_without_rights(api: AdminApi, expected: Expected) -> None:
    assert answer(api.call("GET", "/admin/realms", token=api.user_token(REALM, "nobody"))) == expected.forbidden


def test_a_realm_without_settings_has_an_empty_smtp_server(api: AdminApi, realm: str) -> None:
    assert api.smtp(realm) == {}


def test_names_with_spaces_percent_signs_and_letters_of_all_kinds_work_when_encoded(api: AdminApi) -> None:
    assert api.ok("GET", realm_path(OTHER)).json()["realm"] == OTHER
    assert api.put_smtp(OTHER, SENDER).status_code == 204
    assert api.smtp(OTHER) == SENDER
    assert api.put_smtp(OTHER, {}).status_code == 204


def test_an_unknown_realm_is_not_found(api: AdminApi) -> None:
    for method, path in (
        ("GET", "/admin/realms/nil"),
        ("PUT", "/admin/realms/nil"),
        ("DELETE", "/admin/realms/nil"),
        ("POST", "/admin/realms/nil/testSMTPConnection"),
    ):
        assert answer(api.call(method, path, {} if method != "GET" else None)) == NOT_FOUND


def test_an_unknown_realm_is_not_found_for_anybody_who_is_logged_in(api: AdminApi) -> None:
    assert answer(api.call("GET", "/admin/realms/nil", token=api.user_token(REALM, "nobody"))) == NOT_FOUND


def test_a_lesser_account_sees_a_truncated_realm(api: AdminApi, expected: Expected) -> None:
    response = api.call("GET", realm_path(REALM), token=api.user_token(REALM, "querier"))
    assert answer(response) == (200, {"realm": REALM, **expected.truncated})


def test_an_account_that_may_view_users_sees_a_little_more_of_a_realm_on_new_servers(
    api: AdminApi, expected: Expected
) -> None:
    response = api.call("GET", realm_path(REALM), token=api.user_token(REALM, "user-viewer"))
    more = {"registrationEmailAsUsername": False} if expected.truncated else {}
    assert answer(response) == (200, {"realm": REALM, **more, **expected.truncated})


def test_an_account_without_rights_may_not_read(api: AdminApi, expected: Expected) -> None:
    assert answer(api.call("GET", realm_path(REALM), token=api.user_token(REALM, "nobody"))) == expected.forbidden


def test_an_account_of_one_realm_may_not_read_another(api: AdminApi, expected: Expected) -> None:
    assert answer(api.call("GET", realm_path(OTHER), token=api.user_token(REALM, "manager"))) == expected.forbidden


def test_an_account_of_master_sees_realms_truncated_without_a_role_on_them(api: AdminApi, expected: Expected) -> None:
    response = api.call("GET", realm_path(OTHER), token=api.client_token("master", "outside", SECRET))
    shown: Given = (200, {"realm": OTHER, **expected.truncated})
    assert answer(response) == (shown if expected.master_sees_names else expected.forbidden)


def test_a_full_token_knows_realms_younger_than_itself_on_new_servers_only(api: AdminApi, expected: Expected) -> None:
    account = {"client_id": "outside", "client_secret": SECRET}
    token = api.user_token("master", "admin", "admin", **account)
    api.create_realm("facts-young")
    response = api.call("GET", realm_path("facts-young"), token=token)
    if expected.full_token_ages:
        assert answer(response) == expected.forbidden
    else:
        assert response.json()["smtpServer"] == {}
    api.delete_realm("facts-young")


def test_an_admin_cli_token_knows_realms_younger_than_itself(api: AdminApi) -> None:
    token = api.admin_token()
    api.create_realm("facts-youngest")
    assert "smtpServer" in api.call("GET", realm_path("facts-youngest"), token=token).json()
    api.delete_realm("facts-youngest")


# Creating, renaming, removing


def test_a_new_realm_is_disabled_by_default_and_its_location_is_returned(api: AdminApi) -> None:
    response = api.call("POST", "/admin/realms", {"realm": "facts new"})
    assert (response.status_code, response.content) == (201, b"")
    assert response.headers["Location"] == f"{api.url}/admin/realms/facts%20new"
    assert api.ok("GET", realm_path("facts new")).json()["enabled"] is False
    assert api.call("DELETE", realm_path("facts new")).status_code == 204
    assert answer(api.call("GET", realm_path("facts new"))) == NOT_FOUND


def test_a_second_realm_of_the_same_name_is_refused(api: AdminApi, expected: Expected) -> None:
    response = api.call("POST", "/admin/realms", {"realm": REALM})
    status, body = expected.realm_exists
    assert isinstance(body, dict)
    assert answer(response) == (status, {"errorMessage": body["errorMessage"].format(REALM)})


def test_a_realm_needs_a_name(api: AdminApi, expected: Expected) -> None:
    assert answer(api.call("POST", "/admin/realms", {"enabled": True})) == expected.no_realm_name


@pytest.mark.parametrize("character", "/?;#&")
def test_a_realms_name_may_not_contain_characters_that_urls_reserve(api: AdminApi, character: str) -> None:
    response = api.call("POST", "/admin/realms", {"realm": f"a{character}b"})
    assert answer(response) == (400, {"error": f"Character '{character}' not allowed."})


def test_a_realm_can_be_created_with_its_settings(api: AdminApi, expected: Expected) -> None:
    api.create_realm("facts-filled", smtpServer={**SENDER, **LOGIN})
    assert api.smtp("facts-filled") == {**SENDER, **LOGIN, "password": MASK}
    api.delete_realm("facts-filled")
    bad = api.call("POST", "/admin/realms", {"realm": "facts-filled", "smtpServer": {"from": "bad"}})
    assert bad.status_code == (400 if expected.checks_addresses else 201)
    if expected.checks_addresses:
        assert bad.json()["error"].startswith("Invalid sender address 'bad'.")
    else:
        api.delete_realm("facts-filled")


def test_a_realm_can_be_renamed_but_not_to_a_taken_name(api: AdminApi) -> None:
    api.create_realm("facts-before")
    taken = api.call("PUT", realm_path("facts-before"), {"realm": REALM})
    assert answer(taken) == (409, {"errorMessage": "Realm with same name exists"})
    assert api.call("PUT", realm_path("facts-before"), {"realm": "facts-after"}).status_code == 204
    assert answer(api.call("GET", realm_path("facts-before"))) == NOT_FOUND
    assert api.smtp("facts-after") == {}
    api.delete_realm("facts-after")


def test_only_administrators_of_the_server_create_realms(api: AdminApi, expected: Expected) -> None:
    response = api.call("POST", "/admin/realms", {"realm": "nope"}, api.user_token(REALM, "manager"))
    assert answer(response) == expected.forbidden


def test_a_viewer_may_not_remove_a_realm(api: AdminApi, expected: Expected) -> None:
    assert answer(api.call("DELETE", realm_path(REALM), token=api.user_token(REALM, "viewer"))) == expected.forbidden


# Writing


def test_a_write_replaces_all_settings_and_an_empty_object_removes_them(api: AdminApi, realm: str) -> None:
    assert api.put_smtp(realm, {**SENDER, "replyTo": "r@b.example"}).status_code == 204
    assert api.put_smtp(realm, SENDER).status_code == 204
    assert api.smtp(realm) == SENDER
    assert api.put_smtp(realm, {}).status_code == 204
    assert api.smtp(realm) == {}


def test_a_write_without_settings_leaves_them_as_they_are(api: AdminApi, realm: str) -> None:
    api.put_smtp(realm, SENDER)
    before = api.ok("GET", realm_path(realm)).json()
    assert api.call("PUT", realm_path(realm), {"displayName": "Facts"}).status_code == 204
    after = api.ok("GET", realm_path(realm)).json()
    assert after == {**before, "displayName": "Facts"}
    api.ok("PUT", realm_path(realm), {"displayName": ""})


def test_null_as_settings_leaves_them_as_they_are(api: AdminApi, realm: str) -> None:
    api.put_smtp(realm, SENDER)
    assert api.put_smtp(realm, None).status_code == 204
    assert api.smtp(realm) == SENDER


def test_writing_a_number_to_another_key_of_the_realm_stores_a_number(api: AdminApi, realm: str) -> None:
    assert api.call("PUT", realm_path(realm), {"ssoSessionIdleTimeout": 1700}).status_code == 204
    assert api.ok("GET", realm_path(realm)).json()["ssoSessionIdleTimeout"] == 1700


def test_numbers_and_booleans_in_settings_become_text(api: AdminApi, realm: str) -> None:
    text = '{"smtpServer":{"from":"a@b.example","port":2525,"ssl":false,"x":1.50,"y":1e3,"z":12345678901234567890}}'
    headers = {"Authorization": f"Bearer {api.admin_token()}", "Content-Type": "application/json"}
    assert requests.put(api.url + realm_path(realm), text, headers=headers, timeout=30).status_code == 204
    stored = {"port": "2525", "ssl": "false", "x": "1.50", "y": "1e3", "z": "12345678901234567890"}
    assert api.smtp(realm) == {"from": "a@b.example", **stored}


def test_a_null_drops_its_key(api: AdminApi, realm: str) -> None:
    assert api.put_smtp(realm, {**SENDER, "port": None}).status_code == 204
    assert api.smtp(realm) == SENDER


@pytest.mark.parametrize("value", [{"a": 1}, [1]])
def test_a_nested_value_is_refused_and_nothing_changes(
    api: AdminApi, expected: Expected, realm: str, value: object
) -> None:
    assert answer(api.put_smtp(realm, {**SENDER, "x": value})) == expected.nested
    assert api.smtp(realm) == {}


@pytest.mark.parametrize("value", ["x", [], 1])
def test_settings_that_are_no_object_are_refused(api: AdminApi, expected: Expected, realm: str, value: object) -> None:
    assert answer(api.put_smtp(realm, value)) == expected.nested


def test_a_body_that_is_no_realm_is_refused(api: AdminApi, expected: Expected, realm: str) -> None:
    assert answer(api.call("PUT", realm_path(realm), [])) == expected.nested
    assert answer(api.call("PUT", realm_path(realm), {"enabled": "x"})) == expected.nested
    unknown = api.call("PUT", realm_path(realm), {"nope": 1})
    assert unknown.status_code == 400
    assert 'nrecognized field "nope"' in unknown.json()["error"] if expected.normalises else unknown.text


def test_broken_missing_and_foreign_bodies_are_refused(api: AdminApi, expected: Expected, realm: str) -> None:
    def put(body: bytes, content_type: str) -> Given:
        headers = {"Authorization": f"Bearer {api.admin_token()}", "Content-Type": content_type}
        return answer(requests.put(api.url + realm_path(realm), body, headers=headers, timeout=30))

    assert put(b'{"x', "application/json") == expected.broken_json
    assert put(b"", "application/json") == expected.empty_body
    assert put(b"{}", "text/plain") == expected.wrong_content_type


def test_unknown_attributes_are_stored_as_they_are(api: AdminApi, realm: str) -> None:
    unknown = {"zz": "1", "port": "abc", "fromDisplayName": "a\r\nBcc: x", "replyTo": "", "ssl": ""}
    assert api.put_smtp(realm, {**SENDER, **unknown}).status_code == 204
    assert api.smtp(realm) == {**SENDER, **unknown}


@pytest.mark.parametrize("longest", ["h" * 255, "ü" * 255, "\U0001f600" * 127])
def test_values_and_names_have_at_most_255_characters_and_an_emoji_counts_as_two(
    api: AdminApi, expected: Expected, realm: str, longest: str
) -> None:
    assert api.put_smtp(realm, {**SENDER, "x": longest}).status_code == 204
    assert answer(api.put_smtp(realm, {**SENDER, "x": longest + "hh"})) == expected.too_long
    assert api.smtp(realm) == {**SENDER, "x": longest}
    assert answer(api.put_smtp(realm, {**SENDER, "h" * 256: "x"})) == expected.too_long


@pytest.mark.parametrize("sender", ["bad", "", None])
def test_a_bad_sender_is_refused_on_new_servers(
    api: AdminApi, expected: Expected, realm: str, sender: str | None
) -> None:
    response = api.put_smtp(realm, {"host": "h", "from": sender})
    if expected.checks_addresses:
        told = "null" if sender is None else sender
        assert response.status_code == 400
        assert response.json()["errorMessage"].startswith(f"Invalid sender address '{told}'. If the address contains")
        assert api.smtp(realm) == {}
    else:
        assert response.status_code == 204
        assert api.smtp(realm) == {"host": "h"} | ({} if sender is None else {"from": sender})


def test_a_bad_reply_to_is_refused_on_new_servers_and_any_envelope_sender_accepted(
    api: AdminApi, expected: Expected, realm: str
) -> None:
    response = api.put_smtp(realm, {**SENDER, "replyTo": "bad"})
    assert response.status_code == (400 if expected.checks_addresses else 204)
    if expected.checks_addresses:
        assert response.json()["errorMessage"].startswith("Invalid reply-to address 'bad'. If the")
    assert api.put_smtp(realm, {**SENDER, "envelopeFrom": "bad bad"}).status_code == 204


def test_new_servers_take_exactly_these_sender_addresses(api: AdminApi, expected: Expected, realm: str) -> None:
    wrong = []
    for entry in ADDRESSES:
        utf8 = {"allowutf8": "true"} if entry["utf8"] else {}
        response = api.put_smtp(realm, {"host": "h", "from": entry["address"], **utf8})
        accepted = entry["accepted"] if expected.checks_addresses else len(entry["address"]) <= 255
        if (response.status_code == 204) is not accepted:
            wrong.append((entry, response.status_code))
    assert not wrong


def test_writing_needs_manage_realm(api: AdminApi, expected: Expected, realm: str) -> None:
    body = {"smtpServer": SENDER}
    for account in ("viewer", "querier", "nobody"):
        response = api.call("PUT", realm_path(realm), body, api.user_token(REALM, account))
        assert answer(response) == expected.forbidden
    assert api.call("PUT", realm_path(realm), body, api.user_token(REALM, "manager")).status_code == 204
    assert api.smtp(realm) == SENDER


# Secrets and normalising


def test_secrets_are_masked_and_vault_references_shown(api: AdminApi, expected: Expected, realm: str) -> None:
    api.put_smtp(realm, {**SENDER, **LOGIN})
    assert api.smtp(realm)["password"] == MASK
    api.put_smtp(realm, {**SENDER, **LOGIN, "password": "${vault.mail}"})
    assert api.smtp(realm)["password"] == "${vault.mail}"
    api.put_smtp(realm, {**SENDER, **LOGIN, "authType": "token", **TOKEN})
    assert api.smtp(realm)["authTokenClientSecret"] == (MASK if expected.masks_token_secret else "secret")
    api.put_smtp(realm, {**SENDER, **LOGIN, "authType": "token", **TOKEN, "authTokenClientSecret": "${vault.mail}"})
    assert api.smtp(realm)["authTokenClientSecret"] == "${vault.mail}"


def test_an_account_that_may_only_view_sees_the_mask_too(api: AdminApi, realm: str) -> None:
    api.put_smtp(realm, {**SENDER, **LOGIN})
    shown = api.call("GET", realm_path(realm), token=api.user_token(REALM, "viewer")).json()["smtpServer"]
    assert shown == {**SENDER, **LOGIN, "password": MASK}


def test_a_mask_with_nothing_stored_stores_nothing(api: AdminApi, realm: str) -> None:
    assert api.put_smtp(realm, {**SENDER, **LOGIN, "password": MASK}).status_code == 204
    assert "password" not in api.smtp(realm)


def test_a_login_without_a_password_is_stored_without_one(api: AdminApi, realm: str) -> None:
    assert api.put_smtp(realm, {**SENDER, "auth": "true", "user": "u"}).status_code == 204
    assert api.smtp(realm) == {**SENDER, "auth": "true", "user": "u"}


@pytest.mark.parametrize(
    "change", [{}, {"authType": "basic"}, {"from": "z@b.example"}, {"debug": "true"}, {"host": "127.0.0.1"}]
)
def test_a_mask_sent_back_keeps_the_stored_password(
    api: AdminApi, realm: str, relays: Relays, change: dict[str, str]
) -> None:
    relay = relays.with_login()
    api.put_smtp(realm, login_attributes(relay))
    masked = {**login_attributes(relay, MASK), **change}
    assert api.put_smtp(realm, masked).status_code == 204
    assert api.test_mail(realm, masked).status_code == 204
    assert relay.wait_for(1)[0].login == RELAY_USER


NORMALISED = {
    "auth false": ({"auth": "false"}, {"user", "password", "authType", *TOKEN}),
    "auth empty": ({"auth": ""}, {"user", "password", "authType", *TOKEN}),
    "auth absent": ({"auth": None}, {"user", "password", "authType", *TOKEN}),
    "auth in capitals": ({"auth": "TRUE"}, set(TOKEN)),
    "basic": ({}, set(TOKEN)),
    "basic in capitals": ({"authType": "BASIC"}, set()),
    "token": ({"authType": "token"}, {"password"}),
    "no type": ({"authType": None}, set(TOKEN)),
    "unknown type": ({"authType": "weird"}, set()),
}


@pytest.mark.parametrize("case", NORMALISED)
def test_new_servers_drop_what_the_kind_of_login_does_not_use(
    api: AdminApi, expected: Expected, realm: str, case: str
) -> None:
    change, dropped = NORMALISED[case]
    sent = without_none({**SENDER, **LOGIN, "authType": "basic", **TOKEN, **change})
    assert api.put_smtp(realm, sent).status_code == 204
    secrets = ("password", "authTokenClientSecret") if expected.masks_token_secret else ("password",)
    left = {k: v for k, v in sent.items() if not (expected.normalises and k in dropped)}
    assert api.smtp(realm) == {k: MASK if k in secrets else v for k, v in left.items()}


# The test call


def test_the_test_mail_goes_to_the_callers_address_through_the_settings_in_the_request(
    api: AdminApi, realm: str, relays: Relays
) -> None:
    relay = relays.plain()
    names = {"fromDisplayName": "Nämen", "replyTo": "r@x.example", "replyToDisplayName": "Help"}
    response = api.test_mail(realm, attributes(relay, envelopeFrom="bounce@x.example", **names))
    assert (response.status_code, response.content) == (204, b"")
    (mail,) = relay.wait_for(1)
    assert mail.recipients == ("admin@sandbox.example",)
    assert mail.envelope_from == "bounce@x.example"
    assert mail.sender == "Nämen <no-reply@acme.example>"
    assert mail.reply_to == "Help <r@x.example>"
    assert mail.subject == "[KEYCLOAK] - SMTP test message"
    assert mail.text == "This is a test message"
    assert (mail.tls, mail.login) == (False, None)
    assert api.smtp(realm) == {}


@pytest.mark.parametrize("fault", [fault for fault in RelayFault if fault is not RelayFault.SLOW])
def test_each_fault_of_a_relay_fails_the_test_mail_and_nothing_else_about_it_does(
    api: AdminApi, realm: str, relays: Relays, fault: RelayFault
) -> None:
    for relay, given in ((relays.failing(fault), FAILED), (relays.failing(), (204, None))):
        assert answer(api.test_mail(realm, login_attributes(relay, starttls="true"))) == given
        assert len(relay.received) == (given != FAILED)


def test_a_test_mail_without_reply_to_is_answered_to_the_sender(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.plain()
    assert api.test_mail(realm, attributes(relay, replyTo="")).status_code == 204
    (mail,) = relay.wait_for(1)
    assert mail.reply_to == mail.sender == mail.envelope_from == "no-reply@acme.example"


def test_the_callers_own_address_is_used(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.plain()
    token = api.user_token(REALM, "manager")
    assert api.test_mail(realm, attributes(relay), token).status_code == 204
    assert relay.wait_for(1)[0].recipients == ("manager@facts.example",)


def test_a_caller_without_an_address_gets_no_mail(
    api: AdminApi, expected: Expected, realm: str, relays: Relays
) -> None:
    relay = relays.plain()
    token = api.client_token(REALM, "service", SECRET)
    assert answer(api.test_mail(realm, attributes(relay), token)) == expected.no_address
    assert relay.received == ()


def test_testing_needs_manage_realm_on_new_servers_and_nothing_on_old_ones(
    api: AdminApi, expected: Expected, realm: str, relays: Relays
) -> None:
    relay = relays.plain()
    for account in ("viewer", "nobody"):
        response = api.test_mail(realm, attributes(relay), api.user_token(REALM, account))
        assert answer(response) == (expected.forbidden if expected.test_needs_role else (204, None))
    assert len(relay.received) == (0 if expected.test_needs_role else 2)


def test_testing_a_realm_without_rights_on_it_is_forbidden(
    api: AdminApi, expected: Expected, server: ServerUnderTest
) -> None:
    token = api.user_token(REALM, "manager")
    assert answer(api.test_mail(OTHER, attributes(server.relay), token)) == expected.forbidden


@pytest.mark.parametrize(
    "change",
    [
        {"port": "1"},
        {"port": "abc"},
        {"host": "nowhere.invalid"},
        {"from": None},
        {"from": ""},
        {"replyTo": "bad bad"},
        {"ssl": "true"},
        {"auth": "true", "user": "u"},
    ],
)
def test_every_failed_test_mail_gets_the_same_answer(
    api: AdminApi, realm: str, server: ServerUnderTest, change: dict[str, str | None]
) -> None:
    before = len(server.relay.received)
    assert answer(api.test_mail(realm, without_none({**attributes(server.relay), **change}))) == FAILED
    assert len(server.relay.received) == before


def test_a_test_accepts_a_numeric_port_and_a_boolean(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.plain()
    assert api.test_mail(realm, {**attributes(relay), "port": relay.port, "auth": False}).status_code == 204
    assert len(relay.wait_for(1)) == 1


def test_a_nested_value_in_a_test_is_refused(
    api: AdminApi, expected: Expected, realm: str, server: ServerUnderTest
) -> None:
    assert answer(api.test_mail(realm, attributes(server.relay, x={"a": 1}))) == expected.nested


def test_a_bad_sender_is_sent_all_the_same_by_old_servers(
    api: AdminApi, expected: Expected, realm: str, relays: Relays
) -> None:
    relay = relays.plain()
    for sender in ("bad", "Name <a@b.example>"):
        response = api.test_mail(realm, {**attributes(relay), "from": sender})
        assert answer(response) == (FAILED if expected.checks_addresses else (204, None))
    assert len(relay.received) == (0 if expected.checks_addresses else 2)


def test_an_international_domain_is_sent_in_ascii_by_new_servers(
    api: AdminApi, expected: Expected, realm: str, relays: Relays
) -> None:
    relay = relays.plain()
    assert api.test_mail(realm, {**attributes(relay), "from": "a@bücher.example"}).status_code == 204
    sender = relay.wait_for(1)[0].sender
    assert sender == ("a@xn--bcher-kva.example" if expected.checks_addresses else "a@bücher.example")


def test_starttls_encrypts_where_it_is_offered(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.starttls(login=True)
    assert api.test_mail(realm, login_attributes(relay, starttls="true")).status_code == 204
    (mail,) = relay.wait_for(1)
    assert (mail.tls, mail.login) == (True, RELAY_USER)


def test_starttls_that_is_not_offered_is_skipped_and_the_password_goes_in_clear(
    api: AdminApi, realm: str, relays: Relays
) -> None:
    relay = relays.with_login()
    assert api.test_mail(realm, login_attributes(relay, starttls="true")).status_code == 204
    (mail,) = relay.wait_for(1)
    assert (mail.tls, mail.login) == (False, RELAY_USER)


def test_starttls_is_not_used_unless_it_is_switched_on(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.starttls()
    assert api.test_mail(realm, attributes(relay)).status_code == 204
    assert relay.wait_for(1)[0].tls is False


def test_implicit_tls_is_spoken_when_ssl_is_on(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.tls(login=True)
    assert api.test_mail(realm, login_attributes(relay, ssl="true")).status_code == 204
    (mail,) = relay.wait_for(1)
    assert (mail.tls, mail.login) == (True, RELAY_USER)


def test_a_certificate_for_an_ip_address_is_accepted_on_new_servers_only(
    api: AdminApi, expected: Expected, realm: str, relays: Relays
) -> None:
    by_address = {"host": "127.0.0.1"}
    for settings in (attributes(relays.tls(), ssl="true"), attributes(relays.starttls(), starttls="true")):
        response = api.test_mail(realm, {**settings, **by_address})
        assert answer(response) == ((204, None) if expected.checks_addresses else FAILED)


def test_a_certificate_of_an_unknown_authority_fails(api: AdminApi, realm: str) -> None:
    with Relays(trustme.CA()) as strangers:
        for settings in (attributes(strangers.tls(), ssl="true"), attributes(strangers.starttls(), starttls="true")):
            assert answer(api.test_mail(realm, settings)) == FAILED


def test_a_wrong_login_at_a_relay_that_requires_one_fails(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.with_login()
    assert api.test_mail(realm, login_attributes(relay)).status_code == 204
    assert answer(api.test_mail(realm, login_attributes(relay, "wrong"))) == FAILED
    assert answer(api.test_mail(realm, attributes(relay))) == FAILED
    assert answer(api.test_mail(realm, {**login_attributes(relay), "auth": "TRUE"})) == FAILED
    assert len(relay.received) == 1


def test_a_login_without_a_user_is_tried_as_the_servers_own_account(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.plain()
    assert api.test_mail(realm, attributes(relay, auth="true", password="p")).status_code == 204
    assert relay.wait_for(1)[0].login


def test_a_refused_login_fails(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.refusing_login()
    assert answer(api.test_mail(realm, login_attributes(relay))) == FAILED
    assert relay.received == ()


def test_a_login_the_relay_does_not_offer_is_skipped(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.without_login()
    assert api.test_mail(realm, login_attributes(relay)).status_code == 204
    assert relay.wait_for(1)[0].login is None


@pytest.mark.parametrize(
    "change", [{}, {"authType": None}, {"from": "z@b.example"}, {"starttls": "true"}, {"replyTo": "r@b.example"}]
)
def test_a_mask_in_a_test_means_the_stored_password(
    api: AdminApi, realm: str, relays: Relays, change: dict[str, str | None]
) -> None:
    relay = relays.with_login()
    api.put_smtp(realm, login_attributes(relay))
    masked = without_none({**login_attributes(relay, MASK), **change})
    assert api.test_mail(realm, masked).status_code == 204
    assert relay.wait_for(1)[0].login == RELAY_USER


def test_the_stored_password_is_sent_to_another_relay_only_on_old_servers(
    api: AdminApi, expected: Expected, realm: str, relays: Relays
) -> None:
    relay, another = relays.with_login(), relays.with_login()
    api.put_smtp(realm, login_attributes(relay))
    for changed in (login_attributes(another, MASK), {**login_attributes(relay, MASK), "host": "127.0.0.1"}):
        response = api.test_mail(realm, changed)
        assert answer(response) == (FAILED if expected.test_mask_needs_same_relay else (204, None))
    wrong_user = {**login_attributes(relay, MASK), "user": "somebody"}
    assert answer(api.test_mail(realm, wrong_user)) == FAILED


def test_a_login_by_token_fetches_one_and_new_servers_preserve_its_masked_secret(
    api: AdminApi, expected: Expected, realm: str, relays: Relays
) -> None:
    relay = relays.plain()
    by_token = {"auth": "true", "authType": "token", "user": "sender@acme.example", "authTokenScope": "profile"}
    source = {"authTokenUrl": f"{api.url}/realms/{REALM}/protocol/openid-connect/token"}
    client = {"authTokenClientId": "service", "authTokenClientSecret": SECRET}
    sent = attributes(relay, **by_token, **source, **client)
    masked = {**sent, "authTokenClientSecret": MASK}
    assert api.put_smtp(realm, sent).status_code == 204
    assert api.put_smtp(realm, masked).status_code == 204
    for settings in (sent, masked):
        assert answer(api.test_mail(realm, settings)) == ((204, None) if expected.supports_token_auth else FAILED)
    logins = ["sender@acme.example"] * 2 if expected.supports_token_auth else []
    assert [mail.login for mail in relay.received] == logins


def test_the_stored_password_is_the_one_written(api: AdminApi, realm: str, relays: Relays) -> None:
    relay = relays.with_login()
    api.put_smtp(realm, login_attributes(relay, "old"))
    assert answer(api.test_mail(realm, login_attributes(relay, MASK))) == FAILED
    api.put_smtp(realm, login_attributes(relay, RELAY_PASSWORD))
    assert api.test_mail(realm, login_attributes(relay, MASK)).status_code == 204
    assert relay.wait_for(1)[0].login == RELAY_USER


def test_an_unknown_path_is_not_found(api: AdminApi) -> None:
    assert api.call("GET", f"{realm_path(REALM)}/nothing-here").status_code == 404
    assert requests.get(f"{api.url}/nothing-here", timeout=30).status_code == 404
    assert api.call("PATCH", realm_path(REALM), {}).status_code == 405
