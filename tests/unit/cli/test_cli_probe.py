"""The command ``probe``: relays of realms, of specs and by their address, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cli import Cli, report_validator
from support.relays import OddRelays, answering
from support.smtp import PASSWORD, USER, Relays

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.sandbox import Sandbox


def spec_of(port: int, *realms: str, security: str = "none", **auth: object) -> str:
    relay = {"host": "localhost", "port": port, "security": security, **({"auth": auth} if auth else {})}
    entries = {name: {"sender": {"address": f"no-reply@{name}.example"}} for name in realms}
    return json.dumps({"version": 1, "defaults": {"relay": relay}, "realms": entries})


def test_a_relay_is_probed_by_its_address_without_any_server(cli: Cli, relays: Relays, ca_file: Path) -> None:
    sink = relays.starttls(login=True)
    cli.set(SERVER="")
    cli.monkeypatch.setenv("PW", PASSWORD)
    given = (
        "--relay",
        f"localhost:{sink.port}",
        "--username",
        USER,
        "--password",
        "env:PW",
        "--from",
        "a@acme.example",
    )
    done = cli("probe", *given, "--ca-bundle", str(ca_file), "--to", "b@acme.example", "--send")
    assert (done.status, done.err) == (ExitStatus.OK, "")
    assert "login       ok        LOGIN as relay-user accepted" in done.out
    assert "Probed 1 relay: 1 ok." in done.out
    assert sink.wait_for(1)[0].message_id in done.out
    assert PASSWORD not in done.out


def test_the_stages_after_a_failure_are_said_to_be_not_tested(cli: Cli, odd_relays: OddRelays) -> None:
    done = cli("probe", "--relay", f"127.0.0.1:{odd_relays(answering()).port}")
    assert done.status is ExitStatus.DIFFERS
    assert "STARTTLS    critical  the relay does not offer STARTTLS" in done.out
    assert "not tested: EHLO (TLS), MAIL FROM, RCPT TO, DATA (STARTTLS failed)" in done.out
    assert "[relay-no-starttls]" in done.out


def test_realms_of_a_spec_need_no_server(cli: Cli, odd_relays: OddRelays) -> None:
    relay = odd_relays(answering())
    cli.write("mail.json", spec_of(relay.port, "acme", "globex"))
    done = cli("probe", "--spec", "mail.json")
    assert (done.status, relay.connections) == (ExitStatus.OK, 1)
    assert "2 realms (acme and globex)  ok" in done.out
    assert cli("probe", "globex", "--spec", "mail.json").out.count("globex") == 2
    assert cli("probe", "globx", "--spec", "mail.json").status is ExitStatus.USAGE


def test_globs_of_a_spec_need_a_server(cli: Cli, sandbox: Sandbox, odd_relays: OddRelays) -> None:
    relay = odd_relays(answering())
    cli.write("mail.json", spec_of(relay.port, "*"))
    done = cli("probe", "--spec", "mail.json")
    assert done.status is ExitStatus.OK
    assert "2 realms (acme and globex)  ok" in done.out
    assert "acme" in cli("probe", "acme", "--spec", "mail.json").out


def test_globs_of_a_spec_without_a_server_are_refused(cli: Cli) -> None:
    cli.write("mail.json", spec_of(25, "*"))
    done = cli("probe", "--spec", "mail.json")
    assert done.status is ExitStatus.USAGE
    assert "the spec has globs" in done.err


def test_live_realms_are_probed_without_their_masked_secret(cli: Cli, sandbox: Sandbox, relays: Relays) -> None:
    sink = relays.with_login()
    smtp = {"host": "localhost", "port": str(sink.port), "from": "a@acme.example"}
    sandbox.edit_smtp("acme", {**smtp, "auth": "true", "user": USER, "password": PASSWORD})
    done = cli("probe", "acme", "globex", "nosuch", "--allow-clear-login", "--format", "json")
    report = json.loads(done.out)
    report_validator().validate(report)
    assert (done.status, report["exit_status"]) == (ExitStatus.PARTIAL, ExitStatus.PARTIAL)
    statuses = {one["realm"]: one["status"] for one in report["realms"]}
    assert statuses == {"acme": "not-tested", "globex": "skipped", "nosuch": "missing"}
    (relay,) = report["relays"]
    login = next(one for one in relay["stages"] if one["stage"] == "login")
    assert (login["status"], login["rule"]) == ("not-tested", "relay-login-not-tested")
    assert "masks" in login["detail"]
    assert PASSWORD not in done.out


def test_verbose_shows_the_dialogue_with_marks_and_without_the_login(cli, relays: Relays, ca_file: Path) -> None:
    sink = relays.tls(login=True)
    cli.monkeypatch.setenv("PW", PASSWORD)
    given = ("--relay", f"localhost:{sink.port}", "--security", "tls", "--username", USER, "--password", "env:PW")
    done = cli("probe", *given, "--ca-bundle", str(ca_file), "--verbose", "--ehlo-name", "a.example")
    assert f"localhost:{sink.port}  ~> ehlo a.example" in done.err
    assert "~> AUTH LOGIN\n" in done.err
    assert "~> (login not shown)\n" in done.err
    assert PASSWORD not in done.err


def test_many_fine_relays_are_two_lines_each(cli: Cli, odd_relays: OddRelays) -> None:
    entries = {
        f"t{n}": {
            "sender": {"address": "a@acme.example"},
            "relay": {"host": "127.0.0.1", "port": odd_relays(answering()).port, "security": "none"},
        }
        for n in range(5)
    }
    cli.write("mail.json", json.dumps({"version": 1, "realms": entries}))
    done = cli("probe", "--spec", "mail.json")
    assert "Probed 5 relays: 5 ok." in done.out
    assert "banner" not in done.out
    assert "banner" in cli("probe", "--spec", "mail.json", "--details").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--relay", "smtp.example.com"), "is not HOST:PORT"),
        (("--relay", "smtp.example.com:0"), "is not HOST:PORT"),
        (("--relay", "smtp.example.com:99999"), "is not HOST:PORT"),
        (("--relay", "a b:25"), "--relay"),
        (("--relay", "a.example:25", "acme"), "--relay names the only relay"),
        (("--relay", "a.example:25", "--username", "u"), "a login needs --username and --password"),
        (("--relay", "a.example:25", "--username", "u", "--password", "hunter2"), "--password is no reference"),
        (("--username", "u"), "--username needs --relay"),
        (("--relay", "a.example:25", "--ipv4", "--ipv6"), "exclude each other"),
        (("--relay", "a.example:25", "--deadline", "20"), "is no duration"),
        (("--relay", "a.example:25", "--deadline", "1000m"), "out of range"),
        (("--relay", "a.example:25", "--send"), "needs a recipient"),
        (("--relay", "a.example:25", "--until", "startls"), "startls"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_connection(cli: Cli, arguments, words: str) -> None:
    done = cli("probe", *arguments)
    assert done.status is ExitStatus.USAGE
    assert words in done.err
    assert "hunter2" not in done.err


def test_the_policy_forbids_the_probe_of_a_spec_before_any_connection(cli: Cli, odd_relays: OddRelays) -> None:
    relay = odd_relays(answering())
    cli.write("settings.toml", '[policy]\nrelays = ["smtp.example.com"]\n')
    cli.write("mail.json", spec_of(relay.port, "acme"))
    done = cli("probe", "--spec", "mail.json", "--config", "settings.toml")
    assert done.status is ExitStatus.UNSAFE
    assert "the policy forbids this probe" in done.err
    assert relay.connections == 0


def test_the_stages_of_the_option_are_those_of_a_probe() -> None:
    from ztrust_mail.cli.commands.probe import STAGES
    from ztrust_mail.probing.outcome import Stage

    assert [*STAGES, "quit"] == [stage.value for stage in Stage]
