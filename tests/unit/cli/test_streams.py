"""Standard streams that are closed, full or without a reader."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.cli import Cli, Ran

from ztrust_mail.cli import main, streams
from ztrust_mail.sandbox import Sandbox, SandboxOptions

SPEC = "version: 1\nrealms:\n  acme: {sender: {address: a@b.example}, relay: {host: h.example, security: none}}\n"
COMMANDS = (["validate", "mail.yaml"], ["schema"], ["--help"], ["completion", "zsh"], ["--version"])


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    return SandboxOptions(realms=("acme",))


@pytest.fixture
def spec(cli: Cli) -> str:
    return cli.write("mail.yaml", SPEC)


def in_shell(redirected: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Ran:
    """Run the command line with standard streams as a shell redirects them."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m ztrust_mail "$@" {redirected}', sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **(environ or {})},
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_result_that_does_not_fit_on_the_disk_is_reported_in_one_line(cli: Cli, spec: str, buffered: str) -> None:
    for arguments in COMMANDS:
        ran = in_shell(">/dev/full", *arguments, environ={"PYTHONUNBUFFERED": buffered})
        assert (arguments, ran.status, ran.err.count("\n")) == (arguments, 2, 1)
        assert "the result cannot be written: No space left on device; " in ran.err


def test_a_broken_standard_error_hides_neither_result_nor_status(cli: Cli, spec: str) -> None:
    for redirected in ("2>/dev/full", "2>&-"):
        assert in_shell(redirected, "validate", spec) == cli("validate", spec)
        assert in_shell(redirected, "plan", "nix.yaml", "--format", "json").json["status"] == "usage"
        assert in_shell(redirected, "nix").status == 2


def test_closed_standard_streams_are_the_null_device(cli: Cli, spec: str) -> None:
    for arguments in COMMANDS:
        assert in_shell("<&- >&- 2>&-", *arguments) == Ran(0, "")
    assert "the file is empty" in in_shell("<&-", "validate", "-").out


def test_a_closed_standard_input_is_no_terminal_to_ask_on(cli: Cli, spec: str) -> None:
    ran = in_shell("<&-", "apply", spec, "--server", "http://127.0.0.1:9")
    assert ran.status == 2
    assert "stdin is not a terminal" in in_shell("<&-", "history", "--prune", "1").err


def test_an_apply_whose_plan_cannot_be_shown_writes_nothing(sandbox: Sandbox, spec: str) -> None:
    ran = in_shell(">/dev/full", "apply", spec, "--yes")
    assert ran.status == 2
    assert ran.err.count("the result cannot be written") == 1
    assert sandbox.smtp("acme") == {}


@pytest.mark.parametrize("ends", ["before the plan", "during the writes"])
def test_an_apply_whose_pipe_is_closed_has_status_2_and_says_whether_it_wrote(
    sandbox: Sandbox, spec: str, ends: str
) -> None:
    reading, writing = os.pipe()
    if ends == "before the plan":
        os.close(reading)
    else:
        sandbox.faults.before_write = lambda realm: os.close(reading)
    try:
        command = [sys.executable, "-m", "ztrust_mail", "apply", spec, "--yes"]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(writing)
    written = ends == "during the writes"
    assert done.returncode == 2
    assert bool(sandbox.smtp("acme")) == written
    assert (b"the command has finished its work" in done.stderr) == written
    assert (b"nothing was written to the server" in done.stderr) == (not written)


def test_an_apply_whose_result_is_lost_says_that_it_has_written(sandbox: Sandbox, spec: str) -> None:
    ran = in_shell(">/dev/full", "apply", spec, "--yes", "--format", "json", "--report", "json=r.json")
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert (ran.status, report["exit_status"]) == (2, 2)
    assert "the command has finished its work; free some disk space, or redirect it elsewhere [output]" in ran.err
    assert report["findings"][-1]["rule"] == "output"
    assert [realm["status"] for realm in report["realms"]] == ["applied"]
    assert sandbox.smtp("acme")["host"] == "h.example"


# reports to streams and devices


@pytest.mark.parametrize(("redirected", "target"), [("", "/dev/stdout"), ("", "/dev/stderr"), ("3>&1", "/dev/fd/3")])
def test_a_report_goes_to_a_pipe(cli: Cli, spec: str, redirected: str, target: str) -> None:
    ran = in_shell(redirected, "validate", spec, "--report", f"json={target}")
    report, _ = json.JSONDecoder().raw_decode(ran.err if target == "/dev/stderr" else ran.out)
    assert (ran.status, report["exit_status"]) == (0, 0)
    assert ran.out.endswith("Valid: 1 realm and 0 globs in 1 file.\n")


def test_a_report_to_the_null_device_is_written_and_leaves_it_as_it_is(cli: Cli, spec: str) -> None:
    assert in_shell("", "validate", spec, "--report", "json=/dev/null").status == 0
    assert Path("/dev/null").is_char_device()
    ran = in_shell("", "validate", spec, "--report", "json=/dev/full")
    assert (ran.status, "cannot write the report `/dev/full`: No space left on device" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("redirected", "target", "name"),
    [
        (">all.txt", "all.txt", "standard output"),
        (">all.txt", "/dev/stdout", "standard output"),
        ("2>all.txt", "/dev/stderr", "standard error"),
    ],
)
def test_a_report_does_not_go_to_the_file_of_a_standard_stream(
    cli: Cli, spec: str, redirected: str, target: str, name: str
) -> None:
    ran = in_shell(redirected, "validate", spec, "--report", f"json={target}")
    said = f"cannot write the report `{target}`: {name} goes there; name another file"
    assert ran.status == 2
    assert said in (ran.err or Path("all.txt").read_text(encoding="utf-8"))


# in this process


def put(monkeypatch: pytest.MonkeyPatch, name: str, path: str) -> None:
    """Put a file in the place of a standard stream."""
    stream = open(path, "w", buffering=1, encoding="utf-8")  # noqa: SIM115  # the process's from here on
    monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(sys, f"__{name}__", stream)


def test_closed_streams_discard_writes_and_return_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    streams.guard_streams()
    with sys.stdin, sys.stdout, sys.stderr:
        assert sys.stdin.read() == ""
        sys.stdout.write("x")
        sys.stderr.write("x")


def test_streams_replaced_by_a_program_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream)
    streams.guard_streams()
    assert (sys.stdout, sys.stderr) == (stream, stream)


def test_a_log_that_goes_to_standard_error_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(monkeypatch, "stderr", str(tmp_path / "log"))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    log = logging.StreamHandler(sys.stderr)
    streams.guard_streams()
    with sys.stderr:
        sys.stderr.write("one\n")
        log.emit(logging.makeLogRecord({"msg": "two"}))
        sys.stderr.write("three\n")
    assert (tmp_path / "log").read_text(encoding="utf-8").split() == ["one", "two", "three"]


def test_a_full_standard_output_says_so_once_and_standard_error_never(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        put(monkeypatch, name, "/dev/full")
    streams.guard_streams()
    with sys.stdout, sys.stderr:
        sys.stderr.write("→" * 100_000)
        sys.stderr.flush()
        with pytest.raises(streams.OutputError, match=r"^the result cannot be written: No space") as caught:
            sys.stdout.write("→" * 100_000)
        assert caught.value.exit_status == 2
        sys.stdout.write("x")
        sys.stdout.flush()


def test_a_closed_pipe_is_not_reported_as_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    put(monkeypatch, "stdout", f"/dev/fd/{writing}")
    os.close(writing)
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    monkeypatch.setattr(sys, "argv", ["ztrust-mail", "--version"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    with sys.stdout:
        assert ended.value.code == 2
    assert "the program reading standard output has exited" in said.getvalue()


def test_help_that_does_not_fit_on_the_disk_is_status_2(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, "stdout", "/dev/full")
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    monkeypatch.setattr(sys, "argv", ["ztrust-mail", "--help"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    with sys.stdout:
        assert ended.value.code == 2
    message = "the result cannot be written: No space left on device; free some disk space, or redirect it elsewhere"
    assert said.getvalue() == f"ztrust-mail: {message}\n"
