"""Where a journal lives and what is told when it cannot be used: files of SQLite, and URLs."""

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
from ztrust_mail.journal import sqlite
from ztrust_mail.journal.database import location_of
from ztrust_mail.journal.journal import Journal, open_journal
from ztrust_mail.journal.records import Step, Update

NOBODY = 65534


def url_of(file: Path) -> Secret:
    return Secret(f"sqlite:///{quote(str(file))}")


def refusal(url: Secret, *, writable: bool) -> JournalError:
    """Return what opening a journal raises, after a look that it is in our own words."""
    with pytest.raises(JournalError) as caught:
        open_journal(url, writable=writable)
    told = f"{caught.value.message} {caught.value.hint}"
    assert caught.value.exit_status is ExitStatus.USAGE
    assert caught.value.hint
    assert not any(word in told.lower() for word in ("sqlite3.", "psycopg.", "operationalerror"))
    return caught.value


@pytest.fixture
def file(journal_url: Secret) -> Path:
    found = location_of(journal_url).file
    assert found
    return found


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that others may look into."""
    folder = Path(tempfile.mkdtemp(prefix="journal-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def locked_up(folder: Path) -> Iterator[None]:
    """Be somebody who may read a folder and its files and not change them, whoever runs the tests."""
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


def test_without_a_url_it_lies_in_the_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))  # of which no folder is there yet
    assert open_journal(None, writable=False) is None
    assert not (tmp_path / "home").exists()
    journal = open_journal(None, writable=True)
    assert journal
    with journal:
        begun(journal, "acme")
    assert (tmp_path / "home" / "ztrust-mail" / "journal.sqlite3").is_file()
    assert stat.S_IMODE((tmp_path / "home" / "ztrust-mail").stat().st_mode) == 0o700


def test_only_its_owner_can_read_it(journal: Journal, file: Path) -> None:
    begun(journal, "acme")
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in file.parent.iterdir()}
    assert modes == dict.fromkeys(["journal.sqlite3", "journal.sqlite3-shm", "journal.sqlite3-wal"], "0o600")


@pytest.mark.parametrize("filled", [True, False])
def test_one_that_others_can_read_is_kept_to_its_owner_by_whoever_writes_it(
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
    assert stat.S_IMODE(backup.stat().st_mode) == 0o644  # who only looks changes nothing
    with journal_at(url_of(backup)) as journal:
        begun(journal, "acme")
        modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in public_folder.iterdir()}
    assert modes == dict.fromkeys(["journal.sqlite3", "journal.sqlite3-shm", "journal.sqlite3-wal"], "0o600")


def test_another_persons_journal_is_written_with_the_rights_it_has(
    journal_url: Secret, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journal_at(journal_url):
        file.chmod(0o666)

    def not_ours(path: Path, mode: int) -> None:
        raise PermissionError(path, mode)

    monkeypatch.setattr(Path, "chmod", not_ours)
    with journal_at(journal_url) as journal:
        assert begun(journal, "acme") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o666


def test_another_programs_database_keeps_its_rights(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite3"
    raw(file, "CREATE TABLE songs (title TEXT)")
    file.chmod(0o644)
    refusal(url_of(file), writable=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_what_is_put_down_outlives_a_power_cut(journal: Journal, journal_url: Secret, file: Path) -> None:
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
        assert list(again.remembered(SERVER)) == ["acme"]


def test_a_relative_name_counts_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with journal_at(Secret("sqlite:///here.sqlite3")) as journal:
        assert journal.where == "the journal `here.sqlite3`"
    assert (tmp_path / "here.sqlite3").is_file()


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert open_journal(url_of(tmp_path / "journal.sqlite3"), writable=False) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writable", [True, False])
def test_a_folder_that_is_not_there_is_taken_for_a_slip(tmp_path: Path, writable: bool) -> None:
    told = refusal(url_of(tmp_path / "none" / "journal.sqlite3"), writable=writable)
    where = f"the journal `{tmp_path}/none/journal.sqlite3`"
    assert told.message == f"{where} cannot exist: its folder `{tmp_path}/none` does not exist"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_never_filled_is_none_yet(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite3"
    file.touch()
    assert open_journal(url_of(file), writable=False) is None
    with journal_at(url_of(file)) as journal:
        assert begun(journal, "acme") == 1


def test_one_opened_to_be_read_cannot_be_written(journal: Journal, journal_url: Secret) -> None:
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


def test_it_can_be_read_where_nothing_can_be_written(public_folder: Path) -> None:
    url = url_of(public_folder / "journal.sqlite3")
    with journal_at(url) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
    with locked_up(public_folder):
        reading = open_journal(url, writable=False)
        assert reading
        with reading:
            assert list(reading.remembered(SERVER)) == ["acme"]
    assert [path.name for path in public_folder.iterdir()] == ["journal.sqlite3"]


def test_what_another_run_is_writing_can_be_read_there(public_folder: Path) -> None:
    url = url_of(public_folder / "journal.sqlite3")
    with journal_at(url) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
        with locked_up(public_folder):
            reading = open_journal(url, writable=False)
            assert reading
            with reading:
                assert list(reading.remembered(SERVER)) == ["acme"]


def test_it_can_be_read_where_no_space_is_left(journal_url: Secret) -> None:
    with journal_at(journal_url) as journal:
        begun(journal, "acme", step=Step.VERIFIED)
    with no_space_left():
        reading = open_journal(journal_url, writable=False)
        assert reading
        with reading:
            seen = list(reading.remembered(SERVER))
    assert seen == ["acme"]
    with journal_at(journal_url) as journal:  # what could not be made beside it is no hindrance later
        begun(journal, "globex", step=Step.VERIFIED)
        assert sorted(journal.remembered(SERVER)) == ["acme", "globex"]


def test_one_that_was_not_closed_is_not_half_read_where_no_space_is_left(
    tmp_path: Path, journal: Journal, file: Path
) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    for name in (file.name, f"{file.name}-wal"):
        shutil.copy(file.with_name(name), tmp_path / name)
    with no_space_left():
        told = refusal(url_of(tmp_path / file.name), writable=False)
    assert "was not closed" in told.message
    assert "free disk space" in told.hint


def test_one_that_was_not_closed_is_not_half_read_there(public_folder: Path, journal: Journal, file: Path) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    for name in (file.name, f"{file.name}-wal"):  # as a copy of a killed run's folder may be
        shutil.copy(file.with_name(name), public_folder / name)
    with locked_up(public_folder):
        told = refusal(url_of(public_folder / file.name), writable=False)
    assert "was not closed" in told.message
    reading = open_journal(url_of(public_folder / file.name), writable=True)
    assert reading
    with reading:
        assert list(reading.remembered(SERVER)) == ["acme"]


def test_one_that_was_not_closed_is_read_whole_elsewhere(tmp_path: Path, journal: Journal, file: Path) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    for name in (file.name, f"{file.name}-wal"):
        shutil.copy(file.with_name(name), tmp_path / name)
    reading = open_journal(url_of(tmp_path / file.name), writable=False)
    assert reading
    with reading:
        assert list(reading.remembered(SERVER)) == ["acme"]


def test_an_old_one_that_cannot_be_written_says_that_it_is_old(public_folder: Path) -> None:
    url = url_of(public_folder / "journal.sqlite3")
    make_old(url)
    with locked_up(public_folder):
        told = refusal(url, writable=False)
    assert told.message.endswith("was written by an older ztrust-mail and cannot be migrated")
    assert "run ztrust-mail plan once where the journal can be written" in told.hint


def test_one_that_cannot_be_written_stops_before_a_run_begins(public_folder: Path) -> None:
    url = url_of(public_folder / "journal.sqlite3")
    with journal_at(url):
        pass
    with locked_up(public_folder):
        told = refusal(url, writable=True)
    assert told.message == f"the journal `{public_folder}/journal.sqlite3` cannot be written: it is read-only"


def test_a_folder_that_cannot_be_written_is_told(public_folder: Path) -> None:
    with locked_up(public_folder):
        told = refusal(url_of(public_folder / "journal.sqlite3"), writable=True)
    assert told.message == f"the journal `{public_folder}/journal.sqlite3` cannot be opened: Permission denied"


@pytest.mark.parametrize("writable", [True, False])
def test_a_folder_that_cannot_be_entered_is_told(public_folder: Path, writable: bool) -> None:
    inner = public_folder / "inner"
    inner.mkdir()
    with locked_up(public_folder):  # its files lose their x, as inner does
        told = refusal(url_of(inner / "journal.sqlite3"), writable=writable)
    assert told.message.endswith("cannot be opened: Permission denied")


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert open_journal(url_of(tmp_path / "file" / "journal.sqlite3"), writable=False) is None
    assert "cannot be opened" in refusal(url_of(tmp_path / "file" / "journal.sqlite3"), writable=True).message


@pytest.mark.parametrize("writable", [True, False])
def test_a_folder_in_its_place_is_told(tmp_path: Path, writable: bool) -> None:
    told = refusal(url_of(tmp_path), writable=writable)
    assert told.message == f"the journal `{tmp_path}` cannot be opened: Is a directory"


def test_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").symlink_to(tmp_path / "none" / "there")
    assert "cannot be opened" in refusal(url_of(tmp_path / "journal.sqlite3"), writable=True).message


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("content", [b"no database at all\n" * 100, b"SQLite format 3\0" + b"\xff" * 4096, b"x"])
def test_a_file_that_is_no_database_is_told(tmp_path: Path, content: bytes, writable: bool) -> None:
    file = tmp_path / "journal.sqlite3"
    file.write_bytes(content)
    told = refusal(url_of(file), writable=writable)
    assert told.message == f"the journal `{file}` is damaged or no journal"
    assert "name another journal" in told.hint
    assert file.read_bytes() == content


@pytest.mark.parametrize("writable", [True, False])
def test_another_programs_database_is_left_alone(tmp_path: Path, writable: bool) -> None:
    file = tmp_path / "journal.sqlite3"
    raw(file, "CREATE TABLE songs (title TEXT)")
    assert refusal(url_of(file), writable=writable).message.endswith("holds another program's tables")
    assert raw(file, "SELECT name FROM sqlite_master") == [("songs",)]


def test_a_damaged_page_is_told_when_it_is_met(journal_url: Secret, file: Path) -> None:
    with journal_at(journal_url) as journal:
        journal.begin(RUN, [write(f"realm-{n}") for n in range(500)])
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    file.write_bytes(content)
    with pytest.raises(JournalError, match="is damaged"), journal_at(journal_url) as journal:
        journal.writes(1)


def test_text_that_is_no_text_is_damage(journal: Journal, journal_url: Secret, file: Path) -> None:
    number = begun(journal, "acme")
    raw(file, "UPDATE writes SET error = CAST(X'ff' AS TEXT)")
    with pytest.raises(JournalError, match="is damaged"):
        journal.writes(number)


def test_a_full_disk_is_told_and_leaves_nothing_half_done(journal: Journal, file: Path) -> None:
    begun(journal, "acme")
    with journal._database.reading() as transaction:
        transaction.query("PRAGMA max_page_count = 1")  # the connection is kept for the next one
    with pytest.raises(JournalError) as caught:
        journal.begin(RUN, [write(f"realm-{n}") for n in range(1000)])
    assert caught.value.message == f"the journal `{file}` cannot be written: no space is left"
    assert "free disk space" in caught.value.hint
    assert len(journal.runs()) == 1


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_taken_away_in_mid_run_stops_the_run(journal: Journal, file: Path, replaced: bool) -> None:
    number = begun(journal, "acme", "globex")
    kept = file.rename(file.with_name("elsewhere"))
    if replaced:
        shutil.copy(kept, file)
    with pytest.raises(JournalError, match="was removed or replaced while it was in use"):
        journal.record(number, [Update("acme", Step.WRITING)])
    kept.rename(file)
    journal.record(number, [Update("acme", Step.WRITING)])
    assert [write.step for write in journal.writes(number)] == [Step.WRITING, Step.PLANNED]


def test_a_program_that_never_lets_go_is_told(journal_url: Secret, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.01)
    with journal_at(journal_url) as journal, closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="is in use by another program"):
            begun(journal, "acme")
        other.execute("COMMIT")
        assert begun(journal, "acme") == 1


def test_a_name_that_is_no_unicode_is_told(journal: Journal) -> None:
    with pytest.raises(JournalError, match="cannot hold the name"):
        begun(journal, "acme\ud800")
    assert journal.runs() == []


def test_a_new_file_that_others_are_making_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switching to the write-ahead log needs the file for itself, and SQLite does not wait for that."""
    file = tmp_path / "journal.sqlite3"
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.0)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE meanwhile (x)")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DROP TABLE meanwhile")
        monkeypatch.setattr(sqlite, "_pause", lambda seconds: other.in_transaction and other.execute("COMMIT"))
        with journal_at(url_of(file)) as journal:
            assert begun(journal, "acme") == 1


def test_a_new_file_that_stays_taken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "journal.sqlite3"
    pauses: list[float] = []
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.0)
    monkeypatch.setattr(sqlite, "SWITCH_TIMEOUT", 0.01)
    monkeypatch.setattr(sqlite, "_pause", pauses.append)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE taken (x)")
        other.execute("BEGIN EXCLUSIVE")
        assert "is in use by another program" in refusal(url_of(file), writable=True).message
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
    told = refusal(Secret(url), writable=writable)
    assert told.message == message
    assert "geheim" not in told.hint
    assert told.__context__ is None or told.__suppress_context__


def test_postgresql_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "ztrust_mail.journal.postgresql", raising=False)
    told = refusal(Secret("postgresql://eve:geheim@127.0.0.1:1/journal"), writable=False)
    assert told.message.endswith("database `journal` at 127.0.0.1:1 needs psycopg, which is not installed")
    assert "pip install 'ztrust-mail[postgresql]'" in told.hint


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


def test_a_database_that_is_not_there_is_told() -> None:
    told = refusal(Secret("postgresql://eve:geheim@127.0.0.1:1/journal"), writable=True)
    assert told.message.endswith("at 127.0.0.1:1 cannot be reached or refuses the login")
    assert "geheim" not in f"{told.message} {told.hint}"
