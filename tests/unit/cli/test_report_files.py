"""A report file is written in every format however a command ends, and never at the cost of the result."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from support.cli import Cli, Ran, raising, run_process
from support.stopping import started

from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.reports.report import OutputFormat, load_format
from ztrust_mail.sandbox import Sandbox

PLAIN = "version: 1\nrealms:\n  acme: {sender: {address: a@b.example}, relay: {host: h.example, security: none}}\n"
LOGIN = PLAIN.replace("security: none", "auth: {username: u, password: {env: NOT_SET}}")
REPORTS = [word for name in OutputFormat for word in ("--report", f"{name}=r.{name}")]

ENDINGS = {
    "invalid spec": (["plan", "bad.yaml"], 2),
    "invalid spec to apply": (["apply", "bad.yaml", "--yes"], 2),
    "no spec": (["drift", "nix.yaml"], 2),
    "no terminal": (["apply", "mail.yaml"], 2),
    "an unknown server": (["plan", "mail.yaml", "--server", "nix"], 2),
    "bad settings": (["history", "--config", "bad.yaml"], 2),
    "no settings": (["doctor", "--config", "nix.toml"], 2),
    "a server that is down": (["plan", "mail.yaml", "--server", "http://127.0.0.1:9"], 3),
    "a server that is down, doctor": (["doctor", "--server", "http://127.0.0.1:9"], 3),
    "a server that is down, test": (["test", "--server", "http://127.0.0.1:9"], 3),
    "a server that is down, revert": (["revert", "--yes", "--server", "http://127.0.0.1:9"], 2),
    "a missing secret": (["apply", "login.yaml", "--yes"], 4),
    "no plan": (["show", "nix.json"], 2),
    "an unknown option": (["plan", "mail.yaml", "--bad"], 2),
    "an unknown command": (["paln", "mail.yaml"], 2),
    "an unknown format": (["drift", "mail.yaml", "--format", "jsn"], 2),
    "a missing argument": (["validate"], 2),
    "nothing wrong": (["validate", "mail.yaml"], 0),
}


@pytest.fixture
def spec(cli: Cli, sandbox: Sandbox) -> str:
    cli.write("bad.yaml", "version: 1\nrealms:\n  acme: {sender: {adress: x}}\n")
    cli.write("login.yaml", LOGIN)
    return cli.write("mail.yaml", PLAIN)


def check_reports(ran: Ran, status: int) -> None:
    """Assert that all reports are there, and that what they say agrees with the exit status."""
    assert ran.status == status
    for name in OutputFormat:
        assert load_format(name).recognises(Path(f"r.{name}").read_bytes()[:512]), name
    assert json.loads(Path("r.json").read_text("utf-8"))["exit_status"] == status
    run = json.loads(Path("r.sarif").read_text("utf-8"))["runs"][0]
    assert run["invocations"][0]["exitCode"] == status
    is_failure = status not in (0, 1)
    assert any(one["level"] == "error" for one in run["results"]) == is_failure
    assert ("::error " in Path("r.github").read_text("utf-8")) == is_failure
    assert ("<failure " in Path("r.junit").read_text("utf-8")) == is_failure


@pytest.mark.parametrize(("arguments", "status"), ENDINGS.values(), ids=ENDINGS)
def test_reports_in_every_format_are_written_however_a_command_ends(
    cli: Cli, spec: str, arguments: list[str], status: int
) -> None:
    check_reports(cli(*arguments, *REPORTS), status)


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (ValueError("x"), 70)])
def test_reports_are_written_when_a_command_is_interrupted_or_has_a_bug(
    cli: Cli, spec: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    monkeypatch.setattr(KeycloakGateway, "account", raising(error))
    check_reports(cli("plan", spec, *REPORTS), status)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_cancelled_while_it_reads_leaves_its_reports(
    cli: Cli, sandbox: Sandbox, spec: str, number: signal.Signals
) -> None:
    with started("before-account", "plan", spec, *REPORTS) as stopped:
        stopped.reach()
        stopped.process.send_signal(number)
        status, out, err = stopped.end()
    assert err == "Interrupted.\n"
    check_reports(Ran(status, out, err), 130)


@pytest.mark.parametrize("name", OutputFormat)
def test_a_report_on_a_full_disk_is_reported_and_the_others_are_written(
    cli: Cli, spec: str, name: OutputFormat
) -> None:
    ran = cli("plan", spec, "--report", f"{name}=/dev/full", "--report", "sarif=r.sarif", "--format", "json")
    assert ran.status == 2
    assert ran.err == (
        "ztrust-mail: error: cannot write the report `/dev/full`: No space left on device; the command has finished "
        "its work; free some disk space, or name another file [report]\n"
    )
    assert ran.json["findings"][-1]["rule"] == "report"
    assert '"exitCode": 2' in Path("r.sarif").read_text("utf-8")


@pytest.mark.parametrize("name", set(OutputFormat) - {OutputFormat.TEXT})
def test_a_result_on_a_full_disk_is_in_the_report_files(cli: Cli, spec: str, name: OutputFormat) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = run_process("plan", spec, "--format", name, "--report", "json=r.json", stdout=full)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert json.loads(Path("r.json").read_text("utf-8"))["findings"][-1]["rule"] == "output"


@pytest.mark.parametrize("one", OutputFormat)
def test_a_report_replaces_one_in_another_format_and_nothing_else(cli: Cli, spec: str, one: OutputFormat) -> None:
    for other in OutputFormat:
        assert cli("validate", spec, "--report", f"{other}=r").status == 0
        assert cli("validate", spec, "--report", f"{one}=r").status == 0
    assert load_format(one).recognises(Path("r").read_bytes()[:512])
    for path, why in ((spec, "it is a spec"), (".", "it is a folder"), ("r2", "another report goes there")):
        ran = cli("validate", spec, "--report", "json=r2", "--report", f"{one}={path}")
        assert (ran.status, f"cannot write the report `{path}`: {why}" in ran.err) == (2, True)
    assert not Path("r2").exists()


def test_a_usage_error_writes_over_no_file_that_the_arguments_name(cli: Cli, spec: str) -> None:
    cli.write("empty.yaml", "")
    ran = cli("plan", spec, "empty.yaml", "--bad", "--report", "json=empty.yaml")
    assert (ran.status, "`empty.yaml`: it is a spec" in ran.err) == (2, True)
    assert Path("empty.yaml").read_text("utf-8") == ""


@pytest.mark.parametrize("name", set(OutputFormat) - {OutputFormat.TEXT})
def test_a_usage_error_is_one_document(cli: Cli, spec: str, name: OutputFormat) -> None:
    ran = cli("plan", spec, "--bad", "--format", name)
    assert load_format(name).recognises(ran.out.encode())
    assert "No such option" in ran.err
