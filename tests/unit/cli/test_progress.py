"""How far an apply is: nothing for a short run, a line now and then, a bar on a terminal that leaves no trace."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ztrust_mail.applying.outcome import RealmOutcome
from ztrust_mail.cli.progress import (
    FIRST_UPDATE_AFTER,
    LINE_INTERVAL,
    REDRAW_INTERVAL,
    Activity,
    Progress,
    log_to_stderr,
)
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.specfile.resolve import Desired

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen(io.StringIO):
    """A terminal of 80 columns that remembers what was written."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A stream that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


class GoneScreen(Gone, Screen):
    """A terminal that was closed."""


@pytest.fixture
def now() -> list[float]:
    """The time as progress sees it: the one item of a list."""
    return [1000.0]


@pytest.fixture
def listening() -> Iterator[logging.Logger]:
    """Give the package's log, and leave it as it was."""
    log = logging.getLogger("ztrust_mail")
    level, handlers = log.level, list(log.handlers)
    yield log.getChild("gateways")
    log.setLevel(level)
    log.handlers[:] = handlers


@pytest.fixture(autouse=True)
def _a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


def progress_on(stream: io.StringIO, now: list[float], total: int = 400) -> Progress:
    return Progress(total, stream, lambda: now[0])


def report(progress: Progress, status: Status, times: int = 1) -> None:
    for number in range(times):
        planned = RealmPlan(f"realm-{number}", status, Desired("realm", None))  # type: ignore[arg-type]
        progress(RealmOutcome.of(planned))


def test_progress_of_a_short_run_is_not_shown(now: list[float]) -> None:
    for stream in (io.StringIO(), Screen()):
        with progress_on(stream, now) as progress:
            report(progress, Status.APPLIED, 200)
            now[0] += FIRST_UPDATE_AFTER - 0.1
            report(progress, Status.APPLIED, 200)
        assert stream.getvalue() == ""


def test_a_progress_line_has_counts_rate_and_time_left(now: list[float]) -> None:
    stream = io.StringIO()
    with progress_on(stream, now) as progress:
        report(progress, Status.FAILED, 3)
        report(progress, Status.APPLIED, 119)
        now[0] += 3.5
        report(progress, Status.APPLIED)
    assert stream.getvalue() == "120 of 400 realms written, 3 failed, 35/s, 8 s left\n"


def test_progress_lines_are_seconds_apart_and_stop_at_the_end(now: list[float]) -> None:
    stream = io.StringIO()
    with progress_on(stream, now) as progress:
        shown = []
        for _ in range(100):
            now[0] += LINE_INTERVAL / 10
            report(progress, Status.APPLIED)
            shown.append(stream.getvalue().count("\n"))
    assert shown[:4] == [0, 0, 0, 1]
    assert shown[-1] == 1 + 96 // 10
    now[0] += 100
    report(progress, Status.APPLIED)
    assert stream.getvalue().count("\n") == shown[-1]


@pytest.mark.parametrize(
    ("total", "done", "seconds", "words"),
    [
        (1, 1, 10, "1 of 1 realm written, 6/min, 0 s left"),
        (400, 0, 10, "0 of 400 realms written"),
        (10_000, 5_000, 2, "5,000 of 10,000 realms written, 2,500/s, 2 s left"),
        (130, 10, 10, "10 of 130 realms written, 1/s, 2 min 0 s left"),
        (10_000, 10, 10, "10 of 10,000 realms written, 1/s, 2 h 46 min left"),
        (3, 1, 60, "1 of 3 realms written, 1/min, 2 min 0 s left"),
        (2, 1, 0, "1 of 2 realms written, 1,000/s, 0 s left"),
    ],
)
def test_rates_and_times_have_fitting_units(
    now: list[float], total: int, done: int, seconds: float, words: str
) -> None:
    progress = progress_on(io.StringIO(), now, total)
    report(progress, Status.APPLIED, done)
    assert progress.summary(now[0] + seconds) == words


def test_a_skipped_realm_counts_neither_as_written_nor_as_failed_nor_as_left(now: list[float]) -> None:
    progress = progress_on(io.StringIO(), now, 3)
    report(progress, Status.SKIPPED, 2)
    assert progress.summary(now[0] + 1) == "0 of 3 realms written, 2/s, 0 s left"


def test_the_duration_counts_from_the_start_of_the_work(now: list[float]) -> None:
    progress = progress_on(io.StringIO(), now)
    now[0] += 3600
    with progress:
        report(progress, Status.APPLIED)
        assert progress.summary(now[0] + 1) == "1 of 400 realms written, 1/s, 6 min 39 s left"


def test_a_progress_bar_fits_the_terminal_and_is_erased_at_the_end(now: list[float]) -> None:
    screen = Screen()
    with progress_on(screen, now) as progress:
        report(progress, Status.FAILED, 3)
        now[0] += 3.5 - REDRAW_INTERVAL
        report(progress, Status.APPLIED, 119)
        now[0] += REDRAW_INTERVAL
        report(progress, Status.APPLIED)
    drawn = [line for line in re.split(r"[\r\n]+", CONTROL.sub("", screen.getvalue())) if line]
    assert "120 of 400 realms written, 3 failed, 35/s, 8 s left ━" in drawn[-1]
    assert all(len(line) <= 80 for line in drawn)
    assert len(drawn) == 2  # not more often than anybody can read
    assert screen.getvalue().endswith("\r\x1b[2K")  # the line is empty


def test_a_bar_ends_when_the_run_is_interrupted(now: list[float]) -> None:
    screen = Screen()
    progress = progress_on(screen, now)

    def run() -> None:
        with progress:
            now[0] += FIRST_UPDATE_AFTER
            report(progress, Status.APPLIED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert screen.getvalue().endswith("\x1b[2K")


def test_a_terminal_that_cannot_draw_a_line_again_gets_lines(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen()
    with progress_on(screen, now, 2) as progress:
        now[0] += FIRST_UPDATE_AFTER
        report(progress, Status.APPLIED)
    assert screen.getvalue() == "1 of 2 realms written, 30/min, 2 s left\n"


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [Gone(), GoneScreen(), closed()], ids=["pipe", "terminal", "closed"])
def test_a_broken_progress_stream_does_not_disturb_the_run(now: list[float], stream: io.StringIO) -> None:
    with progress_on(stream, now) as progress:
        now[0] += FIRST_UPDATE_AFTER
        report(progress, Status.APPLIED)
        assert progress.summary(now[0]).startswith("1 of 400")


def test_progress_may_be_reported_from_many_threads(now: list[float]) -> None:
    stream = io.StringIO()
    with progress_on(stream, now) as progress:
        now[0] += FIRST_UPDATE_AFTER
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: report(progress, Status.APPLIED, 50), range(8)))
    assert progress.summary(now[0]).startswith("400 of 400")
    assert stream.getvalue().count("\n") == 1


def test_progress_uses_standard_error_and_the_real_clock_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1) as progress:
        progress._next = 0.0
        report(progress, Status.APPLIED)
    assert capsys.readouterr().err.startswith("1 of 1 realm written, ")


def test_progress_without_a_bar_imports_no_bar() -> None:
    code = """
import sys
from ztrust_mail.cli.progress import Progress
from ztrust_mail.applying.outcome import RealmOutcome
from ztrust_mail.planning.plan import RealmPlan, Status
now = [0.0]
with Progress(2, clock=lambda: now[0]) as progress:
    now[0] = 10.0
    progress(RealmOutcome.of(RealmPlan("a", Status.APPLIED, None)))
print("click" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
    assert ran.stderr == "1 of 2 realms written, 6/min, 10 s left\n"


# Waits for a busy server


def test_a_logged_wait_is_printed_once_however_often_logging_was_set_up(
    capsys: pytest.CaptureFixture[str], listening: logging.Logger
) -> None:
    log_to_stderr()
    log_to_stderr()
    listening.info("%s is too busy", "id.example.com")
    assert capsys.readouterr() == ("", "ztrust-mail: note: id.example.com is too busy [waiting]\n")


def test_a_wait_replaces_the_progress_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, listening: logging.Logger
) -> None:
    monkeypatch.setattr("sys.stderr", screen := Screen())
    log_to_stderr()
    listening.info("busy")
    assert screen.getvalue().startswith("\r\x1b[2Kztrust-mail: ")
    assert CONTROL.sub("", screen.getvalue()).endswith("busy [waiting]\n")


def test_a_wait_on_a_broken_stream_does_not_disturb_the_run(
    monkeypatch: pytest.MonkeyPatch, listening: logging.Logger
) -> None:
    monkeypatch.setattr("sys.stderr", Gone())
    log_to_stderr()
    listening.info("busy")


# Requests and retries


def test_single_requests_and_retries_are_printed_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], listening: logging.Logger
) -> None:
    requests = logging.getLogger("ztrust_mail.requests")
    log_to_stderr()
    requests.info("retry 1")
    requests.debug("GET")
    assert capsys.readouterr().err == ""
    log_to_stderr(verbose=True)
    requests.debug("GET \x1b[2J")
    assert re.fullmatch(r"\d\d:\d\d:\d\d GET \\x1b\[2J\n", capsys.readouterr().err)
    log_to_stderr(quiet=True)
    requests.info("retry 2")
    listening.info("busy")
    assert capsys.readouterr().err == ""


# A command that reads for long


class WatchedScreen(Screen):
    """A terminal that says when something was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def flush(self) -> None:
        if self.getvalue():
            self.drawn.set()


def test_a_command_that_takes_long_shows_what_it_does_and_leaves_no_trace() -> None:
    screen = WatchedScreen()
    activity = Activity(screen, first=0.0)
    activity.start("Reading dev (https://id.example.com)\x1b[2J")
    assert screen.drawn.wait(60)
    activity.stop()
    assert screen.getvalue().startswith("\r\x1b[2KReading dev (https://id.example.com)\\x1b[2J … 0 s")
    assert screen.getvalue().endswith("\r\x1b[2K")


def test_a_command_shows_how_many_realms_are_done_however_long_its_title_is() -> None:
    screen = WatchedScreen()
    activity = Activity(screen, first=0.0)
    activity(121, 1_400)
    activity(120, 1_400)  # a thread that counted earlier and calls later
    activity.start("Checking prod (https://an-identity-server-with-a-long-name.example.com/auth)")
    assert screen.drawn.wait(60)
    activity.stop()
    [_, first, *_] = screen.getvalue().split("\r\x1b[2K")
    assert first == "Checking prod (https://an-identity-server-with-a-lon … 121 of 1,400 realms, 0 s"
    assert len(first) == 79


def test_a_command_with_two_parts_counts_anew_in_the_second() -> None:
    screen = WatchedScreen()
    activity = Activity(screen, first=0.0, interval=0.01)
    activity(7, 7)
    activity.start("Sending test mails")
    activity.switch("Probing the relays from here", "relay")
    activity(1, 5)
    screen.drawn.clear()
    assert screen.drawn.wait(60)
    activity.stop()
    assert "Probing the relays from here … 1 of 5 relays, " in screen.getvalue()


def test_a_short_command_and_a_pipe_show_no_activity() -> None:
    for stream in (Screen(), io.StringIO()):
        activity = Activity(stream, first=60.0)
        activity.start("Reading")
        activity.stop()
        assert stream.getvalue() == ""


def test_no_color_does_not_take_away_the_bar(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    with progress_on(screen, now, 2) as progress:
        now[0] += FIRST_UPDATE_AFTER
        report(progress, Status.APPLIED)
    assert "1 of 2 realms written, 30/min, 2 s left ━" in screen.getvalue()
