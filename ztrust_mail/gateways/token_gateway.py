"""The base of gateways that use a token from the settings."""

import math
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

import requests

from ztrust_mail.core.errors import NOT_THE_API, RealmError, ServerRefused
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Version
from ztrust_mail.gateways.gateway import TOKEN_OWNER, Account, Gateway
from ztrust_mail.secrets.store import resolve_login
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.channel import HostChannel, RequestLine
from ztrust_mail.transport.throttle import Throttle, longest_turn
from ztrust_mail.transport.token import claims_of, require_valid_token

Query = Sequence[tuple[str, str]]


class TokenGateway(Gateway):
    """A gateway that uses a token from the settings and cannot list realms.

    Every host has its own throttle, so that a host that is down does not delay the others.
    """

    def __init__(self, server: Server, dialect: Dialect) -> None:
        self.url, self.dialect, self.connections = server.url, dialect, server.connections
        self._server = server
        self.redactor.add([server.token])
        self._resolving = threading.Lock()
        self._channels: dict[str, HostChannel] = {}
        self._session = requests.Session()
        self._session.auth = self._authorize
        failures.secure_session(self._session, server.url, server.connections)

    def login(self) -> None:
        """Check that there is a token. Nothing is sent: only a request for a realm shows whether the token is valid."""
        if self._token is None:
            hint = "set ZTRUST_MAIL_TOKEN, or token in the server's entry instead of username and client_secret"
            raise ServerRefused(f"no token given for {self.title}", hint, "no-login")
        require_valid_token(self._token)

    @property
    def _token(self) -> Secret | None:
        """The token of the settings, whose reference is resolved once. Raises :class:`ConfigError`."""
        with self._resolving:
            if self._server.login.refs:
                self._server = resolve_login(self._server)
                self.redactor.add([self._server.token])
            return self._server.token

    def account(self, *, with_email: bool = True) -> Account:
        """Return the account that the token names. It is only displayed, never relied on."""
        claims = claims_of(token.reveal() if (token := self._token) else "")
        names = (claims.get(claim) for claim in ("preferred_username", "client_id", "sub"))
        name = next((name for name in names if isinstance(name, str) and name), TOKEN_OWNER)
        return Account(name, "", None)

    def version(self) -> Version:
        return ()

    def realms(self) -> list[str]:
        return []

    def may_write(self, realm: str) -> bool | None:
        return None

    def _send(
        self, method: str, url: str, body: Secret | None = None, query: Query = (), *, before: float = math.inf
    ) -> requests.Response:
        """Send a request that may be repeated without harm.

        It is repeated once after a broken connection, and after a wait while the host is too busy. Raises
        :class:`WriteDeadlineExceeded` if its turn comes later than ``before``, in monotonic seconds.
        """
        channel, line = self._channel(url), RequestLine(method, url)

        def request() -> requests.Response:
            return self._request(channel, method, url, body, query)

        return channel.throttle.call_with_retry(lambda: channel.send(line, request, before=before))

    def _send_once(self, method: str, url: str, body: Secret) -> requests.Response:
        """Send a request that is never repeated."""
        channel, line = self._channel(url), RequestLine(method, url)
        return channel.send(line, lambda: self._request(channel, method, url, body, ()), repeat=False)

    def _channel(self, url: str) -> HostChannel:
        host, server = urlsplit(url).netloc, self._server
        if host not in self._channels:
            rate = server.limits.requests_per_second
            throttle = Throttle(host, server.connections, longest_turn(server.timeout), rate=rate)
            timeouts = failures.timeouts_of(server.timeout)
            channel = HostChannel(url, timeouts, throttle, self.redactor, first_failure_counts=True)
            self._channels.setdefault(host, channel)
        return self._channels[host]

    def _request(
        self, channel: HostChannel, method: str, url: str, body: Secret | None, query: Query
    ) -> requests.Response:
        self.login()
        try:
            return self._session.request(
                method,
                url,
                params=list(query),
                data=body.reveal().encode() if body else None,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                timeout=channel.timeouts,
                verify=self._server.ca_bundle or True,
            )
        except failures.FAILURES as e:
            failure = channel.failure(e)
        raise failure  # not in the handler: its context would be an exception that holds the request with its token

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._token
        assert token is not None  # checked before every request
        request.headers["Authorization"] = f"Bearer {token.reveal()}"
        return request

    def throttles(self) -> list[Throttle]:
        return [channel.throttle for channel in list(self._channels.values())]

    def close(self) -> None:
        self._session.close()


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
