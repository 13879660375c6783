"""The parts of the fleet's benchmark: applies by workers, onboarding in a burst, and submits to a long queue."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import LiteralString

import specs
from fleet_rig import COUNT_JOBS, FleetRig, Usage

from ztrust_mail import fleet, settings
from ztrust_mail.api.spec_types import EntryDict, SenderDict

APPLY = ("--all-servers", "--yes", "--allow", "mass-change")


@dataclass(frozen=True)
class Measured:
    """How long some work on all servers took in seconds, and what it used."""

    how: str
    seconds: float
    used: Usage


@dataclass(frozen=True)
class Onboarded(Measured):
    """How onboarding requests went, from the first that was taken. ``waits`` are the seconds from submit to end."""

    submitting: float
    waits: list[float]
    jobs: int
    runs: int


class Bench:
    """The parts of the benchmark on one fleet."""

    def __init__(self, rig: FleetRig) -> None:
        self._rig, self._round = rig, 0
        with fleet.open_engine(rig.config_path):  # creates the journal
            rig.database.execute(COUNT_JOBS)

    def apply_by_command(self, parallel: int) -> Measured:
        """Apply to all servers by one command."""
        spec, before = self._new_spec(), self._rig.usage()
        spent = self._rig.cli("apply", spec, *APPLY, "--parallel", str(parallel))
        used = replace(self._rig.usage().since(before), client=spent.cpu, megabytes=spent.megabytes)
        return Measured(f"one `apply --all-servers --parallel {parallel}`", spent.seconds, used)

    def apply_by_workers(self, number: int, concurrency: int) -> Measured:
        """Apply to all servers by a request for each."""
        path = str(self._rig.folder / self._new_spec())
        how = f"{_count(number, 'worker')}, {_count(concurrency, 'server')} at once"
        return self._ask_all(how, fleet.ApplySpec(path, allow=("mass-change",)), number, concurrency)

    def drift(self, number: int, concurrency: int) -> Measured:
        """Check all servers by a request for each; all are in sync with the last spec that was applied."""
        path = str(self._rig.folder / f"round-{self._round}.yaml")
        return self._ask_all("drift", fleet.CheckDrift(path), number, concurrency)

    def onboard(self, count: int, number: int, concurrency: int) -> Onboarded:
        """Submit a request for each of many realms while workers wait, as fast as one thread can."""
        rig = self._rig
        self._forget_requests()
        with rig.workers(number, concurrency) as pids:
            before, runs = rig.usage(pids), rig.value(_RUNS)
            submitting = self._submit_onboarding(count, "Burst")
            rig.wait_until_ended()
            used = rig.usage(pids).since(before)
        return self._onboarded("while workers wait", used, rig.usage().since(before), submitting, runs)

    def onboard_backlog(self, count: int, number: int, concurrency: int) -> Onboarded:
        """Submit the same before the workers start."""
        rig = self._rig
        self._forget_requests()
        before, runs = rig.usage(), rig.value(_RUNS)
        submitting = self._submit_onboarding(count, "Backlog")
        with rig.workers(number, concurrency) as pids:
            working = rig.usage(pids)
            rig.wait_until_ended()
            used = rig.usage(pids)
        used = replace(used.since(before), client=used.client - working.client)
        return self._onboarded("before workers start", used, rig.usage().since(before), submitting, runs)

    def _submit_onboarding(self, count: int, name: str) -> float:
        """Submit requests for realms of all servers in random order; return the seconds it took."""
        servers = self._rig.servers()
        orders = [(servers[n % len(servers)], f"bench-{n // len(servers):05}") for n in range(count)]
        random.Random(0).shuffle(orders)
        with fleet.open_engine(self._rig.config_path) as engine:
            start = time.perf_counter()
            for n, (server, realm) in enumerate(orders):
                engine.submit(onboarding(realm, name), server, key=f"order {n}")
            return time.perf_counter() - start

    def _onboarded(self, how: str, used: Usage, complete: Usage, submitting: float, runs: int) -> Onboarded:
        self._require_done("onboarding")
        rig = self._rig
        [seconds] = rig.database.execute("SELECT extract(epoch FROM max(ended) - min(started)) FROM journal_requests")
        return Onboarded(
            how,
            float(seconds[0]),
            replace(used, transactions=complete.transactions),
            submitting,
            [float(row[0]) for row in rig.database.execute(_WAITS)],
            rig.value("SELECT count(*) FROM bench_jobs"),
            rig.value(_RUNS) - runs,
        )

    def submits(self, waiting: int, count: int, *, with_job: bool) -> list[float]:
        """Return the seconds of submits while so many requests wait, and no worker runs.

        ``with_job`` measures submits that store a job, too; the others find one.
        """
        rig, servers, taken = self._rig, self._rig.servers(), []
        self._forget_requests()
        with fleet.open_engine(rig.config_path) as engine:
            self._fill(engine, servers, waiting)
            for n in range(count):
                if with_job:
                    rig.database.execute("DELETE FROM procrastinate_jobs")
                start = time.perf_counter()
                request = engine.submit(onboarding(f"bench-{n:05}"), servers[n % len(servers)], key=f"submit {n}")
                taken.append(time.perf_counter() - start)
                rig.database.execute("DELETE FROM journal_requests WHERE number = %s", (request.number,))
        self._forget_requests()
        return taken

    def stored_bytes(self, kind: str) -> int:
        """Return how many bytes the texts of a request of this kind take in the database, on average."""
        [row] = self._rig.database.execute(_STORED_BYTES, (kind,))
        return int(row[0])

    def bytes_of_write(self) -> float:
        """Return how many bytes a write takes in the database with its indexes, on average."""
        size = self._rig.value("SELECT pg_total_relation_size('writes')")
        return size / self._rig.value("SELECT count(*) FROM writes")

    def _new_spec(self) -> str:
        """Return the name of a file with a spec that changes all realms."""
        self._round += 1
        name = f"round-{self._round}.yaml"
        (self._rig.folder / name).write_text(specs.for_all(f"Round {self._round}"), encoding="utf-8")
        return name

    def _ask_all(self, how: str, work: fleet.Work, number: int, concurrency: int) -> Measured:
        """Submit a request for each server to waiting workers, and wait until all have ended."""
        rig, servers = self._rig, self._rig.servers()
        with rig.workers(number, concurrency) as pids, fleet.open_engine(rig.config_path) as engine:
            before = rig.usage(pids)
            numbers = [engine.submit(work, server).number for server in servers]
            rig.wait_until_ended()
            used = rig.usage(pids).since(before)
        self._require_done(how)
        # The statistics are complete when all connections are closed.
        used = replace(used, transactions=rig.usage().since(before).transactions)
        return Measured(how, self._seconds_since(min(numbers)), used)

    def _require_done(self, how: str) -> None:
        """End the benchmark where a request has failed."""
        found = self._rig.database.execute("SELECT state, summary FROM journal_requests WHERE state <> 'done'")
        if row := found.fetchone():
            sys.exit(f"{how}: a request ended as {row[0]}: {row[1]}")

    def _seconds_since(self, first: int) -> float:
        """Return the seconds from the submit of a request to the end of the last that was submitted after it."""
        [row] = self._rig.database.execute(_SECONDS, (first,))
        return float(row[0])

    def _fill(self, engine: fleet.Engine, servers: Sequence[settings.Server], waiting: int) -> None:
        """Let so many requests wait, the same number for each server, and a job for each server."""
        for server in servers:
            first = engine.submit(onboarding("waiting"), server).number
            if waiting:
                self._rig.database.execute(_COPIES, (waiting // len(servers) - 1, first))
            else:
                self._rig.database.execute("DELETE FROM journal_requests")
        self._rig.database.execute("ANALYZE")  # as the server does by itself after a minute

    def _forget_requests(self) -> None:
        self._rig.database.execute(
            "DELETE FROM journal_requests; DELETE FROM procrastinate_jobs; DELETE FROM bench_jobs"
        )


def onboarding(realm: str, name: str = "Bench") -> fleet.OnboardRealms:
    """Return what a service asks for when a customer has a new realm; without a test mail."""
    sender: SenderDict = {"address": f"no-reply@{realm}.example.com", "name": name}
    entry: EntryDict = {"relay": {"host": "smtp.example.com"}, "sender": sender}
    return fleet.OnboardRealms({realm: entry}, test=False)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


_RUNS: LiteralString = "SELECT count(*) FROM runs"
_WAITS = "SELECT extract(epoch FROM ended - submitted) FROM journal_requests"
_SECONDS = "SELECT extract(epoch FROM max(ended) - min(submitted)) FROM journal_requests WHERE number >= %s"
_STORED_BYTES = """
SELECT avg(pg_column_size(content) + pg_column_size(report) + pg_column_size(report_text))
FROM journal_requests WHERE kind = %s
"""
_COPIES = """
INSERT INTO journal_requests (server, name, queue, kind, content, digest, request_key, priority, who, message,
    tool_version, state, attempts, is_cancelled, summary, report, report_text, mails, submitted, due)
SELECT server, name, queue, kind, content, digest || n, request_key, priority, who, message,
    tool_version, state, attempts, is_cancelled, summary, report, report_text, mails, submitted, due
FROM journal_requests, generate_series(1, %s::int) AS n WHERE number = %s
"""
