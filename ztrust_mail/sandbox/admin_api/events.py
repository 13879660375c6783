"""Admin events of realms that have them switched on.

Only edits of realms and of their event settings are recorded; a real server also records users, clients and roles.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from ztrust_mail.sandbox.admin_api import smtp_settings
from ztrust_mail.sandbox.admin_api.request import Call
from ztrust_mail.sandbox.admin_api.smtp_settings import SMTP_SERVER, full
from ztrust_mail.sandbox.admin_api.tokens import Caller
from ztrust_mail.sandbox.answers import Answer, Json, Refused
from ztrust_mail.sandbox.state import Realm, new_id

ENABLED, DETAILS = "adminEventsEnabled", "adminEventsDetailsEnabled"
_CONFIG = ("eventsEnabled", "eventsListeners", ENABLED, DETAILS)
_MAX = 100  # the server's default


def list_admin_events(call: Call, name: str) -> Answer:
    """GET …/admin-events: the newest first, filtered by operationTypes, resourceTypes and dateFrom."""
    realm = call.realm_with_role(name, "view-events", "manage-events")
    since = _moment(call, call.query.get("dateFrom"))
    wanted = {
        key: call.query[name]
        for key, name in (("operationType", "operationTypes"), ("resourceType", "resourceTypes"))
        if name in call.query
    }
    found = [
        event
        for event in reversed(realm.admin_events)
        if int(str(event["time"])) >= since and all(event[key] == value for key, value in wanted.items())
    ]
    first = _number(call, "first", 0)
    return Answer(200, found[first : first + _number(call, "max", _MAX)])


def get_config(call: Call, name: str) -> Answer:
    """GET …/events/config."""
    realm = call.realm_with_role(name, "view-events", "manage-events")
    whole = full(realm, call.server.quirks)
    return Answer(200, {key: whole[key] for key in _CONFIG})


def update_config(call: Call, name: str) -> Answer:
    """PUT …/events/config: what is sent replaces, what is absent stays; recorded if events are on afterwards."""
    realm = call.realm_with_role(name, "manage-events")
    body = call.body()
    realm.settings.update({key: value for key, value in body.items() if key in _CONFIG})
    if is_on(realm):
        record(call, call.caller(), realm, body, "events/config")
    return Answer(204)


def is_on(realm: Realm) -> bool:
    """Return whether the realm records admin events."""
    return realm.settings.get(ENABLED) is True


def record(call: Call, caller: Caller, realm: Realm, body: Json, path: str = "") -> None:
    """Record an edit, with the body if the realm records details."""
    who: Json = {
        "realmId": caller.realm.id,
        "clientId": caller.client.id,
        "userId": caller.user.id,
        "ipAddress": "127.0.0.1",
    }
    event: Json = {"time": time.time_ns() // 1_000_000, "realmId": realm.id, "authDetails": who}
    event |= {"operationType": "UPDATE", "resourceType": "REALM"}
    if call.server.quirks.new_events:
        event = {"id": new_id(), **event}
    if path:
        event["resourcePath"] = path
    if realm.settings.get(DETAILS) is True:
        event["representation"] = json.dumps(_mask_secrets(call, body), separators=(",", ":"))
    realm.admin_events.append(event)


def _mask_secrets(call: Call, body: Json) -> Json:
    sent = {key: value for key, value in body.items() if value is not None}
    if SMTP_SERVER in sent:
        quirks = call.server.quirks
        settings = smtp_settings.as_text(call.body(numbers_as_text=True)[SMTP_SERVER], quirks)
        sent[SMTP_SERVER] = smtp_settings.mask_secrets(settings, quirks)
    return sent


def _number(call: Call, name: str, default: int) -> int:
    given = call.query.get(name, "")
    return int(given) if given.isdecimal() else default


def _moment(call: Call, date: str | None) -> int:
    """Return the milliseconds of the epoch at which a date begins; new servers also accept that number."""
    if date is None:
        return 0
    quirks = call.server.quirks
    if quirks.new_events and date.isdecimal():
        return int(date)
    try:
        day = datetime.strptime(date, "%Y-%m-%d")
    except ValueError:
        raise Refused(quirks.errors.bad_date) from None
    return int(day.replace(tzinfo=UTC).timestamp() * 1000)
