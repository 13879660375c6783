"""Sandboxes in processes of their own, so that they are measured as little as a real server is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from ztrust_mail.sandbox import Sandbox, SandboxOptions


class SandboxProcess:
    """A sandbox with realms ``bench-00000`` and so on. Each read and each write takes ``latency`` seconds longer.

    A context manager that stops it. The constructor does not wait until it serves, so that many can start together.
    """

    def __init__(self, realms: int, latency: float = 0.0) -> None:
        command = [sys.executable, __file__, str(realms), str(latency)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> SandboxProcess:
        self.url = self._line()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def counts(self) -> Counter[str]:
        """Return how many requests of each kind it has answered, and the milliseconds of CPU it has taken."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return Counter(json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def sandbox(realms: int) -> Iterator[str]:
    """Run a sandbox with so many realms; gives its URL."""
    with SandboxProcess(realms) as process:
        yield process.url


def serve(realms: int, latency: float) -> None:
    """Run a sandbox until stdin is closed. Each line that comes there is answered by a line with the counts."""
    names = tuple(f"bench-{n:05}" for n in range(realms))
    with Sandbox(SandboxOptions(realms=names, slow_reads=latency)) as running:
        if latency:
            running.faults.before_write = lambda realm: time.sleep(latency)
        print(running.url, flush=True)
        for _ in sys.stdin:
            kinds = Counter(_kind(one.method, one.path) for one in running.requests)
            print(json.dumps({**kinds, "cpu_ms": round(time.process_time() * 1000)}), flush=True)


def _kind(method: str, path: str) -> str:
    if path == "/admin/realms":
        return "lists"
    if path.startswith("/admin/realms/bench-") and path.count("/") == 3:
        return {"GET": "reads", "PUT": "writes"}.get(method, "others")
    return "others"


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
