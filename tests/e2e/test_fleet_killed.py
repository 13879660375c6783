"""Workers that are killed, cut off and paused at every step of a request: it is done as asked in the end, and once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.fleet_cases import (
    APPLY,
    APPLY_PLAN,
    DRIFT,
    ONBOARD,
    QUICK,
    ROTATE,
    TEST,
    TEST_STORED,
    Case,
    wait_until,
)
from support.fleet_faults import World, world_on
from support.fleet_points import (
    EVERY_REQUEST,
    HELD,
    LOOKING,
    MAILING,
    ONBOARDING,
    READING,
    SUBMITTING,
    WRITING,
)
from support.keycloak_server import KeycloakServer
from support.postgresql import PostgresqlServer
from support.server_under_test import real_server, sandbox_server

AT_ONCE = 10
"""How many workers run at once."""


@pytest.fixture(scope="module")
def world(postgresql: PostgresqlServer, ca_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox with its relay."""
    folder = tmp_path_factory.mktemp("fleet")
    with sandbox_server("sandbox-26", ca_file) as server, world_on(server, postgresql, folder) as made:
        yield made


POINTS = {
    APPLY: (*EVERY_REQUEST, *WRITING, *HELD),
    APPLY_PLAN: (*EVERY_REQUEST, *WRITING, *HELD),
    ROTATE: (*EVERY_REQUEST, *WRITING, *HELD, *MAILING),
    ONBOARD: (*EVERY_REQUEST, *WRITING, *HELD, *MAILING),
    DRIFT: (*EVERY_REQUEST, *READING),
    TEST: (*EVERY_REQUEST, *MAILING),
    TEST_STORED: ("taken", "before-mail", "mail", "ended"),
}


def rounds(cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
    """Yield so many cases as can be struck at once."""
    size = len(cases) // -(-len(cases) // AT_ONCE) + 1
    for first in range(0, len(cases), size):
        yield cases[first : first + size]


@pytest.mark.parametrize("kind", POINTS)
def test_requests_are_done_as_asked_though_their_workers_were_killed(world: World, kind: str) -> None:
    for cases in rounds([Case(kind, point) for point in POINTS[kind]]):
        with world.round(cases) as struck:
            struck.kill(struck.stop_workers())
            struck.start_for_all()
            struck.wait_until_done()
            struck.check()


MAILS = {
    "before-due": ([1, 1, 1], 0),
    "due": ([1, 1, 1], 0),
    "before-mail-mark": ([1, 1, 1], 0),
    "before-mail": ([0, 1, 1], 1),
    "mail": ([1, 1, 1], 1),
    "mail-recorded": ([1, 1, 1], 0),
    "before-mail-2": ([1, 0, 1], 1),
    "mail-3": ([1, 1, 1], 1),
}
"""How many mails each realm gets whose worker is killed there, and of how many it is unknown whether they were sent."""


def test_an_onboarding_sends_each_mail_once_though_its_worker_was_killed(world: World) -> None:
    assert MAILS.keys() == ONBOARDING.keys()
    with world.round([Case(ONBOARD, point) for point in MAILS]) as struck:
        struck.kill(struck.stop_workers())
        struck.start_for_all()
        struck.wait_until_done()
        struck.check()
        found = {
            site.case.point: (struck.count_mails(site), len(struck.find_unknown_mails(site))) for site in struck.sites
        }
        assert found == MAILS


THEN = (
    *(("taken", "taken"), ("begun", "mark"), ("mark", "put-1"), ("put-1", "settled"), ("put-2", "before-ended")),
    *(("before-read-back", "before-lease-on-requests"), ("finished", "before-taken"), ("before-ended", "before-ended")),
)


@pytest.mark.parametrize("kind", [APPLY, ONBOARD])
def test_requests_are_done_as_asked_though_two_workers_were_killed_one_after_the_other(world: World, kind: str) -> None:
    with world.round([Case(kind, first, then) for first, then in THEN]) as struck:
        struck.kill(struck.stop_workers())
        struck.kill(struck.stop_next_workers())
        struck.start_for_all()
        struck.wait_until_done()
        struck.check()


STEPS = (
    *(Case(APPLY, point) for point in (*EVERY_REQUEST, *WRITING)),
    *(Case(APPLY_PLAN, point) for point in ("begun", "put-1", "before-read-back")),
    *(Case(ROTATE, point) for point in ("mark", "put-1", "mail", "before-ended")),
    *(Case(ONBOARD, point) for point in ("taken", "put-1", "before-mail", "before-ended")),
    *(Case(DRIFT, point) for point in ("taken", "server-read", "before-ended")),
)
"""Each step of a request, and those of other kinds at which more may go wrong."""


def test_requests_are_done_as_asked_though_the_connections_to_the_database_were_cut(world: World) -> None:
    for cases in rounds(STEPS):
        with world.round(cases) as struck:
            workers = struck.stop_workers(sweep=QUICK)
            struck.cut_connections()
            for worker in workers:
                worker.release()
            struck.wait_until_done()
            struck.check()


def test_requests_are_done_as_asked_though_the_database_was_restarted(world: World) -> None:
    for cases in rounds(STEPS):
        with world.round(cases) as struck:
            workers = struck.stop_workers(sweep=QUICK)
            world.postgresql.halt()
            for worker in workers:
                worker.release()
            world.postgresql.start()
            struck.wait_until_done()
            struck.check()


def test_requests_are_done_as_asked_though_their_server_was_restarted(world: World) -> None:
    for cases in rounds(STEPS):
        with world.round(cases) as struck:
            workers = struck.stop_workers(sweep=QUICK)
            for site in struck.sites:
                site.proxy.refuse()
            for worker in workers:
                worker.release()
            struck.wait_until_down()
            for site in struck.sites:
                site.proxy.listen()
            struck.wait_until_done()
            struck.check()


PAUSED = (
    *(Case(APPLY, point) for point in (*EVERY_REQUEST, *WRITING)),
    *(Case(ROTATE, point) for point in ("before-mark", "mark", "before-put-2", "before-read-back", "mail")),
    *(Case(ONBOARD, point) for point in ("before-mark", "mark", "before-put-2", "before-read-back", "before-mail")),
)


def test_a_worker_that_was_paused_for_longer_than_its_lease_writes_no_more(world: World) -> None:
    for cases in rounds(PAUSED):
        with world.round(cases) as struck:
            workers = struck.stop_workers()
            for worker in workers:
                worker.pause()
            struck.start_for_all()
            struck.wait_until_done()
            ended, sent = struck.ends(), struck.puts()
            struck.wait_until_stale()
            for worker in workers:
                worker.release()
                worker.resume()
            for worker in workers:
                struck.wait_until_drained(worker)
            assert (struck.ends(), struck.puts()) == (ended, sent)
            struck.wait_until_done()
            struck.check()


def test_a_submit_that_dies_is_done_once_when_it_is_submitted_again(world: World) -> None:
    with world.round([Case(APPLY, f"submit {point}") for point in SUBMITTING], submit=False) as struck:
        clients = [
            struck.start_client(site, point, "order") for site, point in zip(struck.sites, SUBMITTING, strict=True)
        ]
        for client in clients:
            client.reach()
            client.kill()
        for site in struck.sites:
            struck.submit(site, "order")
        assert struck.ask("SELECT count(*) FROM journal_requests") == [(len(struck.sites),)]
        assert struck.ask("SELECT count(*) FROM procrastinate_jobs") == [(len(struck.sites),)]
        struck.start_for_all()
        struck.wait_until_done()
        struck.check()


def test_a_drain_waits_for_a_submit_that_relies_on_its_job(world: World) -> None:
    with world.round([Case(APPLY, "a submit that is about to be committed")]) as struck:
        [site] = struck.sites
        client = struck.start_client(site, "before-commit", "late")
        client.reach()
        assert struck.ask("SELECT count(*) FROM procrastinate_jobs") == [(1,)]
        struck.start(site)
        wait_until(
            lambda: struck.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") != [(0,)], lambda: "nothing waits"
        )
        client.release()
        wait_until(lambda: client.has_ended, client.log.read_text)
        struck.submit(site, "late")  # the same request
        assert struck.ask("SELECT count(*) FROM journal_requests") == [(3,)]
        struck.wait_until_done()
        struck.check()


@pytest.mark.parametrize("point", LOOKING)
def test_a_request_that_arrives_as_a_drain_looks_for_requests_is_done(world: World, point: str) -> None:
    with world.round([Case(APPLY, f"a submit as another drain {point}")]) as struck:
        [site] = struck.sites
        worker = struck.start(site, point)
        worker.reach()
        struck.submit(site, "late")
        worker.release()
        struck.wait_until_done()
        struck.check()


def test_a_request_without_a_job_is_found_by_a_sweep(world: World) -> None:
    with world.round([Case(APPLY, "a job that is gone")]) as struck:
        struck.ask("DELETE FROM procrastinate_jobs RETURNING 1")
        struck.start(struck.sites[0])
        struck.wait_until_done()
        struck.check()


def test_the_number_of_cases_is_printed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.cases
    with capsys.disabled():
        print(f"\n{world.summary()}")


ON_KEYCLOAK = (
    *(Case(APPLY, "put-2"), Case(APPLY, "put-unanswered"), Case(APPLY_PLAN, "before-read-back")),
    *(Case(ROTATE, "mail"), Case(ONBOARD, "put-1")),
)


def test_requests_to_a_real_keycloak_are_done_as_asked_though_their_workers_were_killed(
    keycloak_26: KeycloakServer,
    postgresql: PostgresqlServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with real_server(keycloak_26) as server, world_on(server, postgresql, tmp_path) as world:
        with world.round(ON_KEYCLOAK) as struck:
            struck.kill(struck.stop_workers())
            struck.start_for_all()
            struck.wait_until_done()
            struck.check()
        with capsys.disabled():
            print(f"\n{world.summary()}")
