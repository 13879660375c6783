"""``ztrust-mail worker`` as a process, its journal in PostgreSQL: it listens, does schedules, and stops in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.postgresql import PostgresqlServer
from support.processes import free_port, tail

from ztrust_mail import fleet
from ztrust_mail.sandbox import Sandbox

PATIENCE = 60.0
SPEC = """\
version: 1
realms:
  acme: {sender: {address: no-reply@acme.example}, relay: {host: smtp.example.com, security: none}}
"""


@dataclass
class Worker:
    """A running process, and where it answers."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def health(self) -> tuple[int, str]:
        """Return status and text, 0 while nobody listens."""
        try:
            answer = httpx.get(f"{self.url}/health")
        except httpx.TransportError:
            return 0, ""
        return answer.status_code, answer.text

    def metric(self, name: str, **labels: str) -> float | None:
        families = text_string_to_metric_families(httpx.get(f"{self.url}/metrics").text)
        found = [one for family in families for one in family.samples if one.name == name]
        return next((one.value for one in found if labels.items() <= one.labels.items()), None)

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_true():
            assert time.monotonic() < end, tail(self.log)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.1)
                pytest.fail(f"the worker ended\n{tail(self.log)}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


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
def running(settings: Path, *options: str) -> Iterator[Worker]:
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
        yield Worker(process, f"http://127.0.0.1:{port}", log)
    finally:
        process.kill()
        process.wait()


def test_a_worker_does_a_request_shows_it_in_its_metrics_and_ends_with_0_when_it_is_told_to(settings, ztrust_sandbox):
    work = fleet.ApplySpec(str(settings.with_name("mail.yaml")), allow=["mass-change"])
    with running(settings) as worker:
        worker.wait_until(lambda: worker.health() == (200, "ok\n"))
        number = fleet.submit(work, "prod", config_path=str(settings)).number
        worker.wait_until(lambda: fleet.status(number, config_path=str(settings)).state.is_final)
        assert worker.metric("ztrust_mail_requests", queue="default", state="done") == 1
        assert worker.metric("ztrust_mail_worker_connected") == 1
        assert worker.stop() == 0
    assert ztrust_sandbox.smtp("acme")["host"] == "smtp.example.com"


def test_workers_do_what_a_schedule_asks_for_once(settings):
    added = '[schedules.each-minute]\ndrift = "mail.yaml"\ncron = "* * * * *"\n'
    with running(settings) as worker, running(settings) as second:
        worker.wait_until(lambda: worker.health()[0] == 200)
        settings.write_text(f"{settings.read_text(encoding='utf-8')}\n{added}", encoding="utf-8")
        worker.wait_until(lambda: bool(worker.metric("ztrust_mail_requests", queue="default", state="done")))
        second.wait_until(lambda: second.health()[0] == 200)
    with fleet.open_engine(str(settings)) as engine:
        requests = engine.journal.requests.newest()
    assert {one.kind for one in requests} == {"drift"}
    assert len({one.key for one in requests}) == len(requests)
    assert all(one.state is fleet.RequestState.DONE for one in requests[1:])


def test_an_address_that_cannot_be_used_ends_the_worker_before_it_takes_a_request(settings):
    with running(settings, "--listen", "nonsense") as worker:
        assert worker.process.wait(PATIENCE) == 2
        assert "`nonsense` is no address to listen on; write HOST:PORT or a port" in worker.log.read_text()
