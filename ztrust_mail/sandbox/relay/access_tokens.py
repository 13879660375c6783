"""Fetches the access tokens for logins by token."""

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

TIMEOUT = 10.0
"""Seconds for connecting and for each response, of token endpoints and relays."""


@dataclass
class AccessTokens:
    """Fetches access tokens, and keeps those with a scope until they expire: as Keycloak does, measured on 26.7.4."""

    ca_bundle: str | None = None
    _known: dict[tuple[str, ...], tuple[str, float]] = field(default_factory=dict, repr=False)

    def token(self, settings: Mapping[str, str]) -> str:
        """Return a token for the settings."""
        names = ("authTokenUrl", "authTokenClientId", "authTokenClientSecret", "authTokenScope")
        key = tuple(settings.get(name, "") for name in names)
        token, expires = self._known.get(key, ("", 0.0))
        if time.monotonic() < expires:
            return token
        token, seconds = _fetch_token(settings, tls_context(self.ca_bundle))
        if settings.get("authTokenScope"):
            self._known[key] = token, time.monotonic() + seconds
        return token


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return a context that also trusts the authorities in a file."""
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context


def _fetch_token(settings: Mapping[str, str], context: ssl.SSLContext) -> tuple[str, float]:
    """Return a new token, and for how many seconds it is valid."""
    url = settings.get("authTokenUrl") or ""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("no URL to fetch a token from")
    form = {
        "grant_type": "client_credentials",
        "scope": settings.get("authTokenScope", ""),
        "client_secret": settings.get("authTokenClientSecret", ""),
        "client_id": settings.get("authTokenClientId", ""),
    }
    request = Request(url, urlencode(form).encode(), {"Accept": "application/json"})  # noqa: S310  # checked above
    with urlopen(request, timeout=TIMEOUT, context=context) as answer:  # noqa: S310  # checked above
        fetched = json.load(answer)
    fetched = fetched if isinstance(fetched, dict) else {}
    token, seconds = fetched.get("access_token"), fetched.get("expires_in")
    return token if isinstance(token, str) else "", seconds if isinstance(seconds, int) else 0.0
