"""Measures the command line against the raw floor on a real Keycloak, in one run, and writes docs/benchmarks.md.

    tox -e bench [-- --realms 250 --rounds 5]

The floor is what nobody can do without: one token and one list of the realms for ``drift``; one token, a list,
the bare PUTs at the same concurrency, and a list for ``apply``. Every figure is a median of whole processes,
started anew each time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.admin_api import AdminApi  # noqa: E402  # needs the path above
from support.keycloak_server import KEYCLOAK_26, KeycloakServer  # noqa: E402

CONNECTIONS = 8
SCRIPT = Path(sysconfig.get_path("scripts")) / "ztrust-mail"


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds measured, the floor, and the most that is allowed."""

    work: str
    seconds: float
    floor: float | None
    limit: float

    def cells(self) -> list[str]:
        floor = f"{self.floor:.2f}" if self.floor else "–"
        ratio = f"{self.seconds / self.floor:.2f}" if self.floor else "–"
        verdict = "yes" if self.seconds <= self.limit else "NO"
        return [self.work, f"{self.seconds:.2f}", floor, ratio, f"{self.limit:.2f}", verdict]


def median(work: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of some work."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


class Floor:
    """The same requests with nothing around them."""

    def __init__(self, url: str) -> None:
        self.url = url

    def token(self) -> str:
        form = {"client_id": "admin-cli", "grant_type": "password", "username": "admin", "password": "admin"}
        answer = requests.post(f"{self.url}/realms/master/protocol/openid-connect/token", data=form, timeout=60)
        return str(answer.json()["access_token"])

    def list(self, token: str) -> list[dict[str, object]]:
        headers = {"Authorization": f"Bearer {token}"}
        listed: list[dict[str, object]] = requests.get(f"{self.url}/admin/realms", headers=headers, timeout=120).json()
        return listed

    def drift(self) -> None:
        self.list(self.token())

    def apply(self, realms: list[str], settings: dict[str, str]) -> None:
        """Send a list, the PUTs and a list, in this order: a list after writes takes the server longer."""
        token = self.token()
        self.list(token)
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
        session.headers["Authorization"] = f"Bearer {token}"

        def put(realm: str) -> None:
            body = {"smtpServer": {**settings, "from": f"no-reply@{realm}.example.com"}}
            session.put(f"{self.url}/admin/realms/{realm}", json=body, timeout=120).raise_for_status()

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(put, realms))
        session.close()
        self.list(token)


def run(arguments: list[str], folder: Path, environ: dict[str, str], expected: int) -> None:
    """Run the installed command line as its users do."""
    done = subprocess.run(
        [str(SCRIPT), *arguments], cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != expected:
        sys.exit(f"ztrust-mail {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")


def spec(name: str) -> str:
    """Return a spec that covers every realm of the benchmark."""
    return (
        "version: 1\ndefaults:\n  relay: {host: smtp.example.com}\n"
        f"  sender: {{address: 'no-reply@{{realm.slug}}.example.com', name: {name}}}\n"
        "realms:\n  'bench-*': {expect: {min: 1}}\n"
    )


def large_spec(entries: int) -> str:
    """Return a spec with that many entries of some ten lines."""
    entry = (
        "  realm-{n}:\n    sender:\n      address: no-reply@realm-{n}.example.com\n      name: Realm {n}\n"
        "    reply_to:\n      address: help@realm-{n}.example.com\n    relay:\n      port: 587\n"
        "      auth:\n        username: user-{n}\n        password: {{env: SMTP_PASSWORD}}\n"
    )
    head = "version: 1\ndefaults:\n  relay: {host: smtp.example.com}\nrealms:\n"
    return head + "".join(entry.format(n=n) for n in range(entries))


def offline(folder: Path, environ: dict[str, str], rounds: int) -> list[Row]:
    """Measure what needs no server."""
    (folder / "large.yaml").write_text(large_spec(1000), encoding="utf-8")
    version = median(lambda: run(["--version"], folder, environ, 0), rounds * 3)
    validate = median(lambda: run(["validate", "large.yaml"], folder, environ, 0), rounds)
    return [Row("`--version`", version, None, 0.12), Row("`validate` of 1,000 realms in one file", validate, None, 1.0)]


def online(url: str, realms: list[str], folder: Path, environ: dict[str, str], rounds: int) -> list[Row]:
    """Measure drift and apply against their floors on the server."""
    floor = Floor(url)
    for name in ("A", "B"):
        (folder / f"{name}.yaml").write_text(spec(name), encoding="utf-8")
    run(["apply", "A.yaml", "--yes"], folder, environ, 0)  # warms the server up, too
    least = median(floor.drift, rounds)
    drift = median(lambda: run(["drift", "A.yaml"], folder, environ, 0), rounds)

    names = ["B", "A"] * rounds
    apply = median(lambda: run(["apply", f"{names.pop()}.yaml", "--yes"], folder, environ, 0), rounds * 2 - 1)
    settings = {"host": "smtp.example.com", "port": "587", "starttls": "true", "ssl": "false", "auth": "false"}
    texts = [{**settings, "fromDisplayName": name} for name in ["C", "D"] * rounds]
    least_apply = median(lambda: floor.apply(realms, texts.pop()), rounds)
    count = len(realms) + 1
    return [
        Row(f"`drift` of {count} realms", drift, least, 1.3 * least + 0.4),
        Row(f"`apply` of a change to {len(realms)} realms", apply, least_apply, 1.3 * least_apply),
    ]


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = ["work", "seconds", "floor", "ratio", "limit", "within"]
    lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def document(rows: list[Row], version: str, rounds: int) -> str:
    """Return docs/benchmarks.md."""
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    return f"""# Benchmarks

Written by `tox -e bench`; run it to get the figures of your own machine.

{table(rows)}

- Machine: {machine}; a real Keycloak {version} (development database) on the same cores.
- Every figure is the median of {rounds} or more whole processes, from start to exit, in seconds; the floors are
  medians of the same requests sent by a bare `requests`, in the same run, in a process that already runs.
- Floor of `drift`: one token and one `GET /admin/realms`. Limit: 1.3 × floor + 0.4 s.
- Floor of `apply`: one token, one list, one `PUT` a realm, {CONNECTIONS} at once, and one more list, which takes
  the server longer than the first, since it has to load what was written. Limit: 1.3 × floor.
- `--version` has a limit of 0.12 s, `validate` one of 1 s.
"""


def main() -> None:
    """Start the server, make the realms, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realms", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    own = {name: value for name, value in os.environ.items() if not name.startswith("ZTRUST_MAIL_")}
    with tempfile.TemporaryDirectory() as temporary, KeycloakServer(KEYCLOAK_26) as server:
        folder = Path(temporary)
        login = {"URL": server.url, "USERNAME": "admin", "PASSWORD": "admin", "TIMEOUT": "60s"}
        environ = {**own, **{f"ZTRUST_MAIL_{k}": v for k, v in login.items()}, "XDG_CONFIG_HOME": temporary}
        api = AdminApi(server.url)
        realms = [f"bench-{n:04}" for n in range(given.realms)]
        for realm in realms:
            api.create_realm(realm)
        api.close()
        rows = [*offline(folder, environ, given.rounds), *online(server.url, realms, folder, environ, given.rounds)]
    print(table(rows))
    (ROOT / "docs" / "benchmarks.md").write_text(document(rows, KEYCLOAK_26.version, given.rounds), encoding="utf-8")
    print(json.dumps({row.work: round(row.seconds, 3) for row in rows}))
    if any(row.seconds > row.limit for row in rows):
        sys.exit("over the limit, see the table")


if __name__ == "__main__":
    main()
