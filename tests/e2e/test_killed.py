"""A run that is killed at any point is told of, and finished by the next one; Ctrl-C loses nothing either."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest
from support.admin_api import AdminApi, realm_path
from support.cli import Cli, Ran
from support.fault_proxy import Fault, FaultProxy
from support.journals import asked, expire_leases, journal_at
from support.server_under_test import SANDBOXES, ServerUnderTest, real_server, sandbox_server
from support.stopping import POINTS, UNTIL_CTRL_C, Stopped, started

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import MASK
from ztrust_mail.journal.records import Step
from ztrust_mail.model.fields import PASSWORD

_REAL = {"real-26": "keycloak_26", "real-16": "keycloak_16"}
REALMS = tuple(f"killed-{number}" for number in range(1, 7))
OUTSIDER = "killed-outside"
SECRET = {"before": "relay-Passw0rd-old", "after": "relay-Passw0rd-new"}

HELD = {"put-kept-from-the-server": Fault.HANG, "put-without-an-answer": Fault.DELAY}
"""Points at which one write is under way and all others are answered."""
CASES = [*(name for name, point in POINTS.items() if point.stays), *HELD]
WITHOUT_A_LEASE = ("before-account", "before-lease")
WITHOUT_A_RUN = (*WITHOUT_A_LEASE, "after-lease", "before-begin")
NOTHING_LEFT = ("after-the-looks-record", "after-finish")

_tried: list[str] = []


def spec(when: str) -> str:
    """Return the spec before and after a change that every realm has a part in, two only by their password."""
    new = when == "after"
    login = {"username": "apikey", "password": {"env": "RELAY_PASSWORD"}}
    basic = {"sender": {"address": "a@acme.example"}, "relay": {"host": "smtp.acme.example", "auth": login}}
    plain = {**basic, "relay": {"host": "new.acme.example" if new else "old.acme.example"}}
    named = {**basic, "sender": {"address": "a@acme.example", "name": "New" if new else "Old"}}
    off = {"disabled": True}
    entries = [basic, basic, named, off if new else basic, basic if new else off, plain]
    return json.dumps({"version": 1, "realms": dict(zip(REALMS, entries, strict=True))})


@pytest.fixture(scope="module", params=[*SANDBOXES, *_REAL])
def server(request: pytest.FixtureRequest, ca_file: Path) -> Iterator[ServerUnderTest]:
    """A sandbox or a real server, with the realms of these tests."""
    running = (
        sandbox_server(request.param, ca_file)
        if request.param in SANDBOXES
        else real_server(request.getfixturevalue(_REAL[request.param]))
    )
    with running as chosen:
        admin = AdminApi(chosen.url, chosen.admin_user, chosen.admin_password)
        with admin.with_realms((*REALMS, OUTSIDER)):
            admin.put_smtp(OUTSIDER, {"from": "x@acme.example", "host": "h"}).raise_for_status()
            yield chosen


@dataclass(frozen=True)
class World:
    """A server behind a proxy, the command line, and a journal that knows the state before the change."""

    proxy: FaultProxy
    admin: AdminApi
    cli: Cli
    journal: Secret

    def start(self, point: str, *options: str) -> AbstractContextManager[Stopped]:
        """Apply the change in a process that stops at a point."""
        return started(point, "apply", "after.json", "--yes", "--allow", "all", *options)

    def puts(self, since: int) -> dict[str, list[str]]:
        """Return by realm the passwords of the writes that the server got, empty ones for no password."""
        found: dict[str, list[str]] = {}
        for put in self.proxy.requests[since:]:
            if put.method == "PUT" and put.forwarded:
                sent = json.loads(put.body)["smtpServer"]
                found.setdefault(unquote(put.path.rpartition("/")[2]), []).append(sent.get("password", ""))
        return found

    def steps(self) -> dict[str, Step]:
        """Return how far the newest run that wrote came with each realm."""
        newest = "SELECT realm, step FROM writes WHERE run = (SELECT max(run) FROM writes)"
        return {str(realm): Step(str(step)) for realm, step in asked(self.journal, newest)}

    def outcome(self) -> object:
        """Return the outcome of the newest run."""
        return asked(self.journal, "SELECT outcome FROM runs ORDER BY number DESC LIMIT 1")[0][0]

    def check_all_is_right(self) -> None:
        """See that server and journal hold what the spec says, and that another apply has nothing to do."""
        before = len(self.proxy.requests)
        ran = self.cli("apply", "after.json", "--yes")
        assert ran.status == ExitStatus.OK, ran.err
        assert "Run " not in ran.out + ran.err
        assert self.puts(before) == {}
        fields = ("host", "fromDisplayName", "password")
        live = {realm: self.admin.smtp(realm) for realm in REALMS}
        basic = ("smtp.acme.example", None, MASK)
        named = ("smtp.acme.example", "New", MASK)
        plain, nothing = ("new.acme.example", None, None), (None, None, None)
        assert [tuple(live[realm].get(field) for field in fields) for realm in REALMS] == [
            *(basic, basic, named, nothing, basic, plain)
        ]
        with journal_at(self.journal) as journal:
            known = journal.last_known(self.proxy.url)
            new = journal.fingerprint(Secret(SECRET["after"]))
        assert set(known) == set(REALMS)
        assert not [realm for realm in REALMS if known[realm].doubt]
        assert {realm: known[realm].last.after for realm in REALMS} == live
        prints = {realm: known[realm].last.fingerprints.get(PASSWORD) for realm in REALMS}
        assert prints == {realm: new if "password" in live[realm] else None for realm in REALMS}


@pytest.fixture
def world(server: ServerUnderTest, cli: Cli, state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """All realms as the spec says before the change, and a variable with the new password."""
    admin = AdminApi(server.url, server.admin_user, server.admin_password)
    for realm in REALMS:
        admin.put_smtp(realm, {}).raise_for_status()
    with FaultProxy(server.url) as proxy:
        cli.set(
            URL=proxy.url, USERNAME=server.admin_user, PASSWORD=server.admin_password, TIMEOUT="30s", CONNECTIONS="3"
        )
        for when in SECRET:
            cli.write(f"{when}.json", spec(when))
        monkeypatch.setenv("RELAY_PASSWORD", SECRET["before"])
        ran = cli("apply", "before.json", "--yes")
        assert ran.status == ExitStatus.OK, ran.err
        monkeypatch.setenv("RELAY_PASSWORD", SECRET["after"])
        yield World(proxy, admin, cli, Secret(f"sqlite:///{state_folder}/ztrust-mail/journal.sqlite3"))
        assert admin.smtp(OUTSIDER)["from"] == "x@acme.example"
        assert not [e for e in proxy.requests if OUTSIDER in e.path]
    admin.close()


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_is_reported_and_completed_by_the_next(world: World, case: str) -> None:
    since = len(world.proxy.requests)
    if case in HELD:
        world.proxy.fault(HELD[case], method="PUT", path=realm_path(REALMS[2]), seconds=60.0)
    with world.start("five-answered" if case in HELD else case) as stopped:
        stopped.reach()
        stopped.kill()
    world.proxy.clear()
    world.proxy.refuse()  # what was under way ends here
    world.proxy.listen()
    sent = world.puts(since)
    cut_off = {} if case in WITHOUT_A_RUN else world.steps()

    check_lease(world, case)
    history = world.cli("history", "--format", "json").json
    runs = 1 if case in WITHOUT_A_RUN else 2
    assert len(history["runs"]) == runs
    assert history["runs"][0]["outcome"] == ("done" if case == "after-finish" or runs == 1 else "running")
    assert set(sent) <= {realm for realm, step in cut_off.items() if step is not Step.PLANNED}

    told = world.cli("apply", "after.json", "--allow", "all", typed="n\n")
    assert world.outcome() != "running"
    is_left = case not in (*WITHOUT_A_RUN, *NOTHING_LEFT)
    assert ("run 2 left" in told.out) is is_left
    assert set(world.puts(since)) == set(sent)

    resumed = world.cli("apply", "after.json", "--resume", "--yes", "--allow", "all")
    if is_left or case == "after-the-looks-record":
        assert resumed.status == ExitStatus.OK, resumed.err
    else:
        assert resumed.status == ExitStatus.USAGE
        assert "nothing to resume" in resumed.err
        assert world.cli("apply", "after.json", "--yes", "--allow", "all").status == ExitStatus.OK

    puts = world.puts(since)
    assert all(len(sent) <= 2 for sent in puts.values())
    assert not [realm for realm, step in cut_off.items() if step is Step.VERIFIED and len(puts[realm]) > 1]
    new = SECRET["after"]
    assert {realm: sent[-1] for realm, sent in puts.items()} == dict(
        zip(REALMS, (new, new, new, "", new, ""), strict=True)
    )
    world.check_all_is_right()
    _tried.append(case)


def check_lease(world: World, case: str) -> None:
    """A dead run keeps others off until its lease ends by itself, which the test makes happen at once."""
    if case in WITHOUT_A_LEASE:
        return
    refused = world.cli("apply", "after.json", "--yes", "--allow", "all")
    assert refused.status == ExitStatus.UNSAFE, refused.err
    assert f"`{world.proxy.url}` is locked by " in refused.err
    expire_leases(world.journal)


@pytest.mark.parametrize(("options", "at_once"), [((), 3), (("--wave", "2"), 2)])
def test_ctrl_c_finishes_the_writes_under_way_and_resume_does_the_rest(
    world: World, options: tuple[str, ...], at_once: int
) -> None:
    since = len(world.proxy.requests)
    with world.start(UNTIL_CTRL_C, *options, "--format", "json") as running:
        for _ in range(at_once):
            running.reach()
        running.interrupt()
        status, out, err = running.end()

    assert status == ExitStatus.INTERRUPTED, err
    report = Ran(status, out).json
    written = REALMS[:at_once]
    assert {r["realm"]: r["status"] for r in report["realms"]} == {
        realm: "applied" if realm in written else "skipped" for realm in REALMS
    }
    assert world.outcome() == "interrupted"
    assert world.steps() == {realm: Step.VERIFIED if realm in written else Step.SKIPPED for realm in REALMS}
    assert set(world.puts(since)) == set(written)

    told = world.cli("apply", "after.json", "--allow", "all", typed="n\n")
    assert f"run 2 left {6 - at_once} realms" in told.out
    resumed = world.cli("apply", "after.json", "--resume", "--yes", "--allow", "all")
    assert resumed.status == ExitStatus.OK, resumed.err
    assert {realm: len(sent) for realm, sent in world.puts(since).items()} == dict.fromkeys(REALMS, 1)
    world.check_all_is_right()


def test_the_number_of_cases_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert _tried
    with capsys.disabled():
        print(f"\nkilled at {len(set(_tried))} points of a run, {len(_tried)} times on all servers together")
