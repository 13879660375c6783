"""How far an apply is: a bar on a terminal, a plain line now and then elsewhere, nothing for a short run.

And that a busy server is waited for, whatever the command.
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
from typing import TextIO, cast

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.reports import style
from ztrust_mail.reports.text.findings import finding_line

QUIET = 2.0
"""For so many seconds nothing is shown: a run that is done by then needs no progress."""

EVERY = 5.0
"""So many seconds lie between two plain lines, at least."""


REDRAW = 0.1
"""So many seconds lie between two looks of the bar, at least."""


class Progress(AbstractContextManager["Progress"]):
    """Shows on ``stream``, standard error by default, what becomes of ``total`` realms; to be called with each.

    It may be called from any thread and never fails. ``clock`` gives monotonic seconds.
    """

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._stream = cast(TextIO, _BestEffortStream(stream or sys.stderr))
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Status, 0)
        self._began = clock()
        self._next = self._began + QUIET
        self._drawn = False

    def __enter__(self) -> Progress:
        self._began = self._clock()
        self._next = self._began + QUIET
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._next = float("inf")
            if self._drawn:
                self._draw("")

    def __call__(self, realm: RealmPlan) -> None:
        """Take note of a realm that was written, has failed or was passed over."""
        with self._lock:
            self._counts[realm.status] += 1
            now = self._clock()
            if now >= self._next:
                self._show(now)

    def _show(self, now: float) -> None:
        if not _is_terminal(self._stream):
            self._next = now + EVERY
            style.write([style.line(self.words(now))], self._stream)
            return
        self._next = now + REDRAW
        words = f"{self.words(now)} "
        room = max(shutil.get_terminal_size().columns - len(words) - 1, 0)
        filled = room * sum(self._counts.values()) // max(self._total, 1)
        self._draw(f"{words}{'━' * filled}"[: len(words) + room])

    def _draw(self, words: str) -> None:
        self._drawn = True
        self._stream.write(f"\r\x1b[2K{words}")
        self._stream.flush()

    def words(self, now: float) -> str:
        """Return how far it is at a time of the clock: ``120 of 400 realms written, 3 failed, 35/s, 8 s left``."""
        written, done = self._counts[Status.APPLIED], sum(self._counts.values())
        rate = done / max(now - self._began, 0.001)
        failed = f", {self._counts[Status.FAILED]:,} failed" if self._counts[Status.FAILED] else ""
        left = f", {_rate(rate)}, {_span((self._total - done) / rate)} left" if done else ""
        return f"{written:,} of {pluralise(self._total, 'realm')} written{failed}{left}"


class _BestEffortStream(io.TextIOBase):
    """A stream that nobody may be reading any more: the run goes on without saying how far it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # as a stream of text has it
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


class _WaitLogHandler(logging.Handler):
    """Says on standard error what the package logs: that a wait of some seconds begins."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = cast(TextIO, _BestEffortStream(sys.stderr))
        if _is_terminal(stream):
            stream.write("\r\x1b[2K")  # where a bar may stand: it is drawn anew below
        style.write([finding_line(Finding(Severity.NOTE, "waiting", record.getMessage()))], stream)


_WAITS = _WaitLogHandler()


def tell_of_waits() -> None:
    """Say from now on on standard error when a busy server is waited for, so that silence is no riddle."""
    log = logging.getLogger("ztrust_mail")
    log.setLevel(logging.INFO)
    log.addHandler(_WAITS)


def _rate(rate: float) -> str:
    """Return so many a second, or a minute where that is under one a second."""
    return f"{rate:,.0f}/s" if rate >= 1 else f"{rate * 60:.0f}/min"


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
