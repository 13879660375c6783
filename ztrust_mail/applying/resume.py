"""Takes up what a run left that was killed, interrupted or stopped: settles what is in doubt, names what is to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import RealmError, RealmMissing
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.journal import records
from ztrust_mail.journal.records import JournalState, LastKnown, Outcome, Run, Step, Update, Write
from ztrust_mail.planning.compare import WriteOutcome, write_outcome
from ztrust_mail.specfile.resolve import desired_from_journal

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal


@dataclass(frozen=True)
class ResolvedWrite:
    """A write that was in doubt and what is known of it now; ``step`` is None where that is still nothing."""

    write: Write
    step: Step | None
    words: str

    @property
    def finding(self) -> Finding:
        """What to tell of it."""
        severity = Severity.NOTE if self.step is Step.VERIFIED else Severity.WARNING
        message = f"run {self.write.run} was cut off here: {self.words}"
        return Finding(severity, "settled", message, realm=self.write.realm)


def settle(journal: Journal, gateway: Gateway, remembered: Mapping[str, LastKnown]) -> list[ResolvedWrite]:
    """Look at every realm whose last write is in doubt, and put into the journal what really happened.

    To be called by whoever holds the lease: else a write that is under way would be taken for one cut off. Where the
    server shows nothing, doubt stays: such a realm is written again as a whole.
    """
    doubtful = [known.doubt for known in remembered.values() if known.doubt]
    if doubtful and not gateway.capabilities.read:
        _end_runs(journal, gateway.url)
        words = "nothing shows whether it arrived; an apply that covers it writes it again"
        return [ResolvedWrite(write, None, words) for write in doubtful]
    settled: list[ResolvedWrite] = []
    if doubtful:
        names = {write.realm: records.names_of(gateway.dialect, write) for write in doubtful}
        reading = read_with_templates(gateway, [*names], names)
        settled = [_judged(gateway, write, reading.realms[write.realm]) for write in doubtful]
    for number in dict.fromkeys(one.write.run for one in settled):
        journal.record(number, [_update(gateway, one, reading.realms) for one in settled if _ends(one, number)])
    _end_runs(journal, gateway.url)
    return settled


def _end_runs(journal: Journal, server: str) -> None:
    """End the runs that were killed, and the last one for good where all that it wrote turns out to have arrived."""
    for run in journal.runs(server):
        if run.outcome is Outcome.RUNNING:
            journal.finish(run.number, Outcome.INTERRUPTED)
    last = journal.resumable(server)
    if last and unfinished(journal, server) is None:
        journal.finish(last.number, Outcome.RESUMED)


def _ends(one: ResolvedWrite, number: int) -> bool:
    return one.write.run == number and one.step is not None


def _update(gateway: Gateway, one: ResolvedWrite, live: Mapping[str, LiveRealm | RealmError]) -> Update:
    assert one.step is not None  # the caller's filter
    seen = live[one.write.realm]
    after = gateway.dialect.mask_secrets(seen.attributes) if isinstance(seen, LiveRealm) else None
    return Update(one.write.realm, one.step, after, "" if one.step is Step.VERIFIED else one.words)


def _judged(gateway: Gateway, write: Write, live: LiveRealm | RealmError) -> ResolvedWrite:
    if isinstance(live, RealmMissing):
        return ResolvedWrite(write, Step.FAILED, "the realm is gone")
    if isinstance(live, RealmError):
        return ResolvedWrite(write, None, "the realm cannot be read now")
    told = write_outcome(
        gateway.dialect, desired_from_journal(write.realm, write.intent), write.before, live.attributes
    )
    if told is WriteOutcome.ARRIVED or (told is WriteOutcome.CANNOT_TELL and write.step is Step.WRITTEN):
        return ResolvedWrite(write, Step.VERIFIED, "the write had arrived")
    if told is WriteOutcome.NOT_ARRIVED:
        return ResolvedWrite(write, Step.FAILED, "the write had not arrived")
    if told is WriteOutcome.OTHERWISE:
        return ResolvedWrite(write, Step.FAILED, "the server holds something else by now")
    return ResolvedWrite(write, None, "whether the secret arrived cannot be seen, so it is written again")


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that did not bring all its realms to their end, and the writes it left."""

    run: Run
    writes: tuple[Write, ...]

    @property
    def realms(self) -> tuple[str, ...]:
        """The realms it left."""
        return tuple(write.realm for write in self.writes)

    def within(self, memory: JournalState) -> JournalState:
        """Return the memory with every secret that the run was to send as one that will be."""
        return replace(memory, rewritten={write.realm: write.fingerprints for write in self.writes})


def unfinished(journal: Journal | None, server: str) -> UnfinishedRun | None:
    """Return what the last run on a server left, None where it left nothing."""
    run = journal.resumable(server) if journal else None
    if journal is None or run is None:
        return None
    left = tuple(write for write in journal.writes(run.number) if not write.step.is_done)
    return UnfinishedRun(run, left) if left else None
