"""What the admin API says of realms, workflows and the server itself, as types that all gateways share."""

import json
from collections.abc import Mapping

from ztrust_mail.core.data import Json
from ztrust_mail.core.errors import NOT_THE_API, ServerUnreachable
from ztrust_mail.dialects.products.keycloak import EMAIL_THEME, SMTP_SERVER
from ztrust_mail.dialects.row import as_native, parse_version
from ztrust_mail.gateways.gateway import NEEDS_MAIL, LiveRealm, ServerInfo
from ztrust_mail.transport.channel import segment_of

WORKFLOWS_QUERY = "workflows?max=1000"
"""The path of a realm's workflows, which are new in 26.4 and may be turned off.

Measured on 26.7.4: the list is YAML unless the request asks for JSON, and has ten workflows unless it asks for more; it
is for the role realm-admin of the realm and for administrators of the server.
"""

_MAIL_STEPS = ("notify-user", "invite-user")
"""The steps that send mail: the second one is new in 26.8."""


def path_of(realm: str) -> str:
    """Return the path of a realm; raises :class:`RealmError` if its name cannot be part of a URL."""
    return f"admin/realms/{segment_of(realm)}"


def realms_by_name(listed: Json) -> dict[str, Mapping[str, Json]]:
    """Return the realms of a list by name; raises :class:`ServerUnreachable` if it is not a list."""
    if not isinstance(listed, list):
        raise ServerUnreachable("the server's list of realms is not a JSON list", "check the URL", NOT_THE_API)
    found = [realm for realm in listed if isinstance(realm, dict)]
    return {str(realm["realm"]): realm for realm in found if "realm" in realm}


def drop_unused_keys(realm: dict[str, Json]) -> Json:
    """Return a realm with the keys that we read: ten thousand whole realms would take hundreds of megabytes."""
    if not isinstance(realm.get(SMTP_SERVER), dict):  # a part of a realm, or a realm that is not shown whole
        return realm
    return {name: realm[name] for name in ("realm", SMTP_SERVER, EMAIL_THEME, *NEEDS_MAIL) if name in realm}


def live_realm(name: str, realm: Mapping[str, Json], read_at: float) -> LiveRealm | None:
    """Return a realm's settings, or None if it is shown without them, because the account may not see them."""
    attributes = realm.get(SMTP_SERVER)
    if not isinstance(attributes, dict):
        return None
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    shown = {as_native(key): text for key, text in texts.items() if attributes[key] is not None}
    needs_mail, theme = tuple(switch for switch in NEEDS_MAIL if realm.get(switch) is True), realm.get(EMAIL_THEME)
    return LiveRealm(name, shown, read_at, needs_mail, theme if isinstance(theme, str) else "")


def parse_server_info(info: Json) -> ServerInfo:
    """Return the version, the e-mail themes and the e-mail sender providers; an account without rights sees no more."""
    if not isinstance(info, dict):
        return ServerInfo()
    version = parse_version(str(_inside(info, "systemInfo").get("version", "")))
    themes, senders = _inside(info, "themes").get("email"), None
    sender_spi = _inside(info, "providers").get("emailSender")
    if isinstance(sender_spi, dict):
        senders = tuple(sorted(_inside(sender_spi, "providers")))
    named = (one.get("name") for one in themes if isinstance(one, dict)) if isinstance(themes, list) else ()
    known = frozenset(name for name in named if isinstance(name, str))
    return ServerInfo(version, known or None, senders)


def _inside(data: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def mail_workflows_in(listed: Json) -> tuple[str, ...]:
    """Return the names of the workflows in a list that are on and have a step that sends mail."""
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return tuple(str(one.get("name", "")) for one in found if one.get("enabled") is not False and _sends_mail(one))


def _sends_mail(workflow: Mapping[str, Json]) -> bool:
    steps = workflow.get("steps")
    return isinstance(steps, list) and any(isinstance(one, dict) and one.get("uses") in _MAIL_STEPS for one in steps)
