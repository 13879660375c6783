"""The realms of the admin API, with the test call, their admin events, own texts and workflows.

Of admin events, only edits of realms and of their event settings are recorded; a real server also records users,
clients and roles. No workflow ever runs.
"""

import json
import time
from datetime import UTC, datetime
from urllib.parse import quote

from ztrust_mail.sandbox.admin_api import smtp_settings
from ztrust_mail.sandbox.admin_api.request import Call, Caller, is_admin
from ztrust_mail.sandbox.admin_api.smtp_settings import BRIEF, KNOWN, SMTP_SERVER, full, has_wrong_type
from ztrust_mail.sandbox.quirks import JSON_TYPE, Answer, Json, Refused, error, error_message
from ztrust_mail.sandbox.relay.sender import SendFailed, compose_test_mail, send_test_mail
from ztrust_mail.sandbox.state import Realm, new_id

_FORBIDDEN_IN_NAMES = frozenset("/?;#&")
_EVENTS, _DETAILS = "adminEventsEnabled", "adminEventsDetailsEnabled"
_EVENTS_CONFIG = ("eventsEnabled", "eventsListeners", _EVENTS, _DETAILS)
_MAX_EVENTS = 100  # the server's default
_WORKFLOWS = "10"  # the server's default
_TEXT_TYPE = "text/plain"
_NO_TEXT = error(404, "Localization text not found")


def list_realms(call: Call) -> Answer:
    """GET /admin/realms: all realms the caller may see, whole if permitted, otherwise by name alone."""
    caller = call.caller()
    faults = call.server.faults
    _read_slowly(call)
    with call.server.state.lock:
        shown = [_list_entry(call, caller, realm) for realm in call.server.state]
    entries = [entry for entry in shown if entry]
    if not entries or faults.list_forbidden:
        call.refuse()
    if faults.list_breaks_after is not None:
        return _list_without_end(entries[: faults.list_breaks_after])
    return Answer(200, entries)


def get_realm(call: Call, name: str) -> Answer:
    """GET /admin/realms/{realm}: the realm, or the part of it that the caller may see."""
    caller = call.caller()
    _read_slowly(call)
    with call.server.state.lock:
        realm = call.realm(name, caller)
        _fail_if_faulty(call, name)
        if caller.may_view(realm):
            return Answer(200, full(realm, call.server.quirks))
        call.require(caller.may_see_name(realm, call.server.quirks))
        return Answer(200, _partial_view(call, caller, realm))


def create_realm(call: Call) -> Answer:
    """POST /admin/realms: a new realm, disabled unless the body enables it."""
    caller = call.caller()
    body = call.body()
    quirks = call.server.quirks
    call.require(caller.may_create_realms())
    _check(call, body)
    name = body.get("realm")
    if not isinstance(name, str) or not name:
        raise Refused(quirks.errors.no_realm_name)
    _check_name(name)
    if call.server.state.realm(name) is not None:
        raise Refused(quirks.errors.realm_exists(name))
    smtp = smtp_settings.settings_after_write(_smtp_of_body(call) or {}, {}, quirks, creating=True)
    call.server.state.add_realm(name, _top_level(body), smtp)
    return Answer(201, headers={"Location": f"{call.server.url}/admin/realms/{quote(name, safe='')}"})


def update_realm(call: Call, name: str) -> Answer:
    """PUT /admin/realms/{realm}: what is sent replaces, what is absent stays; smtpServer is replaced whole."""
    caller = call.caller()
    call.realm(name, caller)
    if call.server.faults.before_write is not None:
        call.server.faults.before_write(name)
    with call.server.state.lock:
        realm = call.realm(name, caller)
        call.require(caller.may_manage(realm))
        body = call.body()
        _fail_if_faulty(call, name)
        _check(call, body)
        new = _smtp_of_body(call)
        smtp = realm.smtp if new is None else smtp_settings.settings_after_write(new, realm.smtp, call.server.quirks)
        _rename(call, realm, body.get("realm"))
        is_recorded = _records_events(realm)
        realm.smtp = smtp
        realm.settings.update(_top_level(body))
        if is_recorded:
            _record(call, caller, realm, body)
    return Answer(204)


def delete_realm(call: Call, name: str) -> Answer:
    """DELETE /admin/realms/{realm}."""
    caller = call.caller()
    realm = call.realm(name, caller)
    call.require(caller.may_manage(realm))
    call.server.state.remove_realm(realm)
    return Answer(204)


def test_connection(call: Call, name: str) -> Answer:
    """POST …/testSMTPConnection: send a mail to the caller with the settings of the body, stored or not."""
    caller = call.caller()
    quirks = call.server.quirks
    with call.server.state.lock:
        realm = call.realm(name, caller)
        call.require(caller.may_manage(realm) or not quirks.test_needs_role)
        payload = smtp_settings.as_text(call.body(numbers_as_text=True), quirks)
        settings = smtp_settings.settings_for_test(payload, realm.smtp, quirks)
        content = compose_test_mail(realm, quirks)
        if content is not None:
            call.server.state.test_mails[content.message_id] = name
    if not caller.user.email:
        raise Refused(quirks.errors.no_address)
    try:
        send_test_mail(settings, caller.user.email, content, quirks, call.server.mail_tokens)
    except SendFailed:
        return error_message(500, "Failed to send email")
    return Answer(204)


def _read_slowly(call: Call) -> None:
    if call.server.faults.slow_reads:
        call.server.closing.wait(call.server.faults.slow_reads)


def _fail_if_faulty(call: Call, name: str) -> None:
    if name in call.server.faults.failing_realms:
        raise Refused(error(500, "unknown_error"))


def _list_entry(call: Call, caller: Caller, realm: Realm) -> Json | None:
    if not caller.may_address(realm):
        return None
    if caller.may_view(realm):
        whole = full(realm, call.server.quirks)
        brief = call.query.get("briefRepresentation") == "true"
        return {k: v for k, v in whole.items() if k in BRIEF} if brief else whole
    return {"realm": realm.name} if caller.roles_in(realm) else None


def _list_without_end(entries: list[Json]) -> Answer:
    """Return what a rolled-back transaction sends: status 200, a list without its end, followed by an error."""
    begun = json.dumps(entries, ensure_ascii=False)[:-1]
    return Answer(200, begun + ',{"id":"' + json.dumps({"error": "unknown_error"}), JSON_TYPE)


def _partial_view(call: Call, caller: Caller, realm: Realm) -> Json:
    view: Json = {"realm": realm.name}
    if not call.server.quirks.truncated_flags:
        return view
    view |= {k: realm.settings[k] for k in ("displayName", "displayNameHtml") if k in realm.settings}
    if "view-users" in caller.roles_in(realm):
        view["registrationEmailAsUsername"] = False
    return view | {"bruteForceProtected": False, "supportedLocales": [], "organizationsEnabled": False}


def _smtp_of_body(call: Call) -> dict[str, str] | None:
    sent = call.body(numbers_as_text=True).get(SMTP_SERVER)
    return None if sent is None else smtp_settings.as_text(sent, call.server.quirks)


def _check(call: Call, body: Json) -> None:
    errors = call.server.quirks.errors
    for name, value in body.items():
        if name not in KNOWN:
            raise Refused(errors.unknown_field(name))
        if has_wrong_type(name, value):
            raise Refused(errors.wrong_json_type)


def _check_name(name: str) -> None:
    for character in name:
        if character in _FORBIDDEN_IN_NAMES:
            raise Refused(error(400, f"Character '{character}' not allowed."))


def _rename(call: Call, realm: Realm, name: object) -> None:
    if not isinstance(name, str) or name == realm.name:
        return
    _check_name(name)
    if call.server.state.realm(name) is not None:
        raise Refused(error_message(409, "Realm with same name exists"))
    call.server.state.rename_realm(realm, name)


def _top_level(body: Json) -> Json:
    return {k: v for k, v in body.items() if v is not None and k not in ("realm", "id", SMTP_SERVER)}


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
    return Answer(200, found[first : first + _number(call, "max", _MAX_EVENTS)])


def get_events_config(call: Call, name: str) -> Answer:
    """GET …/events/config."""
    realm = call.realm_with_role(name, "view-events", "manage-events")
    whole = full(realm, call.server.quirks)
    return Answer(200, {key: whole[key] for key in _EVENTS_CONFIG})


def update_events_config(call: Call, name: str) -> Answer:
    """PUT …/events/config: what is sent replaces, what is absent stays; recorded if events are on afterwards."""
    realm = call.realm_with_role(name, "manage-events")
    body = call.body()
    realm.settings.update({key: value for key, value in body.items() if key in _EVENTS_CONFIG})
    if _records_events(realm):
        _record(call, call.caller(), realm, body, "events/config")
    return Answer(204)


def _records_events(realm: Realm) -> bool:
    """Return whether the realm records admin events."""
    return realm.settings.get(_EVENTS) is True


def _record(call: Call, caller: Caller, realm: Realm, body: Json, path: str = "") -> None:
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
    if realm.settings.get(_DETAILS) is True:
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


def list_locales(call: Call, name: str) -> Answer:
    """GET …/localization: the locales that ever had texts."""
    return Answer(200, sorted(_readable_realm(call, name).texts))


def get_texts(call: Call, name: str, locale: str) -> Answer:
    """GET …/localization/{locale}: the realm's own texts, none for an unknown locale."""
    return Answer(200, _readable_realm(call, name).texts.get(locale, {}))


def get_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """GET …/localization/{locale}/{key}."""
    text = _readable_realm(call, name).texts.get(locale, {}).get(key)
    return _NO_TEXT if text is None else Answer(200, text, f"{_TEXT_TYPE};charset=UTF-8")


def add_texts(call: Call, name: str, locale: str) -> Answer:
    """POST …/localization/{locale}: set some texts and leave the others unchanged."""
    realm = call.realm_with_role(name, "manage-realm")
    realm.texts.setdefault(locale, {}).update({key: str(text) for key, text in call.body().items()})
    return Answer(204)


def put_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """PUT …/localization/{locale}/{key}: the body is the text."""
    realm = call.realm_with_role(name, "manage-realm")
    if call.content_type.partition(";")[0].strip().lower() != _TEXT_TYPE:
        raise Refused(call.server.quirks.errors.wrong_content_type)
    realm.texts.setdefault(locale, {})[key] = call.raw_body.decode(errors="replace")
    return Answer(204)


def delete_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """DELETE …/localization/{locale}/{key}: the locale stays, even without texts."""
    realm = call.realm_with_role(name, "manage-realm")
    return _NO_TEXT if realm.texts.get(locale, {}).pop(key, None) is None else Answer(204)


def _readable_realm(call: Call, name: str) -> Realm:
    caller = call.caller()
    realm = call.realm(name, caller)
    call.require(bool(caller.roles_in(realm)))
    return realm


def list_workflows(call: Call, name: str) -> Answer:
    """GET …/workflows: the first ones by name; as YAML unless JSON is asked for."""
    realm = _realm_with_workflows(call, name)
    listed = sorted(realm.workflows, key=lambda one: str(one.get("name")))[: int(call.query.get("max", _WORKFLOWS))]
    if JSON_TYPE in call.accept:
        return Answer(200, listed)
    return Answer(200, f"---\n{json.dumps(listed)}\n", "application/yaml;charset=UTF-8")


def create_workflow(call: Call, name: str) -> Answer:
    """POST …/workflows."""
    realm = _realm_with_workflows(call, name)
    body: Json = {"id": new_id(), **call.body()}
    realm.workflows.append({key: value for key, value in body.items() if (key, value) != ("enabled", True)})
    return Answer(201)


def _realm_with_workflows(call: Call, name: str) -> Realm:
    caller = call.caller()
    realm = call.realm(name, caller)
    if not call.server.quirks.workflows:
        raise Refused(error(404, "HTTP 404 Not Found"))
    call.require(is_admin(caller.user, caller.realm) or "realm-admin" in caller.roles_in(realm))
    return realm
