"""Journals for tests, and what to put into them."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.journal.database import Database, location_of
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.lease import DEFAULT_TIMING, Timing
from ztrust_mail.journal.opening import migrate, open_at, open_database
from ztrust_mail.journal.records import NewRun, Step, Update, Write
from ztrust_mail.model.fields import PASSWORD, Security

if TYPE_CHECKING:
    from support.postgresql import PostgresqlServer

SERVER = "https://id.example.com"
RUN = NewRun(SERVER, "apply", "admin (realm master), eve on desk")
FINGERPRINT = "5f" * 32
OLD_JOURNALS = Path(__file__).with_name("old_journals")


def write(realm: str, host: str = "smtp.example.com") -> Write:
    """Return an intended write as apply makes it."""
    return Write(
        realm,
        {"host": "old.example.com", "password": "**********"},
        {
            "relay.host": host,
            "relay.port": 587,
            "relay.security": Security.STARTTLS,
            PASSWORD: SecretRef(SecretKind.ENV, ("SMTP",)),
        },
        {PASSWORD: FINGERPRINT},
    )


def begun(journal: Journal, *realms: str, step: Step = Step.PLANNED, server: str = SERVER) -> int:
    """Begin a run on some realms, take each to a step, and return the run's number."""
    run = journal.begin(NewRun(server, "apply", "eve"), [write(realm) for realm in realms])
    if step is not Step.PLANNED:
        journal.record(run, [Update(realm, step) for realm in realms])
    return run


@contextmanager
def journal_at(url: Secret, timing: Timing = DEFAULT_TIMING) -> Iterator[Journal]:
    """Open a journal for writing, with leases of a given duration."""
    opened = open_at(location_of(url), writable=True)
    assert opened is not None
    with Journal(opened.database, opened.salt, timing) as journal:
        yield journal


def use_cheap_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scrypt take next to no time."""
    scrypt = hashlib.scrypt
    monkeypatch.setattr(hashlib, "scrypt", lambda value, **options: scrypt(value, **{**options, "n": 2}))


def database_at(url: Secret) -> AbstractContextManager[Database]:
    """Give the database of a journal, to inspect and to damage it."""
    return open_database(location_of(url), writable=True)


def change(url: Secret, *statements: str) -> None:
    """Run SQL on a journal's database."""
    with database_at(url) as database, database.writing() as transaction:
        for statement in statements:
            transaction.execute(statement)


def asked(url: Secret, question: str) -> list[tuple[object, ...]]:
    """Return the rows that a query finds in a journal's database."""
    with database_at(url) as database, database.reading() as transaction:
        return [tuple(row.values()) for row in transaction.query(question)]


def expire_leases(url: Secret) -> None:
    """Let all leases expire."""
    change(url, "UPDATE leases SET expires = since")


def make_old(url: Secret) -> None:
    """Create a journal with the first version of the schema."""
    place = location_of(url)
    if place.file:
        place.file.parent.mkdir(exist_ok=True)
        place.file.touch()
    with database_at(url) as database:
        migrate(database, "0001")


def create_old_journal(url: Secret, version: str) -> None:
    """Create a journal as earlier releases made it, with three runs; the last one was killed."""
    file = location_of(url).file
    kind = "sqlite" if file else "postgresql"
    statements = (OLD_JOURNALS / f"{kind}-{version}.sql").read_text(encoding="utf-8")
    if file:
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(f"PRAGMA journal_mode = WAL; {statements}")
    else:
        import psycopg  # only these tests need it

        with psycopg.connect(url.reveal(), autocommit=True) as connection:
            connection.execute(statements.encode())


@contextmanager
def in_another_process(url: Secret, body: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python code with an open ``journal`` in a new process, which is always ended."""
    program = (
        "import sys\n"
        "from ztrust_mail.core.secret import Secret\n"
        "from ztrust_mail.journal.records import *\n"
        "from ztrust_mail.journal.journal import open_journal\n"
        "journal = open_journal(Secret(sys.stdin.readline().strip()), writable=True)\n" + body
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(f"{url.reveal()}\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def raw(file: Path, statement: str) -> list[tuple[object, ...]]:
    """Run SQL on a journal's file with sqlite3 alone."""
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def journal_url(tmp_path: Path) -> Secret:
    """The URL of a journal that does not exist yet."""
    (tmp_path / "kept").mkdir(mode=0o700)
    return Secret(f"sqlite:///{tmp_path}/kept/journal.sqlite3")


@pytest.fixture
def journal(journal_url: Secret) -> Iterator[Journal]:
    """A new journal."""
    with journal_at(journal_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A real PostgreSQL server, started by the first test that needs it."""
    from support.postgresql import PostgresqlServer  # only these tests need its driver

    with PostgresqlServer() as server:
        yield server
