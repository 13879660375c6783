"""A sandbox in a process of its own, so that it is measured as little as a real server is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SERVE = """
import sys
from ztrust_mail.sandbox import Sandbox; from ztrust_mail.sandbox import SandboxOptions
realms = tuple(f"bench-{n:05}" for n in range(int(sys.argv[1])))
with Sandbox(SandboxOptions(realms=realms)) as sandbox:
    print(sandbox.url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def sandbox(realms: int) -> Iterator[str]:
    """Run a sandbox with so many realms; gives its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(realms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(timeout=30)
