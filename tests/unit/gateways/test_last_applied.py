"""Write-only products: the last applied settings are used as live settings, and every plan says so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from support.connecting import FakeGateway

from ztrust_mail import api
from ztrust_mail.gateways.gateway import Capabilities
from ztrust_mail.gateways.last_applied import LastAppliedGateway
from ztrust_mail.journal.records import JournalState, LastKnown, Step, Write
from ztrust_mail.planning.planners.from_spec import not_seen
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.settings import Server
from ztrust_mail.transport.throttle import Throttle

HELD = {"host": "smtp.example.com", "from": "a@b.example"}
THROTTLE = Throttle("silent.example", 4)


class Silent(FakeGateway):
    capabilities = Capabilities(read=False, write=True, test=True, test_unstored=True)
    title = "A silent product"

    def __init__(self, realms: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(realms)
        self.calls: list[str] = []
        self.before_read = lambda: pytest.fail("nobody may read here")

    def edits(self, realm, since):
        self.calls.append(f"edits {realm}")

    def throttles(self):
        return (THROTTLE,)

    def close(self):
        self.calls.append("close")


def wrote(step: Step, after: Mapping[str, str] | None = HELD) -> Write:
    return Write("acme", {}, {"relay.host": "h"}, step=step, after=after, run=1)


@pytest.mark.parametrize(
    ("known", "attributes"),
    [
        (LastKnown(wrote(Step.ACCEPTED)), HELD),
        (LastKnown(wrote(Step.ACCEPTED, {})), {}),
        (LastKnown(wrote(Step.VERIFIED, None)), {}),
        (LastKnown(wrote(Step.ACCEPTED), wrote(Step.WRITING, None)), {}),
        (LastKnown(None, wrote(Step.WRITTEN, None)), {}),
        (LastKnown(), {}),
    ],
)
def test_the_last_applied_settings_are_read_unless_a_later_write_has_an_unknown_outcome(known, attributes):
    stand_in = LastAppliedGateway(Silent({}), lambda realms: JournalState({"acme": known}))
    reading = stand_in.read(["acme", "globex"], everything=True)
    assert reading.realms["acme"].attributes == stand_in.read_one("acme").attributes == attributes
    assert (reading.realms["globex"].attributes, reading.complete) == ({}, False)


def test_everything_but_reading_is_delegated_to_the_gateway():
    silent = Silent({"acme": {}})
    stand_in = LastAppliedGateway(silent, lambda realms: JournalState())
    stand_in.login()
    assert stand_in.account() == silent.account()
    assert (stand_in.version(), stand_in.realms(), stand_in.title) == ((26, 7, 4), ["acme"], "A silent product")
    assert (stand_in.url, stand_in.dialect, stand_in.connections) == (silent.url, silent.dialect, 4)
    stand_in.write("acme", HELD)
    stand_in.test("acme", {})
    assert (silent.stored["acme"], silent.tested, stand_in.may_write("acme")) == (HELD, ["acme"], True)
    assert stand_in.edits("acme", datetime.now(UTC)) is None
    assert stand_in.throttles() == (THROTTLE,)
    stand_in.close()
    assert silent.calls == ["edits acme", "close"]


def test_a_connection_uses_it_for_write_only_gateways_alone():
    silent, open_one = Silent({}), FakeGateway({})
    for opened in (silent, open_one):
        with api.Session(Server("https://fake.example"), opened, Reach(environ={})) as connection:
            assert (connection.gateway is opened) is (opened is open_one)
            assert connection.gateway is connection.gateway
    assert silent.calls == ["close"]


def test_the_note_names_the_product_and_the_settings_it_does_not_show():
    (finding,) = not_seen(Silent({}))
    assert "A silent product does not show them" in finding.message
    assert "another journal" in finding.hint
    assert not_seen(FakeGateway({})) == ()


def test_the_library_notes_last_applied_settings_and_applies_without_reading():
    spec = api.load_spec(
        {"version": 1, "realms": {"acme": {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}}}
    )
    silent = Silent({"acme": {}})
    with api.Session(Server("https://fake.example"), silent, Reach(environ={})) as connection:
        plan = api.plan(spec, connection)
        assert "live settings are unknown" in plan.unseen
        done = api.apply(plan, connection, spec=spec)
        assert [realm.status.value for realm in done.realms] == ["applied"]
        assert done.realms[0].live is not None
        assert done.realms[0].live.attributes["host"] == "h.example"
        assert [one.steps for one in api.history(connection)] == [{Step.ACCEPTED: 1}]
        again = api.plan(spec, connection)
        assert (again.changed, bool(again.unseen)) == ((), True)
        assert silent.stored["acme"]["host"] == "h.example"


def test_a_plan_from_a_readable_server_has_no_note_about_last_applied_settings():
    spec = api.load_spec({"version": 1, "realms": {"acme": {"disabled": True}}})
    with api.Session(Server("https://fake.example"), FakeGateway({"acme": {}}), Reach(environ={})) as connection:
        assert api.plan(spec, connection).unseen == ""
