"""Requests of a fleet under faults: each case has a server of its own, with three realms, in a common journal.

A round is some cases that the same fault strikes. All servers are one server behind a proxy for each case.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
from support.admin_api import AdminApi
from support.fault_proxy import Fault, FaultProxy
from support.fleet_cases import (
    MAIL_KINDS,
    NEW,
    OLD,
    ONBOARD,
    QUICK,
    REALMS_EACH,
    ROTATE,
    SLOW,
    TEST_STORED,
    VARIABLE,
    WRITING_KINDS,
    Case,
    Site,
    wait_until,
)
from support.fleet_points import HELD
from support.fleet_workers import LEASE, PATIENCE, RETRY, FleetProcess, Order, WorkerStarter
from support.postgresql import PostgresqlServer
from support.server_under_test import ServerUnderTest

import ztrust_mail
from ztrust_mail import fleet
from ztrust_mail import settings as config
from ztrust_mail.api.spec_types import SpecDict
from ztrust_mail.applying.writer import FRESH_SECONDS
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import MASK
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.records import Outcome, Step
from ztrust_mail.journal.requests import RequestState, StoredRequest
from ztrust_mail.model.fields import PASSWORD


@dataclass
class World:
    """The server, its relay, the database, and the tally of all rounds."""

    server: ServerUnderTest
    postgresql: PostgresqlServer
    starter: WorkerStarter
    folder: Path
    admin: AdminApi
    known: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    done: int = 0
    repeated: int = 0
    """How many writes were sent again after an unknown outcome."""

    @property
    def name(self) -> str:
        """What the cases run on."""
        return f"Keycloak {self.server.version}" if self.server.is_real else "the sandbox"

    @contextmanager
    def round(self, cases: Sequence[Case], *, submit: bool = True) -> Iterator[Round]:
        """Give each case a server and a request, in an empty database; end all processes afterwards."""
        database = self.postgresql.url(self.postgresql.empty_database())
        with ExitStack() as stack:
            sites = []
            for number, case in enumerate(cases):
                realms = tuple(f"site-{number}-{one}" for one in range(REALMS_EACH))
                proxy = stack.enter_context(FaultProxy(self.server.url))
                sites.append(Site(case, f"site-{number}", proxy, realms))
                self._empty(realms)
            settings = self.folder / "settings.toml"
            settings.write_text(self._settings(sites, database))
            stack.callback(self.starter.end_all)
            made = Round(self, sites, str(settings), database)
            stack.enter_context(made.engine)
            if submit:
                made.prepare()
            yield made

    def _empty(self, realms: Sequence[str]) -> None:
        for realm in realms:
            if realm not in self.known:
                self.admin.create_realm(realm)
                self.known.append(realm)
            self.admin.put_smtp(realm, {}).raise_for_status()

    def _settings(self, sites: Sequence[Site], database: str) -> str:
        login = f'username = "{self.server.admin_user}"\npassword = "{self.server.admin_password}"\nconnections = 1\n'
        servers = [f'[servers.{one.name}]\nurl = "{one.proxy.url}"\nqueue = "{one.name}"\n{login}' for one in sites]
        return "\n".join([*servers, f'[journal]\nurl = "{database}"\n'])

    def summary(self) -> str:
        """Return the tally in a line."""
        return (
            f"fleet faults on {self.name}: {len(self.cases)} cases, {self.done} requests done as asked, "
            f"{self.repeated} writes repeated harmlessly, 0 realms written twice harmfully"
        )


class Round:
    """Cases that are struck together. ``engine`` is that of a service which submits requests."""

    def __init__(self, world: World, sites: Sequence[Site], settings: str, database: str) -> None:
        self.world, self.sites, self.settings, self.database = world, sites, settings, database
        self.engine = self._open(NEW)
        self._port = world.server.relay.port
        self._mails = len(world.server.relay.received)

    def _open(self, password: str) -> fleet.Engine:
        environ = {VARIABLE: password}
        options = fleet.DrainOptions(self.settings, environ, retry=RETRY, lease=LEASE)
        return fleet.open_engine(self.settings, environ, options=options)

    @property
    def journal(self) -> Journal:
        """The journal of all servers."""
        return self.engine.journal

    def server_of(self, site: Site) -> config.Server:
        """Return the entry of a server in the settings."""
        return config.choose_server(config.load(self.settings), site.name)

    def prepare(self) -> None:
        """Bring each server to the state before its request, and submit it."""
        for site in self.sites:
            if site.case.kind in (ROTATE, TEST_STORED):
                self._apply_before(site)
            site.since = len(site.proxy.requests)
            for number, work in enumerate(self._works(site)):
                key = f"{site.name} {number}"
                site.requests.append(self.engine.submit(work, self.server_of(site), key=key))

    def _apply_before(self, site: Site) -> None:
        with self._open(OLD) as engine:
            engine.submit(fleet.ApplySpec(site.spec(self._port)), self.server_of(site), key="before")
            assert engine.drain(site.proxy.url) == 1

    def _works(self, site: Site) -> Iterator[fleet.Work]:
        spec = site.spec(self._port)
        match site.case.kind:
            case "apply":
                yield fleet.ApplySpec(spec)
            case "apply-plan":
                yield fleet.ApplySavedPlan(self._saved_plan(site, spec))
            case "rotate":
                yield fleet.RotateSecrets(spec, references=[f"env:{VARIABLE}"])
            case "onboard":
                for realm in site.realms:
                    yield fleet.OnboardRealms({realm: site.entry(realm, self._port)})
            case "test":
                yield fleet.TestSpec(spec)
            case "test-stored":
                yield fleet.TestStored(site.realms)
        yield fleet.CheckDrift(spec)  # what comes after it is done, too

    def _saved_plan(self, site: Site, spec: SpecDict) -> str:
        loaded = ztrust_mail.load_spec(spec)
        with ztrust_mail.connect(site.name, config_path=self.settings, environ={VARIABLE: NEW}) as session:
            return ztrust_mail.save_plan(ztrust_mail.plan(loaded, session), loaded, session)

    def start(self, site: Site, point: str = "", sweep: float = SLOW) -> FleetProcess:
        """Start a worker for the server of a case, which stops at a point."""
        return self.world.starter.start(replace(self._order(site.name), point=point, sweep=sweep))

    def start_client(self, site: Site, point: str, key: str) -> FleetProcess:
        """Start a process that submits an apply to the server of a case, and stops at a point."""
        order = replace(self._order(), server=site.name, key=key, spec=json.dumps(site.spec(self._port)))
        return self.world.starter.start(replace(order, point=point))

    def submit(self, site: Site, key: str) -> None:
        """Submit the same in this process."""
        work = fleet.ApplySpec(site.spec(self._port))
        site.requests.append(self.engine.submit(work, self.server_of(site), key=key))

    def start_for_all(self) -> FleetProcess:
        """Start a worker for the servers of all cases."""
        return self.world.starter.start(replace(self._order(*(one.name for one in self.sites)), sweep=QUICK))

    def _order(self, *queues: str) -> Order:
        return Order(self.settings, queues, concurrency=4, environ={VARIABLE: NEW})

    def stop_workers(self, *, sweep: float = SLOW) -> list[FleetProcess]:
        """Start a worker for each case, and return them when they have come to their points."""
        for site in self.sites:
            if fault := HELD.get(site.case.point):
                site.proxy.fault(fault, method="PUT", at=2, seconds=PATIENCE)
        workers = [self.start(site, site.case.point, sweep) for site in self.sites]
        for site, worker in zip(self.sites, workers, strict=True):
            self._reach(site, worker)
            site.verified = self._verified(site)
        return workers

    def stop_next_workers(self) -> list[FleetProcess]:
        """Start a worker for each case after the first was killed, and return them at their points."""
        workers = [self.start(site, site.case.then, QUICK) for site in self.sites]
        for worker in workers:
            worker.reach()
        return workers

    def _reach(self, site: Site, worker: FleetProcess) -> None:
        fault = HELD.get(site.case.point)
        if fault is None:
            worker.reach()
            return
        is_done = fault is Fault.DELAY

        def is_held() -> bool:
            held = [one for one in site.proxy.requests if one.fault]
            return any(one.status is not None or not is_done for one in held)

        wait_until(is_held, lambda: f"no write is held: {worker.log.read_text()}")

    def kill(self, workers: Sequence[FleetProcess]) -> None:
        """Kill workers, and end the requests that the network held."""
        for worker in workers:
            worker.kill()
        for site in self.sites:
            if site.case.point in HELD:
                site.proxy.clear()
                site.proxy.refuse()
                site.proxy.listen()

    def _verified(self, site: Site) -> frozenset[str]:
        runs = [one for one in self.journal.runs(site.proxy.url) if one.request is not None]
        writes = self.journal.writes(runs[0].number) if runs else []
        own = site.requests[0].number
        return frozenset(one.realm for one in writes if one.step is Step.VERIFIED and runs[0].request == own)

    def cut_connections(self) -> None:
        """Cut every connection to the database."""
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        self.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")

    def wait_until_down(self) -> None:
        """Wait until every request has ended, or waits as its server is down."""

        def unaware() -> list[str]:
            left = {one.name: "" for one in self.journal.requests.list_unfinished()}
            left |= {one.name: one.summary for one in self.journal.requests.list_unfinished() if one.summary}
            return [name for name, why in left.items() if not why]

        wait_until(lambda: not unaware(), lambda: f"not noticed: {unaware()}\n{self.world.starter.logs()}")

    def wait_until_drained(self, worker: FleetProcess) -> None:
        """Wait until a worker has come to the end of a drain."""
        wait_until(lambda: "ended with status" in worker.log.read_text(), lambda: worker.log.read_text())

    def wait_until_done(self) -> None:
        """Wait until all requests have ended, and no job and no lease is left."""
        wait_until(lambda: not self._left(), lambda: f"not done: {self._left()}\n{self.world.starter.logs()}")

    def _left(self) -> list[str]:
        left = [f"request {one.number} of {one.name} {one.state}" for one in self.journal.requests.list_unfinished()]
        left += [f"job of {lock} {status}" for lock, status in self.ask("SELECT lock, status FROM procrastinate_jobs")]
        left += [f"lease on {one}" for (one,) in self.ask("SELECT server FROM leases WHERE expires > now()")]
        return left

    def ask(self, question: str) -> list[tuple[object, ...]]:
        """Return the rows that a query finds in the database."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(question.encode()).fetchall()

    def wait_until_stale(self) -> None:
        """Wait until what workers have read before is too old for a write."""
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > FRESH_SECONDS, lambda: "the clock stands still")

    def ends(self) -> list[StoredRequest]:
        """Return all requests as they are now."""
        return [self.engine.status(one.number) for site in self.sites for one in site.requests]

    def puts(self) -> list[dict[str, list[str]]]:
        """Return the writes to each server."""
        return [site.puts() for site in self.sites]

    def check(self) -> None:
        """See that everything was done as asked, once, and that journal and servers agree."""
        for site in self.sites:
            if site.case.loses_mails:
                site.ends[site.requests[0].number] = RequestState.FAILED
            try:
                self._check(site)
            except AssertionError as e:
                raise AssertionError(f"{site.case}: {e}\n{self.world.starter.logs()}") from e
        logs = self.world.starter.logs()
        assert "Traceback" not in logs, logs[max(0, logs.index("Traceback") - 1000) :][:8000]
        assert not [one for one in (OLD, NEW, self.database.split("@")[0]) if one in logs]
        self.world.cases += [str(one.case) for one in self.sites]

    def _check(self, site: Site) -> None:
        for request in site.requests:
            now = self.engine.status(request.number)
            expected = site.ends.get(request.number, RequestState.DONE)
            assert now.state == expected, f"request {now.number} is {now.state}: {now.summary}\n{now.report_text}"
            self.world.done += 1
        self._check_writes(site)
        self._check_journal(site)
        self._check_mails(site)

    def _check_writes(self, site: Site) -> None:
        puts = site.puts()
        kind = site.case.kind
        assert set(puts) == (set(site.realms) if kind in WRITING_KINDS else set())
        assert all(len(set(sent)) == 1 for sent in puts.values()), "a realm was written with other settings"
        twice = [realm for realm, sent in puts.items() if len(sent) > 1]
        assert not site.verified.intersection(twice), f"written again after it was verified: {twice}"
        assert kind == ROTATE or not twice, f"written twice, though a read shows what was stored: {twice}"
        self.world.repeated += sum(len(sent) - 1 for sent in puts.values())

    def _check_journal(self, site: Site) -> None:
        url, journal = site.proxy.url, self.journal
        assert not [one for one in journal.runs(url) if one.outcome is Outcome.RUNNING]
        assert journal.resumable(url) is None
        if site.case.kind not in (*WRITING_KINDS, TEST_STORED):
            return
        known, new = journal.last_known(url), journal.fingerprint(Secret(NEW))
        live = {realm: self.world.admin.smtp(realm) for realm in site.realms}
        assert not [one for one in known.values() if one.doubt]
        assert {realm: one.last.after for realm, one in known.items() if one.last} == live
        assert all(one["password"] == MASK for one in live.values())
        if site.case.kind != TEST_STORED:
            assert {one.last.fingerprints[PASSWORD] for one in known.values() if one.last} == {new}

    def _check_mails(self, site: Site) -> None:
        counts = dict(zip(site.realms, self.count_mails(site), strict=True))
        assert max(counts.values()) <= 1, f"a mail was sent twice: {counts}"
        if site.case.kind in MAIL_KINDS and not site.ends:
            assert min(counts.values()) == 1, f"a mail was not sent: {counts}"
        if site.case.kind == ONBOARD:
            lost = [realm for realm, count in counts.items() if count == 0]
            assert {*lost} <= {*self.find_unknown_mails(site)}, f"mails were not sent, and no report says so: {lost}"

    def find_unknown_mails(self, site: Site) -> list[str]:
        """Return the realms of which the reports of onboarding requests say that a mail may have been sent."""
        found = zip(site.realms, site.requests, strict=False)
        return [realm for realm, one in found if "[test-unknown]" in self.engine.status(one.number).report_text]

    def count_mails(self, site: Site) -> list[int]:
        """Return how many mails the relay got for each realm of a case."""
        senders = Counter(one.sender for one in self.world.server.relay.received[self._mails :])
        return [senders[f"{realm}@acme.example"] for realm in site.realms]


@contextmanager
def world_on(server: ServerUnderTest, postgresql: PostgresqlServer, folder: Path) -> Iterator[World]:
    """Prepare rounds on a server, and remove their realms in the end."""
    admin = AdminApi(server.url, server.admin_user, server.admin_password)
    with WorkerStarter() as starter:
        world = World(server, postgresql, starter, folder, admin)
        try:
            yield world
        finally:
            for realm in world.known:
                admin.delete_realm(realm)
            admin.close()
