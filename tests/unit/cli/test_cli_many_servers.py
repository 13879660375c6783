"""Commands on several servers: who is worked on, what is printed where, and how they end."""

from __future__ import annotations

import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.cli import Cli, on_terminal, raising
from support.fleets import Fleet, entry

ALL = ("--config", "fleet.toml", "--server", "*")


def table_of(out: str) -> list[list[str]]:
    """Return the cells of the table at the end of a text."""
    lines = out.splitlines()
    start = max(number for number, line in enumerate(lines) if line.startswith("SERVER "))
    end = next(number for number in range(start, len(lines)) if re.match(r"\d+ servers?: ", lines[number]))
    return [re.split(" {2,}", line) for line in lines[start + 1 : end]]


def test_drift_of_six_servers_ends_with_a_table_and_no_failure_ends_another(cli: Cli, fleet: Fleet) -> None:
    ran = cli("drift", fleet.spec, *ALL)
    assert ran.status == 2
    assert table_of(ran.out) == [
        ["dev", "dev", "2", "2", "0", "drifted"],
        ["eu-1", "prod", "2", "2", "0", "drifted"],
        ["eu-2", "prod", "2", "2", "0", "drifted"],
        ["down", "lab", "–", "–", "–", "unreachable: connection refused"],
        ["locked-out", "lab", "–", "–", "–", "login refused"],
        ["broken", "lab", "–", "–", "–", "not run: the URL of server `broken` is not an http(s) URL"],
    ]
    assert "6 servers: 3 drifted, 1 unreachable, 1 login refused, 1 not run. Exit status 2.\n" in ran.out
    assert ran.err == ""


def test_the_text_of_each_server_is_whole_and_its_next_step_is_for_it_alone(cli: Cli, fleet: Fleet) -> None:
    ran = cli("plan", fleet.spec, *ALL, "--parallel", "8", "--details")
    sections = ran.out.split("== ")[1:]
    assert [section.split()[0] for section in sections] == ["dev", "eu-1", "eu-2", "down", "locked-out", "broken"]
    for name, section in zip(fleet.sandboxes, sections, strict=False):
        assert f"{name} ({fleet[name].url}), as admin" in section
        assert section.count("Plan: 2 realms to change") == 1
        assert f"ztrust-mail apply mail.yaml --server {name} --config fleet.toml" in section


def test_what_several_servers_have_in_common_is_shown_once(cli: Cli, fleet: Fleet) -> None:
    fleet["eu-1"].edit_smtp("acme", {"from": "old@acme.example"})
    ran = cli("plan", fleet.spec, "--config", "fleet.toml", "--server", "dev", "--server", "eu-*")
    assert [section.split()[0] for section in ran.out.split("== ")[1:]] == ["dev", "eu-1"]
    assert ran.out.count("The same on 1 other server: eu-2\n") == 1


def test_a_run_in_sync_shows_the_table_alone_unless_details_are_wanted(cli: Cli, fleet: Fleet) -> None:
    chosen = ("--config", "fleet.toml", "--label", "stage=prod")
    assert cli("apply", fleet.spec, *chosen, "--yes").status == 0
    ran = cli("drift", fleet.spec, *chosen)
    assert ran.status == 0
    assert ran.out.startswith("SERVER  STAGE  REALMS  CHANGE  FAILED  RESULT\n")
    assert ran.out.endswith("\n2 servers: 2 in sync. Exit status 0.\n")
    assert "== eu-1 (stage=prod, region=eu)\n" in cli("drift", fleet.spec, *chosen, "--details").out


def test_json_has_one_object_per_server_with_the_report_of_that_server_alone(cli: Cli, fleet: Fleet) -> None:
    report = cli.json("plan", fleet.spec, *ALL)
    assert (report["command"], report["server"], report["realms"], report["exit_status"]) == ("plan", "", [], 2)
    assert report["summary"] == {"realms": 6, "changed": 6}
    assert [one["name"] for one in report["servers"]] == ["dev", "eu-1", "eu-2", "down", "locked-out", "broken"]
    statuses = [one["report"]["exit_status"] for one in report["servers"]]
    assert statuses == [1, 1, 1, 3, 3, 2]
    alone = cli.json("plan", fleet.spec, "--config", "fleet.toml", "--server", "eu-1")
    assert report["servers"][1] == {
        "name": "eu-1",
        "labels": {"stage": "prod", "region": "eu"},
        "result": "would change",
        "report": alone,
    }


@pytest.mark.parametrize("format", ["markdown", "html", "junit", "sarif", "github", "gitlab"])
def test_every_format_names_the_servers(cli: Cli, fleet: Fleet, format: str) -> None:
    ran = cli("drift", fleet.spec, *ALL, "--format", format)
    assert ran.status == 2
    for name in ("eu-1", "eu-2", "down", "locked-out"):
        assert name in ran.out


def test_report_files_hold_all_servers(cli: Cli, fleet: Fleet) -> None:
    cli("drift", fleet.spec, *ALL, "--report", "text=all.txt", "--report", "json=all.json")
    assert "6 servers: " in (cli.folder / "all.txt").read_text(encoding="utf-8")
    assert '"name": "eu-2"' in (cli.folder / "all.json").read_text(encoding="utf-8")


def test_a_spec_for_another_server_is_refused_for_that_server_alone(cli: Cli, fleet: Fleet) -> None:
    cli.write(
        "guarded.yaml", (cli.folder / "mail.yaml").read_text().replace("realms:", "server: [eu-1, eu-2]\nrealms:")
    )
    report = cli.json("plan", "guarded.yaml", "--config", "fleet.toml", "--server", "dev", "--server", "eu-*")
    dev, *others = (one["report"] for one in report["servers"])
    assert dev["findings"][0]["message"] == "the spec is meant for server `eu-1` or `eu-2`, not for `dev`"
    assert [one["exit_status"] for one in others] == [1, 1]
    assert fleet["dev"].requests == ()


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("plan", ["--server", "eu-*", "--out", "plan.json"], "--out cannot be combined with several servers"),
        ("apply", ["--server", "eu-*", "--plan", "plan.json"], "--plan cannot be combined with several servers"),
        ("apply", ["--server", "eu-1", "--order", "stage=prod"], "--order needs several servers"),
        ("apply", ["--server", "eu-*", "--order", "prod", "--yes"], "--order contains `prod`, which is not NAME=VALUE"),
        ("apply", ["--server", "eu-*", "--order", "a=b,a=b", "--yes"], "--order names `a=b` twice"),
        ("apply", ["--server", "eu-*", "--order", "stage=dev", "--yes"], "server `eu-1` is in no stage of --order"),
        ("apply", ["--server", "eu-*"], "stdin is not a terminal"),
        ("drift", ["--server", "q*"], "no server matches `q*`"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_request(
    cli: Cli, fleet: Fleet, command: str, options: list[str], message: str
) -> None:
    specs = [] if "--plan" in options else [fleet.spec]
    ran = cli(command, *specs, "--config", "fleet.toml", *options)
    assert ran.status == 2
    assert message in ran.err
    assert all(sandbox.requests == () for sandbox in fleet.sandboxes.values())


def test_no_report_is_written_among_the_realm_exports_of_a_server(cli: Cli, fleet: Fleet) -> None:
    exported = cli.write("exports/acme-realm.json", '{"realm": "acme", "smtpServer": {}}')
    text = f'[servers.files]\nurl = "file://{cli.folder / "exports"}"\n'
    cli.write("fleet.toml", (cli.folder / "fleet.toml").read_text() + text)
    chosen = ("--config", "fleet.toml", "--server", "dev", "--server", "files")
    ran = cli("drift", fleet.spec, *chosen, "--report", "json=exports/drift.json")
    assert (ran.status, fleet["dev"].requests) == (2, ())
    assert [path.name for path in (cli.folder / exported).parent.iterdir()] == ["acme-realm.json"]
    assert cli.json("drift", fleet.spec, *chosen)["servers"][1]["result"] == "failed in part"  # globex is missing


# apply


def test_apply_writes_what_can_be_written_and_names_the_servers_that_are_left(cli: Cli, fleet: Fleet) -> None:
    ran = cli("apply", fleet.spec, *ALL, "--yes")
    assert ran.status == 2
    assert fleet.writes() == {"dev": 2, "eu-1": 2, "eu-2": 2}
    results = {row[0]: row[-1] for row in table_of(ran.out)}
    assert sorted(results[name] for name in fleet.sandboxes) == [f"applied (run {number})" for number in (1, 2, 3)]
    left = "--server down --server locked-out --server broken"
    assert f"Next: ztrust-mail apply mail.yaml {left} --config fleet.toml\n" in ran.out


def test_apply_asks_once_for_all_servers_and_a_no_writes_nothing(cli: Cli, fleet: Fleet) -> None:
    ran = cli("apply", fleet.spec, "--config", "fleet.toml", "--server", "eu-*", "--server", "down", typed="n\n")
    assert ran.err.count("[y/N]") == 1
    assert "Write to 4 realms on 2 servers (eu-1 and eu-2)? [y/N]" in ran.err
    assert ran.status == 3
    assert fleet.writes() == {"dev": 0, "eu-1": 0, "eu-2": 0}
    assert "3 servers: 2 declined, 1 unreachable. Exit status 3.\n" in ran.out
    assert "Declined; nothing was written.\nThe same on 1 other server: eu-2\n" in ran.out


def test_apply_after_a_yes_writes_all(cli: Cli, fleet: Fleet) -> None:
    ran = cli("apply", fleet.spec, "--config", "fleet.toml", "--server", "eu-*", typed="y\n")
    assert ran.status == 0
    assert fleet.writes() == {"dev": 0, "eu-1": 2, "eu-2": 2}


def test_more_servers_than_may_be_worked_on_at_once_are_all_asked_about(cli: Cli, fleet: Fleet) -> None:
    ran = cli("apply", fleet.spec, "--config", "fleet.toml", "--server", "eu-*", "--server", "dev", "--parallel", "1",
              typed="y\n")  # fmt: skip
    assert "on 3 servers" in ran.err
    assert fleet.writes() == {"dev": 2, "eu-1": 2, "eu-2": 2}


def test_servers_are_written_at_the_same_time(cli: Cli, fleet: Fleet) -> None:
    both = threading.Barrier(2)  # broken, and so an error, if the second server does not come to its write
    for name in ("eu-1", "eu-2"):
        fleet[name].faults.before_write = lambda realm: both.wait(30) and None if realm == "acme" else None
    assert cli("apply", fleet.spec, "--config", "fleet.toml", "--server", "eu-*", "--yes").status == 0
    assert not both.broken


@pytest.mark.parametrize("order", [[], ["--order", "stage=dev,stage=lab"]])
def test_a_server_that_does_not_answer_does_not_hold_up_the_writes_of_another(
    cli: Cli, fleet: Fleet, order: list[str]
) -> None:
    written, in_time = threading.Event(), list[bool]()
    fleet["dev"].faults.before_write = lambda _: written.set()
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def hold_up() -> None:
            connection, _ = silent.accept()
            with connection:
                in_time.append(written.wait(8))

        holding = threading.Thread(target=hold_up)
        holding.start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        cli.write("fleet.toml", (cli.folder / "fleet.toml").read_text() + entry("silent", url, 'stage = "lab"'))
        chosen = ("--config", "fleet.toml", "--server", "dev", "--server", "silent", *order)
        ran = cli("apply", fleet.spec, *chosen, "--yes")
        silent.close()
        holding.join()
    assert (ran.status, fleet.writes()["dev"], in_time[0]) == (3, 2, True)


def test_a_dangerous_plan_is_refused_for_its_server_alone(cli: Cli, fleet: Fleet) -> None:
    for number in range(12):
        for name in ("dev", "eu-1"):
            fleet[name].create_realm(f"tenant-{number}", {"host": "old.example.com", "from": "a@b.example"})
    glob = '  "tenant-*": {sender: {address: a@b.example}, relay: {host: new.example.com, security: none}}\n'
    fleet["eu-2"].create_realm("tenant-1")
    cli.write("mail.yaml", (cli.folder / "mail.yaml").read_text() + glob)
    chosen = ("--config", "fleet.toml", "--server", "eu-*", "--yes")
    report = cli.json("apply", fleet.spec, *chosen)
    refused, applied = report["servers"]
    assert (refused["result"], refused["report"]["exit_status"]) == ("refused: mass-change", 5)
    assert (applied["report"]["exit_status"], report["exit_status"]) == (0, 5)
    assert fleet.writes() == {"dev": 0, "eu-1": 0, "eu-2": 3}
    again = "ztrust-mail apply mail.yaml --server eu-1 --allow mass-change --canary 2 --config fleet.toml"
    assert f"If intended: {again}\n" in cli("apply", fleet.spec, *chosen).out.splitlines(keepends=True)[-1]


def test_stages_are_written_in_order_and_the_next_does_not_begin_after_a_failure(cli: Cli, fleet: Fleet) -> None:
    order = ("--config", "fleet.toml", "--server", "dev", "--server", "eu-*", "--order", "stage=dev,stage=prod")
    fleet["dev"].faults.failing_realms = {"globex"}
    report = cli.json("apply", fleet.spec, *order, "--yes")
    assert [one["report"]["exit_status"] for one in report["servers"]] == [4, 1, 1]
    assert {one["result"] for one in report["servers"][1:]} == {"not started: stage=dev failed"}
    assert {name: fleet.writes()[name] for name in ("eu-1", "eu-2")} == {"eu-1": 0, "eu-2": 0}
    fleet["dev"].faults.failing_realms = set()
    seen: list[int] = []
    fleet["eu-1"].faults.before_write = lambda _: seen.append(bool(fleet["dev"].smtp("globex")))
    assert cli("apply", fleet.spec, *order, "--yes").status == 0
    assert seen == [1, 1]


def test_a_failed_canary_of_a_stage_stops_the_next(cli: Cli, fleet: Fleet) -> None:
    order = ("--config", "fleet.toml", "--server", "dev", "--server", "eu-*", "--order", "stage=dev,stage=prod")
    ran = cli("apply", fleet.spec, *order, "--canary", "1", "--yes")  # nothing listens at the relay
    assert [row[-1] for row in table_of(ran.out)][1:] == ["not started: stage=dev failed"] * 2
    assert fleet.writes() == {"dev": 1, "eu-1": 0, "eu-2": 0}


def test_resume_ends_well_on_a_server_where_nothing_is_left(cli: Cli, fleet: Fleet) -> None:
    chosen = ("--config", "fleet.toml", "--server", "eu-*", "--yes")
    fleet["eu-1"].faults.failing_realms = {"globex"}
    assert cli("apply", fleet.spec, *chosen).status == 4
    fleet["eu-1"].faults.failing_realms = set()
    report = cli.json("apply", fleet.spec, *chosen, "--resume")
    assert [one["report"]["exit_status"] for one in report["servers"]] == [0, 0]
    assert [row["realm"] for row in report["servers"][0]["report"]["realms"]] == ["globex"]


# The other commands


def test_test_and_doctor_and_probe_ask_each_server(cli: Cli, fleet: Fleet) -> None:
    for sandbox in fleet.sandboxes.values():
        host, port = sandbox.mail.host, str(sandbox.mail.port)
        sandbox.edit_smtp("acme", {"host": host, "port": port, "from": "a@acme.example"})
    chosen = ("--config", "fleet.toml", "--server", "eu-*", "--server", "down")
    for command, results in (
        (("test", "acme", "--no-probe"), ["passed", "passed", "unreachable: connection refused"]),
        (("probe", "acme"), ["passed", "passed", "unreachable: connection refused"]),
        (("doctor",), ["all checks passed", "all checks passed", "unreachable"]),
    ):
        ran = cli(*command, *chosen)
        assert [row[-1] for row in table_of(ran.out)] == results
        assert ran.status == 3
    assert [len(sandbox.mail.received) for sandbox in fleet.sandboxes.values()] == [0, 1, 1]


def test_pull_makes_a_file_for_each_server_that_is_guarded_for_it(cli: Cli, fleet: Fleet) -> None:
    chosen = ("--config", "fleet.toml", "--server", "eu-*", "--server", "locked-out")
    assert cli("apply", fleet.spec, *chosen[:4], "--yes").status == 0
    assert "need a folder" in cli("pull", *chosen).err
    assert "`specs` is not a folder" in cli("pull", *chosen, "--out", "specs").err
    (cli.folder / "specs").mkdir()
    ran = cli("pull", *chosen, "--out", "specs")
    assert ran.status == 3
    assert sorted(path.name for path in (cli.folder / "specs").iterdir()) == ["eu-1.yaml", "eu-2.yaml"]
    assert f"Pulled 3 realms from {fleet['eu-1'].url} into specs/eu-1.yaml." in ran.out
    assert cli("plan", "specs/eu-1.yaml", "--config", "fleet.toml", "--server", "eu-1").status == 0
    assert "meant for server `eu-1`" in cli("plan", "specs/eu-1.yaml", "--config", "fleet.toml", "--server", "dev").err
    again = cli("pull", *chosen[:4], "--out", "specs")
    assert (again.status, again.out.count("already exists")) == (2, 4)


def test_rotate_writes_the_secret_on_each_server_and_says_where_it_is_still_used(
    cli: Cli, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "relay-password")
    login = "auth: {username: apikey, password: {env: SMTP_PASSWORD}}"
    text = (cli.folder / "mail.yaml").read_text().replace("security: none", f"security: tls, {login}")
    spec, chosen = cli.write("login.yaml", text), ("--config", "fleet.toml", "--server", "eu-*", "--yes")
    assert cli("apply", spec, *chosen).status == 0
    monkeypatch.setenv("SMTP_PASSWORD", "another-password")
    rotated = ("rotate", "env:SMTP_PASSWORD", spec, *chosen, "--canary", "0")
    assert "stdin is not a terminal" in cli(*(word for word in rotated if word != "--yes")).err
    ran = cli(*rotated)
    assert (ran.status, fleet.writes()) == (0, {"dev": 0, "eu-1": 4, "eu-2": 4})
    assert ran.out.count("no realm uses it any more") == 1
    assert "The same on 1 other server: eu-2\n" in ran.out
    for name in ("eu-1", "eu-2"):
        assert fleet[name].smtp("acme")["password"] == "another-password"
    assert "--out cannot be combined with several servers" in cli(*rotated[:-2], "--out", "plan.json").err


@pytest.mark.parametrize("options", [["--as", "kubernetes-job"], ["--relay", "h.example:25"]])
def test_a_probe_for_one_place_takes_no_several_servers(cli: Cli, fleet: Fleet, options: list[str]) -> None:
    ran = cli("probe", "--config", fleet.settings, "--server", "eu-*", *options)
    assert ran.status == 2


# Interruptions


def event_of_log(logger: str, request: pytest.FixtureRequest) -> threading.Event:
    """Return an event that is set when a logger logs something."""
    logged = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.set()

    listener = Listener()
    logging.getLogger(logger).addHandler(listener)
    request.addfinalizer(lambda: logging.getLogger(logger).removeHandler(listener))
    return logged


@pytest.mark.usefixtures("default_signals")
def test_an_interruption_finishes_the_writes_under_way_on_each_server_and_all_can_be_resumed(
    cli: Cli, fleet: Fleet, request: pytest.FixtureRequest
) -> None:
    cli.set(CONNECTIONS="1")
    both = threading.Barrier(2, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))

    def write(_: str) -> None:
        both.wait(30)
        assert noticed.wait(30)

    noticed = event_of_log("ztrust_mail.cli.many_servers.run", request)
    for name in ("eu-1", "eu-2"):
        fleet[name].faults.before_write = write
    chosen = ("--config", "fleet.toml", "--server", "eu-*", "--yes")
    ran = cli("apply", fleet.spec, *chosen, "--format", "json")
    assert (ran.status, ran.json["status"]) == (130, "interrupted")
    assert ran.err.count("finishing the writes in progress; no others are started [interrupted]") == 1
    assert fleet.writes() == {"dev": 0, "eu-1": 1, "eu-2": 1}
    for name in ("eu-1", "eu-2"):
        fleet[name].faults.before_write = None
    assert cli("apply", fleet.spec, *chosen, "--resume").status == 0
    assert fleet.writes() == {"dev": 0, "eu-1": 2, "eu-2": 2}


def test_an_interruption_at_the_question_writes_nothing_on_any_server(
    cli: Cli, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.cli.Keyboard.readline", raising(KeyboardInterrupt()))
    ran = cli("apply", fleet.spec, "--config", "fleet.toml", "--server", "eu-*", typed="")
    assert ran.status == 130
    assert [row[-1] for row in table_of(ran.out)] == ["interrupted", "interrupted"]
    assert fleet.writes() == {"dev": 0, "eu-1": 0, "eu-2": 0}
    assert (
        cli("apply", fleet.spec, "--config", "fleet.toml", "--server", "eu-*", "--yes").status == 0
    )  # no lock is left


def test_a_second_ctrl_c_no_longer_waits_for_a_server_that_is_only_read(cli: Cli, fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        cli.write("fleet.toml", (cli.folder / "fleet.toml").read_text() + entry("silent", url, 'stage = "lab"'))
        command = ("drift", fleet.spec, "--config", "fleet.toml", "--server", "dev", "--server", "silent")
        with on_terminal(*command) as terminal:
            terminal.wait_for("drift on 2 servers … 1 of 2 servers")
            terminal.type("\x03")
            terminal.wait_for("finishing the writes in progress")
            terminal.type("\x03")
            terminal.wait_for("Exit status 130.")
            lines = terminal.shown.decode().splitlines()
    results = [line for line in lines if line.startswith(("dev  ", "silent  "))]
    assert ["drifted" in results[0], "interrupted" in results[1]] == [True, True]


STAGED = """\
version: 1
realms:
  acme: {sender: {address: no-reply@acme.example}, relay: {host: smtp.example.com}}
  globex:
    servers: {region: eu}
    sender: {address: "no-reply@{domain}"}
    relay: {host: smtp.example.com}
"""


def test_validate_checks_the_spec_as_each_server_has_it_and_sends_nothing(cli: Cli, fleet: Fleet) -> None:
    spec = cli.write("staged.yaml", STAGED)
    text = (
        (cli.folder / "fleet.toml")
        .read_text()
        .replace("[servers.eu-1]", '[servers.eu-1]\nvars = {domain = "eu.example"}')
    )
    cli.write("fleet.toml", text)
    ran = cli("validate", spec, *ALL)
    assert (ran.status, ran.err) == (2, "")
    assert table_of(ran.out) == [
        ["dev", "dev", "valid: 1 realm and 0 globs in 1 file"],
        ["eu-1", "prod", "valid: 2 realms and 0 globs in 1 file"],
        ["eu-2", "prod", "invalid: 1 error"],
        ["down", "lab", "valid: 1 realm and 0 globs in 1 file"],
        ["locked-out", "lab", "valid: 1 realm and 0 globs in 1 file"],
        ["broken", "lab", "not run: the URL of server `broken` is not an http(s) URL"],
    ]
    assert ran.out.endswith("6 servers: 4 valid, 1 invalid, 1 not run. Exit status 2.\n")
    assert "== eu-2 (stage=prod, region=eu)\nstaged.yaml:6:23: error: " in ran.out
    assert all(sandbox.requests == () for sandbox in fleet.sandboxes.values())


def test_validate_on_several_servers_is_valid_where_all_are_and_json_has_an_object_for_each(
    cli: Cli, fleet: Fleet
) -> None:
    chosen = ("--config", "fleet.toml", "--server", "dev", "--server", "eu-*")
    ran = cli("validate", fleet.spec, *chosen)
    assert (ran.status, ran.out.splitlines()[-1]) == (0, "3 servers: 3 valid. Exit status 0.")
    report = cli.json("validate", fleet.spec, *chosen)
    assert [(one["name"], one["report"]["exit_status"]) for one in report["servers"]] == [
        ("dev", 0), ("eu-1", 0), ("eu-2", 0)
    ]  # fmt: skip
    alone = cli.json("validate", fleet.spec, "--config", "fleet.toml", "--server", "eu-1")
    assert report["servers"][1]["report"] == alone
    labelled = cli.json("validate", fleet.spec, "--config", "fleet.toml", "--label", "stage=prod")
    assert [one["name"] for one in labelled["servers"]] == ["eu-1", "eu-2"]


def test_validate_reads_a_spec_from_a_pipe_once_for_all_servers(cli: Cli, fleet: Fleet) -> None:
    ran = cli("validate", "-", *ALL[:2], "--server", "dev", "--server", "eu-1", stdin=STAGED)
    assert ran.status == 2
    assert "dev     dev    valid: 1 realm and 0 globs in 1 file\n" in ran.out
    assert "eu-1    prod   invalid: 1 error\n" in ran.out


def test_validate_writes_no_baseline_for_several_servers(cli: Cli, fleet: Fleet) -> None:
    ran = cli("validate", fleet.spec, *ALL, "--baseline", "known.json", "--write-baseline")
    assert (ran.status, "--write-baseline cannot be combined with several servers" in ran.err) == (2, True)
    assert not (cli.folder / "known.json").exists()


@pytest.fixture(name="mixed")
def mixed_fixture(cli: Cli, fleet: Fleet) -> Fleet:
    """The user's own file has the server ``dev``; the working folder's has all."""
    own = entry("dev", fleet["dev"].url, 'stage = "dev"')
    folder = "ztrust-mail/ztrust-mail.toml"
    cli.write(f"../home/{folder}", own)
    cli.write("ztrust-mail.toml", (cli.folder / "fleet.toml").read_text())
    return fleet


def test_servers_that_only_a_found_file_names_are_left_out_and_named_once(cli: Cli, mixed: Fleet) -> None:
    ran = cli("drift", mixed.spec, "--all-servers")
    assert ran.out.startswith("ztrust-mail.toml: warning: left out 5 servers (eu-1, eu-2, down, locked-out and broken)")
    assert ran.out.count("left out") == 1
    assert [row[0] for row in table_of(ran.out)] == ["dev"]
    report = cli.json("drift", mixed.spec, "--server", "*")
    assert [one["name"] for one in report["servers"]] == ["dev"]
    assert [one["rule"] for one in report["findings"]] == ["untrusted-settings"]
    assert [mixed[name].requests for name in ("eu-1", "eu-2")] == [(), ()]


def test_servers_that_are_left_out_are_named_before_the_question(cli: Cli, mixed: Fleet) -> None:
    ran = cli("apply", mixed.spec, "--server", "*", "--allow", "all", typed="n\n")
    assert "on 1 server (dev)? [y/N]" in ran.err
    assert ran.out.index("left out 5 servers") < ran.out.index("Plan: 2 realms") < ran.out.index("Declined")
    assert ran.out.count("left out") == 1


@pytest.mark.parametrize("options", [("--yes",), ("--yes", "--quiet"), ("--yes", "--order", "stage=prod")])
def test_nothing_is_written_on_any_server_where_the_result_cannot_be_shown(
    cli: Cli, fleet: Fleet, options: tuple[str, ...]
) -> None:
    command = ("apply", fleet.spec, "--config", "fleet.toml", "--server", "eu-*", *options)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ztrust_mail", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert b"the result cannot be written: No space left on device; nothing was written" in done.stderr
    assert sum(fleet.writes().values()) == 0


def test_an_apply_without_a_question_says_first_which_servers_it_works_on(cli: Cli, fleet: Fleet) -> None:
    ran = cli("apply", fleet.spec, "--config", "fleet.toml", "--server", "eu-*", "--yes")
    assert ran.out.startswith("Working on 2 servers: eu-1 and eu-2.\n\n")
    assert "Working on" not in cli("plan", fleet.spec, "--config", "fleet.toml", "--server", "eu-*").out
