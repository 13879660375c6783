"""Journals move forward by themselves and never back; the same holds on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.script import ScriptDirectory
from support.journals import RUN, SERVER, asked, begun, change, database_at, in_another_process, journal_at, make_old

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import ExitStatus, JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal import migrations, queries
from ztrust_mail.journal.journal import open_journal
from ztrust_mail.journal.records import HEAD, VERSIONS, Step

VERSION = "SELECT version_num FROM alembic_version"
OLD_RUN = (
    f"INSERT INTO runs VALUES (7, '{SERVER}', 'apply', 'eve', '', '', '0.1.0', 'done', "
    "'2024-05-06 07:08:09+00:00', '2024-05-06 07:08:10+00:00')"
)
OLD_WRITE = (
    f"INSERT INTO writes VALUES (7, 'acme', 0, '{SERVER}', '{{\"host\":\"a\"}}', NULL, '{{}}', 'verified', '{{}}', "
    " '', '2024-05-06 07:08:09+00:00', '2024-05-06 07:08:10+00:00')"
)


@pytest.fixture
def old_url(journal_url: Secret) -> Secret:
    """A journal of the first version, with a run in it."""
    make_old(journal_url)
    change(journal_url, OLD_RUN, OLD_WRITE)
    return journal_url


def test_the_versions_known_here_are_alembics() -> None:
    scripts = ScriptDirectory(migrations.__path__[0])
    assert scripts.get_current_head() == HEAD
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == VERSIONS


def test_the_migrations_lead_to_the_tables_known_here(journal_url: Secret) -> None:
    with journal_at(journal_url), database_at(journal_url) as database, database.reading() as transaction:
        assert transaction.tables() == queries.TABLES | {queries.VERSIONS_TABLE}


@pytest.mark.parametrize("writable", [True, False])
def test_an_old_journal_moves_forward_with_all_it_holds(old_url: Secret, writable: bool) -> None:
    salt = asked(old_url, "SELECT value FROM meta WHERE name = 'salt'")
    journal = open_journal(old_url, writable=writable)
    assert journal
    with journal:
        run = journal.run(7)
        known = journal.remembered(SERVER)["acme"].last
    assert run
    assert run.started.isoformat() == "2024-05-06T07:08:09+00:00"
    assert known
    assert (known.before, known.after, known.step) == ({"host": "a"}, {}, Step.VERIFIED)
    assert asked(old_url, VERSION) == [(HEAD,)]
    assert asked(old_url, "SELECT value FROM meta WHERE name = 'salt'") == salt
    assert asked(old_url, "SELECT value FROM meta WHERE name = 'written_by'") == [(__version__,)]


def test_a_journal_moved_forward_goes_on_counting(old_url: Secret) -> None:
    with journal_at(old_url) as journal:
        number = journal.begin(RUN, [])
        assert number != 7
        assert {run.number for run in journal.runs()} == {7, number}


def test_a_journal_that_cannot_move_forward_changes_nothing(old_url: Secret) -> None:
    change(old_url, "CREATE INDEX writes_by_realm ON runs (server)")  # in the way of the second version
    for writable in (True, False):
        with pytest.raises(JournalError):
            open_journal(old_url, writable=writable)
    assert asked(old_url, VERSION) == [("0001",)]


def test_for_reading_it_is_said_that_it_is_old(old_url: Secret) -> None:
    change(old_url, "CREATE INDEX writes_by_realm ON runs (server)")
    with pytest.raises(JournalError, match=r"older ztrust-mail and cannot be brought forward$"):
        open_journal(old_url, writable=False)


@pytest.mark.parametrize("writable", [True, False])
def test_a_newer_journal_is_refused_and_says_who_wrote_it(journal_url: Secret, writable: bool) -> None:
    with journal_at(journal_url):
        pass
    change(
        journal_url,
        "UPDATE alembic_version SET version_num = '0099'",
        "UPDATE meta SET value = '99.1.0' WHERE name = 'written_by'",
    )
    with pytest.raises(JournalError) as caught:
        open_journal(journal_url, writable=writable)
    refused = caught.value
    assert refused.message.endswith(
        f"was written by `ztrust-mail 99.1.0`, which is newer than this ztrust-mail {__version__}"
    )
    assert "update" in refused.hint
    assert refused.exit_status is ExitStatus.USAGE
    assert asked(journal_url, VERSION) == [("0099",)]


@pytest.mark.parametrize(
    "foreign",
    [
        ["CREATE TABLE runs (name TEXT)"],
        ["CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('0002')"],
    ],
)
@pytest.mark.parametrize("writable", [True, False])
def test_another_programs_tables_are_left_alone(journal_url: Secret, foreign: list[str], writable: bool) -> None:
    make_old(journal_url)
    change(journal_url, *(f"DROP TABLE {name}" for name in ("writes", "runs", "meta", "leases", "alembic_version")))
    change(journal_url, *foreign)
    with pytest.raises(JournalError, match=r"holds another program's tables$"):
        open_journal(journal_url, writable=writable)


@pytest.mark.parametrize("spoilt", ["DELETE FROM meta", "UPDATE meta SET value = 'xyz' WHERE name = 'salt'"])
def test_a_journal_without_its_salt_is_damaged(journal_url: Secret, spoilt: str) -> None:
    with journal_at(journal_url):
        pass
    change(journal_url, spoilt)
    with pytest.raises(JournalError, match=r"is damaged: its salt is gone$"):
        open_journal(journal_url, writable=True)


def test_an_up_to_date_journal_is_opened_without_alembic(journal_url: Secret) -> None:
    with journal_at(journal_url) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
    body = f"print(len(journal.remembered({SERVER!r})), 'alembic' in sys.modules, flush=True)"
    with in_another_process(journal_url, body) as process:
        assert process.stdout
        assert process.stdout.readline() == "1 False\n"


def test_the_front_door_imports_nothing_of_it() -> None:
    program = "import sys, ztrust_mail.api, ztrust_mail.cli.app; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("old", [False, True])
def test_several_that_open_it_at_once_make_or_move_it_once(journal_url: Secret, old: bool) -> None:
    if old:
        make_old(journal_url)

    def salt(_: int) -> str:
        with journal_at(journal_url) as journal:
            return journal.fingerprint(Secret("geheim"))

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(salt, range(6)))) == 1
    assert asked(journal_url, VERSION) == [(HEAD,)]


def test_several_processes_that_open_it_at_once_make_it_once(journal_url: Secret) -> None:
    body = "print(journal.fingerprint(Secret('geheim')), flush=True)"
    with in_another_process(journal_url, body) as one, in_another_process(journal_url, body) as two:
        assert one.stdout
        assert two.stdout
        taken = one.stdout.readline()
        assert len(taken) == 65
        assert two.stdout.readline() == taken
