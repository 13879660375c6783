"""The journal in a real PostgreSQL: the tests that it also passes in SQLite, and the failures of a server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from support.journals import RUN, SERVER, begun, change, journal_at, make_old, write
from support.postgresql import PostgresqlServer
from unit.journal.test_journal import *  # noqa: F403  the same tests, on the other database
from unit.journal.test_lease import *  # noqa: F403
from unit.journal.test_migrations import *  # noqa: F403
from unit.journal.test_pruning import *  # noqa: F403
from unit.journal.test_requests import *  # noqa: F403

from ztrust_mail.core.errors import ExitStatus, JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal import queries
from ztrust_mail.journal.database import parse_url
from ztrust_mail.journal.journal import Journal, open_journal
from ztrust_mail.journal.postgresql import PostgresqlDatabase, _to_psycopg
from ztrust_mail.journal.records import Outcome, Step


@pytest.fixture
def database(postgresql: PostgresqlServer) -> str:
    """The name of an empty database."""
    return postgresql.empty_database()


@pytest.fixture
def journal_url(postgresql: PostgresqlServer, database: str) -> Secret:
    """The URL of a journal that does not exist yet."""
    return Secret(postgresql.url(database))


@pytest.fixture
def reader_url(postgresql: PostgresqlServer, database: str, journal: Journal) -> Iterator[Secret]:
    """The URL of an account that may read the journal and not write it."""
    postgresql.run(f"CREATE ROLE reader LOGIN PASSWORD '{postgresql.password}'")
    postgresql.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database)
    yield Secret(postgresql.url(database).replace("journal%20keeper:", "reader:"))
    postgresql.run("DROP OWNED BY reader", database)
    postgresql.run("DROP ROLE reader")


def refusal(url: str, server: PostgresqlServer, *, writable: bool = True) -> JournalError:
    """Return the error of opening a journal, and check that it quotes neither a password nor a library."""
    with pytest.raises(JournalError) as caught:
        open_journal(Secret(url), writable=writable)
    error = f"{caught.value.message} {caught.value.hint}"
    assert server.password not in error
    assert server.url().split("@")[0] not in error
    assert not any(word in error for word in ("psycopg", "FATAL", "ERROR"))
    assert caught.value.exit_status is ExitStatus.USAGE
    return caught.value


def test_opening_for_reading_creates_nothing(journal_url: Secret, postgresql: PostgresqlServer, database: str) -> None:
    assert open_journal(journal_url, writable=False) is None
    postgresql.run("CREATE TABLE runs (free TEXT)", database)  # the name is still free


def test_the_journal_is_named_without_its_login(journal: Journal, postgresql: PostgresqlServer, database: str) -> None:
    assert journal.where == f"the journal in the PostgreSQL database `{database}` at 127.0.0.1:{postgresql.port}"
    assert postgresql.password not in repr(vars(journal))


def test_a_database_may_also_hold_tables_of_other_programs(
    journal_url: Secret, postgresql: PostgresqlServer, database: str
) -> None:
    postgresql.run("CREATE TABLE songs (title TEXT)", database)
    with journal_at(journal_url) as journal:
        assert begun(journal, "acme") == 1


def test_a_wrong_password_is_reported_without_quoting_it(postgresql: PostgresqlServer, database: str) -> None:
    error = refusal(postgresql.url(database, f"{postgresql.password}x"), postgresql)
    assert error.message.endswith(f"`{database}` at 127.0.0.1:{postgresql.port} cannot be reached or refuses the login")
    assert "user, password" in error.hint


def test_no_log_contains_the_password(
    postgresql: PostgresqlServer, journal_url: Secret, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("", "psycopg"):
        caplog.set_level(logging.DEBUG, name)
    logging.getLogger("psycopg").debug("the log of psycopg is captured")
    with journal_at(journal_url) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
        postgresql.halt()
        try:
            with pytest.raises(JournalError):
                journal.runs()
        finally:
            postgresql.start()
    logged = caplog.text
    assert "the log of psycopg is captured" in logged
    assert "acme" not in logged
    for secret in (postgresql.password, quote(postgresql.password, safe="")):
        assert secret not in logged


def test_a_refused_connection_is_reported(postgresql: PostgresqlServer, database: str) -> None:
    postgresql.run("CREATE ROLE busy LOGIN CONNECTION LIMIT 0 PASSWORD 'geheim'")
    url = postgresql.url(database, "geheim").replace("journal%20keeper:", "busy:")
    assert refusal(url, postgresql).message.endswith("cannot be reached or refuses the login")
    postgresql.run("DROP ROLE busy")


def test_missing_tables_are_reported_as_damage(journal: Journal, journal_url: Secret) -> None:
    change(journal_url, "DROP TABLE writes")
    with pytest.raises(JournalError, match=r"is damaged or no journal$"):
        journal.last_known(SERVER)


def test_the_error_of_a_trigger_is_reported_without_its_text(
    journal: Journal, postgresql: PostgresqlServer, database: str
) -> None:
    body = "BEGIN RAISE EXCEPTION 'geheim'; END"
    postgresql.run(f"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $${body}$$", database)
    postgresql.run("CREATE TRIGGER no BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION no()", database)
    with pytest.raises(JournalError, match=r" fails$") as caught:
        begun(journal, "acme")
    assert "log" in caught.value.hint
    assert "geheim" not in f"{caught.value.message} {caught.value.hint}"


def test_a_missing_database_is_reported(postgresql: PostgresqlServer) -> None:
    assert "cannot be reached or refuses the login" in refusal(postgresql.url("nowhere"), postgresql).message


def test_a_read_only_database_is_refused_before_a_run_begins(
    postgresql: PostgresqlServer, journal_url: Secret, database: str, journal: Journal
) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    postgresql.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with journal_at(journal_url) as fallen_back:
        with pytest.raises(JournalError, match=r"the database is read-only$"), fallen_back.lease(SERVER, "eve"):
            pass
        with pytest.raises(JournalError, match=r"the database is read-only$"):
            begun(fallen_back, "acme")
        assert list(fallen_back.last_known(SERVER)) == ["acme"]


def test_an_account_that_may_only_read_can_read(journal: Journal, reader_url: Secret) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    reading = open_journal(reader_url, writable=False)
    assert reading
    with reading:
        assert list(reading.last_known(SERVER)) == ["acme"]


def test_an_account_that_may_only_read_is_refused_before_a_run_begins(journal: Journal, reader_url: Secret) -> None:
    with journal_at(reader_url) as other, pytest.raises(JournalError, match=r"this account lacks the right$") as caught:
        begun(other, "acme")
    assert "grant" in caught.value.hint


def test_an_account_that_may_not_read_is_refused(
    postgresql: PostgresqlServer, reader_url: Secret, database: str
) -> None:
    postgresql.run("REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM reader", database)
    assert refusal(reader_url.reveal(), postgresql, writable=False).message.endswith("this account lacks the right")


def test_an_account_without_a_schema_is_refused(
    postgresql: PostgresqlServer, reader_url: Secret, database: str
) -> None:
    postgresql.run("REVOKE USAGE ON SCHEMA public FROM public", database)
    error = refusal(reader_url.reveal(), postgresql, writable=False)
    assert error.message.endswith("cannot be used: this account may see no schema")


def test_a_journal_can_have_its_own_schema(postgresql: PostgresqlServer, journal_url: Secret, database: str) -> None:
    postgresql.run("CREATE TABLE runs (of_another TEXT)", database)
    postgresql.run("CREATE SCHEMA mail", database)
    url = Secret(f"{journal_url.reveal()}?options=-csearch_path%3Dmail")
    with journal_at(url) as journal:
        number = begun(journal, "acme")
    postgresql.run("DROP SCHEMA mail CASCADE", database)
    assert number == 1


def test_an_old_journal_in_a_read_only_database_is_reported_as_old(
    postgresql: PostgresqlServer, journal_url: Secret, database: str
) -> None:
    make_old(journal_url)
    postgresql.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    error = refusal(journal_url.reveal(), postgresql, writable=False)
    assert error.message.endswith("was written by an older ztrust-mail and cannot be migrated")
    assert "primary server" in error.hint


def test_a_journal_opened_for_reading_cannot_be_written(journal: Journal, journal_url: Secret) -> None:
    reading = open_journal(journal_url, writable=False)
    assert reading
    with reading, pytest.raises(JournalError, match=r"is read-only$"):
        reading.begin(RUN, [])


def test_connections_that_were_cut_are_replaced(postgresql: PostgresqlServer, database: str, journal: Journal) -> None:
    number = begun(journal, "acme")
    postgresql.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    assert [one.realm for one in journal.writes(number)] == ["acme"]


def test_a_stopped_server_is_reported_and_used_again_after_its_restart(
    postgresql: PostgresqlServer, journal: Journal
) -> None:
    number = begun(journal, "acme", step=Step.WRITING)
    postgresql.halt()
    try:
        with pytest.raises(JournalError, match="cannot be reached"):
            begun(journal, "beta")
    finally:
        postgresql.start()
    assert [run.number for run in journal.runs()] == [number]
    assert journal.writes(number)[0].step is Step.WRITING


@pytest.mark.parametrize(
    ("limit", "error"),
    [("lock_timeout", "is in use by another run"), ("statement_timeout", "takes too long to answer")],
)
def test_a_hanging_server_is_reported(journal: Journal, journal_url: Secret, limit: str, error: str) -> None:
    number = begun(journal, "acme")
    limits = (f"SET SESSION {limit} = '20ms'",)
    impatient = PostgresqlDatabase(parse_url(journal_url), journal.where, writable=True, limits=limits)
    with Journal(impatient, b"") as hurried, journal._database.writing() as transaction:
        transaction.execute("LOCK TABLE runs")
        with pytest.raises(JournalError, match=f"{error}$"):
            hurried.finish(number, Outcome.DONE)


@pytest.mark.parametrize("name", ["nul\x00", "lone\ud800"])
def test_a_realm_name_that_postgresql_cannot_store_is_reported(journal: Journal, name: str) -> None:
    with pytest.raises(JournalError, match=r"cannot hold the name of a realm$"):
        journal.begin(RUN, [write(name)])
    assert journal.runs() == []


_FILL = """
INSERT INTO writes (run, realm, position, server, before, intent, fingerprints, step, error)
SELECT 100 * place + run, 'tenant-' || realm, realm, 'http://id-' || place, '{}', '{}', '{}', 'verified', ''
FROM generate_series(%s::int, %s::int) AS place, generate_series(1, 20) AS run, generate_series(1, 50) AS realm
"""


def _blocks_read_for_last_known(connection: psycopg.Connection) -> int:
    """Return how many blocks PostgreSQL looks at to find the last known state of a server."""
    query = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + _to_psycopg(queries.LAST_KNOWN)
    row = connection.execute(query, {"server": "http://id-0", "not_kept": queries.UNKEPT}).fetchone()
    assert row is not None
    root = row[0][0]["Plan"]
    assert root["Actual Rows"] == 50
    return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])


def test_the_other_realms_of_a_server_do_not_slow_the_queries_of_a_run_for_one(
    journal: Journal, postgresql: PostgresqlServer, database: str
) -> None:
    values = {"server": "http://id-0", "not_kept": queries.UNKEPT, "realm_0": "tenant-7"}
    with psycopg.connect(postgresql.url(database), autocommit=True) as connection:
        connection.execute("ALTER TABLE writes SET (autovacuum_enabled = off), DROP CONSTRAINT writes_run_fkey")
        connection.execute(_FILL, (0, 40))  # 20 writes to each of 50 realms on 41 servers
        connection.execute("ANALYZE")
        of_all = _blocks_read_for_last_known(connection)
        for statement in (queries.last_known_of(1), queries.IN_DOUBT):
            query = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + _to_psycopg(statement)
            row = connection.execute(query, values).fetchone()
            assert row
            root = row[0][0]["Plan"]
            assert root["Shared Hit Blocks"] + root["Shared Read Blocks"] < of_all / 20


def test_the_history_of_other_servers_does_not_slow_the_query_for_the_last_known_state(
    journal: Journal, postgresql: PostgresqlServer, database: str
) -> None:
    with psycopg.connect(postgresql.url(database), autocommit=True) as connection:
        connection.execute("ALTER TABLE writes SET (autovacuum_enabled = off), DROP CONSTRAINT writes_run_fkey")
        connection.execute(_FILL, (0, 0))
        connection.execute("ANALYZE")
        alone = _blocks_read_for_last_known(connection)
        connection.execute(_FILL, (1, 40))
        connection.execute("ANALYZE")
        assert _blocks_read_for_last_known(connection) < 3 * alone
