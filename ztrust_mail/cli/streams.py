"""The process: its standard streams, its signals, and the pager for long output."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from ztrust_mail.core.errors import UsageError

DEFAULT_PAGER = "less -FRX"


class OutputError(UsageError):
    """Standard output cannot be written, because the disk is full or the reader has ended.

    Raised once: later output is dropped.
    """


def guard_streams() -> None:
    """Replace the standard streams by ones that never raise an unexpected error.

    A closed stream becomes the null device. Characters that the locale cannot encode are escaped. What cannot be
    written to standard error is lost; standard output raises :class:`OutputError`.
    """
    if sys.stdin is None:  # first, so that each stream gets its own number again, and no journal file gets one of these
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # open as long as the process
    sys.stdout = _guard_stream(sys.stdout, sys.__stdout__, _GuardedStdout)
    sys.stderr = _guard_stream(sys.stderr, sys.__stderr__, _GuardedStderr)


def _guard_stream(stream: TextIO | None, own: TextIO | None, kind: type[_Guarded]) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # open as long as the process
    if stream is not own or not isinstance(
        stream, io.TextIOWrapper
    ):  # replaced by the caller, who is responsible for it
        return stream
    stream.flush()
    lines, through = stream.line_buffering, stream.write_through
    # not detached: the log of a calling program may go there
    return kind(stream.buffer, stream.encoding, "backslashreplace", line_buffering=lines, write_through=through)


class _Guarded(io.TextIOWrapper):
    def write(self, text: str) -> int:
        if text == "":  # click probes a stream so, and ignores the error of a full one
            return 0
        try:
            return super().write(text)
        except OSError as e:
            self._on_write_error(e)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as e:
            self._on_write_error(e)

    def _on_write_error(self, e: OSError) -> None:
        """Send the buffered and all later output to the null device: otherwise closing the stream fails, too."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


class _GuardedStderr(_Guarded):
    """Standard error."""


class _GuardedStdout(_Guarded):
    """Standard output."""

    def _on_write_error(self, e: OSError) -> None:
        super()._on_write_error(e)
        why, hint = e.strerror, "free some disk space, or redirect it elsewhere"
        if isinstance(e, BrokenPipeError):
            why, hint = "the program reading standard output has exited", "let it read all the output"
        raise OutputError(f"the result cannot be written: {why}", hint, "output")


def interrupt_on_termination() -> None:
    """Handle SIGTERM (a cancelled job) and SIGHUP (a closed terminal) like Ctrl-C.

    Writes in progress and reports finish. A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def handle_interruptions(handler: Callable[[], None]) -> Iterator[None]:
    """Call ``handler`` for signals that would raise :class:`KeyboardInterrupt`, until the end of the block."""
    import signal
    import threading

    names = ("SIGINT", "SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
    ours = [number for number in numbers if signal.getsignal(number) is signal.default_int_handler]
    for number in ours:
        signal.signal(number, lambda *_: handler())
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.default_int_handler)


def end_on_signals() -> None:
    """Let the next Ctrl-C end the program immediately, even if threads still wait for a server.

    By then everything is written, recorded and reported, and Python itself would print a traceback.
    """
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.default_int_handler:
            signal.signal(number, signal.SIG_DFL)


def is_too_long(text: str, stream: TextIO) -> bool:
    """Tell whether text does not fit on the terminal, and the environment permits a pager."""
    import shutil

    if not stream.isatty() or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return text.count("\n") >= shutil.get_terminal_size().lines


def page(text: str) -> bool:
    """Show text in the user's pager and wait for it to exit. Return False if the pager is missing or failed."""
    import shlex
    import subprocess
    from contextlib import suppress

    try:
        command = shlex.split(os.environ.get("PAGER", DEFAULT_PAGER))
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError, IndexError):  # no such program; an unclosed quotation mark; an empty command
        return False
    with suppress(OSError):  # the user has left the pager before the end of the text
        pager.communicate(text)
    while True:
        try:
            return pager.wait() == 0
        except KeyboardInterrupt:  # the pager handles Ctrl-C itself
            continue
