"""Digitanium's (KOBIL) mail API: it writes and tests a tenant's settings, and never shows them.

From the vendor's documentation of the API, 4.18.1, developer.kobil.com: "SMTP Configuration" and "Test SMTP
Configuration". After statuses other than the documented 200, 400, 401 and 404 the outcome of a write is unknown.
"""

import json
import math
import re
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

import requests

from ztrust_mail.core.errors import ConfigError, MailTestFailed, RealmError, RealmUnreadable, ServerUnreachable
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Outgoing
from ztrust_mail.gateways.gateway import NOT_SEEN, Capabilities, LiveRealm, Reading, wire_body
from ztrust_mail.gateways.token_gateway import TokenGateway, undocumented_response
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.channel import segment_of
from ztrust_mail.transport.failures import as_object

SHIFT_PATH = "/auth"
"""The path of a server's URL of the form SHIFT; a URL without a path is of the form SSMS."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""Lower case only: host names are case-insensitive, so two tenants that differ only in case would be the same."""

_TEST = Secret(json.dumps({"mailType": "TEST"}))


class DigitaniumGateway(TokenGateway):
    """A Digitanium server; a realm is a tenant. Every request uses https, regardless of the server's URL."""

    capabilities = Capabilities(read=False, write=True, test=True, list_realms=False, keep_secrets=False, clear=False)

    def __init__(self, server: Server, dialect: Dialect) -> None:
        super().__init__(server, dialect)
        parts = urlsplit(server.url)
        if parts.path not in ("", SHIFT_PATH):
            hint = f"use https://HOST for SSMS (the tenant is put before HOST), or https://HOST{SHIFT_PATH} for SHIFT"
            raise ConfigError(f"{quoted(server.url)} is not a URL of {dialect.title}", hint, "url-form")
        self._host, self._is_shift = parts.netloc, parts.path == SHIFT_PATH

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        return Reading({realm: self._unreadable(realm) for realm in wanted}, complete=False)

    def read_one(self, realm: str) -> LiveRealm:
        raise self._unreadable(realm)

    def _unreadable(self, realm: str) -> RealmUnreadable:
        message = f"{self.title} cannot show the settings of {quoted(realm)}: its API only writes"
        return RealmUnreadable(message, "history shows what was applied", NOT_SEEN)

    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        """Replace a tenant's settings; unset texts are sent empty, as in the vendor's sample."""
        self.redactor.add(attributes.values())
        every = dict.fromkeys(self.dialect.attribute_names, "")
        body, url = Secret(json.dumps(every | wire_body(attributes))), self._address(realm, "config", "setup")
        response = _send_to_tenant(lambda: self._send("POST", url, body))
        if not _is_done(response):
            raise self._error_of(response, realm, "write")

    def test(self, realm: str, attributes: Outgoing) -> None:
        """Test the tenant's stored settings; the attributes are ignored."""
        url = self._address(realm, "test", "test")
        response = _send_to_tenant(lambda: self._send_once("POST", url, _TEST))
        if _is_done(response):
            return
        said = failures.server_message(response, self.redactor)
        if response.status_code == requests.codes.not_found and said:
            message = f"the token's user is not in tenant {quoted(realm)}: {quoted(said, 300)}"
            hint = "the mail goes to the token's user: use a token of a user of this tenant who has an e-mail address"
            raise MailTestFailed(message, hint, "no-user")
        raise self._error_of(response, realm, "test")

    def _address(self, realm: str, ssms: str, shift: str) -> str:
        if self._is_shift:
            return f"https://{self._host}{SHIFT_PATH}/realms/{segment_of(realm)}/mail/{shift}"
        if not _LABEL.fullmatch(realm):
            hint = "a tenant's name is part of a host name here: use lower-case letters, digits and -"
            raise RealmError(f"{quoted(realm)} is not a valid tenant name", hint, "bad-name")
        return f"https://{realm}.{self._host}/digitanium/v4/mail/{ssms}"

    def _error_of(self, response: requests.Response, realm: str, doing: str) -> RealmError:
        status, said = response.status_code, failures.server_message(response, self.redactor)
        if status == requests.codes.unauthorized:
            hint = "set a fresh ZTRUST_MAIL_TOKEN that is valid for this tenant"
            return RealmError(f"{self.title} refuses the token for {quoted(realm)}", hint, "token-refused")
        if status == requests.codes.bad_request and said:
            message = f"{self.title} refuses to {doing} {quoted(realm)} ({status}): {quoted(said, 300)}"
            return RealmError(message, "correct the value it names, then apply again", "server-says")
        return undocumented_response(response, self.title)


def _is_done(response: requests.Response) -> bool:
    body = as_object(response) if response.status_code == requests.codes.ok else None
    return body is not None and body.get("status") == "OK"


def _send_to_tenant(send: Callable[[], requests.Response]) -> requests.Response:
    """Send a request; a host that cannot be reached is the tenant's own error, as each tenant may have its own host."""
    try:
        return send()
    except (failures.ConnectionLost, failures.ResponseTimeout):
        raise  # the request may have arrived
    except ServerUnreachable as e:
        raise RealmError(e.message, e.hint, e.rule) from None
