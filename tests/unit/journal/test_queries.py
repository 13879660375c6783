"""The SQL statements: each is valid and fast, and agrees with the properties of steps and outcomes."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from support.cli import Cli, run_process
from support.journals import SERVER, begun, change, journal_at, raw

from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal import queries as sql
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.records import LastKnown, Outcome, Step
from ztrust_mail.sandbox import Sandbox

SPEC = """\
version: 1
realms:
  "*": {sender: {address: a@b.example}, relay: {host: h.example, security: none}}
"""
VERBS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
STATEMENTS = {
    name: text.replace("{without}", sql.NOTHING)
    for name, text in vars(sql).items()
    if not name.startswith("_") and isinstance(text, str) and text.lstrip().startswith(VERBS)
} | {"last_known_of": sql.last_known_of(3)}


def steps_through(journal: Journal, statement: str) -> list[str]:
    """Return SQLite's plan for a statement."""
    values: defaultdict[str, str] = defaultdict(str)
    with journal._database.reading() as transaction:
        connection = transaction._connection  # type: ignore[attr-defined]  # SQLite's own
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]


LISTS = {
    "NEWEST_REQUESTS": "reads the newest in the order of the table, up to a limit",
    "ENDED_REQUESTS": "reads the newest in the order of the table, up to a limit",
    "COUNTS_BY_STATE": "counts all, for a person",
}
"""Statements that are meant to read the table of requests from one end, and why."""


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - LISTS))
def test_no_statement_scans_all_requests(journal: Journal, name: str) -> None:
    steps = steps_through(journal, STATEMENTS[name])
    assert not [step for step in steps if re.fullmatch("SCAN (journal_requests|r|s)", step)]


@pytest.mark.parametrize("name", ["RUN_OF_REQUEST"])
def test_no_statement_about_one_request_scans_all_runs(journal: Journal, name: str) -> None:
    assert not [step for step in steps_through(journal, STATEMENTS[name]) if step.startswith("SCAN runs")]


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_no_statement_scans_all_writes(journal: Journal, name: str) -> None:
    steps = steps_through(journal, STATEMENTS[name])
    assert not [step for step in steps if step.startswith(("SCAN w", "SCAN later")) or "AUTOMATIC" in step]


@pytest.mark.parametrize("name", ["IN_DOUBT", "last_known_of"])
def test_no_statement_about_some_realms_reads_those_of_the_whole_server(journal: Journal, name: str) -> None:
    steps = [step for step in steps_through(journal, STATEMENTS[name]) if re.match(r"SEARCH (w|later|writes)\b", step)]
    assert steps
    assert not [step for step in steps if "realm=?" not in step and "INDEX writes_in_doubt" not in step]


@pytest.mark.parametrize("step", Step)
def test_the_last_known_write_agrees_with_the_properties_of_its_step(journal: Journal, step: Step) -> None:
    begun(journal, "acme", step=step)
    found = journal.last_known(SERVER).get("acme", LastKnown())
    assert (found.last is not None, found.doubt is not None) == (step.is_done, step.in_doubt)
    assert found.unkept is None


def test_a_secret_is_as_old_as_its_first_write_until_it_is_rotated(journal: Journal, journal_url: Secret) -> None:
    runs = [begun(journal, "acme", "globex", step=Step.VERIFIED) for _ in range(3)]
    begun(journal, "acme", step=Step.FAILED)
    times = [f"UPDATE writes SET ended = '2026-0{n + 1}-01T00:00:00' WHERE run = {run}" for n, run in enumerate(runs)]
    rotated = f"UPDATE writes SET fingerprints = '{{\"x\":\"other\"}}' WHERE run = {runs[2]} AND realm = 'globex'"
    change(journal_url, *times, rotated)
    assert {realm: time.month for realm, time in journal.secret_times(SERVER).items()} == {"acme": 1, "globex": 3}


def test_a_realm_without_a_secret_has_no_time(journal: Journal, journal_url: Secret) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    change(journal_url, "UPDATE writes SET fingerprints = '{}'")
    assert journal.secret_times(SERVER) == {}


@pytest.mark.parametrize("outcome", Outcome)
def test_a_run_is_resumable_unless_it_or_a_later_one_completed_it(journal: Journal, outcome: Outcome) -> None:
    number = begun(journal, "acme", step=Step.WRITING)
    journal.finish(number, outcome)
    assert (journal.resumable(SERVER) is None) == (outcome in (Outcome.DONE, Outcome.RESUMED))


@pytest.mark.parametrize("step", Step)
def test_pruning_agrees_with_the_properties_of_each_step(journal: Journal, step: Step) -> None:
    for _ in range(3):
        begun(journal, "acme", step=step)
    newest = begun(journal, "globex", step=Step.VERIFIED)
    journal.prune(SERVER, newest)
    left = len(journal.history_of(SERVER, "acme"))
    assert left == (3 if step.in_doubt else 2 if step.is_done else 0)


@pytest.mark.parametrize("spoilt", ["before = '{'", "started = 'soon'", "step = 'sideways'", "fingerprints = '[]'"])
def test_a_damaged_value_is_reported_as_damage(journal: Journal, file: Path, spoilt: str) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    raw(file, f"UPDATE writes SET {spoilt}")
    with pytest.raises(JournalError, match="damaged at run 1, realm `acme`"):
        journal.writes(1)


def test_a_damaged_lease_is_reported_as_damage(journal: Journal, journal_url: Secret, file: Path) -> None:
    with journal.lease(SERVER, "eve"), journal_at(journal_url) as second:
        raw(file, "UPDATE leases SET since = 'lately'")
        with pytest.raises(JournalError, match="damaged at its leases"), second.lease(SERVER, "bob"):
            pass


@pytest.mark.parametrize(("command", "status"), [("drift", 1), ("plan", 1), ("apply", 0), ("history", 0)])
def test_a_journal_in_a_file_needs_no_psycopg(cli: Cli, sandbox: Sandbox, command: str, status: int) -> None:
    cli.write("mail.yaml", SPEC)
    assert cli("apply", "mail.yaml", "--yes").status == 0
    sandbox.edit_smtp("acme", sandbox.smtp("acme") | {"host": "evil.example"})
    arguments = {"apply": ["apply", "mail.yaml", "--yes"], "history": ["history"]}.get(command, [command, "mail.yaml"])
    code = (
        "import sys; sys.modules['psycopg'] = None; from ztrust_mail.cli.main import run; "
        f"status = run({arguments}); sys.exit(status)"
    )
    ran = run_process(python=("-c", code))
    assert ran.status == status
    assert command != "drift" or "out of band" in ran.out
