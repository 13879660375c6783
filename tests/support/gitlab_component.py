"""Runs the jobs of a GitLab CI/CD component as GitLab's runner does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PATIENCE = 300


@dataclass(frozen=True)
class Component:
    """A component with its inputs filled in: jobs by name."""

    jobs: Mapping[str, dict[str, Any]]

    def run(self, name: str, project: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a job's script in the checkout of the project."""
        job = self.jobs[name]
        lines = [*job["before_script"], *job["script"]]
        assert not any("$[[" in line for line in lines)
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", "\n".join(lines)],
            cwd=project, env={**environ, **_variables(job)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip


Input = str | list[str]


def load_component(file: Path, inputs: Mapping[str, Input]) -> Component:
    """Read a component, fill in the inputs as GitLab does, and give each job what it extends.

    The inputs become a part of the text before it is parsed: text as it is, any other type as JSON.
    """
    header, _, jobs = file.read_text(encoding="utf-8").partition("\n---\n")
    known = yaml.safe_load(header)["spec"]["inputs"]
    given = {name: spec["default"] for name, spec in known.items() if "default" in spec} | dict(inputs)
    assert given.keys() == known.keys(), "each input has a value, and no other has"
    for name, spec in known.items():
        assert given[name] in spec.get("options", [given[name]])
        assert isinstance(given[name], list) is (spec.get("type") == "array"), name
        text = given[name] if isinstance(given[name], str) else json.dumps(given[name])
        jobs = jobs.replace(f"$[[ inputs.{name} ]]", str(text))
    filled = yaml.safe_load(jobs)
    return Component({name: _extended(filled, name) for name in filled})


def _extended(jobs: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    job = jobs[name]
    base = _extended(jobs, job["extends"]) if "extends" in job else {}
    variables = {**base.get("variables", {}), **job.get("variables", {})}
    return {**base, **job, "variables": variables}


def _variables(job: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in job["variables"].items():
        if isinstance(value, dict):
            assert value["expand"] is False, "or GitLab replaces `$NAME` in the input"
            found[name] = value["value"]
        else:
            assert "$" not in value
            found[name] = value
    return found
