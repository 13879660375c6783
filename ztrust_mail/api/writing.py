"""The verbs that write: apply, with what is judged before it and taken up after it; and saved plans."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ztrust_mail.errors import UsageError
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.spec.model import Spec
from ztrust_mail.sync.connection import Connection
from ztrust_mail.sync.journal.records import NewRun, Outcome
from ztrust_mail.text import printable, quoted

if TYPE_CHECKING:
    from ztrust_mail.sync.apply import Result
    from ztrust_mail.sync.plan import Plan
    from ztrust_mail.sync.resume import Settled, Unfinished
    from ztrust_mail.sync.run import Progress
    from ztrust_mail.sync.safety import Danger
    from ztrust_mail.sync.saved import SavedPlan
    from ztrust_mail.sync.waves import Waves


def dangers(plan: Plan) -> tuple[Danger, ...]:
    """Return why an apply of the plan would be refused, unless each reason is allowed."""
    from ztrust_mail.sync.safety import dangers as judge

    return judge(plan)


def refuse(plan: Plan, allow: Iterable[str] = ()) -> None:
    """Raise :class:`~ztrust_mail.errors.Unsafe` for a danger that ``allow`` does not name or a breach of the policy."""
    from ztrust_mail.sync.safety import parse_allow
    from ztrust_mail.sync.safety import refuse as refuse_unsafe

    refuse_unsafe(plan, parse_allow(allow))


def apply(
    plan: Plan,
    connection: Connection,
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
    nothing was written: :class:`~ztrust_mail.errors.Unsafe` for a danger that is not allowed, a breach of the policy or
    another run under way, :class:`~ztrust_mail.errors.UsageError` for a canary that nothing can test or a plan for
    another server, :class:`~ztrust_mail.errors.JournalError` where nothing can be noted.
    """
    from ztrust_mail.gateways.verbs import Verb, need
    from ztrust_mail.sync import digests
    from ztrust_mail.sync.apply import apply_plan
    from ztrust_mail.sync.run import Conduct
    from ztrust_mail.sync.waves import Waves

    if plan.url != connection.gateway.url:
        message = f"the plan was made for {quoted(plan.url)}, and this is {quoted(connection.gateway.url)}"
        raise UsageError(message, "make a plan for this server, or connect to the other one")
    need(connection.gateway, Verb.APPLY)
    if waves and waves.canary:
        need(connection.gateway, Verb.CANARY)
    plan = _judged_here(plan, connection)
    refuse(plan, allow)
    conduct = Conduct(waves or Waves(), lambda names: _tested(connection, names), progress, cancel or threading.Event())
    with connection.exclusively(wait=wait, lost=conduct.lock_lost.set) as begun:
        settled = settle(connection) if begun else []  # else whoever began it has done so
        gateway, told = connection.gateway, spec_digest(spec) if spec else ""
        digest = plan_digest or digests.of_plan(plan, gateway.dialect)
        run = NewRun(gateway.url, command, connection.who, told, digest)
        journal, memory, left = connection.journal, connection.memory(), unfinished(connection)
        done = apply_plan(plan, gateway, connection.secrets, journal, run, memory=memory, conduct=conduct)
        if done.run and left and {*left.realms} <= {realm.realm for realm in plan.realms}:
            journal.finish(left.run.number, Outcome.RESUMED)
        return replace(done, findings=(*(one.finding for one in settled), *done.findings))


def _judged_here(plan: Plan, connection: Connection) -> Plan:
    """Return a plan with what this connection's policy has against it, whichever one it was made under."""
    from ztrust_mail.sync.policy import violations

    realms = [replace(r, forbidden=violations(connection.policy, r.wanted)) for r in plan.realms]
    return replace(plan, realms=tuple(realms))


def _tested(connection: Connection, realms: Sequence[str]) -> list[Finding]:
    """Have the server test what realms hold, and return what it said of each."""
    from ztrust_mail.diagnose.server_test import TestStatus, test_stored

    run = test_stored(connection.gateway, realms)
    address = run.account.email or "an address this account may not see"
    told: list[Finding] = []
    for one in run.outcomes:
        became = f"the test mail to {printable(address)} was" if one.status is TestStatus.SENT else "it"
        told += one.findings or [Finding(Severity.NOTE, "canary", f"canary: {became} {one.proof}", realm=one.realm)]
    return told


def settle(connection: Connection) -> list[Settled]:
    """Look at the realms whose last write was cut off, and note what really happened. Part of every apply.

    To be called inside ``connection.exclusively()``: a write that is under way is not cut off.
    """
    from ztrust_mail.sync.resume import settle as settle_all

    return settle_all(connection.journal, connection.gateway, connection.memory().realms)


def unfinished(connection: Connection) -> Unfinished | None:
    """Return the last run, if it was killed, interrupted or stopped or left realms behind, with these realms."""
    from ztrust_mail.sync.resume import unfinished as left

    return left(connection.reading_journal, connection.gateway.url)


def spec_digest(spec: Spec) -> str:
    """Return one digest over all files of a spec."""
    from ztrust_mail.sync import digests

    return digests.of_spec(spec)


def save_plan(plan: Plan, spec: Spec, connection: Connection) -> str:
    """Return a plan as JSON by ``schemas/plan.schema.json``, to be reviewed and applied later. It holds no secret."""
    from ztrust_mail.sync import saved

    gateway = connection.gateway
    issuer, created = gateway.account(with_email=False).issuer, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return saved.to_text(plan, spec, dialect=gateway.dialect, issuer=issuer, created=created)


def load_plan(path: str, expect_digest: str | None = None) -> SavedPlan:
    """Return a saved plan.

    Raises :class:`~ztrust_mail.errors.UsageError` for a file that is none, :class:`~ztrust_mail.errors.Unsafe` where
    it was altered or is not the one expected.
    """
    from ztrust_mail.sync import saved

    return saved.load(path, expect_digest)


def plan_saved(saved: SavedPlan, connection: Connection, *, left: Unfinished | None = None) -> Plan:
    """Return the plan that was saved, made anew of what it wants.

    ``left`` limits it to what a run of this very plan left, see :func:`unfinished`; the realms that the run wrote count
    as done. Raises :class:`~ztrust_mail.errors.Unsafe` where that run was of another plan, where the plan was made for
    another server, where a spec it was made of has changed, or where a realm is no longer as it was, naming them.
    """
    from ztrust_mail.sync.planning import plan_wanted
    from ztrust_mail.sync.saved import cannot_see, check_live, check_run, check_server, check_specs

    gateway = connection.gateway
    if left:
        check_run(saved, left.run)
        saved = saved.only(left.realms)
    check_server(saved, gateway.url, issuer="")  # before anything is sent
    gateway.login()
    check_server(saved, gateway.url, gateway.account(with_email=False).issuer)
    notes = check_specs(saved)
    with connection.recalling() as memory:
        means = connection.means(saved.secrets, lambda: saved.within(memory()))
        made = plan_wanted([one.desired for one in saved.realms], gateway, means)
    check_live(saved, {r.realm: r.live.attributes for r in made.realms if r.live}, gateway.dialect)
    realms = (*made.realms, *(one.as_planned for one in saved.left_out))
    return replace(made, realms=realms, findings=(*made.findings, *notes, *cannot_see(saved)), unnamed=saved.in_sync)
