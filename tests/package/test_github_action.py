"""The action, its steps run on the built wheel against a sandbox, as a runner of GitHub would."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from pathlib import Path

import pytest
from support.distributions import ROOT
from support.github_action import Runner, github_api
from support.kit import SHADOWS, bare_environ

SPEC = """\
version: 1
defaults:
  relay: {host: smtp.example.com}
  sender: {address: "no-reply@{realm.slug}.example.com", name: %s}
realms:
  acme: {}
  globex: {}
"""
INJECTION = "$(touch pwned); touch pwned"
HOSTILE = f'it\'s a "spec" {INJECTION} `touch pwned`.yaml'


class Repository:
    """A checkout of specs in which the action runs."""

    def __init__(self, runner, wheel: Path, sandbox) -> None:
        self.runner, self.wheel, self.sandbox = runner, wheel, sandbox
        self.folder = runner.workspace
        self.write("mail.yaml", "Example")

    def write(self, name: str, sender: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SPEC % json.dumps(sender), encoding="utf-8")

    def run(self, command: str, environ=None, **inputs: str):
        given = {"command": command, "package": str(self.wheel), "spec": "mail.yaml"}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        login = {} if command == "validate" else self.sandbox.environ
        return self.runner.run(given, {**login, **(environ or {})})


@pytest.fixture
def repository(machine, wheel, ztrust_sandbox, tmp_path) -> Repository:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return Repository(machine(folder), wheel, ztrust_sandbox)


@pytest.fixture
def api():
    with github_api() as running:
        yield running


def test_drift_is_found_uploaded_and_fixed_by_apply(repository):
    found = repository.run("drift", sarif="true")
    assert (found.status, found.outputs["exit-status"]) == ("failure", "1"), found.log
    (uploaded,) = [step for step in found.used if "upload-sarif" in step["uses"]]
    results = json.loads(Path(uploaded["with"]["sarif_file"]).read_text(encoding="utf-8"))["runs"][0]["results"]
    assert results
    assert "::error" in found.log or "::warning" in found.log
    assert "acme" in found.summary
    assert json.loads(Path(found.outputs["json"]).read_text(encoding="utf-8"))["exit_status"] == 1

    applied = repository.run("apply")
    assert (applied.status, applied.outputs["exit-status"]) == ("success", "0"), applied.log
    assert repository.sandbox.smtp("acme")["host"] == "smtp.example.com"

    again = repository.run("drift", sarif="true")
    assert (again.status, again.outputs["exit-status"]) == ("success", "0"), again.log


def test_a_plan_is_a_comment_that_is_updated_in_place_and_its_digest_lets_apply_run(repository, api, tmp_path):
    api.add("a person's comment", "somebody")
    environ = api.environ(tmp_path)
    first = repository.run("plan", environ, comment="true")
    assert (first.status, first.outputs["exit-status"]) == ("success", "1"), first.log
    assert [comment["id"] for comment in api.comments] == [1, 2]
    assert "Example" in api.comments[1]["body"]
    assert first.outputs["digest"] in api.comments[1]["body"]
    assert first.outputs["digest"] in first.summary
    assert "ztrust-mail apply --plan plan.json" in api.comments[1]["body"]
    repository.write("mail.yaml", "Renamed")
    second = repository.run("plan", environ, comment="true")
    assert "updated" in second.log
    assert len(api.comments) == 2
    assert "Renamed" in api.comments[1]["body"]
    assert api.comments[0]["body"] == "a person's comment"

    plan = {"spec": "", "plan": second.outputs["plan"]}
    refused = repository.run("apply", expect_digest=first.outputs["digest"], **plan)
    assert (refused.status, refused.outputs["exit-status"]) == ("failure", "5"), refused.log
    applied = repository.run("apply", expect_digest=second.outputs["digest"], **plan)
    assert (applied.status, applied.outputs["exit-status"]) == ("success", "0"), applied.log
    assert repository.sandbox.smtp("acme")["fromDisplayName"] == "Renamed"


def test_the_comment_of_another_account_or_job_is_never_changed(repository, api, tmp_path):
    marker = "<!-- ztrust-mail comment: plan -->\n"
    api.add(f"{marker}forged", "somebody")
    for number in range(120):
        api.add(f"comment {number}", "somebody")
    api.add("<!-- ztrust-mail comment: plan staging -->\nother job")
    before = [comment["body"] for comment in api.comments]
    for _ in range(2):
        repository.run("plan", api.environ(tmp_path), comment="true")
    assert [comment["body"] for comment in api.comments[:-1]] == before
    assert api.comments[-1]["body"].startswith(marker)


def test_a_refused_comment_fails_the_job_and_names_the_permission_but_not_the_token(repository, api, tmp_path):
    api.refusal = 403
    job = repository.run("plan", api.environ(tmp_path), comment="true", token="ghs_S3cret")
    assert job.status == "failure"
    assert "pull-requests: write" in job.log
    assert set(api.tokens) == {"Bearer ghs_S3cret"}
    assert "S3cret" not in job.log + job.summary


def test_a_job_without_a_pull_request_writes_no_comment(repository, api, tmp_path):
    environ = api.environ(tmp_path)
    Path(environ["GITHUB_EVENT_PATH"]).write_text("{}", encoding="utf-8")
    assert repository.run("plan", environ, comment="true").status == "success"
    assert api.tokens == []


def test_a_spec_error_is_annotated_and_reported(repository, api, tmp_path):
    repository.folder.joinpath("mail.yaml").write_text("version: 1\nrealms:\n  acme: {sendr: {}}\n", encoding="utf-8")
    job = repository.run("plan", api.environ(tmp_path), comment="true", sarif="true")
    assert (job.status, job.outputs["exit-status"]) == ("failure", "2")
    assert re.search("^::error file=mail.yaml,.*line=3,", job.log, re.MULTILINE)
    assert "sendr" in api.comments[0]["body"]
    assert "sendr" in Path(job.outputs["sarif"]).read_text(encoding="utf-8")
    assert job.outputs["digest"] == ""
    assert repository.run("validate").outputs["exit-status"] == "2"


def test_a_server_that_is_down_is_reported(repository, api, tmp_path):
    repository.sandbox.stop()
    job = repository.run("drift", api.environ(tmp_path), comment="true")
    assert (job.status, job.outputs["exit-status"]) == ("failure", "3")
    assert "connect" in api.comments[0]["body"]


@pytest.mark.parametrize("name", [HOSTILE, "-mail.yaml"])
def test_no_input_becomes_a_part_of_a_script(repository, name):
    repository.write(name, INJECTION)
    job = repository.run("plan", spec=name, args="--realm=acme\n\n--no-secrets\n")
    assert job.outputs["exit-status"] == "1", job.log
    (realm,) = json.loads(Path(job.outputs["json"]).read_text(encoding="utf-8"))["realms"]
    assert realm["realm"] == "acme"
    others = dict.fromkeys(("args", "server", "config", "plan", "expect_digest", "fail_on"), INJECTION)
    for command in ("drift", "apply", INJECTION):
        assert repository.run(command, spec=name, **others).outputs["exit-status"] == "2"
    assert sorted(path.name for path in repository.folder.iterdir()) == sorted(["mail.yaml", name])


def test_no_module_of_the_checkout_is_run(repository):
    for name in SHADOWS:
        repository.folder.joinpath(name).write_text("open('pwned', 'w').close()\n", encoding="utf-8")
    repository.runner.temporary.joinpath("ztrust-mail/installed").unlink(missing_ok=True)
    job = repository.run("plan")
    assert job.outputs["exit-status"] == "1", job.log
    assert job.outputs["digest"]
    assert not repository.folder.joinpath("pwned").exists()


def test_several_specs_are_given_one_a_line(repository):
    repository.folder.joinpath("more.yaml").write_text("version: 1\nrealms: {acme: {}}\n", encoding="utf-8")
    job = repository.run("validate", spec="mail.yaml\r\nmore.yaml\n")
    assert "acme" in job.log
    assert job.outputs["exit-status"] == "2"


def test_without_a_package_the_action_installs_its_own_checkout(distributions, tmp_path):
    checkout = distributions.unpack(tmp_path / "the action's own")
    for folder in ("home", "temporary", "workspace"):
        (tmp_path / folder).mkdir()
    runner = Runner(checkout, tmp_path / "workspace", tmp_path / "temporary", bare_environ(tmp_path / "home"))
    (runner.workspace / "mail.yaml").write_text(SPEC % "Example", encoding="utf-8")
    job = runner.run({"command": "validate", "spec": "mail.yaml"})
    assert job.outputs["exit-status"] == "0", job.log
    installed = subprocess.check_output([tmp_path / "temporary/ztrust-mail/bin/pip", "list"], text=True)
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (psycopg,) = re.findall(r"^psycopg==(\S+)$", constraints, re.MULTILINE)
    assert re.search(rf"^psycopg +{re.escape(psycopg)}$", installed, re.MULTILINE)


def test_an_unknown_command_is_a_usage_error(repository):
    job = repository.run("revert")
    assert (job.status, job.outputs["exit-status"]) == ("failure", "2")
    assert repository.sandbox.requests == ()


def test_drift_fails_as_the_job_wants_it(repository):
    repository.run("apply")
    smtp = repository.sandbox.smtp("acme")
    repository.sandbox.edit_smtp("acme", {**smtp, "replyTo": "somebody@example.com"})
    assert repository.run("drift", fail_on="critical").outputs["exit-status"] == "0"
    assert repository.run("drift", fail_on="any").outputs["exit-status"] == "1"


def test_a_comment_that_is_too_long_is_cut_at_the_end_of_a_line():
    comment = runpy.run_path(str(ROOT / "ci" / "comment.py"))
    body = comment["fit"]("<!-- marker -->", "12345678\n" * 10_000)
    assert len(body) <= comment["LONGEST"]
    assert body.startswith("<!-- marker -->\n12345678\n")
    assert set(body.splitlines()[1:-2]) == {"12345678"}


def test_scripts_pass_shellcheck():
    scripts = sorted(ROOT.glob("ci/*.sh"))
    assert scripts
    subprocess.run(["shellcheck", *scripts], check=True)
