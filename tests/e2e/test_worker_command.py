"""``ztrust-mail worker`` as a process, its journal in PostgreSQL: it listens, does schedules, and stops in order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.listening_worker import ListeningWorker
from support.postgresql import PostgresqlServer
from support.processes import PATIENCE, free_port

from ztrust_mail import fleet
from ztrust_mail.sandbox import Sandbox

SPEC = """\
version: 1
realms:
  acme: {sender: {address: no-reply@acme.example}, relay: {host: smtp.example.com, security: none}}
"""


@pytest.fixture
def settings(postgresql: PostgresqlServer, ztrust_sandbox: Sandbox, tmp_path: Path) -> Path:
    """A settings file with a server and a journal that is empty."""
    options = ztrust_sandbox.options
    path = tmp_path / "settings.toml"
    path.write_text(
        f'[servers.prod]\nurl = "{ztrust_sandbox.url}"\n'
        f'username = "{options.admin_user}"\npassword = "{options.admin_password}"\n'
        f'[journal]\nurl = "{postgresql.url(postgresql.empty_database())}"\n',
        encoding="utf-8",
    )
    (tmp_path / "mail.yaml").write_text(SPEC, encoding="utf-8")
    return path


@contextmanager
def running(settings: Path, *options: str) -> Iterator[ListeningWorker]:
    """Run a worker that is always ended."""
    port, log = free_port(), settings.with_name("worker.log")
    command = [
        sys.executable,
        "-m",
        "ztrust_mail",
        "worker",
        "--config",
        str(settings),
        "--listen",
        str(port),
        *options,
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield ListeningWorker(process, port, log)
    finally:
        process.kill()
        process.wait()


def test_a_worker_does_a_request_shows_it_in_its_metrics_and_ends_with_0_when_it_is_told_to(settings, ztrust_sandbox):
    work = fleet.ApplySpec(str(settings.with_name("mail.yaml")), allow=["mass-change"])
    with running(settings) as worker:
        worker.wait_until(lambda: worker.health() == (200, "ok\n"))
        number = fleet.submit(work, "prod", config_path=str(settings)).number
        worker.wait_until(lambda: fleet.status(number, config_path=str(settings)).state.is_final)
        assert worker.metric("ztrust_mail_requests_ended_last_hour", queue="default", state="done") == 1
        assert worker.metric("ztrust_mail_worker_connected") == 1
        assert worker.stop() == 0
    assert ztrust_sandbox.smtp("acme")["host"] == "smtp.example.com"


def test_workers_do_what_a_schedule_asks_for_once(settings):
    added = '[schedules.each-minute]\ndrift = "mail.yaml"\ncron = "* * * * *"\n'
    with running(settings) as worker, running(settings) as second:
        worker.wait_until(lambda: worker.health()[0] == 200)
        settings.write_text(f"{settings.read_text(encoding='utf-8')}\n{added}", encoding="utf-8")
        worker.wait_until(
            lambda: bool(worker.metric("ztrust_mail_requests_ended_last_hour", queue="default", state="done"))
        )
        second.wait_until(lambda: second.health()[0] == 200)
    with fleet.open_engine(str(settings)) as engine:
        requests = engine.journal.requests.newest()
    assert {one.kind for one in requests} == {"drift"}
    assert len({one.key for one in requests}) == len(requests)
    assert all(one.state is fleet.RequestState.DONE for one in requests[1:])


def test_an_address_that_cannot_be_used_ends_the_worker_before_it_takes_a_request(settings):
    with running(settings, "--listen", "nonsense") as worker:
        assert worker.process.wait(PATIENCE) == 2
        assert "`nonsense` is not an address to listen on; write HOST:PORT or a port" in worker.log.read_text()
