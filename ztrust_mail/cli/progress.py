"""How far an apply is: a bar on a terminal, a plain line now and then elsewhere, nothing for a short run."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, cast

from ztrust_mail.reports import lines
from ztrust_mail.sync.plan import RealmPlan, Status
from ztrust_mail.text import counted

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

QUIET = 2.0
"""For so many seconds nothing is shown: a run that is done by then needs no progress."""

EVERY = 5.0
"""So many seconds lie between two plain lines, at least."""


class Progress(AbstractContextManager["Progress"]):
    """Shows on ``stream``, standard error by default, what becomes of ``total`` realms; to be called with each.

    It may be called from any thread and never fails. ``clock`` gives monotonic seconds.
    """

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._stream = cast(TextIO, _Forgiving(stream or sys.stderr))
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Status, 0)
        self._began = clock()
        self._next = self._began + QUIET
        self._bar: RichProgress | None = None

    def __enter__(self) -> Progress:
        self._began = self._clock()
        self._next = self._began + QUIET
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._next = float("inf")
            bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()

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
            lines.write([lines.line(self.words(now))], self._stream)
            return
        if self._bar is None:
            self._bar = _bar(self._stream, self._total)
            self._bar.start()
        (task,) = self._bar.task_ids
        self._bar.update(task, completed=sum(self._counts.values()), description=self.words(now))

    def words(self, now: float) -> str:
        """Return how far it is at a time of the clock: ``120 of 400 realms written, 3 failed, 35/s, 8 s left``."""
        written, done = self._counts[Status.APPLIED], sum(self._counts.values())
        rate = done / max(now - self._began, 0.001)
        failed = f", {self._counts[Status.FAILED]:,} failed" if self._counts[Status.FAILED] else ""
        left = f", {_rate(rate)}, {_span((self._total - done) / rate)} left" if done else ""
        return f"{written:,} of {counted(self._total, 'realm')} written{failed}{left}"


class _Forgiving(io.TextIOBase):
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


def _bar(stream: TextIO, total: int) -> RichProgress:
    """Return a bar that is gone without a trace when it stops."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress
    from rich.table import Column

    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    bar = RichProgress(
        words,
        BarColumn(bar_width=None),
        console=console,
        transient=True,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("", total=total)
    return bar
