"""Pruning the journal and forgetting realms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.journals import SERVER, begun, change, write

from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.records import NewRun, Outcome, Step, Update

OTHER = "https://other.example.com"


def verified(journal: Journal, *realms: str, server: str = SERVER) -> int:
    run = begun(journal, *realms, step=Step.VERIFIED, server=server)
    journal.finish(run, Outcome.DONE)
    return run


def pruned(journal: Journal, **how) -> tuple[int, int]:
    first, _ = journal.prunable(SERVER, **how)
    return journal.prune(SERVER, first)


def of(journal: Journal, realm: str) -> list[int]:
    """Return the numbers of the runs that wrote a realm, newest first."""
    return [one.run for one in journal.history_of(SERVER, realm)]


def test_pruning_deletes_old_runs_and_preserves_the_newest(journal: Journal) -> None:
    for _ in range(6):
        verified(journal, "acme")
    assert journal.prunable(SERVER, keep=2) == (5, 4)
    assert pruned(journal, keep=2) == (2, 2)
    assert [run.number for run in journal.runs(SERVER)] == [6, 5, 4, 3]
    assert pruned(journal, keep=2) == (0, 0)
    assert pruned(journal, keep=100) == (0, 0)


def test_pruning_preserves_the_last_two_writes_of_each_realm(journal: Journal) -> None:
    for realms in (["acme"], ["acme", "globex"], ["acme"], ["initech"], ["initech"]):
        verified(journal, *realms)
    assert pruned(journal, keep=1) == (1, 1)
    assert (of(journal, "acme"), of(journal, "globex")) == ([3, 2], [2])
    assert set(journal.last_known(SERVER)) == {"acme", "globex", "initech"}


@pytest.mark.parametrize("step", [Step.WRITING, Step.WRITTEN])
def test_pruning_preserves_writes_with_unknown_outcome(journal: Journal, step: Step) -> None:
    begun(journal, "acme", step=step)
    for _ in range(3):
        verified(journal, "globex")
    pruned(journal, keep=1)
    known = journal.last_known(SERVER)["acme"].doubt
    assert known
    assert known.step is step


def test_pruning_deletes_writes_without_effect_and_preserves_those_stored_differently(journal: Journal) -> None:
    run = journal.begin(NewRun(SERVER, "apply", "eve"), [write(name) for name in ("a", "b", "c", "d")])
    updates = [Update("a", Step.SKIPPED), Update("b", Step.FAILED), Update("c", Step.FAILED, {"host": "x"})]
    journal.record(run, updates)
    verified(journal, "z")
    assert pruned(journal, keep=1) == (0, 3)
    assert [one.realm for one in journal.writes(run)] == ["c"]


def test_pruning_preserves_a_run_that_may_be_resumed_and_all_later_ones(journal: Journal) -> None:
    for _ in range(4):
        verified(journal, "acme")
    left = begun(journal, "acme", step=Step.FAILED)
    journal.finish(left, Outcome.FAILED)
    begun(journal)  # without a realm, as where the run was cut off early
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert journal.prunable(SERVER, before=tomorrow)[0] == left
    pruned(journal, before=tomorrow)
    found = journal.resumable(SERVER)
    assert found
    assert found.number == left
    assert [one.realm for one in journal.writes(left)] == ["acme"]


def test_the_age_of_a_run_counts_from_its_begin(journal: Journal, journal_url: Secret) -> None:
    for _ in range(5):
        verified(journal, "acme")
    change(journal_url, "UPDATE runs SET started = '2026-01-30 23:59:59.000000' WHERE number <= 3")
    january = datetime(2026, 1, 31, tzinfo=UTC)
    assert journal.prunable(SERVER, before=january) == (4, 3)
    assert journal.prunable(SERVER, before=january - timedelta(days=1)) == (0, 0)
    assert pruned(journal, before=january) == (1, 1)


def test_pruning_and_forgetting_leave_other_servers_alone(journal: Journal) -> None:
    for server in (OTHER, OTHER, OTHER, SERVER, SERVER, SERVER, SERVER):
        verified(journal, "acme", server=server)
    pruned(journal, keep=1)
    assert len(journal.runs(OTHER)) == 3
    assert journal.forget(SERVER, "acme") == 3
    assert (journal.last_known(SERVER), len(journal.history_of(OTHER, "acme"))) == ({}, 3)


def test_forgetting_a_realm_leaves_the_others_of_its_run(journal: Journal) -> None:
    run = verified(journal, "acme", "globex")
    assert journal.forget(SERVER, "acme") == 1
    assert journal.forget(SERVER, "acme") == 0
    assert [one.realm for one in journal.writes(run)] == ["globex"]


def test_an_empty_journal_has_nothing_to_prune(journal: Journal) -> None:
    assert journal.prunable(SERVER, keep=1) == (0, 0)
    assert journal.prunable(SERVER, before=datetime.now(UTC)) == (0, 0)
