"""The fixtures for other people's tests: a server, a login and a journal of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ztrust_mail

OTHERS = {
    "conftest.py": 'pytest_plugins = ["ztrust_mail.sandbox.pytest_plugin"]\n',
    "test_others.py": """
import os
import ztrust_mail

ENTRY = {"sender": {"address": "shop@example.com"}, "relay": {"host": "smtp.example.com"}}
LOGIN = {"username": "admin", "password": "admin"}


def test_a_session_of_the_fixture(ztrust_sandbox):
    with ztrust_sandbox.connect() as session:
        assert ztrust_mail.ensure(session, {"acme": ENTRY}, test=False).written == ("acme",)
        assert [one.run.number for one in ztrust_mail.history(session)] == [1]


def test_the_next_test_has_another_journal(ztrust_sandbox):
    with ztrust_sandbox.connect() as session:
        assert ztrust_mail.history(session) == []
        assert session.server.name == ""


def test_code_that_knows_nothing_of_the_fixture(ztrust_sandbox):
    assert ztrust_mail.ensure(ztrust_sandbox.url, {"acme": ENTRY}, test=False, **LOGIN).written == ("acme",)
    assert ztrust_mail.ensure(ztrust_sandbox.url, {"globex": ENTRY}, test=False, environ={}, **LOGIN).written


def test_one_sandbox_for_all_tests_first(ztrust_sandbox_session):
    ztrust_sandbox_session.create_realm("shop")
    assert ztrust_mail.ensure(ztrust_sandbox_session.url, {"shop": ENTRY}, test=False, **LOGIN).written == ("shop",)


def test_one_sandbox_for_all_tests_then(ztrust_sandbox_session):
    with ztrust_sandbox_session.connect() as session:
        assert ztrust_mail.ensure(session, {"shop": ENTRY}, test=False).written == ()
""",
}
BROKEN = '[journal]\nurl = "sqlite:////nowhere/journal.sqlite3"\n'


def test_nothing_that_the_tests_of_others_do_reaches_the_users_journal_or_settings(tmp_path):
    home, work = tmp_path / "home", tmp_path / "work"
    own = home / ".config" / "ztrust-mail"
    own.mkdir(parents=True)
    (own / "ztrust-mail.toml").write_text(BROKEN, encoding="utf-8")
    work.mkdir()
    for name, text in OTHERS.items():
        (work / name).write_text(text, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ZTRUST_MAIL_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'temporary'}"],
        cwd=work,
        env={**kept, "HOME": str(home), "PYTHONPATH": str(Path(ztrust_mail.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert [path for path in home.rglob("*") if path.is_file()] == [own / "ztrust-mail.toml"]


def test_the_variables_of_the_fixture_are_all_that_a_process_needs(ztrust_sandbox, tmp_path):
    spec = tmp_path / "mail.yaml"
    spec.write_text("version: 1\nrealms: {acme: {disabled: true}}\n", encoding="utf-8")
    command = [sys.executable, "-m", "ztrust_mail", "plan", str(spec)]
    done = subprocess.run(
        command, env={**os.environ, **ztrust_sandbox.environ}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(ztrust_sandbox.environ) == {
        f"ZTRUST_MAIL_{name}" for name in ("URL", "USERNAME", "PASSWORD", "JOURNAL", "CONFIG")
    }
