"""Templates of a realm: its e-mail theme and its own localised texts, which are not part of ``smtpServer``.

Measured on 16.1.1 and 26.7.4: a POST of some texts of a locale leaves its other texts as they are, a DELETE of a
missing text is 404, reading needs any role in the realm and writing manage-realm. Neither leaves an admin event.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from urllib.parse import quote

import requests

from ztrust_mail.core.data import Json
from ztrust_mail.core.errors import RealmError
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import EMAIL_THEME, LOCALIZATION
from ztrust_mail.dialects.row import TEMPLATE_PREFIX
from ztrust_mail.gateways.gateway import LiveRealm
from ztrust_mail.gateways.keycloak.client import KeycloakClient
from ztrust_mail.gateways.keycloak.representation import path_of
from ztrust_mail.transport import failures
from ztrust_mail.transport.failures import as_object

_THEME = f"{TEMPLATE_PREFIX}{EMAIL_THEME}"

ErrorOf = Callable[[requests.Response, str, str], RealmError]
"""Returns the error for a response about a realm that we tried to ``read`` or ``write``."""


class Templates:
    """Reads and writes the templates of realms. May be used by several threads."""

    def __init__(self, connection: KeycloakClient, error_of: ErrorOf) -> None:
        self._connection = connection
        self._error_of = error_of

    def read(self, live: LiveRealm, names: Collection[str]) -> LiveRealm:
        """Return a realm with the templates of these names among its attributes; raises :class:`RealmError`."""
        texts = {_THEME: live.theme} if _THEME in names else {}
        wanted = {name: _locale_and_key(name) for name in names if name != _THEME}
        for locale in sorted({locale for locale, _ in wanted.values()}):
            stored = self._texts(live.realm, locale)
            texts |= {name: str(stored.get(key) or "") for name, (of, key) in wanted.items() if of == locale}
        shown = {name: text for name, text in texts.items() if text}
        return replace(live, attributes={**live.attributes, **shown})

    def _texts(self, realm: str, locale: str) -> Mapping[str, Json]:
        response = self._connection.send("GET", _path(realm, locale))
        body = as_object(response) if response.status_code == requests.codes.ok else None
        if body is None:
            raise self._error_of(response, realm, "read")
        return body

    def write(self, realm: str, texts: Mapping[str, str | None]) -> None:
        """Write templates by name, and remove those whose text is None; raises :class:`RealmError`."""
        if _THEME in texts:
            self._send("PUT", path_of(realm), realm, {EMAIL_THEME: texts[_THEME] or ""})
        by_locale: dict[str, dict[str, str | None]] = {}
        for name, text in texts.items():
            if name != _THEME:
                locale, key = _locale_and_key(name)
                by_locale.setdefault(locale, {})[key] = text
        for locale, changed in by_locale.items():
            if new := {key: text for key, text in changed.items() if text is not None}:
                self._send("POST", _path(realm, locale), realm, new)
            for key in (key for key, text in changed.items() if text is None):
                self._send("DELETE", _path(realm, locale, key), realm)

    def _send(self, method: str, path: str, realm: str, body: Mapping[str, str] | None = None) -> None:
        sent = Secret(json.dumps(body)) if body else None
        response = self._connection.send(method, path, sent, harmless=True)
        said = failures.server_message(response, self._connection.redactor)
        is_gone = method == "DELETE" and response.status_code == requests.codes.not_found and said.startswith("Local")
        if not is_gone and not failures.is_done(response):
            raise self._error_of(response, realm, "write")


def _path(realm: str, *parts: str) -> str:
    return "/".join([path_of(realm), LOCALIZATION, *(quote(part, safe="") for part in parts)])


def _locale_and_key(name: str) -> tuple[str, str]:
    locale, _, key = name.removeprefix(f"{TEMPLATE_PREFIX}{LOCALIZATION}/").partition("/")
    return locale, key
