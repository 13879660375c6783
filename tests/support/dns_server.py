"""A name server on loopback with the records that a test gives: Debian's knot, started as a process of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

HOST = "127.0.0.1"
_KNOTD = shutil.which("knotd", path="/usr/sbin:/usr/local/sbin") or "knotd"

Records = Mapping[str, Sequence[str]]
"""By name without the final dot, the records as a zone file has them, such as ``TXT "v=spf1 -all"``."""


def _free_port() -> int:
    """Return a port that is free for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
            stream.bind((HOST, 0))
            port: int = stream.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
                try:
                    datagram.bind((HOST, port))
                except OSError:
                    continue
                return port


def _zone_file(zone: str, records: Records) -> str:
    lines = [f"$ORIGIN {zone}.", "$TTL 60", "@ SOA ns admin 1 60 60 60 60", "@ NS ns", "ns A 127.0.0.1"]
    lines += [f"{name}. {record}" for name, all_of in records.items() for record in all_of]
    return "\n".join(lines) + "\n"


def _configuration(folder: Path, port: int, zones: Sequence[str], broken: Sequence[str]) -> str:
    text = f"""server:
    listen: {HOST}@{port}
    rundir: {folder}
database:
    storage: {folder}
template:
  - id: default
    storage: {folder}
    journal-content: none
    zonefile-load: whole
zone:
"""
    # a zone whose file is missing answers SERVFAIL
    return text + "".join(f'  - domain: {one}\n    file: "{one}.zone"\n' for one in [*zones, *broken])


@contextmanager
def dns_server(folder: Path, zones: Mapping[str, Records], broken: Sequence[str] = ()) -> Iterator[tuple[str, int]]:
    """Serve zones until the end of the block; yields address and port. Names in ``broken`` zones answer SERVFAIL."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    for zone, records in zones.items():
        (folder / f"{zone}.zone").write_text(_zone_file(zone, records), encoding="utf-8")
    path = folder / "knot.conf"
    path.write_text(_configuration(folder, port, [*zones], broken), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([_KNOTD, "-c", str(path)], stdout=log, stderr=log, cwd=folder)
    try:
        while not all(_serves(port, zone) for zone in zones):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                raise RuntimeError((folder / "log").read_text("utf-8", "replace"))
        yield HOST, port
    finally:
        process.terminate()
        process.wait(20)


def _serves(port: int, zone: str) -> bool:
    try:
        answer = dns.query.udp(dns.message.make_query(zone, "SOA"), HOST, port=port, timeout=1)
    except (OSError, dns.exception.DNSException):
        return False
    return answer.rcode() == dns.rcode.NOERROR


class SilentDnsServer:
    """Takes queries and never answers."""

    def __init__(self, datagram: socket.socket) -> None:
        self._datagram = datagram
        self.address: tuple[str, int] = datagram.getsockname()

    def count_queries(self) -> int:
        """Return how many queries came since the last call."""
        self._datagram.setblocking(False)
        queries = 0
        with suppress(BlockingIOError):
            while self._datagram.recv(4096):
                queries += 1
        return queries


@contextmanager
def silent_dns_server() -> Iterator[SilentDnsServer]:
    """Run a name server that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.bind((HOST, 0))
        yield SilentDnsServer(datagram)
