"""Reads and prunes the journal, and plans reverts and rotations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from ztrust_mail.api.read import lock_note
from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import fit_spec
from ztrust_mail.core.findings import Finding
from ztrust_mail.journal.records import Run
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.past_runs import PastRun, list_runs, one_run
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.planning.differences import RunDiff
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.planning.planners.rotate import RelayLogin, Rotation


def history(session: Session, run: int | None = None, *, realms: Sequence[str] = (), limit: int = 20) -> list[PastRun]:
    """Return the runs on a server, newest first, from the journal; nothing is sent.

    With the number of a run, return only that run, with its realms. ``realms`` are globs. Raises
    :class:`UsageError` where there is no such run, :class:`JournalError`.
    """
    journal, gateway = session.journal_for_reading, session.gateway
    if run is not None:
        return [one_run(journal, gateway.dialect, gateway.url, run, realms)]
    return list_runs(journal, gateway.url, realms, limit) if journal else []


def diff(session: Session, first: int, second: int, *, realms: Sequence[str] = ()) -> RunDiff:
    """Compare the settings after two runs on a server, realm by realm, from the journal; nothing is sent.

    ``realms`` are globs. Secrets are compared by their fingerprints. Raises :class:`UsageError` for a number without a
    run and for runs on different servers, :class:`JournalError`.
    """
    from ztrust_mail.planning.differences import compare_runs

    journal, gateway = session.journal_for_reading, session.gateway
    return compare_runs(journal, gateway.dialect, gateway.url, (first, second), realms)


def forget(session: Session, realm: str) -> int:
    """Remove all entries of a realm from the journal, and return the number of its writes.

    For deleted realms, which drift then no longer reports as missing. Raises as ``session.lock_out_runs()`` does.
    """
    with session.lock_out_runs() as journal:
        return journal.forget(session.gateway.url, realm)


def prunable(session: Session, *, keep: int = 0, before: datetime | None = None) -> tuple[int, int]:
    """Return the number of the oldest run to keep, for :func:`prune`, and how many runs are older.

    Give either ``keep``, the number of newest runs to keep, or ``before``, the earliest start of runs to keep.
    """
    journal = session.journal_for_reading
    return journal.prunable(session.gateway.url, keep=keep, before=before) if journal else (0, 0)


def prune(session: Session, first: int) -> tuple[int, int]:
    """Remove old writes of the runs before ``first``; return how many whole runs and how many writes were removed.

    The last two verified writes of each realm are preserved, as are writes of unknown outcome: revert, fingerprints and
    resume need them. Raises as ``session.lock_out_runs()`` does.
    """
    with session.lock_out_runs() as journal:
        return journal.prune(session.gateway.url, first)


def run_to_revert(session: Session, run: int | None = None, *, realms: Sequence[str] = ()) -> Run:
    """Return the run with this number, or without a number the newest that wrote a realm matching ``realms``.

    Raises :class:`UsageError` if there is none, :class:`JournalError`.
    """
    from ztrust_mail.planning.planners.revert import run_to_revert as find

    return find(session.journal_for_reading, session.gateway.url, run, realms)


def revert_plan(
    run: Run,
    session: Session,
    *,
    realms: Sequence[str] = (),
    secrets: SecretMode = SecretMode.AUTO,
    insist: bool = False,
) -> Plan:
    """Return the plan that restores the realms which a run wrote to their state before it.

    ``realms`` are globs. A realm that changed since the run is skipped, with a finding; with ``insist`` those that
    ``realms`` name exactly are reverted anyway. Findings also name secrets that can no longer be resolved.
    Call it inside ``session.lock()``, after :func:`settle`, to apply the plan. Raises as :func:`plan` does.
    """
    from ztrust_mail.planning.planners.revert import plan_revert

    journal = session.journal_for_reading
    assert journal is not None  # the run came from it
    with session.journal_state_in_background() as memory:
        context = session.planning_context(secrets, memory)
        made = plan_revert(journal, session.gateway, context, run, realms, insist=insist)
    return replace(made, own_findings=(*made.own_findings, *lock_note(session.lock_holder())))


def rotate_plan(
    spec: Spec,
    session: Session,
    references: str | Iterable[str] | RelayLogin,
    *,
    realms: Sequence[str] = (),
    allow: Iterable[str] = (),
) -> Rotation:
    """Return the plan for all realms that use certain references and do not have their values yet.

    ``references`` are texts or globs, ``env:SENDGRID_API_KEY`` or ``env:SMTP_PASSWORD_*``, or ``RelayLogin(host)``: the
    references of all realms that log in there. ``realms`` are globs. Apply the plan with ``apply(rotation, …,
    command="rotate", waves=Waves("1", per_credential=True))`` with ``mass-change`` allowed: each credential then gets a
    canary. Here ``allow`` needs ``mass-change`` only if the realms' other changes are a mass change: raises
    :class:`Unsafe` without it. Raises :class:`UsageError` if no realm uses one of the references or its value cannot
    be resolved.
    """
    from ztrust_mail.planning.planners.from_spec import find_named
    from ztrust_mail.planning.planners.rotate import plan_rotation, refuse_mass_change
    from ztrust_mail.planning.safety import parse_allow

    allowed, spec = parse_allow(allow), fit_spec(spec, session)
    with session.journal_state_in_background(find_named(spec, realms)) as memory:
        context = session.planning_context(SecretMode.WRITE, memory)
        rotation = plan_rotation(spec, session.gateway, context, references, realms=realms)
    refuse_mass_change(rotation, allowed)
    return replace(rotation, own_findings=(*rotation.own_findings, *lock_note(session.lock_holder())))


def leftovers(rotation: Rotation, session: Session) -> tuple[Finding, ...]:
    """Return the realms that may still use a value that a rotation replaced, as far as the journal knows.

    Call it inside the ``session.lock()`` that the apply was in, so that no other run changes the answer.
    """
    from ztrust_mail.planning.planners.old_secrets import find_old_secret_uses

    return find_old_secret_uses(rotation, session.gateway, session.memory, session.secrets)
