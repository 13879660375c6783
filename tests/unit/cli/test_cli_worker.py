"""``worker`` where it cannot work, and its log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest
from procrastinate.exceptions import ConnectorException
from support.cli import Cli

from ztrust_mail.cli.commands.worker import log_lines


@pytest.fixture
def logs() -> Iterator[None]:
    """Restore what the log of a worker changes."""
    loggers = [logging.getLogger(name) for name in (None, "ztrust_mail", "procrastinate")]
    before = [(one.level, [*one.handlers], one.propagate) for one in loggers]
    yield
    for one, (level, handlers, propagates) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.handlers, one.propagate = handlers, propagates


def test_a_journal_in_a_file_is_refused_with_the_fix(cli: Cli) -> None:
    ran = cli("worker")
    assert (ran.status, ran.out) == (2, "")
    assert "workers need a journal in PostgreSQL, but this one is in a file; set journal.url" in ran.err


def test_a_database_that_does_not_run_is_named(cli: Cli, logs: None) -> None:
    cli.set(JOURNAL="postgresql://eve:geheim@127.0.0.1:1/journal")
    ran = cli("worker")
    assert (ran.status, ran.out) == (2, "")
    assert "the journal in the PostgreSQL database `journal` at 127.0.0.1:1 cannot be reached" in ran.err
    assert "geheim" not in ran.err


@pytest.mark.parametrize("queue", ["", " "])
def test_an_empty_queue_is_refused(cli: Cli, queue: str) -> None:
    ran = cli("worker", "--queue", queue)
    assert (ran.status, "is empty; name the queue" in ran.err) == (2, True)


def test_no_more_servers_at_once_than_make_sense_are_accepted(cli: Cli) -> None:
    assert cli("worker", "--concurrency", "0").status == 2
    assert cli("worker", "--concurrency", "65").status == 2


def test_without_the_extra_it_says_what_to_install(cli: Cli, logs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "psycopg"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "ztrust_mail.journal.postgresql", raising=False)
    cli.set(JOURNAL="postgresql://eve@127.0.0.1:1/journal")
    ran = cli("worker")
    assert (ran.status, "pip install 'ztrust-mail[" in ran.err) == (2, True)


def test_each_event_is_a_printable_line_with_its_time(logs: None, capsys: pytest.CaptureFixture[str]) -> None:
    log_lines()
    logging.getLogger("ztrust_mail.worker").info("request %d of %s", 7, "\x1b[31m")
    logging.getLogger("ztrust_mail.worker").warning("late")
    first, second = capsys.readouterr().err.splitlines()
    assert first[10:].partition("Z ")[2] == r"request 7 of \x1b[31m"
    assert second.endswith("Z warning: late")


def test_requests_are_logged_if_verbose_alone(logs: None, capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        log_lines(verbose=verbose)
        logging.getLogger("ztrust_mail.requests").debug("GET")
    assert capsys.readouterr().err.count("GET") == 1


def test_a_lost_database_is_not_logged_by_the_queue_as_the_worker_does(
    logs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    log_lines()
    try:
        raise ConnectorException
    except ConnectorException:
        logging.getLogger("procrastinate.utils").exception("poll_jobs_to_abort error")
    assert capsys.readouterr().err == ""


def test_texts_of_libraries_and_values_in_errors_are_not_logged(logs: None, capsys: pytest.CaptureFixture[str]) -> None:
    log_lines()
    logging.getLogger("procrastinate.worker").info("started")
    try:
        raise ValueError("geheim")
    except ValueError:
        logging.getLogger("procrastinate.worker").exception("geheim")
        logging.getLogger("ztrust_mail.worker").exception("an internal error")
    logging.getLogger("urllib3.pool").warning("geheim")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("Z ")[2] for line in lines] == [
        "error: the queue reports ValueError in procrastinate.worker", "error: an internal error",
    ]  # fmt: skip
