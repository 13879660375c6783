"""The admin API over raw HTTP, for tests that set up accounts or check a server's raw answers."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self
from urllib.parse import quote

import requests

PASSWORD = "user-Passw0rd"
_RENEW_AFTER = 30.0  # seconds; a master token lives 60


class AdminApi:
    """An administrator's session. All paths are relative to the server's URL."""

    def __init__(self, url: str, username: str = "admin", password: str = "admin") -> None:
        self.url = url
        self.http = requests.Session()
        self._account = {"username": username, "password": password}
        self._token = ""
        self._since = float("-inf")

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    @contextmanager
    def with_realms(self, names: Iterable[str]) -> Iterator[Self]:
        """Create realms, delete them after the block, and close the connections."""
        for name in names:
            self.create_realm(name)
        try:
            yield self
        finally:
            for name in names:
                self.delete_realm(name)
            self.close()

    def login(self, realm: str = "master", **form: str) -> requests.Response:
        """Request a token with exactly this form; the default ``client_id`` is admin-cli."""
        path = f"/realms/{quote(realm, safe='')}/protocol/openid-connect/token"
        return self.http.post(self.url + path, data={"client_id": "admin-cli", **form})

    def user_token(self, realm: str, username: str, password: str = PASSWORD, **form: str) -> str:
        """Return an access token for a user."""
        return access_token(self.login(realm, grant_type="password", username=username, password=password, **form))

    def client_token(self, realm: str, client_id: str, secret: str, **form: str) -> str:
        """Return an access token for a service account."""
        credentials = {"client_id": client_id, "client_secret": secret}
        return access_token(self.login(realm, grant_type="client_credentials", **credentials, **form))

    def admin_token(self) -> str:
        """Return a token of the administrator, a new one if the last may soon expire."""
        if time.monotonic() - self._since > _RENEW_AFTER:
            self._token = access_token(self.login(grant_type="password", **self._account))
            self._since = time.monotonic()
        return self._token

    def call(self, method: str, path: str, body: object = None, token: str | None = None) -> requests.Response:
        """Send a request as the administrator, or with ``token``."""
        headers = {"Authorization": f"Bearer {token or self.admin_token()}"}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        return self.http.request(method, self.url + path, data=data, headers=headers, allow_redirects=False)

    def ok(self, method: str, path: str, body: object = None) -> requests.Response:
        """Send a request as the administrator, and check that it succeeds."""
        response = self.call(method, path, body)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response

    def create_realm(self, name: str, **representation: object) -> None:
        """Create an enabled realm."""
        self.ok("POST", "/admin/realms", {"realm": name, "enabled": True, **representation})

    def delete_realm(self, name: str) -> None:
        """Remove a realm."""
        self.ok("DELETE", realm_path(name))

    def smtp(self, realm: str) -> dict[str, str]:
        """Return the realm's e-mail settings."""
        settings: dict[str, str] = self.ok("GET", realm_path(realm)).json()["smtpServer"]
        return settings

    def put_smtp(self, realm: str, attributes: object) -> requests.Response:
        """Write the realm's e-mail settings and nothing else."""
        return self.call("PUT", realm_path(realm), {"smtpServer": attributes})

    def test_mail(self, realm: str, attributes: object, token: str | None = None) -> requests.Response:
        """Let the server send a test mail."""
        return self.call("POST", realm_path(realm) + "/testSMTPConnection", attributes, token)

    def create_user(self, realm: str, username: str, roles: Iterable[str] = (), email: str | None = None) -> str:
        """Create a user with PASSWORD and return the id; ``roles`` are on the realm itself."""
        body = {
            "username": username,
            "email": email or f"{username}@{realm}.example",
            "firstName": "Test",
            "lastName": "User",
            "enabled": True,
            "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
        }
        user_id = _new_id(self.ok("POST", realm_path(realm) + "/users", body))
        self.grant(realm, user_id, "master-realm" if realm == "master" else "realm-management", roles)
        return user_id

    def create_client(
        self, realm: str, client_id: str, secret: str, roles: Iterable[str] = (), *, roles_on: str = "", **more: object
    ) -> str:
        """Create a client with a service account and return that account's user id."""
        body = {
            "clientId": client_id,
            "secret": secret,
            "publicClient": False,
            "serviceAccountsEnabled": True,
            "directAccessGrantsEnabled": True,
            **more,
        }
        key = _new_id(self.ok("POST", realm_path(realm) + "/clients", body))
        user: str = self.ok("GET", realm_path(realm) + f"/clients/{key}/service-account-user").json()["id"]
        self.grant(realm, user, roles_on or "realm-management", roles)
        return user

    def grant(self, realm: str, user_id: str, client_id: str, roles: Iterable[str]) -> None:
        """Give a user roles of a client."""
        if not (names := list(roles)):
            return
        (client,) = self.ok("GET", realm_path(realm) + f"/clients?clientId={quote(client_id, safe='')}").json()
        key = client["id"]
        granted = [self.ok("GET", realm_path(realm) + f"/clients/{key}/roles/{name}").json() for name in names]
        self.ok("POST", realm_path(realm) + f"/users/{user_id}/role-mappings/clients/{key}", granted)

    def set_email(self, realm: str, username: str, email: str) -> None:
        """Give an existing user an address."""
        (user,) = self.ok("GET", realm_path(realm) + f"/users?username={username}&exact=true").json()
        self.ok("PUT", realm_path(realm) + f"/users/{user['id']}", {**user, "email": email})


def realm_path(realm: str) -> str:
    """Return the path of a realm in the admin API."""
    return f"/admin/realms/{quote(realm, safe='')}"


def access_token(response: requests.Response) -> str:
    """Return the access token of a token endpoint's answer, which must contain one."""
    assert response.status_code == 200, f"{response.status_code} {response.text}"
    token: str = response.json()["access_token"]
    return token


def claims(token: str) -> dict[str, object]:
    """Return the claims of a JWT."""
    payload = token.split(".")[1]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def _new_id(response: requests.Response) -> str:
    return response.headers["Location"].rsplit("/", 1)[1]
