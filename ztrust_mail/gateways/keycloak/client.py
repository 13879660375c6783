"""python-keycloak's connection with its traps closed; importing this module takes 0.1 s and more."""

from __future__ import annotations

import functools
import json
import math
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import cast

import requests
from keycloak.connection import ConnectionManager
from keycloak.exceptions import KeycloakConnectionError

from ztrust_mail.core.data import Json
from ztrust_mail.core.errors import NOT_THE_API, TOO_BUSY, ConfigError, ServerUnreachable, WriteDeadlineExceeded
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import EMAIL_THEME
from ztrust_mail.dialects.row import as_native
from ztrust_mail.gateways.gateway import NEEDS_MAIL, LiveRealm
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.client import segment_of
from ztrust_mail.transport.throttle import MAX_WAITS, Throttle, require_in_time
from ztrust_mail.transport.token import Token, TokenSource

_JSON = {"Content-Type": "application/json"}


class _TokenDue(Exception):
    """The turn came when the token was about to end: nothing was sent."""


class KeycloakClient(ConnectionManager):
    """python-keycloak's connection: no second POST, no redirect, no unbounded answer, one shared token."""

    def __init__(self, server: Server, tokens: TokenSource, throttle: Throttle, redactor: Redactor) -> None:
        self.waits = (server.timeout, server.timeout * failures.READ_TIMEOUT_FACTOR)
        trusts_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for the asynchronous half, which is never used
        try:
            super().__init__(
                base_url=server.url + "/",  # without the slash, urljoin drops /auth
                headers=dict(_JSON),
                timeout=cast(int, self.waits),  # handed to requests, which takes a pair
                verify=cast(bool, trusts_nobody),
                max_retries=0,  # else a POST is sent twice, the test mail with it
            )
        except Exception:  # the asynchronous half reads the environment's proxies at once
            hint = "check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY: http://host:port, and no SOCKS"
            raise ConfigError("the proxy named in the environment cannot be used", hint, "proxy") from None
        self.verify = server.ca_bundle or True
        self._tokens, self.redactor = tokens, redactor
        self._throttle = throttle
        self._thread = threading.local()
        self._s.auth = self._authorize
        failures.secure_session(self._s, server.url, server.connections)

    def send(
        self,
        method: str,
        path: str,
        body: Secret | None = None,
        *,
        before: float = math.inf,
        harmless: bool = False,
    ) -> requests.Response:
        """Send one request when its turn comes, with a new token after 401.

        All but POSTs are repeated: once after a broken connection, and after a wait when the server is too busy. A
        PUT of the same whole map may be repeated without harm; a POST is repeated after 401 alone, unless it is
        ``harmless`` too.
        Raises :class:`WriteDeadlineExceeded` where the turn comes later than ``before``, in monotonic seconds.
        """
        once = method == "POST" and not harmless

        def ask(token: Token) -> requests.Response:
            require_in_time(before)
            return self._unbroken(method, path, body, token, once)

        if once:
            return self._authorized(ask)
        return self._throttle.call_with_retry(lambda: self._authorized(ask))

    def send_once(self, path: str, body: Secret) -> requests.Response:
        """POST once when its turn comes, whatever the answer is: even 401 may come after the work was done.

        The token is checked when the turn has come, and renewed before the request where little of its life is left.
        """

        def ask(token: Token, lives: bool) -> requests.Response:
            if lives and self._tokens.is_due(token):
                raise _TokenDue
            return self._once("POST", path, body, token)

        for _ in range(MAX_WAITS):
            token = self._tokens.current()  # before the turn: a login takes a turn of its own
            lives = not self._tokens.is_due(token)  # else the server gives no better one
            try:
                response = self._throttle.call(functools.partial(ask, token, lives))
            except _TokenDue:
                continue
            if response.status_code == requests.codes.unauthorized:
                self._tokens.refuse(token)
            return response
        raise WriteDeadlineExceeded("the server is too busy", "run the same again later", TOO_BUSY)

    def _authorized(self, ask: Callable[[Token], requests.Response]) -> requests.Response:
        token = self._tokens.current()  # before the turn: a login takes a turn of its own
        response = self._throttle.call(lambda: ask(token))
        if response.status_code != requests.codes.unauthorized:
            return response
        renewed = self._tokens.renew(token)
        return self._throttle.call(lambda: ask(renewed))

    def _unbroken(self, method: str, path: str, body: Secret | None, token: Token, once: bool) -> requests.Response:
        try:
            return self._once(method, path, body, token)
        except failures.ConnectionLost:
            if once:
                raise
        return self._once(method, path, body, token)

    def _once(self, method: str, path: str, body: Secret | None, token: Token) -> requests.Response:
        self._thread.token = token
        try:
            if method == "GET":
                return self.raw_get(path)
            if method == "DELETE":
                return self.raw_delete(path)
            send = self.raw_put if method == "PUT" else self.raw_post
            return send(path, body.reveal() if body else "")
        except KeycloakConnectionError as e:
            raise failures.describe_failure(e.__cause__, str(self.base_url), self.waits, self.redactor) from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token: Token = self._thread.token
        request.headers["Authorization"] = f"Bearer {token.value.reveal()}"
        return request

    def close(self) -> None:
        """Close the connections; python-keycloak does so only when it is collected."""
        self._s.close()


def path_of(realm: str) -> str:
    """Return the path of a realm; raises :class:`RealmError` for a name that a URL cannot hold."""
    return f"admin/realms/{segment_of(realm)}"


def realms_by_name(listed: Json) -> dict[str, Mapping[str, Json]]:
    """Return the realms of a list by name; raises :class:`ServerUnreachable` where it is no list."""
    if not isinstance(listed, list):
        raise ServerUnreachable("the realm list is no list", "check the URL", NOT_THE_API)
    found = [realm for realm in listed if isinstance(realm, dict)]
    return {str(realm["realm"]): realm for realm in found if "realm" in realm}


def slim(realm: dict[str, Json]) -> Json:
    """Return a whole realm without what is not looked at: ten thousand of them would take hundreds of megabytes."""
    if not isinstance(realm.get("smtpServer"), dict):  # a part of a realm, or one that is not shown whole
        return realm
    return {name: realm[name] for name in ("realm", "smtpServer", EMAIL_THEME, *NEEDS_MAIL) if name in realm}


def live_realm(name: str, realm: Mapping[str, Json], read_at: float) -> LiveRealm | None:
    """Return a realm's settings, or None for a view without them, which says "may not see"."""
    attributes = realm.get("smtpServer")
    if not isinstance(attributes, dict):
        return None
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    shown = {as_native(key): text for key, text in texts.items() if attributes[key] is not None}
    needs_mail, theme = tuple(switch for switch in NEEDS_MAIL if realm.get(switch) is True), realm.get(EMAIL_THEME)
    return LiveRealm(name, shown, read_at, needs_mail, theme if isinstance(theme, str) else "")
