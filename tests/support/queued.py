"""A server with a queue of requests: a sandbox, its settings and an engine on a journal."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest
from support.journals import change, use_cheap_fingerprints

from ztrust_mail import settings as config
from ztrust_mail.api.spec_types import EntryDict, SpecDict
from ztrust_mail.core.secret import Secret
from ztrust_mail.fleet import ApplySpec, Drain, DrainOptions, Engine, OnboardRealms, RetryPolicy, Work, open_engine
from ztrust_mail.journal.database import parse_url
from ztrust_mail.journal.requests import NewRequest, RequestState, StoredRequest
from ztrust_mail.sandbox import Sandbox, SandboxOptions

QUICK = RetryPolicy(attempts=3, watch=0.01)
"""Asks often whether a request was cancelled. Its pauses are ended by :meth:`Queue.make_due`."""

SERVER = "https://id.example.com"


def entry(address: str = "mail@acme.example", **more: object) -> EntryDict:
    """Return the settings of a realm without a login."""
    relay = {"host": "127.0.0.1", "port": 25, "security": "none"}
    return cast("EntryDict", {"sender": {"address": address}, "relay": relay, **more})


def spec(*realms: str, address: str = "mail@acme.example", **more: object) -> SpecDict:
    """Return a spec that gives all realms the same settings."""
    return cast("SpecDict", {"version": 1, "realms": {realm: entry(address) for realm in realms}, **more})


def apply_to(*realms: str, address: str = "mail@acme.example", **more: object) -> ApplySpec:
    """Return work that applies a spec of these realms; any danger is intended."""
    return ApplySpec(spec(*realms, address=address, **more), allow=["all"])


def onboard(*realms: str, address: str = "mail@acme.example", **more: Any) -> OnboardRealms:
    """Return work that onboards realms without a test mail and without waiting for them."""
    values: dict[str, Any] = {"test": False, "wait_for_realm": 0.0, **more}
    return OnboardRealms({realm: entry(address) for realm in realms}, **values)


def new_request(content: str = "{}", server: str = SERVER, **more: Any) -> NewRequest:
    """Return a request for the journal alone, whose content says nothing."""
    values: dict[str, Any] = {"kind": "drift", "digest": f"{server} {content}", **more}
    return NewRequest(server, "prod", "default", content=content, **values)


@dataclass
class Queue:
    """A running sandbox as the server ``prod`` of some settings, and the engine of its requests."""

    sandbox: Sandbox
    engine: Engine
    settings: Path
    url: Secret
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def server(self) -> config.Server:
        """The server of the requests."""
        return config.choose_server(config.load(str(self.settings), self.environ), "prod", (), self.environ)

    def submit(self, work: Work, **more: str) -> StoredRequest:
        """Submit work for the server."""
        return self.engine.submit(work, self.server, **more)

    def drain(self) -> int:
        """Do all requests that are due."""
        return self.engine.drain(self.server.url)

    def do(self, work: Work, **more: str) -> StoredRequest:
        """Submit work, do all that is due, and return the request as it is then."""
        number = self.submit(work, **more).number
        self.drain()
        return self.engine.status(number)

    def states(self) -> dict[int, RequestState]:
        """Return the state of each request by its number."""
        return {one.number: one.state for one in reversed(self.engine.journal.requests.newest())}

    def make_due(self) -> None:
        """Let the pauses of all requests be over."""
        change(
            self.url, "UPDATE journal_requests SET due = submitted", "DELETE FROM leases WHERE server LIKE 'logins %'"
        )

    def kill_worker_at(self, number: int) -> StoredRequest:
        """Leave a request as a worker does that is killed while it works on it."""
        request = self.engine.status(number)
        [taken] = self.engine.journal.requests.take([request])
        return taken

    def write_settings(self, more: str = "", **changed: str) -> None:
        """Write the settings again; ``changed`` are keys of the server, ``more`` is added to its entry."""
        keys = {"url": self.sandbox.url, "username": "admin", "password": "admin", **changed}
        lines = [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
        journal = f"[journal]\nurl = {json.dumps(self.url.reveal())}"
        self.settings.write_text("\n".join(["[servers.prod]", *lines, more, journal, ""]), encoding="utf-8")

    def writes(self) -> list[str]:
        """Return the realms that were written, in order."""
        puts = [one for one in self.sandbox.requests if one.method == "PUT"]
        return [one.path.rpartition("/")[2] for one in puts]

    def address_of(self, realm: str) -> str | None:
        """Return the sender of a realm on the server."""
        return self.sandbox.smtp(realm).get("from")

    def with_options(self, **changed: Any) -> Queue:
        """Return the same queue with an engine that works in another way."""
        other = type(self.engine)(self.engine.journal, replace(self.engine.options, **changed))
        return replace(self, engine=other)


@pytest.fixture
def queue_options() -> SandboxOptions:
    """How the sandbox of ``queue`` behaves."""
    return SandboxOptions(realms=("acme", "globex", "initech"))


@pytest.fixture
def queue(
    tmp_path: Path, journal_url: Secret, queue_options: SandboxOptions, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Queue]:
    """A server with an empty queue."""
    use_cheap_fingerprints(monkeypatch)
    settings, environ = tmp_path / "settings.toml", dict[str, str]()
    with Sandbox(queue_options) as sandbox:
        first = Queue(sandbox, cast("Engine", None), settings, journal_url, environ)
        first.write_settings()
        options = DrainOptions(str(settings), environ, Event(), QUICK)
        with open_engine(str(settings), environ, options=options) as engine:
            yield replace(first, engine=engine)


class WatchedDrain(Drain):
    """A drain that can be waited for until it has noticed that what it does is to end."""

    @contextmanager
    def _watching(self, batch: Sequence[StoredRequest]) -> Iterator[Event]:
        with super()._watching(batch) as self.cancel:
            yield self.cancel

    def wait_until_cancelled(self, number: int) -> None:
        """Wait until one of several requests that are done together is known to be cancelled."""
        pause = Event()
        while not self._is_cancelled(number):
            pause.wait(0.01)


def at_write(monkeypatch: pytest.MonkeyPatch, nth: int, act: Callable[[], object]) -> None:
    """Call a function when the nth write of a realm was answered, before the next one begins."""
    from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway

    write, seen = KeycloakGateway.write, [0]

    def writing(gateway: KeycloakGateway, *arguments: Any, **named: Any) -> None:
        write(gateway, *arguments, **named)
        seen[0] += 1
        if seen[0] == nth:
            act()

    monkeypatch.setattr(KeycloakGateway, "write", writing)


def run_worker(engine: Engine) -> None:
    """Run a worker in this process until all requests have ended. Only the main thread can do so."""
    from ztrust_mail.fleet.queue import WorkerEngine  # only tests with PostgreSQL need them
    from ztrust_mail.fleet.worker import Worker, WorkerOptions, WorkerTiming

    assert isinstance(engine, WorkerEngine)
    engine = WorkerEngine(engine.journal, replace(engine.options, stop=Event()))
    is_told: list[bool] = []

    def stop_when_idle() -> None:
        if not is_told and not engine.journal.requests.list_unfinished():
            is_told.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    url = config.journal_url(config.load(engine.options.config_path, {}), {})
    assert url
    brisk = WorkerOptions(timing=WorkerTiming(sweep=0.02, poll=0.02))
    Worker(engine, parse_url(url), brisk, (stop_when_idle,)).run()


def texts_of(request: StoredRequest) -> Mapping[str, str]:
    """Return all that a request says to people."""
    return {"summary": request.summary, "report": request.report, "text": request.report_text}
