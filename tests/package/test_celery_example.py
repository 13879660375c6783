"""The example for Celery, on a real Redis, in an environment that is installed as its README says."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.distributions import ROOT, BareEnvironment, Distributions, make_environment
from support.journals import expire_leases
from support.postgresql import PostgresqlServer
from support.processes import free_port, wait_until

from ztrust_mail import fleet
from ztrust_mail.core.secret import Secret
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sandbox.state import Busy

EXAMPLE = ROOT / "examples" / "celery"
ENTRY = {"sender": {"address": "no-reply@acme.example"}, "relay": {"host": "smtp.example.com", "security": "none"}}
WORK = fleet.OnboardRealms({"acme": ENTRY}, test=False)
SUBMIT = """
import sys
from mail_tasks import submit
from ztrust_mail.fleet import OnboardRealms
entry = {"sender": {"address": "no-reply@acme.example"}, "relay": {"host": "smtp.example.com", "security": "none"}}
print(submit(OnboardRealms({"acme": entry}, test=False), "prod", key="order 4711").number)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, distributions: Distributions) -> BareEnvironment:
    """An environment with the wheel of this checkout and what the example requires, without our constraints."""
    folder = tmp_path_factory.mktemp("celery")
    lines = (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").split()
    made = make_environment(folder, lines[1].replace("ztrust-mail", str(distributions.wheel)), constrained=False)
    made.pip("install", "--quiet", lines[0], constrained=False)
    return made


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server of the tests' own, which is always stopped."""
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    with _process(command, folder / "log"):
        yield f"redis://127.0.0.1:{port}/0"


@dataclass(frozen=True)
class Rig:
    """A folder with the example, and the variables of everybody who uses the journal and Redis."""

    environment: BareEnvironment
    folder: Path
    journal: Secret
    variables: dict[str, str]

    def submit(self) -> int:
        """Submit a request as the README shows, and return its number."""
        program = ["python", "-c", SUBMIT]
        done = self.environment.run(*program, cwd=EXAMPLE, PYTHONDONTWRITEBYTECODE="1", **self.variables)
        assert done.status == 0, done
        return int(done.out)

    def request(self, number: int) -> fleet.StoredRequest:
        return fleet.status(number, config_path=self.variables["ZTRUST_MAIL_CONFIG"], environ=self.variables)

    @contextmanager
    def worker(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a Celery worker; at the end its processes are killed."""
        celery = str(self.environment.folder / "venv" / "bin" / "celery")
        command = [celery, "--app", "mail_tasks", "worker", "--concurrency", "2", "--loglevel", "INFO", *options]
        variables = {**self.environment.variables, **self.variables, "PYTHONDONTWRITEBYTECODE": "1"}
        with _process(command, self.log, cwd=EXAMPLE, env=variables) as process:
            yield process

    @property
    def beat(self) -> tuple[str, ...]:
        """The options by which a worker is beat, too."""
        return "--beat", f"--schedule={self.folder / 'beat'}"

    @property
    def log(self) -> Path:
        """What all workers wrote."""
        return self.folder / "worker.log"


@contextmanager
def _process(command: list[str], log: Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **options
        )
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def rig(
    environment: BareEnvironment, broker: str, postgresql: PostgresqlServer, ztrust_sandbox: Sandbox, tmp_path: Path
) -> Rig:
    config = tmp_path / "settings.toml"
    options = ztrust_sandbox.options
    login = f'username = "{options.admin_user}"\npassword = "{options.admin_password}"'
    config.write_text(f'[servers.prod]\nurl = "{ztrust_sandbox.url}"\n{login}\n', encoding="utf-8")
    journal = Secret(postgresql.url(postgresql.empty_database()))
    variables = {
        "ZTRUST_MAIL_CONFIG": str(config),
        "ZTRUST_MAIL_JOURNAL": journal.reveal(),
        "CELERY_BROKER_URL": broker,
    }
    return Rig(environment, tmp_path, journal, variables)


def test_a_request_is_done_by_a_celery_worker_and_done_once_when_it_is_submitted_twice(rig, ztrust_sandbox):
    with rig.worker() as worker:
        number = rig.submit()
        wait_until(lambda: rig.request(number).state.is_final, worker, rig.log)
        assert rig.submit() == number
    request = rig.request(number)
    assert (request.state, request.attempts) == (fleet.RequestState.DONE, 1), request.summary
    assert ztrust_sandbox.smtp("acme")["host"] == "smtp.example.com"
    assert writes(ztrust_sandbox) == 1


def test_what_a_killed_worker_has_left_is_done_after_beats_next_look(rig, ztrust_sandbox):
    ztrust_sandbox.faults.busy.append(Busy(times=1000, method="PUT", retry_after="50"))
    number = rig.submit()
    with rig.worker() as worker:
        wait_until(lambda: writes(ztrust_sandbox) == 1, worker, rig.log)
        kill(worker)
    assert rig.request(number).state is fleet.RequestState.RUNNING
    ztrust_sandbox.faults.busy.clear()
    expire_leases(rig.journal)  # or else this test would wait for a minute
    with rig.worker(*rig.beat) as worker:
        wait_until(lambda: rig.request(number).state.is_final, worker, rig.log)
    request = rig.request(number)
    assert (request.state, request.attempts) == (fleet.RequestState.DONE, 2), request.summary
    assert ztrust_sandbox.smtp("acme")["host"] == "smtp.example.com"


def test_a_request_without_a_task_is_found_by_beat(rig, ztrust_sandbox):
    config = rig.variables["ZTRUST_MAIL_CONFIG"]
    request = fleet.submit(WORK, "prod", config_path=config, environ=rig.variables)
    with rig.worker(*rig.beat) as worker:
        wait_until(lambda: rig.request(request.number).state.is_final, worker, rig.log)
    assert rig.request(request.number).state is fleet.RequestState.DONE


def writes(sandbox: Sandbox) -> int:
    return sum(one.method == "PUT" for one in sandbox.requests)
