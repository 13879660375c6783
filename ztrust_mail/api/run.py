"""The one sequence behind everything that writes to a server, and its two helpers for interrupted runs.

The command line and the library both call :func:`run_plan`. They differ in the plan and in the :class:`Dialogue`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from ztrust_mail.api.session import Session
from ztrust_mail.core.errors import ExitStatus, Unsafe
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.journal.records import Outcome
from ztrust_mail.planning.compare import SecretMode

if TYPE_CHECKING:
    from ztrust_mail.applying.options import ApplyContext, ApplyOptions
    from ztrust_mail.applying.outcome import Result
    from ztrust_mail.applying.resume import ResolvedWrite, UnfinishedRun
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.planning.safety import Danger, Reason
    from ztrust_mail.settings.policy import Policy

P = TypeVar("P", bound="Plan")


@dataclass(frozen=True)
class PlanVerdict:
    """The dangers of a plan, and why an apply refuses it. ``refusal`` is None if an apply may continue."""

    exit_status: ExitStatus
    dangers: tuple[Danger, ...] = ()
    refusal: Unsafe | None = None


class Dialogue:
    """Shows a plan and asks for confirmation while it is made and applied. This one is silent and always agrees."""

    def report_settled(self, findings: Sequence[Finding]) -> None:
        """Report the outcomes of writes that were interrupted in an earlier run."""

    def show_plan(self, plan: Plan, verdict: PlanVerdict) -> None:
        """Show a plan, also one that is refused or changes nothing."""

    def confirm(self, plan: Plan, verdict: PlanVerdict) -> bool:
        """Return whether to apply the plan."""
        return True


@dataclass(frozen=True)
class Execution(Generic[P]):
    """The outcome of a plan. ``result`` is None if it was refused, changes nothing, or was declined.

    ``settled`` has the outcomes that :func:`settle` found before the plan was made.
    """

    plan: P
    verdict: PlanVerdict
    result: Result | None = None
    settled: tuple[Finding, ...] = ()

    @property
    def is_declined(self) -> bool:
        """Whether the plan could have been applied, and the answer was no."""
        return self.result is None and self.verdict.refusal is None and bool(self.plan.changed)


def run_plan(
    session: Session, make_plan: Callable[[], P], options: ApplyOptions, dialogue: Dialogue | None = None
) -> Execution[P]:
    """Lock the server, settle, plan, judge, ask, and apply.

    ``make_plan`` is called while no other run can write to the server. Nothing is written, and no secret is resolved
    for a write, before ``dialogue`` confirms the plan. Raises :class:`Unsafe` if another run has the lock,
    :class:`UsageError` if the product cannot be written or the canary cannot be tested, :class:`JournalError`, and
    what ``make_plan`` raises; nothing was written then.
    """
    from ztrust_mail.applying.apply import apply_plan

    dialogue = dialogue or Dialogue()
    lock_lost = threading.Event()
    require_support(session, options)
    with session.lock(wait=options.wait, lost=lock_lost.set, cancel=options.cancel) as is_outermost:
        resolved = settle(session) if is_outermost else []  # a nested call's caller has done so
        settled = tuple(one.finding for one in resolved)
        dialogue.report_settled(settled)

        plan = with_policy(make_plan(), session.policy)
        verdict = _judge_time(session, plan, judge(plan, options.allow), options.allow)
        dialogue.show_plan(plan, verdict)
        if verdict.refusal or not plan.changed:
            return Execution(plan, verdict, settled=settled)

        options.waves.check(plan.changed)
        if not dialogue.confirm(plan, verdict):
            return Execution(plan, verdict, settled=settled)
        require_open_window(session, options.allow)  # the answer may have taken hours

        left = find_unfinished(session)
        # resolves secrets, records the run and each write before its request, writes wave by wave, reads back
        result = apply_plan(plan, _apply_context(session, plan, lock_lost), options)
        if result.run and left and {*left.realms} <= {realm.realm for realm in plan.realms}:
            session.journal.finish(left.run.number, Outcome.RESUMED)
        return Execution(plan, verdict, result, settled)


def require_support(session: Session, options: ApplyOptions) -> None:
    """Raise :class:`UsageError` if the product does not support an apply, or not with these options."""
    from ztrust_mail.gateways.capabilities import Operation, require

    require(session.gateway, Operation.APPLY)
    if options.waves.canary:
        require(session.gateway, Operation.CANARY)


def with_policy(plan: P, policy: Policy) -> P:
    """Return a plan with its violations of a policy, whichever policy it was made under."""
    from ztrust_mail.planning.policy_check import violations

    realms = (replace(realm, forbidden=violations(policy, realm.wanted)) for realm in plan.realms)
    return replace(plan, realms=tuple(realms))


def judge(plan: Plan, allow: frozenset[Reason] = frozenset()) -> PlanVerdict:
    """Return the dangers of a plan, and whether an apply refuses it for one that is not allowed or for the policy."""
    from ztrust_mail.planning.safety import dangers, refuse

    try:
        refuse(plan, allow)
    except Unsafe as e:
        return PlanVerdict(ExitStatus.worst([ExitStatus.UNSAFE, plan.exit_status]), dangers(plan), e)
    return PlanVerdict(plan.exit_status, dangers(plan))


def require_open_window(session: Session, allow: frozenset[Reason] = frozenset()) -> None:
    """Raise :class:`Unsafe` if the server's windows forbid writing now, and ``allow`` does not name the reason."""
    from ztrust_mail.planning.safety import Reason

    limits, now = session.server.limits, session.clock()
    if Reason.WINDOW in allow or limits.is_open(now):
        return
    server = quoted(session.server.name or session.server.url)
    message = f"Refused: outside the windows in which server {server} may be written; {limits.describe_closing(now)}"
    raise Unsafe(message, f"wait for it; if a write now is intended: --allow {Reason.WINDOW}", Reason.WINDOW)


def closed_window_note(session: Session) -> tuple[Finding, ...]:
    """Return a note if the server's windows forbid writing now, for a plan that is not applied yet."""
    limits, now = session.server.limits, session.clock()
    if limits.is_open(now):
        return ()
    server = quoted(session.server.name or session.server.url)
    message = f"server {server} may not be written now: {limits.describe_closing(now)}"
    return (Finding(Severity.NOTE, "window", message, "apply then, or with --allow window"),)


def _judge_time(session: Session, plan: Plan, verdict: PlanVerdict, allow: frozenset[Reason]) -> PlanVerdict:
    """Return the verdict on a plan, refused also outside the server's windows."""
    if verdict.refusal or not plan.changed:
        return verdict
    try:
        require_open_window(session, allow)
    except Unsafe as e:
        return replace(verdict, exit_status=ExitStatus.worst([ExitStatus.UNSAFE, plan.exit_status]), refusal=e)
    return verdict


def _apply_context(session: Session, plan: Plan, lock_lost: threading.Event) -> ApplyContext:
    from ztrust_mail.applying.options import ApplyContext

    kept = [realm.realm for realm in plan.changed] if plan.secrets is SecretMode.KEEP else []
    return ApplyContext(
        session.gateway,
        session.secrets,
        session.journal,
        session.identity,
        session.memory(kept),
        lambda realms: _test_canary(session, realms),
        lock_lost,
    )


def _test_canary(session: Session, realms: Sequence[str]) -> list[Finding]:
    """Have the server send a test mail with the stored settings of realms, and return the outcome of each."""
    from ztrust_mail.diagnose.mail_test import MailTestStatus, send_stored

    run = send_stored(session.gateway, realms)
    address = run.account.email or "an address this account may not see"
    found: list[Finding] = []
    for one in run.outcomes:
        subject = f"the test mail to {printable(address)} was" if one.status is MailTestStatus.SENT else "it"
        note = Finding(Severity.NOTE, "canary", f"canary: {subject} {one.proof}", realm=one.realm)
        found += one.findings or [note]
    return found


def settle(session: Session) -> list[ResolvedWrite]:
    """Read the realms whose last write was interrupted, and record in the journal what happened.

    Part of every apply. Call it inside ``session.lock()``: otherwise a write in progress counts as interrupted.
    """
    from ztrust_mail.applying.resume import settle as settle_all

    return settle_all(session.journal, session.gateway)


def find_unfinished(session: Session) -> UnfinishedRun | None:
    """Return the last run and the realms it left, if it was killed, interrupted or stopped or had failures."""
    from ztrust_mail.applying.resume import find_unfinished as find

    return find(session.journal_for_reading, session.gateway.url)
