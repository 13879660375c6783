"""The entry point of the command line: makes the standard streams safe, and turns every error into an exit status."""

from __future__ import annotations

import gc
import io
import os
import sys
import traceback
from typing import NoReturn, TextIO

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import ExitStatus, UsageError

COLLECT_AFTER = 100_000
"""How many new objects trigger a garbage collection: imports make few reference cycles."""

PROGRAM = "ztrust-mail"

COMPLETION_VARIABLE = "_ZTRUST_MAIL_COMPLETE"
"""Set by the completion script of a shell when it asks for suggestions."""


class OutputError(UsageError):
    """Standard output cannot be written, because the disk is full or the reader has ended.

    Raised once: later output is dropped.
    """


def main() -> NoReturn:
    """Run the command line and exit."""
    guard_streams()
    try:
        if sys.argv[1:] in (["--version"], ["version"]):  # before anything heavy is imported
            print(f"ztrust-mail {__version__}", flush=True)
            sys.exit(ExitStatus.OK)
        gc.set_threshold(COLLECT_AFTER)  # otherwise a tenth of a short command's time is garbage collection
        status = run(sys.argv[1:])
        _end_on_signals()
        sys.exit(status)
    except OutputError as e:  # from output that no command writes, such as the help
        print(f"ztrust-mail: {e.message}; {e.hint}", file=sys.stderr)
        sys.exit(e.exit_status)


def interrupt_on_termination() -> None:
    """Handle SIGTERM (a cancelled job) and SIGHUP (a closed terminal) as Ctrl-C: writes under way finish, reports too.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _end_on_signals() -> None:
    """Let the next Ctrl-C end the program at once, in which threads may still wait for a server.

    Everything is written, recorded and reported then, and Python itself would print a traceback.
    """
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.default_int_handler:
            signal.signal(number, signal.SIG_DFL)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    import click

    from ztrust_mail.cli.app import app

    try:
        if instruction := os.environ.get(COMPLETION_VARIABLE):
            from ztrust_mail.cli.completion import answer

            print(answer(app, instruction, os.environ), end="", flush=True)
            return ExitStatus.OK
        return int(app.main(arguments, PROGRAM, standalone_mode=False) or ExitStatus.OK)
    except click.UsageError as e:
        from ztrust_mail.cli.misuse import report_misuse

        return report_misuse(e, arguments)
    except SystemExit as e:  # every command ends so
        return e.code if isinstance(e.code, int) else ExitStatus.OK
    except (click.Abort, KeyboardInterrupt):  # outside of a command's own handling
        return ExitStatus.INTERRUPTED
    except OutputError:
        raise
    except Exception as e:  # an internal error, reported without values, which may be secrets
        return _report_internal_error(e)


def _report_internal_error(e: Exception) -> int:
    frames = [f"  {f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(e.__traceback__)]
    print("\n".join(frames), file=sys.stderr)
    print(f"ztrust-mail: internal error: {type(e).__name__}; please report the lines above", file=sys.stderr)
    return ExitStatus.BUG


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
