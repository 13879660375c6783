"""A request to the API, with the checks that the handlers share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from typing import NoReturn

from ztrust_mail.sandbox.admin_api.tokens import Caller, Tokens
from ztrust_mail.sandbox.answers import JSON_TYPE, Json, Refused, error
from ztrust_mail.sandbox.options import Faults, SandboxOptions
from ztrust_mail.sandbox.quirks import Quirks
from ztrust_mail.sandbox.state import Realm, SandboxState


@dataclass(frozen=True)
class SandboxServer:
    """The parts of the sandbox that handlers use. ``url`` ends with the base path."""

    url: str
    options: SandboxOptions
    quirks: Quirks
    state: SandboxState
    tokens: Tokens
    faults: Faults
    closing: Event


@dataclass(frozen=True)
class Call:
    """One request: its path is still percent-encoded and without the base path, its body is as it came."""

    server: SandboxServer
    method: str
    path: str
    query: Mapping[str, str]
    authorization: str
    content_type: str
    raw_body: bytes

    def caller(self) -> Caller:
        """Return the account of the request. Raises Refused (401) without a valid token."""
        if (caller := self.server.tokens.caller(self.authorization)) is None:
            raise Refused(error(401, "HTTP 401 Unauthorized"))
        return caller

    def realm(self, name: str, caller: Caller) -> Realm:
        """Return an existing realm that the caller may address. Raises Refused (404, 403)."""
        if (realm := self.server.state.realm(name)) is None:
            raise Refused(error(404, "Realm not found."))
        if not caller.may_address(realm):
            self.refuse()
        return realm

    def realm_with_role(self, name: str, *roles: str) -> Realm:
        """Return an existing realm in which the caller has one of the roles. Raises Refused (401, 403, 404)."""
        caller = self.caller()
        realm = self.realm(name, caller)
        self.require(bool(caller.roles_in(realm) & set(roles)))
        return realm

    def require(self, allowed: bool) -> None:
        """Raise Refused (403) unless allowed."""
        if not allowed:
            self.refuse()

    def refuse(self) -> NoReturn:
        """Raise Refused (403)."""
        raise Refused(self.server.quirks.errors.forbidden)

    def body(self, *, numbers_as_text: bool = False) -> Json:
        """Return the JSON object of the body; with ``numbers_as_text``, numbers are their source text.

        Raises Refused for another content type, missing or broken JSON, and for JSON that is not an object.
        """
        body = self._json(numbers_as_text)
        if not isinstance(body, dict):
            raise Refused(self.server.quirks.errors.wrong_json_type)
        return body

    def json_list(self) -> list[Json]:
        """Return the list of JSON objects of the body. Raises Refused as :meth:`body` does."""
        body = self._json(numbers_as_text=False)
        if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
            raise Refused(self.server.quirks.errors.wrong_json_type)
        return body

    def _json(self, numbers_as_text: bool) -> object:
        errors = self.server.quirks.errors
        if self.content_type.partition(";")[0].strip().lower() != JSON_TYPE:
            raise Refused(errors.wrong_content_type)
        if not self.raw_body or self.raw_body == b"null":
            raise Refused(errors.empty_body)
        number = str if numbers_as_text else None
        try:
            parsed: object = json.loads(self.raw_body, parse_int=number, parse_float=number)
        except ValueError:
            raise Refused(errors.broken_json) from None
        return parsed
