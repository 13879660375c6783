"""What runs did to a server, as the journal tells it; the server itself is not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ztrust_mail.dialects.base import Dialect
from ztrust_mail.errors import UsageError
from ztrust_mail.sensitive import SecretRef
from ztrust_mail.sync.compare import Change, compare, hidden_secrets
from ztrust_mail.sync.journal.records import Run, Step, Write
from ztrust_mail.sync.resume import as_wanted
from ztrust_mail.sync.trail import is_chosen
from ztrust_mail.text import quoted

if TYPE_CHECKING:
    from ztrust_mail.sync.journal.store import Journal

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
        steps = [step for realm, step in journal.steps_by_realm(run.number).items() if is_chosen(realm, realms)]
        if steps:
            yield PastRun(run, _in_order(Counter(steps)))


def find_run(journal: Journal | None, server: str, number: int) -> tuple[Journal, Run]:
    """Return the run of that number, and the journal that holds it.

    Raises :class:`UsageError` where there is no such run, or where it wrote to another server.
    """
    run = journal.run(number) if journal else None
    if journal is None or run is None:
        raise UsageError(f"there is no run {number}", "history lists the runs there are")
    if run.server != server:
        raise UsageError(f"run {number} wrote to {quoted(run.server)}, not to {quoted(server)}", "check --server")
    return journal, run


def one_run(journal: Journal | None, dialect: Dialect, server: str, number: int, realms: Sequence[str] = ()) -> PastRun:
    """Return one run with what it did to each realm, or to those that globs match. Raises as :func:`find_run` does."""
    journal, run = find_run(journal, server, number)
    writes = [write for write in journal.writes(run.number) if is_chosen(write.realm, realms)]
    steps = Counter(write.step for write in writes)
    return PastRun(run, _in_order(steps), tuple(_told(dialect, write) for write in writes))


def _in_order(numbers: Mapping[Step, int]) -> dict[Step, int]:
    return {step: numbers[step] for step in Step if step in numbers}


def _told(dialect: Dialect, write: Write) -> PastWrite:
    if write.is_unplanned:
        return PastWrite(write, (), {})
    wanted = as_wanted(write.realm, write.intent)
    changes = compare(dialect, wanted, write.before).changes
    return PastWrite(write, changes, hidden_secrets(dialect, wanted, write.before))
