"""Secrets in all places that requests and workers know: no table, log or result ever holds one."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.canaries import canary, leaks
from support.journals import asked
from support.postgresql import PostgresqlServer
from support.processes import tail
from support.relays import ScriptedRelay, Talk

from ztrust_mail import fleet
from ztrust_mail import settings as config
from ztrust_mail.core.secret import Secret
from ztrust_mail.fleet import Engine, RequestState, Work
from ztrust_mail.journal.requests import StoredRequest
from ztrust_mail.sandbox import Sandbox, SandboxOptions

PATIENCE = 60.0
REALMS = ("acme", "globex", "initech")
FAILING = """
import os
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
def fail(*_, **__): raise RuntimeError(os.environ["MAIL_ONE"])
KeycloakGateway.write = fail
from ztrust_mail.cli.main import main
main()
"""
"""A worker with an internal error, whose exception quotes a secret."""


def quote_login(talk: Talk) -> None:
    """Play a relay that refuses every login, and quotes the password in clear and as it was sent."""
    talk.say(b"220 relay.example\r\n")
    while True:
        line = talk.hear()
        word, *rest = line.split(b" ")
        if word.upper() in (b"EHLO", b"HELO"):
            talk.say(b"250-relay.example\r\n250 AUTH PLAIN\r\n")
        elif word.upper() == b"AUTH" and rest[1:]:
            said = base64.b64decode(rest[1]).replace(b"\0", b" ")
            talk.say(b"535 5.7.8 bad login: " + said + b" " + rest[1] + b"\r\n")
        else:
            talk.say(b"250 2.0.0 ok\r\n")


@dataclass
class Place:
    """A server whose administrator's password is a canary, its settings, and all that workers and results have said."""

    sandbox: Sandbox
    engine: Engine
    settings: Path
    journal: Secret
    environ: dict[str, str]
    said: list[str] = field(default_factory=list)

    def submit(self, work: Work, server: str = "main") -> int:
        """Submit work, and return the number of the request."""
        chosen = config.choose_server(config.load(str(self.settings), {}), server, (), {})
        request = self.engine.submit(work, chosen, message="Launch")
        self.said.append(repr(request))
        return request.number

    def requests(self) -> list[StoredRequest]:
        """Return all requests, whole."""
        return [self.engine.status(one.number) for one in self.engine.journal.requests.newest()]

    @contextmanager
    def worker(self, *program: str, **environ: str) -> Iterator[Callable[[Callable[[], bool]], None]]:
        """Run a worker, and yield a function that waits until something is true."""
        log = self.settings.with_name("worker.log")
        command = [sys.executable, *program, "worker", "--config", str(self.settings)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **self.environ, **environ}, stdout=output, stderr=output
            )

        def wait_until(is_true: Callable[[], bool]) -> None:
            end = time.monotonic() + PATIENCE
            while not is_true():
                assert time.monotonic() < end, tail(log)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.1)
                    pytest.fail(f"the worker ended\n{tail(log)}")

        try:
            yield wait_until
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            self.said.append(log.read_text(errors="surrogateescape"))

    def do_all(self, **environ: str) -> None:
        """Have a worker do all requests."""
        with self.worker("-m", "ztrust_mail", **environ) as wait_until:
            wait_until(lambda: not self.engine.journal.requests.list_unfinished())

    def look(self) -> None:
        """See that no table, no log of a worker and no result holds a secret."""
        tables = asked(self.journal, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert {("journal_requests",), ("procrastinate_jobs",), ("procrastinate_events",), ("writes",)} <= {*tables}
        for (table,) in tables:
            rows = asked(self.journal, f'SELECT t::text AS row FROM "{table}" AS t')
            assert not (found := leaks(str(rows))), f"{table}: {found}"
        for request in self.requests():
            shown = f"{request!r}\n{request.summary}\n{request.report}\n{request.report_text}"
            assert not (found := leaks(shown)), f"request {request.number}: {found}"
        for text in self.said:
            assert not (found := leaks(text)), found


@pytest.fixture
def place(postgresql: PostgresqlServer, tmp_path: Path) -> Iterator[Place]:
    """A server, and an empty queue in PostgreSQL."""
    journal = Secret(postgresql.url(postgresql.empty_database()))
    settings = tmp_path / "settings.toml"
    (tmp_path / "smtp").write_text(canary("file"), "utf-8")
    options = SandboxOptions(realms=REALMS, admin_password=canary("admin"))
    environ = {"MAIL_ONE": canary("ONE")}
    with Sandbox(options) as sandbox:
        login = f'url = "{sandbox.url}"\nusername = "admin"'
        locked_out = login.replace("127.0.0.1", "localhost")
        settings.write_text(
            f'[servers.main]\n{login}\npassword = "{canary("admin")}"\n'
            f'[servers.wrong]\n{locked_out}\npassword = "{canary("wrong")}"\n'
            f"[journal]\nurl = {json.dumps(journal.reveal())}\n"
            f"[allow]\nsecret_folders = [{json.dumps(str(tmp_path))}]\n",
            "utf-8",
        )
        with fleet.open_engine(str(settings), {}) as engine:
            yield Place(sandbox, engine, settings, journal, environ)


def login(port: int, **reference: str) -> Any:
    """Return the settings of a realm that logs in to a relay on this machine."""
    auth = {"username": "u", "password": reference}
    relay = {"host": "127.0.0.1", "port": port, "security": "none", "auth": auth}
    return {"sender": {"address": "mail@acme.example"}, "relay": relay}


def test_requests_with_secrets_leave_none_anywhere(place: Place, tmp_path: Path) -> None:
    port, file = place.sandbox.mail.port, str(tmp_path / "smtp")
    whole: Any = {"version": 1, "realms": {"acme": login(port, env="MAIL_ONE"), "globex": login(port, file=file)}}
    with ScriptedRelay(quote_login) as relay:
        apply = place.submit(fleet.ApplySpec(whole, allow=["all"]))
        place.do_all()
        assert place.engine.status(apply).state is RequestState.DONE, place.engine.status(apply).report_text
        assert place.sandbox.smtp("acme")["password"] == canary("ONE")
        assert place.sandbox.smtp("globex")["password"] == canary("file")
        place.sandbox.edit_smtp("globex", {**place.sandbox.smtp("globex"), "password": canary("by-hand")})
        works = {
            "onboard": fleet.OnboardRealms({"initech": login(port, env="MAIL_ONE")}),
            "refused": fleet.OnboardRealms({"initech": login(relay.port, file=file)}),
            "rotate": fleet.RotateSecrets(whole, references=["env:MAIL_ONE"]),
            "drift": fleet.CheckDrift(whole),
            "test": fleet.TestSpec(whole),
            "stored": fleet.TestStored(),
        }
        numbers = {name: place.submit(work) for name, work in works.items()}
        place.submit(fleet.CheckDrift(whole), "wrong")
        place.do_all(MAIL_ONE=canary("ONE-new"))
    assert place.sandbox.smtp("acme")["password"] == canary("ONE-new")
    states = {name: place.engine.status(number).state for name, number in numbers.items()}
    assert states["onboard"] == states["rotate"] == RequestState.DONE
    assert states["refused"] == states["stored"] == RequestState.FAILED, "the relay refuses every login"
    assert relay.connections > 0
    place.look()


def test_a_worker_with_an_internal_error_leaves_no_secret_anywhere(place: Place) -> None:
    number = place.submit(fleet.OnboardRealms({"acme": login(25, env="MAIL_ONE")}, test=False))
    log = place.settings.with_name("worker.log")
    with place.worker("-c", FAILING) as wait_until:
        wait_until(lambda: "RuntimeError" in log.read_text(errors="replace"))
    assert place.engine.status(number).state is RequestState.RUNNING
    assert " in write" in place.said[-1], "the place of the error helps those who look for it"
    place.look()


def test_a_worker_whose_database_refuses_the_login_shows_no_password(
    place: Place, postgresql: PostgresqlServer
) -> None:
    url = postgresql.url("journal", canary("database"))
    text = place.settings.read_text("utf-8").replace(place.journal.reveal(), url)
    place.settings.with_name("other.toml").write_text(text, "utf-8")
    command = [sys.executable, "-m", "ztrust_mail", "worker", "--config", str(place.settings.with_name("other.toml"))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert "cannot be reached or refuses the login" in ended.stderr
    assert not leaks(ended.stdout + ended.stderr)
