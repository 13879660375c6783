"""Writes that a busy server holds back: none goes out on an old look at its realm."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from support.connecting import FakeGateway, carried_out, connected, make_plan
from support.mail_settings import NO_LOGIN, one_realm, stored
from support.results import rules, statuses
from support.waiting import Clock

from ztrust_mail import apply, explain, plan
from ztrust_mail.applying.outcome import Result
from ztrust_mail.applying.writer import FRESH_SECONDS, MAX_REREADS, _refresh_deadline
from ztrust_mail.core.errors import WriteDeadlineExceeded
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.gateway import LiveRealm
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sandbox.state import Busy

HELD = stored(explain(one_realm(NO_LOGIN), "acme").fields)
"""What a server holds once it is written."""


class LateClock(Clock):
    """A clock by which looks grow old, too."""

    def __init__(self) -> None:
        super().__init__()
        self._real = time.monotonic

    def monotonic(self) -> float:
        return self._real() + self.now - 1000.0


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> LateClock:
    clock = LateClock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def applied_late(sandbox: Sandbox, clock: LateClock, *busy: Busy) -> Result:
    """Apply to ``acme`` with a server that is busy when it is to be written."""
    with connected(sandbox) as connection:
        gateway = KeycloakGateway(connection.server, KEYCLOAK, clock.throttle())
        with replace(connection, opened=gateway) as slow:
            made = plan(one_realm(NO_LOGIN), slow)
            sandbox.faults.busy += busy
            return apply(made, slow)


def after_login(sandbox: Sandbox) -> list[str]:
    return [r.method for r in sandbox.requests if not r.path.endswith("token")]


def test_a_write_delayed_for_long_is_preceded_by_a_fresh_read(ztrust_sandbox: Sandbox, late: LateClock) -> None:
    result = applied_late(ztrust_sandbox, late, Busy(429, method="PUT", times=2, retry_after="30"))
    assert statuses(result) == {"acme": "applied"}
    assert after_login(ztrust_sandbox) == ["GET", "PUT", "GET", "PUT", "GET", "PUT", "GET"]
    assert ztrust_sandbox.smtp("acme") == HELD


def test_a_write_delayed_shortly_needs_no_fresh_read(ztrust_sandbox: Sandbox, late: LateClock) -> None:
    assert statuses(applied_late(ztrust_sandbox, late, Busy(method="PUT", retry_after="2"))) == {"acme": "applied"}
    assert after_login(ztrust_sandbox) == ["GET", "PUT", "PUT", "GET"]


def test_an_edit_made_while_a_write_was_delayed_is_not_overwritten(ztrust_sandbox: Sandbox, late: LateClock) -> None:
    late.before_wait = lambda: ztrust_sandbox.edit_smtp("acme", {"host": "else.example"})
    result = applied_late(ztrust_sandbox, late, Busy(method="PUT", retry_after="30"))
    assert (statuses(result), rules(result)) == ({"acme": "failed"}, ["changed-meanwhile"])
    assert ztrust_sandbox.smtp("acme") == {"host": "else.example"}


def test_a_refused_write_that_arrived_all_the_same_is_found_by_the_fresh_read() -> None:
    gateway = FakeGateway({"acme": {}})

    def refuse(realm: str) -> None:
        gateway.stored[realm] = HELD
        raise WriteDeadlineExceeded("too busy", rule="too-busy")

    gateway.before_write = refuse
    made = make_plan(one_realm(NO_LOGIN), gateway)
    result = carried_out(made, gateway)
    assert (statuses(result), rules(result)) == ({"acme": "applied"}, ["arrived"])


def test_a_server_that_stays_busy_is_given_up() -> None:
    gateway = FakeGateway({"acme": {}})
    looks = []

    def refuse(realm: str) -> None:
        looks.append(realm)
        raise WriteDeadlineExceeded("too busy", rule="too-busy")

    gateway.before_write = refuse
    made = make_plan(one_realm(NO_LOGIN), gateway)
    result = carried_out(made, gateway)
    assert (statuses(result), rules(result), len(looks)) == ({"acme": "failed"}, ["too-busy"], MAX_REREADS)


def test_a_slow_read_does_not_count_as_old() -> None:
    now = time.monotonic()
    assert _refresh_deadline(LiveRealm("acme", {}, now - 1)) == now - 1 + FRESH_SECONDS
    assert _refresh_deadline(LiveRealm("acme", {}, now - 60)) > now
