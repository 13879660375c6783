"""From a name to a connection: all addresses, in order, and within bounds."""

from __future__ import annotations

import socket

import pytest
from support.relays import OddRelays, answering

from ztrust_mail.core.errors import UsageError
from ztrust_mail.model.fields import Security
from ztrust_mail.probing.connection import MAX_TRIED
from ztrust_mail.probing.options import AddressFamily, ProbeOptions
from ztrust_mail.probing.outcome import ProbeStatus, Stage
from ztrust_mail.probing.relay import Relay

REAL = socket.getaddrinfo


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch):
    """Return a function that gives the name ``relay.test`` these addresses."""

    def give(*addresses: str) -> None:
        def resolve(host: str, port: int, *more: object, **keywords: object):
            if host != "relay.test":
                return REAL(host, port, *more, **keywords)
            return [found for one in addresses for found in REAL(one, port, type=socket.SOCK_STREAM)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    return give


def test_the_addresses_are_tried_in_order_and_the_first_that_fails_is_a_warning(odd_relays, look, name) -> None:
    name("127.0.0.9", "127.0.0.1", "::1")
    relay = odd_relays(answering())
    outcome = look(relay.settings(host="relay.test"))
    stage = outcome.stage(Stage.CONNECT)
    assert (stage.status, stage.rule) == (ProbeStatus.WARNING, "relay-address")
    assert [(one.address, one.status) for one in outcome.addresses] == [
        ("127.0.0.9", ProbeStatus.FAILED),
        ("127.0.0.1", ProbeStatus.OK),
        ("::1", ProbeStatus.NOT_TESTED),
    ]
    assert outcome.stage(Stage.SENDER).status is ProbeStatus.OK


def test_an_ipv6_address_that_fails_before_ipv4_is_listed_and_no_warning(odd_relays, look, name) -> None:
    name("::1", "127.0.0.1")
    outcome = look(odd_relays(answering()).settings(host="relay.test"))
    assert outcome.status is ProbeStatus.OK
    assert [one.status for one in outcome.addresses] == [ProbeStatus.FAILED, ProbeStatus.OK]


def test_a_name_with_50_addresses_ends_after_a_few(look, name) -> None:
    name(*(f"127.0.1.{n}" for n in range(1, 51)))
    outcome = look(Relay("relay.test", 1, Security.NONE))
    assert outcome.failure.rule == "relay-unreachable"
    assert [one.status for one in outcome.addresses].count(ProbeStatus.FAILED) == MAX_TRIED
    assert len(outcome.addresses) == 50
    assert "44 more addresses not tried" in outcome.failure.detail


def test_an_ipv6_address_is_reached(odd_relays: OddRelays, look) -> None:
    relay = odd_relays(answering(), socket.AF_INET6)
    assert look(relay.settings(host="::1")).status is ProbeStatus.OK


@pytest.mark.parametrize(
    ("family", "connected"),
    [(AddressFamily.IPV4, "127.0.0.1"), (AddressFamily.IPV6, "::1"), (AddressFamily.ANY, "::1")],
)
def test_a_family_of_addresses_can_be_chosen(odd_relays, look, name, family, connected: str) -> None:
    name("::1", "127.0.0.1")
    kind = socket.AF_INET6 if connected == "::1" else socket.AF_INET
    outcome = look(odd_relays(answering(), kind).settings(host="relay.test"), family=family)
    assert outcome.stage(Stage.CONNECT).detail == connected


def test_a_name_without_the_wanted_family_does_not_resolve(look, name) -> None:
    name("127.0.0.1")
    outcome = look(Relay("relay.test", 1, Security.NONE), family=AddressFamily.IPV6)
    assert (outcome.failure.stage, outcome.failure.rule) == (Stage.NAME, "relay-name")
    assert "has no IPv6 address" in outcome.failure.detail


@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "x" * 300, "-", "ex ample"])
def test_a_name_that_does_not_resolve_is_the_first_stage(look, host: str) -> None:
    outcome = look(Relay(host, 25, Security.NONE))
    assert (outcome.failure.stage, outcome.failure.rule) == (Stage.NAME, "relay-name")


def test_a_source_address_is_used_or_said_to_be_missing(odd_relays, look) -> None:
    relay = odd_relays(answering())
    assert look(relay.settings(), source_address="127.0.0.5").status is ProbeStatus.OK
    outcome = look(relay.settings(), source_address="192.0.2.1")
    assert outcome.failure.rule == "relay-unreachable"
    assert "does not have the source address" in outcome.failure.detail
    outcome = look(relay.settings(), source_address="::1")
    assert (outcome.failure.stage, outcome.failure.rule) == (Stage.NAME, "relay-name")


@pytest.mark.parametrize(
    "options",
    [
        {"source_address": "eth0"},
        {"ehlo_name": "a b"},
        {"ehlo_name": "a\r\nMAIL"},
        {"to": "nobody"},
        {"sender": "a@b\r\n"},
        {"send": True},
        {"deadline": 0.0},
        {"ca_bundle": "/nosuch.pem"},
    ],
)
def test_options_that_cannot_be_used_are_refused_before_any_connection(options) -> None:
    with pytest.raises(UsageError) as refused:
        ProbeOptions(**options)
    assert refused.value.hint
