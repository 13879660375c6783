"""Who edited a realm: the same tests on Keycloak and on the sandbox, of the API and of the gateway that reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from support.admin_api import PASSWORD, AdminApi, realm_path
from support.main_job import connected, spec_of
from support.server_under_test import ServerUnderTest

import ztrust_mail
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.secret import Secret
from ztrust_mail.drift_detection.attribution import Cause
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.model.fields import Masked
from ztrust_mail.settings import Server

EDITED, UNTOUCHED = "edited", "unwatched"
EVENTS = f"{realm_path(EDITED)}/admin-events"
OF_REALM = "?operationTypes=UPDATE&resourceTypes=REALM"
CLIENT_SECRET = "events-Secr3t"
LOGIN_SENT = {
    "from": "a@b.example", "host": "h", "port": 25, "auth": True, "user": "u", "password": "relay-Passw0rd",
    "authTokenClientSecret": "token-Secr3t", "replyTo": None,
}  # fmt: skip


@pytest.fixture(scope="session")
def watched(server: ServerUnderTest) -> Iterator[AdminApi]:
    """The administrator, with a realm to edit and accounts that may see events, or not."""
    api = AdminApi(server.url, server.admin_user, server.admin_password)
    api.create_realm(EDITED)
    for user, role in (("viewer", "view-events"), ("keeper", "manage-events"), ("editor", "manage-realm")):
        api.create_user(EDITED, user, [role])
    api.create_client(EDITED, "machine", CLIENT_SECRET, ["manage-realm"])
    yield api
    api.delete_realm(EDITED)
    api.close()


def switch(api: AdminApi, on: bool, details: bool = False) -> None:
    body = {"adminEventsEnabled": on, "adminEventsDetailsEnabled": details}
    api.ok("PUT", f"{realm_path(EDITED)}/events/config", body)


def events(api: AdminApi, query: str = OF_REALM) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = api.ok("GET", EVENTS + query).json()
    return listed


def edit(api: AdminApi, token: str | None = None, **smtp: object) -> None:
    body = {"smtpServer": smtp or {"from": "a@b.example", "host": "h"}}
    response = api.call("PUT", realm_path(EDITED), body, token)
    assert response.status_code == 204, response.text


def newest(api: AdminApi) -> dict[str, object]:
    return events(api, f"{OF_REALM}&max=1")[0]


def gateway_for(server: ServerUnderTest, **account: object) -> Gateway:
    login = {"username": server.admin_user, "password": Secret(server.admin_password), **account}
    return connect(Server(server.url, timeout=30.0, **login))  # type: ignore[arg-type]


# The API


def test_no_edit_is_recorded_while_admin_events_are_off(watched: AdminApi) -> None:
    switch(watched, on=False)
    before = events(watched)
    edit(watched)
    assert events(watched) == before


def test_an_edit_is_recorded_with_the_ids_of_its_author(watched: AdminApi) -> None:
    switch(watched, on=True)
    edit(watched, watched.user_token(EDITED, "editor"))
    event = newest(watched)
    (user,) = watched.ok("GET", f"{realm_path(EDITED)}/users?username=editor&exact=true").json()
    (client,) = watched.ok("GET", f"{realm_path(EDITED)}/clients?clientId=admin-cli").json()
    realm = watched.ok("GET", realm_path(EDITED)).json()["id"]
    who = {"realmId": realm, "clientId": client["id"], "userId": user["id"], "ipAddress": "127.0.0.1"}
    assert (event["realmId"], event["authDetails"]) == (realm, who)
    assert (event["operationType"], event["resourceType"]) == ("UPDATE", "REALM")
    assert abs(int(str(event["time"])) - time.time() * 1000) < 60_000
    assert not {"resourcePath", "representation"} & event.keys()


def test_an_event_tells_an_account_of_master_from_one_of_the_realm(watched: AdminApi) -> None:
    switch(watched, on=True)
    edit(watched)
    event = newest(watched)
    assert event["authDetails"]["realmId"] != event["realmId"]  # type: ignore[index]


def test_the_details_of_an_edit_are_the_request_with_its_password_masked(
    watched: AdminApi, server: ServerUnderTest
) -> None:
    switch(watched, on=True, details=True)
    edit(watched, **LOGIN_SENT)
    sent = json.loads(str(newest(watched)["representation"]))
    assert sent == {
        "smtpServer": {
            "from": "a@b.example", "host": "h", "port": "25", "auth": "true", "user": "u", "password": "*" * 10,
            "authTokenClientSecret": "token-Secr3t" if server.version == "16.1.1" else "*" * 10,
        }
    }  # fmt: skip


def test_the_details_of_an_edit_show_when_it_concerned_other_settings(watched: AdminApi) -> None:
    switch(watched, on=True, details=True)
    watched.ok("PUT", realm_path(EDITED), {"displayName": "Edited"})
    assert json.loads(str(newest(watched)["representation"])) == {"displayName": "Edited"}


def test_a_refused_edit_is_not_recorded(watched: AdminApi) -> None:
    switch(watched, on=True)
    before = events(watched)
    assert watched.put_smtp(EDITED, {"from": "a@b.example", "host": "h" * 300}).status_code == 400
    assert events(watched) == before


def test_turning_events_off_is_the_last_edit_recorded_and_turning_them_on_is_not(watched: AdminApi) -> None:
    switch(watched, on=False)
    before = events(watched)
    watched.ok("PUT", realm_path(EDITED), {"adminEventsEnabled": True})
    assert events(watched) == before
    watched.ok("PUT", realm_path(EDITED), {"adminEventsEnabled": False})
    assert len(events(watched)) == len(before) + 1


def test_an_edit_of_the_events_settings_has_a_path_of_its_own(watched: AdminApi) -> None:
    switch(watched, on=True)
    assert newest(watched)["resourcePath"] == "events/config"
    given = watched.ok("GET", f"{realm_path(EDITED)}/events/config").json()
    assert (given["adminEventsEnabled"], given["adminEventsDetailsEnabled"]) == (True, False)


def test_events_are_listed_newest_first_and_can_be_filtered(watched: AdminApi) -> None:
    switch(watched, on=True)
    edit(watched)
    edit(watched)
    times = [int(str(event["time"])) for event in events(watched)]
    assert len(times) >= 2
    assert times == sorted(times, reverse=True)
    assert events(watched, f"{OF_REALM}&first=1&max=1") == events(watched)[1:2]
    assert events(watched, f"{OF_REALM}&max=0") == []
    assert events(watched, "?operationTypes=DELETE&resourceTypes=REALM") == []
    assert events(watched, "?operationTypes=UPDATE&resourceTypes=USER") == []


def test_events_can_be_listed_since_a_date_and_on_new_servers_since_a_moment(
    watched: AdminApi, server: ServerUnderTest
) -> None:
    switch(watched, on=True)
    edit(watched)
    now = datetime.now(UTC)
    assert newest(watched) in events(watched, f"{OF_REALM}&dateFrom={now - timedelta(days=1):%Y-%m-%d}")
    assert events(watched, f"{OF_REALM}&dateFrom={now + timedelta(days=2):%Y-%m-%d}") == []
    legacy = server.version == "16.1.1"
    later = watched.call("GET", f"{EVENTS}?dateFrom={int(now.timestamp() * 1000) + 60_000}")
    assert (later.status_code, later.json() == []) == ((400, False) if legacy else (200, True))
    junk = watched.call("GET", f"{EVENTS}?dateFrom=junk")
    name, also = ("Date(From)", "") if legacy else ("dateFrom", " or an Epoch timestamp")
    said = f"Invalid value for '{name}', expected format is yyyy-MM-dd{also}"
    assert (junk.status_code, junk.json()) == (400, {"error": said})


def test_events_are_shown_to_those_who_may_view_or_manage_them(watched: AdminApi) -> None:
    tokens = {user: watched.user_token(EDITED, user) for user in ("viewer", "keeper", "editor")}
    config = f"{realm_path(EDITED)}/events/config"
    for path in (EVENTS, config):
        seen = {user: watched.call("GET", path, token=token).status_code for user, token in tokens.items()}
        assert seen == {"viewer": 200, "keeper": 200, "editor": 403}
    changed = {user: watched.call("PUT", config, {}, token).status_code for user, token in tokens.items()}
    assert changed == {"viewer": 403, "keeper": 204, "editor": 403}


def test_a_missing_realm_has_no_events(watched: AdminApi) -> None:
    response = watched.call("GET", f"{realm_path('nothing there')}/admin-events")
    assert (response.status_code, response.json()) == (404, {"error": "Realm not found."})


# The gateway


def test_the_gateway_names_who_edited_what_and_when(watched: AdminApi, server: ServerUnderTest) -> None:
    switch(watched, on=True, details=True)
    began = datetime.fromtimestamp(int(str(newest(watched)["time"])) / 1000, UTC)
    edit(watched, **LOGIN_SENT)
    edit(watched, watched.user_token(EDITED, "editor"))
    token = watched.client_token(EDITED, "machine", CLIENT_SECRET)
    edit(watched, token, **{"from": "a@b.example", "host": "evil.example"})
    with_gateway = gateway_for(server)
    found = with_gateway.edits(EDITED, began)
    with_gateway.close()
    assert found is not None
    assert [one.user for one in found] == ["service-account-machine", "editor", server.admin_user]
    assert [one.address for one in found] == ["127.0.0.1"] * 3
    assert len({one.client for one in found} - {""}) == 3
    assert all(began < one.at < began + timedelta(minutes=5) for one in found)
    fields = [one.fields or {} for one in found]
    assert [one["relay.host"] for one in fields] == ["evil.example", "h", "h"]
    assert fields[2]["relay.auth.password"] == fields[2]["relay.auth.token.client_secret"] == Masked()
    assert fields[2]["relay.port"] == 25
    assert "Secr3t" not in repr(found)


def test_the_gateway_returns_edits_without_details_and_only_those_of_the_realm_itself(
    watched: AdminApi, server: ServerUnderTest
) -> None:
    switch(watched, on=True, details=True)
    began = datetime.fromtimestamp(int(str(newest(watched)["time"])) / 1000, UTC)
    watched.ok("PUT", realm_path(EDITED), {"displayName": "x"})
    switch(watched, on=True)
    edit(watched)
    gateway = gateway_for(server)
    (found,) = gateway.edits(EDITED, began) or ()
    everything = gateway.edits(EDITED, None)
    gateway.close()
    assert (found.user, found.fields) == (server.admin_user, None)
    assert everything is not None
    assert everything[0] == found


@pytest.mark.parametrize(("user", "sees"), [("viewer", True), ("editor", False)])
def test_edits_name_accounts_by_id_if_only_events_may_be_viewed_and_are_none_otherwise(
    watched: AdminApi, server: ServerUnderTest, user: str, sees: bool
) -> None:
    switch(watched, on=True)
    edit(watched)
    who: Mapping[str, str] = newest(watched)["authDetails"]  # type: ignore[assignment]
    gateway = gateway_for(server, realm=EDITED, username=user, password=Secret(PASSWORD))
    found = gateway.edits(EDITED, None)
    gateway.close()
    if sees:
        assert found
        assert (found[0].user, found[0].client) == (who["userId"], who["clientId"])
    else:
        assert found is None


def test_a_realm_without_admin_events_has_an_empty_list_of_edits(watched: AdminApi, server: ServerUnderTest) -> None:
    watched.create_realm(UNTOUCHED)
    watched.put_smtp(UNTOUCHED, {"from": "a@b.example", "host": "h"})
    gateway = gateway_for(server)
    assert gateway.edits(UNTOUCHED, None) == []
    gateway.close()
    watched.delete_realm(UNTOUCHED)


# What drift makes of it


def test_drift_names_who_changed_which_field_outside_this_tool(watched: AdminApi, server: ServerUnderTest) -> None:
    login = {"username": "u", "password": {"env": "SMTP_PASSWORD"}}
    entry = {"sender": {"address": "a@b.example"}, "relay": {"host": "smtp.example.com", "auth": login}}
    spec = spec_of({EDITED: entry})
    switch(watched, on=True, details=True)
    with connected(server, spec) as connection:
        ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection)
        stored = watched.smtp(EDITED)
        edit(watched, watched.user_token(EDITED, "editor"), **(stored | {"host": "evil.example"}))
        edit(watched, **(stored | {"host": "evil.example", "fromDisplayName": "Evil"}))
        found = ztrust_mail.drift(spec, connection)
        assert found.causes == {EDITED: {"relay.host": Cause.OUT_OF_BAND, "sender.name": Cause.OUT_OF_BAND}}
        told = {one.field: one for one in found.own_findings}
        assert told["relay.host"].severity is Severity.CRITICAL
        assert ", by `editor` with client" in told["relay.host"].message
        assert f", by `{server.admin_user}` with client" in told["sender.name"].message
        ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection)
        assert ztrust_mail.drift(spec, connection).causes == {}
