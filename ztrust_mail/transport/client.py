"""Requests with a ready token, for products whose logins are their own affair."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from urllib.parse import quote, urlsplit

import requests

from ztrust_mail.core.errors import RealmError, ServerRefused, ServerUnreachable
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.account import Account
from ztrust_mail.transport.throttle import Throttle, longest_turn, on_interruption, require_in_time
from ztrust_mail.transport.token import claims_of

UNREACHABLE_NAMES = ("", ".", "..")
"""Realm names that a URL cannot hold: the path is normalised before it is sent."""


def segment_of(realm: str) -> str:
    """Return a realm's name as one segment of a path; raises as :func:`path_of` does."""
    try:
        segment = quote(realm, safe="")
    except UnicodeEncodeError:  # half a character, from a command line that is not UTF-8
        segment = ""
    if segment in UNREACHABLE_NAMES:
        hint = "check the spelling, or rename the realm in the server's console"
        raise RealmError(f"{quoted(realm)} cannot be named in a URL: it would mean another place", hint, "bad-name")
    return segment


Query = Sequence[tuple[str, str]]


class TokenClient:
    """Sends requests to the hosts of one product, with the token from the settings. For any number of threads.

    Every host has a throttle of its own, so that one that is down does not keep back the others. ``title`` is what
    messages call the product.
    """

    def __init__(self, server: Server, title: str, redactor: Redactor) -> None:
        self._token, self._title = server.token, title
        self._redactor = redactor
        redactor.add([server.token])
        self._verify = server.ca_bundle or True
        self._waits = (server.timeout, server.timeout * failures.READ_TIMEOUT_FACTOR)
        self._connections = server.connections
        self._throttles: dict[str, Throttle] = {}
        self._session = requests.Session()
        self._session.auth = self._authorize
        failures.secure_session(self._session, server.url, server.connections)

    def check(self) -> None:
        """Raise :class:`ServerRefused` where there is no token, or none that can be sent."""
        if self._token is None:
            hint = "set ZTRUST_MAIL_TOKEN, or token in the server's entry instead of username and client_secret"
            raise ServerRefused(f"there is no token for {self._title}", hint, "no-login")
        if not re.fullmatch(r"[!-~]+", self._token.reveal()):
            hint = "copy it anew, without quotes, spaces or line breaks"
            raise ServerRefused("the token holds characters that no token has", hint, "token-refused")

    def account(self) -> Account:
        """Return whom the token names; it is only shown, never relied on."""
        claims = claims_of(self._token.reveal() if self._token else "")
        names = (claims.get(claim) for claim in ("preferred_username", "client_id", "sub"))
        name = next((name for name in names if isinstance(name, str) and name), "the ready token's owner")
        return Account(name, "", None)

    def send(
        self, method: str, url: str, body: Secret | None = None, query: Query = (), *, before: float = math.inf
    ) -> requests.Response:
        """Send a request that may be repeated without harm.

        It is sent once more after a broken connection, and again after a wait while the host is too busy. Raises
        :class:`HeldBack` where its turn comes later than ``before``, in monotonic seconds.
        """
        throttle = self._throttle(url)

        def ask() -> requests.Response:
            require_in_time(before)
            return self._unbroken(method, url, body, query)

        return throttle.call_with_retry(lambda: throttle.call(ask))

    def send_once(self, method: str, url: str, body: Secret) -> requests.Response:
        """Send a request that is never repeated."""
        return self._throttle(url).call(lambda: self._once(method, url, body, ()))

    def _throttle(self, url: str) -> Throttle:
        host = urlsplit(url).netloc
        return self._throttles.setdefault(host, Throttle(host, self._connections, longest_turn(self._waits[0])))

    def _unbroken(self, method: str, url: str, body: Secret | None, query: Query) -> requests.Response:
        try:
            return self._once(method, url, body, query)
        except failures.ConnectionLost as first:
            try:
                return self._once(method, url, body, query)
            except ServerUnreachable:
                raise first from None  # whatever came then, the first may have arrived

    def _once(self, method: str, url: str, body: Secret | None, query: Query) -> requests.Response:
        self.check()
        try:
            return self._session.request(
                method,
                url,
                params=list(query),
                data=body.reveal().encode() if body else None,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                timeout=self._waits,
                verify=self._verify,
            )
        except failures.FAILURES as e:
            raise failures.describe_failure(e, url, self._waits, self._redactor) from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        assert self._token is not None  # checked before every request
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request

    def stop_waiting(self) -> None:
        """Wait no more for hosts that are too busy."""
        self._each(Throttle.stop_waiting)

    def stop_waiting_on_interrupt(self) -> AbstractContextManager[None]:
        """Hurry on Ctrl-C, for a thread that would then have to wait for others."""
        return on_interruption(self.stop_waiting)

    def allow_probe(self) -> None:
        """Let one request through to each host that counts as down."""
        self._each(Throttle.allow_probe)

    def is_stuck(self) -> bool:
        """Return whether a request to any host has been under way for longer than its deadlines permit."""
        return any(throttle.is_stuck() for throttle in list(self._throttles.values()))

    def _each(self, do: Callable[[Throttle], None]) -> None:
        for throttle in list(self._throttles.values()):
            do(throttle)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
