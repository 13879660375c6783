"""What the rigs of real servers share: ports, the ends of logs, and waiting for what a process does."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PATIENCE = 120.0
"""Seconds in which a process does what a test waits for; on an idle machine it takes a few."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def tail(log: Path, lines: int = 40) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def wait_until(is_true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for something that a process does. Raises :class:`AssertionError` with its log if it ends, or is late."""
    end = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < end, tail(log)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            raise AssertionError(f"the process ended with {process.returncode}\n{tail(log)}")
