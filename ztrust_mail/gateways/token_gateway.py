"""The base of gateways that use a token from the settings."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from ztrust_mail.core.errors import NOT_THE_API, RealmError
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Version
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.account import Account
from ztrust_mail.transport.client import TokenClient


class TokenGateway(Gateway):
    """A gateway that uses a token from the settings and cannot list realms."""

    def __init__(self, server: Server, dialect: Dialect) -> None:
        self.url = server.url
        self.dialect = dialect
        self.connections = server.connections
        self._api = TokenClient(server, dialect.title, self.redactor)

    def login(self) -> None:
        """Check that there is a token. Nothing is sent: only a request for a realm shows whether the token is valid."""
        self._api.check()

    def account(self, *, with_email: bool = True) -> Account:
        return self._api.account()

    def version(self) -> Version:
        return ()

    def realms(self) -> list[str]:
        return []

    def may_write(self, realm: str) -> bool | None:
        return None

    def stop_waiting(self) -> None:
        self._api.stop_waiting()

    def allow_probe(self) -> None:
        self._api.allow_probe()

    def is_stuck(self) -> bool:
        return self._api.is_stuck()

    def close(self) -> None:
        self._api.close()


def undocumented_response(response: requests.Response, title: str) -> RealmError:
    """Return the error for a response that the product does not document, or only while it is too busy."""
    if response.status_code in failures.BUSY:
        busy = failures.unexpected_response(response)
        return RealmError(busy.message, busy.hint, busy.rule)
    host = urlsplit(response.url or "").netloc
    what = "a web page" if failures.is_page(response) else "a response"
    message = f"{host} answered {response.status_code} with {what} that {title} does not document"
    hint = "check the URL, any proxy in front of it and the server's log, then run the same command again"
    return RealmError(message, hint, NOT_THE_API)
