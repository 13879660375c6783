"""The OpenID Connect part: the token endpoint, userinfo, and the realm's public page."""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote

from ztrust_mail.sandbox.admin_api.request import Call, Caller, is_admin, profile
from ztrust_mail.sandbox.quirks import Answer, Json, Refused, error
from ztrust_mail.sandbox.state import Client, Realm, User

_PUBLIC_KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"


def public_realm(call: Call, name: str) -> Answer:
    """GET /realms/{realm}: the public information about a realm."""
    realm = _realm(call, name)
    here = f"{call.server.url}/realms/{quote(realm.name, safe='')}"
    return Answer(
        200,
        {
            "realm": realm.name,
            "public_key": _PUBLIC_KEY,
            "token-service": f"{here}/protocol/openid-connect",
            "account-service": f"{here}/account",
            "tokens-not-before": 0,
        },
    )


def token(call: Call, name: str) -> Answer:
    """POST …/protocol/openid-connect/token: password, client_credentials and refresh_token."""
    realm = _realm(call, name)
    if not realm.enabled:
        return error(403, "access_denied", "Realm not enabled")
    form = dict(parse_qsl(call.raw_body.decode("utf-8", "replace"), keep_blank_values=True))
    if "grant_type" not in form:
        return error(400, "invalid_request", "Missing form parameter: grant_type")
    grant = {"password": _password, "client_credentials": _client_credentials, "refresh_token": _refresh}
    if form["grant_type"] not in grant:
        return error(400, "unsupported_grant_type", "Unsupported grant_type")
    client = _authenticated_client(call, realm, form)
    answer = grant[form["grant_type"]](call, realm, client, form)
    return Answer(answer.status, answer.body, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def userinfo(call: Call, name: str) -> Answer:
    """GET …/protocol/openid-connect/userinfo: the account of the token."""
    realm = _realm(call, name)
    modern = call.server.quirks.userinfo_needs_openid
    if not call.authorization:
        return _no_info(realm, 401) if modern else error(400, "invalid_request", "Token not provided")
    caller = call.server.tokens.caller(call.authorization)
    if caller is None or caller.realm is not realm:
        text = "Token verification failed"
        return _no_info(realm, 401, "invalid_token", text) if modern else error(401, "invalid_token", text)
    if modern and not caller.openid:
        return _no_info(realm, 403, "insufficient_scope", "Missing openid scope")
    if caller.lightweight:
        text = "Lightweight access token not allowed for userinfo endpoint"
        return _no_info(realm, 401, "invalid_token", text)
    return Answer(200, profile(caller.user))


def account(call: Call, name: str) -> Answer:
    """GET /realms/{realm}/account as JSON: the account's own view of itself, lightweight tokens included."""
    realm = _realm(call, name)
    caller = call.caller()
    by_itself = caller.client.service_account == caller.user.id
    if caller.realm is not realm or by_itself or not call.server.quirks.account_api:
        return error(401, "HTTP 401 Unauthorized")
    user = caller.user
    body = {"id": user.id, "username": user.username, "emailVerified": False}
    return Answer(200, body | ({"email": user.email} if user.email else {}))


def _realm(call: Call, name: str) -> Realm:
    if (realm := call.server.state.realm(name)) is None:
        raise Refused(error(404, "Realm does not exist"))
    return realm


def _no_info(realm: Realm, status: int, code: str = "", text: str = "") -> Answer:
    reason = f', error="{code}", error_description="{text}"' if code else ""
    challenge = f'Bearer realm="{realm.name}"{reason}'
    return Answer(status, "", "text/plain;charset=utf-8", {"WWW-Authenticate": challenge})


def _authenticated_client(call: Call, realm: Realm, form: Mapping[str, str]) -> Client:
    errors = call.server.quirks.errors
    client_id, secret = _client_credentials_given(call.authorization, form)
    client = realm.client_named(client_id) if client_id else None
    if client is None:
        raise Refused(errors.unknown_client)
    if not client.enabled:
        raise Refused(errors.disabled_client)
    if not client.public and not secret:
        raise Refused(errors.missing_secret)
    if not client.public and secret != client.secret:
        raise Refused(errors.wrong_secret)
    return client


def _client_credentials_given(authorization: str, form: Mapping[str, str]) -> tuple[str | None, str | None]:
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return form.get("client_id"), form.get("client_secret")
    try:
        client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    return unquote(client_id), unquote(secret)


def _password(call: Call, realm: Realm, client: Client, form: Mapping[str, str]) -> Answer:
    if not client.direct_grants:
        return error(400, "unauthorized_client", "Client not allowed for direct access grants")
    if "username" not in form:
        return error(401, "invalid_request", "Missing parameter: username")
    user = realm.user_named(form["username"])
    if user is None or user.password is None or form.get("password") != user.password:
        return call.server.quirks.errors.wrong_password
    if not user.enabled:
        return error(400, "invalid_grant", "Account disabled")
    return _grant_tokens(call, user, realm, client, form, refresh=True)


def _client_credentials(call: Call, realm: Realm, client: Client, form: Mapping[str, str]) -> Answer:
    if client.public:
        return error(401, "unauthorized_client", "Public client not allowed to retrieve service account")
    if client.service_account is None:
        return error(401, "unauthorized_client", "Client not enabled to retrieve service account")
    return _grant_tokens(call, realm.users[client.service_account], realm, client, form, refresh=False)


def _refresh(call: Call, realm: Realm, client: Client, form: Mapping[str, str]) -> Answer:
    if "refresh_token" not in form:
        return error(400, "invalid_request", "No refresh token")
    granted = call.server.tokens.refresh(call.server.url, form["refresh_token"], realm, client)
    return Answer(200, granted) if granted else error(400, "invalid_grant", "Invalid refresh token")


def _grant_tokens(
    call: Call, user: User, realm: Realm, client: Client, form: Mapping[str, str], *, refresh: bool
) -> Answer:
    scope = form.get("scope", "")
    return Answer(200, call.server.tokens.grant(call.server.url, user, realm, client, scope, refresh=refresh))


_THEMES = {"email": [{"name": "base", "locales": ["en"]}, {"name": "keycloak", "locales": ["en"]}]}

_PROVIDERS = {"emailSender": {"internal": False, "providers": {"default": {"order": 0}}}}


def server_info(call: Call) -> Answer:
    """GET /admin/serverinfo: for administrators; the version only for those with enough rights."""
    caller = call.caller()
    call.require(caller.any_role())
    info: Json = {"profileInfo": {"name": "default"}, "themes": _THEMES, "providers": _PROVIDERS}
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
