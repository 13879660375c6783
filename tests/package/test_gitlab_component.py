"""The GitLab CI/CD component, its jobs run on the built wheel against a sandbox."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path

import pytest
import yaml
from support.distributions import ROOT
from support.gitlab_component import Component, Input, load_component
from support.kit import SHADOWS, bare_environ

TEMPLATE = ROOT / "templates" / "ztrust-mail.yml"
SPEC = """\
version: 1
defaults:
  relay: {host: smtp.example.com}
  sender: {address: "no-reply@{realm.slug}.example.com", name: Example}
realms: {acme: {}, globex: {}}
"""
HOSTILE = 'it\'s $(touch pwned) `touch pwned` "$HOME"; touch pwned.yaml'


@pytest.fixture(scope="module")
def container(tmp_path_factory, wheel) -> dict[str, str]:
    """The environment of a container that has nothing but pip, after a first job that had to install everything."""
    folder = tmp_path_factory.mktemp("container")
    venv.create(folder / "python", with_pip=True)
    bare = bare_environ(folder)
    environ = {**bare, "PATH": f"{folder}/python/bin:{bare['PATH']}"}
    (folder / "mail.yaml").write_text(SPEC, encoding="utf-8")
    component = load_component(TEMPLATE, {"package": str(wheel)})
    first = component.run("ztrust-mail-validate", folder, {**environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")})
    assert first.returncode == 0, first.stdout
    return {**environ, "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}


class Project:
    """A project that includes the component."""

    def __init__(self, folder: Path, container: dict[str, str], wheel: Path, sandbox) -> None:
        self.folder, self.container, self.wheel, self.sandbox = folder, container, wheel, sandbox
        self.spec = "mail.yaml"
        (folder / self.spec).write_text(SPEC, encoding="utf-8")

    def component(self, **inputs: Input) -> Component:
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        return load_component(TEMPLATE, {"package": str(self.wheel), "spec": [self.spec], **given})

    def run(self, job: str, environ=None, **inputs: Input) -> subprocess.CompletedProcess[str]:
        variables = {**self.container, **self.sandbox.environ, **(environ or {})}
        return self.component(**inputs).run(f"ztrust-mail-{job}", self.folder, variables)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path, container, wheel, ztrust_sandbox) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder, container, wheel, ztrust_sandbox)


def test_the_component_is_valid_by_gitlabs_schema(tmp_path, project):
    jobs = project.component().jobs
    file = tmp_path / "jobs.yml"
    file.write_text(yaml.safe_dump(dict(jobs)), encoding="utf-8")
    subprocess.run(["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", file], check=True)
    assert {need for job in jobs.values() for need in job.get("needs", [])} <= jobs.keys()
    assert {job["stage"] for name, job in jobs.items() if not name.startswith(".")} == {"test", "deploy"}
    for job in jobs.values():
        assert all(letter.isalnum() or letter in "-_ " for letter in job.get("artifacts", {}).get("expose_as", ""))


def test_the_plan_that_was_reviewed_is_applied_and_no_other(project):
    planned = project.run("plan")
    assert planned.returncode == 1, planned.stdout
    assert "acme" in project.read("plan.md")
    assert isinstance(json.loads(project.read("codequality.json")), list)
    variables = dict(line.split("=", 1) for line in project.read("plan.env").splitlines())
    refused = project.run("apply", {"DIGEST": "0" * 64})
    assert refused.returncode == 5, refused.stdout
    applied = project.run("apply", variables)
    assert applied.returncode == 0, applied.stdout
    assert project.sandbox.smtp("globex")["host"] == "smtp.example.com"
    assert project.run("plan").returncode == 0


def test_only_a_plan_with_changes_may_fail(project):
    jobs = project.component().jobs
    assert jobs["ztrust-mail-plan"]["allow_failure"] == {"exit_codes": 1}
    manual = [rule for rule in jobs["ztrust-mail-apply"]["rules"] if rule.get("when") == "manual"]
    assert [rule["if"] for rule in manual] == ["$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"]
    assert jobs["ztrust-mail-drift"]["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]


def test_the_scheduled_job_finds_drift_until_it_is_fixed(project):
    found = project.run("drift")
    assert found.returncode == 1, found.stdout
    assert "acme" in project.read("drift.md")
    assert json.loads(project.read("drift.json"))["exit_status"] == 1
    assert "<testsuite" in project.read("junit.xml")
    project.run("plan")
    variables = dict(line.split("=", 1) for line in project.read("plan.env").splitlines())
    assert project.run("apply", variables).returncode == 0
    assert project.run("drift").returncode == 0


def test_a_spec_error_and_a_server_that_is_down_are_reported(project):
    assert project.run("validate").returncode == 0
    project.sandbox.stop()
    assert project.run("drift").returncode == 3
    assert project.run("plan").returncode == 3
    (project.folder / "mail.yaml").write_text("version: 1\nrealms:\n  acme: {sendr: {}}\n", encoding="utf-8")
    failed = project.run("validate")
    assert failed.returncode == 2
    assert "mail.yaml:3:" in failed.stdout
    (found, *_) = json.loads(project.read("codequality.json"))
    assert found["location"]["path"] == "mail.yaml"
    assert project.run("plan").returncode == 2


def test_several_specs_and_several_options_are_lists(project):
    (project.folder / "more.yaml").write_text(SPEC.replace("acme", "initech").replace("globex", "umbrella"), "utf-8")
    specs: Input = ["mail.yaml", "more.yaml"]
    ran = project.run("validate", spec=specs)
    assert ran.returncode == 2, "two files with defaults are no spec"
    assert "more.yaml" in ran.stdout
    assert project.run("plan", plan_args=[]).returncode == 1


def test_no_input_becomes_a_part_of_a_script(project):
    project.spec = HOSTILE
    (project.folder / "mail.yaml").rename(project.folder / HOSTILE)
    assert project.run("validate").returncode == 0
    assert project.run("plan", plan_args=["--no-secrets", "--realm=acme"]).returncode == 1
    for job in ("plan", "drift"):
        assert project.run(job, server=HOSTILE, config=HOSTILE, plan_args=[HOSTILE]).returncode == 2
    assert project.run("apply", {"DIGEST": ""}, apply_args=[HOSTILE]).returncode == 2
    assert project.run("validate", package=HOSTILE).returncode != 0
    left = {path.name for path in project.folder.iterdir()}
    assert HOSTILE in left
    assert not [name for name in left if "pwned" in name and name != HOSTILE]


def test_the_component_is_included_once_for_each_server(project):
    names = {name for prefix in ("staging", "production") for name in project.component(prefix=prefix).jobs}
    assert len(names) == 10


def test_no_module_of_the_checkout_is_run(project):
    for name in SHADOWS:
        (project.folder / name).write_text("open('pwned', 'w').close()\n", encoding="utf-8")
    planned = project.run("plan")
    assert planned.returncode == 1, planned.stdout
    assert project.read("plan.env").startswith("DIGEST=")
    assert not (project.folder / "pwned").exists()
