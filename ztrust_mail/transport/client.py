"""HTTP client for products that are reached with a token from the settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from urllib.parse import quote, urlsplit

import requests

from ztrust_mail.core.errors import RealmError, ServerRefused
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.account import TOKEN_OWNER, Account
from ztrust_mail.transport.channel import HostChannel
from ztrust_mail.transport.throttle import Throttle, longest_turn, on_interruption
from ztrust_mail.transport.token import claims_of, require_valid_token

UNREACHABLE_NAMES = ("", ".", "..")
"""Names that a path cannot contain as a segment: clients normalise the path before they send it."""

Query = Sequence[tuple[str, str]]


def segment_of(realm: str) -> str:
    """Return a realm's name as one segment of a path; raises :class:`RealmError` if the name cannot be one."""
    try:
        segment = quote(realm, safe="")
    except UnicodeEncodeError:  # an unpaired surrogate, from a command line that is not UTF-8
        segment = ""
    if segment in UNREACHABLE_NAMES:
        hint = "check the spelling, or rename the realm in the server's console"
        raise RealmError(f"{quoted(realm)} cannot be used in a URL", hint, "bad-name")
    return segment


class TokenClient:
    """Sends requests to the hosts of one product, with the token from the settings. May be used by several threads.

    Every host has a throttle of its own, so that a host that is down does not delay the others. ``title`` is the
    product's name in messages.
    """

    def __init__(self, server: Server, title: str, redactor: Redactor) -> None:
        self._server, self._title, self._redactor = server, title, redactor
        redactor.add([server.token])
        self._channels: dict[str, HostChannel] = {}
        self._session = requests.Session()
        self._session.auth = self._authorize
        failures.secure_session(self._session, server.url, server.connections)

    def check(self) -> None:
        """Raise :class:`ServerRefused` if there is no token, or one that cannot be sent."""
        if self._server.token is None:
            hint = "set ZTRUST_MAIL_TOKEN, or token in the server's entry instead of username and client_secret"
            raise ServerRefused(f"no token given for {self._title}", hint, "no-login")
        require_valid_token(self._server.token)

    def account(self) -> Account:
        """Return the account that the token names. It is only displayed, never relied on."""
        claims = claims_of(self._server.token.reveal() if self._server.token else "")
        names = (claims.get(claim) for claim in ("preferred_username", "client_id", "sub"))
        name = next((name for name in names if isinstance(name, str) and name), TOKEN_OWNER)
        return Account(name, "", None)

    def send(
        self, method: str, url: str, body: Secret | None = None, query: Query = (), *, before: float = math.inf
    ) -> requests.Response:
        """Send a request that may be repeated without harm.

        It is repeated once after a broken connection, and after a wait while the host is too busy. Raises
        :class:`WriteDeadlineExceeded` if its turn comes later than ``before``, in monotonic seconds.
        """
        channel = self._channel(url)

        def request() -> requests.Response:
            return self._request(channel, method, url, body, query)

        return channel.throttle.call_with_retry(lambda: channel.send(request, before=before))

    def send_once(self, method: str, url: str, body: Secret) -> requests.Response:
        """Send a request that is never repeated."""
        channel = self._channel(url)
        return channel.send(lambda: self._request(channel, method, url, body, ()), repeat=False)

    def _channel(self, url: str) -> HostChannel:
        host, server = urlsplit(url).netloc, self._server
        if host not in self._channels:
            throttle = Throttle(host, server.connections, longest_turn(server.timeout))
            timeouts = failures.timeouts_of(server.timeout)
            channel = HostChannel(url, timeouts, throttle, self._redactor, first_failure_counts=True)
            self._channels.setdefault(host, channel)
        return self._channels[host]

    def _request(
        self, channel: HostChannel, method: str, url: str, body: Secret | None, query: Query
    ) -> requests.Response:
        self.check()
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
            raise channel.failure(e) from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        assert self._server.token is not None  # checked before every request
        request.headers["Authorization"] = f"Bearer {self._server.token.reveal()}"
        return request

    def stop_waiting(self) -> None:
        """Stop waiting for hosts that are too busy."""
        for throttle in self._throttles():
            throttle.stop_waiting()

    def stop_waiting_on_interrupt(self) -> AbstractContextManager[None]:
        """Stop waiting on Ctrl-C, for a thread that would otherwise wait for other threads."""
        return on_interruption(self.stop_waiting)

    def allow_probe(self) -> None:
        """Let one request through to each host that counts as down."""
        for throttle in self._throttles():
            throttle.allow_probe()

    def is_stuck(self) -> bool:
        """Return whether a request to any host has taken longer than its deadlines permit."""
        return any(throttle.is_stuck() for throttle in self._throttles())

    def _throttles(self) -> list[Throttle]:
        return [channel.throttle for channel in list(self._channels.values())]

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
