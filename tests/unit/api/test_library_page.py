"""Every example of docs/library.md runs, against the sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.console import blocks

import ztrust_mail
from ztrust_mail.sandbox.pytest_plugin import SandboxForTests

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
EXAMPLES = blocks(PAGE, "python")
PROGRAMS = [text for text in EXAMPLES if "pytest_plugins" not in text and "def test_" not in text]


def run(*arguments: str, folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    paths = {"PYTHONPATH": str(Path(ztrust_mail.__file__).parents[1])}
    command = [sys.executable, *arguments]
    environ = {**os.environ, **environ, **paths}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def on_the_sandbox(text: str, sandbox: SandboxForTests) -> str:
    """Return an example with URL, login and relay of the sandbox instead of those shown."""
    relay = f'"host": "127.0.0.1", "security": "none", "port": {sandbox.mail.port}'
    text = text.replace("https://id.example.com", sandbox.url).replace('username="mailer"', 'username="admin"')
    text = text.replace('"SMTP_PASSWORD": "…"', '"SMTP_PASSWORD": "relay-Passw0rd"')
    return text.replace('password="…"', 'password="admin"').replace('"host": "smtp.example.com"', relay)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_each_program_shown_runs(number, ztrust_sandbox, tmp_path):
    relay = f'{{host: "127.0.0.1", port: {ztrust_sandbox.mail.port}, security: none}}'
    spec = f"version: 1\nrealms: {{acme: {{sender: {{address: a@acme.example}}, relay: {relay}}}}}\n"
    (tmp_path / "mail.yaml").write_text(spec, encoding="utf-8")
    if "aio.drift" in PROGRAMS[number]:
        with ztrust_sandbox.connect() as session:
            loaded = ztrust_mail.load_spec(str(tmp_path / "mail.yaml"))
            ztrust_mail.apply(ztrust_mail.plan(loaded, session), session).raise_for_status()
    text = on_the_sandbox(PROGRAMS[number], ztrust_sandbox)
    done = run("-c", text, folder=tmp_path, environ=dict(ztrust_sandbox.environ))
    assert done.returncode == 0, done.stderr


def test_the_test_shown_passes(tmp_path):
    conftest, test = (text for text in EXAMPLES if text not in PROGRAMS)
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    (tmp_path / "test_shown.py").write_text(test, encoding="utf-8")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=tmp_path, environ={})
    assert done.returncode == 0, done.stdout


def test_the_page_shows_all_that_it_promises():
    assert len(PROGRAMS) == 6
    errors = {"RealmMissing", "MailTestFailed", "SecretError", "Unsafe", "SpecError", "JournalError", "ResultError"}
    assert all(f"`{name}`" in PAGE for name in errors)
