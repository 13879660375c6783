"""The tool at work in a made-up story, told step by step, and all that has to be true after each step."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from support.connecting import aged, sent
from support.crashing import Killed, Mishap
from support.mail_settings import realms

from ztrust_mail import SecretMode, Session, api
from ztrust_mail.applying.options import Waves
from ztrust_mail.applying.outcome import Result
from ztrust_mail.applying.resume import ResolvedWrite
from ztrust_mail.core.errors import JournalError, ServerError
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways import connect
from ztrust_mail.journal.records import Outcome, Step
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.planning.compare import secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.settings import Server
from ztrust_mail.specfile.entries import Spec

VERSIONS = ("26.7.4", "26.8.0", "16.1.1")
"""One as most are, one that drops a stored password when the relay changes, one that checks and mends nothing."""
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
    """What all stories share: servers by version, and a journal to begin with."""

    sandboxes: Mapping[str, Sandbox]
    folder: Path
    new_journal: Path


@dataclass(frozen=True)
class Troubled:
    """How a run goes: what befalls it, in which portions, and what somebody does after its plan was made."""

    mishap: Mishap | None = None
    wave: int = 0
    meanwhile: Callable[[], None] | None = None


CALM = Troubled()


@dataclass
class _Course:
    """How a command went: its plan, what the realms held when it was made and when it was applied, and the result."""

    since: int
    made: Plan | None = None
    planned: dict[str, dict[str, str]] = field(default_factory=dict)
    held: dict[str, dict[str, str]] = field(default_factory=dict)
    result: Result | None = None

    @property
    def is_to_be_right(self) -> bool:
        """Whether what counts as done is as the spec says: not where secrets are kept, or a journal's disk is full."""
        keeps = self.made is None or self.made.secrets is SecretMode.KEEP
        return not keeps and self.result is not None and all(f.rule != "journal" for f in self.result.own_findings)

    @property
    def done(self) -> dict[str, Status]:
        """The realms that count as done, but for those that somebody edited after the plan was made."""
        assert self.result
        ended = {realm.realm: realm.status for realm in self.result.realms}
        done = {realm: s for realm, s in ended.items() if s in (Status.APPLIED, Status.IN_SYNC)}
        return {realm: status for realm, status in done.items() if self.held[realm] == self.planned[realm]}


class Scene:
    """One spec over a few realms, one server, one journal; beside them a realm that is nobody's business."""

    def __init__(self, world: World) -> None:
        number = next(_NUMBERS)
        self.sandboxes = world.sandboxes
        self.sandbox = world.sandboxes[VERSIONS[0]]
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

    def teardown(self) -> None:
        """Remove what the story made."""
        for realm in [*self.realms, self.bystander]:
            with suppress(KeyError):
                self.sandbox.remove_realm(realm)
        shutil.rmtree(self.folder)

    @property
    def file(self) -> Path:
        """Where the journal is."""
        return self.folder / "journal.sqlite3"

    def carry_out(
        self, make: Callable[[Session], Plan | None], trouble: Troubled, spec: Spec | None = None
    ) -> Result | None:
        """Do what every writing command does, and check all that follows. Returns the result where there is one."""
        course = _Course(len(self.sandbox.requests))
        with self.connected() as connection:
            trap = trouble.mishap.befall(connection) if trouble.mishap else None
            try:
                with connection.lock():
                    doubtful = self._asked(_DOUBTFUL)
                    self._check_settled(connection, doubtful, api.settle(connection))
                    made = make(connection)
                    course.made = made and aged(made)
                    if course.made:
                        self._work(connection, course, trouble, spec)
                        if trap:
                            trap.disarmed = True
                        if spec and course.is_to_be_right:
                            self._check_arrived(course.done)
                            self._check_nothing_left(connection, course.done, spec)
            except Killed:
                course.result = None
            except (ServerError, JournalError):
                assert trap is not None
                assert trap.struck
        put = [unquote(request.path.rpartition("/")[2]) for request in sent(self.sandbox, "PUT", course.since)]
        self._check_writes(put, course)
        return course.result

    def _work(self, connection: Session, course: _Course, trouble: Troubled, spec: Spec | None) -> None:
        assert course.made
        self._take_down(connection, course.made)
        course.planned = {realm: self.held(realm) for realm in self.realms}
        if trouble.meanwhile:
            trouble.meanwhile()
        course.since = len(self.sandbox.requests)
        course.held = {realm: self.held(realm) for realm in self.realms}
        waves = Waves(size=trouble.wave)
        course.result = api.apply(course.made, connection, spec=spec, allow=["all"], waves=waves)

    def _check_writes(self, put: list[str], course: _Course) -> None:
        """What was written is what the plan showed, once, and nobody's edit; the journal knows of it."""
        if course.made is None:
            assert put == []
            return
        assert len(set(put)) == len(put)
        assert set(put) <= {realm.realm for realm in course.made.changed}
        overwritten = [r for r in put if _shown(course.held[r]) != _shown(course.planned[r])]
        assert overwritten == [], "somebody's edit was overwritten"
        self._check_shown(course.made, put, course.held)
        self._check_journal(put, course.result)

    def _take_down(self, connection: Session, made: Plan) -> None:
        """Keep in mind what the run that may come means to write, and over what."""
        runs = connection.journal.runs(limit=1)
        number = runs[0].number + 1 if runs else 1
        keeps = made.secrets is SecretMode.KEEP
        self.before[number] = {realm: self.held(realm) for realm in self.realms}
        self.intents[number] = {}
        for realm in made.changed:
            fields = realm.wanted.fields
            references = {} if keeps else secret_fields(fields)
            secret = {
                KEYCLOAK.attributes_of(name)[0]: self.values.get(ref.argument[0], "")
                for name, ref in references.items()
            }
            self.intents[number][realm.realm] = (None if realm.wanted.disabled else fields, secret)

    def _holds(self, realm: str, run: int) -> bool:
        """Whether the server holds what a run meant to write, or somebody's password in its place."""
        fields, secret = self.intents[run][realm]
        held = self.held(realm)
        if fields is None:
            return held == {}
        wanted = {n: v for n, v in fields.items() if n not in secret_fields(fields)}
        shown = {n: v for n, v in KEYCLOAK.decode(held).items() if n not in secret_fields(fields)}
        managed = {row.field for row in KEYCLOAK.rows} - secret_fields(fields).keys()
        plain = all(
            KEYCLOAK.effective_value(n, shown.get(n)) == KEYCLOAK.effective_value(n, wanted.get(n)) for n in managed
        )
        return plain and all(held.get(n) == v or held.get(n, "").startswith(FOREIGN) for n, v in secret.items())

    def _check_settled(
        self, connection: Session, doubtful: list[tuple[Any, ...]], settled: list[ResolvedWrite]
    ) -> None:
        assert {(one.write.run, one.write.realm) for one in settled} >= set(doubtful), "a write in doubt is forgotten"
        for one in settled:
            if one.step is Step.VERIFIED:
                assert self._holds(one.write.realm, one.write.run), "verified, but not there"
            elif one.step is Step.FAILED and self.held(one.write.realm):
                assert not self._holds(one.write.realm, one.write.run), "given up, but there"
        assert all(run.outcome is not Outcome.RUNNING for run in connection.journal.runs())

    def _check_shown(self, made: Plan, put: list[str], held: Mapping[str, dict[str, str]]) -> None:
        """A write changes what its plan shows and nothing else."""
        for realm in made.changed:
            if realm.realm not in put:
                continue
            shown = {name for change in realm.changes for name in change.attributes}
            before, after = held[realm.realm], self.held(realm.realm)
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
            entry, held = self.entries[realm], self.held(realm)
            expected = entry.expected()
            assert {name: held.get(name) for name in expected} == expected
            password = held.get("password", "")
            if entry.disabled:
                assert held == {}
            elif not entry.login:
                assert password == ""
            elif entry.login in self.values and (status is Status.APPLIED or not password.startswith(FOREIGN)):
                assert password == self.values[entry.login]

    def _check_nothing_left(self, connection: Session, done: Mapping[str, Status], spec: Spec) -> None:
        if done:
            again = api.plan(spec, connection, realms=list(done))
            assert [realm.realm for realm in again.changed] == []

    def check_back(self, realm: RealmPlan, before: Mapping[str, str]) -> None:
        """A realm that was reverted is as it was before the run, its password too where nothing else was said."""
        held = self.held(realm.realm)
        assert {n: _means(n, held) for n in {*held, *before} - {"password"}} == {
            n: _means(n, before) for n in {*held, *before} - {"password"}
        }
        if not any(finding.rule == "earlier-secret" for finding in realm.findings):
            foreign = before.get("password", "").startswith(FOREIGN)
            assert foreign or held.get("password") == before.get("password")

    def spec(self) -> Spec:
        """Return the spec as it is now."""
        return realms({realm: entry.written() for realm, entry in self.entries.items()})

    def connected(self) -> Session:
        """Connect as a new process does; the variables are as they are now."""
        server = Server(self.sandbox.url, username="admin", password=Secret("admin"), connections=1)
        reach = Reach(environ=dict(self.values))
        return Session(server, connect(server), reach, journal_url=Secret(f"sqlite:///{self.file}"))

    def _asked(self, question: str) -> list[tuple[Any, ...]]:
        """Return what SQL finds in the journal, without anything of the tool's."""
        with closing(sqlite3.connect(self.file)) as journal:
            return journal.execute(question).fetchall()

    def held(self, realm: str) -> dict[str, str]:
        """Return what the server holds of a realm, secrets included; nothing where there is no such realm."""
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


def _shown(attributes: Mapping[str, str]) -> Mapping[str, str]:
    return KEYCLOAK.mask_secrets(attributes)


def _means(name: str, attributes: Mapping[str, str]) -> str:
    """Return what an attribute means to the server, however it is written."""
    if name == "authType":
        return attributes.get(name, "basic") if attributes.get("auth") == "true" else ""
    return attributes.get(name) or _ABSENT.get(name, "")
