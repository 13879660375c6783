"""A rotation of several references on every server: a mistyped value reaches one realm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.admin_api import AdminApi
from support.main_job import SECRET, connected, spec_of
from support.results import statuses
from support.server_under_test import ServerUnderTest
from support.smtp import USER, Relays

import ztrust_mail
from ztrust_mail import RelayLogin, Status, Waves

KEYS = {"rotation-1": "KEY_ONE", "rotation-2": "KEY_ONE", "rotation-3": "KEY_TWO", "rotation-4": "KEY_TWO"}


@pytest.fixture
def four_realms(server: ServerUnderTest) -> Iterator[None]:
    with AdminApi(server.url, server.admin_user, server.admin_password).with_realms(KEYS):
        yield


@pytest.mark.usefixtures("four_realms")
def test_a_mistyped_value_of_a_rotation_reaches_one_realm_and_the_next_rotation_all(
    server: ServerUnderTest, relays: Relays
) -> None:
    relay = {"host": "localhost", "port": relays.with_login().port, "security": "none"}
    sender = {"address": "no-reply@acme.example"}
    spec = spec_of(
        {
            realm: {"sender": sender, "relay": {**relay, "auth": {"username": USER, "password": {"env": key}}}}
            for realm, key in KEYS.items()
        }
    )
    with connected(server, spec, KEY_ONE="old-1", KEY_TWO="old-2") as session:
        ztrust_mail.apply(ztrust_mail.plan(spec, session), session, allow=["all"]).raise_for_status()

    canaries = Waves("1", per_credential=True)
    with connected(server, spec, KEY_ONE=SECRET, KEY_TWO="mistyped") as session:
        rotation = ztrust_mail.rotate_plan(spec, session, "env:KEY_*")
        result = ztrust_mail.apply(rotation, session, allow=["all"], waves=canaries, command="rotate")
        left = ztrust_mail.leftovers(rotation, session)

    assert statuses(result) == {
        "rotation-1": Status.APPLIED,
        "rotation-2": Status.SKIPPED,
        "rotation-3": Status.APPLIED,
        "rotation-4": Status.SKIPPED,
    }
    assert [(one.realm, one.rule) for one in left] == [("rotation-2", "not-rotated"), ("rotation-4", "not-rotated")]

    with connected(server, spec, KEY_ONE=SECRET, KEY_TWO=SECRET) as session:
        rotation = ztrust_mail.rotate_plan(spec, session, RelayLogin("localhost", USER))
        result = ztrust_mail.apply(rotation, session, allow=["all"], waves=canaries, command="rotate")
        assert ztrust_mail.leftovers(rotation, session) == ()
        tests = ztrust_mail.test(session, [*KEYS])

    assert [realm.realm for realm in rotation.changed] == ["rotation-2", "rotation-3", "rotation-4"]
    assert {one.status for one in result.realms} <= {Status.APPLIED, Status.IN_SYNC}
    assert [one.status.value for one in tests.outcomes] == ["sent"] * 4
