"""Shows the progress of an apply: a bar on a terminal, otherwise a line every few seconds.

Also shows activity on a terminal, and prints the package's log messages.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, cast

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise, printable
from ztrust_mail.planning.plan import Status
from ztrust_mail.reports import style
from ztrust_mail.reports.text.lines import finding_line

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import RealmOutcome

FIRST_UPDATE_AFTER = 2.0
"""Seconds before progress is shown: shorter runs need none."""

LINE_INTERVAL = 5.0
"""The least seconds between two plain lines."""

_ERASE = "\r\x1b[2K"

REDRAW_INTERVAL = 0.1
"""The least seconds between two updates of the bar."""


class Progress(AbstractContextManager["Progress"]):
    """Shows on ``stream``, standard error by default, how many of ``total`` realms are done. Call it with each.

    It may be called from any thread and never fails. ``clock`` returns monotonic seconds.
    """

    def __init__(
        self, total: int = 0, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = cast(TextIO, _BestEffortStream(stream or sys.stderr))
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Status, 0)
        self._drawn = False
        self.start(total)

    def __enter__(self) -> Progress:
        self.start(self._total)
        return self

    def start(self, total: int) -> None:
        """Start to measure the time for ``total`` realms."""
        self._total = total
        self._began = self._clock()
        self._next = self._began + FIRST_UPDATE_AFTER

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._next = float("inf")
            if self._drawn:
                self._draw("")

    def __call__(self, realm: RealmOutcome) -> None:
        """Count a realm that was written, has failed or was skipped."""
        with self._lock:
            self._counts[realm.status] += 1
            now = self._clock()
            if now >= self._next:
                self._show(now)

    def _show(self, now: float) -> None:
        if not is_screen(self._stream):
            self._next = now + LINE_INTERVAL
            style.write([style.line(self.summary(now))], self._stream)
            return
        self._next = now + REDRAW_INTERVAL
        summary = f"{self.summary(now)} "
        room = max(shutil.get_terminal_size().columns - len(summary) - 1, 0)
        filled = room * sum(self._counts.values()) // max(self._total, 1)
        self._draw(f"{summary}{'━' * filled}"[: len(summary) + room])

    def _draw(self, text: str) -> None:
        self._drawn = True
        self._stream.write(f"{_ERASE}{text}")
        self._stream.flush()

    def summary(self, now: float) -> str:
        """Return the progress at a time of the clock: ``120 of 400 realms written, 3 failed, 35/s, 8 s left``."""
        written, done = self._counts[Status.APPLIED], sum(self._counts.values())
        rate = done / max(now - self._began, 0.001)
        failed = f", {self._counts[Status.FAILED]:,} failed" if self._counts[Status.FAILED] else ""
        left = f", {_format_rate(rate)}, {_format_seconds((self._total - done) / rate)} left" if done else ""
        return f"{written:,} of {pluralise(self._total, 'realm')} written{failed}{left}"


class _BestEffortStream(io.TextIOBase):
    """A stream whose write errors are ignored, so that a run continues when its output is no longer read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class declares an attribute
        return self._stream.encoding

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class Activity:
    """Shows on a terminal that a command works, and for how long, when it takes longer than ``first`` seconds.

    Call it with the numbers of realms that are done and of all realms, from any thread, to show them as well.
    """

    def __init__(self, stream: TextIO | None = None, first: float = FIRST_UPDATE_AFTER, interval: float = 1.0) -> None:
        self._given = stream
        self._first, self._interval = first, interval
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._done, self._total = 0, 0
        self._what, self._noun = "", "realm"

    def __call__(self, done: int, total: int) -> None:
        """Show from now on how many realms are done; threads may call in another order than they count."""
        self._done, self._total = max(done, self._done), total

    def switch(self, what: str, noun: str) -> None:
        """Switch to another part of the command's work, in which ``noun`` is counted."""
        self._done, self._total = 0, 0
        self._what, self._noun = printable(what), noun

    def start(self, what: str) -> None:
        """Start to measure the time, unless already started."""
        stream = cast(TextIO, _BestEffortStream(self._given or sys.stderr))
        if self._thread is None and is_screen(stream):
            self._what = printable(what)
            self._thread = threading.Thread(target=self._run, args=(stream,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Remove the display; nothing is shown after that."""
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _run(self, stream: TextIO) -> None:
        began, wait, drawn = time.monotonic(), self._first, False
        while not self._ended.wait(wait):
            counted = f"{self._done:,} of {pluralise(self._total, self._noun)}, " if self._total else ""
            end = f" … {counted}{_format_seconds(time.monotonic() - began)}"
            room = max(style.width_of(stream) - 1 - len(end), 0)
            stream.write(f"{_ERASE}{self._what[:room]}{end}")
            stream.flush()
            wait, drawn = self._interval, True
        if drawn:
            stream.write(_ERASE)
            stream.flush()


class _LogHandler(logging.Handler):
    """Prints the package's log to standard error: long waits, an interruption, and if ``verbose`` all requests."""

    verbose = False

    def emit(self, record: logging.LogRecord) -> None:
        is_note = record.levelno >= logging.INFO and not record.name.startswith(REQUESTS)
        if not is_note and not self.verbose:
            return
        stream = cast(TextIO, _BestEffortStream(sys.stderr))
        if is_screen(stream):
            stream.write(_ERASE)  # a bar that may be there; it is redrawn below
        rule = "interrupted" if getattr(record, "rule", "") == "interrupted" else "waiting"
        note = finding_line(Finding(Severity.NOTE, rule, record.getMessage()))
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        style.write([note if is_note else style.line(style.Span(f"{at} {record.getMessage()}", "dim"))], stream)


REQUESTS = "ztrust_mail.requests"
"""The logger of requests and retries."""

_HANDLER = _LogHandler()


def log_to_stderr(*, verbose: bool = False, quiet: bool = False) -> None:
    """Print to standard error from now on when the command waits for a busy server, and its requests if verbose."""
    log = logging.getLogger("ztrust_mail")
    log.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    _HANDLER.verbose = verbose
    log.addHandler(_HANDLER)


def _format_rate(rate: float) -> str:
    """Return a rate per second, or per minute if it is below one per second."""
    return f"{rate:,.0f}/s" if rate >= 1 else f"{rate * 60:.0f}/min"


def _format_seconds(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def is_screen(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal on which a line can be redrawn."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"
