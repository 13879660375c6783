"""Tests that explain themselves: what is probed, how realms are folded, and what reports say."""

from __future__ import annotations

import json
import re
import shlex
from itertools import count
from pathlib import Path

import pytest
import trustme
from support.cli import Cli
from support.connecting import FakeGateway, connected
from support.mail_settings import ENVIRON, realms
from support.relays import OddRelays, Talk, answering
from support.results import rules, statuses
from support.smtp import PASSWORD, USER, Relays, attributes, login_attributes

from ztrust_mail import test as send_tests
from ztrust_mail.core.errors import ExitStatus, MailTestFailed, RealmError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.diagnose.diagnosis import Examiner
from ztrust_mail.diagnose.mail_test import MailTestRun, send_stored
from ztrust_mail.probing.options import ProbeOptions
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.sandbox.relay.faults import CERTIFICATE_FAULTS, RelayFault, issue_tls_context
from ztrust_mail.sandbox.relay.sink import Encryption, MailSink
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore

REALMS = ("acme", "globex", "initech")


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    return SandboxOptions(realms=REALMS)


def entry(port: int, address: str = "a@acme.example", **relay: object) -> dict[str, object]:
    return {"sender": {"address": address}, "relay": {"host": "127.0.0.1", "port": port, "security": "none", **relay}}


def run_tests(sandbox: Sandbox, entries: dict[str, object], **more: object) -> MailTestRun:
    with connected(sandbox, ENVIRON) as session:
        return send_tests(session, spec=realms(entries), **more)  # type: ignore[arg-type]  # the tests' own values


REFUSING = answering({"MAIL": b"550 5.7.1 no\r\n"})


def test_realms_with_one_relay_have_one_verdict_and_one_probe(ztrust_sandbox: Sandbox, odd_relays: OddRelays) -> None:
    relay = odd_relays(REFUSING)
    run = run_tests(ztrust_sandbox, {name: entry(relay.port) for name in REALMS})
    assert [(one.realms, one.verdict.rule) for one in run.diagnoses] == [(REALMS, "relay-sender")]
    assert relay.connections == len(REALMS) + 1
    assert rules(run) == ["test-failed", "relay-sender"] * 3
    assert run.exit_status is ExitStatus.DIFFERS


def test_without_a_probe_the_relay_is_left_alone(ztrust_sandbox: Sandbox, odd_relays: OddRelays) -> None:
    relay = odd_relays(REFUSING)
    run = run_tests(ztrust_sandbox, {"acme": entry(relay.port)}, probe=False)
    assert (run.diagnoses, rules(run), relay.connections) == ((), ["test-failed"], 1)


def test_realms_of_one_relay_with_other_answers_have_verdicts_of_their_own(
    ztrust_sandbox: Sandbox, odd_relays: OddRelays
) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while (line := talk.hear().upper()) != b"QUIT":
            talk.say(b"550 5.7.1 no\r\n" if b"BAD@" in line else b"354 go\r\n" if line == b"DATA" else b"250 OK\r\n")
            while line == b"DATA" and talk.hear() != b".":
                pass
            talk.say(b"250 taken\r\n") if line == b"DATA" else None
        talk.say(b"221 bye\r\n")

    relay = odd_relays(play)
    entries = {"acme": entry(relay.port), "globex": entry(relay.port, "bad@acme.example")}
    run = run_tests(ztrust_sandbox, entries)
    assert statuses(run) == {"acme": "sent", "globex": "failed"}
    assert [(one.realms, one.verdict.rule) for one in run.diagnoses] == [(("globex",), "relay-sender")]


def test_senders_after_the_first_refused_ones_are_not_tried_and_share_their_verdict(
    ztrust_sandbox: Sandbox, odd_relays: OddRelays
) -> None:
    names = [f"tenant-{number}" for number in range(6)]
    for name in names:
        ztrust_sandbox.create_realm(name)
    relay = odd_relays(REFUSING)
    run = run_tests(ztrust_sandbox, {name: entry(relay.port, f"a@{name}.example") for name in names})
    assert [(one.realms, one.verdict.rule) for one in run.diagnoses] == [(tuple(names), "relay-sender")]
    hints = [one.findings[-1].hint for one in run.outcomes]
    assert [hint.rpartition(" ")[2] for hint in hints] == names


def test_a_sender_beyond_those_that_are_tried_is_the_likely_cause(examine: tuple[FakeGateway, Examiner]) -> None:
    gateway, examiner = examine
    smtp, gateway.url = gateway.stored["acme"], "http://127.0.0.1:8080"
    gateway.stored = {f"tenant-{number}": {**smtp, "from": f"a@tenant-{number}.example"} for number in range(22)}

    def fail(realm: str) -> None:
        raise MailTestFailed("the test mail failed", rule="test-failed")

    gateway.before_test = fail
    run = examiner.examine(send_stored(gateway, gateway.stored))
    causes = run.outcomes[-1].findings[-1].message
    assert "Likely: the relay refuses the sender a@tenant-21.example" in causes
    assert "Likely" not in run.outcomes[0].findings[-1].message
    assert [len(one.realms) for one in run.diagnoses] == [20, 2]


def test_a_mail_in_clear_text_that_should_be_encrypted_fails_the_test(ztrust_sandbox: Sandbox, relays: Relays) -> None:
    ztrust_sandbox.edit_smtp("acme", login_attributes(relays.with_login(), starttls="true"))
    with connected(ztrust_sandbox, ENVIRON) as session:
        run = send_tests(session, ["acme"])
    (outcome,) = run.outcomes
    assert (outcome.status.value, outcome.exit_status) == ("sent", ExitStatus.DIFFERS)
    assert outcome.proof == "sent in clear text: the relay offers no STARTTLS"
    assert [(one.rule, one.severity) for one in run.findings] == [("starttls-downgrade", Severity.CRITICAL)]


def test_the_probes_are_counted_after_the_tests(ztrust_sandbox: Sandbox, odd_relays: OddRelays) -> None:
    counts: list[tuple[int, int]] = []
    ports = [odd_relays(REFUSING).port for _ in range(2)]
    run_tests(
        ztrust_sandbox,
        {name: entry(port) for name, port in zip(REALMS, [*ports, ports[0]], strict=True)},
        probed=lambda done, total: counts.append((done, total)),
    )
    assert counts == [(0, 2), (1, 2), (2, 2)]


def test_a_relay_that_refuses_ehlo_and_takes_helo_is_a_downgrade(
    ztrust_sandbox: Sandbox, odd_relays: OddRelays
) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while (word := talk.hear()[:4].upper()) != b"QUIT":
            talk.say({b"EHLO": b"502 what?\r\n", b"DATA": b"354 go\r\n"}.get(word, b"250 OK\r\n"))
            while word == b"DATA" and talk.hear() != b".":
                pass
            talk.say(b"250 OK\r\n" if word == b"DATA" else b"")

    run = run_tests(ztrust_sandbox, {"acme": entry(odd_relays(play).port, security="starttls")})
    assert (rules(run), run.exit_status) == (["starttls-downgrade"], ExitStatus.DIFFERS)


def test_a_relay_that_got_a_mail_is_probed_up_to_the_encryption_without_a_login(
    odd_relays: OddRelays, examine: tuple[FakeGateway, Examiner]
) -> None:
    heard: list[bytes] = []

    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while True:
            heard.append(talk.hear().partition(b" ")[0].upper())
            talk.say(b"250-odd\r\n250 AUTH PLAIN\r\n" if heard[-1] == b"EHLO" else b"250 OK\r\n")

    gateway, examiner = examine
    login = {"auth": "true", "user": USER, "password": PASSWORD, "host": "127.0.0.1"}
    gateway.stored["acme"] |= {**login, "port": str(odd_relays(play).port)}
    run = examiner.examine(send_stored(gateway, ["acme"]))
    assert (run.diagnoses, heard) == ((), [b"EHLO", b"QUIT"])


def test_a_relay_that_offers_starttls_is_said_to(relays: Relays) -> None:
    gateway = FakeGateway({"acme": {key: str(value) for key, value in attributes(relays.starttls()).items()}})
    gateway.stored["acme"]["starttls"] = "true"
    examiner = Examiner(gateway, SecretStore(Reach(environ={})), Redactor(), ProbeOptions())
    run = examiner.examine(send_stored(gateway, ["acme"]))
    assert run.outcomes[0].proof == "sent; the relay offers STARTTLS, as seen from this machine"


def test_stored_settings_are_probed_without_their_masked_password(ztrust_sandbox: Sandbox, relays: Relays) -> None:
    relay = relays.with_login()
    ztrust_sandbox.edit_smtp("acme", login_attributes(relay, password="wrong"))
    with connected(ztrust_sandbox, ENVIRON) as session:
        run = send_tests(session, ["acme"])
    assert rules(run) == ["test-failed", "login-unknown"]


def test_settings_that_name_no_relay_and_realms_without_any_have_no_verdict(ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.edit_smtp("acme", {"host": "127.0.0.1", "port": "no port", "from": "a@acme.example"})
    with connected(ztrust_sandbox, ENVIRON) as session:
        run = send_tests(session, ["acme", "globex", "gone"])
    assert (statuses(run), run.diagnoses) == ({"acme": "failed", "globex": "skipped", "gone": "missing"}, ())


@pytest.fixture(name="examine")
def examine_fixture(odd_relays: OddRelays) -> tuple[FakeGateway, Examiner]:
    relay = odd_relays(answering())
    smtp = {"from": "a@acme.example", "host": "127.0.0.1", "port": str(relay.port)}
    gateway = FakeGateway({"acme": smtp})
    store = SecretStore(Reach(environ={}))
    return gateway, Examiner(gateway, store, Redactor(), ProbeOptions())


@pytest.mark.parametrize(("seconds", "rule"), [(0.5, "server-only"), (10.2, "server-timeout")])
def test_the_time_that_the_server_takes_tells_a_refusal_from_silence(examine, seconds: float, rule: str) -> None:
    gateway, examiner = examine

    def fail(realm: str) -> None:
        raise MailTestFailed("the test mail failed", rule="test-failed")

    gateway.before_test = fail
    times = count()
    run = examiner.examine(send_stored(gateway, ["acme"], clock=lambda: next(times) * seconds))
    assert run.outcomes[0].seconds == seconds
    assert run.diagnoses[0].verdict.rule == rule


def test_a_test_that_fails_for_another_reason_is_not_probed(examine) -> None:
    gateway, examiner = examine

    def fail(realm: str) -> None:
        raise RealmError("may not", rule="no-rights")

    gateway.before_test = fail
    assert examiner.examine(send_stored(gateway, ["acme"])).diagnoses == ()


def test_the_command_prints_both_sides_the_verdict_and_the_next_command(
    cli: Cli, sandbox: Sandbox, odd_relays: OddRelays
) -> None:
    relay = odd_relays(REFUSING)
    cli.write("mail.yaml", f"version: 1\nrealms:\n  acme: {entry(relay.port)}\n".replace("'", '"'))
    ran = cli("test", "--spec", "mail.yaml")
    assert ran.status == 1
    assert f"127.0.0.1:{relay.port} (none): acme  FAILED" in ran.out
    assert "server     the server says `Failed to send email`, after 0." in ran.out
    assert "from here  name, connect, banner, EHLO ok; MAIL FROM failed:" in ran.out
    assert "verdict    The relay refuses the sender: 550 5.7.1 no. [relay-sender]" in ran.out
    assert "then ztrust-mail test acme --spec mail.yaml" in ran.out
    assert ran.out.count("550 5.7.1 no") == 2  # what was seen, and the verdict
    report = cli.json("test", "--spec", "mail.yaml")
    (one,) = report["diagnoses"]
    assert (one["rule"], one["realms"], one["server"]["sent"]) == ("relay-sender", ["acme"], False)
    assert one["hint"].endswith("then ztrust-mail test acme --spec mail.yaml")
    assert cli.json("test", "--spec", "mail.yaml", "--no-probe")["diagnoses"] == []


@pytest.mark.parametrize("realm", ["ACME", "it's", "two words", "-x"])
def test_the_next_command_tests_the_same_realm_with_the_same_spec(
    cli: Cli, sandbox: Sandbox, odd_relays: OddRelays, realm: str
) -> None:
    sandbox.create_realm(realm)
    cli.write("mail.json", json.dumps({"version": 1, "realms": {realm: entry(odd_relays(REFUSING).port)}}))
    (one,) = cli.json("test", "--spec", "mail.json")["diagnoses"]
    command = shlex.split(one["hint"].partition("then ztrust-mail ")[2])
    assert command[0] == "test"
    assert cli("test", "--format", "json", *command[1:]).json["realms"][0]["realm"] == realm


@pytest.mark.parametrize("name", ["markdown", "sarif", "junit", "github", "gitlab"])
def test_a_verdict_is_in_every_format(cli: Cli, sandbox: Sandbox, odd_relays: OddRelays, name: str) -> None:
    relay = odd_relays(REFUSING)
    sandbox.edit_smtp("acme", {"from": "a@acme.example", "host": "127.0.0.1", "port": str(relay.port)})
    assert "relay-sender" in cli("test", "acme", "--format", name).out


def test_a_downgrade_ends_with_1_and_the_last_lines_say_so(cli: Cli, sandbox: Sandbox, relays: Relays) -> None:
    sandbox.edit_smtp("acme", attributes(relays.plain(), starttls="true"))
    ran = cli("test", "acme", "-q")
    assert ran.status == 1
    assert "CRITICAL: 1 mail was sent in clear text." in ran.out
    assert cli("test", "acme", "--no-probe").status == 0


def test_no_form_of_the_password_is_in_any_output(cli: Cli, sandbox: Sandbox, relays: Relays) -> None:
    relay = relays.refusing_login()
    sandbox.edit_smtp("acme", login_attributes(relay))
    cli.monkeypatch.setenv("RELAY_PASSWORD", PASSWORD)
    auth = {"username": USER, "password": {"env": "RELAY_PASSWORD"}}
    cli.write("mail.yaml", f"version: 1\nrealms:\n  acme: {entry(relay.port, auth=auth)}\n".replace("'", '"'))
    for arguments in (["acme"], ["--spec", "mail.yaml"], ["--spec", "mail.yaml", "--verbose"]):
        assert cli("test", *arguments).status == 1
        cli("test", *arguments, "--format", "json")
    assert [one for one in cli.seen if PASSWORD in one] == []


PAGE = Path(__file__).parents[3] / "docs" / "diagnosis.md"
REHEARSAL = re.compile(
    r"^\| `?([a-z-]+|no fault)`?(?:, and a login in the spec)? \| `(\w+)` \| `([a-z-]+)`", re.MULTILINE
)


def test_each_fault_of_the_sandbox_has_the_verdict_that_the_page_names(authority: trustme.CA, ca_file: Path) -> None:
    rows = REHEARSAL.findall(PAGE.read_text("utf-8"))
    assert {fault for fault, _, _ in rows} == {"no fault", *RelayFault}
    for fault, security, rule in rows:
        faults = [] if fault == "no fault" else [RelayFault(fault)]
        context = issue_tls_context(authority, faults) if {*faults} & CERTIFICATE_FAULTS else None
        encryption = Encryption.STARTTLS if context else Encryption.NONE
        sink = MailSink(encryption=encryption, tls_context=context, faults=faults)
        with Sandbox(SandboxOptions(realms=("acme",), ca_bundle=str(ca_file)), mail=sink) as sandbox:
            auth = {"username": USER, "password": {"env": "SMTP_PASSWORD"}} if fault == "auth" else False
            timeouts = {"read": "500ms"}  # for the relay that answers after 30 s
            relay = entry(sink.port, security=security, auth=auth, timeouts=timeouts)
            run = run_tests(sandbox, {"acme": relay}, probe=ProbeOptions(deadline=2, patience=0.1))
        assert [one.verdict.rule for one in run.diagnoses] == [rule], fault
