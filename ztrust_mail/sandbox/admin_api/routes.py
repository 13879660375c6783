"""Which method and path lead to which handler."""

from collections.abc import Callable
from contextlib import nullcontext
from urllib.parse import unquote

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, Rule

from ztrust_mail.sandbox.admin_api import login, realms, users
from ztrust_mail.sandbox.admin_api.request import Call
from ztrust_mail.sandbox.quirks import Answer, Refused, error
from ztrust_mail.sandbox.state import Busy

Handler = Callable[..., Answer]


class _Segment(BaseConverter):
    """A segment of the encoded path, decoded for the handler: it may contain an encoded slash."""

    def to_python(self, value: str) -> str:
        return unquote(value)


_OIDC = "/realms/<name>/protocol/openid-connect"
_REALM = "/admin/realms/<name>"
_TEXTS = f"{_REALM}/localization"
_USER = f"{_REALM}/users/<user_id>"
_CLIENT = f"{_REALM}/clients/<key>"
_HANDLERS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/realms/<name>", login.public_realm),
    ("GET", "/realms/<name>/account", login.account),
    ("POST", f"{_OIDC}/token", login.token),
    ("GET", f"{_OIDC}/userinfo", login.userinfo),
    ("GET", "/admin/serverinfo", login.server_info),
    ("GET", "/admin/<name>/console/whoami", login.who_am_i),
    ("GET", "/admin/realms", realms.list_realms),
    ("POST", "/admin/realms", realms.create_realm),
    ("GET", _REALM, realms.get_realm),
    ("PUT", _REALM, realms.update_realm),
    ("DELETE", _REALM, realms.delete_realm),
    ("POST", f"{_REALM}/testSMTPConnection", realms.test_connection),
    ("GET", f"{_REALM}/admin-events", realms.list_admin_events),
    ("GET", f"{_REALM}/events/config", realms.get_events_config),
    ("PUT", f"{_REALM}/events/config", realms.update_events_config),
    ("GET", _TEXTS, realms.list_locales),
    ("GET", f"{_TEXTS}/<locale>", realms.get_texts),
    ("POST", f"{_TEXTS}/<locale>", realms.add_texts),
    ("GET", f"{_TEXTS}/<locale>/<key>", realms.get_text),
    ("PUT", f"{_TEXTS}/<locale>/<key>", realms.put_text),
    ("DELETE", f"{_TEXTS}/<locale>/<key>", realms.delete_text),
    ("GET", f"{_REALM}/workflows", realms.list_workflows),
    ("POST", f"{_REALM}/workflows", realms.create_workflow),
    ("GET", f"{_REALM}/roles/<role>", users.realm_role),
    ("GET", f"{_REALM}/users", users.find_users),
    ("POST", f"{_REALM}/users", users.create_user),
    ("GET", _USER, users.get_user),
    ("PUT", _USER, users.update_user),
    ("DELETE", _USER, users.delete_user),
    ("POST", f"{_USER}/role-mappings/realm", users.grant_realm_roles),
    ("POST", f"{_USER}/role-mappings/clients/<key>", users.grant_client_roles),
    ("GET", f"{_REALM}/clients", users.find_clients),
    ("POST", f"{_REALM}/clients", users.create_client),
    ("DELETE", _CLIENT, users.delete_client),
    ("GET", f"{_CLIENT}/service-account-user", users.service_account),
    ("GET", f"{_CLIENT}/roles/<role>", users.client_role),
)
# These handlers wait, for a mail to be sent or because a fault makes them slow, and take the lock by themselves.
_LOCK_THEMSELVES = (realms.list_realms, realms.get_realm, realms.update_realm, realms.test_connection)
_ROUTES = Map(
    [Rule(path, methods=[method], endpoint=handler) for method, path, handler in _HANDLERS],
    converters={"default": _Segment},
    merge_slashes=False,
    strict_slashes=False,
).bind("sandbox.invalid")


def answer(call: Call) -> Answer:
    """Return the API's answer to the call, also if the call is refused."""
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
        busy = next((each for each in call.server.faults.busy if each.fits(call.method, call.path)), None)
        if busy is not None:
            busy.times -= 1
        return busy


def _answer(call: Call) -> Answer:
    path = call.path.strip("/")
    try:
        handler, arguments = _ROUTES.match(path, method=call.method)
    except MethodNotAllowed:
        return error(405, "HTTP 405 Method Not Allowed")
    except NotFound:
        segments = path.split("/")
        if segments[:2] == ["admin", "realms"]:
            call.realm(unquote(segments[2]), call.caller())
        return call.server.quirks.errors.no_resource(call.server.url + call.path)
    with nullcontext() if handler in _LOCK_THEMSELVES else call.server.state.lock:
        given: Answer = handler(call, **arguments)
        return given
