"""docs/ci.md is walked through: its shell commands run in order on the built wheel, and its files are valid."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml
from support.bad_server import BadServer, answer
from support.console import blocks
from support.distributions import ROOT
from support.kit import SHADOWS, bare_environ

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
EXAMPLES = {
    ".github/workflows/mail.yml": ("github/mail.yml", "vendor.github-workflows"),
    ".github/workflows/mail-drift.yml": ("github/mail-drift.yml", "vendor.github-workflows"),
    ".gitlab-ci.yml": ("gitlab/gitlab-ci.yml", "vendor.gitlab-ci"),
    ".pre-commit-config.yaml": ("pre-commit-config.yaml", ""),
}
SHOWN_URL = "https://id.example.com"
SPEC = """\
version: 1
defaults:
  relay:
    host: smtp.example.com
    auth: {username: apikey, password: {env: SMTP_PASSWORD}}
  sender: {address: "no-reply@{realm.slug}.example.com"}
realms:
  acme: {}
"""


def test_each_shell_command_works_in_order_from_a_fresh_machine_to_a_notification(wheel, ztrust_sandbox, tmp_path):
    ztrust_sandbox.create_client("master", "ztrust-mail", "server-secret", ["admin"], "mail@example.com")
    work = tmp_path / "work"
    work.mkdir()
    (work / "mail.yaml").write_text(SPEC, encoding="utf-8")
    for name in SHADOWS:
        (work / name).write_text("open('pwned', 'w').close()\n", encoding="utf-8")
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(work / ".venv")}))
    packages.mkdir(parents=True)
    (packages / "committed.pth").write_text("import os; open('pwned', 'w').close()\n", encoding="utf-8")
    environ = {
        **bare_environ(tmp_path), "WHEEL": str(wheel), "ZTRUST_MAIL_CLIENT_SECRET": "server-secret",
        "SMTP_PASSWORD": "relay-secret", "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
    }  # fmt: skip
    install, review, apply, *schedule = [block.replace(SHOWN_URL, ztrust_sandbox.url) for block in blocks(PAGE, "bash")]
    run([install, review, apply, "export -p > ../environment"], work, environ)
    assert ztrust_sandbox.smtp("acme")["password"] == "relay-secret"

    ztrust_sandbox.edit_smtp("acme", {**ztrust_sandbox.smtp("acme"), "host": "elsewhere.example.com"})
    with BadServer(answer(204)) as chat:
        url = {"WEBHOOK_URL": f"{chat.url}/the-secret-of-the-hook"}
        shown = run(["source ../environment", *schedule, 'echo "status $status"'], work, environ | url)
    (request,) = chat.requests
    assert (request.method, request.path) == ("POST", "/the-secret-of-the-hook")
    assert "elsewhere.example.com" in json.loads(request.body)["text"]
    assert shown.splitlines()[-2:] == ["acme", "status 1"]
    assert "out of band" in shown
    assert "the-secret-of-the-hook" not in shown
    assert not (work / "pwned").exists()


def run(parts: list[str], work: Path, environ: dict[str, str]) -> str:
    """Run a script, and return what it printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(parts)], cwd=work, env=environ, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("block", blocks(PAGE, "yaml"), ids=lambda block: block.partition("\n")[0])
def test_each_file_shown_is_valid_and_is_the_example(block):
    name, schema = EXAMPLES[block.partition("\n")[0].removeprefix("# ")]
    file = ROOT / "examples" / "ci" / name
    assert file.read_text(encoding="utf-8") == block
    check = ["check-jsonschema", "--builtin-schema", schema] if schema else ["pre-commit", "validate-config"]
    subprocess.run([*check, file], check=True)


def test_every_example_is_shown():
    files = {str(path.relative_to(ROOT / "examples" / "ci")) for path in ROOT.glob("examples/ci/**/*.*")}
    assert {name for name, _ in EXAMPLES.values()} == files
    assert len(blocks(PAGE, "yaml")) == len(files)


def test_the_action_is_valid_and_the_page_and_the_examples_use_what_it_has():
    subprocess.run(["check-jsonschema", "--builtin-schema", "vendor.github-actions", ROOT / "action.yml"], check=True)
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| (`[a-z`, -]+) \|", PAGE.partition("| input |")[2].partition("## GitLab")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} == action["inputs"].keys()
    for name in action["outputs"]:
        assert f"`{name}`" in PAGE
    for file in ROOT.glob("examples/ci/github/*.yml"):
        for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values():
            for step in job["steps"]:
                if "ztrust-mail@" in step["uses"]:
                    assert step["with"].keys() <= action["inputs"].keys()


def test_the_gitlab_example_gives_inputs_that_the_component_has():
    header, _ = yaml.safe_load_all((ROOT / "templates" / "ztrust-mail.yml").read_text(encoding="utf-8"))
    example = yaml.safe_load((ROOT / "examples" / "ci" / "gitlab" / "gitlab-ci.yml").read_text(encoding="utf-8"))
    (include,) = example["include"]
    inputs = header["spec"]["inputs"]
    assert include["inputs"].keys() <= inputs.keys()
    assert {name for name, spec in inputs.items() if "default" not in spec} <= include["inputs"].keys()


def test_the_page_the_examples_and_the_manifests_name_the_newest_release():
    files = [*ROOT.glob("examples/ci/**/*.*"), *ROOT.glob("deploy/**/kustomization.yaml"), ROOT / "docs" / "ci.md"]
    named = {version for file in files for version in re.findall(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])", file.read_text())}
    released = re.findall(r"^## (\d+\.\d+\.\d+)\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == {released[0]}
