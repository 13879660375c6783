"""The engine that needs no worker, and the functions of the package that open one for each call."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest
from support.journals import asked
from support.queued import Queue, apply_to, entry, onboard, spec

from ztrust_mail import fleet
from ztrust_mail.core.errors import ConfigError, JournalError, SpecError, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.fleet import ApplySpec, CheckDrift, OnboardRealms, RequestState
from ztrust_mail.fleet.engine import MAX_KEY


@pytest.fixture
def place(queue: Queue) -> dict[str, Any]:
    """Where the functions find the settings."""
    return {"config_path": str(queue.settings), "environ": queue.environ}


def test_a_service_submits_drains_and_asks_in_a_few_calls(queue: Queue, place: dict[str, Any]) -> None:
    request = fleet.submit(OnboardRealms({"acme": entry()}, test=False), "prod", key="order 4711", **place)
    assert (request.state, request.name, request.server) == (RequestState.WAITING, "prod", queue.server.url)
    assert fleet.drain("prod", **place) == 1
    assert fleet.status(request.number, **place).state is RequestState.DONE
    again = fleet.submit(OnboardRealms({"acme": entry()}, test=False), "prod", key="order 4711", **place)
    assert (again.number, again.state) == (request.number, RequestState.DONE)
    assert fleet.drain("prod", **place) == 0
    assert queue.writes() == ["acme"]


def test_a_service_cancels_and_retries(place: dict[str, Any]) -> None:
    request = fleet.submit(apply_to("acme"), "prod", **place)
    assert fleet.cancel(request.number, **place).state is RequestState.CANCELLED
    assert fleet.retry(request.number, **place).state is RequestState.WAITING
    for verb in (fleet.status, fleet.cancel, fleet.retry):
        with pytest.raises(UsageError, match="there is no request 99"):
            verb(99, **place)


def test_the_url_of_a_server_may_be_written_in_any_way(queue: Queue, place: dict[str, Any]) -> None:
    written = queue.sandbox.url.replace("http://", "HTTP://") + "/"
    queue.write_settings(url=written)
    request = fleet.submit(onboard("acme"), "prod", **place)
    assert fleet.drain("prod", **place) == 1
    assert fleet.status(request.number, **place).state is RequestState.DONE


def test_a_server_that_the_settings_lack_is_refused_and_nothing_is_stored(queue: Queue, place: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, UsageError), match="nowhere"):
        fleet.submit(onboard("acme"), "nowhere", **place)
    assert queue.states() == {}


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (apply_to("acme", server="staging"), "the spec is meant for server `staging`, not for `prod`"),
        (apply_to("acme", address="{stage}@acme.example"), "stage"),
        (onboard("acme", address="{stage}@acme.example"), "stage"),
        (ApplySpec({"version": 1, "realms": {"acme": {"sendr": {}}}}), "problem"),
    ],
)
def test_work_that_the_server_cannot_do_is_refused_and_nothing_is_stored(
    queue: Queue, work: ApplySpec | OnboardRealms, why: str
) -> None:
    with pytest.raises((ConfigError, SpecError), match=why):
        queue.submit(work)
    assert queue.states() == {}


@pytest.mark.parametrize(
    "work",
    [
        ApplySpec(spec("acme"), secrets=cast("Any", "sometimes")),
        OnboardRealms({"acme": entry()}, test=cast("Any", "no")),
    ],
)
def test_a_value_that_no_worker_could_read_is_refused_and_nothing_is_stored(queue: Queue, work: fleet.Work) -> None:
    with pytest.raises(UsageError, match=f"a field of {type(work).__name__} has a value that it cannot have"):
        queue.submit(work)
    assert queue.states() == {}


def test_a_server_of_an_untrusted_file_is_refused(queue: Queue) -> None:
    server = dataclasses.replace(queue.server, isolated=True)
    with pytest.raises(UsageError, match="only defined in an untrusted settings file") as caught:
        queue.engine.submit(onboard("acme"), server)
    assert "--config" in caught.value.hint
    assert queue.states() == {}


@pytest.mark.parametrize("key", ["x" * (MAX_KEY + 1), "nul\x00", "line\nend", "lone\ud800", "\x1b[2J", "\u202e"])
def test_a_key_that_cannot_be_stored_or_shown_is_refused(queue: Queue, key: str) -> None:
    with pytest.raises(UsageError, match="the key"):
        queue.submit(onboard("acme"), key=key)
    assert queue.states() == {}


def test_a_key_of_the_longest_length_in_any_script_is_stored(queue: Queue) -> None:
    key = "Auftrag-Übung-注文"[:MAX_KEY].ljust(MAX_KEY, "ü")
    assert queue.submit(onboard("acme"), key=key).key == key


def test_the_same_work_is_one_request_until_it_has_ended(queue: Queue) -> None:
    first = queue.submit(apply_to("acme"))
    assert queue.submit(apply_to("acme")).number == first.number
    assert queue.submit(apply_to("globex")).number != first.number
    assert queue.submit(CheckDrift(spec("acme"))).number != first.number
    queue.drain()
    assert queue.submit(apply_to("acme")).number not in (0, first.number)


def test_the_digest_does_not_depend_on_the_order_of_keys(queue: Queue) -> None:
    one: Any = {"version": 1, "realms": {"acme": entry()}}
    other: Any = dict(reversed([*one.items()]))
    assert queue.submit(ApplySpec(one)).number == queue.submit(ApplySpec(other)).number


def test_all_servers_are_drained_one_after_the_other(queue: Queue) -> None:
    queue.submit(onboard("acme"))
    assert queue.engine.drain_all() == 1
    assert queue.engine.drain_all() == 0


def test_a_retried_request_is_done_by_the_next_drain(queue: Queue) -> None:
    queue.sandbox.faults.failing_realms.add("acme")
    failed = queue.do(onboard("acme"))
    assert failed.state is RequestState.FAILED
    queue.sandbox.faults.failing_realms.clear()
    assert queue.engine.retry(failed.number).state is RequestState.WAITING
    assert queue.drain() == 1
    done = queue.engine.status(failed.number)
    assert (done.state, done.attempts) == (RequestState.DONE, 1)
    with pytest.raises(UsageError, match="is done and cannot be retried"):
        queue.engine.retry(failed.number)


def test_who_submitted_a_request_is_stored_with_it(queue: Queue) -> None:
    request = queue.submit(onboard("acme"), message="Launch of Acme")
    assert request.who
    assert asked(queue.url, "SELECT message FROM journal_requests") == [("Launch of Acme",)]


def test_workers_need_a_journal_in_postgresql(tmp_path: Path) -> None:
    for url in (None, Secret(f"sqlite:///{tmp_path}/journal.sqlite3")):
        with pytest.raises(JournalError, match="workers need a journal in PostgreSQL") as caught:
            fleet.require_workers(url)
        assert caught.value.rule == "no-workers"
    fleet.require_workers(Secret("postgresql://host/database"))


def test_to_submit_sends_nothing_to_the_server_and_resolves_no_secret(queue: Queue) -> None:
    wanted: Any = entry()
    wanted["relay"]["auth"] = {"username": "u", "password": {"command": ["false"]}}
    queue.submit(OnboardRealms({"acme": wanted}))
    assert queue.sandbox.requests == ()
