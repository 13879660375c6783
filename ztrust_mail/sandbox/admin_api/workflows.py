"""The workflows of the admin API: create and list them. No workflow ever runs."""

import json

from ztrust_mail.sandbox.admin_api.request import Call, is_admin
from ztrust_mail.sandbox.quirks import JSON_TYPE, Answer, Json, Refused, error
from ztrust_mail.sandbox.state import Realm, new_id

_PAGE = "10"  # the server's default


def list_workflows(call: Call, name: str) -> Answer:
    """GET …/workflows: the first ones by name; as YAML unless JSON is asked for."""
    realm = _realm(call, name)
    listed = sorted(realm.workflows, key=lambda one: str(one.get("name")))[: int(call.query.get("max", _PAGE))]
    if JSON_TYPE in call.accept:
        return Answer(200, listed)
    return Answer(200, f"---\n{json.dumps(listed)}\n", "application/yaml;charset=UTF-8")


def create_workflow(call: Call, name: str) -> Answer:
    """POST …/workflows."""
    realm = _realm(call, name)
    body: Json = {"id": new_id(), **call.body()}
    realm.workflows.append({key: value for key, value in body.items() if (key, value) != ("enabled", True)})
    return Answer(201)


def _realm(call: Call, name: str) -> Realm:
    caller = call.caller()
    realm = call.realm(name, caller)
    if not call.server.quirks.workflows:
        raise Refused(error(404, "HTTP 404 Not Found"))
    call.require(is_admin(caller.user, caller.realm) or "realm-admin" in caller.roles_in(realm))
    return realm
