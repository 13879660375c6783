"""Whatever happens to specs, servers and runs, nothing is lost and nothing is done unasked."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.connecting import sent
from support.crashing import Killed, Kind, Mishap
from support.mail_settings import realms

from ztrust_mail import Connection, SecretMode, api
from ztrust_mail.config import Server
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.errors import JournalError, ServerError, UsageError
from ztrust_mail.gateways import connect
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.secrets.base import Reach
from ztrust_mail.sensitive import Secret
from ztrust_mail.spec.fields import FieldMap
from ztrust_mail.spec.model import Spec
from ztrust_mail.sync import newest
from ztrust_mail.sync.apply import Result
from ztrust_mail.sync.compare import secret_fields
from ztrust_mail.sync.journal import fingerprints
from ztrust_mail.sync.journal.records import Outcome, Step
from ztrust_mail.sync.journal.store import open_journal
from ztrust_mail.sync.plan import Plan, RealmPlan, Status
from ztrust_mail.sync.resume import Settled
from ztrust_mail.sync.waves import Waves

REALMS = 2
MARK = "s3cret-"
"""Every secret that the tool has to do with begins so."""
FOREIGN = "somebody-elses-"
"""Every password that somebody else sets begins so: the tool cannot know of it."""

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Entry:
    """What the spec says of one realm; ``login`` names the variable with its password, and is empty without one."""

    host: str = "one.example.com"
    name: str = "One"
    login: str = "FIRST"
    disabled: bool = False

    def written(self) -> dict[str, object]:
        """Return the entry as a spec has it."""
        if self.disabled:
            return {"disabled": True}
        relay: dict[str, object] = {"host": self.host}
        if self.login:
            relay["auth"] = {"username": "apikey", "password": {"env": self.login}}
        return {"sender": {"address": "no-reply@example.com", "name": self.name}, "relay": relay}

    def expected(self) -> dict[str, str]:
        """Return what a server is to hold of it, but for the password and what means the same."""
        if self.disabled:
            return {}
        login = {"user": "apikey", "auth": "true"} if self.login else {}
        return {"from": "no-reply@example.com", "fromDisplayName": self.name, "host": self.host,
                "port": "587", "starttls": "true", **login}  # fmt: skip


@dataclass(frozen=True)
class World:
    """What all stories share: a server, and a journal to begin with."""

    sandbox: Sandbox
    folder: Path
    new_journal: Path


@dataclass(frozen=True)
class Troubled:
    """How a run goes: what befalls it, in which portions, and what somebody does after its plan was made."""

    mishap: Mishap | None = None
    wave: int = 0
    meanwhile: Callable[[], None] | None = None


CALM = Troubled()

indices = st.integers(0, REALMS - 1)
logins = st.sampled_from(["FIRST", "SECOND"])
hosts = st.sampled_from(["one.example.com", "two.example.com"])
names = st.sampled_from(["One", "Two"])
entries = st.builds(Entry, hosts, names, st.sampled_from(["FIRST", "FIRST", "SECOND", ""]))
modes = st.sampled_from([SecretMode.AUTO, SecretMode.AUTO, SecretMode.WRITE, SecretMode.KEEP])
edits = st.sampled_from(
    [
        {"fromDisplayName": "One"},
        {"fromDisplayName": "Two"},
        {"host": "one.example.com"},
        {"host": "two.example.com"},
        {"x-note": "somebody was here"},
        {"password": f"{FOREIGN}one"},
        {"password": f"{FOREIGN}two"},
    ]
)
_TIMES = {"gateway.read": 5, "gateway.write": 2, "journal.begin": 1, "journal.record": 3, "journal.finish": 2}
mishaps = st.sampled_from(
    [
        Mishap(call, nth, after, kind)
        for call, times in _TIMES.items()
        for nth in range(times)
        for after in (True, False)
        for kind in Kind
    ]
)


class Story(RuleBasedStateMachine):
    """One spec over a few realms, one server, one journal; beside them a realm that is nobody's business."""

    def __init__(self, world: World) -> None:
        super().__init__()
        number = next(_NUMBERS)
        self.sandbox = world.sandbox
        self.folder = world.folder / str(number)
        self.folder.mkdir()
        shutil.copy(world.new_journal, self.file)
        self.realms = [f"story-{number}-{n}" for n in range(REALMS)]
        self.bystander = f"story-{number}-bystander"
        self.values: dict[str, str] = {}
        self.entries = {realm: Entry() for realm in self.realms}
        self.intents: dict[int, dict[str, tuple[FieldMap | None, dict[str, str]]]] = {}
        self.before: dict[int, dict[str, dict[str, str]]] = {}
        self.beside = {"from": "x@example.com", "host": "h", "password": f"{FOREIGN}beside"}
        self.sandbox.create_realm(self.bystander, self.beside)
        for realm in self.realms:
            self.sandbox.create_realm(realm)

    def teardown(self) -> None:
        for realm in [*self.realms, self.bystander]:
            with suppress(KeyError):
                self.sandbox.remove_realm(realm)
        shutil.rmtree(self.folder)

    @property
    def file(self) -> Path:
        return self.folder / "journal.sqlite3"

    # What people do

    @initialize(settled=st.booleans())
    def begin(self, settled: bool) -> None:
        self.values = {"FIRST": f"{MARK}FIRST-0", "SECOND": f"{MARK}SECOND-0"}
        if settled:
            self.bring_it_all_home()

    @rule(index=indices, entry=entries)
    def change_the_spec(self, index: int, entry: Entry) -> None:
        self.entries[self.realms[index]] = entry

    @rule(index=indices)
    def disable_in_the_spec(self, index: int) -> None:
        realm = self.realms[index]
        self.entries[realm] = replace(self.entries[realm], disabled=not self.entries[realm].disabled)

    @rule(login=logins, number=st.integers(0, 1))
    def give_a_variable_another_value(self, login: str, number: int) -> None:
        self.values[login] = f"{MARK}{login}-{number}"

    @rule(login=logins)
    def lose_a_variable(self, login: str) -> None:
        self.values.pop(login, None)

    @rule(index=indices, edit=edits)
    def edit_in_the_console(self, index: int, edit: Mapping[str, str]) -> None:
        held = self._held(self.realms[index])
        if held and ("password" not in edit or held.get("auth") == "true"):
            self.sandbox.edit_smtp(self.realms[index], {**held, **edit})

    @rule(index=indices, is_made_anew=st.booleans())
    def delete_a_realm(self, index: int, is_made_anew: bool) -> None:
        with suppress(KeyError):
            self.sandbox.remove_realm(self.realms[index])
        if is_made_anew:
            self.sandbox.create_realm(self.realms[index])

    # What the tool does

    @rule()
    def look(self) -> None:
        since = len(self.sandbox.requests)
        content = self.file.read_bytes()
        with self._connected() as connection:
            api.plan(self._spec(), connection)
            api.drift(self._spec(), connection)
            api.history(connection)
        assert sent(self.sandbox, "PUT", since) == []
        assert self.file.read_bytes() == content

    @rule(mode=modes, wave=st.integers(0, 1))
    def apply(self, mode: SecretMode, wave: int) -> None:
        self._apply(mode, Troubled(wave=wave))

    @rule(mode=modes, index=indices, edit=edits)
    def apply_while_somebody_edits(self, mode: SecretMode, index: int, edit: Mapping[str, str]) -> None:
        self._apply(mode, Troubled(meanwhile=lambda: self.edit_in_the_console(index, edit)))

    @rule(mode=modes, wave=st.integers(0, 1), mishap=mishaps)
    def apply_with_a_mishap(self, mode: SecretMode, wave: int, mishap: Mishap) -> None:
        self._apply(mode, Troubled(mishap, wave))

    def _apply(self, mode: SecretMode, trouble: Troubled) -> Result | None:
        spec = self._spec()
        return self._carry_out(lambda connection: api.plan(spec, connection, secrets=mode), trouble, spec)

    @rule()
    def bring_it_all_home(self) -> None:
        assert self._apply(SecretMode.AUTO, CALM)

    @rule(mode=modes, mishap=st.none() | mishaps)
    def resume(self, mode: SecretMode, mishap: Mishap | None) -> None:
        spec = self._spec()

        def make(connection: Connection) -> Plan | None:
            left = api.unfinished(connection)
            if left is None or left.run.spec_digest != api.spec_digest(spec):
                return None  # the command refuses
            made = api.plan(spec, connection, left=left, secrets=mode)
            assert {realm.realm for realm in made.realms} == set(left.realms)
            return made

        self._carry_out(make, Troubled(mishap), spec)

    @rule(mishap=st.none() | mishaps)
    def revert(self, mishap: Mishap | None) -> None:
        number = []

        def make(connection: Connection) -> Plan | None:
            try:
                run = api.run_to_revert(connection)
            except UsageError:
                return None
            number.append(run.number)
            return api.revert_plan(run, connection)

        result = self._carry_out(make, Troubled(mishap))
        for realm in result.realms if result else ():
            if realm.status is Status.APPLIED:
                self._check_back(realm, self.before[number[-1]][realm.realm])

    # How a command goes, and what has to be true after it

    def _carry_out(
        self, make: Callable[[Connection], Plan | None], trouble: Troubled, spec: Spec | None = None
    ) -> Result | None:
        """Do what every writing command does. Returns the result where there is one."""
        since = len(self.sandbox.requests)
        made: Plan | None = None
        result: Result | None = None
        with self._connected() as connection:
            trap = trouble.mishap.befall(connection) if trouble.mishap else None
            try:
                with connection.exclusively():
                    doubtful = self._asked(_DOUBTFUL)
                    self._check_settled(connection, doubtful, api.settle(connection))
                    made = make(connection)
                    if made:
                        self._take_down(connection, made)
                        planned = {realm: self._held(realm) for realm in self.realms}
                        if trouble.meanwhile:
                            trouble.meanwhile()
                        since = len(self.sandbox.requests)
                        held = {realm: self._held(realm) for realm in self.realms}
                        result = api.apply(made, connection, spec=spec, allow=["all"], waves=Waves(size=trouble.wave))
                        if trap:
                            trap.disarmed = True
                        if spec and self._is_to_be_right(made, result):
                            done = _done(result, {realm for realm in self.realms if held[realm] != planned[realm]})
                            self._check_arrived(done)
                            self._check_nothing_left(connection, done, spec)
            except Killed:
                result = None
            except (ServerError, JournalError):
                assert trap is not None
                assert trap.struck
                result = None
        put = [unquote(request.path.rpartition("/")[2]) for request in sent(self.sandbox, "PUT", since)]
        if made is None:
            assert put == []
            return None
        assert len(set(put)) == len(put)
        assert set(put) <= {realm.realm for realm in made.changed}
        assert not {r for r in put if _shown(held[r]) != _shown(planned[r])}, "somebody's edit was overwritten"
        self._check_shown(made, put, held)
        self._check_journal(put, result)
        return result

    def _is_to_be_right(self, made: Plan, result: Result) -> bool:
        """Whether what counts as done is to be right, and known to be: not where secrets are kept or a disk is full."""
        return made.secrets is not SecretMode.KEEP and all(finding.rule != "journal" for finding in result.findings)

    def _take_down(self, connection: Connection, made: Plan) -> None:
        """Keep in mind what the run that may come means to write, and over what."""
        runs = connection.journal.runs(limit=1)
        number = runs[0].number + 1 if runs else 1
        keeps = made.secrets is SecretMode.KEEP
        self.before[number] = {realm: self._held(realm) for realm in self.realms}
        self.intents[number] = {}
        for realm in made.changed:
            fields = realm.wanted.fields
            references = {} if keeps else secret_fields(fields)
            secret = {
                KEYCLOAK.natives_of(name)[0]: self.values.get(ref.argument[0], "") for name, ref in references.items()
            }
            self.intents[number][realm.realm] = (None if realm.wanted.disabled else fields, secret)

    def _holds(self, realm: str, run: int) -> bool:
        """Whether the server holds what a run meant to write, or somebody's password in its place."""
        fields, secret = self.intents[run][realm]
        held = self._held(realm)
        if fields is None:
            return held == {}
        wanted = {n: v for n, v in fields.items() if n not in secret_fields(fields)}
        shown = {n: v for n, v in KEYCLOAK.decode(held).items() if n not in secret_fields(fields)}
        managed = {row.field for row in KEYCLOAK.rows} - secret_fields(fields).keys()
        plain = all(KEYCLOAK.meaning(n, shown.get(n)) == KEYCLOAK.meaning(n, wanted.get(n)) for n in managed)
        return plain and all(held.get(n) == v or held.get(n, "").startswith(FOREIGN) for n, v in secret.items())

    def _check_settled(self, connection: Connection, doubtful: list[tuple[Any, ...]], settled: list[Settled]) -> None:
        assert {(one.write.run, one.write.realm) for one in settled} >= set(doubtful), "a write in doubt is forgotten"
        for one in settled:
            if one.step is Step.VERIFIED:
                assert self._holds(one.write.realm, one.write.run), "verified, but not there"
            elif one.step is Step.FAILED and self._held(one.write.realm):
                assert not self._holds(one.write.realm, one.write.run), "given up, but there"
        assert all(run.outcome is not Outcome.RUNNING for run in connection.journal.runs())

    def _check_shown(self, made: Plan, put: list[str], held: Mapping[str, dict[str, str]]) -> None:
        """A write changes what its plan shows and nothing else."""
        for realm in made.changed:
            if realm.realm not in put:
                continue
            shown = {name for change in realm.changes for name in change.attributes}
            before, after = held[realm.realm], self._held(realm.realm)
            changed = {n for n in {*before, *after} - {"password"} if before.get(n) != after.get(n)}
            silent = {n for n in changed - shown if _means(n, before) != _means(n, after)}
            assert not silent, f"{silent} changed without a word"

    def _check_journal(self, put: list[str], result: Result | None) -> None:
        """Of every write that went out the journal knows, and what it has for certain is true."""
        rows = self._asked("SELECT run, realm, step FROM writes WHERE run = (SELECT max(number) FROM runs)")
        number, steps = rows[0][0] if rows else 0, {realm: Step(step) for _, realm, step in rows}
        for realm in put:
            assert steps[realm] not in (Step.PLANNED, Step.SKIPPED), "a write that went out is forgotten"
            if steps[realm] is Step.VERIFIED:
                assert self._holds(realm, number), "verified, but not there"
            if steps[realm] is Step.FAILED:
                assert not self._holds(realm, number), "failed, but there"
        if result:
            assert {realm.realm for realm in result.realms if realm.status is Status.APPLIED} <= set(put)

    def _check_arrived(self, done: Mapping[str, Status]) -> None:
        """Every realm that counts as done is as the spec says, the password on the server included."""
        for realm, status in done.items():
            entry, held = self.entries[realm], self._held(realm)
            expected = entry.expected()
            assert {name: held.get(name) for name in expected} == expected
            password = held.get("password", "")
            if entry.disabled:
                assert held == {}
            elif not entry.login:
                assert password == ""
            elif entry.login in self.values and (status is Status.APPLIED or not password.startswith(FOREIGN)):
                assert password == self.values[entry.login]

    def _check_nothing_left(self, connection: Connection, done: Mapping[str, Status], spec: Spec) -> None:
        if done:
            again = api.plan(spec, connection, realms=list(done))
            assert [realm.realm for realm in again.changed] == []

    def _check_back(self, realm: RealmPlan, before: Mapping[str, str]) -> None:
        """A realm that was reverted is as it was before the run, its password too where nothing else was said."""
        held = self._held(realm.realm)
        assert {n: _means(n, held) for n in {*held, *before} - {"password"}} == {
            n: _means(n, before) for n in {*held, *before} - {"password"}
        }
        if not any(finding.rule == "earlier-secret" for finding in realm.findings):
            foreign = before.get("password", "").startswith(FOREIGN)
            assert foreign or held.get("password") == before.get("password")

    @invariant()
    def nothing_else_was_touched(self) -> None:
        assert self.sandbox.smtp(self.bystander) == self.beside

    @invariant()
    def no_secret_is_in_the_journal(self) -> None:
        for file in self.folder.iterdir():
            content = file.read_bytes()
            assert MARK.encode() not in content
            assert FOREIGN.encode() not in content

    # What the rest is made of

    def _spec(self) -> Spec:
        return realms({realm: entry.written() for realm, entry in self.entries.items()})

    def _connected(self) -> Connection:
        server = Server(self.sandbox.url, username="admin", password=Secret("admin"), connections=1)
        reach = Reach(environ=dict(self.values))
        return Connection(server, connect(server), reach, journal_url=Secret(f"sqlite:///{self.file}"))

    def _asked(self, question: str) -> list[tuple[Any, ...]]:
        """Return what SQL finds in the journal, without anything of the tool's."""
        with closing(sqlite3.connect(self.file)) as journal:
            return journal.execute(question).fetchall()

    def _held(self, realm: str) -> dict[str, str]:
        try:
            return self.sandbox.smtp(realm)
        except KeyError:
            return {}


_DOUBTFUL = """
    SELECT max(run), realm FROM writes AS w
    WHERE step IN ('writing', 'written') AND run > (
        SELECT coalesce(max(run), 0) FROM writes WHERE realm = w.realm AND step = 'verified')
    GROUP BY realm
"""

_ABSENT = {"ssl": "false", "starttls": "false", "auth": "false", "debug": "false", "port": "25"}


def _done(result: Result, edited: set[str]) -> dict[str, Status]:
    """Return the realms that count as done, but for those that somebody edited after the plan was made."""
    ended = {realm.realm: realm.status for realm in result.realms if realm.realm not in edited}
    return {realm: status for realm, status in ended.items() if status in (Status.APPLIED, Status.IN_SYNC)}


def _shown(attributes: Mapping[str, str]) -> Mapping[str, str]:
    return KEYCLOAK.masked(attributes)


def _means(name: str, attributes: Mapping[str, str]) -> str:
    """Return what an attribute means to the server, however it is written."""
    if name == "authType":
        return attributes.get(name, "basic") if attributes.get("auth") == "true" else ""
    return attributes.get(name) or _ABSENT.get(name, "")


@pytest.fixture(scope="module", params=["26.7.4", "26.8.0", "16.1.1"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """One server for all stories; each has realms of its own."""
    with Sandbox(SandboxOptions(version=request.param, realms=())) as running:
        yield running


def test_whatever_happens_nothing_is_lost_and_nothing_is_done_unasked(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "FRESH_SECONDS", -1)
    monkeypatch.setattr(fingerprints, "_COST", 2)
    new_journal = tmp_path / "new.sqlite3"
    opened = open_journal(Secret(f"sqlite:///{new_journal}"), writable=True)
    assert opened
    opened.close()
    world = World(sandbox, tmp_path, new_journal)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Story(world),
        settings=settings(
            max_examples=40,
            stateful_step_count=14,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
