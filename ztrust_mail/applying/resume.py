"""Resumes a run that was killed, interrupted or stopped: resolves unknown outcomes, lists the realms that are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import RealmError, RealmMissing
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.journal import records
from ztrust_mail.journal.records import JournalState, Outcome, Run, Step, Update, Write
from ztrust_mail.planning.compare import WriteOutcome, write_outcome
from ztrust_mail.specfile.resolve import desired_from_journal

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal


@dataclass(frozen=True)
class ResolvedWrite:
    """A write of unknown outcome and what a read found; ``step`` is None if it is still unknown."""

    write: Write
    step: Step | None
    explanation: str

    @property
    def finding(self) -> Finding:
        """The finding about the write."""
        severity = Severity.NOTE if self.step is Step.VERIFIED else Severity.WARNING
        message = f"run {self.write.run} was interrupted during this write: {self.explanation}"
        return Finding(severity, "settled", message, realm=self.write.realm)


def settle(journal: Journal, gateway: Gateway) -> list[ResolvedWrite]:
    """Read every realm whose last write has an unknown outcome, and record in the journal what happened.

    The caller must hold the lock: otherwise a write in progress counts as interrupted. If the
    server shows no settings, the outcome stays unknown, and the next apply writes such a realm again.
    """
    unknown = journal.in_doubt(gateway.url)
    if unknown and not gateway.capabilities.read:
        _end_runs(journal, gateway.url)
        why = "unknown outcome, since the server shows no settings; the next apply of the realm writes it again"
        return [ResolvedWrite(write, None, why) for write in unknown]
    resolved: list[ResolvedWrite] = []
    if unknown:
        names = {write.realm: records.names_of(gateway.dialect, write) for write in unknown}
        reading = read_with_templates(gateway, [*names], names)
        resolved = [_resolve_write(gateway, write, reading.realms[write.realm]) for write in unknown]
    for number in dict.fromkeys(one.write.run for one in resolved):
        ended = [one for one in resolved if one.write.run == number and one.step is not None]
        journal.record(number, [_update(gateway, one, reading.realms) for one in ended])
    _end_runs(journal, gateway.url)
    return resolved


def _end_runs(journal: Journal, server: str) -> None:
    """Mark killed runs as interrupted, and the last one as resumed where all its writes succeeded."""
    for run in journal.runs(server):
        if run.outcome is Outcome.RUNNING:
            journal.finish(run.number, Outcome.INTERRUPTED)
    last = journal.resumable(server)
    if last and find_unfinished(journal, server) is None:
        journal.finish(last.number, Outcome.RESUMED)


def _update(gateway: Gateway, one: ResolvedWrite, live: Mapping[str, LiveRealm | RealmError]) -> Update:
    assert one.step is not None  # the caller's filter
    seen = live[one.write.realm]
    after = gateway.dialect.mask_secrets(seen.attributes) if isinstance(seen, LiveRealm) else None
    return Update(one.write.realm, one.step, after, "" if one.step is Step.VERIFIED else one.explanation)


def _resolve_write(gateway: Gateway, write: Write, live: LiveRealm | RealmError) -> ResolvedWrite:
    if isinstance(live, RealmMissing):
        return ResolvedWrite(write, Step.FAILED, "the realm no longer exists")
    if isinstance(live, RealmError):
        return ResolvedWrite(write, None, "the realm cannot be read")
    outcome = write_outcome(
        gateway.dialect, desired_from_journal(write.realm, write.intent), write.before, live.attributes
    )
    if outcome is WriteOutcome.ARRIVED or (outcome is WriteOutcome.CANNOT_TELL and write.step is Step.WRITTEN):
        return ResolvedWrite(write, Step.VERIFIED, "the server has stored the write")
    if outcome is WriteOutcome.NOT_ARRIVED:
        return ResolvedWrite(write, Step.FAILED, "the server has not stored the write")
    if outcome is WriteOutcome.OTHERWISE:
        return ResolvedWrite(write, Step.FAILED, "the settings were changed since")
    return ResolvedWrite(write, None, "unknown outcome, since the server hides the secret; it is written again")


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that left realms unwritten or failed, with these writes."""

    run: Run
    writes: tuple[Write, ...]

    @property
    def realms(self) -> tuple[str, ...]:
        """The realms that the run left."""
        return tuple(write.realm for write in self.writes)

    def within(self, memory: JournalState) -> JournalState:
        """Return the memory with the secrets of these writes marked as to be sent."""
        return replace(memory, rewritten={write.realm: write.fingerprints for write in self.writes})


def find_unfinished(journal: Journal | None, server: str) -> UnfinishedRun | None:
    """Return the last run on a server if it left realms, else None."""
    run = journal.resumable(server) if journal else None
    if journal is None or run is None:
        return None
    left = tuple(write for write in journal.writes(run.number) if not write.step.is_done)
    return UnfinishedRun(run, left) if left else None
