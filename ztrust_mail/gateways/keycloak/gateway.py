"""The gateway to Keycloak and its derivatives, over the admin REST API."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import requests

from ztrust_mail.core.data import Json
from ztrust_mail.core.errors import (
    NOT_THE_API,
    MailTestFailed,
    RealmError,
    RealmMissing,
    RealmUnreadable,
    ServerRefused,
    ServerUnreachable,
)
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.products.keycloak import SMTP_SERVER, with_templates
from ztrust_mail.dialects.products.ztrust import ASSUMED_VERSIONS
from ztrust_mail.dialects.row import Outgoing, Version
from ztrust_mail.gateways.gateway import (
    TEST_UNKNOWN,
    TOKEN_OWNER,
    Account,
    Capabilities,
    Edit,
    Gateway,
    LiveRealm,
    Reading,
    ServerInfo,
    read_each,
    wire_body,
)
from ztrust_mail.gateways.keycloak.representation import (
    WORKFLOWS_QUERY,
    drop_unused_keys,
    live_realm,
    mail_workflows_in,
    parse_server_info,
    path_of,
    realms_by_name,
)
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.channel import UNREACHABLE_NAMES
from ztrust_mail.transport.failures import as_object
from ztrust_mail.transport.throttle import Throttle, longest_turn
from ztrust_mail.transport.token import TokenSource

if TYPE_CHECKING:
    from ztrust_mail.gateways.keycloak.admin_events import AdminEvents
    from ztrust_mail.gateways.keycloak.client import KeycloakClient
    from ztrust_mail.gateways.keycloak.templates import Templates

FEW_READS = 8
"""Up to this many realms are always read one by one: that is one round of the connections."""

SINGLE_READ_COST = 4
"""A single read takes as long as so many realms of a list: measured 10 to 17 ms, at 8 at once, and 2.7 to 4.4 ms."""

MAX_SINGLE_READS = 100
"""Up to this many realms are read one by one while the number of all realms is unknown: on a small server that costs a
second at most, and on a large one a list costs many."""


@dataclass(frozen=True)
class _ListCost:
    """The size of the last list of realms, and how long it took; infinite if it did not show their settings."""

    realms: float = math.inf
    seconds: float = math.inf


class KeycloakGateway(Gateway):
    """A Keycloak server or a derivative of it."""

    capabilities = Capabilities(read=True, write=True, test=True, test_unstored=True, set_up=True)

    def __init__(self, server: Server, dialect: Dialect, throttle: Throttle | None = None) -> None:
        self.url, self._profile = server.url, server.profile
        self.dialect = with_templates(dialect)
        self.connections = server.connections
        self._server = server
        self._host = urlsplit(server.url).netloc
        rate, longest = server.limits.requests_per_second, longest_turn(server.timeout)
        self._throttle = throttle or Throttle(self._host, server.connections, longest, rate=rate)
        self._tokens = TokenSource(server, self._throttle, self.redactor)
        self._list_cost: _ListCost | None = None

    def login(self) -> None:
        """Log in; python-keycloak is imported while the server checks the password."""
        with ThreadPoolExecutor(1) as pool, self._throttle.stop_waiting_on_interrupt():
            token = pool.submit(self._tokens.current)
            _ = self._connection
            token.result()

    @cached_property
    def _connection(self) -> KeycloakClient:
        from ztrust_mail.gateways.keycloak.client import KeycloakClient

        return KeycloakClient(self._server, self._tokens, self._throttle, self.redactor)

    def close(self) -> None:
        self._tokens.close()
        if "_connection" in vars(self):
            self._connection.close()

    def account(self, *, with_email: bool = True) -> Account:
        claims = self._tokens.current().claims
        fallback = self._server.username or f"service-account-{self._server.client_id}"
        if self._server.has_given_token:
            fallback = TOKEN_OWNER
        name, realm = str(claims.get("preferred_username") or fallback), self._login_realm()
        email = claims.get("email")
        if with_email and not email:
            email = self._find_email(realm, claims.get("sub"))
        return Account(name, realm, None if email is None else str(email), str(claims.get("iss", "")))

    def _login_realm(self) -> str:
        issuer = str(self._tokens.current().claims.get("iss", ""))
        return unquote(issuer.rpartition("/realms/")[2]) if "/realms/" in issuer else self._server.realm

    def _find_email(self, realm: str, user_id: object) -> str | None:
        if not isinstance(user_id, str) or user_id in UNREACHABLE_NAMES or realm in UNREACHABLE_NAMES:
            return None
        response = self._connection.send("GET", f"{path_of(realm)}/users/{quote(user_id, safe='')}")
        user = failures.parse_json(response) if response.status_code == requests.codes.ok else None
        return str(user.get("email") or "") if isinstance(user, dict) else None

    def version(self) -> Version:
        return self.server_info().version

    def server_info(self) -> ServerInfo:
        response = self._connection.send("GET", "admin/serverinfo")
        info = parse_server_info(failures.parse_json(response) if response.status_code == requests.codes.ok else None)
        return replace(info, version=info.version or ASSUMED_VERSIONS.get(self._profile, ()))

    def mail_workflows(self, realms: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        def read(realm: str) -> tuple[str, ...]:
            response = self._connection.send("GET", f"{path_of(realm)}/{WORKFLOWS_QUERY}")
            is_shown = response.status_code == requests.codes.ok
            return mail_workflows_in(failures.parse_json(response)) if is_shown else ()

        with ThreadPoolExecutor(self.connections) as pool, self._throttle.stop_waiting_on_interrupt():
            return dict(zip(realms, pool.map(read, realms), strict=True))

    def realms(self) -> list[str]:
        response = self._connection.send("GET", "admin/realms?briefRepresentation=true")
        if response.status_code == requests.codes.forbidden:
            return []
        return sorted(realms_by_name(self._expect_ok(response)))

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        if not everything and not self.prefers_list(len(wanted)):
            return Reading(self._read_singly(wanted), complete=False)
        try:
            found, complete = self._list()
        except ServerUnreachable as e:
            if everything or not (isinstance(e, failures.ResponseTimeout) or e.rule == NOT_THE_API):
                raise
            found, complete = {}, False  # one broken realm can break the whole list
        missing = [realm for realm in dict.fromkeys([*wanted, *found]) if realm not in found or found[realm] is None]
        read = {realm: live for realm, live in found.items() if live is not None}
        return Reading({**read, **self._read_singly(missing)}, complete)

    def prefers_list(self, count: int, within: float = math.inf) -> bool:
        cost = self._list_cost
        if cost is None:
            return count > MAX_SINGLE_READS and math.isinf(within)
        return count > FEW_READS and count * SINGLE_READ_COST > cost.realms and cost.seconds <= within

    def _list(self) -> tuple[dict[str, LiveRealm | None], bool]:
        """Return every realm of the list and whether it is complete; None for a realm that is not shown in full."""
        sent, self._list_cost = time.monotonic(), _ListCost()
        response = self._connection.send("GET", "admin/realms")
        if response.status_code == requests.codes.forbidden:
            return {}, False
        try:
            listed = realms_by_name(self._expect_ok(response, drop_unused_keys))
        except ServerUnreachable:
            if response.status_code != requests.codes.ok or not response.content.lstrip().startswith(b"["):
                raise
            return self._names()  # 200 and cut off in the middle, as after a rolled-back transaction
        self._list_cost = _ListCost(len(listed), time.monotonic() - sent)
        return {name: live_realm(name, realm, sent) for name, realm in listed.items()}, True

    def _names(self) -> tuple[dict[str, LiveRealm | None], bool]:
        """Return the names of all realms, without settings; none, and incomplete, if the short list is broken too."""
        try:
            return dict.fromkeys(self.realms()), True
        except ServerUnreachable as e:
            if e.rule != NOT_THE_API:
                raise
            return {}, False

    def _expect_ok(
        self, response: requests.Response, reduce_object: Callable[[dict[str, Json]], Json] | None = None
    ) -> Json:
        if response.status_code == requests.codes.unauthorized:
            raise ServerRefused(f"{self._host} refuses the token", "check the account", "token-refused")
        if response.status_code != requests.codes.ok:
            raise failures.unexpected_response(response)
        return failures.parse_json(response, reduce_object)

    def _read_singly(self, realms: Collection[str]) -> dict[str, LiveRealm | RealmError]:
        token = self._tokens.current()
        found = self._read_each(realms)
        unreadable = [realm for realm, live in found.items() if isinstance(live, RealmUnreadable)]
        if unreadable and self._tokens.renewable:  # a realm younger than the token is visible to a new token only
            self._tokens.renew(token)
            found |= self._read_each(unreadable)
        return found

    def _read_each(self, realms: Collection[str]) -> dict[str, LiveRealm | RealmError]:
        return read_each(realms, self.read_one, self.connections, self._throttle.stop_waiting_on_interrupt())

    def throttles(self) -> Collection[Throttle]:
        return (self._throttle,)

    def read_one(self, realm: str) -> LiveRealm:
        sent = time.monotonic()
        response = self._connection.send("GET", path_of(realm))
        if response.status_code != requests.codes.ok:
            raise self._error_of(response, realm, "read")
        body = as_object(response)
        if body is None:
            raise _as_realm_error(response)
        live = live_realm(realm, body, sent)
        if live is None:
            hint = "give the account the role view-realm (to plan) or manage-realm (to apply) in this realm"
            message = f"this account may not see the e-mail settings of {quoted(realm)}: the server leaves them out"
            raise RealmUnreadable(message, hint, "may-not-see")
        return live

    def read_templates(
        self, found: Mapping[str, LiveRealm], names: Mapping[str, Collection[str]]
    ) -> Mapping[str, LiveRealm | RealmError]:
        def read(realm: str) -> LiveRealm:
            return self._templates.read(found[realm], names[realm])

        return read_each(found, read, self.connections, self._throttle.stop_waiting_on_interrupt())

    def write_templates(self, realm: str, texts: Mapping[str, str | None]) -> None:
        self._templates.write(realm, texts)

    @cached_property
    def _templates(self) -> Templates:
        from ztrust_mail.gateways.keycloak.templates import Templates

        return Templates(self._connection, self._error_of)

    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        self.redactor.add(attributes.values())
        body = Secret(json.dumps({SMTP_SERVER: wire_body(attributes)}))
        response = self._connection.send("PUT", path_of(realm), body, before=before)
        if not failures.is_done(response):
            raise self._error_of(response, realm, "write")

    def test(self, realm: str, attributes: Outgoing) -> None:
        self.redactor.add(attributes.values())
        body = Secret(json.dumps(wire_body(attributes)))
        response = self._connection.send_once(f"{path_of(realm)}/testSMTPConnection", body)
        if failures.is_done(response):
            return
        if response.status_code == requests.codes.unauthorized:
            raise self._late_refusal()
        said = failures.server_message(response, self.redactor)
        if said and response.status_code in (requests.codes.bad_request, requests.codes.server_error):
            hint = "see Keycloak's log for the cause (KC-SERVICES0029), and check host, port, security and login"
            raise MailTestFailed(f"the test mail failed; the server says {quoted(said, 300)}", hint, "test-failed")
        raise self._error_of(response, realm, "test")

    def _late_refusal(self) -> MailTestFailed:
        """Return the error for a test mail after which the token was refused: a proxy may check it too late."""
        again = "test again" if self._tokens.renewable else "set a fresh ZTRUST_MAIL_TOKEN and test again"
        message = f"{self._host} answered 401 after the request was sent: the test mail may have been sent"
        return MailTestFailed(message, f"check the mailbox first; if no mail has arrived, {again}", TEST_UNKNOWN)

    def may_write(self, realm: str) -> bool:
        """Ask whoami, or else try a test mail without a sender: it needs manage-realm, and can never be sent.

        Since 26, whoami answers only the console. Before, a test mail needs no role (measured on 16.1.1 and 26.7.4).
        """
        if realm in UNREACHABLE_NAMES:
            return False
        if self._roles is not None:
            roles = self._roles.get(realm)
            return isinstance(roles, list) and "manage-realm" in roles
        body = Secret(json.dumps({"from": ""}))
        response = self._connection.send("POST", f"{path_of(realm)}/testSMTPConnection", body)
        refused = response.status_code in (requests.codes.bad_request, requests.codes.server_error)
        return refused and bool(failures.server_message(response, self.redactor))

    @cached_property
    def _roles(self) -> Mapping[str, Json] | None:
        """The roles by realm that whoami lists; None if it does not answer this client."""
        response = self._connection.send("GET", f"admin/{quote(self._login_realm(), safe='')}/console/whoami")
        whoami = failures.parse_json(response) if response.status_code == requests.codes.ok else None
        roles = whoami.get("realm_access") if isinstance(whoami, dict) else None
        return roles if isinstance(roles, dict) else None

    def edits(self, realm: str, since: datetime | None) -> Sequence[Edit] | None:
        return self._admin_events.edits(path_of(realm), since)

    @cached_property
    def _admin_events(self) -> AdminEvents:
        from ztrust_mail.gateways.keycloak.admin_events import AdminEvents

        def get(path: str) -> Json:
            response = self._connection.send("GET", path)
            return failures.parse_json(response) if response.status_code == requests.codes.ok else None

        return AdminEvents(get, self.dialect)

    def _error_of(self, response: requests.Response, realm: str, doing: str) -> RealmError:
        status, said = response.status_code, failures.server_message(response, self.redactor)
        if status == requests.codes.unauthorized:
            raise ServerRefused(f"{self._host} refuses the token", "check the account", "token-refused")
        if status == requests.codes.not_found and "ealm" in said:
            hint = "check the spelling, or create the realm first"
            return RealmMissing(f"there is no realm {quoted(realm)} on {self._host}", hint, "no-realm")
        if status == requests.codes.forbidden:
            role = "view-realm" if doing == "read" else "manage-realm"
            kind = RealmUnreadable if doing == "read" else RealmError
            message = f"this account may not {doing} the e-mail settings of {quoted(realm)}"
            return kind(message, f"give it the role {role} in this realm", "no-rights")
        if said and status not in (*failures.BUSY, *failures.WITHOUT_SERVER):
            message = f"the server refuses to {doing} {quoted(realm)} ({status}): {quoted(said, 300)}"
            return RealmError(message, "correct the value it names, or see the server's log", "server-says")
        return _as_realm_error(response)


def _as_realm_error(response: requests.Response) -> RealmError:
    error = failures.unexpected_response(response)
    return RealmError(error.message, error.hint, error.rule)
