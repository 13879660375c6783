"""The hook for pre-commit, really installed by pre-commit from a git repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.distributions import ROOT
from support.kit import bare_environ

FILES = (".pre-commit-hooks.yaml", "LICENSE", "README.md", "pyproject.toml", "setup.cfg")
FOLDERS = ("docs", "schemas", "ztrust_mail")
SPEC = """\
version: 1
defaults:
  relay: {host: smtp.example.com}
  sender: {address: no-reply@example.com}
realms:
  acme: {}
"""
CONFIG = """\
repos:
  - repo: %s
    rev: %s
    hooks:
      - id: ztrust-mail-validate
"""


class User:
    """Somebody who has a repository of specs and a fresh home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "specs"
        self.folder.mkdir()
        bare = bare_environ(folder / "home")
        (folder / "home").mkdir()
        identity = {
            f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        constraint = {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
        self.environ = {**bare, **identity, **constraint, "GIT_CONFIG_NOSYSTEM": "1"}
        self.pre_commit = shutil.which("pre-commit")

    def run(self, *command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder or self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=300, check=False,
        )  # fmt: skip

    def commit_all(self, folder: Path) -> str:
        """Make a repository of a folder. Return the commit."""
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"]):
            done = self.run("git", *command, folder=folder)
            assert done.returncode == 0, done.stdout
        return self.run("git", "rev-parse", "HEAD", folder=folder).stdout.strip()

    def check(self, **files: str) -> subprocess.CompletedProcess[str]:
        """Run all hooks on files, whose names end in .yaml."""
        for name, text in files.items():
            (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.run("git", "add", "--all")
        return self.run(str(self.pre_commit), "run", "--all-files", "--verbose")


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> User:
    folder = tmp_path_factory.mktemp("pre-commit")
    user = User(folder)
    hooks = folder / "ztrust-mail"
    hooks.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, hooks)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, hooks / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    commit = user.commit_all(hooks)
    user.run("git", "init", "--quiet")
    (user.folder / ".pre-commit-config.yaml").write_text(CONFIG % (hooks, commit), encoding="utf-8")
    return user


def test_a_good_spec_passes_and_a_typo_fails_with_its_line(user):
    good = user.check(mail=SPEC)
    assert good.returncode == 0, good.stdout
    assert "Valid: 1 realm" in good.stdout
    bad = user.check(mail=SPEC.replace("sender:", "sendr:"))
    assert bad.returncode == 1
    assert "mail.yaml:4:3: error:" in bad.stdout
    assert "did you mean `sender`" in bad.stdout


def test_other_files_are_left_alone(user):
    user.check(mail=SPEC)
    user.run("git", "rm", "--cached", "--quiet", "mail.yaml")
    (user.folder / "mail.yaml").unlink()
    other = user.check(chart="a: {{ template }}\n", email="x: [\n")
    assert other.returncode == 0, other.stdout
    assert "no files to check" in other.stdout


def test_the_manifest_of_the_hook_is_valid(user):
    done = user.run(str(user.pre_commit), "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml"))
    assert done.returncode == 0, done.stdout
