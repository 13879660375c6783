"""A run that lost its lock on the server writes nothing more; threads of one connection lock each other out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest
from support.cli import Cli
from support.connecting import FakeGateway, carried_out, connected, make_plan
from support.mail_settings import NO_LOGIN, realms
from support.waiting import Clock

import ztrust_mail
from ztrust_mail.core.errors import ExitStatus, Unsafe
from ztrust_mail.gateways.gateway import LiveRealm
from ztrust_mail.journal.journal import Journal, open_journal
from ztrust_mail.journal.lease import UNMONITORED, Monitor
from ztrust_mail.journal.records import Step
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.transport.throttle import Throttle

NAMES = ("a", "b", "c")
SPEC = realms(dict.fromkeys(NAMES, NO_LOGIN))


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    return SandboxOptions(realms=NAMES)


@pytest.fixture
def lose_lock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that reports the loss of every lock that is held, as the thread that renews it does."""
    callbacks: list[Callable[[], None]] = []
    original = Journal.lease

    @contextmanager
    def lease(
        journal: Journal, server: str, who: str, *, wait: float = 0.0, monitor: Monitor = UNMONITORED
    ) -> Iterator[None]:
        callbacks.append(monitor.lost)
        with original(journal, server, who, wait=wait, monitor=monitor):
            yield

    def lose() -> None:
        assert callbacks
        for callback in callbacks:
            callback()

    monkeypatch.setattr(Journal, "lease", lease)
    return lose


def test_the_command_line_stops_writing_when_its_lock_is_lost(
    cli: Cli, sandbox: Sandbox, lose_lock: Callable[[], None]
) -> None:
    entry = "{sender: {address: a@b.example}, relay: {host: h.example, security: none}}"
    spec = cli.write("mail.yaml", "version: 1\nrealms:\n" + "".join(f"  {name}: {entry}\n" for name in NAMES))
    cli.set(CONNECTIONS="1")
    sandbox.faults.before_write = lambda realm: lose_lock()
    report = cli("apply", spec, "--yes", "--format", "json").json
    assert [realm["status"] for realm in report["realms"]] == ["failed", "skipped", "skipped"]
    assert [bool(sandbox.smtp(name)) for name in NAMES] == [True, False, False]
    assert [finding["rule"] for finding in report["findings"]].count("lease-lost") == 1
    assert report["exit_status"] == ExitStatus.USAGE


def test_a_nested_call_learns_of_a_lock_that_was_lost_before_it(
    sandbox: Sandbox, lose_lock: Callable[[], None]
) -> None:
    outer, inner, late = threading.Event(), threading.Event(), threading.Event()
    with connected(sandbox) as connection, connection.lock(lost=outer.set) as took_outer:
        with connection.lock(lost=inner.set) as took_inner:
            lose_lock()
        assert (outer.is_set(), inner.is_set()) == (True, True)
        with connection.lock(lost=late.set):
            assert late.is_set()
    assert (took_outer, took_inner) == (True, False)


def test_the_lock_is_given_the_throttles_check_for_stuck_requests(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitors: list[Monitor] = []
    original = Journal.lease

    def lease(
        journal: Journal, server: str, who: str, *, wait: float = 0.0, monitor: Monitor = UNMONITORED
    ) -> AbstractContextManager[None]:
        monitors.append(monitor)
        return original(journal, server, who, wait=wait, monitor=monitor)

    monkeypatch.setattr(Journal, "lease", lease)
    monkeypatch.setattr(Throttle, "is_stuck", lambda throttle: True)
    with connected(sandbox) as connection, connection.lock():
        assert [monitor.is_stuck() for monitor in monitors] == [True]


def test_a_second_thread_of_the_same_connection_is_locked_out(sandbox: Sandbox) -> None:
    def lock() -> bool:
        with connection.lock() as took:
            return took

    with connected(sandbox) as connection, ThreadPoolExecutor(1) as pool:
        with connection.lock(), pytest.raises(Unsafe) as caught:
            pool.submit(lock).result()
        assert caught.value.rule == "locked"
        assert pool.submit(lock).result()


def test_a_lock_lost_while_a_realm_is_read_again_stops_its_write() -> None:
    lock_lost = threading.Event()

    class Server(FakeGateway):
        def read_one(self, realm: str) -> LiveRealm:
            if planned:
                lock_lost.set()
            return super().read_one(realm)

    planned: list[RealmPlan] = []
    server = Server({"a": {}, "b": {}}, connections=1)
    made = make_plan(realms(dict.fromkeys("ab", NO_LOGIN)), server)
    planned += [replace(r, live=replace(r.live, read_at=0.0)) for r in made.realms if r.live]  # too old to be relied on
    done = carried_out(replace(made, realms=tuple(planned)), server, lock_lost=lock_lost)
    assert [realm.status for realm in done.realms] == [Status.SKIPPED, Status.SKIPPED]
    assert server.written == []


def test_a_process_that_was_paused_for_longer_than_its_lease_begins_no_write(sandbox: Sandbox) -> None:
    clock = Clock()

    def pause(realm: str) -> None:
        clock.now += clock.timing.ttl

    with connected(sandbox, connections=1) as opened:
        journal = open_journal(opened.journal_url, writable=True, timing=clock.timing)
        assert journal is not None
        with journal:
            connection = replace(opened, shared_journal=journal)
            sandbox.faults.before_write = pause
            done = ztrust_mail.apply(ztrust_mail.plan(SPEC, connection), connection)
    assert [realm.status for realm in done.realms] == [Status.APPLIED, Status.SKIPPED, Status.SKIPPED]
    assert {finding.rule for finding in done.realms[1].findings} == {"lease-lost"}


def test_writes_before_the_loss_of_the_lock_are_in_the_journal(sandbox: Sandbox, lose_lock: Callable[[], None]) -> None:
    with connected(sandbox, connections=1) as connection:
        sandbox.faults.before_write = lambda realm: lose_lock()
        done = ztrust_mail.apply(ztrust_mail.plan(SPEC, connection), connection)
        steps = connection.journal.steps_by_realm(done.run)
        assert steps == {"a": Step.WRITTEN, "b": Step.SKIPPED, "c": Step.SKIPPED}
        assert done.stopped == "the lock on the server was lost"
        sandbox.faults.before_write = lambda realm: None
        again = ztrust_mail.apply(ztrust_mail.plan(SPEC, connection), connection)
    assert again.exit_status is ExitStatus.OK


def test_threads_that_ask_a_session_for_its_journal_at_once_get_the_same(sandbox: Sandbox) -> None:
    opening = vars(ztrust_mail.Session)["journal"].func  # without the lock that cached_property has before Python 3.12
    with connected(sandbox) as connection, ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(opening, [connection] * 4))) == 1


def test_a_cancelled_apply_waits_no_longer_for_the_run_that_has_the_lock(sandbox: Sandbox) -> None:
    cancel = threading.Event()
    cancel.set()
    with connected(sandbox) as connection, ThreadPoolExecutor(1) as pool:
        plan = ztrust_mail.plan(SPEC, connection)
        with connection.lock():
            apply = pool.submit(ztrust_mail.apply, plan, connection, allow=["all"], wait=60, cancel=cancel)
            assert isinstance(apply.exception(30), Unsafe)
