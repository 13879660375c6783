"""Past runs on a server and their effect on realms, from the journal alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import is_selected
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.journal.records import Run, Step, Write
from ztrust_mail.planning.compare import Change, compare, masked_secrets
from ztrust_mail.specfile.resolve import desired_from_journal

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal

MANY_RUNS = 10_000
"""How many of the newest runs on a server are searched for those that a request is about."""


@dataclass(frozen=True)
class PastWrite:
    """The effect of a run on one realm: the fields it changed, and the masked secrets it sent."""

    write: Write
    changes: tuple[Change, ...]
    secrets: Mapping[str, SecretRef]


@dataclass(frozen=True)
class PastRun:
    """A run with the number of realms per step; ``realms`` is set if a single run is requested."""

    run: Run
    steps: Mapping[Step, int]
    realms: tuple[PastWrite, ...] = ()


def list_runs(journal: Journal, server: str, realms: Sequence[str] = (), limit: int = 20) -> list[PastRun]:
    """Return the newest runs on a server, newest first; with globs those that involved a matching realm."""
    if not realms:
        runs = journal.runs(server, limit)
        steps = journal.steps([run.number for run in runs])
        return [PastRun(run, _sort_steps(steps[run.number])) for run in runs]
    return list(islice(_with_realms(journal, server, realms), limit))


def _with_realms(journal: Journal, server: str, realms: Sequence[str]) -> Iterator[PastRun]:
    for run in journal.runs(server, MANY_RUNS):
        steps = [step for realm, step in journal.steps_by_realm(run.number).items() if is_selected(realm, realms)]
        if steps:
            yield PastRun(run, _sort_steps(Counter(steps)))


def one_run(journal: Journal | None, dialect: Dialect, server: str, number: int, realms: Sequence[str] = ()) -> PastRun:
    """Return one run with its effect on each realm, or on the matching ones. Raises like :func:`find_run`."""
    from ztrust_mail.journal.journal import find_run  # most commands open no journal

    journal, run = find_run(journal, server, number)
    writes = [write for write in journal.writes(run.number) if is_selected(write.realm, realms)]
    steps = Counter(write.step for write in writes)
    return PastRun(run, _sort_steps(steps), tuple(_describe_write(dialect, write) for write in writes))


def _sort_steps(numbers: Mapping[Step, int]) -> dict[Step, int]:
    return {step: numbers[step] for step in Step if step in numbers}


def _describe_write(dialect: Dialect, write: Write) -> PastWrite:
    if write.is_unplanned:
        return PastWrite(write, (), {})
    wanted = desired_from_journal(write.realm, write.intent)
    changes = compare(dialect, wanted, write.before).changes
    return PastWrite(write, changes, masked_secrets(dialect, wanted, write.before))
