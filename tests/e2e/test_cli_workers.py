"""Commands with workers on a real PostgreSQL: submit, follow, cancel, and the worker as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.bad_server import BadServer, stall
from support.cli import PATIENCE, Cli, Ran, on_terminal
from support.fleets import Fleet, entry
from support.postgresql import PostgresqlServer

from ztrust_mail import fleet as requests
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.workers.follow import Follower
from ztrust_mail.journal.requests import RequestState

ALLOWED = ("--yes", "--allow", "all")


@dataclass
class Workplace:
    """A fleet whose journal is in PostgreSQL. ``folder`` has the logs of the workers."""

    fleet: Fleet
    url: str
    folder: Path

    @property
    def cli(self) -> Cli:
        """The command line."""
        return self.fleet.cli

    def use(self, more: str = "") -> None:
        """Write the settings, with more tables."""
        whole = f'{Path(self.fleet.settings).read_text(encoding="utf-8")}\n[journal]\nurl = "{self.url}"\n{more}'
        self.cli.set(CONFIG=self.cli.write("workers.toml", whole))

    def states(self) -> dict[int, RequestState]:
        """Return the state of each request."""
        with requests.open_engine() as engine:
            return {one.number: one.state for one in reversed(engine.journal.requests.newest())}

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker, which is stopped at the end of the block."""
        with (self.folder / "worker.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "ztrust_mail", "worker", *arguments], stderr=log)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait(PATIENCE)

    @property
    def log(self) -> str:
        """What the last worker has logged."""
        return (self.folder / "worker.log").read_text(encoding="utf-8")


@pytest.fixture
def place(fleet: Fleet, postgresql: PostgresqlServer, tmp_path: Path) -> Workplace:
    """Three servers and an empty database for their requests."""
    made = Workplace(fleet, postgresql.url(postgresql.empty_database()), tmp_path)
    made.use()
    return made


@contextmanager
def following(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that follows, up to its note that the request waits."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ztrust_mail", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.stderr
    try:
        assert "is waiting" in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds, and fail if that takes too long."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        pause.wait(0.05)


def end(process: subprocess.Popen[str]) -> Ran:
    """Return what a process came to."""
    out, err = process.communicate(timeout=PATIENCE)
    return Ran(process.returncode, out, err)


def test_each_server_gets_a_request_and_following_ends_with_the_status_of_the_worst(place: Workplace) -> None:
    ran = place.cli("drift", "mail.yaml", "--server", "dev", "--server", "eu-*", "--detach")
    assert ran.status == 0
    assert [len(re.findall(rf"waiting \(request {number}\)", ran.out)) for number in (1, 2, 3)] == [1, 1, 1]
    assert ran.out.endswith("Next: ztrust-mail requests 1-3 --follow\n")
    with place.worker():
        ran = place.cli("requests", "1-3", "--follow")
    assert ran.status == 1
    assert ran.out.count("Drift: 2 realms drifted") == 3
    assert place.states() == dict.fromkeys((1, 2, 3), RequestState.DONE)


def test_a_request_and_its_server_are_in_the_document(place: Workplace) -> None:
    report = place.cli.json("drift", "mail.yaml", "--server", "dev", "--detach")
    [request] = report["requests"]
    assert (request["request"], request["name"], request["state"]) == (1, "dev", "waiting")
    assert report["server"] == request["server"] == place.fleet["dev"].url
    servers = place.cli.json("drift", "mail.yaml", "--server", "dev", "--server", "eu-1", "--detach")["servers"]
    assert [one["report"]["requests"][0]["request"] for one in servers] == [1, 2]


def test_the_same_request_twice_is_one(place: Workplace) -> None:
    for _ in range(2):
        assert place.cli("drift", "mail.yaml", "--server", "dev", "--detach").status == 0
    assert place.states() == {1: RequestState.WAITING}


def test_a_server_that_cannot_be_used_fails_alone(place: Workplace) -> None:
    ran = place.cli("drift", "mail.yaml", "--server", "dev", "--server", "broken", "--detach")
    assert ran.status == 2
    assert re.search("^broken +lab +not run: ", ran.out, re.MULTILINE)
    assert place.states() == {1: RequestState.WAITING}


def test_realms_variables_message_and_dangers_reach_the_worker(place: Workplace) -> None:
    realm = 'sender: {address: "no-reply@{d}"}, relay: {host: smtp.example.com, security: none}'
    place.cli.write(
        "mail.yaml",
        f"version: 1\ndefaults: {{vars: {{d: a.example}}}}\nrealms: {{acme: {{{realm}}}, globex: {{{realm}}}}}\n",
    )
    arguments = ("--realm", "acme", "--var", "d=given.example", "--message", "ticket 12", "--detach")
    place.cli("apply", "mail.yaml", "--server", "dev", *arguments, *ALLOWED)
    with place.worker():
        assert place.cli("requests", "1", "--follow").status == 0
    assert place.fleet["dev"].smtp("acme")["from"] == "no-reply@given.example"
    assert place.fleet["dev"].smtp("globex") == {}
    assert "ticket 12" in place.cli("history", "--server", "dev").out


def test_a_saved_plan_is_applied_by_the_worker(place: Workplace) -> None:
    place.cli("plan", "mail.yaml", "--server", "dev", "--out", "plan.json", "--allow", "all")
    assert place.cli("apply", "--plan", "plan.json", "--server", "dev", "--detach").status == 2
    assert place.states() == {}
    ran = place.cli("apply", "--plan", "plan.json", "--server", "dev", "--detach", *ALLOWED)
    assert ran.status == 0
    with place.worker():
        assert place.cli("requests", "1", "--follow").status == 0
    assert place.fleet["dev"].smtp("acme")["from"] == "no-reply@acme.example"
    other = place.cli("apply", "--plan", "plan.json", "--server", "eu-1", "--detach", *ALLOWED)
    assert (other.status, "[plan-server]" in other.err) == (5, True)


def test_with_workers_in_the_settings_a_command_shows_the_report_of_the_worker_and_exits_so(place: Workplace) -> None:
    place.use('[fleet]\nrun_by = "workers"\n')
    with place.worker():
        drift = place.cli("drift", "mail.yaml", "--server", "dev")
        assert drift.status == 1
        assert "Drift: 2 realms drifted" in drift.out
        assert "Request 1 on `dev` is done at" in drift.out
        assert drift.out.endswith("Next: ztrust-mail apply mail.yaml --server dev\n")
        report = place.cli.json("apply", "mail.yaml", "--server", "dev", *ALLOWED)
        assert (report["command"], report["summary"]) == ("apply", {"realms": 2, "applied": 2})
        tests = place.cli("test", "acme", "--server", "dev")
        assert tests.status == 1
        assert "acme  FAILED" in tests.out
        wrong = place.cli("rotate", "env:NOBODY", "mail.yaml", "--server", "dev", "--yes")
        assert (wrong.status, "no selected realm uses `env:NOBODY`" in wrong.out) == (2, True)
    assert place.cli("apply", "mail.yaml", "--server", "dev").status == 2


def test_with_workers_in_the_settings_the_options_of_a_command_mean_the_same(place: Workplace) -> None:
    place.use('[fleet]\nrun_by = "workers"\n')
    on_dev, sandbox = ("mail.yaml", "--server", "dev"), place.fleet["dev"]
    with place.worker():
        assert place.cli("apply", *on_dev, *ALLOWED).status == 0
        uncovered = place.cli("drift", *on_dev, "--uncovered", "fail")
        assert (uncovered.status, "Not covered by the spec: " in uncovered.out) == (1, True)
        assert "Next: " not in uncovered.out, "an apply would change nothing"
        sandbox.edit_smtp("acme", {**sandbox.smtp("acme"), "fromDisplayName": "Acme"})
        harmless = place.cli("drift", *on_dev, "--fail-on", "critical", "--ignore", "all")
        assert (harmless.status, harmless.out.endswith("Next: ztrust-mail apply mail.yaml --server dev\n")) == (0, True)
        test = place.cli("test", "acme", "--server", "dev", "--no-probe")
        assert (test.status, "from here" in test.out) == (1, False)
        rotation = place.cli("rotate", "--relay", "smtp.example.com", *on_dev, "--yes")
        assert (rotation.status, "logs in at `smtp.example.com`" in rotation.out) == (2, True)


def test_with_workers_in_the_settings_stages_follow_each_other_and_stop_at_a_failure(place: Workplace) -> None:
    place.use('[fleet]\nrun_by = "workers"\n')
    servers = ("--server", "dev", "--server", "eu-*")
    place.cli.write("mail.yaml", "version: 1\nrealms:\n  nobody: {sender: {address: a@b.example}, relay: {host: h}}\n")
    with place.worker():
        ran = place.cli("apply", "mail.yaml", *servers, "--order", "stage=dev,stage=prod", *ALLOWED)
    assert ran.status == 4
    assert "not started: stage=dev failed" in ran.out
    assert place.states() == {1: RequestState.FAILED}


def test_who_follows_what_no_worker_takes_learns_once_how_to_start_one(
    place: Workplace,
) -> None:
    place.use('[servers.far]\nurl = "http://127.0.0.1:9"\nqueue = "far"\n')
    for server in ("far", "dev"):
        assert place.cli("test", "acme", "--server", server, "--detach").status == 0
    output = Output("requests")
    with requests.open_engine() as engine:
        follower = Follower(output, engine.journal, idle_after=0.0)
        thread = threading.Thread(target=follower.follow, args=([1, 2],))
        thread.start()
        try:
            wait_until(lambda: len(output.logged) == 2)
        finally:
            for number in (1, 2):
                engine.cancel(number)
            thread.join(PATIENCE)
    assert output.logged == {
        "all workers of the queue `far` are busy, or there is none; to start one: ztrust-mail worker --queue far",
        "all workers of the queue `default` are busy, or there is none; to start one: ztrust-mail worker",
    }


def test_ctrl_c_ends_a_command_that_follows_and_leaves_the_request(place: Workplace) -> None:
    place.use('[fleet]\nrun_by = "workers"\n')
    with following("drift", "mail.yaml", "--server", "dev") as process:
        process.send_signal(signal.SIGINT)
        ran = end(process)
    assert ran.status == 130
    assert ran.out.splitlines() == [
        "Request 1 on `dev` is waiting (0 ahead).",
        "It continues without this command.",
        "Cancel: ztrust-mail requests 1 --cancel",
        "Follow: ztrust-mail requests 1 --follow",
    ]
    assert place.states() == {1: RequestState.WAITING}


def test_ctrl_c_ends_a_command_on_several_servers_and_leaves_the_requests(place: Workplace) -> None:
    place.use('[fleet]\nrun_by = "workers"\n')
    with on_terminal("drift", "mail.yaml", "--server", "dev", "--server", "eu-1") as terminal:
        terminal.wait_for("drift on 2 servers")
        wait_until(lambda: len(place.states()) == 2)
        terminal.type("\x03")
        ran = terminal.finish()
    assert ran.status == 130
    assert re.search("waiting \\(request [12]\\)", ran.out)
    assert "workers continue without this command" in " ".join(ran.out.split())
    assert place.states() == dict.fromkeys((1, 2), RequestState.WAITING)


def test_who_follows_a_request_that_is_cancelled_ends_with_130(place: Workplace) -> None:
    place.use('[fleet]\nrun_by = "workers"\n')
    with following("drift", "mail.yaml", "--server", "dev", "--format", "json") as process:
        assert place.cli("requests", "1", "--cancel").status == 0
        ran = end(process)
    assert ran.status == 130
    assert [one["rule"] for one in ran.json["findings"]] == ["cancelled-request"]


def test_who_follows_sees_the_progress_on_a_terminal(place: Workplace) -> None:
    place.cli("drift", "mail.yaml", "--server", "dev", "--detach")
    with on_terminal("requests", "1", "--follow") as terminal:
        terminal.wait_for("Request 1 on `dev` is waiting (0 ahead) …")
        with place.worker():
            ran = terminal.finish()
    assert ran.status == 1
    assert "is running." not in ran.out


def test_following_outlives_a_restart_of_the_database(place: Workplace, postgresql: PostgresqlServer) -> None:
    place.cli("drift", "mail.yaml", "--server", "dev", "--detach")
    with following("requests", "1", "--follow") as process:
        postgresql.halt()
        postgresql.start()
        with place.worker():
            assert end(process).status == 1


def test_without_a_worker_the_list_says_how_to_start_one(place: Workplace, postgresql: PostgresqlServer) -> None:
    place.cli("drift", "mail.yaml", "--server", "dev", "--detach")
    assert "ztrust-mail worker" not in place.cli("requests").out
    postgresql.run("UPDATE journal_requests SET due = due - interval '1 hour'", "journal")
    said = "No request in queue `default` is running. If no worker serves it, start one: ztrust-mail worker\n"
    assert said in place.cli("requests").out


def test_a_worker_serves_its_queues_alone_and_logs_a_line_for_each_event(place: Workplace) -> None:
    settings = Path(place.fleet.settings)
    settings.write_text(settings.read_text().replace('labels = {stage = "dev"}', 'queue = "lab"'), encoding="utf-8")
    place.use()
    for server in ("dev", "eu-1"):
        place.cli("drift", "mail.yaml", "--server", server, "--detach")
    with place.worker("--queue", "lab"):
        assert place.cli("requests", "1", "--follow").status == 1
    assert place.states() == {1: RequestState.DONE, 2: RequestState.WAITING}
    events = [line.partition("Z ")[2] for line in place.log.splitlines()]
    assert events[0] == "serving the queues lab, 4 servers at once"
    assert "request 1 of `dev`: drift" in events
    assert events[-1].startswith("stopping after the writes in progress")
    assert all(events)
    assert place.url not in place.log


def test_a_second_signal_ends_a_worker_at_once_which_waits_for_a_server(place: Workplace) -> None:
    with BadServer(stall()) as server:
        settings = Path(place.fleet.settings)
        settings.write_text(settings.read_text() + entry("slow", server.url, ""), encoding="utf-8")
        place.use()
        place.cli("drift", "mail.yaml", "--server", "slow", "--detach")
        with place.worker() as process:
            for one, said in ((signal.SIGTERM, "request 1 of `slow`"), (signal.SIGINT, "stopping")):
                wait_until(lambda said=said: said in place.log)
                process.send_signal(one)
            assert process.wait(PATIENCE) == -signal.SIGINT
    assert place.states() == {1: RequestState.RUNNING}


def test_no_secret_is_in_what_a_detached_command_stores_or_prints(place: Workplace) -> None:
    canary = "canary-Passw0rd"
    place.cli.monkeypatch.setenv("SMTP_PASSWORD", canary)
    login = "relay: {host: h.example, security: none, auth: {username: u, password: {env: SMTP_PASSWORD}}}"
    place.cli.write("mail.yaml", f"version: 1\nrealms: {{acme: {{sender: {{address: a@b.example}}, {login}}}}}\n")
    place.cli("apply", "mail.yaml", "--server", "dev", "--detach", *ALLOWED)
    with place.worker():
        assert place.cli("requests", "1", "--follow").status == 0
    assert place.fleet["dev"].smtp("acme")["password"] == canary
    with requests.open_engine() as engine:
        stored = json.dumps([str(value) for value in vars(engine.status(1)).values()])
    assert canary not in stored + place.log + "".join(place.cli.seen)
