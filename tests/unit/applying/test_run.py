"""A run under way: what stops it, what the journal then holds, and how the next one takes it up."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
from support.connecting import FakeGateway, make_plan
from support.mail_settings import BASIC, ENVIRON, NO_LOGIN, realms
from support.results import statuses

from ztrust_mail.applying.apply import apply_plan
from ztrust_mail.applying.options import ApplyContext, ApplyOptions, CanaryTest, Waves
from ztrust_mail.applying.outcome import RealmOutcome, Result
from ztrust_mail.applying.resume import find_unfinished, settle
from ztrust_mail.core.errors import (
    CIRCUIT_OPEN,
    NOT_THE_API,
    TOO_BUSY,
    ExitStatus,
    JournalError,
    RealmError,
    ServerUnreachable,
)
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.journal.journal import Journal, open_journal
from ztrust_mail.journal.records import JournalState, NewRun, Outcome, Step, Update
from ztrust_mail.model.fields import PASSWORD
from ztrust_mail.planning.compare import SecretMode, SecretState
from ztrust_mail.planning.planners.from_spec import PlanningContext
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore


@pytest.fixture
def journal() -> Iterator[Journal]:
    opened = open_journal(None, writable=True)
    assert opened is not None
    with opened:
        yield opened


def new_run(gateway: FakeGateway) -> NewRun:
    return NewRun(gateway.url, "apply", "me")


def memory_of(journal: Journal, gateway: FakeGateway) -> JournalState:
    return JournalState(journal.last_known(gateway.url), journal.fingerprint)


def run(
    gateway: FakeGateway,
    journal: Journal,
    entry: Mapping[str, object] = NO_LOGIN,
    *,
    names: Sequence[str] = (),
    mode: SecretMode = SecretMode.AUTO,
    environ: Mapping[str, str] = ENVIRON,
    test_canary: CanaryTest = lambda names: (),
    **options: object,
) -> Result:
    """Plan and apply an entry to all realms, or to those named."""
    secrets = SecretStore(Reach(environ=environ))
    memory = memory_of(journal, gateway)
    spec = realms(dict.fromkeys(names or sorted(gateway.stored), entry))
    made = make_plan(spec, gateway, PlanningContext(mode, memory=lambda: memory, secrets=secrets))
    context = ApplyContext(gateway, secrets, journal, "me", memory, test_canary)
    return apply_plan(made, context, ApplyOptions(**options))  # type: ignore[arg-type]


def steps(journal: Journal, number: int) -> dict[str, Step]:
    return {write.realm: write.step for write in journal.writes(number)}


def failing(*names: str, error: RealmError | ServerUnreachable | None = None):
    """Return a hook that refuses the writes to some realms."""

    def refuse(realm: str) -> None:
        if realm in names:
            raise error or RealmError("the server says no", rule="server-says")

    return refuse


def test_a_run_is_journaled_with_the_settings_before_and_after_it(journal):
    gateway = FakeGateway({"acme": {"host": "old", "password": "stored-secret"}})
    result = run(gateway, journal, BASIC)
    (write,) = journal.writes(result.run)
    ended = journal.run(result.run)
    assert (write.step, write.before) == (Step.VERIFIED, {"host": "old", "password": gateway.dialect.mask})
    assert write.after == gateway.dialect.mask_secrets(gateway.stored["acme"])
    assert write.intent == result.realms[0].plan.wanted.fields
    assert set(write.fingerprints) == {PASSWORD}
    assert ended is not None
    assert (ended.outcome, ended.who) == (Outcome.DONE, "me")
    assert find_unfinished(journal, gateway.url) is None


def test_a_run_that_writes_nothing_is_not_journaled(journal):
    gateway = FakeGateway({"acme": {}})
    run(gateway, journal)
    assert run(gateway, journal).run == 0
    assert len(journal.runs(gateway.url)) == 1


def test_nothing_is_written_before_its_intent_is_in_the_journal(journal):
    gateway = FakeGateway({name: {} for name in "abc"})
    seen: dict[str, Step] = {}
    gateway.before_write = lambda realm: seen.update({realm: steps(journal, 1)[realm]})
    run(gateway, journal)
    assert seen == dict.fromkeys("abc", Step.WRITING)


def test_a_run_that_cannot_be_journaled_stops_before_the_first_write(journal, monkeypatch):
    gateway = FakeGateway({"acme": {}})

    def full(self: Journal, *rest: object) -> int:
        raise JournalError("the disk is full")

    monkeypatch.setattr(Journal, "begin", full)
    with pytest.raises(JournalError, match="full"):
        run(gateway, journal)
    assert gateway.written == []


def test_a_journal_lost_during_a_run_stops_it_and_is_reported(journal, monkeypatch):
    gateway = FakeGateway({f"r{n:02}": {} for n in range(40)}, connections=1)
    recorded = Journal.record
    calls: list[int] = []

    def full_at_the_second_mark(self: Journal, number: int, updates) -> None:
        calls.append(number)
        if len(calls) > 1:
            raise JournalError("the disk is full", "make room")
        recorded(self, number, updates)

    monkeypatch.setattr(Journal, "record", full_at_the_second_mark)
    result = run(gateway, journal)
    assert len(gateway.written) == 32
    assert (result.exit_status, result.stopped) == (ExitStatus.USAGE, "the journal cannot be written")
    assert "the disk is full" in [finding.message for finding in result.own_findings]
    assert statuses(result)["r39"] == "skipped"


def test_too_many_failures_stop_the_rest(journal):
    gateway = FakeGateway({f"r{n}": {} for n in range(6)}, connections=1)
    gateway.before_write = failing("r1", "r2")
    result = run(gateway, journal, waves=Waves(stop_after=2))
    assert list(statuses(result).values()) == ["applied", "failed", "failed", "skipped", "skipped", "skipped"]
    assert (result.stopped, result.exit_status) == ("2 realms failed", ExitStatus.PARTIAL)
    ended = journal.run(result.run)
    assert ended is not None
    assert ended.outcome is Outcome.STOPPED
    assert steps(journal, result.run)["r5"] is Step.SKIPPED


def test_waves_are_read_back_one_by_one(journal):
    gateway = FakeGateway({f"r{n}": {} for n in range(5)}, connections=1)
    seen: list[int] = []
    gateway.before_read = lambda: seen.append(len(gateway.written))
    run(gateway, journal, waves=Waves(size=2))
    assert seen == [0, 2, 4, 5]


def test_after_a_canary_the_server_tests_it_and_then_the_rest_is_written(journal):
    gateway = FakeGateway({f"r{n}": {} for n in range(3)})
    asked: list[tuple[list[str], list[str]]] = []

    def check(names: Sequence[str]) -> Sequence[Finding]:
        asked.append((list(names), list(gateway.written)))
        return ()

    result = run(gateway, journal, waves=Waves(canary="1"), test_canary=check)
    assert asked == [(["r0"], ["r0"])]
    assert set(statuses(result).values()) == {"applied"}


def test_a_canary_that_the_server_cannot_send_with_stops_the_rest(journal):
    gateway = FakeGateway({f"r{n}": {} for n in range(3)})
    problem = Finding(Severity.ERROR, "test-failed", "the relay refuses the login", realm="r0")
    result = run(gateway, journal, waves=Waves(canary="1"), test_canary=lambda names: [problem])
    assert gateway.written == ["r0"]
    assert (result.own_findings, result.stopped) == ((problem,), "the test mail of the canary failed")
    assert result.exit_status is ExitStatus.PARTIAL
    left = find_unfinished(journal, gateway.url)
    assert left is not None
    assert left.realms == ("r1", "r2")


def test_a_canary_that_cannot_be_written_is_not_tested_and_stops_the_rest(journal):
    gateway = FakeGateway({f"r{n}": {} for n in range(3)})
    gateway.before_write = failing("r0")
    asked: list[object] = []
    result = run(gateway, journal, waves=Waves(canary="1"), test_canary=lambda names: asked.append(names) or ())
    assert (asked, gateway.written) == ([], [])
    assert result.stopped == "a canary realm failed"


def test_a_server_that_is_down_is_not_asked_for_every_realm(journal):
    gateway = FakeGateway({f"r{n}": {} for n in range(40)}, connections=1)
    asked: list[str] = []

    def down(realm: str) -> None:
        asked.append(realm)
        raise ServerUnreachable("the server does not answer", "look after it", CIRCUIT_OPEN)

    gateway.before_write = down
    result = run(gateway, journal)
    assert len(asked) == 1
    assert (set(statuses(result).values()), result.stopped) == ({"skipped"}, "the server is down")
    assert set(steps(journal, result.run).values()) == {Step.SKIPPED}


# Writes whose answer never came


def lost_answer(gateway: FakeGateway, *, arrives: bool, rule: str = "reset"):
    """Return a hook that breaks the connection, after the write was done or instead of it."""

    def lose(realm: str) -> None:
        if arrives:
            gateway.before_write = lambda name: None
            gateway.write(realm, sent[realm])
        raise ServerUnreachable("broke off", "try again", rule)

    sent = {name: {"from": "no-reply@acme.example", "host": "smtp.example.com", "port": "587", "starttls": "true",
                   "ssl": "false", "auth": "false"} for name in gateway.stored}  # fmt: skip
    return lose


def test_a_write_that_arrived_without_an_answer_is_found_and_counts_as_applied(journal):
    gateway = FakeGateway({"acme": {}})
    gateway.before_write = lost_answer(gateway, arrives=True)
    result = run(gateway, journal)
    assert statuses(result) == {"acme": "applied"}
    assert [(f.severity, f.rule) for f in result.realms[0].findings][-1] == (Severity.NOTE, "arrived")
    assert steps(journal, result.run) == {"acme": Step.VERIFIED}


@pytest.mark.parametrize("rule", ["reset", NOT_THE_API, TOO_BUSY])
def test_a_write_that_did_not_arrive_has_failed(journal, rule):
    gateway = FakeGateway({"acme": {"host": "old"}})
    gateway.before_write = lost_answer(gateway, arrives=False, rule=rule)
    result = run(gateway, journal)
    assert statuses(result) == {"acme": "failed"}
    assert steps(journal, result.run) == {"acme": Step.FAILED}
    left = find_unfinished(journal, gateway.url)
    assert left is not None
    assert left.realms == ("acme",)


def with_password(gateway: FakeGateway, journal: Journal, value: str) -> Result:
    return run(gateway, journal, BASIC, environ={"SMTP_PASSWORD": value})


def test_a_secret_that_may_have_arrived_has_an_unknown_outcome_and_is_written_again(journal):
    gateway = FakeGateway({"acme": {}})
    with_password(gateway, journal, "first")

    def lose(realm: str) -> None:
        raise ServerUnreachable("broke off", rule="reset")

    gateway.before_write = lose
    doubtful = with_password(gateway, journal, "second")
    assert statuses(doubtful) == {"acme": "failed"}
    assert [f.rule for f in doubtful.realms[0].findings][-1] == "not-known"
    assert steps(journal, doubtful.run) == {"acme": Step.WRITING}

    gateway.before_write = lambda realm: None
    (told,) = settle(journal, gateway)
    assert told.step is None
    assert "written again" in told.finding.message
    again = with_password(gateway, journal, "first")
    assert again.realms[0].plan.secrets == {PASSWORD: SecretState.CHANGED}
    assert gateway.stored["acme"]["password"] == "first"
    assert steps(journal, again.run) == {"acme": Step.VERIFIED}
    assert with_password(gateway, journal, "first").run == 0


# Runs that were killed


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours handles it."""


def killed_run(gateway: FakeGateway, journal: Journal, entry: Mapping[str, object] = NO_LOGIN) -> None:
    """Leave a run behind that was killed when it had marked its realms."""
    ended = Journal.finish

    def kill(realm: str) -> None:
        raise Killed

    gateway.before_write = kill
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "finish", lambda *rest: None)
        with pytest.raises(Killed):
            run(gateway, journal, entry)
    assert Journal.finish is ended
    gateway.before_write = lambda realm: None


def test_a_killed_run_leaves_its_realms_with_an_unknown_outcome(journal):
    gateway = FakeGateway({"a": {}, "b": {}}, connections=1)
    killed_run(gateway, journal)
    remembered = journal.last_known(gateway.url)
    assert {name: known.doubt.step for name, known in remembered.items() if known.doubt} == {
        "a": Step.WRITING,
        "b": Step.WRITING,
    }


def test_settling_tells_writes_that_arrived_from_lost_ones_and_from_edits_by_others(journal):
    gateway = FakeGateway({name: {"host": "old"} for name in ("arrived", "gone", "not-arrived", "otherwise")})
    killed_run(gateway, journal)
    (write,) = [w for w in journal.writes(1) if w.realm == "arrived"]
    assert write.intent is not None
    gateway.stored["arrived"] = dict(gateway.dialect.encode(write.intent, {}))  # type: ignore[arg-type]
    gateway.stored["otherwise"] = {"host": "somebody.example"}
    del gateway.stored["gone"]
    settled = settle(journal, gateway)
    assert {one.write.realm: one.step for one in settled} == {
        "arrived": Step.VERIFIED,
        "not-arrived": Step.FAILED,
        "otherwise": Step.FAILED,
        "gone": Step.FAILED,
    }
    assert steps(journal, 1)["arrived"] is Step.VERIFIED
    ended = journal.run(1)
    assert ended is not None
    assert ended.outcome is Outcome.INTERRUPTED
    assert settle(journal, gateway) == []


@pytest.mark.parametrize("since", [{}, {"x-note": "somebody was here"}])
def test_a_write_with_a_masked_secret_stays_unknown_whatever_else_has_changed(journal, since):
    gateway = FakeGateway({"acme": {}})
    run(gateway, journal, BASIC)
    (write,) = journal.writes(1)
    assert write.after is not None
    again = journal.begin(new_run(gateway), [replace(write, before=write.after, after=None)])
    journal.record(again, [Update("acme", Step.WRITING)])
    gateway.stored["acme"] |= since
    (told,) = settle(journal, gateway)
    assert told.step is None
    assert "the server hides the secret" in told.explanation


def test_the_outcome_of_an_unreadable_realm_stays_unknown(journal):
    gateway = FakeGateway({"acme": {}})
    killed_run(gateway, journal)

    def unreadable(realm: str):
        raise RealmError("no rights")

    gateway.read_one = unreadable  # type: ignore[method-assign]
    (told,) = settle(journal, gateway)
    assert told.step is None
    assert journal.last_known(gateway.url)["acme"].doubt is not None


def test_resume_writes_the_remaining_realms_with_their_secrets_unknown_to_the_journal(journal):
    gateway = FakeGateway({"acme": {}})
    run(gateway, journal, BASIC)
    (write,) = journal.writes(1)
    journal.finish(journal.begin(new_run(gateway), [replace(write, step=Step.PLANNED)]), Outcome.STOPPED)
    left = find_unfinished(journal, gateway.url)
    assert left is not None
    assert left.realms == ("acme",)
    memory = left.within(JournalState())
    means = PlanningContext(memory=lambda: memory, secrets=SecretStore(Reach(environ=ENVIRON)))
    made = make_plan(realms({"acme": BASIC}), gateway, means)
    assert made.realms[0].secrets == {PASSWORD: SecretState.CHANGED}


def test_cancelling_between_waves_leaves_the_rest_to_the_next_run(journal):
    gateway = FakeGateway({f"r{n}": {} for n in range(4)}, connections=1)
    cancel = threading.Event()
    gateway.before_read = lambda: cancel.set() if gateway.written else None
    result = run(gateway, journal, waves=Waves(size=2), cancel=cancel)
    assert list(statuses(result).values()) == ["applied", "applied", "skipped", "skipped"]
    assert result.exit_status is ExitStatus.INTERRUPTED
    left = find_unfinished(journal, gateway.url)
    assert left is not None
    assert left.realms == ("r2", "r3")


def test_a_realm_that_could_not_be_planned_is_left_for_resume(journal):
    gateway = FakeGateway({"a": {}, "b": {}})
    read = gateway.read_one

    def unreadable(realm: str):
        if realm == "b":
            raise RealmError("the server says no")
        return read(realm)

    gateway.read_one = unreadable  # type: ignore[method-assign]
    result = run(gateway, journal)
    assert statuses(result) == {"a": "applied", "b": "failed"}
    left = find_unfinished(journal, gateway.url)
    assert left is not None
    assert left.realms == ("b",)
    assert steps(journal, result.run) == {"a": Step.VERIFIED, "b": Step.FAILED}
    gateway.read_one = read  # type: ignore[method-assign]
    assert statuses(run(gateway, journal, names=left.realms)) == {"b": "applied"}
    assert find_unfinished(journal, gateway.url) is None


def test_an_interruption_of_a_read_back_counts_the_realms_of_that_wave_alone(journal):
    gateway, reads = FakeGateway({name: {} for name in "abc"}), itertools.count()

    def interrupt_the_second_read_back() -> None:
        if next(reads) == 2:
            raise KeyboardInterrupt

    gateway.before_read = interrupt_the_second_read_back
    result = run(gateway, journal, waves=Waves(size=2))
    assert statuses(result) == {"a": "applied", "b": "applied", "c": "failed"}
    (finding,) = [finding for finding in result.findings if finding.rule == "not-read-back"]
    assert (finding.realm, finding.message) == ("c", "1 realm written, not read back: interrupted")


def test_a_run_that_loses_its_lock_says_so_once_and_why_nothing_was_read_back(journal):
    gateway = FakeGateway({f"r{n:02}": {} for n in range(40)}, connections=1)
    with journal.lease(gateway.url, "me"):
        gateway.before_write = lambda realm: journal._leases[gateway.url].release()
        result = run(gateway, journal)
    assert [finding.rule for finding in result.own_findings] == ["lease-lost"]
    assert {f.message for f in result.findings if f.rule == "not-read-back"} == {
        "32 realms written, not read back: the lock on the server was lost"
    }


def test_an_exception_of_the_caller_in_one_thread_stops_the_others(journal):
    gateway, has_failed = FakeGateway({f"r{n:03}": {} for n in range(300)}, connections=2), threading.Event()

    def fail_once(realm: RealmOutcome) -> None:
        if realm.realm == "r000":
            has_failed.set()
            raise ZeroDivisionError

    gateway.before_write = lambda realm: realm == "r000" or has_failed.wait(30)
    with pytest.raises(ZeroDivisionError):
        run(gateway, journal, progress=fail_once)
    assert len(gateway.written) < 300
    assert [one.outcome for one in journal.runs(gateway.url)] == [Outcome.STOPPED]
    left = find_unfinished(journal, gateway.url)
    assert left is not None
    assert len(left.realms) == 300
