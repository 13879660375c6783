"""Requests in a real PostgreSQL: the tests that also pass in SQLite, and what only a shared database can do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, Thread

import psycopg
import pytest
from psycopg import Connection
from support.journals import asked, change, make_old
from support.postgresql import PostgresqlServer
from support.processes import free_port
from support.queued import Queue, apply_to, onboard, run_worker
from unit.fleet.test_drain import *  # noqa: F403  the same tests, on the other database
from unit.fleet.test_drain import WatchedDrain
from unit.fleet.test_engine import *  # noqa: F403

from ztrust_mail import settings as config
from ztrust_mail.core.errors import ExitStatus, JournalError, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.fleet import RequestState, open_engine
from ztrust_mail.fleet.health import find_problem
from ztrust_mail.fleet.queue import DRAIN, WorkerEngine
from ztrust_mail.fleet.worker import Worker, WorkerOptions, WorkerTiming
from ztrust_mail.journal.database import parse_url
from ztrust_mail.journal.opening import HEAD, NewerJournal
from ztrust_mail.journal.postgresql import PostgresqlDatabase

JOBS = "SELECT task_name, lock, queueing_lock, queue_name, priority, status::text, args::text FROM procrastinate_jobs"


@pytest.fixture
def database(postgresql: PostgresqlServer) -> str:
    """The name of an empty database."""
    return postgresql.empty_database()


@pytest.fixture
def journal_url(postgresql: PostgresqlServer, database: str) -> Secret:
    """The URL of a journal that does not exist yet."""
    return Secret(postgresql.url(database))


def refusal(queue: Queue, server: PostgresqlServer) -> JournalError:
    """Return the error of opening the engine and submitting, and check that it quotes neither password nor library."""
    with pytest.raises(JournalError) as caught, open_engine(str(queue.settings), queue.environ) as engine:
        engine.submit(onboard("acme"), queue.server)
    said = f"{caught.value.message} {caught.value.hint}"
    assert server.password not in said
    assert not any(word in said for word in ("psycopg", "procrastinate", "FATAL", "ERROR"))
    assert caught.value.exit_status is ExitStatus.USAGE
    assert caught.value.hint
    return caught.value


# Jobs


def test_a_request_wakes_one_worker_by_a_job_that_names_the_server_only(queue: Queue) -> None:
    assert isinstance(queue.engine, WorkerEngine)
    for number in range(3):
        queue.submit(onboard("acme"), key=f"order {number}")
    url = queue.server.url
    [(task, lock, queueing_lock, queue_name, priority, status, arguments)] = asked(queue.url, JOBS)
    assert (task, lock, queueing_lock, queue_name) == (DRAIN, url, url, "default")
    assert (priority, status, arguments) == (30, "todo", f'{{"server": "{url}"}}')


def test_a_more_urgent_request_raises_the_priority_of_the_job(queue: Queue) -> None:
    queue.submit(apply_to("acme"))
    assert asked(queue.url, "SELECT priority FROM procrastinate_jobs") == [(20,)]
    queue.submit(onboard("acme"))
    queue.submit(apply_to("globex"))
    assert asked(queue.url, "SELECT priority FROM procrastinate_jobs") == [(30,)]


def test_a_request_that_exists_already_wakes_a_worker_again_only_while_it_waits(queue: Queue) -> None:
    queue.submit(onboard("acme"), key="order 1")
    change(queue.url, "DELETE FROM procrastinate_jobs")
    queue.submit(onboard("acme"), key="order 1")
    assert len(asked(queue.url, JOBS)) == 1
    queue.drain()
    change(queue.url, "DELETE FROM procrastinate_jobs")
    queue.submit(onboard("acme"), key="order 1")
    assert asked(queue.url, JOBS) == []


def test_a_request_that_is_tried_again_wakes_a_worker(queue: Queue) -> None:
    number = queue.do(onboard("hooli")).number
    change(queue.url, "DELETE FROM procrastinate_jobs")
    queue.engine.retry(number)
    assert len(asked(queue.url, JOBS)) == 1


def test_of_threads_that_try_a_request_again_at_once_one_does_and_the_others_say_why(queue: Queue) -> None:
    number = queue.do(onboard("hooli")).number
    barrier, said = Barrier(4), list[str]()

    def retry() -> None:
        barrier.wait()
        try:
            said.append(queue.engine.retry(number).state)
        except UsageError as e:
            said.append(e.message)

    threads = [Thread(target=retry) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(said) == [f"request {number} is waiting and cannot be retried"] * 3 + ["waiting"]


def test_a_sweep_wakes_workers_for_whatever_is_left_and_once(queue: Queue) -> None:
    assert isinstance(queue.engine, WorkerEngine)
    assert queue.engine.wake_all() == 0
    number = queue.submit(onboard("acme")).number
    change(queue.url, "DELETE FROM procrastinate_jobs")
    queue.kill_worker_at(number)
    assert queue.engine.wake_all() == 1
    assert queue.engine.wake_all() == 0
    change(queue.url, "UPDATE procrastinate_jobs SET status = 'doing'")
    assert queue.engine.wake_all() == 0, "a worker has it"


def test_a_job_that_cannot_be_stored_leaves_no_request(queue: Queue) -> None:
    change(queue.url, "ALTER TABLE procrastinate_jobs ADD CONSTRAINT full_up CHECK (task_name = '') NOT VALID")
    with pytest.raises(JournalError, match="the journal in the PostgreSQL database") as caught:
        queue.submit(onboard("acme"))
    assert "full_up" not in f"{caught.value.message} {caught.value.hint}"
    assert queue.states() == {}


# A database that cannot be used


def test_a_read_only_database_refuses_requests_and_says_why(
    queue: Queue, postgresql: PostgresqlServer, database: str
) -> None:
    number = queue.submit(onboard("acme")).number
    postgresql.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    error = refusal(queue, postgresql)
    assert error.message.endswith("cannot be written: the database is read-only")
    assert "primary server" in error.hint
    with open_engine(str(queue.settings), queue.environ) as engine:
        assert engine.status(number).state is RequestState.WAITING, "it can be read"
        for act in (lambda: engine.cancel(number), lambda: engine.drain(queue.server.url)):
            with pytest.raises(JournalError, match="read-only"):
                act()


def test_a_new_read_only_database_is_refused(
    tmp_path: Path, queue_options: object, postgresql: PostgresqlServer, database: str, journal_url: Secret
) -> None:
    postgresql.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[journal]\nurl = "{journal_url.reveal()}"\n', "utf-8")
    with pytest.raises(JournalError, match="read-only"):
        open_engine(str(settings), {})


def test_a_full_disk_is_reported_as_one_and_nothing_is_stored(queue: Queue) -> None:
    body = "BEGIN RAISE EXCEPTION 'geheim' USING ERRCODE = 'disk_full'; END"
    for table in ("journal_requests", "procrastinate_jobs"):
        change(
            queue.url,
            f"CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
            f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()",
        )
        with pytest.raises(JournalError, match=r"cannot be written: no space is left$") as caught:
            queue.submit(onboard("acme"))
        assert "geheim" not in f"{caught.value.message} {caught.value.hint}"
        assert "free disk space" in caught.value.hint
        change(queue.url, f"DROP TRIGGER full_disk ON {table}")
    assert queue.states() == {}
    assert queue.do(onboard("acme")).state is RequestState.DONE


def test_an_account_that_may_only_read_is_refused(queue: Queue, postgresql: PostgresqlServer, database: str) -> None:
    queue.submit(onboard("acme"))
    postgresql.run(f"CREATE ROLE reader LOGIN PASSWORD '{postgresql.password}'")
    postgresql.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database)
    try:
        queue.url = Secret(queue.url.reveal().replace("journal%20keeper:", "reader:"))
        queue.write_settings()
        error = refusal(queue, postgresql)
        assert error.message.endswith("this account lacks the right")
        assert "grant" in error.hint
    finally:
        postgresql.run("DROP OWNED BY reader", database)
        postgresql.run("DROP ROLE reader")


def test_a_restarted_database_is_used_again(queue: Queue, postgresql: PostgresqlServer) -> None:
    number = queue.submit(onboard("acme")).number
    postgresql.halt()
    try:
        with pytest.raises(JournalError, match="cannot be reached") as caught:
            queue.engine.submit(onboard("globex"), queue.server)
        assert "check that it runs" in caught.value.hint
    finally:
        postgresql.start()
    assert queue.drain() == 1
    assert queue.states() == {number: RequestState.DONE}


def test_connections_that_were_cut_while_a_request_is_done_do_not_harm_it(
    queue: Queue, postgresql: PostgresqlServer, database: str
) -> None:
    number = queue.submit(apply_to("acme", "globex")).number

    def cut(_realm: str) -> None:
        queue.sandbox.faults.before_write = None
        postgresql.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    queue.sandbox.faults.before_write = cut
    queue.drain()
    queue.drain()
    assert queue.engine.status(number).state is RequestState.DONE
    assert {queue.address_of(realm) for realm in ("acme", "globex")} == {"mail@acme.example"}


@pytest.fixture
def old_queue(journal_url: Secret, request: pytest.FixtureRequest) -> Queue:
    """A queue whose journal is of the first version."""
    make_old(journal_url)
    queue: Queue = request.getfixturevalue("queue")
    return queue


def test_an_older_journal_is_migrated_by_the_first_submit(old_queue: Queue) -> None:
    assert old_queue.do(onboard("acme")).state is RequestState.DONE


def test_programs_that_open_an_older_journal_at_once_migrate_it_once(
    tmp_path: Path, journal_url: Secret, postgresql: PostgresqlServer
) -> None:
    """Such as a submit and a worker after an update."""
    make_old(journal_url)
    settings = tmp_path / "settings.toml"
    settings.write_text(
        f'[servers.prod]\nurl = "http://127.0.0.1:1"\n[journal]\nurl = "{journal_url.reveal()}"\n', "utf-8"
    )
    program = (
        "import sys; from ztrust_mail import fleet; "
        "print(fleet.submit(fleet.TestStored(), 'prod', key=sys.argv[2], config_path=sys.argv[1]).number)"
    )
    command = [sys.executable, "-c", program, str(settings)]
    several = [
        subprocess.Popen([*command, f"order {n}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    ended = [one.communicate(timeout=60) for one in several]
    assert [one.returncode for one in several] == [0, 0, 0], ended
    assert sorted(int(out) for out, _ in ended) == [1, 2, 3]
    assert asked(journal_url, "SELECT count(*) FROM procrastinate_jobs") == [(1,)]


# A pooler


@contextmanager
def pooled(server: PostgresqlServer, folder: Path, mode: str, size: int = 20) -> Iterator[int]:
    """Run PgBouncer in front of a server, and yield its port. Its pool has ``size`` connections."""
    port = free_port()
    folder.mkdir()
    (folder / "users.txt").write_text(f'"journal keeper" "{server.password}"\n', "utf-8")
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = plain\nauth_file = {folder}/users.txt\npool_mode = {mode}\n"
        f"unix_socket_dir =\nlogfile = {folder}/log\ndefault_pool_size = {size}\n",
        "utf-8",
    )
    user = ["-u", "postgres"] if os.geteuid() == 0 else []
    if user:
        for path in (folder, *folder.iterdir(), *folder.parents[:3]):
            path.chmod(0o755)
        folder.chmod(0o777)
    process = subprocess.Popen(
        ["/usr/sbin/pgbouncer", *user, str(folder / "pgbouncer.ini")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr
        for said in process.stderr:
            if "process up" in said:
                break
        yield port
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_requests_are_submitted_and_done_through_pgbouncer(
    queue: Queue, postgresql: PostgresqlServer, tmp_path: Path, mode: str
) -> None:
    with pooled(postgresql, tmp_path / "pooler", mode) as port:
        queue.url = Secret(queue.url.reveal().replace(f":{postgresql.port}/", f":{port}/"))
        queue.write_settings()
        with open_engine(str(queue.settings), queue.environ, options=queue.engine.options) as engine:
            numbers = [engine.submit(onboard("acme"), queue.server, key=str(n)).number for n in range(3)]
            run_worker(engine)
            assert {engine.status(number).state for number in numbers} == {RequestState.DONE}
    assert queue.address_of("acme") == "mail@acme.example"


@pytest.fixture
def starved(postgresql: PostgresqlServer, tmp_path: Path, journal_url: Secret) -> Iterator[tuple[Secret, Connection]]:
    """The URL of the journal through a pooler with one session, and the connection that has it."""
    with pooled(postgresql, tmp_path / "pooler", "session", 1) as port:
        url = journal_url.reveal().replace(f":{postgresql.port}/", f":{port}/")
        with psycopg.connect(url, autocommit=True) as holder:
            holder.execute("SELECT 1")
            yield Secret(url), holder


def test_a_pooler_without_a_free_session_is_reported_and_does_not_hang(starved: tuple[Secret, Connection]) -> None:
    url, holder = starved
    patient = PostgresqlDatabase(parse_url(url), "the journal", writable=True)
    hurried = PostgresqlDatabase(parse_url(url), "the journal", writable=True, patience=0.2)
    with pytest.raises(JournalError, match=r"^the journal has no free connection$") as caught, hurried.reading():
        pytest.fail("the block was entered")
    assert "the pool of a pooler such as PgBouncer" in caught.value.hint
    holder.close()
    with closing(patient), patient.reading() as transaction:
        assert transaction.query("SELECT 1 AS one") == [{"one": 1}]


def test_a_worker_notices_that_a_pooler_has_no_free_session(queue: Queue, starved: tuple[Secret, Connection]) -> None:
    assert isinstance(queue.engine, WorkerEngine)
    url = starved[0]
    worker = Worker(queue.engine, parse_url(url), WorkerOptions(timing=WorkerTiming(answer=0.2)))

    async def connect() -> None:
        async with await psycopg.AsyncConnection.connect(url.reveal()) as connection:
            await worker._await_answer(connection)

    with pytest.raises(psycopg.errors.TooManyConnections):
        asyncio.run(connect())


# Workers


def worker_process(queue: Queue) -> subprocess.Popen[str]:
    """Start the command of a worker."""
    command = [sys.executable, "-m", "ztrust_mail", "worker", "--config", str(queue.settings)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_worker_does_what_waits_and_puts_nothing_into_the_queue(queue: Queue) -> None:
    first, second = queue.submit(onboard("acme")).number, queue.submit(apply_to("globex")).number
    run_worker(queue.engine)
    assert queue.states() == {first: RequestState.DONE, second: RequestState.DONE}
    assert asked(queue.url, JOBS) == []


def test_a_worker_takes_over_the_job_and_the_request_of_a_dead_one(queue: Queue) -> None:
    """The job of a worker that is registered no more is stalled."""
    number = queue.submit(onboard("acme")).number
    queue.kill_worker_at(number)
    change(queue.url, "UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL")
    run_worker(queue.engine)
    done = queue.engine.status(number)
    assert (done.state, done.attempts) == (RequestState.DONE, 2)
    assert asked(queue.url, JOBS) == []


def test_a_job_for_a_server_without_requests_is_done_at_once(queue: Queue) -> None:
    number = queue.submit(onboard("acme")).number
    queue.engine.cancel(number)
    run_worker(queue.engine)
    assert queue.sandbox.requests == ()


NEWER = (
    "UPDATE alembic_version SET version_num = '0099'",
    "UPDATE meta SET value = '99.0.0' WHERE name = 'written_by'",
)


@pytest.mark.parametrize("is_running", [True, False])
def test_a_worker_whose_journal_a_newer_version_migrates_ends_and_says_so(queue: Queue, is_running: bool) -> None:
    if not is_running:
        change(queue.url, *NEWER)
    said = []
    with worker_process(queue) as process:
        assert process.stderr
        for line in process.stderr:  # to its end: the worker ends by itself
            said.append(line)
            if "serving" in line:
                change(queue.url, *NEWER)
    assert process.returncode == ExitStatus.USAGE
    assert is_running == any("stopping after" in line for line in said)
    end = "".join(said)
    assert "was written by `ztrust-mail 99.0.0`, which is newer than this ztrust-mail" in end
    assert "update this one" in end
    assert "Traceback" not in end


class WatchedEngine(WorkerEngine):
    """An engine that tells which drain is under way."""

    def drain(self, server: str) -> int:
        self.drained = WatchedDrain(self.journal, server, self.options)
        return self.drained.run()


def test_a_worker_finishes_the_write_under_way_when_a_newer_version_migrates_the_journal(queue: Queue) -> None:
    queue.write_settings("connections = 1")
    number = queue.submit(apply_to("acme", "globex")).number
    engine = WatchedEngine(queue.engine.journal, replace(queue.engine.options, stop=Event()))

    def migrate_during_write(_realm: str) -> None:
        queue.sandbox.faults.before_write = None
        change(queue.url, *NEWER)
        assert engine.drained.cancel.wait(60)

    queue.sandbox.faults.before_write = migrate_during_write
    brisk = WorkerOptions(timing=WorkerTiming(sweep=0.02, poll=0.02))
    with pytest.raises(NewerJournal):
        Worker(engine, parse_url(queue.url), brisk).run()
    assert queue.writes() == ["acme"]
    change(queue.url, f"UPDATE alembic_version SET version_num = '{HEAD}'")  # what follows is the newer worker
    assert queue.engine.status(number).state is RequestState.WAITING
    assert queue.drain() == 1
    assert queue.engine.status(number).state is RequestState.DONE
    assert queue.writes() == ["acme", "globex"]


@pytest.mark.parametrize("spoilt", ["due = 'infinity', submitted = '0044-03-15 BC'", "attempts = 2147483647"])
def test_a_worker_comes_for_a_damaged_request_and_does_the_others(queue: Queue, spoilt: str) -> None:
    damaged, other = queue.submit(onboard("acme")).number, queue.submit(onboard("globex")).number
    change(
        queue.url,
        f"UPDATE journal_requests SET {spoilt} WHERE number = {damaged}",
        "DELETE FROM procrastinate_jobs",
    )
    run_worker(queue.engine)
    assert queue.states() == {damaged: RequestState.FAILED, other: RequestState.DONE}


def test_a_worker_whose_sweeps_fail_says_what_to_do_and_does_not_become_healthy(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(queue.engine, WorkerEngine)
    failed = list[int]()

    def sweep() -> None:
        failed.append(1)
        if len(failed) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        raise JournalError("the journal cannot be used", "grant it rights", "journal")

    url = config.journal_url(config.load(str(queue.settings), {}), {})
    assert url
    options = WorkerOptions(timing=WorkerTiming(sweep=0.02))
    worker = Worker(queue.engine, parse_url(url), options, (sweep,))
    worker.run()
    assert "a sweep failed: the journal cannot be used; grant it rights" in caplog.messages
    assert find_problem(replace(worker.state, is_connected=True, is_stopping=False), 0.0) == "no sweep has ended yet"


@pytest.mark.parametrize("before", [True, False], ids=["at the start", "while it runs"])
def test_a_worker_whose_database_is_read_only_says_so(
    queue: Queue, postgresql: PostgresqlServer, database: str, before: bool
) -> None:
    read_only = f"ALTER DATABASE {database} SET default_transaction_read_only = on"
    if before:
        postgresql.run(read_only)
    process = worker_process(queue)
    assert process.stderr
    try:
        for line in process.stderr:
            if "serving" in line and not before:
                postgresql.run(read_only)
                postgresql.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
            if "read-only" in line:
                break
        else:
            pytest.fail("it ended without a word")
        assert postgresql.password not in line
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=60)
    assert "internal error" not in rest
    assert "Traceback" not in rest
