"""What runs did to a server, as the journal tells it; the server itself is not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from ztrust_mail.api.session import Session
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.globs import is_selected
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.journal.journal import find_run
from ztrust_mail.journal.records import Run, Step, Write
from ztrust_mail.planning.compare import Change, SecretMode, compare, masked_secrets
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import desired_from_journal

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.planning.planners.rotate import Rotation

MANY_RUNS = 10_000
"""So many runs are looked through for those that wrote the realms asked for."""


@dataclass(frozen=True)
class PastWrite:
    """What a run did to one realm: the fields it changed, and the hidden secrets that went along."""

    write: Write
    changes: tuple[Change, ...]
    secrets: Mapping[str, SecretRef]


@dataclass(frozen=True)
class PastRun:
    """A run with how many realms came to each step; ``realms`` is filled where one run is asked for."""

    run: Run
    steps: Mapping[Step, int]
    realms: tuple[PastWrite, ...] = ()


def list_runs(journal: Journal, server: str, realms: Sequence[str] = (), limit: int = 20) -> list[PastRun]:
    """Return the newest runs on a server, newest first; with globs those that had to do with a realm they match."""
    if not realms:
        runs = journal.runs(server, limit)
        steps = journal.steps([run.number for run in runs])
        return [PastRun(run, _in_order(steps[run.number])) for run in runs]
    return list(islice(_with_realms(journal, server, realms), limit))


def _with_realms(journal: Journal, server: str, realms: Sequence[str]) -> Iterator[PastRun]:
    for run in journal.runs(server, MANY_RUNS):
        steps = [step for realm, step in journal.steps_by_realm(run.number).items() if is_selected(realm, realms)]
        if steps:
            yield PastRun(run, _in_order(Counter(steps)))


def one_run(journal: Journal | None, dialect: Dialect, server: str, number: int, realms: Sequence[str] = ()) -> PastRun:
    """Return one run with what it did to each realm, or to those that globs match. Raises as :func:`find_run` does."""
    journal, run = find_run(journal, server, number)
    writes = [write for write in journal.writes(run.number) if is_selected(write.realm, realms)]
    steps = Counter(write.step for write in writes)
    return PastRun(run, _in_order(steps), tuple(_told(dialect, write) for write in writes))


def _in_order(numbers: Mapping[Step, int]) -> dict[Step, int]:
    return {step: numbers[step] for step in Step if step in numbers}


def _told(dialect: Dialect, write: Write) -> PastWrite:
    if write.is_unplanned:
        return PastWrite(write, (), {})
    wanted = desired_from_journal(write.realm, write.intent)
    changes = compare(dialect, wanted, write.before).changes
    return PastWrite(write, changes, masked_secrets(dialect, wanted, write.before))


def history(
    connection: Session, run: int | None = None, *, realms: Sequence[str] = (), limit: int = 20
) -> list[PastRun]:
    """Return what runs did to a server, newest first, from the journal alone; nothing is sent.

    The number of a run gives that run alone, with its realms. ``realms`` are globs. Raises
    :class:`UsageError` where there is no such run, :class:`JournalError`.
    """
    pass

    journal, gateway = connection.journal_for_reading, connection.gateway
    if run is not None:
        return [one_run(journal, gateway.dialect, gateway.url, run, realms)]
    return list_runs(journal, gateway.url, realms, limit) if journal else []


def forget(connection: Session, realm: str) -> int:
    """Take out of the journal all that was noted of a realm, and return how many writes that were.

    For realms that are gone for good: drift no longer misses them then. Raises as
    ``connection.keeping_runs_off()`` does.
    """
    with connection.lock_out_runs() as journal:
        return journal.forget(connection.gateway.url, realm)


def prunable(connection: Session, *, keep: int = 0, before: datetime | None = None) -> tuple[int, int]:
    """Return the first run that :func:`prune` may leave whole, and how many there are before it.

    Either ``keep`` says how many of the newest runs are to stay, or ``before`` when the others began.
    """
    journal = connection.journal_for_reading
    return journal.prunable(connection.gateway.url, keep=keep, before=before) if journal else (0, 0)


def prune(connection: Session, first: int) -> tuple[int, int]:
    """Take old writes of the runs before one out of the journal; return how many runs are gone whole, and writes.

    Each realm's last two verified writes stay, and what is in doubt: revert, fingerprints and resume need them.
    Raises as ``connection.keeping_runs_off()`` does.
    """
    with connection.lock_out_runs() as journal:
        return journal.prune(connection.gateway.url, first)


def run_to_revert(connection: Session, run: int | None = None, *, realms: Sequence[str] = ()) -> Run:
    """Return the run of that number, or without one the newest that wrote any of the realms, which are globs.

    Raises :class:`UsageError` where there is none, :class:`JournalError`.
    """
    from ztrust_mail.planning.planners.revert import run_to_revert as find

    return find(connection.journal_for_reading, connection.gateway.url, run, realms)


def revert_plan(
    run: Run,
    connection: Session,
    *,
    realms: Sequence[str] = (),
    secrets: SecretMode = SecretMode.AUTO,
    insist: bool = False,
) -> Plan:
    """Return what brings the realms that a run wrote back to how they were before it; :func:`apply` does it.

    ``realms`` are globs. A realm that has changed since the run is left alone, and a finding says so; with ``insist``
    those that ``realms`` name in full are reverted all the same. Secrets that cannot be had any more are told too.
    To be called inside ``connection.exclusively()``, after :func:`settle`. Raises as :func:`plan` does.
    """
    from ztrust_mail.planning.planners.revert import plan_revert

    journal = connection.journal_for_reading
    assert journal is not None  # the run came from it
    with connection.journal_state_in_background() as memory:
        means = connection.planning_context(secrets, memory)
        return plan_revert(journal, connection.gateway, means, run, realms, insist=insist)


def rotate_plan(
    spec: Spec, connection: Session, reference: str, *, realms: Sequence[str] = (), allow: Iterable[str] = ()
) -> Rotation:
    """Return the rewrite of all realms that use a reference, ``env:SENDGRID_API_KEY``, but do not have its value yet.

    ``realms`` are globs. To be applied by ``apply(rotation.plan, …, command="rotate")`` with a canary; ``allow`` needs
    ``mass-change`` there, and here only where other changes that go along are one. Raises
    :class:`Unsafe` for that, :class:`UsageError` where no realm uses the
    reference or its value cannot be had.
    """
    from ztrust_mail.planning.planners.rotate import plan_rotation, refuse_mass_change
    from ztrust_mail.planning.safety import parse_allow

    allowed = parse_allow(allow)
    with connection.journal_state_in_background() as memory:
        means = connection.planning_context(SecretMode.WRITE, memory)
        rotation = plan_rotation(spec, connection.gateway, means, reference, realms=realms)
    refuse_mass_change(rotation, allowed)
    return rotation


def leftovers(rotation: Rotation, connection: Session) -> tuple[Finding, ...]:
    """Return where the value that a rotation replaced may still stand, as far as the journal tells."""
    from ztrust_mail.planning.planners.rotate import find_old_secret_uses as look

    return look(rotation, connection.gateway, connection.memory, connection.secrets)
