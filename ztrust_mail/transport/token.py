"""The admin token: fetched once, and renewed under a lock before it expires or after it is refused."""

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import requests

from ztrust_mail.core.errors import ServerError, ServerRefused, ServerUnreachable
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.secrets.store import resolve_login
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.channel import LOG, HostChannel, RequestLine
from ztrust_mail.transport.failures import as_object
from ztrust_mail.transport.throttle import Throttle

RENEW_BEFORE = 0.25
"""Renew when less than this part of the token's lifetime is left: tokens of the master realm live 60 s."""

MAX_LIFETIME = 86_400
"""The longest time that a token is used, in seconds, regardless of the server's response."""

_REASONS = {
    "invalid_grant": (
        "the user name or password is wrong, or the account is disabled",
        "check ZTRUST_MAIL_USERNAME and _PASSWORD, and that the account is in the realm ZTRUST_MAIL_REALM",
    ),
    "invalid_client": (
        "the client id or its secret is wrong, or the client is disabled",
        "check ZTRUST_MAIL_CLIENT_ID and _CLIENT_SECRET",
    ),
    "unauthorized_client": ("the client may not log in this way", "turn on direct access or service accounts"),
}


@dataclass(frozen=True)
class Token:
    """An access token, when to renew it (seconds of the throttle's clock), and the claims of it and its ID token."""

    value: Secret
    renew_at: float
    claims: Mapping[str, object]


class TokenSource:
    """Gets tokens for one server. Any number of threads share one token and one renewal.

    A login is repeated after a wait while the server is too busy; a refused login is not repeated.
    """

    def __init__(self, server: Server, throttle: Throttle, redactor: Redactor) -> None:
        self._server = server
        self._redactor = redactor
        redactor.add([server.password, server.client_secret, server.token])
        self._channel = HostChannel(server.url, (server.timeout, server.timeout), throttle, redactor)
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._refused: Token | None = None
        self._attempts = 0
        self._failure: ServerError | None = None
        self.renewable = not server.has_given_token
        self._session = requests.Session()
        self._session.auth = _no_netrc
        failures.secure_session(self._session, server.url)

    def current(self) -> Token:
        """Return a valid token, logging in if there is none."""
        return self._get_shared(self.is_due)

    def is_due(self, token: Token) -> bool:
        """Return whether a token must be replaced before it is used: it is about to expire, or it was refused."""
        return token is self._refused or self._channel.throttle.clock() >= token.renew_at

    def refuse(self, token: Token) -> None:
        """Remember that the server refused a token; :meth:`current` then gets another one."""
        self._refused = token

    def renew(self, refused: Token) -> Token:
        """Return another token than the refused one, fetched by whichever thread comes first."""
        return self._get_shared(lambda token: token is refused)

    def _get_shared(self, is_due: Callable[[Token], bool]) -> Token:
        """Return the shared token, renewed if it is due.

        Threads that waited for a failed login fail with it: if each tried in turn, the account would be locked.
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
        if self._server.login.refs:
            self._server = server = resolve_login(self._server)
            self._redactor.add([server.password, server.client_secret, server.token])
        if self._server.token:
            return self._given_token(self._server.token)
        response = self._log_in()
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
        return Token(Secret(access), self._channel.throttle.clock() + seconds * (1 - RENEW_BEFORE), claims)

    def _given_token(self, given: Secret) -> Token:
        if self._token is not None:
            message = "the server does not accept the given token: it has expired or was revoked"
            raise ServerRefused(message, "set a fresh ZTRUST_MAIL_TOKEN", "token-refused")
        require_valid_token(given)
        return Token(given, float("inf"), claims_of(given.reveal()))

    def _log_in(self) -> requests.Response:
        server = self._server
        if not server.username and not server.client_secret:
            hint = "set ZTRUST_MAIL_USERNAME and _PASSWORD, or _CLIENT_ID and _CLIENT_SECRET, or _TOKEN"
            raise ServerRefused("no credentials given", hint, "no-login")
        channel = self._channel
        path = f"/realms/{quote(server.realm, safe='')}/protocol/openid-connect/token"
        line = RequestLine("POST", server.url + path)
        return channel.throttle.call_with_retry(lambda: channel.send(line, lambda: self._post(line.url), repeat=False))

    def _post(self, url: str) -> requests.Response:
        server, wait = self._server, self._channel.timeouts
        try:
            return self._session.post(url, data=_form(server), timeout=wait, verify=server.ca_bundle or True)
        except failures.FAILURES as e:
            failure = self._channel.failure(e)
        raise failure  # not in the handler: its context would be an exception that holds the request with the login

    def _refusal(self, response: requests.Response) -> ServerRefused | ServerUnreachable:
        body, detail = as_object(response), failures.server_message(response, self._redactor)
        missing = response.status_code == requests.codes.not_found
        busy = response.status_code in failures.BUSY
        if busy or body is None or "error" not in body or (missing and "ealm" not in detail):
            return failures.unexpected_response(response)
        host, realm = urlsplit(self._server.url).netloc, quoted(self._server.realm)
        if missing:
            return ServerRefused(f"{host} has no realm {realm} to log in to", "check the setting realm", "no-realm")
        code = "invalid_client" if re.search("client (secret|credentials)", detail, re.I) else str(body["error"])
        reason, hint = _REASONS.get(code, ("", "check the account"))
        who = quoted(self._server.username or self._server.client_id)
        message = f"{host} refuses the login of {who} to realm {realm}"
        if reason:
            message += f": {reason}"
        if detail:
            message += f"; the server says {quoted(detail)}"
        return ServerRefused(message, hint, "login-refused")


def require_valid_token(token: Secret) -> None:
    """Raise :class:`ServerRefused` if a token contains characters that cannot be sent in a header."""
    if not re.fullmatch(r"[!-~]+", token.reveal()):
        hint = "copy it again, without quotes, spaces or line breaks"
        raise ServerRefused("the given token contains characters that no token has", hint, "token-refused")


def _form(server: Server) -> dict[str, str]:
    """Return the form of the login. It is not kept in a variable, so that no traceback shows it."""
    form = {"client_id": server.client_id, "scope": "openid"}
    if server.client_secret:
        form["client_secret"] = server.client_secret.reveal()
    if not server.username:
        return {**form, "grant_type": "client_credentials"}
    password = server.password.reveal() if server.password else ""
    return {**form, "grant_type": "password", "username": server.username, "password": password}


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from replacing our login by one of ~/.netrc."""
    return request


def claims_of(token: object) -> Mapping[str, object]:
    """Return the claims of a token, unverified: they are only displayed, never relied on."""
    try:
        payload = str(token).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


@dataclass(frozen=True, repr=False)
class ClientToken:
    """An access token of a client's own, and its claims: unverified, and empty for a token that is not a JWT."""

    value: Secret
    claims: Mapping[str, object]
    expires_in: float | None


@dataclass(frozen=True, repr=False)
class ClientLogin:
    """A client that fetches a token by its own credentials. An empty ``scope`` is not sent."""

    url: str
    client_id: str
    client_secret: Secret
    scope: str = ""


def fetch_client_token(login: ClientLogin, timeout: float, redactor: Redactor, ca_bundle: str = "") -> ClientToken:
    """Return an access token by client credentials, as Keycloak fetches one for a relay: one POST, never repeated.

    Raises :class:`ServerError`, with the code and the description of the authorisation server.
    """
    response = _post_client_login(login, timeout, redactor, ca_bundle)
    body = as_object(response)
    access = body.get("access_token") if body else None
    if response.status_code == requests.codes.ok and body and isinstance(access, str) and access:
        redactor.add([Secret(access)])
        lifetime = body.get("expires_in")
        return ClientToken(Secret(access), claims_of(access), lifetime if isinstance(lifetime, int | float) else None)
    host, said = urlsplit(login.url).netloc, failures.server_message(response, redactor)
    code = body.get("error") if body else None
    if isinstance(code, str) or said:
        shown = quoted(redactor.redact(str(code or ""))) if code else f"status {response.status_code}"
        message = f"{host} gives no token: {shown}{f', {quoted(said, 200)}' if said and said != code else ''}"
        raise ServerRefused(message, "check the client id, its secret and the scope", "relay-token")
    message = f"{host} answered {response.status_code} with something else than a token"
    raise ServerUnreachable(message, "check relay.auth.token.url", "relay-token")


def _post_client_login(login: ClientLogin, timeout: float, redactor: Redactor, ca_bundle: str) -> requests.Response:
    redactor.add([login.client_secret])
    waits = (timeout, timeout)
    line = RequestLine("POST", login.url)
    with requests.Session() as session:
        session.auth = _no_netrc
        failures.secure_session(session, login.url)
        try:
            response = session.post(login.url, data=_client_form(login), timeout=waits, verify=ca_bundle or True)
            LOG.debug("%s: %d", line, response.status_code)
            return response
        except failures.FAILURES as e:
            failure = failures.describe_failure(e, login.url, waits, redactor)
    raise failure  # not in the handler: its context would be an exception that holds the request with the secret


def _client_form(login: ClientLogin) -> dict[str, str]:
    """Return the form of the request. It is not kept in a variable, so that no traceback shows it."""
    scope = {"scope": login.scope} if login.scope else {}
    secret = login.client_secret.reveal()
    return {"client_id": login.client_id, "client_secret": secret, **scope, "grant_type": "client_credentials"}
