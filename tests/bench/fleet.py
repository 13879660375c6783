"""Measure requests and workers on many servers, and write docs/fleet-benchmarks.md.

    tox -e bench-fleet [-- --servers 20 --realms 500 --onboard 1000 --queued 10000]

All ratios are between figures of the same run.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from fleet_parts import Bench, Measured, Onboarded  # noqa: E402  # needs the path above
from fleet_rig import CONNECTIONS, fleet_rig  # noqa: E402
from measuring import table  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fleet-benchmarks.md"

LATENCY = 0.015
CORES = os.cpu_count() or 1
SETUPS = ((1, 1), (2, 1), (4, 1), (1, 4), (2, 4))
"""The number of workers, and of servers that each processes at once."""
PARALLEL = 20
WORKERS = (2, 4)
"""The set-up for drift and onboarding."""

SUBMITS = 300
MOST_SUBMIT = 0.020


@dataclass(frozen=True)
class Sizes:
    """The sizes of a benchmark run."""

    servers: int
    realms: int
    onboard: int
    queued: int


@dataclass(frozen=True)
class Figures:
    """All measurements. ``submits`` are keyed by the number of waiting requests and whether each created a job."""

    applies: list[Measured]
    drift: Measured
    onboarded: Sequence[Onboarded]
    submits: dict[tuple[int, bool], list[float]]
    stored_bytes: dict[str, int]
    bytes_of_write: float

    @property
    def is_within(self) -> bool:
        """Whether the median submit stays below the limit, at each queue length."""
        return all(percentile(taken, 50) < MOST_SUBMIT for taken in self.submits.values())


def measure(folder: Path, sizes: Sizes) -> Figures:
    """Run all parts."""
    with fleet_rig(folder, sizes.servers, sizes.realms, LATENCY) as rig:
        bench = Bench(rig)
        applies = [bench.apply_by_workers(*setup) for setup in SETUPS]
        applies.append(bench.apply_by_command(PARALLEL))
        drift = bench.drift(*WORKERS)
        stored = {kind: bench.stored_bytes(kind) for kind in ("apply", "drift")}
        bytes_of_write = bench.bytes_of_write()
        onboarded = [bench.onboard(sizes.onboard, *WORKERS), bench.onboard_backlog(sizes.onboard, *WORKERS)]
        stored["onboard"] = bench.stored_bytes("onboard")
        submits = {
            (waiting, with_job): bench.submits(waiting, SUBMITS, with_job=with_job)
            for waiting in (0, sizes.queued)
            for with_job in (False, True)
        }
    return Figures(applies, drift, onboarded, submits, stored, bytes_of_write)


def percentile(taken: Sequence[float], percent: int) -> float:
    """Return the given percentile of some values."""
    return sorted(taken)[max(0, -(-len(taken) * percent // 100) - 1)]


def apply_table(applies: Sequence[Measured]) -> str:
    """Return the table of applies; each speed-up is relative to the first."""
    head = ("setup", "seconds", "speed-up", "CPU s: ztrust-mail", "sandboxes", "PostgreSQL", "all cores", "MB")
    lines = []
    for one in applies:
        used = one.used
        cpu = [f"{spent:.1f}" for spent in (used.client, used.sandboxes, used.postgresql)]
        least = f"{used.cpu / CORES:.1f} s ({used.cpu / CORES / one.seconds:.0%})"
        speed = f"{applies[0].seconds / one.seconds:.2f}"
        lines.append([one.how, f"{one.seconds:.1f}", speed, *cpu, least, f"{used.megabytes:.0f}"])
    return table(head, lines)


def onboarding_table(several: Sequence[Onboarded]) -> str:
    """Return the table of onboarding, with a column per setup."""
    figures = {
        "requests per second, from the first start to the last end": lambda one: len(one.waits) / one.seconds,
        "submits per second, one thread": lambda one: len(one.waits) / one.submitting,
        "median seconds from submit to end": lambda one: percentile(one.waits, 50),
        "p99 seconds from submit to end": lambda one: percentile(one.waits, 99),
        "jobs": lambda one: one.jobs,
        "runs in the journal": lambda one: one.runs,
        "lists of all realms": lambda one: one.used.requests["lists"],
        "reads of single realms, before and after each write": lambda one: one.used.requests["reads"],
        "writes": lambda one: one.used.requests["writes"],
        "transactions in PostgreSQL": lambda one: one.used.transactions,
    }
    lines = [[what, *(_number(figure(one)) for one in several)] for what, figure in figures.items()]
    return table(("requests submitted", *(one.how for one in several)), lines)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def submit_table(submits: dict[tuple[int, bool], list[float]]) -> str:
    """Return the table of submits; ratios are to the median without waiting requests."""
    lines = []
    for (waiting, with_job), taken in submits.items():
        middle, most = percentile(taken, 50), percentile(taken, 99)
        ratio = f"{middle / percentile(submits[0, with_job], 50):.2f}"
        verdict = "yes" if middle < MOST_SUBMIT else "NO"
        job = "is created" if with_job else "exists"
        lines.append([f"{waiting:,}", job, f"{middle * 1000:.1f}", f"{most * 1000:.1f}", ratio, verdict])
    head = ("waiting requests", "job", "median ms", "p99 ms", "ratio", f"median < {MOST_SUBMIT * 1000:.0f} ms")
    return table(head, lines)


def unit_costs(found: Figures, sizes: Sizes) -> str:
    """Return the table of unit costs, on which the capacity model is based."""
    realms = sizes.servers * sizes.realms
    columns = [(found.applies[0], realms), (found.drift, realms), *((one, len(one.waits)) for one in found.onboarded)]
    costs = {
        "worker CPU, ms": lambda used: used.client * 1000,
        "PostgreSQL CPU, ms": lambda used: used.postgresql * 1000,
        "transactions": lambda used: used.transactions,
        "write-ahead log, kB": lambda used: used.log_megabytes * 1000,
    }
    lines = [[what, *(f"{cost(one.used) / number:.2f}" for one, number in columns)] for what, cost in costs.items()]
    ways = (f"per request, {one.how}" for one in found.onboarded)
    return table(("unit cost", "`apply`, per realm", "`drift`, per realm", *ways), lines)


def document(found: Figures, sizes: Sizes) -> str:
    """Return docs/fleet-benchmarks.md."""
    texts = ", ".join(f"{size / 1000:,.1f} kB for `{kind}`" for kind, size in found.stored_bytes.items())
    workers = f"{WORKERS[0]} workers with {WORKERS[1]} servers at once"
    return f"""# Fleet benchmarks

Generated by `tox -e bench-fleet`; run it to get figures for your own machine. To extrapolate to another fleet, see the
[capacity model](fleet-model.md).

- {sizes.servers} sandboxes with {sizes.realms} realms each. Reads and writes are delayed by {LATENCY * 1000:.0f} ms.
- A sandbox gets {CONNECTIONS} connections, so a worker with one server at a time mostly waits for it.
- All processes share one machine: {CORES} cores, {platform.system()}, Python {platform.python_version()}.
- PostgreSQL flushes each commit to disk.
- Workers and sandboxes are started before the clock; the command's start-up is included.

## Applying to all servers

One change to all {sizes.servers * sizes.realms:,} realms, one request per server. CPU is in seconds. "All cores" is
the CPU time of all processes divided by {CORES}, a lower bound for any number of workers. The
percentage is its share of the elapsed time.

{apply_table(found.applies)}

A drift check of the same realms, all in sync, by {workers}: {found.drift.seconds:.1f} s.

## Onboarding

{sizes.onboard:,} requests for one realm each, submitted in random order by one thread at full speed, and processed by
{workers}, without test mails.

{onboarding_table(found.onboarded)}

## Submitting to a long queue

{SUBMITS} submits through an open engine, without workers.

{submit_table(found.submits)}

## Unit costs

{unit_costs(found, sizes)}

- A write takes {found.bytes_of_write:,.0f} bytes in the journal, including indexes and old row versions.
- Stored size of a request's spec and reports, as compressed by PostgreSQL: {texts}.
"""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=20)
    parser.add_argument("--realms", type=int, default=500)
    parser.add_argument("--onboard", type=int, default=1_000)
    parser.add_argument("--queued", type=int, default=10_000)
    sizes = Sizes(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), sizes)
    page = document(found, sizes)
    print(page)
    PAGE.write_text(page, encoding="utf-8")
    if not found.is_within:
        sys.exit("over a limit, see the tables")


if __name__ == "__main__":
    main()
