"""The command line as a process that tells when it has come to a chosen point, and mostly stays there to be killed.

    with started("after-begin", "apply", "mail.yaml", "--yes") as stopped:
        stopped.reach()
        stopped.kill()

The points are put into the process by a program of the tests' own; the command knows nothing of them.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

PATIENCE = 60.0


def _any(*_: object) -> bool:
    return True


def _marks(_journal: object, _run: int, updates: Any) -> bool:
    return any(update.step.value == "writing" for update in updates)


def _looks(_journal: object, _run: int, updates: Any) -> bool:
    return any(update.step.value == "verified" for update in updates)


@dataclass(frozen=True)
class Point:
    """A moment in a run: just before or after the ``nth`` call of a function that ``fits``. ``stays``: until killed."""

    module: str
    name: str
    after: bool = False
    nth: int = 1
    stays: bool = True
    fits: Callable[..., bool] = field(default=_any)


_JOURNAL = "ztrust_mail.journal.journal"
_LEASE = "ztrust_mail.journal.lease"
_RUN = "ztrust_mail.applying.apply"

POINTS = {
    "before-account": Point("ztrust_mail.gateways.keycloak.gateway", "KeycloakGateway.account"),
    "before-lease": Point(_LEASE, "Lease.acquire"),
    "after-lease": Point(_LEASE, "Lease.acquire", after=True),
    "before-begin": Point(_JOURNAL, "Journal.begin"),
    "after-begin": Point(_JOURNAL, "Journal.begin", after=True),
    "before-mark": Point(_JOURNAL, "Journal.record", fits=_marks),
    "after-mark": Point(_JOURNAL, "Journal.record", fits=_marks, after=True),
    "after-a-put": Point("ztrust_mail.gateways.keycloak.gateway", "KeycloakGateway.write", after=True),
    "after-the-puts": Point(_RUN, "read_back"),
    "after-the-look": Point(_RUN, "read_back", after=True),
    "after-the-looks-record": Point(_JOURNAL, "Journal.record", fits=_looks, after=True),
    "after-finish": Point(_JOURNAL, "Journal.finish", after=True),
    "five-answered": Point(_RUN, "ApplyRun._record_attempt", after=True, nth=5, stays=False),
}
UNTIL_CTRL_C = "until-ctrl-c"
"""Each write tells when it is answered, and is under way until Ctrl-C has been noticed."""


@dataclass
class Stopped:
    """A command in a process of its own. ``out`` and ``err`` are filled when it has ended by itself."""

    process: subprocess.Popen[str]
    reached: int

    def reach(self) -> None:
        """Wait until the command has come to its point."""
        ready, _, _ = select.select([self.reached], [], [], PATIENCE)
        told = os.read(self.reached, 1) if ready else b""
        assert told, f"the point was not reached: {self.end() if self.process.poll() is not None else 'it hangs'}"

    def kill(self) -> None:
        """End the process as a power failure would."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait(PATIENCE) == -signal.SIGKILL

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Wait for the end, and return exit status, output and error output."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextmanager
def started(point: str, *arguments: str) -> Iterator[Stopped]:
    """Start a command that stops at a point, in the folder and environment of this process."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-P", __file__, point, str(theirs), *arguments]
    process = subprocess.Popen(
        command,
        pass_fds=[theirs],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    os.close(theirs)
    try:
        yield Stopped(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        os.close(ours)


def stop_at(point: Point, reached: Callable[[], object]) -> None:
    """Have the function of a point call ``reached`` when the point has come."""
    module = importlib.import_module(point.module)
    *path, name = point.name.split(".")
    owner = getattr(module, path[0]) if path else module
    original, lock, seen = getattr(owner, name), threading.Lock(), [0]

    def stop(arguments: tuple[object, ...]) -> None:
        with lock:
            seen[0] += point.fits(*arguments)
            due = seen[0] == point.nth and point.fits(*arguments)
        if due:
            reached()

    def stopping(*arguments: Any, **named: Any) -> Any:
        if not point.after:
            stop(arguments)
        done = original(*arguments, **named)
        if point.after:
            stop(arguments)
        return done

    setattr(owner, name, stopping)


def _tell(point: Point, handle: int) -> None:
    os.write(handle, b".")
    if point.stays:
        threading.Event().wait()


def _wait_for_ctrl_c(handle: int) -> None:
    from ztrust_mail.applying.apply import ApplyRun
    from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway

    noticed = threading.Event()
    write, interrupt = KeycloakGateway.write, ApplyRun._interrupt

    def writing(*arguments: Any, **more: Any) -> None:
        write(*arguments, **more)
        os.write(handle, b".")
        noticed.wait(PATIENCE)

    def interrupting(run: ApplyRun) -> None:
        interrupt(run)
        noticed.set()

    KeycloakGateway.write = writing  # type: ignore[method-assign]
    ApplyRun._interrupt = interrupting  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job may have it ignored
    if sys.argv[1] == UNTIL_CTRL_C:
        _wait_for_ctrl_c(int(sys.argv[2]))
    else:
        chosen = POINTS[sys.argv[1]]
        stop_at(chosen, partial(_tell, chosen, int(sys.argv[2])))
    sys.argv[:] = ["ztrust-mail", *sys.argv[3:]]
    from ztrust_mail.cli.main import main

    main()
