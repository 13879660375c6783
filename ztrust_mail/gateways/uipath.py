"""UiPath's Identity Server: an organisation's mail settings, read and written key by key.

From the vendor's API guide, docs.uipath.com, "Get Settings" (GET; ``key``, repeated, and ``partitionGlobalId``;
scopes PM.Setting, PM.Setting.Read) and "Update Settings" (PUT; ``settings`` as keys and values, and
``partitionGlobalId``; scopes PM.Setting, PM.Setting.Write; it changes the keys in the request and no others). The
server requires host, port and sender in one request, and masks the password (guide of ``uip admin smtp``).
"""

import json
import math
import time
from collections.abc import Collection
from urllib.parse import urlsplit

import requests

from ztrust_mail.core.data import Json
from ztrust_mail.core.errors import (
    RealmError,
    RealmMissing,
    RealmUnreadable,
    ServerRefused,
    ServerUnreachable,
    UsageError,
)
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, Outgoing
from ztrust_mail.gateways.gateway import Capabilities, LiveRealm, Reading, read_each, wire_body
from ztrust_mail.gateways.token_gateway import TokenGateway, undocumented_response
from ztrust_mail.settings import Server
from ztrust_mail.transport import failures
from ztrust_mail.transport.throttle import on_interruption

_BASES = ("/identity", "/identity_")
"""The ends of URLs that name the Identity Server itself: the second in Automation Suite and Cloud."""


class UiPathGateway(TokenGateway):
    """An Identity Server; a realm is an organisation, named by its id, the ``partitionGlobalId`` of the API."""

    capabilities = Capabilities(read=True, write=True, test=False, list_realms=False, clear=False)

    def __init__(self, server: Server, dialect: Dialect) -> None:
        super().__init__(server, dialect)
        base = server.url if server.url.endswith(_BASES) else f"{server.url}{_BASES[0]}"
        self._host, self._address = urlsplit(server.url).netloc, f"{base}/api/Setting"

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        interruptible = on_interruption(self.stop_waiting)
        return Reading(read_each(wanted, self.read_one, self.connections, interruptible), complete=False)

    def read_one(self, realm: str) -> LiveRealm:
        keys = [("key", name) for name in self.dialect.attribute_names]
        sent = time.monotonic()
        response = self._send("GET", self._address, query=[("partitionGlobalId", realm), *keys])
        if response.status_code != requests.codes.ok:
            raise self._error_of(response, realm, "read")
        return LiveRealm(realm, self.dialect.mask_secrets(self._rows(response)), sent)

    def _rows(self, response: requests.Response) -> Attributes:
        """Return the organisation's own values, without the rows that have a user's id."""
        try:
            rows = failures.parse_json(response)
        except ServerUnreachable:
            rows = None
        if not isinstance(rows, list):
            raise undocumented_response(response, self.title)
        own = [row for row in rows if isinstance(row, dict) and not row.get("userId")]
        texts = {key: row.get("value") for row in own if isinstance(key := row.get("key"), str)}
        known = self.dialect.attribute_names
        return {key: text for key, text in texts.items() if key in known and isinstance(text, str) and text}

    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        """Set every key of the table, unset ones to the empty text; a masked secret is left unchanged."""
        self.redactor.add(attributes.values())
        texts = dict.fromkeys(self.dialect.attribute_names, "") | wire_body(attributes)
        settings: list[Json] = [{"key": key, "value": text} for key, text in texts.items() if text != self.dialect.mask]
        body = Secret(json.dumps({"settings": settings, "partitionGlobalId": realm}))
        response = self._send("PUT", self._address, body, before=before)
        if not failures.is_done(response):
            raise self._error_of(response, realm, "write")

    def test(self, realm: str, attributes: Outgoing) -> None:
        raise UsageError(f"{self.title} has no documented test call", "plan compares what it has stored", "not-served")

    def _error_of(self, response: requests.Response, realm: str, doing: str) -> RealmError:
        status, said = response.status_code, failures.server_message(response, self.redactor)
        if status == requests.codes.unauthorized:
            raise ServerRefused(f"{self._host} refuses the token", "set a fresh ZTRUST_MAIL_TOKEN", "token-refused")
        if status == requests.codes.forbidden:
            kind, scope = (RealmUnreadable, "Read") if doing == "read" else (RealmError, "Write")
            hint = f"give its application the scopes PM.Setting and PM.Setting.{scope} in this organisation"
            return kind(f"this token may not {doing} the settings of {quoted(realm)}", hint, "no-rights")
        if status == requests.codes.not_found and said:
            message = f"there is no organisation {quoted(realm)} on {self._host}: {quoted(said, 300)}"
            return RealmMissing(message, "name the entry by the organisation's id, its partitionGlobalId", "no-realm")
        if status == requests.codes.bad_request and said:
            message = f"{self.title} refuses to {doing} {quoted(realm)} ({status}): {quoted(said, 300)}"
            return RealmError(message, "correct the value it names, then apply again", "server-says")
        return undocumented_response(response, self.title)
