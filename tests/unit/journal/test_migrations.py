"""Journals are migrated when they are opened, and never back; in SQLite and in PostgreSQL alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.journals import (
    RUN,
    SERVER,
    asked,
    begun,
    change,
    create_old_journal,
    database_at,
    in_another_process,
    journal_at,
    make_old,
)

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import ExitStatus, JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal import opening, queries
from ztrust_mail.journal.database import location_of
from ztrust_mail.journal.journal import Fingerprints, open_journal
from ztrust_mail.journal.opening import HEAD, VERSIONS
from ztrust_mail.journal.records import LastKnown, Outcome, Step
from ztrust_mail.journal.requests import RequestState

VERSION = "SELECT version_num FROM alembic_version"
EARLIER_FINGERPRINTS = (
    "83f755f95777aab3ef69d526d26a1735f060e353888ac920769d4cad38b53b10",
    "6d02a4e653021003fc1c7a1aa1b6dfbb073e82569dcdc89139924dbf8c89958b",
    "53b21f2fbeba17892431f15e3c9867360741ca3e17149a8148f07fdee4ea303c",
    "e6dbcf52473560dd428ca588497ded24be9c1e7ea5518f9cddb2035e18bdea9e",
    "ced6279fea425513cd1139880e69077339b4abf7922926899adac2edd4d56494",
    "b4da1f8206d5609d9635af0087e9b4b3ce743bcdaaa938e09d719ff908dcbabd",
)
"""The fingerprint of ``geheim`` in each of the journals that an earlier release made."""
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


@pytest.fixture(params=VERSIONS)
def released_url(journal_url: Secret, request: pytest.FixtureRequest) -> Secret:
    """A journal that an earlier release made, in each version of the schema."""
    create_old_journal(journal_url, request.param)
    assert asked(journal_url, VERSION) == [(request.param,)]
    return journal_url


def columns(url: Secret) -> list[tuple[object, ...]]:
    """Return table, name, type and nullability of every column of a journal."""
    if location_of(url).file:
        table = "sqlite_master AS t, pragma_table_info(t.name) AS c"
        return asked(
            url, f'SELECT t.name AS "table", c.name, c.type, c."notnull", c.pk FROM {table} ORDER BY t.name, c.cid'
        )
    columns = "table_name, column_name, data_type, is_nullable, column_default"
    where = "table_schema = current_schema() ORDER BY table_name, ordinal_position"
    return asked(url, f"SELECT {columns} FROM information_schema.columns WHERE {where}")


@pytest.mark.parametrize("writable", [True, False])
def test_the_journal_of_an_earlier_release_shows_its_history(released_url: Secret, writable: bool) -> None:
    journal = open_journal(released_url, writable=writable)
    assert journal
    with journal:
        assert [(run.number, run.command, run.outcome) for run in journal.runs()] == [
            (3, "rotate", Outcome.RUNNING),
            (2, "apply --plan", Outcome.DONE),
            (1, "apply", Outcome.DONE),
        ]
        assert [write.realm for write in journal.writes(1)] == ["acme", "Übung", "globex"]
        assert journal.writes(1)[0].after == {"host": "smtp.example.com", "password": "**********"}
        known = journal.last_known(SERVER)
        resumable = journal.resumable(SERVER)
    assert {realm: one.last and one.last.run for realm, one in known.items()} == {"acme": 1, "Übung": 1, "globex": 1}
    assert known["acme"].doubt
    assert known["globex"].unkept
    assert resumable
    assert (resumable.number, resumable.started.utcoffset()) == (3, timedelta(0))
    assert asked(released_url, VERSION) == [(HEAD,)]


def test_runs_from_before_messages_have_an_empty_one(released_url: Secret, request: pytest.FixtureRequest) -> None:
    recent = ["SMTP password leaked, ticket 42", "", "Launch of Acme"]
    messages = {"0003": recent, "0004": recent}
    with journal_at(released_url) as journal:
        found = [run.message for run in journal.runs()]
        number = journal.begin(replace(RUN, message="Ümzug"), [])
        assert journal.runs()[0].message == "Ümzug"
    assert number == 4
    assert found == messages.get(request.node.callspec.params["released_url"], ["", "", ""])


def test_the_journal_of_an_earlier_release_has_its_fingerprints(released_url: Secret) -> None:
    [(salt,)] = asked(released_url, "SELECT value FROM meta WHERE name = 'salt'")
    with journal_at(released_url) as journal:
        taken = journal.fingerprint(Secret("geheim"))
    assert taken == Fingerprints(bytes.fromhex(str(salt))).of(Secret("geheim"))
    assert taken in EARLIER_FINGERPRINTS


@pytest.mark.parametrize("released_url", VERSIONS[3:], indirect=True)
def test_the_journal_of_an_earlier_release_has_its_requests(released_url: Secret) -> None:
    with journal_at(released_url) as journal:
        assert [(one.number, one.state, one.key, one.attempts) for one in journal.requests.newest()] == [
            (3, RequestState.DONE, "", 1),
            (2, RequestState.WAITING, "", 0),
            (1, RequestState.RUNNING, "order 4711", 1),
        ]
        done = journal.requests.get(3)
        assert (done.exit_status, done.summary, done.report_text) == (0, "1 realm: works", "acme works\n")
        assert [one.number for one in journal.requests.waiting_for(SERVER)] == [1, 2]
        run = journal.run_of_request(1)
        assert run
        assert run.number == 3


def test_the_journal_of_an_earlier_release_accepts_new_runs(released_url: Secret) -> None:
    with journal_at(released_url) as journal, journal.lease(SERVER, "eve"):
        number = begun(journal, "acme", step=Step.VERIFIED)
        journal.finish(number, Outcome.DONE)
        assert number == 4
        assert journal.last_known(SERVER)["acme"] == LastKnown(journal.writes(4)[0])
        assert journal.resumable(SERVER) is None


def test_a_new_journal_has_the_tables_of_an_earlier_release(released_url: Secret) -> None:
    with journal_at(released_url):
        earlier = columns(released_url)
    tables = ("writes", *sorted(queries.TABLES - {"writes"}), queries.VERSIONS_TABLE)  # writes refer to runs
    change(released_url, *(f"DROP TABLE {name}" for name in tables))
    with journal_at(released_url):
        assert columns(released_url) == earlier
    assert {row[0] for row in earlier} >= set(tables)


def test_each_version_has_a_migration() -> None:
    files = sorted((Path(opening.__file__).parent / "migrations").iterdir())
    assert tuple(file.name.split("_")[0] for file in files) == VERSIONS
    assert {file.suffix for file in files} == {".sql"}


def test_the_migrations_create_the_known_tables(journal_url: Secret) -> None:
    with journal_at(journal_url), database_at(journal_url) as database, database.reading() as transaction:
        assert transaction.tables() == queries.TABLES | {queries.VERSIONS_TABLE}


@pytest.mark.parametrize("writable", [True, False])
def test_an_old_journal_is_migrated_with_all_its_rows(old_url: Secret, writable: bool) -> None:
    salt = asked(old_url, "SELECT value FROM meta WHERE name = 'salt'")
    journal = open_journal(old_url, writable=writable)
    assert journal
    with journal:
        run = journal.run(7)
        known = journal.last_known(SERVER)["acme"].last
    assert run
    assert run.started.isoformat() == "2024-05-06T07:08:09+00:00"
    assert known
    assert (known.before, known.after, known.step) == ({"host": "a"}, {}, Step.VERIFIED)
    assert asked(old_url, VERSION) == [(HEAD,)]
    assert asked(old_url, "SELECT value FROM meta WHERE name = 'salt'") == salt
    assert asked(old_url, "SELECT value FROM meta WHERE name = 'written_by'") == [(__version__,)]


def test_a_migrated_journal_continues_its_numbers(old_url: Secret) -> None:
    with journal_at(old_url) as journal:
        number = journal.begin(RUN, [])
        assert number != 7
        assert {run.number for run in journal.runs()} == {7, number}


def test_a_failed_migration_changes_nothing(old_url: Secret) -> None:
    change(old_url, "CREATE INDEX writes_by_realm ON runs (server)")  # its name is that of the second version's index
    for writable in (True, False):
        with pytest.raises(JournalError):
            open_journal(old_url, writable=writable)
    assert asked(old_url, VERSION) == [("0001",)]


def test_a_journal_that_cannot_be_migrated_for_reading_is_reported_as_old(old_url: Secret) -> None:
    change(old_url, "CREATE INDEX writes_by_realm ON runs (server)")
    with pytest.raises(JournalError, match=r"older ztrust-mail and cannot be migrated$"):
        open_journal(old_url, writable=False)


@pytest.mark.parametrize("writable", [True, False])
def test_a_newer_journal_is_refused_with_the_version_that_wrote_it(journal_url: Secret, writable: bool) -> None:
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


@pytest.mark.parametrize(
    "change_version", ["DELETE FROM alembic_version", "INSERT INTO alembic_version VALUES ('0001')"]
)
def test_a_journal_without_one_schema_version_is_damaged(journal_url: Secret, change_version: str) -> None:
    with journal_at(journal_url):
        pass
    change(journal_url, change_version)
    with pytest.raises(JournalError, match=r"is damaged: its schema version is missing$"):
        open_journal(journal_url, writable=True)


@pytest.mark.parametrize("spoilt", ["DELETE FROM meta", "UPDATE meta SET value = 'xyz' WHERE name = 'salt'"])
def test_a_journal_without_its_salt_is_damaged(journal_url: Secret, spoilt: str) -> None:
    with journal_at(journal_url):
        pass
    change(journal_url, spoilt)
    with pytest.raises(JournalError, match=r"is damaged: its salt is missing$"):
        open_journal(journal_url, writable=True)


@pytest.mark.parametrize("old", [False, True])
def test_threads_that_open_a_journal_at_once_create_or_migrate_it_once(journal_url: Secret, old: bool) -> None:
    if old:
        make_old(journal_url)

    def salt(_: int) -> str:
        with journal_at(journal_url) as journal:
            return journal.fingerprint(Secret("geheim"))

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(salt, range(6)))) == 1
    assert asked(journal_url, VERSION) == [(HEAD,)]


@pytest.mark.parametrize("old", [False, True])
def test_processes_that_open_a_journal_at_once_create_or_migrate_it_once(journal_url: Secret, old: bool) -> None:
    if old:
        make_old(journal_url)
    body = "print(journal.fingerprint(Secret('geheim')), flush=True)"
    with in_another_process(journal_url, body) as one, in_another_process(journal_url, body) as two:
        assert one.stdout
        assert two.stdout
        taken = one.stdout.readline()
        assert len(taken) == 65
        assert two.stdout.readline() == taken
