"""Tokens: giving them out, and telling whose they are."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass

from ztrust_mail.sandbox.access import CONSOLE_CLIENTS, Caller, Roles, roles_of
from ztrust_mail.sandbox.answers import Json
from ztrust_mail.sandbox.quirks import Quirks
from ztrust_mail.sandbox.state import Client, Realm, State, User

REFRESH_LIFETIME = 1800.0


@dataclass(frozen=True)
class _Session:
    """What one token stands for; the roles of a full token stay as they were when it was made."""

    user_id: str
    realm: Realm
    client: Client
    scope: str
    expires: float
    roles: Roles | None


class Tokens:
    """The tokens given out. A token is a JWT to look at, and a key to look up: its signature is random."""

    def __init__(self, state: State, quirks: Quirks, lifetime: float) -> None:
        self._state = state
        self._quirks = quirks
        self._lifetime = lifetime
        self._access: dict[str, _Session] = {}
        self._refresh: dict[str, _Session] = {}
        self._key = secrets.token_urlsafe(32)

    def grant(self, url: str, user: User, realm: Realm, client: Client, scope: str, *, refresh: bool) -> Json:
        """Return the token endpoint's answer for this account; ``url`` is the server's own."""
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

    def refreshed(self, url: str, token: str, realm: Realm, client: Client) -> Json | None:
        """Return new tokens for a refresh token, or None when it is not, or no longer, good."""
        session = self._refresh.get(token)
        if session is None or session.realm is not realm or session.client is not client:
            return None
        user = realm.users.get(session.user_id)
        if user is None or not user.enabled or session.expires <= time.time():
            return None
        return self.grant(url, user, realm, client, session.scope, refresh=True)

    def caller(self, authorization: str) -> Caller | None:
        """Return the account behind an Authorization header, or None when the token is none or expired."""
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
        """Let every access token given out so far be expired; refresh tokens stay good."""
        self._access.clear()

    def _ages(self, user: User) -> bool:
        """Whether a full token's own list of roles counts, as it was when the token was made."""
        return self._quirks.full_tokens_age or "admin" not in user.realm_roles

    def _lifetime_in(self, realm: Realm) -> float:
        """Return the seconds a token lives; like the server's, a realm's setting may be negative."""
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
    """Return the claims that say who the account is; without an address there is no ``email``."""
    name = f"{user.first_name} {user.last_name}".strip()
    claims: Json = {"sub": user.id, "email_verified": False, "preferred_username": user.username}
    if name:
        claims["name"] = name
    if user.email:
        claims["email"] = user.email
    return claims
