"""The three standard streams, whatever the command line was started with: closed, full, or without a reader."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from ztrust_mail.core.errors import UsageError


class OutputError(UsageError):
    """Standard output takes no more, as on a full disk or when its reader has exited.

    Raised once: output after that is dropped.
    """


def guard() -> None:
    """Make standard streams that work: closed ones are the null device, and the others never end in a traceback.

    A locale without our arrows and foreign names is no reason to fail. What standard error cannot take is lost;
    standard output raises :class:`OutputError`.
    """
    if sys.stdin is None:  # the first, so that each gets its own number again and no journal gets that of an output
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # it is open as long as the process
    sys.stdout = _guarded(sys.stdout, sys.__stdout__, _GuardedStdout)
    sys.stderr = _guarded(sys.stderr, sys.__stderr__, _GuardedStderr)


def _guarded(stream: TextIO | None, own: TextIO | None, kind: type[_Guarded]) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # it is open as long as the process
    if stream is not own or not isinstance(stream, io.TextIOWrapper):  # whoever put it there sees to it
        return stream
    stream.flush()
    lines, through = stream.line_buffering, stream.write_through
    # not detached: a program that calls us may have told its log to go there
    return kind(stream.buffer, stream.encoding, "backslashreplace", line_buffering=lines, write_through=through)


class _Guarded(io.TextIOWrapper):
    def write(self, text: str) -> int:
        if text == "":  # so click looks at a stream, swallowing what a full one says to it
            return 0
        try:
            return super().write(text)
        except OSError as e:
            self._lost(e)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as e:
            self._lost(e)

    def _lost(self, e: OSError) -> None:
        """Send all that follows, and what is still held here, to the null device: else the very end fails, too."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


class _GuardedStderr(_Guarded):
    """Standard error."""


class _GuardedStdout(_Guarded):
    """Standard output."""

    def _lost(self, e: OSError) -> None:
        super()._lost(e)
        why, hint = e.strerror, "make room, or send it elsewhere"
        if isinstance(e, BrokenPipeError):
            why, hint = "the program reading standard output has exited", "let it read all the output"
        raise OutputError(f"the result cannot be written: {why}", hint, "output")
