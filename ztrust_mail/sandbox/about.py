"""What the server tells of itself and of the caller: serverinfo and whoami."""

from __future__ import annotations

from ztrust_mail.sandbox.access import Caller, is_admin
from ztrust_mail.sandbox.answers import Answer, Json, error
from ztrust_mail.sandbox.calls import Call

_THEMES = {"email": [{"name": "base", "locales": ["en"]}, {"name": "keycloak", "locales": ["en"]}]}


def server_info(call: Call) -> Answer:
    """GET /admin/serverinfo: for administrators; the version only for those of enough rights."""
    caller = call.caller()
    call.require(caller.any_role())
    info: Json = {"profileInfo": {"name": "default"}, "themes": _THEMES}
    version: Json = {"version": call.server.options.version}
    if call.server.quirks.system_info_for_all or is_admin(caller.user, caller.realm):
        info = {"systemInfo": {**version, "uptimeMillis": 0, "javaVersion": "17.0.15"}, **info}
    elif caller.may_manage(caller.realm):
        info = {"systemInfo": version, **info}
    return Answer(200, info)


def who_am_i(call: Call, name: str) -> Answer:
    """GET /admin/{realm}/console/whoami: the caller's roles by realm, on new servers for the console alone."""
    if (realm := call.server.state.realm(name)) is None:
        return error(404, "Realm not found.  Did you type in a bad URL?")
    caller = call.caller()
    if caller.realm is not realm:
        return error(401, "HTTP 401 Unauthorized")
    client_id = caller.client.client_id
    if call.server.quirks.whoami_for_console_only and client_id != "security-admin-console":
        return error(403, f"Token issued for an application that is not the admin console: {client_id}")
    user = caller.user
    return Answer(
        200,
        {
            "userId": user.id,
            "realm": realm.name,
            "displayName": f"{user.first_name} {user.last_name}".strip() or user.username,
            "locale": "en",
            "createRealm": caller.may_create_realms(),
            "realm_access": _roles_by_realm(call, caller),
        },
    )


def _roles_by_realm(call: Call, caller: Caller) -> dict[str, list[str]]:
    realms = [realm for realm in call.server.state if caller.may_address(realm)]
    return {realm.name: sorted(caller.roles_in(realm)) for realm in realms}
