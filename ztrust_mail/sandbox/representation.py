"""What a realm looks like in the admin API."""

from __future__ import annotations

from ztrust_mail.sandbox import smtp_settings
from ztrust_mail.sandbox.answers import Json
from ztrust_mail.sandbox.quirks import Quirks
from ztrust_mail.sandbox.state import Realm

BRIEF = ("id", "realm", "displayName", "displayNameHtml", "enabled")

# The part of Keycloak's hundred top-level settings that a reader of realms may look at, as a new realm has them.
_DEFAULTS: Json = {
    "notBefore": 0,
    "defaultSignatureAlgorithm": "RS256",
    "accessTokenLifespan": 300,
    "ssoSessionIdleTimeout": 1800,
    "ssoSessionMaxLifespan": 36000,
    "enabled": False,
    "sslRequired": "external",
    "registrationAllowed": False,
    "registrationEmailAsUsername": False,
    "rememberMe": False,
    "verifyEmail": False,
    "loginWithEmailAllowed": True,
    "duplicateEmailsAllowed": False,
    "resetPasswordAllowed": False,
    "editUsernameAllowed": False,
    "bruteForceProtected": False,
    "permanentLockout": False,
    "requiredCredentials": ["password"],
    "eventsEnabled": False,
    "eventsListeners": ["jboss-logging"],
    "adminEventsEnabled": False,
    "adminEventsDetailsEnabled": False,
    "internationalizationEnabled": False,
    "attributes": {},
    "userManagedAccessAllowed": False,
}
_OPTIONAL = ("displayName", "displayNameHtml", "emailTheme", "loginTheme", "defaultLocale", "supportedLocales")
KNOWN = frozenset({"id", "realm", "smtpServer", *_DEFAULTS, *_OPTIONAL})


def full(realm: Realm, quirks: Quirks) -> Json:
    """Return the whole realm; ``smtpServer`` is always there, and ``{}`` when nothing is set."""
    smtp = smtp_settings.shown(realm.smtp, quirks)
    return {"id": realm.id, "realm": realm.name, **_DEFAULTS, **realm.settings, "smtpServer": smtp}


def has_wrong_type(name: str, value: object) -> bool:
    """Whether JSON of another type than the server expects stands under a boolean setting."""
    return isinstance(_DEFAULTS.get(name), bool) and value is not None and not isinstance(value, bool)
