"""What a file remembers is the same with and without SQLAlchemy; a file that is not as simple as that is left alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cli import Cli, cli_fixture, run_process, sandbox_fixture  # noqa: F401  # fixtures
from support.journals import SERVER, begun, database_at, journal_at, make_old, raw

from ztrust_mail.errors import JournalError
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sensitive import Secret
from ztrust_mail.sync.journal.fingerprints import Fingerprints
from ztrust_mail.sync.journal.place import file_url, place_of
from ztrust_mail.sync.journal.recall import REMEMBERED, parameters, recall
from ztrust_mail.sync.journal.records import Step
from ztrust_mail.sync.journal.store import Journal

ODD = "a b?mode=memory#%41 ünï"
SPEC = """\
version: 1
realms:
  "*": {sender: {address: a@b.example}, relay: {host: h.example, security: none}}
"""


@pytest.fixture
def file(journal_url: Secret) -> Path:
    found = place_of(journal_url).file
    assert found
    return found


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([SERVER, "https://other.example.com"]),
            st.sets(st.sampled_from(["acme", "globex", ODD]), min_size=1),
            st.sampled_from(Step),
        ),
        max_size=8,
    )
)
def test_it_is_what_the_journal_itself_remembers(story: list[tuple[str, set[str], Step]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ODD
        with journal_at(Secret(f"sqlite:///{quote(str(file))}")) as journal:
            for server, realms, step in story:
                begun(journal, *sorted(realms), step=step, server=server)
            recalled = recall(file, SERVER)
            assert recalled
            assert recalled.realms == journal.remembered(SERVER)
            secret = Secret("geheim")
            assert Fingerprints(recalled.salt).of(secret) == journal.fingerprint(secret)


def test_years_of_history_are_not_walked_through(journal: Journal, journal_url: Secret, file: Path) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    with database_at(journal_url) as database, database.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {REMEMBERED}", parameters(SERVER))
        steps = [row[3] for row in plan]
    assert [step for step in steps if step.startswith("SEARCH w ")]
    assert not [step for step in steps if step.startswith("SCAN w")]
    assert not [step for step in steps if "AUTOMATIC" in step]


def test_no_file_an_older_one_and_one_without_salt_are_left_to_who_opens_a_journal_in_full(
    tmp_path: Path, journal_url: Secret, file: Path
) -> None:
    assert recall(tmp_path / "nothing", SERVER) is None
    make_old(journal_url)
    assert recall(file, SERVER) is None
    with journal_at(journal_url):
        assert recall(file, SERVER)
    raw(file, "UPDATE meta SET value = 'no digits' WHERE name = 'salt'")
    assert recall(file, SERVER) is None
    raw(file, "DELETE FROM meta")
    assert recall(file, SERVER) is None
    file.write_text("no journal at all" * 100, encoding="utf-8")
    assert recall(file, SERVER) is None


def test_a_damaged_row_is_told(journal: Journal, file: Path) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    raw(file, "UPDATE writes SET before = '{'")
    with pytest.raises(JournalError, match="damaged at run 1, realm `acme`"):
        recall(file, SERVER)


def test_reading_leaves_a_file_as_it_is(journal: Journal, file: Path) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    journal.close()
    before = file.read_bytes()
    assert recall(file, SERVER)
    assert (file.read_bytes(), file_url(file, writable=False)[-8:]) == (before, "?mode=ro")


@pytest.mark.parametrize("command", ["drift", "plan"])
def test_a_command_that_only_looks_does_without_sqlalchemy(cli: Cli, sandbox: Sandbox, command: str) -> None:
    cli.write("mail.yaml", SPEC)
    assert cli("apply", "mail.yaml", "--yes").status == 0
    sandbox.edit_smtp("acme", sandbox.smtp("acme") | {"host": "evil.example"})
    code = (
        "import sys; from ztrust_mail.cli.entry import run; "
        f"status = run(['{command}', 'mail.yaml']); print('sqlalchemy' in sys.modules); sys.exit(status)"
    )
    ran = run_process(python=("-c", code))
    assert (ran.status, ran.out.splitlines()[-1]) == (1, "False")
    assert command == "plan" or "out of band" in ran.out
