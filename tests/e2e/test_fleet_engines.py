"""The same requests through both engines end alike: in a file with drains, and in PostgreSQL with a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.journals import change
from support.postgresql import PostgresqlServer
from support.queued import apply_to, onboard, run_worker, spec

from ztrust_mail import settings as config
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.fleet import CheckDrift, DrainOptions, Engine, RetryPolicy, Work, open_engine
from ztrust_mail.sandbox import Sandbox, SandboxOptions

NAMES = ("one", "two")
REALMS = ("acme", "globex")
MISSING = "hooli"
TABLES = "writes, runs, leases, journal_requests, journal_servers, procrastinate_jobs"


# What may be asked for


@dataclass(frozen=True)
class Submit:
    """Submit work for a server."""

    server: str
    work: Work
    key: str


@dataclass(frozen=True)
class Act:
    """Cancel a request or try it again; ``which`` counts the requests so far."""

    verb: str
    which: int


DRAIN = "drain"
Operation = Submit | Act | str

addresses = st.sampled_from(["a@acme.example", "b@acme.example"])
some_realms = st.lists(st.sampled_from([*REALMS, MISSING]), min_size=1, max_size=2, unique=True)
works: st.SearchStrategy[Work] = st.one_of(
    st.builds(lambda realms, address: onboard(*realms, address=address), some_realms, addresses),
    st.builds(lambda realms, address: apply_to(*realms, address=address), some_realms, addresses),
    st.builds(lambda realms: CheckDrift(spec(*realms)), some_realms),
)
operations = st.lists(
    st.one_of(
        st.builds(Submit, st.sampled_from(NAMES), works, st.sampled_from(["", "order 1", "order 2"])),
        st.builds(Submit, st.sampled_from(NAMES), works, st.just("")),
        st.builds(Act, st.sampled_from(["cancel", "retry"]), st.integers(0, 5)),
        st.just(DRAIN),
    ),
    min_size=1,
    max_size=8,
)


# How it is done


@dataclass
class Fleet:
    """Two servers, and the settings that name them with a journal in a file or in PostgreSQL."""

    sandboxes: dict[str, Sandbox]
    folder: Path
    postgresql: Secret
    runs: list[None] = field(default_factory=list)

    def reset(self) -> None:
        """Let no realm have e-mail settings."""
        for sandbox in self.sandboxes.values():
            for realm in REALMS:
                sandbox.edit_smtp(realm, {})

    def settings_with(self, journal: str) -> str:
        """Write settings with a journal, and return their path."""
        login = 'username = "admin"\npassword = "admin"'
        entries = [f'[servers.{name}]\nurl = "{sandbox.url}"\n{login}' for name, sandbox in self.sandboxes.items()]
        path = self.folder / "settings.toml"
        path.write_text("\n".join([*entries, f'[journal]\nurl = "{journal}"', ""]), "utf-8")
        return str(path)

    def do(self, operations: Sequence[Operation], journal: str, drain: Callable[[Engine], None]) -> dict[str, Any]:
        """Do operations and at last everything that is left; return all that is comparable afterwards."""
        self.reset()
        path = self.settings_with(journal)
        options = DrainOptions(path, {}, retry=RetryPolicy(watch=0.01))
        with open_engine(path, {}, options=options) as engine:
            said = [self._do(engine, path, one, drain) for one in operations]
            drain(engine)
            return {"said": said, **self._outcome(engine)}

    def _do(self, engine: Engine, path: str, operation: Operation, drain: Callable[[Engine], None]) -> object:
        if isinstance(operation, Submit):
            server = config.choose_server(config.load(path, {}), operation.server, (), {})
            request = engine.submit(operation.work, server, key=operation.key)
            return request.number - self._first(engine), request.state
        if isinstance(operation, Act):
            number = self._first(engine) + operation.which
            try:
                return getattr(engine, operation.verb)(number).state
            except UsageError as e:
                return e.message.replace(str(number), "N") if "is the same" not in e.message else "is the same"
        return drain(engine)

    def _first(self, engine: Engine) -> int:
        """Return the number of the first request: the numbers of a database that was emptied go on."""
        return min((one.number for one in engine.journal.requests.newest()), default=1)

    def _outcome(self, engine: Engine) -> dict[str, Any]:
        known = {name: engine.journal.last_known(sandbox.url) for name, sandbox in self.sandboxes.items()}
        requests = reversed(engine.journal.requests.newest())
        return {
            "requests": [(one.name, one.kind, one.key, one.state, one.exit_status, one.attempts) for one in requests],
            "live": {(name, realm): box.smtp(realm) for name, box in self.sandboxes.items() for realm in REALMS},
            "written": {
                (name, realm): (write.before, write.after, write.intent, write.step)
                for name, realms in known.items()
                for realm, last in realms.items()
                if (write := last.last)
            },
            "unknown": [realm for realms in known.values() for realm, last in realms.items() if last.doubt],
            "runs": sorted((run.server, run.command, run.outcome) for run in engine.journal.runs()),
        }


def drain_here(engine: Engine) -> None:
    """Do all requests in this process."""
    engine.drain_all()


@pytest.fixture(scope="module")
def servers(postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two servers, and a database with a journal."""
    url = Secret(postgresql.url(postgresql.empty_database()))
    with ExitStack() as stack:
        sandboxes = {name: stack.enter_context(Sandbox(SandboxOptions(realms=REALMS))) for name in NAMES}
        fleet = Fleet(sandboxes, tmp_path_factory.mktemp("engines"), url)
        open_engine(fleet.settings_with(url.reveal()), {}).close()
        yield fleet


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations)
def test_the_same_requests_end_alike_with_and_without_workers(
    servers: Fleet, state_folder: Path, operations: list[Operation]
) -> None:
    servers.runs.append(None)
    here = servers.do(operations, f"sqlite:///{servers.folder}/{len(servers.runs)}.sqlite3", drain_here)
    change(servers.postgresql, f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
    there = servers.do(operations, servers.postgresql.reveal(), run_worker)
    assert here == there
    assert not here["unknown"]


def test_what_each_engine_does_is_what_was_asked_for(servers: Fleet) -> None:
    """So that the two do not agree on doing nothing."""
    change(servers.postgresql, f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
    operations = [
        Submit("one", onboard("acme", address="first@acme.example"), "order 1"),
        Submit("one", onboard("acme", address="first@acme.example"), "order 1"),
        Submit("one", apply_to("acme", address="second@acme.example"), ""),
        Submit("two", onboard(MISSING), ""),
        Submit("two", apply_to("globex"), ""),
        Act("cancel", 3),
    ]
    done = servers.do(operations, servers.postgresql.reveal(), run_worker)
    states = [state.value for _, _, _, state, _, _ in done["requests"]]
    assert states == ["done", "done", "failed", "cancelled"]
    assert done["live"]["one", "acme"]["from"] == "second@acme.example"
    assert done["live"]["two", "globex"] == {}
    assert [*done["written"]] == [("one", "acme")]
