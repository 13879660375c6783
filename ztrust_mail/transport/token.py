"""The admin token: fetched once, renewed under a lock before it expires or when it is refused."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import requests

from ztrust_mail.core.errors import ServerError, ServerRefused, ServerUnreachable
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.failures import as_object
from ztrust_mail.transport.throttle import Throttle

RENEW_BEFORE = 0.25
"""Renew when less than this part of the token's life is left: tokens of the master realm live 60 s."""

MAX_LIFETIME = 86_400
"""No token is used for longer than a day, in seconds, whatever the server says."""

_REASONS = {
    "invalid_grant": ("the user name or password is wrong, or the account is disabled", "check the login"),
    "invalid_client": ("the client id or its secret is wrong, or the client is disabled", "check the client"),
    "unauthorized_client": ("the client may not log in this way", "turn on direct access or service accounts"),
}


@dataclass(frozen=True)
class Token:
    """An access token, when it ends (monotonic seconds), and what it and its ID token say of us."""

    value: Secret
    renew_at: float
    claims: Mapping[str, object]


class TokenSource:
    """Gets tokens for one server. Any number of threads share one token and one renewal.

    A login waits while the server is too busy; one that is refused is not repeated.
    """

    def __init__(self, server: Server, throttle: Throttle, redactor: Redactor) -> None:
        self._server = server
        self._redactor = redactor
        redactor.add([server.password, server.client_secret, server.token])
        self._throttle = throttle
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._refused: Token | None = None
        self._attempts = 0
        self._failure: ServerError | None = None
        self.renewable = server.token is None
        self._session = requests.Session()
        self._session.auth = _no_netrc
        failures.secure_session(self._session, server.url)

    def current(self) -> Token:
        """Return a token that is still good, logging in when there is none."""
        return self._get_shared(self.is_due)

    def is_due(self, token: Token) -> bool:
        """Return whether a token is to be replaced before it is used: little of its life is left, or it was refused."""
        return token is self._refused or time.monotonic() >= token.renew_at

    def refuse(self, token: Token) -> None:
        """Remember that the server refused a token; :meth:`current` then gets another."""
        self._refused = token

    def renew(self, refused: Token) -> Token:
        """Return another token than the refused one, fetched by whichever thread comes first."""
        return self._get_shared(lambda held: held is refused)

    def _get_shared(self, is_due: Callable[[Token], bool]) -> Token:
        """Return the one token, fetched anew where it is due.

        Threads that waited for a login that failed fail with it: each trying in turn would lock the account.
        """
        attempts = self._attempts
        with self._lock:
            if self._failure and self._attempts != attempts:
                raise type(self._failure)(self._failure.message, self._failure.hint, self._failure.rule)
            if self._token is None or is_due(self._token):
                self._failure = None
                try:
                    self._token = self._fetch()
                except ServerError as e:
                    self._failure = e
                    raise
                finally:
                    self._attempts += 1
            return self._token

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _fetch(self) -> Token:
        if self._server.token:
            return self._given_token(self._server.token)
        response = self._post()
        if response.status_code != requests.codes.ok:
            raise self._refusal(response)
        body = failures.parse_json(response)
        access = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(access, str):
            raise failures.unexpected_response(response)
        tokens = (body.get(name) for name in ("access_token", "refresh_token", "id_token"))
        self._redactor.add(Secret(token) for token in tokens if isinstance(token, str) and token)
        lifetime = body.get("expires_in")
        seconds = min(lifetime, MAX_LIFETIME) if isinstance(lifetime, int | float) else 60
        claims = {**claims_of(access), **claims_of(body.get("id_token"))}
        return Token(Secret(access), time.monotonic() + seconds * (1 - RENEW_BEFORE), claims)

    def _given_token(self, given: Secret) -> Token:
        if self._token is not None:
            raise ServerRefused(
                "the server does not accept the ready token: it has expired or was revoked",
                "set a fresh ZTRUST_MAIL_TOKEN",
                "token-refused",
            )
        if not re.fullmatch(r"[!-~]+", given.reveal()):
            hint = "copy it anew, without quotes, spaces or line breaks"
            raise ServerRefused("ZTRUST_MAIL_TOKEN holds characters that no token has", hint, "token-refused")
        return Token(given, float("inf"), claims_of(given.reveal()))

    def _post(self) -> requests.Response:
        server = self._server
        if not server.username and not server.client_secret:
            hint = "set ZTRUST_MAIL_USERNAME and _PASSWORD, or _CLIENT_ID and _CLIENT_SECRET, or _TOKEN"
            raise ServerRefused("there is nothing to log in with", hint, "no-login")
        return self._throttle.call_with_retry(lambda: self._throttle.call(self._post_once))

    def _post_once(self) -> requests.Response:
        server = self._server
        url = f"{server.url}/realms/{quote(server.realm, safe='')}/protocol/openid-connect/token"
        wait = (server.timeout, server.timeout)
        try:
            return self._session.post(url, data=_form(server), timeout=wait, verify=server.ca_bundle or True)
        except failures.FAILURES as e:
            raise failures.describe_failure(e, server.url, wait, self._redactor) from None

    def _refusal(self, response: requests.Response) -> ServerRefused | ServerUnreachable:
        body, detail = as_object(response), failures.server_message(response, self._redactor)
        missing = response.status_code == requests.codes.not_found
        busy = response.status_code in failures.BUSY
        if busy or body is None or "error" not in body or (missing and "ealm" not in detail):
            return failures.unexpected_response(response)
        host, realm = urlsplit(self._server.url).netloc, quoted(self._server.realm)
        if missing:
            return ServerRefused(f"{host} has no realm {realm} to log in at", "check the setting realm", "no-realm")
        code = "invalid_client" if re.search("client (secret|credentials)", detail, re.I) else str(body["error"])
        reason, hint = _REASONS.get(code, ("the login was refused", "check the account"))
        who = quoted(self._server.username or self._server.client_id)
        message = f"{host} does not let {who} in at realm {realm}: {reason}"
        if detail:
            message += f"; the server says {quoted(detail)}"
        return ServerRefused(message, hint, "login-refused")


def _form(server: Server) -> dict[str, str]:
    """Return what is posted to log in; nobody keeps it, so that no traceback shows it."""
    form = {"client_id": server.client_id, "scope": "openid"}
    if server.client_secret:
        form["client_secret"] = server.client_secret.reveal()
    if not server.username:
        return {**form, "grant_type": "client_credentials"}
    password = server.password.reveal() if server.password else ""
    return {**form, "grant_type": "password", "username": server.username, "password": password}


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from putting a login of ~/.netrc in place of ours."""
    return request


def claims_of(token: object) -> Mapping[str, object]:
    """Return what a token says, unverified: it is only shown, never relied on."""
    try:
        payload = str(token).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
