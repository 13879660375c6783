"""The one sequence behind everything that writes: what it asks and shows, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import repeat

import pytest
from support.connecting import connected, sent
from support.mail_settings import BASIC, NO_LOGIN, one_realm

from ztrust_mail import SecretMode, Session, api
from ztrust_mail.api import Dialogue, PlanVerdict
from ztrust_mail.api.run import with_policy
from ztrust_mail.applying.options import ApplyOptions, Waves
from ztrust_mail.core.errors import ExitStatus, Unsafe, UsageError
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.gateways.gateway import Account
from ztrust_mail.journal.database import location_of
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.lease import Timing
from ztrust_mail.journal.opening import open_at
from ztrust_mail.journal.records import LastKnown, NewRun, Step, Update, Write
from ztrust_mail.planning.plan import Plan
from ztrust_mail.planning.planners.rotate import Rotation
from ztrust_mail.planning.safety import Reason
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.settings.limits import Limits, Window
from ztrust_mail.settings.policy import Policy

SPEC = one_realm(NO_LOGIN)


class Recorder(Dialogue):
    """Records its calls, and gives one answer to every question."""

    def __init__(self, *, answer: bool = True) -> None:
        self.events: list[str] = []
        self.answer = answer

    def report_settled(self, findings: Sequence[Finding]) -> None:
        self.events.append("settled")

    def show_plan(self, plan: Plan, verdict: PlanVerdict) -> None:
        self.events.append("shown")

    def confirm(self, plan: Plan, verdict: PlanVerdict) -> bool:
        self.events.append("asked")
        return self.answer


def test_an_earlier_run_is_settled_before_the_plan_and_the_question_asked_after_it(ztrust_sandbox: Sandbox) -> None:
    dialogue = Recorder()

    def make_plan() -> Plan:
        dialogue.events.append("planned")
        return api.plan(SPEC, session)

    with connected(ztrust_sandbox) as session:
        done = api.run_plan(session, make_plan, ApplyOptions(), dialogue)
    assert dialogue.events == ["settled", "planned", "shown", "asked"]
    assert done.result
    assert (done.result.exit_status, done.is_declined) == (ExitStatus.OK, False)


def test_a_declined_plan_writes_nothing_and_begins_no_run(ztrust_sandbox: Sandbox) -> None:
    with connected(ztrust_sandbox) as session:
        done = api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions(), Recorder(answer=False))
        assert session.journal.runs(session.gateway.url) == []
    assert (done.result, done.is_declined) == (None, True)
    assert sent(ztrust_sandbox, "PUT") == []


def test_a_refused_plan_is_shown_but_never_asked_about(ztrust_sandbox: Sandbox) -> None:
    dialogue = Recorder()
    with connected(ztrust_sandbox) as opened:
        session = replace(opened, policy=Policy(relays=("relay.example",)))
        done = api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions(), dialogue)
        assert session.journal.runs(session.gateway.url) == []
    assert dialogue.events == ["settled", "shown"]
    assert done.verdict.refusal
    assert (done.verdict.refusal.rule, done.verdict.exit_status) == ("policy", ExitStatus.UNSAFE)
    assert (done.result, done.is_declined) == (None, False)


NIGHT = Window("0 22 * * *", timedelta(hours=6))
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def at_times(opened: Session, *times: datetime, windows: tuple[Window, ...] = (NIGHT,)) -> Session:
    """Return a session whose server has windows, and whose clock shows these times, then the last one for ever."""
    shown = iter([*times[:-1], *repeat(times[-1], 9)])
    return replace(opened, server=replace(opened.server, limits=Limits(windows=windows)), clock=lambda: next(shown))


def test_outside_the_windows_of_a_server_a_plan_is_shown_and_refused(ztrust_sandbox: Sandbox) -> None:
    dialogue = Recorder()
    with connected(ztrust_sandbox) as opened:
        session = at_times(opened, NOON)
        done = api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions(), dialogue)
        with pytest.raises(Unsafe, match="the next window opens at 2026-01-31 22:00 UTC") as refusal:
            api.apply(api.plan(SPEC, session), session)
    assert dialogue.events == ["settled", "shown"]
    assert done.verdict.refusal
    assert (done.verdict.refusal.rule, done.verdict.exit_status) == ("window", ExitStatus.UNSAFE)
    assert "--allow window" in refusal.value.hint
    assert sent(ztrust_sandbox, "PUT") == []


@pytest.mark.parametrize("allow", [frozenset[Reason](), frozenset({Reason.WINDOW})])
def test_within_a_window_or_when_it_is_allowed_a_plan_is_applied(
    ztrust_sandbox: Sandbox, allow: frozenset[Reason]
) -> None:
    with connected(ztrust_sandbox) as opened:
        session = at_times(opened, NOON if allow else NOON + timedelta(hours=12))
        done = api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions(allow))
    assert done.result
    assert done.result.exit_status is ExitStatus.OK


def test_a_window_that_closes_while_the_question_is_asked_is_noticed(ztrust_sandbox: Sandbox) -> None:
    midnight = NOON + timedelta(hours=12)
    with connected(ztrust_sandbox) as opened:
        session = at_times(opened, midnight, midnight + timedelta(hours=4))
        with pytest.raises(Unsafe, match="outside the windows"):
            api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions())
    assert sent(ztrust_sandbox, "PUT") == []


def test_without_any_window_a_server_is_never_written(ztrust_sandbox: Sandbox) -> None:
    with connected(ztrust_sandbox) as opened:
        session = at_times(opened, NOON, windows=())
        with pytest.raises(Unsafe, match="no window ever opens"):
            api.apply(api.plan(SPEC, session), session)


def test_a_plan_without_changes_is_shown_but_not_asked_about(ztrust_sandbox: Sandbox) -> None:
    dialogue = Recorder()
    with connected(ztrust_sandbox) as session:
        api.apply(api.plan(SPEC, session), session)
        done = api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions(), dialogue)
    assert dialogue.events == ["settled", "shown"]
    assert (done.result, done.is_declined) == (None, False)


class WatchedJournal(Journal):
    """Records the realms whose state is read, None for all; and whether a run had the lock then."""

    reads: list[tuple[list[str] | None, bool]]

    def last_known(self, server: str, realms: Iterable[str] | None = None) -> dict[str, LastKnown]:
        names = None if realms is None else [*realms]
        self.reads.append((names, self.holder(server) is not None))
        return super().last_known(server, names)


@contextmanager
def watched(sandbox: Sandbox) -> Iterator[tuple[Session, WatchedJournal]]:
    """Give a session that knows an earlier run on all realms, and its journal."""
    opened = open_at(location_of(None), writable=True)
    assert opened
    with connected(sandbox) as session, WatchedJournal(opened.database, opened.salt, Timing()) as journal:
        journal.reads = []
        names = ("acme", "globex", "initech")
        number = journal.begin(NewRun(session.gateway.url, "apply", "eve"), [Write(name, {}, {}) for name in names])
        journal.record(number, [Update(name, Step.VERIFIED, {}) for name in names])
        yield replace(session, shared_journal=journal), journal


def test_a_run_reads_the_state_of_its_realms_once_and_under_the_lock(ztrust_sandbox: Sandbox) -> None:
    with watched(ztrust_sandbox) as (session, journal):
        done = api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions())
    assert done.result
    assert [one for one in journal.reads if one[0] != []] == [(["acme"], True)]


def test_a_run_that_keeps_secrets_passes_their_fingerprints_on(ztrust_sandbox: Sandbox) -> None:
    with watched(ztrust_sandbox) as (session, journal):
        api.apply(api.plan(one_realm(BASIC), session), session)
        renamed = one_realm({**BASIC, "sender": {"address": "no-reply@acme.example", "name": "Acme Corp"}})
        keep = lambda: api.plan(renamed, session, secrets=SecretMode.KEEP)  # noqa: E731
        done = api.run_plan(session, keep, ApplyOptions())
        assert done.result
        first, second = journal.history_of(session.gateway.url, "acme")[:2]
    assert first.run == done.result.run
    assert first.fingerprints == second.fingerprints != {}
    assert [names for names, _ in journal.reads if names != ["acme"]] == [[]], "the first run keeps no secret"


def test_a_run_sees_what_another_one_wrote_while_it_waited_for_the_lock(ztrust_sandbox: Sandbox) -> None:
    """The plan that was made before knows nothing of it."""
    spec = one_realm(BASIC)
    with watched(ztrust_sandbox) as (session, _), connected(ztrust_sandbox) as other:
        before = api.plan(spec, session)
        assert api.apply(api.plan(spec, other), other).exit_status is ExitStatus.OK
        done = api.run_plan(session, lambda: api.plan(spec, session), ApplyOptions())
    assert before.changed
    assert (done.result, done.plan.changed) == (None, ())
    assert len(sent(ztrust_sandbox, "PUT")) == 1


def test_an_impossible_canary_is_refused_before_the_question(ztrust_sandbox: Sandbox) -> None:
    dialogue = Recorder()
    with connected(ztrust_sandbox) as session, pytest.raises(UsageError, match="canary"):
        api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions(waves=Waves("none-*")), dialogue)
    assert dialogue.events == ["settled", "shown"]


def test_a_run_inside_the_callers_lock_settles_nothing_again(ztrust_sandbox: Sandbox) -> None:
    with connected(ztrust_sandbox) as session, session.lock():
        done = api.run_plan(session, lambda: api.plan(SPEC, session), ApplyOptions())
        assert not session.lock_holder()
    assert done.settled == ()
    assert done.result


def test_a_rotation_stays_a_rotation_when_it_is_judged_by_a_policy() -> None:
    reference = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
    rotation = Rotation(
        "https://id.example.com",
        Account("admin", "master", None),
        (),
        references=(reference,),
        old={"fingerprint": reference},
    )
    assert with_policy(rotation, Policy()) == rotation
