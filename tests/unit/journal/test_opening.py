"""Locations of journals, and the errors when one cannot be used: SQLite files, and URLs."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from support.journals import RUN, SERVER, begun, database_at, journal_at, make_old, raw, write

from ztrust_mail.core.errors import ExitStatus, JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.database import location_of
from ztrust_mail.journal.journal import Journal, open_journal
from ztrust_mail.journal.records import Step, Update
from ztrust_mail.journal.sqlite import Patience, SqliteDatabase

NOBODY = 65534


def url_of(file: Path) -> Secret:
    return Secret(f"sqlite:///{quote(str(file))}")


def refusal(url: Secret, *, writable: bool) -> JournalError:
    """Return the error of opening a journal, and check that it quotes no library."""
    with pytest.raises(JournalError) as caught:
        open_journal(url, writable=writable)
    error = f"{caught.value.message} {caught.value.hint}"
    assert caught.value.exit_status is ExitStatus.USAGE
    assert caught.value.hint
    assert not any(word in error.lower() for word in ("sqlite3.", "psycopg.", "operationalerror"))
    return caught.value


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users may read."""
    folder = Path(tempfile.mkdtemp(prefix="journal-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def locked_up(folder: Path) -> Iterator[None]:
    """Make a folder and its files read-only for this process, even if root runs the tests."""
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


@contextmanager
def no_space_left() -> Iterator[None]:
    """Let no file grow, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_default_journal_is_in_the_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))  # of which no folder is there yet
    assert open_journal(None, writable=False) is None
    assert not (tmp_path / "home").exists()
    journal = open_journal(None, writable=True)
    assert journal
    with journal:
        begun(journal, "acme")
    assert (tmp_path / "home" / "ztrust-mail" / "journal.sqlite3").is_file()
    assert stat.S_IMODE((tmp_path / "home" / "ztrust-mail").stat().st_mode) == 0o700


def test_only_the_owner_can_read_a_new_journal(journal: Journal, file: Path) -> None:
    begun(journal, "acme")
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in file.parent.iterdir()}
    assert modes == dict.fromkeys(["journal.sqlite3", "journal.sqlite3-shm", "journal.sqlite3-wal"], "0o600")


@pytest.mark.parametrize("filled", [True, False])
def test_writing_restricts_the_mode_of_a_journal_that_others_can_read(
    public_folder: Path, journal_url: Secret, file: Path, filled: bool
) -> None:
    backup = public_folder / "journal.sqlite3"
    backup.touch()
    if filled:
        with journal_at(journal_url) as journal:
            begun(journal, "acme")
            for name in (file.name, f"{file.name}-wal"):  # as of a run that was killed
                shutil.copy(file.with_name(name), public_folder / name)
    for path in public_folder.iterdir():
        path.chmod(0o644)
    reading = open_journal(url_of(backup), writable=False)
    if reading:
        reading.close()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o644  # reading changes nothing
    with journal_at(url_of(backup)) as journal:
        begun(journal, "acme")
        modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in public_folder.iterdir()}
    assert modes == dict.fromkeys(["journal.sqlite3", "journal.sqlite3-shm", "journal.sqlite3-wal"], "0o600")


def test_the_mode_of_another_users_journal_is_left_alone(
    journal_url: Secret, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journal_at(journal_url):
        file.chmod(0o666)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(path, mode)

    monkeypatch.setattr(Path, "chmod", refuse)
    with journal_at(journal_url) as journal:
        assert begun(journal, "acme") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o666


def test_the_mode_of_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite3"
    raw(file, "CREATE TABLE songs (title TEXT)")
    file.chmod(0o644)
    refusal(url_of(file), writable=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_stored_steps_survive_a_power_failure(journal: Journal, journal_url: Secret, file: Path) -> None:
    with database_at(journal_url) as database, database.reading() as transaction:
        assert transaction.query("PRAGMA synchronous") == [{"synchronous": 2}]  # full
    assert raw(file, "PRAGMA journal_mode") == [("wal",)]
    number = begun(journal, "acme", step=Step.WRITING)
    assert raw(file, "SELECT run, step FROM writes") == [(number, "writing")]


@pytest.mark.parametrize("name", ["a b.sqlite3", "what?mode=memory", "100%41#x", "ünï", "a:b;c&d=e"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    with journal_at(url_of(folder / name)) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
    assert [path.name for path in folder.iterdir()] == [name]
    again = open_journal(url_of(folder / name), writable=False)
    assert again
    with again:
        assert list(again.last_known(SERVER)) == ["acme"]


def test_a_relative_path_is_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with journal_at(Secret("sqlite:///here.sqlite3")) as journal:
        assert journal.where == "the journal `here.sqlite3`"
    assert (tmp_path / "here.sqlite3").is_file()


def test_opening_for_reading_creates_nothing(tmp_path: Path) -> None:
    assert open_journal(url_of(tmp_path / "journal.sqlite3"), writable=False) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writable", [True, False])
def test_a_missing_folder_is_refused(tmp_path: Path, writable: bool) -> None:
    error = refusal(url_of(tmp_path / "none" / "journal.sqlite3"), writable=writable)
    where = f"the journal `{tmp_path}/none/journal.sqlite3`"
    assert error.message == f"{where} cannot exist: its folder `{tmp_path}/none` does not exist"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_journal_yet(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite3"
    file.touch()
    assert open_journal(url_of(file), writable=False) is None
    with journal_at(url_of(file)) as journal:
        assert begun(journal, "acme") == 1


def test_a_journal_opened_for_reading_cannot_be_written(journal: Journal, journal_url: Secret) -> None:
    number = begun(journal, "acme")
    reading = open_journal(journal_url, writable=False)
    assert reading
    with reading:
        for attempt in (
            lambda: reading.begin(RUN, []),
            lambda: reading.record(number, [Update("acme", Step.WRITING)]),
            lambda: reading.lease(SERVER, "eve").__enter__(),
        ):
            with pytest.raises(JournalError, match="cannot be written: it is read-only"):
                attempt()


def test_a_journal_can_be_read_in_a_read_only_folder(public_folder: Path) -> None:
    url = url_of(public_folder / "journal.sqlite3")
    with journal_at(url) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
    with locked_up(public_folder):
        reading = open_journal(url, writable=False)
        assert reading
        with reading:
            assert list(reading.last_known(SERVER)) == ["acme"]
    assert [path.name for path in public_folder.iterdir()] == ["journal.sqlite3"]


def test_a_journal_in_use_can_be_read_in_a_read_only_folder(public_folder: Path) -> None:
    url = url_of(public_folder / "journal.sqlite3")
    with journal_at(url) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
        with locked_up(public_folder):
            reading = open_journal(url, writable=False)
            assert reading
            with reading:
                assert list(reading.last_known(SERVER)) == ["acme"]


def test_a_journal_can_be_read_on_a_full_disk(journal_url: Secret) -> None:
    with journal_at(journal_url) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
    with no_space_left():
        reading = open_journal(journal_url, writable=False)
        assert reading
        with reading:
            seen = list(reading.last_known(SERVER))
    assert seen == ["acme"]
    with journal_at(journal_url) as journal:  # the missing write-ahead log does no harm later
        begun(journal, "globex", step=Step.VERIFIED)
        assert sorted(journal.last_known(SERVER)) == ["acme", "globex"]


def test_an_unclosed_journal_is_refused_on_a_full_disk(tmp_path: Path, journal: Journal, file: Path) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    for name in (file.name, f"{file.name}-wal"):
        shutil.copy(file.with_name(name), tmp_path / name)
    with no_space_left():
        error = refusal(url_of(tmp_path / file.name), writable=False)
    assert "was not closed" in error.message
    assert "free disk space" in error.hint


def test_an_unclosed_journal_is_refused_in_a_read_only_folder(
    public_folder: Path, journal: Journal, file: Path
) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    for name in (file.name, f"{file.name}-wal"):  # as a copy of a killed run's folder may be
        shutil.copy(file.with_name(name), public_folder / name)
    with locked_up(public_folder):
        error = refusal(url_of(public_folder / file.name), writable=False)
    assert "was not closed" in error.message
    reading = open_journal(url_of(public_folder / file.name), writable=True)
    assert reading
    with reading:
        assert list(reading.last_known(SERVER)) == ["acme"]


def test_an_unclosed_journal_is_read_with_its_write_ahead_log(tmp_path: Path, journal: Journal, file: Path) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    for name in (file.name, f"{file.name}-wal"):
        shutil.copy(file.with_name(name), tmp_path / name)
    reading = open_journal(url_of(tmp_path / file.name), writable=False)
    assert reading
    with reading:
        assert list(reading.last_known(SERVER)) == ["acme"]


def test_an_old_journal_in_a_read_only_folder_is_reported_as_old(public_folder: Path) -> None:
    url = url_of(public_folder / "journal.sqlite3")
    make_old(url)
    with locked_up(public_folder):
        error = refusal(url, writable=False)
    assert error.message.endswith("was written by an older ztrust-mail and cannot be migrated")
    assert "run ztrust-mail plan once where the journal can be written" in error.hint


def test_a_read_only_journal_is_refused_before_a_run_begins(public_folder: Path) -> None:
    url = url_of(public_folder / "journal.sqlite3")
    with journal_at(url):
        pass
    with locked_up(public_folder):
        error = refusal(url, writable=True)
    assert error.message == f"the journal `{public_folder}/journal.sqlite3` cannot be written: it is read-only"


def test_a_read_only_folder_is_refused(public_folder: Path) -> None:
    with locked_up(public_folder):
        error = refusal(url_of(public_folder / "journal.sqlite3"), writable=True)
    assert error.message == f"the journal `{public_folder}/journal.sqlite3` cannot be opened: Permission denied"


@pytest.mark.parametrize("writable", [True, False])
def test_a_folder_without_search_permission_is_refused(public_folder: Path, writable: bool) -> None:
    inner = public_folder / "inner"
    inner.mkdir()
    with locked_up(public_folder):  # its files lose their x, as inner does
        error = refusal(url_of(inner / "journal.sqlite3"), writable=writable)
    assert error.message.endswith("cannot be opened: Permission denied")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert open_journal(url_of(tmp_path / "file" / "journal.sqlite3"), writable=False) is None
    assert "cannot be opened" in refusal(url_of(tmp_path / "file" / "journal.sqlite3"), writable=True).message


@pytest.mark.parametrize("writable", [True, False])
def test_a_folder_in_place_of_the_journal_is_refused(tmp_path: Path, writable: bool) -> None:
    error = refusal(url_of(tmp_path), writable=writable)
    assert error.message == f"the journal `{tmp_path}` cannot be opened: Is a directory"


def test_a_broken_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").symlink_to(tmp_path / "none" / "there")
    assert "cannot be opened" in refusal(url_of(tmp_path / "journal.sqlite3"), writable=True).message


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("content", [b"no database at all\n" * 100, b"SQLite format 3\0" + b"\xff" * 4096, b"x"])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes, writable: bool) -> None:
    file = tmp_path / "journal.sqlite3"
    file.write_bytes(content)
    error = refusal(url_of(file), writable=writable)
    assert error.message == f"the journal `{file}` is damaged or no journal"
    assert "name another journal" in error.hint
    assert file.read_bytes() == content


@pytest.mark.parametrize("writable", [True, False])
def test_another_programs_database_is_left_alone(tmp_path: Path, writable: bool) -> None:
    file = tmp_path / "journal.sqlite3"
    raw(file, "CREATE TABLE songs (title TEXT)")
    assert refusal(url_of(file), writable=writable).message.endswith("holds another program's tables")
    assert raw(file, "SELECT name FROM sqlite_master") == [("songs",)]


def test_a_damaged_page_is_reported_when_it_is_read(journal_url: Secret, file: Path) -> None:
    with journal_at(journal_url) as journal:
        journal.begin(RUN, [write(f"realm-{n}") for n in range(500)])
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    file.write_bytes(content)
    with pytest.raises(JournalError, match="is damaged"), journal_at(journal_url) as journal:
        journal.writes(1)


def test_text_that_is_not_utf_8_is_reported_as_damage(journal: Journal, journal_url: Secret, file: Path) -> None:
    number = begun(journal, "acme")
    raw(file, "UPDATE writes SET error = CAST(X'ff' AS TEXT)")
    with pytest.raises(JournalError, match="is damaged"):
        journal.writes(number)


def test_a_full_disk_is_reported_and_nothing_is_stored_in_part(journal: Journal, file: Path) -> None:
    begun(journal, "acme")
    with journal._database.reading() as transaction:
        transaction.query("PRAGMA max_page_count = 1")  # the connection is kept for the next one
    with pytest.raises(JournalError) as caught:
        journal.begin(RUN, [write(f"realm-{n}") for n in range(1000)])
    assert caught.value.message == f"the journal `{file}` cannot be written: no space is left"
    assert "free disk space" in caught.value.hint
    assert len(journal.runs()) == 1


@pytest.mark.parametrize("replaced", [False, True])
def test_a_removed_or_replaced_file_stops_the_run(journal: Journal, file: Path, replaced: bool) -> None:
    number = begun(journal, "acme", "globex")
    kept = file.rename(file.with_name("elsewhere"))
    if replaced:
        shutil.copy(kept, file)
    with pytest.raises(JournalError, match="was removed or replaced while it was in use"):
        journal.record(number, [Update("acme", Step.WRITING)])
    kept.rename(file)
    journal.record(number, [Update("acme", Step.WRITING)])
    assert [write.step for write in journal.writes(number)] == [Step.WRITING, Step.PLANNED]


def test_a_database_that_stays_locked_is_reported(journal_url: Secret, file: Path) -> None:
    with journal_at(journal_url):
        database = SqliteDatabase(file, "the journal", writable=True, patience=Patience(busy=0.01))
    with Journal(database, b"salt") as journal, closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="is in use by another program"):
            begun(journal, "acme")
        other.execute("COMMIT")
        assert begun(journal, "acme") == 1


def test_a_realm_name_that_cannot_be_stored_is_reported(journal: Journal) -> None:
    with pytest.raises(JournalError, match="cannot hold the name"):
        begun(journal, "acme\ud800")
    assert journal.runs() == []


def test_opening_waits_while_another_program_creates_the_file(tmp_path: Path) -> None:
    """Switching to the write-ahead log needs an exclusive lock, for which SQLite does not wait."""
    file = tmp_path / "journal.sqlite3"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE meanwhile (x)")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DROP TABLE meanwhile")
        patience = Patience(busy=0.0, pause=lambda seconds: other.in_transaction and other.execute("COMMIT"))
        database = SqliteDatabase(file, "the journal", writable=True, patience=patience)
        with database.writing() as transaction:
            assert transaction.tables() == set()
        database.close()


def test_a_new_file_that_stays_locked_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite3"
    pauses: list[float] = []
    patience = Patience(busy=0.0, switch=0.01, pause=pauses.append)
    database = SqliteDatabase(file, "the journal", writable=True, patience=patience)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE taken (x)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalError, match="the journal is in use by another program"), database.writing():
            pass
    assert pauses


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "the journal's URL cannot be read"),
        ("geheim", "the journal's URL cannot be read"),
        ("postgresql://eve:geheim@host:port/db", "the journal's URL cannot be read"),
        ("postgresql://eve:ganz@geheim@127.0.0.1:1/db", "the journal's URL holds more than one @"),
        ("postgresql://eve:ganz@geheim/x@127.0.0.1:1/db", "the journal's URL holds more than one @"),
        ("postgresql://eve:ganz@geheim?x@127.0.0.1:1/db", "the journal's URL holds more than one @"),
        ("mysql://eve:geheim@host/db", "a journal cannot be stored in `mysql`"),
        ("postgresql+asyncpg://eve:geheim@host/db", "a journal cannot be stored in `postgresql+asyncpg`"),
        ("sqlite://", "the journal's URL names no file"),
        ("sqlite:///:memory:", "the journal's URL names no file"),
        ("sqlite://geheim/folder/file", "the journal's URL names no file"),
        ("sqlite:///file?key=geheim", "the journal's URL names no file"),
    ],
)
@pytest.mark.parametrize("writable", [True, False])
def test_a_url_that_names_no_journal_is_refused(url: str, message: str, writable: bool) -> None:
    error = refusal(Secret(url), writable=writable)
    assert error.message == message
    assert "geheim" not in error.hint
    assert error.__context__ is None or error.__suppress_context__


def test_postgresql_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "ztrust_mail.journal.postgresql", raising=False)
    error = refusal(Secret("postgresql://eve:geheim@127.0.0.1:1/journal"), writable=False)
    assert error.message.endswith("database `journal` at 127.0.0.1:1 needs psycopg, which is not installed")
    assert "pip install 'ztrust-mail[postgresql]'" in error.hint


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://eve:geheim@db.example.com/journal", "`journal` at db.example.com"),
        ("postgresql://eve:ganz%40geheim@db.example.com/journal", "`journal` at db.example.com"),
        ("postgresql+psycopg://eve:geheim@[::1]:5433/journal", "`journal` at ::1:5433"),
        ("postgresql://eve:geheim@/journal?host=/run/postgresql&password=geheim", "`journal` at /run/postgresql"),
        ("postgresql:///journal?host=a:1&host=b:2", "`journal` at a:1, b:2"),
        ("postgresql:///", "`` at localhost"),
    ],
)
def test_a_database_is_named_without_its_login(url: str, where: str) -> None:
    place = location_of(Secret(url))
    assert place.where == f"the journal in the PostgreSQL database {where}"
    assert "geheim" not in repr(place)


def test_an_unreachable_database_is_reported() -> None:
    error = refusal(Secret("postgresql://eve:geheim@127.0.0.1:1/journal"), writable=True)
    assert error.message.endswith("at 127.0.0.1:1 cannot be reached or refuses the login")
    assert "geheim" not in f"{error.message} {error.hint}"
