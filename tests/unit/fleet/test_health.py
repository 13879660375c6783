"""What a worker answers about itself: whether it works, and the metrics of its queues."""

from __future__ import annotations

import re
import socket
from asyncio import new_event_loop
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.journals import SERVER, change, database_at

import ztrust_mail
from ztrust_mail.core.errors import JournalError, UsageError
from ztrust_mail.fleet.health import ENDED_WITHIN, OLDEST_SWEEP, parse_address, serve_health
from ztrust_mail.fleet.worker import WorkerState
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.requests import NewRequest, RequestEnd, RequestState, RequestTable

NOW = 1000.0
PAGE = Path(__file__).parents[3] / "docs" / "fleet.md"


@dataclass
class FakeWorker:
    """A worker as far as the server looks at it."""

    requests: RequestTable
    state: WorkerState = field(default_factory=lambda: WorkerState(is_connected=True, last_sweep=NOW - 1))


class UnreachableTable(RequestTable):
    """The requests in a database that is down."""

    def counts(self, period):
        raise JournalError("the journal cannot be reached")


@pytest.fixture
def worker(journal: Journal) -> FakeWorker:
    return FakeWorker(journal.requests)


@pytest.fixture
def client(worker: FakeWorker) -> Iterator[httpx.Client]:
    """A client of the server of a worker, whose clock stands still."""
    with serve_health(worker, "0", clock=lambda: NOW) as url, httpx.Client(base_url=url) as opened:
        yield opened


def submit(journal: Journal, content: str, queue: str = "default", server: str = SERVER) -> int:
    new = NewRequest(server, "prod", queue, "drift", content, digest=f"{server} {content}")
    with journal.requests.adding(new) as (request, _):
        return request.number


def end(journal: Journal, state: RequestState, server: str) -> None:
    """End the only request for a server."""
    [request] = journal.requests.take(journal.requests.waiting_for(server))
    journal.requests.store([(request, RequestEnd(state))])


def metrics(client: httpx.Client) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the values of each metric by the values of its labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


# /health


def test_a_worker_that_is_connected_and_sweeps_is_healthy(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (WorkerState(is_connected=False, last_sweep=NOW), "not connected to the database"),
        (WorkerState(is_connected=True), "no sweep has ended yet"),
        (WorkerState(is_connected=True, last_sweep=NOW - OLDEST_SWEEP), "the last sweep ended 60 s ago"),
        (WorkerState(is_connected=True, is_stopping=True, last_sweep=NOW), "stopping"),
        (WorkerState(is_connected=False, is_stopping=True), "stopping"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_worker_that_cannot_work_says_why_in_one_line(client, worker, state, why):
    worker.state = state
    answer = client.get("/health")
    assert (answer.status_code, answer.text) == (503, f"{why}\n")


def test_a_worker_is_healthy_until_its_last_sweep_is_a_minute_old(client, worker):
    worker.state.last_sweep = NOW - OLDEST_SWEEP + 0.5
    assert client.get("/health").status_code == 200


def test_other_paths_name_the_two_that_exist_and_other_methods_are_refused(client):
    assert client.get("/").status_code == 404
    assert "/health or /metrics" in client.get("/nothing").text
    assert client.post("/health").status_code == 501


def test_a_query_is_ignored(client):
    assert client.get("/health?probe=1").status_code == 200


# /metrics


def test_metrics_count_the_requests_of_each_queue_and_state_and_show_states_without_any(client, journal):
    submit(journal, "1")
    submit(journal, "2")
    submit(journal, "1", "eu", "https://eu.example.com")
    submit(journal, "1", "eu", "https://other.example.com")
    end(journal, RequestState.DEAD, "https://eu.example.com")
    found = metrics(client)
    assert found["ztrust_mail_requests"] == {
        ("default", "waiting"): 2,
        ("default", "running"): 0,
        ("eu", "waiting"): 1,
        ("eu", "running"): 0,
    }
    ended = found["ztrust_mail_requests_ended_last_hour"]
    assert ended["eu", "dead"] == 1
    assert ended["default", "dead"] == 0
    assert {state for _, state in ended} == {state for state in RequestState if state.is_final}


def test_metrics_forget_an_end_after_an_hour_and_keep_the_queue(client, journal, journal_url):
    submit(journal, "1")
    end(journal, RequestState.DEAD, SERVER)
    dead = ("default", "dead")
    assert metrics(client)["ztrust_mail_requests_ended_last_hour"][dead] == 1
    before = datetime.now(UTC) - ENDED_WITHIN - timedelta(minutes=1)
    with database_at(journal_url) as database, database.writing() as transaction:
        transaction.execute("UPDATE journal_requests SET ended = :then", {"then": before})
    found = metrics(client)
    assert found["ztrust_mail_requests_ended_last_hour"][dead] == 0
    assert found["ztrust_mail_oldest_waiting_request_age_seconds"] == {("default",): 0}


@pytest.mark.parametrize("spoilt", ["submitted = 'infinity'", "submitted = '-infinity'", "state = 'sideways'"])
def test_metrics_are_not_blinded_by_a_damaged_request(client, journal, journal_url, spoilt):
    submit(journal, "1")
    submit(journal, "1", "eu", "https://eu.example.com")
    change(journal_url, f"UPDATE journal_requests SET {spoilt} WHERE number = 1")
    found = metrics(client)
    assert found["ztrust_mail_requests"]["eu", "waiting"] == 1
    assert found["ztrust_mail_oldest_waiting_request_age_seconds"]["default",] < 3600


def test_metrics_have_the_age_of_the_oldest_waiting_request_and_0_where_none_waits(client, journal, journal_url):
    submit(journal, "1")
    submit(journal, "2")
    submit(journal, "1", "eu", "https://eu.example.com")
    end(journal, RequestState.DONE, "https://eu.example.com")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    with database_at(journal_url) as database, database.writing() as transaction:
        transaction.execute("UPDATE journal_requests SET submitted = :then WHERE number = 1", {"then": hour_ago})
    found = metrics(client)["ztrust_mail_oldest_waiting_request_age_seconds"]
    assert found["default",] >= 3600
    assert found["eu",] == 0


def test_metrics_say_what_the_worker_does(client, worker):
    worker.state.draining |= {SERVER, "https://eu.example.com"}
    worker.state.last_sweep = NOW - 7
    found = metrics(client)
    assert found["ztrust_mail_worker_connected"][()] == 1
    assert found["ztrust_mail_worker_draining_servers"][()] == 2
    assert found["ztrust_mail_worker_last_sweep_age_seconds"][()] == 7
    assert found["ztrust_mail_worker_info"] == {(ztrust_mail.__version__,): 1}
    assert found["process_resident_memory_bytes"][()] > 0


def test_metrics_without_the_database_leave_out_the_requests_and_say_that_it_is_not_connected(
    client, worker, journal, journal_url
):
    submit(journal, "1")

    with database_at(journal_url) as database:
        worker.requests = UnreachableTable(database)
    worker.state = WorkerState(is_connected=False)
    found = metrics(client)
    assert found["ztrust_mail_worker_connected"][()] == 0
    assert not {"ztrust_mail_requests", "ztrust_mail_worker_last_sweep_age_seconds"} & found.keys()


def test_the_names_of_metrics_follow_the_conventions_and_each_is_documented(client, journal):
    submit(journal, "1")
    page = PAGE.read_text(encoding="utf-8")
    own = [name for name in metrics(client) if not name.startswith("process_")]
    assert len(own) == 7
    for name in own:
        assert re.fullmatch(r"ztrust_mail_[a-z_]+", name)
        assert not name.endswith(("_total", "_count"))  # counters and histograms end like this, and these are none
        assert "age" not in name or name.endswith("_age_seconds")
        assert f"`{name}`" in page or f"`{name}{{" in page


# The server


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9180", ("127.0.0.1", 9180)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("worker-1.example.com:0", ("worker-1.example.com", 0)),
        ("[::1]:9180", ("::1", 9180)),
    ],
)
def test_an_address_is_a_port_with_or_without_a_host(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":9180", "host", "host:", "127.0.0.1:65536", "::1:9180", "a b:1", "1:2:3", "١:1"])
def test_what_is_no_address_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="is not an address to listen on") as caught:
        parse_address(text)
    assert "such as 127.0.0.1:9180" in caught.value.hint


def test_an_address_that_is_taken_is_refused_before_the_worker_begins(worker):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(UsageError, match=f"cannot listen on `{port}`: Address already in use"),
            serve_health(worker, str(port)),
        ):
            pytest.fail("the block was entered")


def test_the_server_ends_with_the_block_while_a_client_is_still_connected(worker):
    with serve_health(worker, "127.0.0.1:0") as url:
        port = int(url.rpartition(":")[2])
        idle = socket.create_connection(("127.0.0.1", port))
    with closing(idle), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_server_listens_on_ipv6(worker):
    with serve_health(worker, "[::1]:0") as url:
        assert url.startswith("http://[::1]:")
        assert httpx.get(f"{url}/health").status_code in (200, 503)


def test_a_sweep_is_as_old_as_the_clock_of_the_event_loop_says(journal):
    loop = new_event_loop()
    state = WorkerState(is_connected=True, last_sweep=loop.time())
    loop.close()
    with serve_health(FakeWorker(journal.requests, state), "0") as url:
        assert httpx.get(f"{url}/health").text == "ok\n"
