"""Requests with a ready token, for products whose logins are their own affair."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import requests

from ztrust_mail.config import Server
from ztrust_mail.dialects.base import Dialect
from ztrust_mail.dialects.row import Version
from ztrust_mail.errors import RealmError, ServerRefused, ServerUnreachable
from ztrust_mail.gateways import http
from ztrust_mail.gateways.base import NOT_THE_API, Account, Gateway, in_time
from ztrust_mail.gateways.throttle import Throttle, longest_turn, on_interruption
from ztrust_mail.gateways.token import claims_of
from ztrust_mail.redaction import Redactor
from ztrust_mail.sensitive import Secret

Query = Sequence[tuple[str, str]]


class Bearer:
    """Sends requests to the hosts of one product, with the token from the settings. For any number of threads.

    Every host has a throttle of its own, so that one that is down does not keep back the others. ``title`` is what
    messages call the product.
    """

    def __init__(self, server: Server, title: str, redactor: Redactor) -> None:
        self._token, self._title = server.token, title
        self._redactor = redactor
        redactor.add([server.token])
        self._verify = server.ca_bundle or True
        self._waits = (server.timeout, server.timeout * http.PATIENCE)
        self._connections = server.connections
        self._throttles: dict[str, Throttle] = {}
        self._session = requests.Session()
        self._session.auth = self._authorize
        http.secure(self._session, server.url, server.connections)

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
            in_time(before)
            return self._unbroken(method, url, body, query)

        return throttle.patiently(lambda: throttle.in_turn(ask))

    def send_once(self, method: str, url: str, body: Secret) -> requests.Response:
        """Send a request that is never repeated."""
        return self._throttle(url).in_turn(lambda: self._once(method, url, body, ()))

    def _throttle(self, url: str) -> Throttle:
        host = urlsplit(url).netloc
        return self._throttles.setdefault(host, Throttle(host, self._connections, longest_turn(self._waits[0])))

    def _unbroken(self, method: str, url: str, body: Secret | None, query: Query) -> requests.Response:
        try:
            return self._once(method, url, body, query)
        except http.Interrupted as first:
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
        except http.FAILURES as e:
            raise http.in_words(e, url, self._waits, self._redactor) from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        assert self._token is not None  # checked before every request
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request

    def hurry(self) -> None:
        """Wait no more for hosts that are too busy."""
        self._each(Throttle.hurry)

    def hurrying(self) -> AbstractContextManager[None]:
        """Hurry on Ctrl-C, for a thread that would then have to wait for others."""
        return on_interruption(self.hurry)

    def try_again(self) -> None:
        """Let one request through to each host that counts as down."""
        self._each(Throttle.try_again)

    def is_stuck(self) -> bool:
        """Return whether a request to any host has been under way for longer than its deadlines permit."""
        return any(throttle.is_stuck() for throttle in list(self._throttles.values()))

    def _each(self, do: Callable[[Throttle], None]) -> None:
        for throttle in list(self._throttles.values()):
            do(throttle)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class TokenGateway(Gateway):
    """What the gateways have in common that work with a ready token and have no list of their realms."""

    def __init__(self, server: Server, dialect: Dialect) -> None:
        self.url = server.url
        self.dialect = dialect
        self.connections = server.connections
        self._api = Bearer(server, dialect.title, self.redactor)

    def login(self) -> None:
        """See that there is a token; nothing is sent, since only work on a realm would show what it is worth."""
        self._api.check()

    def account(self, *, with_email: bool = True) -> Account:
        return self._api.account()

    def version(self) -> Version:
        return ()

    def realms(self) -> list[str]:
        return []

    def may_write(self, realm: str) -> bool | None:
        return None

    def hurry(self) -> None:
        self._api.hurry()

    def try_again(self) -> None:
        self._api.try_again()

    def is_stuck(self) -> bool:
        return self._api.is_stuck()

    def close(self) -> None:
        self._api.close()


def undocumented(response: requests.Response, title: str) -> RealmError:
    """Return what to say of an answer that the product's documentation does not have, or only while it is too busy."""
    if response.status_code in http.BUSY:
        busy = http.unexpected(response)
        return RealmError(busy.message, busy.hint, busy.rule)
    host = urlsplit(response.url or "").netloc
    what = "a web page" if http.is_page(response) else "something"
    message = f"{host} answers {response.status_code} with {what} that {title} does not document"
    hint = "check the URL and any proxy in front of it, and look at the server's log; then run the same again"
    return RealmError(message, hint, NOT_THE_API)
