"""python-keycloak's connection, made safe; importing this module takes 0.1 s and more."""

import functools
import math
import ssl
import threading
from collections.abc import Callable
from typing import cast

import requests
from keycloak.connection import ConnectionManager
from keycloak.exceptions import KeycloakConnectionError

from ztrust_mail.core.errors import TOO_BUSY, ConfigError, WriteDeadlineExceeded
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.channel import HostChannel, RequestLine
from ztrust_mail.transport.throttle import MAX_WAITS, Throttle
from ztrust_mail.transport.token import Token, TokenSource

_JSON = {"Accept": "application/json, */*;q=0.5", "Content-Type": "application/json"}


class _TokenDue(Exception):
    """The request's turn came when the token was about to expire: nothing was sent."""


class KeycloakClient(ConnectionManager):
    """python-keycloak's connection: no second POST, no redirect, no unbounded response, one shared token."""

    def __init__(self, server: Server, tokens: TokenSource, throttle: Throttle, redactor: Redactor) -> None:
        timeouts = failures.timeouts_of(server.timeout)
        self._url = server.url + "/"  # without the slash, urljoin drops /auth
        no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for the asynchronous half, which is never used
        try:
            super().__init__(
                base_url=self._url,
                headers=dict(_JSON),
                timeout=cast(int, timeouts),  # passed on to requests, which takes a pair
                verify=cast(bool, no_certificates),
                max_retries=0,  # otherwise a POST is sent twice, the test mail among them
            )
        except Exception:  # the asynchronous half reads the environment's proxies immediately
            hint = "check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY: http://host:port; SOCKS is not supported"
            raise ConfigError("the proxy named in the environment cannot be used", hint, "proxy") from None
        self.verify = server.ca_bundle or True
        self._tokens, self.redactor = tokens, redactor
        self._channel = HostChannel(server.url, timeouts, throttle, redactor)
        self._thread = threading.local()
        self._s.auth = self._authorize
        failures.secure_session(self._s, server.url, server.connections)

    def send(
        self, method: str, path: str, body: Secret | None = None, *, before: float = math.inf, harmless: bool = False
    ) -> requests.Response:
        """Send one request when its turn comes, and again with a new token after 401.

        All but POSTs are also repeated once after a broken connection, and after a wait while the server is too busy: a
        PUT of the same whole map does no harm. So is a ``harmless`` POST.
        Raises :class:`WriteDeadlineExceeded` if the turn comes later than ``before``, in monotonic seconds.
        """
        repeat, line = method != "POST" or harmless, RequestLine(method, self._url + path)

        def take_turn(token: Token) -> requests.Response:
            request = functools.partial(self._request, method, path, body, token)
            return self._channel.send(line, request, before=before, repeat=repeat)

        if not repeat:
            return self._send_authorized(take_turn)
        return self._channel.throttle.call_with_retry(lambda: self._send_authorized(take_turn))

    def send_once(self, path: str, body: Secret) -> requests.Response:
        """POST once when its turn comes, regardless of the response: even a 401 may be sent after the work was done.

        The token is checked when the turn has come, and renewed before the request if it is about to expire.
        """

        def request(token: Token, is_fresh: bool) -> requests.Response:
            if is_fresh and self._tokens.is_due(token):
                raise _TokenDue
            return self._request("POST", path, body, token)

        line = RequestLine("POST", self._url + path)
        for _ in range(MAX_WAITS):
            token = self._tokens.current()  # before the turn: a login takes its own turn
            is_fresh = not self._tokens.is_due(token)  # otherwise the server issues no better one
            try:
                response = self._channel.send(line, functools.partial(request, token, is_fresh), repeat=False)
            except _TokenDue:
                continue
            if response.status_code == requests.codes.unauthorized:
                self._tokens.refuse(token)
            return response
        raise WriteDeadlineExceeded("the server is too busy", "run the same command again later", TOO_BUSY)

    def _send_authorized(self, take_turn: Callable[[Token], requests.Response]) -> requests.Response:
        token = self._tokens.current()  # before the turn: a login takes its own turn
        response = take_turn(token)
        if response.status_code != requests.codes.unauthorized:
            return response
        return take_turn(self._tokens.renew(token))

    def _request(self, method: str, path: str, body: Secret | None, token: Token) -> requests.Response:
        self._thread.token = token
        try:
            if method == "GET":
                return self.raw_get(path)
            if method == "DELETE":
                return self.raw_delete(path)
            send = self.raw_put if method == "PUT" else self.raw_post
            return send(path, body.reveal() if body else "")
        except KeycloakConnectionError as e:
            failure = self._channel.failure(e.__cause__)
        raise failure  # not in the handler: its context would be an exception that holds the request with its token

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token: Token = self._thread.token
        request.headers["Authorization"] = f"Bearer {token.value.reveal()}"
        return request

    def close(self) -> None:
        """Close the connections; python-keycloak does so only when it is garbage-collected."""
        self._s.close()
