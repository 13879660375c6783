"""The command ``sandbox``: starts, answers, shows its page, ends when told to."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import requests
from support.cli import Cli, run_process

from ztrust_mail.cli.commands import sandbox as command
from ztrust_mail.sandbox import Sandbox

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


def test_what_it_prints_is_all_one_needs_to_work_with_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sandbox] = []
    meanwhile(monkeypatch, seen.append)
    ran = cli("sandbox", "--port", "0", "--realm", "one", "--realm", "two", "--realm", "one", "--realm", "master")
    url = STARTED.search(ran.out)
    assert (ran.status, ran.err) == (0, "")
    assert url
    assert [sandbox.smtp(realm) for sandbox in seen for realm in ("one", "two", "master")] == [{}, {}, {}]
    assert ran.out.splitlines() == [
        f"Keycloak 26.7.4 in a sandbox: {url[1]}/ shows the mails received.",
        f"The relay for specs is 127.0.0.1, port {seen[0].mail.port}, security none. Ctrl-C ends both.",
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


@pytest.mark.parametrize("version", ["x", "", "26.", "-1", "26.x", "1" * 5000, "\u0662\u0666", "26.7.4-beta"])
def test_a_version_that_is_none_is_refused_with_a_hint(cli: Cli, version: str) -> None:
    ran = cli("sandbox", "--port", "0", f"--version={version}")
    assert (ran.status, ran.out) == (2, "")
    assert "is not a version number; write numbers with dots, such as 26.7.4" in ran.err


@pytest.mark.parametrize("arguments", [["sandbox", "--port", "0"], ["demo"]])
def test_without_the_extra_it_says_what_to_install(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ztrust_mail.sandbox.sandbox", None)
    ran = cli(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "ztrust-mail: error: the sandbox needs packages that are not installed; run:"
        f" pip install 'ztrust-mail[sandbox]' [{arguments[0]}]\n"
    )


def test_everything_else_works_without_the_extra(cli: Cli) -> None:
    absent = "import sys; sys.modules.update(werkzeug=None, aiosmtpd=None, trustme=None); "
    start = absent + "from ztrust_mail.cli.main import main; main()"
    assert run_process("init", "--out", "mail.yaml", python=("-c", start)).status == 0
    ran = run_process("sandbox", python=("-c", start))
    assert (ran.status, ran.out) == (2, "")
    assert "pip install 'ztrust-mail[sandbox]'" in ran.err
