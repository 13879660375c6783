"""Applies plans, and saves and loads them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict, Unpack

from ztrust_mail.api.keywords import refuse_unknown
from ztrust_mail.api.run import run_plan
from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import fit_spec
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import quoted, to_iso
from ztrust_mail.planning.plan import Plan, of_spec
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.applying.options import ApplyOptions, Progress, Waves
    from ztrust_mail.applying.outcome import Result
    from ztrust_mail.applying.resume import UnfinishedRun
    from ztrust_mail.planning.safety import Danger
    from ztrust_mail.planning.saved.write import SavedPlan


def dangers(plan: Plan) -> tuple[Danger, ...]:
    """Return why an apply of the plan would be refused, unless each reason is allowed."""
    from ztrust_mail.planning.safety import dangers as find_dangers

    return find_dangers(plan)


def refuse(plan: Plan, allow: Iterable[str] = ()) -> None:
    """Raise :class:`Unsafe` for a danger that ``allow`` does not name or a violation of the policy."""
    from ztrust_mail.planning.safety import parse_allow
    from ztrust_mail.planning.safety import refuse as refuse_unsafe

    refuse_unsafe(plan, parse_allow(allow))


class ApplyKeywords(TypedDict, total=False):
    """The keyword arguments of :func:`apply`.

    ``spec``, ``command``, ``plan_digest`` (of a saved plan) and ``message`` (why, in one line of at most 500
    characters) are recorded in the journal. ``allow`` names dangers that are intended (``mass-change``, ``all``).
    ``waves`` splits the writes; after a canary the server tests the connection to the relay. ``wait`` is how many
    seconds to wait for another run on this server. ``progress`` is called from worker threads as realms are done.
    Setting ``cancel`` ends that wait, lets writes in progress finish and skips the rest.
    """

    spec: Spec | None
    allow: Iterable[str]
    waves: Waves | None
    wait: float
    progress: Progress | None
    cancel: threading.Event | None
    command: str
    plan_digest: str
    message: str


def apply(plan: Plan, session: Session, **keywords: Unpack[ApplyKeywords]) -> Result:
    """Apply a plan, read the realms back, and return the outcome of each.

    ``keywords`` are those of :class:`ApplyKeywords`, such as ``allow`` and ``waves``.

    An exception from ``progress`` is passed on, and leaves a stopped run that can be resumed. After any other exception
    nothing was written: :class:`Unsafe` for a danger that is not allowed, a policy violation or another run in
    progress, :class:`UsageError` for a canary without a realm to test or a plan for another server,
    :class:`JournalError` if the journal cannot be written.
    """
    from ztrust_mail.applying.outcome import Result

    refuse_unknown("apply", keywords, ApplyKeywords)
    if plan.url != session.gateway.url:
        message = f"the plan was made for {quoted(plan.url)}, and this is {quoted(session.gateway.url)}"
        raise UsageError(message, "make a plan for this server, or connect to the other one")
    options = _apply_options(keywords, session)
    done = run_plan(session, lambda: plan, options)
    if done.verdict.refusal:
        raise done.verdict.refusal
    result = done.result or Result.of_unchanged(done.plan, options.command)
    return replace(result, own_findings=(*done.settled, *result.own_findings))


def _apply_options(given: ApplyKeywords, session: Session) -> ApplyOptions:
    from ztrust_mail.applying.options import ApplyOptions, Waves
    from ztrust_mail.planning.safety import parse_allow

    spec = given.get("spec")
    return ApplyOptions(
        parse_allow(given.get("allow", ())),
        given.get("waves") or Waves(),
        given.get("wait", 0.0),
        given.get("progress"),
        given.get("cancel") or threading.Event(),
        given.get("command", "apply"),
        spec_digest(fit_spec(spec, session)) if spec else "",
        given.get("plan_digest", ""),
        given.get("message", ""),
    )


def spec_digest(spec: Spec) -> str:
    """Return the digest of all files of a spec and of the values filled in by :func:`fit_spec`."""
    return of_spec(spec)


def fit_to_file(plan: Plan, session: Session) -> Plan:
    """Return a plan as :func:`save_plan` saves it: of a revert, realms that a file cannot hold fail."""
    from ztrust_mail.planning.saved import write

    return write.fit_to_file(plan, session.gateway.dialect)


def save_plan(plan: Plan, spec: Spec | None, session: Session) -> str:
    """Return a plan as JSON (``schemas/plan.schema.json``), to review and apply later. It contains no secrets.

    ``spec`` is the one that it was made from, None for a revert.
    """
    from ztrust_mail.planning.saved import write

    gateway, spec = session.gateway, fit_spec(spec, session) if spec else None
    issuer, created = gateway.account(with_email=False).issuer, to_iso(datetime.now(UTC))
    return write.to_text(plan, spec, dialect=gateway.dialect, issuer=issuer, created=created)


def load_plan(path: str, expect_digest: str | None = None) -> SavedPlan:
    """Return a saved plan.

    Raises :class:`UsageError` for any other file, :class:`Unsafe` if its digest is wrong or not the expected one.
    """
    from ztrust_mail.planning.saved import read

    return read.load(path, expect_digest)


def plan_saved(saved: SavedPlan, session: Session, *, left: UnfinishedRun | None = None) -> Plan:
    """Return a saved plan, compared with the server again.

    ``left`` limits it to the realms that a run of this plan left, see :func:`find_unfinished`; the realms that the run
    wrote count as done. Raises :class:`Unsafe` if that run was of another plan, if the plan was made for another
    server, or if one of its specs or realms changed since, naming them.
    """
    from ztrust_mail.planning.planners.from_spec import plan_wanted
    from ztrust_mail.planning.saved.checks import (
        cannot_see,
        check_live,
        check_run,
        check_server,
        check_specs,
        find_other_variables,
    )

    gateway = session.gateway
    if left:
        check_run(saved, left.run)
        saved = saved.only(left.realms)
    check_server(saved, gateway.url, issuer="")  # before anything is sent
    gateway.login()
    check_server(saved, gateway.url, gateway.account(with_email=False).issuer)
    notes = (*check_specs(saved), *find_other_variables(saved, session.server))
    with session.journal_state_in_background(one.realm for one in saved.realms) as memory:
        context = session.planning_context(saved.secrets, lambda: saved.within(memory()))
        made = plan_wanted([one.desired for one in saved.realms], gateway, context)
    check_live(saved, {r.realm: r.live.attributes for r in made.realms if r.live}, gateway.dialect)
    realms = (*made.realms, *(one.as_planned for one in saved.left_out))
    findings = (*made.own_findings, *notes, *cannot_see(saved))
    return replace(made, realms=realms, own_findings=findings, unnamed=saved.in_sync, command=saved.command)
