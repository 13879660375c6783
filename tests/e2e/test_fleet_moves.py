"""A server that moves to another queue, and a database that stops permitting what workers do."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postgresql import PostgresqlServer

from ztrust_mail import fleet
from ztrust_mail.core.secret import Secret
from ztrust_mail.fleet.queue import WorkerEngine
from ztrust_mail.fleet.worker import Worker, WorkerOptions, WorkerTiming
from ztrust_mail.journal.database import parse_url
from ztrust_mail.journal.requests import BusyServer

URL = "https://id.example.com"


class Inventory:
    """A settings file with one server, an empty journal and its engine."""

    def __init__(self, file: Path, postgresql: PostgresqlServer) -> None:
        self.database = postgresql.empty_database()
        self.postgresql, self.file = postgresql, file
        self.journal = Secret(postgresql.url(self.database))
        self.move_to("default")

    def move_to(self, queue: str) -> None:
        """Write the settings with the server in a queue."""
        journal = f"[journal]\nurl = {json.dumps(self.journal.reveal())}\n"
        self.file.write_text(f'[servers.prod]\nurl = "{URL}"\nqueue = "{queue}"\n{journal}', encoding="utf-8")

    def submit(self, key: str) -> int:
        """Submit a request by the present settings, and return its number."""
        work = fleet.TestStored([key])
        return fleet.submit(work, "prod", key=key, config_path=str(self.file), environ={}).number

    def run(self, statement: str) -> None:
        """Run SQL on the journal."""
        self.postgresql.run(statement, self.database)


@pytest.fixture
def inventory(tmp_path: Path, postgresql: PostgresqlServer) -> Inventory:
    """A server in the queue ``default``."""
    return Inventory(tmp_path / "settings.toml", postgresql)


@pytest.fixture
def engine(inventory: Inventory) -> Iterator[WorkerEngine]:
    """An engine on the journal."""
    with fleet.open_engine(str(inventory.file), {}) as opened:
        assert isinstance(opened, WorkerEngine)
        yield opened


def queues_of_jobs(engine: WorkerEngine) -> list[str]:
    """Return the queue of each job that waits."""
    with engine.journal.requests.waking(BusyServer(URL, "prod", "default", 0)) as transaction:
        return [row["queue_name"] for row in transaction.query("SELECT queue_name FROM procrastinate_jobs")]


def test_a_job_that_waits_moves_with_its_server_to_another_queue(inventory: Inventory, engine: WorkerEngine) -> None:
    """Else no worker would do it, nor what is submitted later: that relies on the job."""
    inventory.submit("first")
    assert queues_of_jobs(engine) == ["default"]
    inventory.move_to("eu")
    inventory.submit("second")
    assert queues_of_jobs(engine) == ["eu"]


def test_a_request_that_is_submitted_again_moves_the_job_too(inventory: Inventory, engine: WorkerEngine) -> None:
    inventory.submit("first")
    inventory.move_to("eu")
    inventory.submit("first")
    assert queues_of_jobs(engine) == ["eu"]


def test_a_sweep_moves_a_job_to_the_queue_of_its_server(inventory: Inventory, engine: WorkerEngine) -> None:
    inventory.submit("first")
    inventory.run("UPDATE journal_servers SET queue = 'eu'")
    engine.wake_all()
    assert queues_of_jobs(engine) == ["eu"]


def test_a_request_that_is_tried_again_waits_in_the_present_queue(inventory: Inventory, engine: WorkerEngine) -> None:
    number = inventory.submit("first")
    inventory.move_to("eu")
    inventory.submit("second")
    engine.cancel(number)
    assert engine.retry(number).queue == "eu"
    assert queues_of_jobs(engine) == ["eu"]


def test_a_worker_connects_again_when_its_rights_are_back(
    inventory: Inventory, engine: WorkerEngine, caplog: pytest.LogCaptureFixture
) -> None:
    class Restoring(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "retrying" in record.getMessage():
                inventory.run("ALTER TABLE IF EXISTS taken_away RENAME TO procrastinate_jobs")

    steps = iter(("take away", "end"))

    def sweep() -> None:
        if next(steps, "") == "take away":
            inventory.run("ALTER TABLE procrastinate_jobs RENAME TO taken_away")
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    timing = WorkerTiming(sweep=0.05, poll=0.05, reconnect=0.05)
    worker = Worker(engine, parse_url(inventory.journal), WorkerOptions(timing=timing), (sweep,))
    log, handler = logging.getLogger("ztrust_mail.worker"), Restoring()
    log.addHandler(handler)
    try:
        worker.run()
    finally:
        log.removeHandler(handler)
    assert "retrying" in caplog.text
