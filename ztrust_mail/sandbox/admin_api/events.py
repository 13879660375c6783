"""The admin events of the admin API, as far as they tell who edited a realm: kept where the realm has them on.

Only edits of realms and of their events' settings are kept. The rest a server keeps too: users, clients, roles.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from ztrust_mail.sandbox.admin_api import smtp_settings
from ztrust_mail.sandbox.admin_api.request import Call
from ztrust_mail.sandbox.admin_api.smtp_settings import full
from ztrust_mail.sandbox.admin_api.tokens import Caller
from ztrust_mail.sandbox.answers import Answer, Json, Refused
from ztrust_mail.sandbox.state import Realm, new_id

ENABLED, DETAILS = "adminEventsEnabled", "adminEventsDetailsEnabled"
_CONFIG = ("eventsEnabled", "eventsListeners", ENABLED, DETAILS)
_MAX = 100  # what the server gives where no other number is asked for


def list_admin_events(call: Call, name: str) -> Answer:
    """GET …/admin-events: the newest first, filtered by operationTypes, resourceTypes and dateFrom."""
    realm = _open(call, name, "view-events", "manage-events")
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
    realm = _open(call, name, "view-events", "manage-events")
    whole = full(realm, call.server.quirks)
    return Answer(200, {key: whole[key] for key in _CONFIG})


def update_config(call: Call, name: str) -> Answer:
    """PUT …/events/config: what is sent replaces, what is absent stays; kept as an event where they are on then."""
    realm = _open(call, name, "manage-events")
    body = call.body()
    realm.settings.update({key: value for key, value in body.items() if key in _CONFIG})
    if is_on(realm):
        keep(call, call.caller(), realm, body, "events/config")
    return Answer(204)


def is_on(realm: Realm) -> bool:
    """Whether admin events of the realm are kept."""
    return realm.settings.get(ENABLED) is True


def keep(call: Call, caller: Caller, realm: Realm, body: Json, path: str = "") -> None:
    """Keep an edit, with what was sent where the realm's details are on by now."""
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
        event["representation"] = json.dumps(_masked(call, body), separators=(",", ":"))
    realm.admin_events.append(event)


def _open(call: Call, name: str, *roles: str) -> Realm:
    caller = call.caller()
    realm = call.realm(name, caller)
    call.require(bool(caller.roles_in(realm) & set(roles)))
    return realm


def _masked(call: Call, body: Json) -> Json:
    kept = {key: value for key, value in body.items() if value is not None}
    if "smtpServer" in kept:
        quirks = call.server.quirks
        sent = smtp_settings.as_text(call.body(numbers_as_text=True)["smtpServer"], quirks)
        kept["smtpServer"] = smtp_settings.shown(sent, quirks)
    return kept


def _number(call: Call, name: str, default: int) -> int:
    given = call.query.get(name, "")
    return int(given) if given.isdecimal() else default


def _moment(call: Call, date: str | None) -> int:
    """Return the milliseconds of the epoch at which a date begins; new servers take the number itself too."""
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
