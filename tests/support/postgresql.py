"""A real PostgreSQL server for tests: a cluster in a temporary folder, which is always stopped.

Needs Debian's package ``postgresql``; raises an error that says so if it is missing.
"""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from support.processes import free_port, tail

USER, DATABASE = "journal keeper", "journal"
START_TIMEOUT = 60.0  # seconds; about 2 on an idle machine
STOP_TIMEOUT = 30.0
_ATTEMPTS = 3  # a port that was free may be taken a moment later
_INSTALLED = "/usr/lib/postgresql"


class PostgresqlFailed(RuntimeError):
    """The server is missing or did not start; the text contains the end of its log."""


class PostgresqlServer:
    """A running cluster, as a context manager. The password of its user must be escaped in URLs.

    ``settings`` replace the cluster's settings, which are those of tests: data need not survive a crash.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = settings or {}
        self.password = f"p@ss:w/rd%{secrets.token_hex(8)}"
        self.port = 0
        self._programs = _programs()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._has_database = False

    def __enter__(self) -> PostgresqlServer:
        atexit.register(self.stop)
        try:
            self._make_cluster()
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self.start()
                    break
                except PostgresqlFailed as failure:
                    if attempt == _ATTEMPTS or "in use" not in str(failure):
                        raise
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def url(self, database: str = "postgres", password: str | None = None) -> str:
        """Return the URL of a database."""
        login = f"{quote(USER, safe='')}:{quote(self.password if password is None else password, safe='')}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def empty_database(self) -> str:
        """Empty the database for tests and return its name. It is reused: a new one costs 300 files."""
        if self._has_database:
            self.run(f"ALTER DATABASE {DATABASE} RESET ALL")
            self.run("DROP SCHEMA public CASCADE", DATABASE)
            self.run("CREATE SCHEMA public", DATABASE)
            self.run("GRANT USAGE ON SCHEMA public TO public", DATABASE)
        else:
            self.run(f"CREATE DATABASE {DATABASE}")
            self._has_database = True
        return DATABASE

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run one statement as the cluster's owner."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql.SQL(statement))

    def start(self) -> None:
        """Start the cluster, on its earlier port if it ran before, and wait until it accepts connections."""
        assert self._folder is not None
        self.port = self.port or free_port()
        log = self._folder / "log"
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "shared_buffers": "16MB",
            "max_connections": "400",  # dozens of workers at once
            "fsync": "off",  # the data need not survive a crash
            "timezone": "Asia/Tokyo",  # so that times in UTC are not correct by chance
            **self._settings,
        }
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/", **_as_owner()
            )
        try:
            self._wait_until_up(log)
        except BaseException:
            self.halt()
            self.port = 0
            raise

    def halt(self, *, for_good: bool = False) -> None:
        """Stop the cluster and preserve its data, unless ``for_good``; :meth:`start` starts it again."""
        if self._process is None:
            return
        fast, immediate = signal.SIGINT, signal.SIGQUIT
        for end in (immediate if for_good else fast, immediate, signal.SIGKILL):
            self._process.send_signal(end)
            try:
                self._process.wait(STOP_TIMEOUT)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process = None

    def stop(self) -> None:
        """Stop the cluster and remove it."""
        atexit.unregister(self.stop)
        self.halt(for_good=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _make_cluster(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        password_file = self._folder / "password"
        password_file.write_text(self.password)
        if owner := _owner():
            for path in (self._folder, password_file):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        made = subprocess.run(
            [str(self._programs / "initdb"), "-D", str(self._folder / "data"), "-U", USER, "--pwfile",
             str(password_file), "--auth", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
            **_as_owner(),
        )  # fmt: skip
        if made.returncode:
            raise PostgresqlFailed(f"initdb ended with {made.returncode}\n{made.stdout[-4000:]}")

    def _wait_until_up(self, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                pass
            try:
                self._process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            raise PostgresqlFailed(f"postgres ended with {self._process.returncode}\n{tail(log)}")
        raise PostgresqlFailed(f"postgres accepts no connection after {START_TIMEOUT:g} s\n{tail(log)}")


def _programs() -> Path:
    """Return the folder of the newest installed version's programs."""
    found = [path.parent for path in Path(_INSTALLED).glob("*/bin/initdb")]
    if not found:
        raise PostgresqlFailed(f"no {_INSTALLED}/*/bin/initdb: it is in the Debian package postgresql")
    return max(found, key=lambda folder: float(folder.parent.name))


def _owner() -> pwd.struct_passwd | None:
    """Return the user to run the server as: it refuses to run as root, so root uses the package's user."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def _as_owner() -> dict[str, Any]:
    owner = _owner()
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
