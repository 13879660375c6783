"""Every kind of fault at every step of an apply of twenty realms: in the end all is right, and nothing done twice."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest
from support.admin_api import realm_path
from support.cli import Ran, isolate, run_process
from support.connecting import aged
from support.fault_matrix import (
    LIST,
    OUTSIDERS,
    REALMS,
    SLOW,
    TAKEN_BY_MORE,
    TOKEN,
    USER,
    Case,
    Step,
    World,
    all_cases,
    sent_password,
    world_on,
    writes_to,
)
from support.fault_proxy import Exchange, Fault
from support.server_under_test import real_server, sandbox_server

from ztrust_mail import Session, api
from ztrust_mail.core.errors import ExitStatus, ZtrustMailError
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.journal.records import Outcome
from ztrust_mail.planning.compare import SecretState
from ztrust_mail.planning.plan import Plan, RealmPlan
from ztrust_mail.transport import failures

MEANT = ("mass-change",)


@pytest.fixture(scope="module", params=["sandbox", "keycloak-26"])
def world(request: pytest.FixtureRequest, ca_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The realms on the sandbox and on a real server; in the end the number of cases is told."""
    is_real = request.param == "keycloak-26"
    serving = real_server(request.getfixturevalue("keycloak_26")) if is_real else sandbox_server("sandbox-26", ca_file)
    with serving as server, world_on(server, tmp_path_factory.mktemp("journals")) as made:
        yield made
    plugins = request.config.pluginmanager
    told = f"\nfault matrix on {request.param}: {len(made.tried)} cases, {made.taken_up} taken up by a second run"
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        plugins.getplugin("terminalreporter").write_line(told)


@pytest.fixture
def turn(world: World) -> World:
    """The next turn: server and journal are as the last one wanted them, and the spec has moved on."""
    if not world.is_right:
        world.clean()
        with world.connect() as connection:
            base = api.apply(api.plan(world.spec(), connection), connection, allow=MEANT)
        assert base.exit_status is ExitStatus.OK
    world.is_right = False
    world.turn += 1
    return world


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_after_a_fault_every_realm_is_written_once_and_none_twice(
    turn: World, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = len(turn.proxy.requests)
    with monkeypatch.context() as patch:
        status = applied_under(turn, case, patch)
    assert any(e.fault is case.fault for e in turn.proxy.requests[start:]), "the fault struck nobody"
    assert status in sensible(case)
    turn.heal()
    if status is not ExitStatus.OK:
        assert carried_on(turn) is ExitStatus.OK
    check(turn, case, turn.proxy.requests[start:])
    turn.taken_up += status is not ExitStatus.OK


COMMANDS = [
    Case(Fault.CUT_BEFORE_ANSWER, Step.MIDDLE_PUT, stubborn=True),
    Case(Fault.CUT_IN_ANSWER, Step.READ_BACK, stubborn=True),
    Case(Fault.DELAY, Step.FIRST_PUT, stubborn=True),
    Case(Fault.PAGE, Step.MIDDLE_PUT, stubborn=True),
    Case(Fault.CUT_BEFORE_REQUEST, Step.LAST_PUT, stubborn=True),
    Case(Fault.BUSY, Step.READ_BACK, stubborn=True),
    Case(Fault.GARBAGE, Step.LIST, stubborn=True),
    Case(Fault.HANG, Step.LOGIN, stubborn=True),
    Case(Fault.REFUSE, Step.MIDDLE_PUT, stubborn=True),
]


@pytest.mark.parametrize("case", COMMANDS, ids=str)
def test_following_the_printed_advice_completes_every_run_after_a_fault(
    turn: World, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(monkeypatch, tmp_path)
    Path("mail.json").write_text(json.dumps(turn.written()), encoding="utf-8")
    start = len(turn.proxy.requests)
    case.strike(turn.proxy, skip=1 if case.step is Step.READ_BACK else 0)

    first = command(turn, ZTRUST_MAIL_TIMEOUT="1500ms" if case.fault in SLOW else "30s")

    assert any(e.fault is case.fault for e in turn.proxy.requests[start:]), f"the fault struck nobody: {first}"
    assert first.status in sensible(case), first
    turn.heal()
    if first.status:
        again = command(turn, *(["--resume"] if "--resume" in first.out + first.err else []))
        assert again.status == ExitStatus.OK, (first, again)
    check(turn, case, turn.proxy.requests[start:])
    turn.taken_up += first.status != ExitStatus.OK


def sensible(case: Case) -> Collection[ExitStatus]:
    """Return what the apply that is struck may end with; one in haste may miss more than was meant for it."""
    return (case.expected, *((ExitStatus.UNREACHABLE, ExitStatus.PARTIAL) if case.fault in SLOW else ()))


def command(turn: World, *options: str, **more: str) -> Ran:
    """Run an apply as a process of its own."""
    done = run_process(
        "apply", "mail.json", "--yes", "--allow", ",".join(MEANT), *options, environ=turn.environment(**more)
    )
    assert turn.password not in done.out + done.err
    assert "Traceback" not in done.err
    return done


def applied_under(turn: World, case: Case, patch: pytest.MonkeyPatch) -> ExitStatus:
    """Apply the spec while the fault lies in wait at its step, and return what came of it."""
    timeout = "30s"
    if case.fault in SLOW:  # haste only for what is meant to come late: a real login takes its time
        timeout, patience = ("1s", 1.0) if case.step is Step.LOGIN else ("5s", turn.haste / 5)
        patch.setattr(failures, "READ_TIMEOUT_FACTOR", patience)
    strike = {step: (lambda: None) for step in Step} | {case.step: lambda: case.strike(turn.proxy)}
    with turn.connect(ZTRUST_MAIL_TIMEOUT=timeout) as connection:
        strike[Step.LOGIN]()
        try:
            with connection.lock():
                api.settle(connection)
                strike[Step.LIST]()
                plan = api.plan(turn.spec(), connection)
                plan = aged(plan) if case.step is Step.REREAD else plan
                for step in (Step.REREAD, Step.FIRST_PUT, Step.MIDDLE_PUT, Step.LAST_PUT, Step.READ_BACK):
                    strike[step]()
                return api.apply(plan, connection, spec=turn.spec(), allow=MEANT).exit_status
        except ZtrustMailError as e:
            return e.exit_status


def carried_on(turn: World) -> ExitStatus:
    """Take up what is left, as ``apply --resume`` does, or apply once more where no run left anything."""
    with turn.connect() as connection, connection.lock():
        api.settle(connection)
        plan = api.plan(turn.spec(), connection)
        if left := api.find_unfinished(connection):
            without_resume, plan = plan, api.plan(turn.spec(), connection, left=left)
            assert names_of(plan.changed) == names_of(without_resume.changed) == [*left.realms]
        return api.apply(plan, connection, spec=turn.spec(), allow=MEANT).exit_status


def names_of(realms: Sequence[RealmPlan]) -> list[str]:
    """Return the names of realms."""
    return [realm.realm for realm in realms]


def check(turn: World, case: Case, exchanges: Sequence[Exchange]) -> None:
    """See that server and journal are right, and how they came to be."""
    live = turn.live()
    assert {realm: live[realm] for realm in REALMS} == {realm: turn.expected(realm) for realm in REALMS}
    assert {realm: live[realm] for realm in OUTSIDERS} == {realm: {} for realm in OUTSIDERS}
    check_writes(turn, case, exchanges)
    with turn.connect() as connection:
        plan = api.plan(turn.spec(), connection)
        assert not plan.changed
        assert {state for realm in plan.realms for state in realm.secrets.values()} == {SecretState.UNCHANGED}
        check_journal(connection, plan)
    turn.relay.want(USER, turn.password)
    sent = turn.admin.test_mail(case.step.realm, live[case.step.realm])
    assert sent.status_code == 204, "the password on the server is another one"
    turn.tried.append(str(case))
    turn.is_right = True


def check_writes(turn: World, case: Case, exchanges: Sequence[Exchange]) -> None:
    """See that the right passwords were sent, no more often than need be, and nothing else was asked for."""
    for realm in REALMS:
        writes = writes_to(realm, exchanges)
        answered = [write for write in writes if write.fault is None]
        struck = case.step.is_put and realm == case.step.realm
        assert {sent_password(write) for write in writes} == {turn.password}
        if case.fault in TAKEN_BY_MORE:
            assert len(writes) <= 2, f"{realm} was written {len(writes)} times"
        else:
            assert len(answered) == (0 if struck and case.shows_itself else 1), f"{realm} was written again"
            assert len(writes) - len(answered) <= (2 if struck else 0)
    known = {("POST", TOKEN), ("GET", LIST), *((m, realm_path(r)) for r in REALMS for m in ("GET", "PUT"))}
    assert {(e.method, e.path) for e in exchanges} <= known


def check_journal(connection: Session, plan: Plan) -> None:
    """See that the journal agrees with the server, and nothing is left to do."""
    url, journal = connection.gateway.url, connection.journal
    remembered = journal.last_known(url)
    assert [realm for realm, known in remembered.items() if known.doubt] == []
    shown = {r.realm: KEYCLOAK.mask_secrets(r.live.attributes) for r in plan.realms if r.live}
    assert {realm: known.last.after for realm, known in remembered.items() if known.last} == shown
    assert [run.number for run in journal.runs(url, limit=10) if run.outcome is Outcome.RUNNING] == []
    assert api.find_unfinished(connection) is None
