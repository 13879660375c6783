"""A request to the API with the checks that the handlers share, its account, and the tokens of accounts."""

import base64
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from threading import Event
from typing import NoReturn

from ztrust_mail.sandbox.quirks import JSON_TYPE, Json, Quirks, Refused, error
from ztrust_mail.sandbox.relay.sender import AccessTokens
from ztrust_mail.sandbox.state import (
    ADMIN_ROLES,
    MASTER,
    OWN_ADMIN_CLIENT,
    Client,
    Faults,
    Realm,
    SandboxOptions,
    SandboxState,
    User,
)

# Tokens of these two contain no roles; the server looks them up for every request.
CONSOLE_CLIENTS = ("admin-cli", "security-admin-console")
_TO_VIEW = frozenset({"view-realm", "manage-realm"})
_ALL: frozenset[str] = frozenset(ADMIN_ROLES)
_NONE: frozenset[str] = frozenset()

Roles = Mapping[str, Set[str]]


def is_admin(user: User, realm: Realm) -> bool:
    """Return whether the user of that realm administers the whole server, with all roles of all realms."""
    return realm.name == MASTER and "admin" in user.realm_roles


def roles_of(user: User, realm: Realm, realms: Iterable[Realm]) -> Roles:
    """Return the user's present roles by client; a server administrator has those of every realm."""
    roles: dict[str, Set[str]] = {client: frozenset(names) for client, names in user.roles.items()}
    if is_admin(user, realm):
        roles |= {f"{each.name}-realm": _ALL for each in realms}
    return roles


@dataclass(frozen=True)
class Caller:
    """The account of a request. ``roles`` are those in a full token if they count, None stands for the present ones."""

    user: User
    realm: Realm
    client: Client
    roles: Roles | None
    lightweight: bool
    openid: bool

    def roles_in(self, realm: Realm) -> Set[str]:
        """Return the caller's admin roles for a realm: from the realm itself, or from master's client for it."""
        if self.realm.name != MASTER:
            return self._roles_by_client.get(OWN_ADMIN_CLIENT, _NONE) if realm is self.realm else _NONE
        return _ALL if self._has_all else self._roles_by_client.get(f"{realm.name}-realm", _NONE)

    def may_address(self, realm: Realm) -> bool:
        """Return whether the account may address that realm: its own realm, or any realm if it is in master."""
        return self.realm.name == MASTER or self.realm is realm

    def may_view(self, realm: Realm) -> bool:
        """Return whether the account may see the whole realm."""
        return bool(self.roles_in(realm) & _TO_VIEW)

    def may_manage(self, realm: Realm) -> bool:
        """Return whether the account may change the realm."""
        return "manage-realm" in self.roles_in(realm)

    def may_see_name(self, realm: Realm, quirks: Quirks) -> bool:
        """Return whether the account may see at least a part of the realm."""
        if self.realm.name == MASTER and quirks.master_sees_names:
            own = (names for client, names in self._roles_by_client.items() if client.endswith("-realm"))
            return self._has_all or any(own)
        return bool(self.roles_in(realm))

    def may_create_realms(self) -> bool:
        """Return whether the account may create realms."""
        return self.realm.name == MASTER and bool(self.user.realm_roles & {"admin", "create-realm"})

    def any_role(self) -> bool:
        """Return whether the account has any admin role."""
        return self._has_all or any(self._roles_by_client.values())

    @property
    def _roles_by_client(self) -> Roles:
        return self.user.roles if self.roles is None else self.roles

    @property
    def _has_all(self) -> bool:
        # Not listed by realm: there may be thousands, and every request checks this.
        return self.roles is None and is_admin(self.user, self.realm)


REFRESH_LIFETIME = 1800.0


@dataclass(frozen=True)
class _Session:
    """The session of one token; a full token keeps the roles that it was issued with."""

    user_id: str
    realm: Realm
    client: Client
    scope: str
    expires: float
    roles: Roles | None


class Tokens:
    """The issued tokens. A token is a readable JWT, and the key of its session: its signature is random."""

    def __init__(self, state: SandboxState, quirks: Quirks, lifetime: float) -> None:
        self._state = state
        self._quirks = quirks
        self._lifetime = lifetime
        self._access: dict[str, _Session] = {}
        self._refresh: dict[str, _Session] = {}
        self._key = secrets.token_urlsafe(32)

    def grant(self, url: str, user: User, realm: Realm, client: Client, scope: str, *, refresh: bool) -> Json:
        """Return the token endpoint's answer for this account; ``url`` is the server's URL."""
        now = time.time()
        lifetime = self._lifetime_in(realm)
        scope = " ".join(["openid"] * ("openid" in scope.split()) + ["profile", "email"])
        roles = None if client.client_id in CONSOLE_CLIENTS else roles_of(user, realm, self._state)
        session = _Session(user.id, realm, client, scope, now + lifetime, roles)
        about = self._about(url, realm, client, now, session.expires) | {"typ": "Bearer", "scope": scope}
        access = self._jwt(about | self._claims(user, realm, client, roles))
        self._access[access] = session
        answer: Json = {
            "access_token": access,
            "expires_in": int(lifetime),
            "refresh_expires_in": int(REFRESH_LIFETIME) if refresh else 0,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "scope": scope,
        }
        if refresh:
            ends = now + REFRESH_LIFETIME
            token = self._jwt(self._about(url, realm, client, now, ends) | {"typ": "Refresh", "scope": scope})
            self._refresh[token] = _Session(user.id, realm, client, scope, ends, None)
            answer["refresh_token"] = token
            answer["session_state"] = secrets.token_urlsafe(18)
        if "openid" in scope.split():
            identity = self._about(url, realm, client, now, session.expires) | {"typ": "ID", "aud": client.client_id}
            answer["id_token"] = self._jwt(identity | profile(user))
        return answer

    def refresh(self, url: str, token: str, realm: Realm, client: Client) -> Json | None:
        """Return new tokens for a refresh token, or None if it is invalid or has expired."""
        session = self._refresh.get(token)
        if session is None or session.realm is not realm or session.client is not client:
            return None
        user = realm.users.get(session.user_id)
        if user is None or not user.enabled or session.expires <= time.time():
            return None
        return self.grant(url, user, realm, client, session.scope, refresh=True)

    def caller(self, authorization: str) -> Caller | None:
        """Return the account of an Authorization header, or None if the token is invalid or has expired."""
        kind, _, token = authorization.partition(" ")
        session = self._access.get(token.strip())
        if kind.lower() != "bearer" or session is None or session.expires <= time.time():
            return None
        user = session.realm.users.get(session.user_id)
        if user is None or self._state.realm(session.realm.name) is not session.realm:
            return None
        roles = session.roles if self._ages(user) else None
        light = self._is_light(session.client)
        return Caller(user, session.realm, session.client, roles, light, "openid" in session.scope.split())

    def expire_all(self) -> None:
        """Expire all access tokens issued so far; refresh tokens stay valid."""
        self._access.clear()

    def _ages(self, user: User) -> bool:
        """Return whether the roles in the user's full tokens count, instead of the present ones."""
        return self._quirks.full_tokens_age or "admin" not in user.realm_roles

    def _lifetime_in(self, realm: Realm) -> float:
        """Return the lifetime of a token in seconds; a realm's setting may be negative, as on the server."""
        own = realm.settings.get("accessTokenLifespan")
        return float(own) if isinstance(own, int) else self._lifetime

    def _is_light(self, client: Client) -> bool:
        light = client.lightweight or client.client_id in CONSOLE_CLIENTS
        return light and self._quirks.light_admin_tokens

    def _claims(self, user: User, realm: Realm, client: Client, roles: Roles | None) -> Json:
        if self._is_light(client):
            return {} if client.service_account is None else {"sub": user.id}
        claims = {"acr": "1", **profile(user)}
        if roles is None:
            return claims
        own = {f"default-roles-{realm.name}", "offline_access", "uma_authorization", *user.realm_roles}
        resources = {name: {"roles": sorted(names)} for name, names in roles.items()}
        claims["realm_access"] = {"roles": sorted(own)}
        claims["resource_access"] = resources | {"account": {"roles": ["manage-account", "view-profile"]}}
        claims["aud"] = [*resources, "account"]
        return claims

    def _about(self, url: str, realm: Realm, client: Client, now: float, ends: float) -> Json:
        issuer = f"{url}/realms/{realm.name}"
        return {"exp": int(ends), "iat": int(now), "jti": secrets.token_hex(16), "iss": issuer, "azp": client.client_id}

    def _jwt(self, claims: Json) -> str:
        header = {"alg": "RS256", "typ": "JWT", "kid": self._key}
        parts = [json.dumps(part).encode() for part in (header, claims)] + [secrets.token_bytes(64)]
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def profile(user: User) -> Json:
    """Return the claims that describe the account; without an address there is no ``email``."""
    name = f"{user.first_name} {user.last_name}".strip()
    claims: Json = {"sub": user.id, "email_verified": False, "preferred_username": user.username}
    if name:
        claims["name"] = name
    if user.email:
        claims["email"] = user.email
    return claims


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
    mail_tokens: AccessTokens


@dataclass(frozen=True)
class Call:
    """One request: its path is still percent-encoded and without the base path, its body is as it came."""

    server: SandboxServer
    method: str
    path: str
    query: Mapping[str, str]
    authorization: str
    content_type: str
    accept: str
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
