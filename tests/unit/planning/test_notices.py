"""What stands out in a plan: mail that will leave through another domain's relay, or under another From domain."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.connecting import FakeGateway, make_plan
from support.mail_settings import STORED, hosts, realms

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more
from ztrust_mail.planning.plan import Plan, all_findings
from ztrust_mail.planning.planners.from_spec import PlanningContext
from ztrust_mail.planning.safety import SHOWN_MOVES, notices

SENDER = "no-reply@acme.example"


def plan_to(
    live: Mapping[str, Mapping[str, str]], *, host: str = "smtp.example.com", sender: str = SENDER, **more: object
) -> Plan:
    """Return the plan that gives all the realms one relay and one sender."""
    entry = {"sender": {"address": sender, "name": "New"}, "relay": {"host": host}, **more}
    return make_plan(realms({"?*": entry}), FakeGateway(live), PlanningContext())


def moved(before: str, after: str) -> list[str]:
    return [finding.message for finding in notices(plan_to({"acme": {**STORED, "host": before}}, host=after))]


def test_a_move_of_the_relay_is_reported_once_for_all_its_realms() -> None:
    made = plan_to(
        {f"tenant-{n:02}": {**STORED, "host": "smtp.old.example"} for n in range(37)}, host="smtp.new.example"
    )
    (finding,) = notices(made)
    assert finding == Finding(
        Severity.WARNING,
        "relay-moves",
        "the relay moves from `smtp.old.example` to `smtp.new.example` in 37 realms: tenant-00, tenant-01 and 35 more",
        "check that mail and logins should go there",
        made.realms[0].wanted.origins["relay.host"],
        None,
        "relay.host",
    )
    assert finding in all_findings(made)


def test_a_move_of_the_from_domain_is_reported() -> None:
    made = plan_to({"acme": {**STORED, "from": "no-reply@Old.example"}})
    (finding,) = notices(made)
    assert finding.rule == "sender-moves"
    assert finding.message == "the From domain moves from `old.example` to `acme.example` in 1 realm: acme"
    assert (finding.realm, finding.field) == ("acme", "sender.address")
    assert "SPF" in finding.hint


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ("smtp.old.example", "smtp.new.example", True),
        ("smtp.example.com", "smtp2.example.com", False),
        ("smtp.example.com", "SMTP2.Example.COM.", False),
        ("smtp.example.com", "example.com", False),
        ("example.com", "example.net", True),
        ("a.example.co.uk", "b.example.co.uk", False),
        ("a.example.co.uk", "a.evil.co.uk", True),
        ("example.co.uk", "evil.co.uk", True),
        ("example.com.au", "evil.com.au", True),
        ("smtp.eu.example.com", "smtp.us.example.com", True),
        ("localhost", "relay", True),
        ("10.0.0.1", "10.0.0.2", True),
        ("10.0.0.1", "11.0.0.1", True),
        ("2001:db8::1", "2001:db8::2", True),
        ("smtp.example.com", "10.0.0.1", True),
    ],
)
def test_a_relay_moves_when_its_domain_is_another(before: str, after: str, moves: bool) -> None:
    assert bool(moved(before, after)) == moves


@given(hosts, hosts)
def test_a_move_is_reported_in_both_directions_or_in_none(one: str, other: str) -> None:
    assert bool(moved(one, other)) == bool(moved(other, one))
    assert moved(one, one) == []


@pytest.mark.parametrize("live", [{}, {"host": "", "from": ""}, {"fromDisplayName": "Old"}])
def test_a_first_setting_is_no_move(live: dict[str, str]) -> None:
    made = plan_to({"acme": live})
    assert made.changed
    assert notices(made) == ()


def test_a_removal_is_no_move() -> None:
    made = make_plan(realms({"acme": {"disabled": True}}), FakeGateway({"acme": STORED}), PlanningContext())
    assert made.changed
    assert notices(made) == ()


def test_an_unchanged_relay_is_no_move_whatever_else_changes() -> None:
    made = plan_to({"acme": {**STORED, "host": "SMTP.example.com", "from": "other@ACME.example"}})
    assert made.changed
    assert notices(made) == ()


def test_realms_with_other_hosts_of_one_domain_move_together() -> None:
    live = {"acme": {**STORED, "host": "a.old.example"}, "globex": {**STORED, "host": "b.old.example"}}
    (finding,) = notices(plan_to(live, host="smtp.new.example"))
    assert finding.message == "the relay moves from `*.old.example` to `smtp.new.example` in 2 realms: acme and globex"


def test_moves_are_reported_separately_the_largest_first() -> None:
    live = {
        "acme": {**STORED, "host": "smtp.one.example"},
        "globex": {**STORED, "host": "smtp.two.example"},
        "initech": {**STORED, "host": "smtp.two.example"},
    }
    found = notices(plan_to(live, host="smtp.new.example"))
    assert [finding.message.partition(" in ")[2] for finding in found] == [
        "2 realms: globex and initech",
        "1 realm: acme",
    ]
    assert [finding.realm for finding in found] == [None, "acme"]


def test_a_fleet_with_a_domain_per_realm_gets_one_warning_with_a_pattern() -> None:
    live = {f"tenant-{n:03}": {**STORED, "from": f"no-reply@tenant-{n:03}.old.example"} for n in range(400)}
    (found,) = notices(plan_to(live, sender="no-reply@{realm.slug}.example.com"))
    assert found.message == (
        "the From domain moves from `{realm}.old.example` to `{realm}.example.com` in 400 realms: "
        "tenant-000, tenant-001 and 398 more"
    )


def test_domains_without_a_pattern_do_not_flood_the_plan() -> None:
    live = {f"tenant-{n:03}": {**STORED, "from": f"no-reply@customer-{n * n}.example"} for n in range(400)}
    found = notices(plan_to(live, sender="no-reply@{realm.slug}.example.com"))
    assert len(found) == SHOWN_MOVES + 1
    message = found[-1].message
    assert message.startswith(
        "the From domain moves in 395 more realms (tenant-005, tenant-006 and 393 more): "
        "to `tenant-005.example.com`, `tenant-006.example.com`, "
    )
    assert message.endswith("`tenant-014.example.com` and 385 more")


def test_a_single_realm_that_moves_elsewhere_is_named_with_its_domain() -> None:
    names = [f"tenant-{n}" for n in range(8)]
    live = {name: {**STORED, "from": f"no-reply@{name}.old.example"} for name in names}
    live["tenant-7"] = {**STORED, "from": "no-reply@evil.example"}
    _, odd = notices(plan_to(live, sender="no-reply@{realm.slug}.example.com"))
    assert odd.message == "the From domain moves from `evil.example` to `tenant-7.example.com` in 1 realm: tenant-7"


def test_live_values_in_notices_cannot_steer_the_terminal() -> None:
    (message,) = moved("smtp.\u202eold.\x1b[31mexample", "smtp.example.com")
    assert message.isprintable()
    assert r"\u202e" in message


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d"], "a, b and 2 more"),
        ([str(n) for n in range(2002)], "0, 1 and 2,000 more"),
        (["a\u202e"], "a\\u202e"),
    ],
)
def test_a_long_list_of_realms_is_cut(names: list[str], words: str) -> None:
    assert first_and_more(names) == words


@given(st.lists(st.text("ab", min_size=1), min_size=1))
def test_a_cut_list_counts_every_realm(names: list[str]) -> None:
    words = first_and_more(names).replace(" and ", ", ").split(", ")
    counts = [int(word.removesuffix(" more")) if word.endswith(" more") else 1 for word in words]
    assert sum(counts) == len(names)
