"""The verbs that build on the journal: history, revert, rotate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ztrust_mail.findings import Finding
from ztrust_mail.spec.model import Spec
from ztrust_mail.sync.compare import SecretMode
from ztrust_mail.sync.connection import Connection

if TYPE_CHECKING:
    from ztrust_mail.sync.history import PastRun
    from ztrust_mail.sync.journal.records import Run
    from ztrust_mail.sync.plan import Plan
    from ztrust_mail.sync.rotate import Rotation


def history(
    connection: Connection, run: int | None = None, *, realms: Sequence[str] = (), limit: int = 20
) -> list[PastRun]:
    """Return what runs did to a server, newest first, from the journal alone; nothing is sent.

    The number of a run gives that run alone, with its realms. ``realms`` are globs. Raises
    :class:`~ztrust_mail.errors.UsageError` where there is no such run, :class:`~ztrust_mail.errors.JournalError`.
    """
    from ztrust_mail.sync.history import list_runs, one_run

    journal, gateway = connection.reading_journal, connection.gateway
    if run is not None:
        return [one_run(journal, gateway.dialect, gateway.url, run, realms)]
    return list_runs(journal, gateway.url, realms, limit) if journal else []


def forget(connection: Connection, realm: str) -> int:
    """Take out of the journal all that was noted of a realm, and return how many writes that were.

    For realms that are gone for good: drift no longer misses them then. Raises as
    ``connection.keeping_runs_off()`` does.
    """
    with connection.keeping_runs_off() as journal:
        return journal.forget(connection.gateway.url, realm)


def prunable(connection: Connection, *, keep: int = 0, before: datetime | None = None) -> tuple[int, int]:
    """Return the first run that :func:`prune` may leave whole, and how many there are before it.

    Either ``keep`` says how many of the newest runs are to stay, or ``before`` when the others began.
    """
    journal = connection.reading_journal
    return journal.prunable(connection.gateway.url, keep=keep, before=before) if journal else (0, 0)


def prune(connection: Connection, first: int) -> tuple[int, int]:
    """Take old writes of the runs before one out of the journal; return how many runs are gone whole, and writes.

    Each realm's last two verified writes stay, and what is in doubt: revert, fingerprints and resume need them.
    Raises as ``connection.keeping_runs_off()`` does.
    """
    with connection.keeping_runs_off() as journal:
        return journal.prune(connection.gateway.url, first)


def run_to_revert(connection: Connection, run: int | None = None, *, realms: Sequence[str] = ()) -> Run:
    """Return the run of that number, or without one the newest that wrote any of the realms, which are globs.

    Raises :class:`~ztrust_mail.errors.UsageError` where there is none, :class:`~ztrust_mail.errors.JournalError`.
    """
    from ztrust_mail.sync.revert import run_to_revert as find

    return find(connection.reading_journal, connection.gateway.url, run, realms)


def revert_plan(
    run: Run,
    connection: Connection,
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
    from ztrust_mail.sync.revert import plan_revert

    journal = connection.reading_journal
    assert journal is not None  # the run came from it
    with connection.recalling() as memory:
        means = connection.means(secrets, memory)
        return plan_revert(journal, connection.gateway, means, run, realms, insist=insist)


def rotate_plan(
    spec: Spec, connection: Connection, reference: str, *, realms: Sequence[str] = (), allow: Iterable[str] = ()
) -> Rotation:
    """Return the rewrite of all realms that use a reference, ``env:SENDGRID_API_KEY``, but do not have its value yet.

    ``realms`` are globs. To be applied by ``apply(rotation.plan, …, command="rotate")`` with a canary; ``allow`` needs
    ``mass-change`` there, and here only where other changes that go along are one. Raises
    :class:`~ztrust_mail.errors.Unsafe` for that, :class:`~ztrust_mail.errors.UsageError` where no realm uses the
    reference or its value cannot be had.
    """
    from ztrust_mail.sync.rotate import plan_rotation, refuse_mass_change
    from ztrust_mail.sync.safety import parse_allow

    allowed = parse_allow(allow)
    with connection.recalling() as memory:
        means = connection.means(SecretMode.WRITE, memory)
        rotation = plan_rotation(spec, connection.gateway, means, reference, realms=realms)
    refuse_mass_change(rotation, allowed)
    return rotation


def leftovers(rotation: Rotation, connection: Connection) -> tuple[Finding, ...]:
    """Return where the value that a rotation replaced may still stand, as far as the journal tells."""
    from ztrust_mail.sync.leftover import leftovers as look

    return look(rotation, connection.gateway, connection.memory, connection.secrets)
