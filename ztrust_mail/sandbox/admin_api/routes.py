"""Which path leads to which handler."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from ztrust_mail.sandbox.admin_api import events, localization, login, realms, users
from ztrust_mail.sandbox.admin_api.request import Call
from ztrust_mail.sandbox.answers import Answer, Refused, error
from ztrust_mail.sandbox.options import Busy

Handler = Callable[..., Answer]

_OIDC = "realms/*/protocol/openid-connect"
_USER = "admin/realms/*/users/*"
_CLIENT = "admin/realms/*/clients/*"
_LOCALIZATION = "admin/realms/*/localization"
# A star is one segment, given to the handler. Paths that overlap stand with the more exact one first.
_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "realms/*", login.public_realm),
    ("GET", "realms/*/account", login.account),
    ("POST", f"{_OIDC}/token", login.token),
    ("GET", f"{_OIDC}/userinfo", login.userinfo),
    ("GET", "admin/serverinfo", login.server_info),
    ("GET", "admin/*/console/whoami", login.who_am_i),
    ("GET", "admin/realms", realms.list_realms),
    ("POST", "admin/realms", realms.create_realm),
    ("GET", "admin/realms/*", realms.get_realm),
    ("PUT", "admin/realms/*", realms.update_realm),
    ("DELETE", "admin/realms/*", realms.delete_realm),
    ("POST", "admin/realms/*/testSMTPConnection", realms.test_connection),
    ("GET", "admin/realms/*/admin-events", events.list_admin_events),
    ("GET", "admin/realms/*/events/config", events.get_config),
    ("PUT", "admin/realms/*/events/config", events.update_config),
    ("GET", _LOCALIZATION, localization.list_locales),
    ("GET", f"{_LOCALIZATION}/*", localization.get_texts),
    ("POST", f"{_LOCALIZATION}/*", localization.add_texts),
    ("GET", f"{_LOCALIZATION}/*/*", localization.get_text),
    ("PUT", f"{_LOCALIZATION}/*/*", localization.put_text),
    ("DELETE", f"{_LOCALIZATION}/*/*", localization.delete_text),
    ("GET", "admin/realms/*/roles/*", users.realm_role),
    ("GET", "admin/realms/*/users", users.find_users),
    ("POST", "admin/realms/*/users", users.create_user),
    ("GET", _USER, users.get_user),
    ("PUT", _USER, users.update_user),
    ("DELETE", _USER, users.delete_user),
    ("POST", f"{_USER}/role-mappings/realm", users.grant_realm_roles),
    ("POST", f"{_USER}/role-mappings/clients/*", users.grant_client_roles),
    ("GET", "admin/realms/*/clients", users.find_clients),
    ("POST", "admin/realms/*/clients", users.create_client),
    ("DELETE", _CLIENT, users.delete_client),
    ("GET", f"{_CLIENT}/service-account-user", users.service_account),
    ("GET", f"{_CLIENT}/roles/*", users.client_role),
)
# These wait in the middle, for a mail to go out or because they were told to, and lock by themselves.
_LOCK_THEMSELVES = (realms.list_realms, realms.get_realm, realms.update_realm, realms.test_connection)
_PARTS = tuple((method, tuple(pattern.split("/")), handler) for method, pattern, handler in _ROUTES)


def answer(call: Call) -> Answer:
    """Return the API's answer to the call, also when that is a refusal."""
    if call.server.faults.unavailable:
        return Answer(503, "Service Unavailable", "text/plain")
    if (busy := _busy(call)) is not None:
        headers = {"Retry-After": busy.retry_after} if busy.retry_after else {}
        return Answer(busy.status, "Come back later", "text/plain", headers)
    try:
        return _answer(call)
    except Refused as refused:
        return refused.answer


def _busy(call: Call) -> Busy | None:
    with call.server.state.lock:
        fitting = (r for r in call.server.faults.busy if r.fits(call.method, call.path))
        busy = next(fitting, None)
        if busy is not None:
            busy.times -= 1
        return busy


def _answer(call: Call) -> Answer:
    fitting = [(m, parts, h) for m, parts, h in _PARTS if _fits(parts, call.segments)]
    for method, parts, handler in fitting:
        if method == call.method:
            given = [segment for part, segment in zip(parts, call.segments, strict=True) if part == "*"]
            with nullcontext() if handler in _LOCK_THEMSELVES else call.server.state.lock:
                return handler(call, *given)
    if fitting:
        return error(405, "HTTP 405 Method Not Allowed")
    if call.segments[:2] == ("admin", "realms"):
        call.realm(call.segments[2], call.caller())
    return call.server.quirks.errors.no_resource(call.server.url + call.path)


def _fits(parts: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    return len(parts) == len(segments) and all(p in ("*", s) for p, s in zip(parts, segments, strict=True))
