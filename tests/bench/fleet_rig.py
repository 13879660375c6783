"""A fleet to measure: sandboxes as processes, PostgreSQL, and the settings that name both."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import LiteralString

import psycopg
from measuring import CommandLine
from sandbox_process import SandboxProcess
from support.postgresql import PostgresqlServer
from worker_process import workers

from ztrust_mail import settings

SAFE = {"fsync": "on", "shared_buffers": "128MB", "timezone": "UTC"}
"""Unlike in tests, each transaction is on disk when it is committed."""

CONNECTIONS = 2
"""So few that one worker waits for a server and not for this machine."""

POLL = 0.1
"""Seconds between two looks at the database; each look is one transaction, and is not counted."""

COUNT_JOBS: LiteralString = """
CREATE TABLE bench_jobs (id bigint);
CREATE FUNCTION bench_count_job() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO bench_jobs VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER bench_count_job AFTER INSERT ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION bench_count_job();
"""
"""Procrastinate deletes jobs that have ended, so each is noted when it is stored."""


_TRANSACTIONS: LiteralString = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True)
class Usage:
    """What was used so far, or between two moments.

    Seconds of CPU of this program's processes (``client``), of the sandboxes and of PostgreSQL; requests to the
    sandboxes by kind; transactions, and megabytes of PostgreSQL's log; the most megabytes that one process has used.
    """

    client: float
    sandboxes: float
    postgresql: float
    requests: Counter[str]
    transactions: int
    log_megabytes: float
    megabytes: float

    def since(self, before: Usage) -> Usage:
        """Return what was used since an earlier moment."""
        return Usage(
            self.client - before.client,
            self.sandboxes - before.sandboxes,
            self.postgresql - before.postgresql,
            Counter({kind: self.requests[kind] - before.requests[kind] for kind in self.requests}),
            self.transactions - before.transactions,
            self.log_megabytes - before.log_megabytes,
            self.megabytes,
        )

    @property
    def cpu(self) -> float:
        """All seconds of CPU."""
        return self.client + self.sandboxes + self.postgresql


class FleetRig:
    """Running sandboxes as the servers ``s00``, ``s01`` and so on of a settings file, with a journal in PostgreSQL."""

    def __init__(self, folder: Path, sandboxes: Sequence[SandboxProcess], postgresql: PostgresqlServer) -> None:
        self._sandboxes = sandboxes
        url = postgresql.url(postgresql.empty_database())
        self.database = psycopg.connect(url, autocommit=True)
        self._looks = 0
        self._postmaster = _parent_of(int(self.value("SELECT pg_backend_pid()")))
        self.folder, self.names = folder, [f"s{n:02}" for n in range(len(sandboxes))]
        self.config_path = str(folder / "fleet.toml")
        servers = "".join(
            f'[servers.{name}]\nurl = "{one.url}"\nusername = "admin"\npassword = "admin"\n'
            f'connections = {CONNECTIONS}\ntimeout = "60s"\n'
            for name, one in zip(self.names, sandboxes, strict=True)
        )
        (folder / "fleet.toml").write_text(f'{servers}[journal]\nurl = "{url}"\n', encoding="utf-8")
        given = {name: text for name, text in os.environ.items() if not name.startswith("ZTRUST_MAIL_")}
        own = {"ZTRUST_MAIL_CONFIG": self.config_path, "XDG_STATE_HOME": str(folder)}
        self.cli = CommandLine(folder, {**given, **own})

    def servers(self) -> list[settings.Server]:
        """Return the servers as the settings have them."""
        found = settings.load(self.config_path)
        return [settings.choose_server(found, name) for name in self.names]

    def value(self, statement: LiteralString) -> int:
        """Return the number that a query finds."""
        row = self.database.execute(statement).fetchone()
        assert row is not None
        return int(row[0] or 0)

    @contextmanager
    def workers(self, number: int, concurrency: int) -> Iterator[list[int]]:
        """Run workers, and wait until all of them listen for jobs; gives their process ids."""
        with workers(number, self.config_path, concurrency) as pids:
            self._wait_for("SELECT count(*) FROM procrastinate_workers", number)
            yield pids

    def wait_until_ended(self) -> None:
        """Wait until no request waits or runs."""
        self._wait_for("SELECT count(*) FROM journal_requests WHERE state IN ('waiting', 'running')", 0)

    def _wait_for(self, count: LiteralString, wanted: int) -> None:
        while self.value(count) != wanted:
            self._looks += 1
            Event().wait(POLL)
        self._looks += 1

    def usage(self, pids: Sequence[int] = ()) -> Usage:
        """Return what the workers with these process ids, the sandboxes and PostgreSQL have used so far."""
        requests = sum((one.counts() for one in self._sandboxes), Counter[str]())
        return Usage(
            client=sum(map(_cpu_of, pids)),
            sandboxes=requests.pop("cpu_ms", 0) / 1000,
            postgresql=_cpu_of_family(self._postmaster),
            requests=requests,
            transactions=self.value(_TRANSACTIONS) - self._looks,
            log_megabytes=self.value("SELECT pg_current_wal_lsn() - '0/0'") / 1e6,
            megabytes=max(map(_peak_of, pids), default=0.0),
        )


@contextmanager
def fleet_rig(folder: Path, servers: int, realms: int, latency: float) -> Iterator[FleetRig]:
    """Run a fleet; the sandboxes start at once."""
    with ExitStack() as stack:
        starting = [SandboxProcess(realms, latency) for _ in range(servers)]
        sandboxes = [stack.enter_context(one) for one in starting]
        rig = FleetRig(folder, sandboxes, stack.enter_context(PostgresqlServer(SAFE)))
        stack.callback(rig.database.close)
        yield rig


_TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of a process after its name: state, parent, and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def _cpu_of(pid: int) -> float:
    return sum(map(int, _stat(pid)[11:13])) / _TICKS


def _peak_of(pid: int) -> float:
    """Return the most megabytes that a process has used so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _cpu_of_family(parent: int) -> float:
    """Return the seconds of a process and its children, those that have ended included."""
    total = sum(map(int, _stat(parent)[11:15])) / _TICKS
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if _parent_of(pid := int(folder.name)) == parent:
                total += _cpu_of(pid)
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
    return total
