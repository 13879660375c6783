"""Workers in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import specs

from ztrust_mail import fleet, settings
from ztrust_mail.fleet.queue import WorkerEngine
from ztrust_mail.fleet.worker import Worker, WorkerOptions
from ztrust_mail.journal.database import parse_url
from ztrust_mail.sandbox import Sandbox, SandboxOptions


@contextmanager
def workers(number: int, config_path: str, concurrency: int) -> Iterator[list[int]]:
    """Run workers that each work on so many servers at once; gives their process ids."""
    command = [sys.executable, __file__, config_path, str(concurrency)]
    running = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield [one.pid for one in running]
    finally:
        for one in running:
            one.send_signal(signal.SIGTERM)
        for one in running:
            one.wait(timeout=60)


def serve(config_path: str, concurrency: int) -> None:
    """Work until SIGTERM."""
    warm_up()
    url = settings.journal_url(settings.load(config_path))
    assert url is not None
    with fleet.open_engine(config_path) as engine:
        assert isinstance(engine, WorkerEngine)
        Worker(engine, parse_url(url), WorkerOptions(concurrency=concurrency)).run()


def warm_up() -> None:
    """Do one request elsewhere: a worker runs for weeks, so the time to load its modules is not to be measured."""
    with tempfile.TemporaryDirectory() as folder, Sandbox(SandboxOptions(realms=("bench-00000",))) as sandbox:
        config = Path(folder) / "warm-up.toml"
        server = f'[servers.here]\nurl = "{sandbox.url}"\nusername = "admin"\npassword = "admin"\n'
        config.write_text(f'{server}[journal]\nurl = "sqlite:///{folder}/journal.sqlite3"\n', encoding="utf-8")
        spec = Path(folder) / "mail.yaml"
        spec.write_text(specs.for_all("Warm"), encoding="utf-8")
        fleet.submit(fleet.ApplySpec(str(spec), allow=("mass-change",)), "here", config_path=str(config))
        fleet.drain("here", config_path=str(config))


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
