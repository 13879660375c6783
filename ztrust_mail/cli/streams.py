"""Makes the standard streams safe to write, whether they are closed, full, or nothing reads them."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from ztrust_mail.core.errors import UsageError


class OutputError(UsageError):
    """Standard output cannot be written, because the disk is full or the reader has ended.

    Raised once: later output is dropped.
    """


def guard() -> None:
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
