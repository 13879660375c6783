"""Whole processes with their time and memory, and tables of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(sysconfig.get_path("scripts")) / "ztrust-mail"


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds measured, the floor, and the most that is allowed."""

    work: str
    seconds: float
    floor: float | None
    limit: float

    def cells(self) -> list[str]:
        """Return the line's cells."""
        floor = f"{self.floor:.2f}" if self.floor else "–"
        ratio = f"{self.seconds / self.floor:.2f}" if self.floor else "–"
        verdict = "yes" if self.seconds <= self.limit else "NO"
        return [self.work, f"{self.seconds:.2f}", floor, ratio, f"{self.limit:.2f}", verdict]


@dataclass(frozen=True)
class Spent:
    """What one process took: seconds from start to exit, megabytes at its largest, and seconds of CPU."""

    seconds: float
    megabytes: float
    cpu: float


@dataclass(frozen=True)
class CommandLine:
    """The installed command line, run as its users do."""

    folder: Path
    environ: dict[str, str]

    def __call__(self, *arguments: str, expected: int = 0) -> Spent:
        """Run it once; ends the benchmark where it ends otherwise than expected."""
        with tempfile.TemporaryFile() as said:
            start = time.perf_counter()
            child = subprocess.Popen(
                [str(SCRIPT), *arguments],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != expected:
                said.seek(0)
                tail = said.read()[-2000:].decode(errors="replace")
                sys.exit(f"ztrust-mail {' '.join(arguments)} ended with {child.returncode}:\n{tail}")
        return Spent(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)

    def median(self, *arguments: str, rounds: int) -> float:
        """Return the median seconds of several runs."""
        return statistics.median(self(*arguments).seconds for _ in range(rounds))


def median(work: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of some work of this process."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


HEAD = ("work", "seconds", "floor", "ratio", "limit", "within")
