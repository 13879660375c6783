"""The realms of the admin API: list, read, create, update, delete, and the test call."""

from __future__ import annotations

import json
from urllib.parse import quote

from ztrust_mail.sandbox.admin_api import events, smtp_settings
from ztrust_mail.sandbox.admin_api.localization import compose_test_mail
from ztrust_mail.sandbox.admin_api.request import Call
from ztrust_mail.sandbox.admin_api.smtp_settings import BRIEF, KNOWN, SMTP_SERVER, full, has_wrong_type
from ztrust_mail.sandbox.admin_api.tokens import Caller
from ztrust_mail.sandbox.answers import JSON_TYPE, Answer, Json, Refused, error, error_message
from ztrust_mail.sandbox.relay.sender import SendFailed, send_test_mail
from ztrust_mail.sandbox.state import Realm

_FORBIDDEN_IN_NAMES = frozenset("/?;#&")


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
        is_recorded = events.is_on(realm)
        realm.smtp = smtp
        realm.settings.update(_top_level(body))
        if is_recorded:
            events.record(call, caller, realm, body)
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
    if not caller.user.email:
        raise Refused(quirks.errors.no_address)
    try:
        send_test_mail(settings, caller.user.email, content, quirks, call.server.options.ca_bundle)
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
