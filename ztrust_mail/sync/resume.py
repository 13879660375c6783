"""Takes up what a run left that was killed, interrupted or stopped: settles what is in doubt, names what is to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ztrust_mail.errors import RealmError, RealmMissing
from ztrust_mail.findings import Finding, Location, Severity
from ztrust_mail.gateways.base import Gateway, LiveRealm
from ztrust_mail.spec.fields import FieldMap
from ztrust_mail.spec.model import Entry
from ztrust_mail.spec.resolve import Desired
from ztrust_mail.sync import beside
from ztrust_mail.sync.hidden import Memory
from ztrust_mail.sync.journal.records import Outcome, Remembered, Run, Step, Update, Write
from ztrust_mail.sync.readback import Fate, fate

if TYPE_CHECKING:
    from ztrust_mail.sync.journal.store import Journal


@dataclass(frozen=True)
class Settled:
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


def settle(journal: Journal, gateway: Gateway, remembered: Mapping[str, Remembered]) -> list[Settled]:
    """Look at every realm whose last write is in doubt, and put into the journal what really happened.

    To be called by whoever holds the lease: else a write that is under way would be taken for one cut off. Where the
    server shows nothing, doubt stays: such a realm is written again as a whole.
    """
    doubtful = [known.doubt for known in remembered.values() if known.doubt]
    if doubtful and not gateway.capabilities.read:
        _end_runs(journal, gateway.url)
        words = "nothing shows whether it arrived; an apply that covers it writes it again"
        return [Settled(write, None, words) for write in doubtful]
    settled: list[Settled] = []
    if doubtful:
        names = {write.realm: beside.names_of(gateway.dialect, write) for write in doubtful}
        reading = beside.read(gateway, [*names], names)
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


def _ends(one: Settled, number: int) -> bool:
    return one.write.run == number and one.step is not None


def _update(gateway: Gateway, one: Settled, live: Mapping[str, LiveRealm | RealmError]) -> Update:
    assert one.step is not None  # the caller's filter
    seen = live[one.write.realm]
    after = gateway.dialect.masked(seen.attributes) if isinstance(seen, LiveRealm) else None
    return Update(one.write.realm, one.step, after, "" if one.step is Step.VERIFIED else one.words)


def _judged(gateway: Gateway, write: Write, live: LiveRealm | RealmError) -> Settled:
    if isinstance(live, RealmMissing):
        return Settled(write, Step.FAILED, "the realm is gone")
    if isinstance(live, RealmError):
        return Settled(write, None, "the realm cannot be read now")
    told = fate(gateway.dialect, as_wanted(write.realm, write.intent), write.before, live.attributes)
    if told is Fate.ARRIVED or (told is Fate.CANNOT_TELL and write.step is Step.WRITTEN):
        return Settled(write, Step.VERIFIED, "the write had arrived")
    if told is Fate.NOT_ARRIVED:
        return Settled(write, Step.FAILED, "the write had not arrived")
    if told is Fate.OTHERWISE:
        return Settled(write, Step.FAILED, "the server holds something else by now")
    return Settled(write, None, "whether the secret arrived cannot be seen, so it is written again")


def as_wanted(realm: str, intent: FieldMap | None, name: str = "") -> Desired:
    """Return fields as what is wanted of a realm; None stands for no e-mail at all."""
    entry = Entry(name or realm, Location("the journal"), disabled=intent is None)
    return Desired(realm, entry, intent or {})


@dataclass(frozen=True)
class Unfinished:
    """A run that did not bring all its realms to their end, and the writes it left."""

    run: Run
    writes: tuple[Write, ...]

    @property
    def realms(self) -> tuple[str, ...]:
        """The realms it left."""
        return tuple(write.realm for write in self.writes)

    def within(self, memory: Memory) -> Memory:
        """Return the memory with every secret that the run was to send as one that will be."""
        return replace(memory, rewritten={write.realm: write.fingerprints for write in self.writes})


def unfinished(journal: Journal | None, server: str) -> Unfinished | None:
    """Return what the last run on a server left, None where it left nothing."""
    run = journal.resumable(server) if journal else None
    if journal is None or run is None:
        return None
    left = tuple(write for write in journal.writes(run.number) if not write.step.is_done)
    return Unfinished(run, left) if left else None
