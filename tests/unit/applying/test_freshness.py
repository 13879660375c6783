"""How often realms are read again before they are written, and how many of them at once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from ztrust_mail.applying.writer import FRESH_SECONDS, LONG_SECONDS, FreshReads
from ztrust_mail.core.errors import RealmError, RealmMissing
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, with_templates
from ztrust_mail.gateways.gateway import Capabilities, LiveRealm, Reading
from ztrust_mail.model.fields import THEME
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.specfile.resolve import Desired

NAMES = [f"realm-{n}" for n in range(30)]


@dataclass
class Server:
    """Shows realms without settings, and remembers how many it was asked for each time.

    ``list_seconds`` is how long a list is known to take, ``list_age`` how long the next ones do take. Single reads wait
    until so many ``together`` are under way.
    """

    list_seconds: float = math.inf
    list_age: float = 0.0
    together: int = 1
    asked: list[int] = field(default_factory=list)
    missing: frozenset[str] = frozenset()
    can_read: bool = True
    dialect = with_templates(KEYCLOAK)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(read=self.can_read, write=True, test=True)

    def __post_init__(self) -> None:
        self._all_there = threading.Barrier(self.together, timeout=10)

    def prefers_list(self, count: int, within: float = math.inf) -> bool:
        assert within == LONG_SECONDS
        return count > 8 and self.list_seconds <= within

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        assert not everything
        self.asked.append(len(wanted))
        then = time.monotonic()
        if len(wanted) == 1:
            self._all_there.wait()
        elif self.list_age:
            then, self.list_seconds = then - self.list_age, self.list_age
        gone: dict[str, LiveRealm | RealmError] = {name: RealmMissing("gone") for name in self.missing}
        seen = {name: LiveRealm(name, {"seen": str(len(self.asked))}, then) for name in wanted}
        return Reading({**seen, **gone}, complete=False)


def planned(age: float) -> list[RealmPlan]:
    """Return realms as a plan saw them so many seconds ago."""
    then = time.monotonic() - age
    return [
        RealmPlan(name, Status.CHANGED, Desired(name, None), LiveRealm(name, {}, then))  # type: ignore[arg-type]
        for name in NAMES
    ]


def reads_of(server: Server, age: float = FRESH_SECONDS + 1.0) -> FreshReads:
    return FreshReads(server, planned(age))  # type: ignore[arg-type]


def test_a_reading_of_the_plan_that_is_fresh_is_used() -> None:
    server = Server()
    reads = reads_of(server, age=0.0)
    assert [reads.get(name).attributes for name in NAMES] == [{}] * len(NAMES)
    assert server.asked == []


def test_a_reading_of_the_plan_is_used_for_a_product_that_shows_no_settings_however_old_it_is() -> None:
    server = Server(list_seconds=LONG_SECONDS, can_read=False)
    reads = reads_of(server)
    assert [reads.get(name).attributes for name in NAMES] == [{}] * len(NAMES)
    assert server.asked == []


def test_a_list_that_is_known_to_be_quick_serves_all_stale_realms_that_are_left() -> None:
    server = Server(list_seconds=LONG_SECONDS)
    reads = reads_of(server)
    assert [reads.get(name).attributes for name in NAMES] == [{"seen": "1"}] * len(NAMES)
    assert server.asked == [len(NAMES)]


def test_without_a_quick_list_each_stale_realm_is_read_alone_by_the_thread_that_writes_it() -> None:
    server = Server(list_seconds=LONG_SECONDS + 0.1, together=6)  # so that reads wait for one another
    reads = reads_of(server)
    with ThreadPoolExecutor(6) as pool:
        assert [live.realm for live in pool.map(reads.get, NAMES)] == NAMES
    assert server.asked == [1] * len(NAMES)


def test_stale_realms_with_templates_are_read_one_by_one_since_each_takes_requests_of_its_own() -> None:
    server = Server(list_seconds=0.1)
    themed = Desired(NAMES[0], None, {THEME: "example"})  # type: ignore[arg-type]
    first, *others = planned(FRESH_SECONDS + 1.0)
    reads = FreshReads(server, [replace(first, wanted=themed), *others])  # type: ignore[arg-type]
    assert [reads.get(name).realm for name in NAMES[1:]] == NAMES[1:]
    assert server.asked == [1] * len(NAMES[1:])


@pytest.mark.parametrize("seconds", [0.1, math.inf])
def test_a_stale_realm_that_is_gone_is_an_error_of_that_realm_alone(seconds: float) -> None:
    server = Server(list_seconds=seconds, missing=frozenset({"realm-1"}))
    reads = reads_of(server)
    assert reads.get("realm-0").realm == "realm-0"
    with pytest.raises(RealmMissing):
        reads.get("realm-1")
    assert reads.get("realm-2").realm == "realm-2"


def test_realms_that_a_list_did_not_have_are_not_asked_for_again() -> None:
    server = Server(list_seconds=0.1, missing=frozenset(NAMES[:10]))
    reads = reads_of(server)
    for name in NAMES[:10]:
        with pytest.raises(RealmMissing):
            reads.get(name)
    assert [reads.get(name).realm for name in NAMES[10:]] == NAMES[10:]
    assert server.asked == [len(NAMES)]


def test_a_list_that_took_too_long_this_time_is_used_for_no_realm() -> None:
    server = Server(list_seconds=0.1, list_age=FRESH_SECONDS + 1.0)
    reads = reads_of(server)
    assert [reads.get(name).attributes["seen"] for name in NAMES] == [str(n + 2) for n in range(len(NAMES))]
    assert server.asked == [len(NAMES)] + [1] * len(NAMES)
