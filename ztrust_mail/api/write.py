"""The verbs that write: apply, with what is judged before it and taken up after it; and saved plans."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ztrust_mail.api.session import Session
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.core.times import to_iso
from ztrust_mail.journal.records import NewRun, Outcome
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.applying.apply import Result
    from ztrust_mail.applying.resume import ResolvedWrite, UnfinishedRun
    from ztrust_mail.applying.run import Progress
    from ztrust_mail.applying.waves import Waves
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.planning.safety import Danger
    from ztrust_mail.planning.saved import SavedPlan


def dangers(plan: Plan) -> tuple[Danger, ...]:
    """Return why an apply of the plan would be refused, unless each reason is allowed."""
    from ztrust_mail.planning.safety import dangers as judge

    return judge(plan)


def refuse(plan: Plan, allow: Iterable[str] = ()) -> None:
    """Raise :class:`Unsafe` for a danger that ``allow`` does not name or a breach of the policy."""
    from ztrust_mail.planning.safety import parse_allow
    from ztrust_mail.planning.safety import refuse as refuse_unsafe

    refuse_unsafe(plan, parse_allow(allow))


def apply(
    plan: Plan,
    connection: Session,
    *,
    spec: Spec | None = None,
    allow: Iterable[str] = (),
    waves: Waves | None = None,
    wait: float = 0.0,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    command: str = "apply",
    plan_digest: str = "",
) -> Result:
    """Do what a plan says, read it back, and return what became of each realm.

    ``allow`` names dangers that are meant (``mass-change``, ``all``). ``waves`` portions the work; after a canary
    the server tests the connection. ``wait`` is how many seconds to wait for another run on the same server.
    ``progress`` is called from worker threads as realms are done; setting ``cancel`` lets the writes under way
    finish and leaves the rest. ``spec``, ``command`` and ``plan_digest`` (of a saved plan) are noted in the journal.

    What ``progress`` raises comes out of here, and leaves a stopped run to be taken up. When anything else is raised
    nothing was written: :class:`Unsafe` for a danger that is not allowed, a breach of the policy or
    another run under way, :class:`UsageError` for a canary that nothing can test or a plan for
    another server, :class:`JournalError` where nothing can be noted.
    """
    from ztrust_mail.applying.apply import apply_plan
    from ztrust_mail.applying.run import Conduct
    from ztrust_mail.applying.waves import Waves
    from ztrust_mail.gateways.capabilities import Operation, require
    from ztrust_mail.planning import plan as digests

    if plan.url != connection.gateway.url:
        message = f"the plan was made for {quoted(plan.url)}, and this is {quoted(connection.gateway.url)}"
        raise UsageError(message, "make a plan for this server, or connect to the other one")
    require(connection.gateway, Operation.APPLY)
    if waves and waves.canary:
        require(connection.gateway, Operation.CANARY)
    plan = _judged_here(plan, connection)
    refuse(plan, allow)
    conduct = Conduct(waves or Waves(), lambda names: _tested(connection, names), progress, cancel or threading.Event())
    with connection.lock(wait=wait, lost=conduct.lock_lost.set) as begun:
        settled = settle(connection) if begun else []  # else whoever began it has done so
        gateway, told = connection.gateway, spec_digest(spec) if spec else ""
        digest = plan_digest or digests.of_plan(plan, gateway.dialect)
        run = NewRun(gateway.url, command, connection.who, told, digest)
        journal, memory, left = connection.journal, connection.memory(), unfinished(connection)
        done = apply_plan(plan, gateway, connection.secrets, journal, run, memory=memory, conduct=conduct)
        if done.run and left and {*left.realms} <= {realm.realm for realm in plan.realms}:
            journal.finish(left.run.number, Outcome.RESUMED)
        return replace(done, findings=(*(one.finding for one in settled), *done.findings))


def _judged_here(plan: Plan, connection: Session) -> Plan:
    """Return a plan with what this connection's policy has against it, whichever one it was made under."""
    from ztrust_mail.planning.policy_check import violations

    realms = [replace(r, forbidden=violations(connection.policy, r.wanted)) for r in plan.realms]
    return replace(plan, realms=tuple(realms))


def _tested(connection: Session, realms: Sequence[str]) -> list[Finding]:
    """Have the server test what realms hold, and return what it said of each."""
    from ztrust_mail.diagnose.mail_test import MailTestStatus, send_stored

    run = send_stored(connection.gateway, realms)
    address = run.account.email or "an address this account may not see"
    told: list[Finding] = []
    for one in run.outcomes:
        became = f"the test mail to {printable(address)} was" if one.status is MailTestStatus.SENT else "it"
        told += one.findings or [Finding(Severity.NOTE, "canary", f"canary: {became} {one.proof}", realm=one.realm)]
    return told


def settle(connection: Session) -> list[ResolvedWrite]:
    """Look at the realms whose last write was cut off, and note what really happened. Part of every apply.

    To be called inside ``connection.exclusively()``: a write that is under way is not cut off.
    """
    from ztrust_mail.applying.resume import settle as settle_all

    return settle_all(connection.journal, connection.gateway, connection.memory().realms)


def unfinished(connection: Session) -> UnfinishedRun | None:
    """Return the last run, if it was killed, interrupted or stopped or left realms behind, with these realms."""
    from ztrust_mail.applying.resume import unfinished as left

    return left(connection.journal_for_reading, connection.gateway.url)


def spec_digest(spec: Spec) -> str:
    """Return one digest over all files of a spec."""
    from ztrust_mail.planning import plan as digests

    return digests.of_spec(spec)


def save_plan(plan: Plan, spec: Spec, connection: Session) -> str:
    """Return a plan as JSON by ``schemas/plan.schema.json``, to be reviewed and applied later. It holds no secret."""
    from ztrust_mail.planning import saved

    gateway = connection.gateway
    issuer, created = gateway.account(with_email=False).issuer, to_iso(datetime.now(UTC))
    return saved.to_text(plan, spec, dialect=gateway.dialect, issuer=issuer, created=created)


def load_plan(path: str, expect_digest: str | None = None) -> SavedPlan:
    """Return a saved plan.

    Raises :class:`UsageError` for a file that is none, :class:`Unsafe` where
    it was altered or is not the one expected.
    """
    from ztrust_mail.planning import saved

    return saved.load(path, expect_digest)


def plan_saved(saved: SavedPlan, connection: Session, *, left: UnfinishedRun | None = None) -> Plan:
    """Return the plan that was saved, made anew of what it wants.

    ``left`` limits it to what a run of this very plan left, see :func:`unfinished`; the realms that the run wrote count
    as done. Raises :class:`Unsafe` where that run was of another plan, where the plan was made for
    another server, where a spec it was made of has changed, or where a realm is no longer as it was, naming them.
    """
    from ztrust_mail.planning.planners.from_spec import plan_wanted
    from ztrust_mail.planning.saved import cannot_see, check_live, check_run, check_server, check_specs

    gateway = connection.gateway
    if left:
        check_run(saved, left.run)
        saved = saved.only(left.realms)
    check_server(saved, gateway.url, issuer="")  # before anything is sent
    gateway.login()
    check_server(saved, gateway.url, gateway.account(with_email=False).issuer)
    notes = check_specs(saved)
    with connection.journal_state_in_background() as memory:
        means = connection.planning_context(saved.secrets, lambda: saved.within(memory()))
        made = plan_wanted([one.desired for one in saved.realms], gateway, means)
    check_live(saved, {r.realm: r.live.attributes for r in made.realms if r.live}, gateway.dialect)
    realms = (*made.realms, *(one.as_planned for one in saved.left_out))
    return replace(made, realms=realms, findings=(*made.findings, *notes, *cannot_see(saved)), unnamed=saved.in_sync)
