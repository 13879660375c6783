"""The command ``sandbox``: starts, answers, shows its page, ends when told to."""

from __future__ import annotations

import errno
import logging
import re
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import requests
from support.admin_api import AdminApi
from support.cli import Cli, raising, run_process
from support.smtp import attributes

from ztrust_mail.cli.commands import sandbox as command
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sandbox.relay.faults import MEANINGS, RelayFault

STARTED = re.compile(r"(http://127\.0\.0\.1:\d+\S*)/ shows")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put the handlers back that the command replaces in this process."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def meanwhile(monkeypatch: pytest.MonkeyPatch, look: Callable[[Sandbox], None]) -> None:
    """Look at the running sandbox once it introduced itself, then end it as a supervisor does."""
    introduce = command._print_introduction

    def introduced(sandbox: Sandbox) -> None:
        introduce(sandbox)
        look(sandbox)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(command, "_print_introduction", introduced)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_starts_answers_shows_its_page_and_ends_with_0(cli: Cli, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "ztrust_mail", "sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(6)]
            found = STARTED.search(said[0])
            assert found, "it does not say where it is"
            page = requests.get(f"{found[1]}/", timeout=10)
            cli.set(URL=found[1], USERNAME="admin", PASSWORD="admin")
            checked = cli("doctor")
        finally:
            process.send_signal(number)
            rest, err = process.communicate(timeout=60)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (checked.status, checked.err) == (0, "")
    assert (process.returncode, rest, err) == (0, "", "")
    assert f"  export ZTRUST_MAIL_URL={found[1]}\n" in said


def test_the_sandbox_prints_everything_needed_to_use_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sandbox] = []
    meanwhile(monkeypatch, seen.append)
    ran = cli("sandbox", "--port", "0", "--realm", "one", "--realm", "two", "--realm", "one", "--realm", "master")
    url = STARTED.search(ran.out)
    assert (ran.status, ran.err) == (0, "")
    assert url
    assert [sandbox.smtp(realm) for sandbox in seen for realm in ("one", "two", "master")] == [{}, {}, {}]
    assert ran.out.splitlines() == [
        f"Keycloak 26.7.4 in a sandbox: {url[1]}/ shows the mails received.",
        f"The relay is 127.0.0.1, port {seen[0].mail.port}, security none. Ctrl-C ends both.",
        "In another terminal:",
        f"  export ZTRUST_MAIL_URL={url[1]}",
        "  export ZTRUST_MAIL_USERNAME=admin ZTRUST_MAIL_PASSWORD=admin",
        "  ztrust-mail doctor",
    ]
    assert all(len(line) <= 80 for line in ran.out.splitlines())


@pytest.mark.parametrize("path", ["/auth", "auth", "/auth/"])
def test_an_old_version_lives_under_its_path(cli: Cli, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    answers = []
    meanwhile(monkeypatch, lambda sandbox: answers.append(requests.get(f"{sandbox.url}/", timeout=10).status_code))
    ran = cli("sandbox", "--port", "0", "--version", "16.1.1", "--base-path", path)
    assert (ran.status, answers) == (0, [200])
    assert re.search(r"Keycloak 16\.1\.1 in a sandbox: http://127\.0\.0\.1:\d+/auth/ shows", ran.out)


def test_a_taken_port_is_status_2_with_a_hint(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = cli("sandbox", "--port", str(port))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        f"ztrust-mail: error: cannot listen on port {port}: Address already in use; choose another port with --port"
        " [sandbox]\n"
    )


def test_a_taken_relay_port_names_the_option_of_the_relay(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = cli("sandbox", "--port", "0", "--smtp-port", str(port))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        f"ztrust-mail: error: cannot listen on port {port}: Address already in use; choose another port with"
        " --smtp-port [sandbox]\n"
    )


def test_one_port_for_both_servers_is_refused(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    ran = cli("sandbox", "--port", port, "--smtp-port", port)
    assert (ran.status, ran.out) == (2, "")
    assert f"--port and --smtp-port are both {port}; choose another port for one of them" in ran.err


def test_the_relay_listens_on_the_given_port(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    seen: list[Sandbox] = []
    meanwhile(monkeypatch, seen.append)
    ran = cli("sandbox", "--port", "0", "--smtp-port", str(port))
    assert (ran.status, seen[0].mail.port) == (0, port)
    assert f"The relay is 127.0.0.1, port {port}, security none.\u0020" in ran.out


@pytest.mark.parametrize("by_variable", [False, True])
def test_the_login_is_enforced_and_its_password_never_shown(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, by_variable: bool
) -> None:
    replies = []

    def send(sandbox: Sandbox) -> None:
        for password in (None, "wrong", "pass:word-1"):
            with smtplib.SMTP("127.0.0.1", sandbox.mail.port) as client:
                try:
                    if password:
                        client.login("apikey", password)
                    client.sendmail("a@b.example", ["c@d.example"], "Subject: x\r\n\r\n")
                    replies.append(250)
                except smtplib.SMTPResponseException as refused:
                    replies.append(refused.smtp_code)

    meanwhile(monkeypatch, send)
    arguments = ["sandbox", "--port", "0"]
    if by_variable:
        cli.set(SMTP_LOGIN="apikey:pass:word-1")
    else:
        arguments += ["--smtp-login", "apikey:pass:word-1"]
    with caplog.at_level(logging.DEBUG):
        ran = cli(*arguments)
    assert (ran.status, ran.err, replies) == (0, "", [530, 535, 250])
    assert "\nThe relay requires the login of user `apikey`.\n" in ran.out
    assert "word-1" not in ran.out + caplog.text


@pytest.mark.parametrize("login", ["canary-1", ":canary-1", "canary-1:"])
def test_an_incomplete_login_is_refused_without_showing_it(cli: Cli, login: str) -> None:
    ran = cli("sandbox", "--port", "0", "--smtp-login", login)
    assert (ran.status, ran.out) == (2, "")
    assert "--smtp-login has no user or no password; write --smtp-login USER:PASSWORD" in ran.err
    assert "canary" not in ran.err


@pytest.mark.parametrize("fault", list(RelayFault))
def test_a_test_mail_can_be_made_to_fail(cli: Cli, monkeypatch: pytest.MonkeyPatch, fault: RelayFault) -> None:
    statuses = []

    def test_mail(sandbox: Sandbox) -> None:
        api = AdminApi(sandbox.url)
        settings = attributes(sandbox.mail, auth="true", user="u", password="p", starttls="true", timeout="500")
        statuses.append(api.test_mail("acme", settings).status_code)
        api.close()

    meanwhile(monkeypatch, test_mail)
    ran = cli("sandbox", "--port", "0", "--smtp-login", "u:p", "--relay-fault", fault)
    assert (ran.status, ran.err, statuses) == (0, "", [500])
    assert f"\nRelay fault {fault}: {MEANINGS[fault]}.\n" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_faults_are_listed_repeated_and_separated_by_commas(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sandbox] = []
    meanwhile(monkeypatch, seen.append)
    ran = cli("sandbox", "--port", "0", "--relay-fault", "auth, slow", "--relay-fault", "expired")
    assert (ran.status, seen[0].mail.faults) == (0, {RelayFault.AUTH, RelayFault.SLOW, RelayFault.EXPIRED})
    assert "security starttls" in ran.out


@pytest.mark.parametrize(
    ("faults", "problem"),
    [
        ("closd", "unknown fault `closd` in --relay-fault; did you mean `closed`?"),
        ("auth,", "unknown fault `` in --relay-fault; known faults: closed, auth, expired, wrong-name,"),
        ("closed,auth", "--relay-fault closed and auth exclude each other; leave one of them out"),
        ("expired,no-starttls", "--relay-fault no-starttls and expired exclude each other; leave one of them out"),
    ],
)
def test_unknown_or_conflicting_relay_faults_are_refused(cli: Cli, faults: str, problem: str) -> None:
    ran = cli("sandbox", "--port", "0", "--relay-fault", faults)
    assert (ran.status, ran.out) == (2, "")
    assert problem in ran.err


def test_a_rotation_to_a_mistyped_password_stops_at_the_canary(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[int, int]] = []

    def rotate(sandbox: Sandbox) -> None:
        for number in range(3):
            sandbox.create_realm(f"tenant-{number}")
        cli.use(sandbox)
        relay = f"{{host: 127.0.0.1, port: {sandbox.mail.port}, auth: {{username: apikey, password: {{env: RELAY}}}}}}"
        realms = "".join(f"  tenant-{number}: {{}}\n" for number in range(3))
        cli.write(
            "mail.yaml",
            f"version: 1\ndefaults:\n  relay: {relay}\n  sender: {{address: a@b.example}}\nrealms:\n{realms}",
        )
        for password in ("typed-rihgt", "typed-right"):
            monkeypatch.setenv("RELAY", password)
            done = run_process("rotate", "env:RELAY", "mail.yaml", "--yes")
            stored = [sandbox.smtp(f"tenant-{number}").get("password") for number in range(3)]
            runs.append((done.status, stored.count(password)))

    meanwhile(monkeypatch, rotate)
    ran = cli("sandbox", "--port", "0", "--smtp-login", "apikey:typed-right")
    assert (ran.status, runs) == (0, [(ExitStatus.PARTIAL, 1), (ExitStatus.OK, 3)])


@pytest.mark.parametrize("version", ["x", "", "26.", "-1", "26.x", "1" * 5000, "\u0662\u0666", "26.7.4-beta"])
def test_an_invalid_version_is_refused_with_a_hint(cli: Cli, version: str) -> None:
    ran = cli("sandbox", "--port", "0", f"--version={version}")
    assert (ran.status, ran.out) == (2, "")
    assert "is not a version number; write numbers with dots, such as 26.7.4" in ran.err


@pytest.mark.parametrize("arguments", [["sandbox", "--port", "0"], ["demo"]])
def test_the_sandbox_without_its_extra_says_what_to_install(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ztrust_mail.sandbox.sandbox", None)
    ran = cli(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "ztrust-mail: error: the sandbox needs an extra that is not installed; install it:"
        f" pip install 'ztrust-mail[sandbox]' [{arguments[0]}]\n"
    )


def test_all_other_commands_work_without_the_extra_of_the_sandbox(cli: Cli) -> None:
    absent = "import sys; sys.modules.update(werkzeug=None, aiosmtpd=None, trustme=None); "
    start = absent + "from ztrust_mail.cli.main import main; main()"
    assert run_process("init", "--out", "mail.yaml", python=("-c", start)).status == 0
    ran = run_process("sandbox", python=("-c", start))
    assert (ran.status, ran.out) == (2, "")
    assert "pip install 'ztrust-mail[sandbox]'" in ran.err


def test_a_port_taken_after_the_check_is_status_2(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sandbox, "start", raising(OSError(errno.EADDRINUSE, "canary")))
    ran = cli("sandbox", "--port", "0")
    assert (ran.status, ran.out) == (2, "")
    assert "cannot listen: Address already in use; choose other ports with --port and --smtp-port" in ran.err
    assert "canary" not in ran.err
