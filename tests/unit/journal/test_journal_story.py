"""Whatever happens to specs, servers and runs, nothing is lost and nothing is done unasked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.connecting import sent
from support.crashing import Kind, Mishap
from support.journals import use_cheap_fingerprints
from support.stories import CALM, FOREIGN, MARK, REALMS, VERSIONS, Entry, Scene, Troubled, World

from ztrust_mail import SecretMode, Session, api
from ztrust_mail.applying.outcome import Result
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.journal import open_journal
from ztrust_mail.planning.plan import Plan, Status
from ztrust_mail.sandbox import Sandbox, SandboxOptions

indices = st.integers(0, REALMS - 1)
logins = st.sampled_from(["FIRST", "SECOND"])
hosts = st.sampled_from(["one.example.com", "two.example.com"])
names = st.sampled_from(["One", "Two"])
entries = st.builds(
    Entry, hosts, names, st.sampled_from(["FIRST"] * 4 + ["SECOND", ""]), st.sampled_from([False] * 7 + [True])
)
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
        True,
        True,
        False,
    ]
)
"""What somebody does in the server's console: sets attributes, or deletes the realm, and makes it anew or not."""
_CALLS = [("gateway.write", 0), ("gateway.write", 1)] * 3 + [
    *(("gateway.read", nth) for nth in range(5)),
    *(("journal.record", nth) for nth in range(3)),
    *(("journal.finish", nth) for nth in range(2)),
    ("journal.begin", 0),
]
mishaps = st.sampled_from(
    [Mishap(call, nth, after, kind) for call, nth in _CALLS for after in (True, False) for kind in Kind]
)


class Story(RuleBasedStateMachine):
    """What may happen, in any order."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.scene = Scene(world)

    def teardown(self) -> None:
        self.scene.teardown()

    # What people do

    @initialize(version=st.sampled_from(VERSIONS), settled=st.booleans())
    def begin(self, version: str, settled: bool) -> None:
        self.scene.sandbox = self.scene.sandboxes[version]
        self.scene.sandbox.create_realm(self.scene.bystander, self.scene.beside)
        for realm in self.scene.realms:
            self.scene.sandbox.create_realm(realm)
        self.scene.values = {"FIRST": f"{MARK}FIRST-0", "SECOND": f"{MARK}SECOND-0"}
        if settled:
            self.bring_it_all_home()

    @rule(index=indices, entry=entries)
    def change_the_spec(self, index: int, entry: Entry) -> None:
        self.scene.entries[self.scene.realms[index]] = entry

    @rule(login=logins, number=st.none() | st.integers(0, 1))
    def set_a_variable(self, login: str, number: int | None) -> None:
        self.scene.values.pop(login, None)
        if number is not None:
            self.scene.values[login] = f"{MARK}{login}-{number}"

    @rule(index=indices, edit=edits)
    def edit_in_the_console(self, index: int, edit: Mapping[str, str] | bool) -> None:
        realm = self.scene.realms[index]
        if isinstance(edit, bool):
            self._delete(realm, is_made_anew=edit)
        elif (held := self.scene.held(realm)) and ("password" not in edit or held.get("auth") == "true"):
            self.scene.sandbox.edit_smtp(realm, {**held, **edit})

    def _delete(self, realm: str, *, is_made_anew: bool) -> None:
        with suppress(KeyError):
            self.scene.sandbox.remove_realm(realm)
        if is_made_anew:
            self.scene.sandbox.create_realm(realm)

    # What the tool does

    @rule()
    def look(self) -> None:
        since = len(self.scene.sandbox.requests)
        content = self.scene.file.read_bytes()
        with self.scene.connected() as connection:
            api.plan(self.scene.spec(), connection)
            api.drift(self.scene.spec(), connection)
            api.history(connection)
        assert sent(self.scene.sandbox, "PUT", since) == []
        assert self.scene.file.read_bytes() == content

    @rule(mode=modes, wave=st.integers(0, 1))
    def apply(self, mode: SecretMode, wave: int) -> None:
        self._apply(mode, Troubled(wave=wave))

    @rule(mode=modes, index=indices, edit=edits)
    def apply_while_somebody_edits(self, mode: SecretMode, index: int, edit: Mapping[str, str] | bool) -> None:
        self._apply(mode, Troubled(meanwhile=lambda: self.edit_in_the_console(index, edit)))

    @rule(mode=modes, wave=st.integers(0, 1), mishap=mishaps)
    def apply_with_a_mishap(self, mode: SecretMode, wave: int, mishap: Mishap) -> None:
        self._apply(mode, Troubled(mishap, wave))

    @rule(index=indices, entry=st.none() | entries, mishap=mishaps)
    def rotate_with_a_mishap(self, index: int, entry: Entry | None, mishap: Mishap) -> None:
        now = self.scene.values.get("FIRST", "0")
        self.scene.values["FIRST"] = f"{MARK}FIRST-{1 - int(now[-1])}"
        if entry:
            self.change_the_spec(index, entry)
        self._apply(SecretMode.AUTO, Troubled(mishap))

    def _apply(self, mode: SecretMode, trouble: Troubled) -> Result | None:
        spec = self.scene.spec()
        return self.scene.carry_out(lambda connection: api.plan(spec, connection, secrets=mode), trouble, spec)

    @rule()
    def bring_it_all_home(self) -> None:
        assert self._apply(SecretMode.AUTO, CALM)

    @rule(mode=modes, mishap=st.none() | mishaps)
    def resume(self, mode: SecretMode, mishap: Mishap | None) -> None:
        spec = self.scene.spec()

        def make(connection: Session) -> Plan | None:
            left = api.find_unfinished(connection)
            if left is None or left.run.spec_digest != api.spec_digest(spec):
                return None  # the command refuses
            made = api.plan(spec, connection, left=left, secrets=mode)
            assert {realm.realm for realm in made.realms} == set(left.realms)
            return made

        self.scene.carry_out(make, Troubled(mishap), spec)

    @rule(mishap=st.none() | mishaps)
    def revert(self, mishap: Mishap | None) -> None:
        number = []

        def make(connection: Session) -> Plan | None:
            try:
                run = api.run_to_revert(connection)
            except UsageError:
                return None
            number.append(run.number)
            return api.revert_plan(run, connection)

        result = self.scene.carry_out(make, Troubled(mishap))
        for realm in result.realms if result else ():
            if realm.status is Status.APPLIED:
                self.scene.check_back(realm, self.scene.before[number[-1]][realm.realm])

    @invariant()
    def nothing_else_was_touched(self) -> None:
        assert self.scene.sandbox.smtp(self.scene.bystander) == self.scene.beside

    @invariant()
    def no_secret_is_in_the_journal(self) -> None:
        for file in self.scene.folder.iterdir():
            content = file.read_bytes()
            assert MARK.encode() not in content
            assert FOREIGN.encode() not in content


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Servers for all stories, where a fingerprint takes no time."""
    use_cheap_fingerprints(monkeypatch)
    new_journal = tmp_path / "new.sqlite3"
    opened = open_journal(Secret(f"sqlite:///{new_journal}"), writable=True)
    assert opened
    opened.close()
    with ExitStack() as stack:
        options = [SandboxOptions(version=version, realms=()) for version in VERSIONS]
        sandboxes = {one.version: stack.enter_context(Sandbox(one)) for one in options}
        yield World(sandboxes, tmp_path, new_journal)


def test_any_story_of_runs_edits_and_mishaps_loses_nothing_and_does_nothing_unasked(world: World) -> None:
    bounded = settings(
        max_examples=50,
        stateful_step_count=12,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: Story(world), settings=bounded)  # type: ignore[no-untyped-call]
