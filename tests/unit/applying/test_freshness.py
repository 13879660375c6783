"""How often realms are looked at anew before they are written, and how many of them at once."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from ztrust_mail.applying import writer
from ztrust_mail.applying.writer import SINGLE_READS, FreshReads
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.gateway import Capabilities, LiveRealm, Reading
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.specfile.resolve import Desired

NAMES = [f"realm-{n}" for n in range(30)]


@dataclass
class Server:
    """Shows realms without settings, and remembers how many it was asked for each time."""

    asked: list[int] = field(default_factory=list)
    capabilities = Capabilities(read=True, write=True, test=True)
    dialect = KEYCLOAK

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        assert not everything
        self.asked.append(len(wanted))
        return Reading(
            {name: LiveRealm(name, {"seen": str(len(self.asked))}, time.monotonic()) for name in wanted}, False
        )


def old_plan() -> list[RealmPlan]:
    long_ago = time.monotonic() - 3600.0
    return [
        RealmPlan(name, Status.CHANGED, Desired(name, None), LiveRealm(name, {}, long_ago))  # type: ignore[arg-type]
        for name in NAMES
    ]


def test_one_quick_reading_serves_all_that_are_still_to_come() -> None:
    server = Server()
    looks = FreshReads(server, old_plan())  # type: ignore[arg-type]
    assert [looks.get(name).attributes for name in NAMES] == [{"seen": "1"}] * len(NAMES)
    assert server.asked == [len(NAMES)]


def test_a_reading_that_takes_long_is_made_once_and_then_a_few_realms_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "LONG_SECONDS", -1.0)
    monkeypatch.setattr(writer, "_is_fresh", lambda live: False)  # by the time it is read, every realm has grown old
    server = Server()
    looks = FreshReads(server, old_plan())  # type: ignore[arg-type]
    assert [looks.get(name).realm for name in NAMES] == NAMES
    assert server.asked[0] == len(NAMES)
    assert max(server.asked[1:]) == SINGLE_READS
    assert len(server.asked) == len(NAMES)
