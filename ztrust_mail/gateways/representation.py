"""A realm in the admin API: its path, and what its representation says of e-mail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

import requests

from ztrust_mail.dialects.base import Outgoing
from ztrust_mail.dialects.beside import as_attribute, as_native, is_beside
from ztrust_mail.dialects.keycloak import EMAIL_THEME
from ztrust_mail.errors import RealmError, ServerUnreachable
from ztrust_mail.gateways import http
from ztrust_mail.gateways.base import NEEDS_MAIL, NOT_THE_API, LiveRealm
from ztrust_mail.gateways.http import Json
from ztrust_mail.sensitive import Secret
from ztrust_mail.text import quoted

UNREACHABLE_NAMES = ("", ".", "..")
"""Realm names that a URL cannot hold: the path is normalised before it is sent."""


def as_object(response: requests.Response) -> Mapping[str, Json] | None:
    """Return an answer's JSON object, or None where it is something else."""
    try:
        body = http.parsed(response)
    except ServerUnreachable:
        return None
    return body if isinstance(body, dict) else None


def path_of(realm: str) -> str:
    """Return the path of a realm; raises :class:`RealmError` for a name that a URL cannot hold."""
    return f"admin/realms/{segment_of(realm)}"


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


def by_name(listed: Json) -> dict[str, Mapping[str, Json]]:
    """Return the realms of a list by name; raises :class:`ServerUnreachable` where it is no list."""
    if not isinstance(listed, list):
        raise ServerUnreachable("the realm list is no list", "check the URL", NOT_THE_API)
    found = [realm for realm in listed if isinstance(realm, dict)]
    return {str(realm["realm"]): realm for realm in found if "realm" in realm}


def slim(realm: dict[str, Json]) -> Json:
    """Return a whole realm without what is not looked at: ten thousand of them would take hundreds of megabytes."""
    if not isinstance(realm.get("smtpServer"), dict):  # a part of a realm, or one that is not shown whole
        return realm
    return {name: realm[name] for name in ("realm", "smtpServer", EMAIL_THEME, *NEEDS_MAIL) if name in realm}


def live_realm(name: str, realm: Mapping[str, Json], read_at: float) -> LiveRealm | None:
    """Return a realm's settings, or None for a view without them, which says "may not see"."""
    attributes = realm.get("smtpServer")
    if not isinstance(attributes, dict):
        return None
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    shown = {as_native(key): text for key, text in texts.items() if attributes[key] is not None}
    needs_mail, theme = tuple(switch for switch in NEEDS_MAIL if realm.get(switch) is True), realm.get(EMAIL_THEME)
    return LiveRealm(name, shown, read_at, needs_mail, theme if isinstance(theme, str) else "")


def revealed(attributes: Outgoing) -> dict[str, str]:
    """Return attributes as they go on the wire, without what stands beside them."""
    own = {as_attribute(name): value for name, value in attributes.items() if not is_beside(name)}
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in own.items()}
