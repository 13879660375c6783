"""The command line as tests run it: in process, as a process of its own, and on a terminal."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

import jsonschema
import pytest

from ztrust_mail.cli.main import run
from ztrust_mail.core.data import schema_text
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.settings import PREFIX

PATIENCE = 60.0
WIDE = "1000"
"""Columns that no message needs, so that each is one line. Tests of wrapping set their own."""
_OURS = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "TERM", "http_proxy", "HTTP_PROXY")


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit status and what it wrote."""

    status: int
    out: str
    err: str = ""

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object on standard output, valid by the report schema and agreeing with the exit status."""
        report: dict[str, Any] = json.loads(self.out)
        report_validator().validate(report)
        assert report["exit_status"] == self.status
        return report


@cache
def report_validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema_text("report")))


class Keyboard(io.TextIOWrapper):
    """Standard input that holds a text, on a terminal or not."""

    is_terminal = False

    def __init__(self, content: str) -> None:
        super().__init__(io.BytesIO(content.encode()), encoding="utf-8")

    def isatty(self) -> bool:
        """Tell what the test says."""
        return self.is_terminal


@dataclass
class Cli:
    """Runs commands in a folder of its own and with an environment that holds nothing of the machine's settings."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    seen: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str, stdin: str = "", typed: str | None = None) -> Ran:
        """Run a command in process; ``typed`` is what a person types where standard input is a terminal."""
        keyboard = Keyboard(stdin if typed is None else typed)
        keyboard.is_terminal = typed is not None
        self.monkeypatch.setattr(sys, "stdin", keyboard)
        self.capsys.readouterr()
        status = run(list(arguments))
        ran = Ran(status, *self.capsys.readouterr())
        self.seen += [ran.out, ran.err]
        return ran

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run a command with ``--format json`` and return its valid report."""
        return self(*arguments, "--format", "json").json

    def write(self, name: str, content: str) -> str:
        """Write a file into the folder and return its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return name

    def set(self, **variables: str) -> None:
        """Set variables such as ``PASSWORD`` with our prefix."""
        for name, value in variables.items():
            self.monkeypatch.setenv(PREFIX + name, value)

    def use(self, sandbox: Sandbox, password: str | None = None) -> None:
        """Let the environment name a sandbox and its administrator."""
        password = sandbox.options.admin_password if password is None else password
        self.set(URL=sandbox.url, USERNAME=sandbox.options.admin_user, PASSWORD=password)


def isolate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Give the process an empty home, an empty working folder and none of our variables."""
    home = folder / "home"
    work = folder / "work"
    home.mkdir()
    work.mkdir()
    for name in list(os.environ):
        if name.startswith((PREFIX, "_ZTRUST_MAIL_")) or name in _OURS:
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("COLUMNS", WIDE)
    monkeypatch.chdir(work)


@pytest.fixture(name="cli")
def cli_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line in an empty home and an empty working folder. The log of its commands ends with the test."""
    isolate(monkeypatch, tmp_path)
    monkeypatch.setattr("ztrust_mail.transport.throttle.FIRST_PAUSE", 0.0)  # a busy sandbox is not waited for
    log = logging.getLogger("ztrust_mail")
    level, handlers = log.level, [*log.handlers]
    yield Cli(Path.cwd(), monkeypatch, capsys)
    log.setLevel(level)
    log.handlers[:] = handlers


@pytest.fixture(name="sandbox")
def sandbox_fixture(cli: Cli, ztrust_sandbox: Sandbox) -> Sandbox:
    """A running sandbox that the environment of ``cli`` names, with its administrator's login."""
    cli.use(ztrust_sandbox)
    return ztrust_sandbox


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Give the signals that end a run their default handlers, as in a new process, and restore them."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_process(
    *arguments: str,
    python: Sequence[str] = ("-m", "ztrust_mail"),
    stdin: str = "",
    environ: Mapping[str, str] | None = None,
    stdout: IO[str] | None = None,
) -> Ran:
    """Run the command line as a process of its own, in the folder and environment of this one.

    ``stdout`` is the file that it writes to, in place of what is returned.
    """
    done = subprocess.run(
        [sys.executable, *python, *arguments],
        input=stdin,
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **(environ or {})},
        timeout=PATIENCE,
        check=False,
    )
    return Ran(done.returncode, done.stdout or "", done.stderr)


@dataclass
class Terminal:
    """A command on a pseudo-terminal of 80 columns."""

    process: subprocess.Popen[bytes]
    handle: int
    shown: bytes = b""

    def wait_for(self, text: str) -> None:
        """Read until the text is shown; fails when the command ends before or takes too long."""
        while text.encode() not in self.shown:
            assert self._more(), f"ended without {text!r}: {self.shown!r}"

    def type(self, text: str) -> None:
        """Type on the keyboard; ``\\x03`` is Ctrl-C."""
        os.write(self.handle, text.encode())

    def finish(self) -> Ran:
        """Read to the end and return all that was shown."""
        while self._more():
            pass
        return Ran(self.process.wait(PATIENCE), self.shown.decode())

    def _more(self) -> bool:
        ready, _, _ = select.select([self.handle], [], [], PATIENCE)
        assert ready, f"nothing more is shown after: {self.shown!r}"
        try:
            new = os.read(self.handle, 65_536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.shown += new
        return bool(new)


def on_terminal(
    *arguments: str, environ: Mapping[str, str] | None = None
) -> contextlib.AbstractContextManager[Terminal]:
    """Run the command line with all three streams on a terminal that it is the foreground job of."""
    start = "import runpy; runpy.run_module('ztrust_mail', run_name='__main__', alter_sys=True)"
    given = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", **(environ or {})}
    return open_terminal([sys.executable, "-c", start, *arguments], given)


@contextlib.contextmanager
def open_terminal(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program with all three streams on a terminal that it is the foreground job of."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    become = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", become, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=dict(environ),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE)
        os.close(ours)


def raising(error: BaseException) -> Callable[..., None]:
    """Return a function that raises, whatever it is called with."""

    def raise_it(*_: object, **__: object) -> None:
        raise error

    return raise_it
