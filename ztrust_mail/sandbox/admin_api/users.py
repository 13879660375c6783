"""Users, clients and roles of the admin API: what is needed to set up accounts and to look them up."""

from ztrust_mail.sandbox.admin_api.request import Call
from ztrust_mail.sandbox.quirks import Answer, Json, Refused, error, error_message
from ztrust_mail.sandbox.state import ADMIN_ROLES, MASTER, OWN_ADMIN_CLIENT, Client, Realm, User, new_id

_LIGHTWEIGHT = "client.use.lightweight.access.token.enabled"
_REALM_ROLES = ("admin", "create-realm")


def find_users(call: Call, name: str) -> Answer:
    """GET …/users?username=…: the user of that name, or all users."""
    realm = call.realm_with_role(name, "view-users", "manage-users")
    wanted = call.query.get("username", "").lower()
    return Answer(200, [_user(user) for user in realm.users.values() if wanted in ("", user.username)])


def create_user(call: Call, name: str) -> Answer:
    """POST …/users, with at most one password among the credentials."""
    realm = call.realm_with_role(name, "manage-users")
    body = call.body()
    username = str(body.get("username") or "")
    if realm.user_named(username) is not None:
        return error_message(409, "User exists with same username")
    user = User(username)
    _change(user, body)
    realm.add_user(user)
    return _answer_created(call, f"/admin/realms/{name}/users/{user.id}")


def get_user(call: Call, name: str, user_id: str) -> Answer:
    """GET …/users/{id}."""
    return Answer(200, _user(_existing_user(call.realm_with_role(name, "view-users", "manage-users"), user_id)))


def update_user(call: Call, name: str, user_id: str) -> Answer:
    """PUT …/users/{id}."""
    _change(_existing_user(call.realm_with_role(name, "manage-users"), user_id), call.body())
    return Answer(204)


def delete_user(call: Call, name: str, user_id: str) -> Answer:
    """DELETE …/users/{id}."""
    realm = call.realm_with_role(name, "manage-users")
    del realm.users[_existing_user(realm, user_id).id]
    return Answer(204)


def find_clients(call: Call, name: str) -> Answer:
    """GET …/clients?clientId=…: the client of that name, or all clients."""
    realm = call.realm_with_role(name, "view-clients", "manage-clients")
    wanted = call.query.get("clientId")
    return Answer(200, [_client(c) for c in realm.clients.values() if wanted in (None, c.client_id)])


def create_client(call: Call, name: str) -> Answer:
    """POST …/clients; a missing secret is generated, as on the server."""
    realm = call.realm_with_role(name, "manage-clients")
    body = call.body()
    client_id = str(body.get("clientId") or "")
    if realm.client_named(client_id) is not None:
        return error_message(409, f"Client {client_id} already exists")
    attributes = body.get("attributes")
    client = Client(
        client_id,
        secret=None if body.get("publicClient") is True else str(body.get("secret") or new_id()),
        enabled=body.get("enabled") is not False,
        direct_grants=body.get("directAccessGrantsEnabled") is True,
        lightweight=isinstance(attributes, dict) and attributes.get(_LIGHTWEIGHT) == "true",
    )
    realm.add_client(client)
    if body.get("serviceAccountsEnabled") is True:
        realm.add_service_account(client)
    return _answer_created(call, f"/admin/realms/{name}/clients/{client.id}")


def delete_client(call: Call, name: str, key: str) -> Answer:
    """DELETE …/clients/{id}, with its service account."""
    realm = call.realm_with_role(name, "manage-clients")
    client = _existing_client(realm, key)
    del realm.clients[client.id]
    if client.service_account is not None:
        realm.users.pop(client.service_account, None)
    return Answer(204)


def service_account(call: Call, name: str, key: str) -> Answer:
    """GET …/clients/{id}/service-account-user."""
    realm = call.realm_with_role(name, "view-clients", "manage-clients")
    client = _existing_client(realm, key)
    if client.service_account is None:
        return error(400, "unknown_error", f"Service account not enabled for the client '{client.client_id}'")
    return Answer(200, _user(realm.users[client.service_account]))


def client_role(call: Call, name: str, key: str, role: str) -> Answer:
    """GET …/clients/{id}/roles/{role}."""
    client = _existing_client(call.realm_with_role(name, "view-clients", "manage-clients"), key)
    known = (*ADMIN_ROLES, "realm-admin") if client.client_id == OWN_ADMIN_CLIENT else ADMIN_ROLES
    if role not in known or not client.client_id.endswith(("-realm", OWN_ADMIN_CLIENT)):
        return error(404, "Could not find role")
    return Answer(200, {"id": f"{client.id}/{role}", "name": role, "clientRole": True, "containerId": client.id})


def realm_role(call: Call, name: str, role: str) -> Answer:
    """GET …/roles/{role}."""
    realm = call.realm_with_role(name, "view-realm", "manage-realm")
    if realm.name != MASTER or role not in _REALM_ROLES:
        return error(404, "Could not find role")
    return Answer(200, {"id": f"{realm.id}/{role}", "name": role, "clientRole": False, "containerId": realm.id})


def grant_client_roles(call: Call, name: str, user_id: str, key: str) -> Answer:
    """POST …/users/{id}/role-mappings/clients/{id}."""
    realm = call.realm_with_role(name, "manage-users")
    user, client = _existing_user(realm, user_id), _existing_client(realm, key)
    for role in _role_names(call):
        user.grant(client.client_id, role)
    return Answer(204)


def grant_realm_roles(call: Call, name: str, user_id: str) -> Answer:
    """POST …/users/{id}/role-mappings/realm."""
    user = _existing_user(call.realm_with_role(name, "manage-users"), user_id)
    user.realm_roles.update(_role_names(call))
    return Answer(204)


def _existing_user(realm: Realm, user_id: str) -> User:
    if (user := realm.users.get(user_id)) is None:
        raise Refused(error(404, "User not found"))
    return user


def _existing_client(realm: Realm, key: str) -> Client:
    if (client := realm.clients.get(key)) is None:
        raise Refused(error(404, "Could not find client"))
    return client


def _role_names(call: Call) -> list[str]:
    return [str(role["name"]) for role in call.json_list()]


def _change(user: User, body: Json) -> None:
    if "email" in body:
        user.email = str(body["email"] or "") or None
    if "enabled" in body:
        user.enabled = body["enabled"] is True
    user.first_name = str(body.get("firstName", user.first_name) or "")
    user.last_name = str(body.get("lastName", user.last_name) or "")
    credentials = body.get("credentials")
    for credential in credentials if isinstance(credentials, list) else []:
        user.password = str(credential["value"])


def _answer_created(call: Call, path: str) -> Answer:
    return Answer(201, headers={"Location": call.server.url + path})


def _user(user: User) -> Json:
    view: Json = {"id": user.id, "username": user.username, "firstName": user.first_name, "lastName": user.last_name}
    if user.email:
        view["email"] = user.email
    return view | {"emailVerified": False, "enabled": user.enabled}


def _client(client: Client) -> Json:
    return {"id": client.id, "clientId": client.client_id, "enabled": client.enabled, "publicClient": client.public}
