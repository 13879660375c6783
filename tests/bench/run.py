"""Measures the command line against the raw floor, in one run, and writes docs/benchmarks.md.

    tox -e bench [-- --realms 250 --sandbox-realms 400 --rounds 5 --scale 100,1000,10000]

The floor is what nobody can do without: one token and one list of the realms for ``drift``; one token, a list,
the bare PUTs at the same concurrency, and a list for ``apply``. Every figure is a median of whole processes,
started anew each time, with the journal on.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import specs  # noqa: E402  # needs the path above
from floor import CONNECTIONS, Floor  # noqa: E402
from measuring import HEAD, CommandLine, Row, median, table  # noqa: E402
from sandbox_process import sandbox  # noqa: E402
from support.admin_api import AdminApi  # noqa: E402
from support.keycloak_server import KEYCLOAK_26, KeycloakServer  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Allowance:
    """Seconds beside 1.3 times the floor, for starting Python and keeping the journal."""

    drift: float
    apply: float


ON_KEYCLOAK = Allowance(drift=0.4, apply=0.0)
ON_SANDBOX = Allowance(drift=0.6, apply=0.6)
"""Its requests take next to no time, so that there is nothing to start beside."""

MOST_MEGABYTES = 300
PARTS = (100, 50, 10)
MANY = 5_000
APPLY = ("--yes", "--allow", "mass-change")
SETTINGS = {"host": "smtp.example.com", "port": "587", "starttls": "true", "ssl": "false", "auth": "false"}


def command_line(url: str, folder: Path) -> CommandLine:
    """Return the command line set up for a server, with settings, state and journal in a folder."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ZTRUST_MAIL_")}
    login = {"URL": url, "USERNAME": "admin", "PASSWORD": "admin", "TIMEOUT": "60s"}
    for name in ("A", "B"):
        (folder / f"{name}.yaml").write_text(specs.for_all(name), encoding="utf-8")
    given = {**own, **{f"ZTRUST_MAIL_{k}": v for k, v in login.items()}}
    return CommandLine(folder, {**given, "XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder)})


def offline(cli: CommandLine, rounds: int) -> list[Row]:
    """Measure what needs no server."""
    (cli.folder / "large.yaml").write_text(specs.large(1000), encoding="utf-8")
    return [
        Row("`--version`", cli.median("--version", rounds=rounds * 3), None, 0.12),
        Row("`validate` of 1,000 realms in one file", cli.median("validate", "large.yaml", rounds=rounds), None, 1.0),
    ]


def online(
    where: str, cli: CommandLine, floor: Floor, realms: list[str], rounds: int, allowance: Allowance
) -> list[Row]:
    """Measure drift and apply against their floors on a server."""
    cli("apply", "A.yaml", *APPLY)  # warms the server up, too
    least_drift = median(floor.drift, rounds)
    drift = cli.median("drift", "A.yaml", rounds=rounds)

    names = ["C", "D"] * rounds
    least_apply = median(lambda: floor.apply(realms, {**SETTINGS, "fromDisplayName": names.pop()}), rounds)
    pairs = [cli("apply", f"{name}.yaml", *APPLY).seconds for name in ["B", "A"] * rounds]
    apply = sorted(pairs)[len(pairs) // 2]
    count = len(realms)
    most_drift, most_apply = 1.3 * least_drift + allowance.drift, 1.3 * least_apply + allowance.apply
    return [
        Row(f"`drift` of {count + 1} realms, {where}", drift, least_drift, most_drift),
        Row(f"`apply` of a change to {count} realms, {where}", apply, least_apply, most_apply),
    ]


@dataclass(frozen=True)
class Rig:
    """A server with realms, the command line set up for it, and the seconds to start the program in."""

    where: str
    cli: CommandLine
    floor: Floor
    realms: list[str]
    start: float


def parts(rig: Rig, counts: Sequence[int], rounds: int) -> list[Row]:
    """Measure an apply to the first realms beside a bare loop that reads and writes each, in turn.

    An apply to all realms uses a glob, one to fewer names each.
    """
    rows, cli, floor = [], rig.cli, rig.floor
    for count in counts:
        some, is_all = rig.realms[:count], count == len(rig.realms)
        for name in ("E", "F"):
            text = specs.for_all(name) if is_all else specs.for_some(name, some)
            (cli.folder / f"{name}-{count}.yaml").write_text(text, encoding="utf-8")
        loops, reads, applies = [], [], []
        for name in ["E", "F"] * rounds:
            loops.append(median(lambda some=some: floor.loop(some, {**SETTINGS, "fromDisplayName": "G"}), 1))
            applies.append(cli("apply", f"{name}-{count}.yaml", *APPLY).seconds)
            reads.append(median(floor.drift if is_all else lambda some=some: floor.read_each(some), 1))
        loop, read, apply = (statistics.median(taken) for taken in (loops, reads, applies))
        most = (1.1 * loop + read if is_all else 1.3 * (loop + read)) + rig.start
        what = "all" if is_all else f"{count} named"
        rows.append(Row(f"`apply` to {what} of {len(rig.realms):,} realms, {rig.where}", apply, loop, most))
    return rows


def scale(folder: Path, sizes: list[int]) -> tuple[str, float]:
    """Measure time and memory as realms grow in number, on the sandbox; return the table and the most megabytes."""
    lines, most = [], 0.0
    for size in sizes:
        own = folder / str(size)
        own.mkdir()
        with sandbox(size) as url:
            cli = command_line(url, own)
            apply, drift = cli("apply", "A.yaml", *APPLY), cli("drift", "A.yaml")
        most = max(most, apply.megabytes, drift.megabytes)
        cells = [f"{size:,}"]
        for spent in (drift, apply):
            cells += [f"{spent.seconds:.2f}", f"{spent.seconds / size * 1000:.2f}", f"{spent.megabytes:.0f}"]
        lines.append(cells)
    head = ["realms", "`drift` s", "ms a realm", "MB", "`apply` s", "ms a realm", "MB"]
    return table(head, lines), most


def document(rows: list[Row], scaled: str, rounds: int) -> str:
    """Return docs/benchmarks.md."""
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    return f"""# Benchmarks

Written by `tox -e bench`; run it to get the figures of your own machine.

{table(HEAD, [row.cells() for row in rows])}

- Machine: {machine}; the servers run on the same cores: a real Keycloak {KEYCLOAK_26.version} (development database),
  and the sandbox in a process of its own.
- Every figure is the median of {rounds} or more whole processes, from start to exit, in seconds, the journal kept in
  SQLite; the floors are medians of the same requests sent by a bare `requests`, in the same run, in a process that
  already runs.
- Floor of `drift`: one token and one `GET /admin/realms`.
- Floor of `apply`: one token, one list, one `PUT` a realm, {CONNECTIONS} at once, and one more list, which takes a real
  server longer than the first, since it has to load what was written.
- Floor of `apply` to some of the realms, and of the second row to all: one token, one `GET` and one `PUT` a realm,
  {CONNECTIONS} at once, run in turn with `apply`. The limit is 1.3 × (floor + one more `GET` a realm, to read it back)
  + {ON_KEYCLOAK.drift} s, on the sandbox {ON_SANDBOX.drift} s; for all realms 1.1 × floor + one list
  + {ON_KEYCLOAK.drift} s.
- Limits of the other rows on Keycloak: 1.3 × floor + {ON_KEYCLOAK.drift} s for `drift`, 1.3 × floor for `apply`,
  start of the program and journal included; on the sandbox 1.3 × floor + {ON_SANDBOX.apply} s. `--version` has a
  limit of 0.12 s, `validate` one of 1 s.

## As realms grow in number

On the sandbox, one run each, peak memory of the process; the limit is {MOST_MEGABYTES} MB. The sandbox answers one
request at a time and closes each connection, so most of `apply`'s time is its own.

{scaled}
"""


def main() -> None:
    """Start the servers, make the realms, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realms", type=int, default=250)
    parser.add_argument("--sandbox-realms", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", default="100,1000,10000")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("real", "sandbox", "scale"):
            (folder / name).mkdir()
        with KeycloakServer(KEYCLOAK_26) as server:
            api = AdminApi(server.url)
            realms = [f"bench-{n:05}" for n in range(given.realms)]
            for realm in realms:
                api.create_realm(realm)
            api.close()
            cli = command_line(server.url, folder / "real")
            rows = offline(cli, given.rounds)
            keycloak = f"Keycloak {KEYCLOAK_26.version}"
            rows += online(keycloak, cli, Floor(server.url), realms, given.rounds, ON_KEYCLOAK)
            rig = Rig(keycloak, cli, Floor(server.url), realms, ON_KEYCLOAK.drift)
            rows += parts(rig, [len(realms), *PARTS], given.rounds)
        with sandbox(given.sandbox_realms) as url:
            names = [f"bench-{n:05}" for n in range(given.sandbox_realms)]
            cli = command_line(url, folder / "sandbox")
            rows += online("sandbox", cli, Floor(url), names, given.rounds, ON_SANDBOX)
        with sandbox(MANY) as url:
            (folder / "many").mkdir()
            names, cli = [f"bench-{n:05}" for n in range(MANY)], command_line(url, folder / "many")
            rows += parts(Rig("sandbox", cli, Floor(url), names, ON_SANDBOX.drift), [50], given.rounds)
        scaled, most = scale(folder / "scale", [int(size) for size in given.scale.split(",")])
    page = document(rows, scaled, given.rounds)
    print(page)
    PAGE.write_text(page, encoding="utf-8")
    if most > MOST_MEGABYTES or any(row.seconds > row.limit for row in rows):
        sys.exit("over a limit, see the tables")


if __name__ == "__main__":
    main()
