"""Completion in real shells: keys are typed on a pseudo-terminal, and the line is read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli
from support.shells import START, CompletingShell, completing_shell

SPEC = """\
version: 1
realms:
  acme: {}
  my realm: {}
  "tenant-*": {}
  "bad$(touch pwned)": {}
"""
SETTINGS = """\
[servers.production]
url = "https://id.example.com"
[servers.staging]
url = "https://staging.example.com"
"""
FILES = {
    "mail.yaml": SPEC,
    "two words.json": "{}",
    "mail": "",
    "notes.txt": "",
    "older/x.yml": SPEC,
    "ztrust-mail.toml": SETTINGS,
}
ALL = "\x1b*"  # bash's key for: insert all completions

COMPLETED = {
    "ztrust-mail val": "ztrust-mail validate ",
    "ztrust-mail help expl": "ztrust-mail help explain ",
    "ztrust-mail plan mail.": "ztrust-mail plan mail.yaml ",
    "ztrust-mail plan two": r"ztrust-mail plan two\ words.json ",
    "ztrust-mail plan old": "ztrust-mail plan older/",
    "ztrust-mail plan older/": "ztrust-mail plan older/x.yml ",
    "ztrust-mail plan --config ztr": "ztrust-mail plan --config ztrust-mail.toml ",
    "ztrust-mail plan --config=ztr": "ztrust-mail plan --config=ztrust-mail.toml ",
    "ztrust-mail plan --out not": "ztrust-mail plan --out notes.txt ",
    "ztrust-mail plan --server pr": "ztrust-mail plan --server production ",
    "ztrust-mail plan --server=pr": "ztrust-mail plan --server=production ",
    "ztrust-mail plan --secrets k": "ztrust-mail plan --secrets keep ",
    "ztrust-mail plan --format js": "ztrust-mail plan --format json ",
    "ztrust-mail plan --report js": "ztrust-mail plan --report json=",
    "ztrust-mail plan --report json=not": "ztrust-mail plan --report json=notes.txt ",
    "ztrust-mail plan --allow mass-change,nee": "ztrust-mail plan --allow mass-change,needed-mail ",
    "ztrust-mail plan mail.yaml --realm ac": "ztrust-mail plan mail.yaml --realm acme ",
    "ztrust-mail plan mail.yaml --realm my": r"ztrust-mail plan mail.yaml --realm my\ realm ",
    "ztrust-mail plan mail.yaml --realm ten": r"ztrust-mail plan mail.yaml --realm tenant-\* ",
    "ztrust-mail plan mail.yaml --realm ba": r"ztrust-mail plan mail.yaml --realm bad\$\(touch\ pwned\) ",
    'ztrust-mail plan mail.yaml --realm "ac': 'ztrust-mail plan mail.yaml --realm "acme" ',
    "ztrust-mail explain mail.yaml ac": "ztrust-mail explain mail.yaml acme ",
    "ztrust-mail explain mail.yaml acme relay.po": "ztrust-mail explain mail.yaml acme relay.port ",
    "ztrust-mail test --spec mail.yaml ac": "ztrust-mail test --spec mail.yaml acme ",
    "ztrust-mail convert not": "ztrust-mail convert notes.txt ",
    "ztrust-mail convert --from terr": "ztrust-mail convert --from terraform ",
    "ztrust-mail convert --to ans": "ztrust-mail convert --to ansible ",
    "ztrust-mail rule plain-s": "ztrust-mail rule plain-secret ",
}


@pytest.fixture
def folder(cli: Cli) -> Path:
    for name, content in FILES.items():
        cli.write(name, content)
    return cli.folder


@pytest.fixture(params=START)
def shell(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Iterator[CompletingShell]:
    with completing_shell(request.param, tmp_path / "shell") as started:
        yield started


@pytest.fixture
def bash(folder: Path, tmp_path: Path) -> Iterator[CompletingShell]:
    with completing_shell("bash", tmp_path / "shell") as started:
        yield started


def test_tab_completes_commands_files_and_names_and_quotes_them(shell: CompletingShell, folder: Path) -> None:
    assert {typed: shell.complete(typed) for typed in COMPLETED} == COMPLETED
    assert not (folder / "pwned").exists()


def test_bash_offers_only_spec_files_and_folders_for_a_spec_and_all_files_where_none_fits(
    bash: CompletingShell,
) -> None:
    assert bash.complete("ztrust-mail plan ", ALL) == r"ztrust-mail plan mail.yaml two\ words.json older "
    assert bash.complete("ztrust-mail plan no") == "ztrust-mail plan notes.txt "


def test_bash_offers_every_server_realm_and_reason(bash: CompletingShell) -> None:
    assert bash.complete("ztrust-mail plan --server ", ALL).split()[3:] == ["production", "staging"]
    assert bash.complete("ztrust-mail plan mail.yaml --realm t", ALL).split()[4:] == [r"tenant-\*"]
    assert bash.complete("ztrust-mail plan --allow needed-mail,", ALL).split()[3:] == [
        f"needed-mail,{reason}" for reason in ("mass-change", "weaker-security", "lost-secret", "window", "all")
    ]


def test_bash_offers_nothing_that_would_need_quotes_inside_open_quotes(bash: CompletingShell) -> None:
    assert bash.complete('ztrust-mail plan mail.yaml --realm "ba') == 'ztrust-mail plan mail.yaml --realm "ba'
