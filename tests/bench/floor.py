"""The floor: the requests that nobody can do without, with nothing around them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

CONNECTIONS = 8


class Floor:
    """A server asked by bare requests."""

    def __init__(self, url: str) -> None:
        self.url = url

    def token(self) -> str:
        """Log in as the administrator."""
        form = {"client_id": "admin-cli", "grant_type": "password", "username": "admin", "password": "admin"}
        answer = requests.post(f"{self.url}/realms/master/protocol/openid-connect/token", data=form, timeout=60)
        return str(answer.json()["access_token"])

    def list(self, token: str) -> list[dict[str, object]]:
        """List all realms."""
        headers = {"Authorization": f"Bearer {token}"}
        listed: list[dict[str, object]] = requests.get(f"{self.url}/admin/realms", headers=headers, timeout=120).json()
        return listed

    def drift(self) -> None:
        """One token, one list."""
        self.list(self.token())

    def apply(self, realms: list[str], settings: dict[str, str]) -> None:
        """One token, a list, a PUT a realm, and a list: a list after writes takes a server longer than one before."""
        token = self.token()
        self.list(token)
        self._for_each(token, realms, lambda session, realm: self._put(session, realm, settings))
        self.list(token)

    def loop(self, realms: list[str], settings: dict[str, str]) -> None:
        """One token, and a GET and a PUT a realm."""

        def read_and_write(session: requests.Session, realm: str) -> None:
            self._get(session, realm)
            self._put(session, realm, settings)

        self._for_each(self.token(), realms, read_and_write)

    def read_each(self, realms: list[str]) -> None:
        """One token, and a GET a realm."""
        self._for_each(self.token(), realms, self._get)

    def _get(self, session: requests.Session, realm: str) -> None:
        session.get(f"{self.url}/admin/realms/{realm}", timeout=120).raise_for_status()

    def _put(self, session: requests.Session, realm: str, settings: dict[str, str]) -> None:
        body = {"smtpServer": {**settings, "from": f"no-reply@{realm}.example.com"}}
        session.put(f"{self.url}/admin/realms/{realm}", json=body, timeout=120).raise_for_status()

    def _for_each(self, token: str, realms: list[str], work: Callable[[requests.Session, str], None]) -> None:
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
        session.headers["Authorization"] = f"Bearer {token}"
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda realm: work(session, realm), realms))
        session.close()
