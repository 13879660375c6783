"""Runs the steps of a composite action as GitHub's runner does, and imitates the API that its comment step calls."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

PATIENCE = 300
_EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")
_COMPARISON = re.compile(r"(\S+) (==|!=) '([^']*)'")


@dataclass
class Job:
    """What the steps of one use of the action left."""

    status: str = "success"
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    used: list[dict[str, Any]] = field(default_factory=list)
    """The steps of other actions that would have run, with their inputs."""


@dataclass(frozen=True)
class Runner:
    """A machine on which the action runs: the action's checkout, the user's, a temporary folder, and an environment."""

    action: Path
    workspace: Path
    temporary: Path
    environ: Mapping[str, str]

    def run(self, inputs: Mapping[str, str], environ: Mapping[str, str] = {}) -> Job:
        """Run all steps with the given inputs, and with the variables that the workflow sets for them."""
        action = yaml.safe_load((self.action / "action.yml").read_text(encoding="utf-8"))
        assert inputs.keys() <= action["inputs"].keys()
        context: dict[str, Any] = {"github": {"token": "the-token"}, "steps": {}}
        given = {name: _fill(str(spec.get("default", "")), context) for name, spec in action["inputs"].items()}
        context["inputs"] = given | dict(inputs)
        job = Job()
        for step in action["runs"]["steps"]:
            condition = step.get("if", "").removeprefix("${{ ").removesuffix(" }}")
            if (job.status == "success" or "always()" in condition) and (not condition or _holds(condition, context)):
                self._run_step(step, context, job, environ)
        job.outputs = {name: _fill(spec["value"], context) for name, spec in action["outputs"].items()}
        return job

    def _run_step(self, step: dict[str, Any], context: dict[str, Any], job: Job, environ: Mapping[str, str]) -> None:
        if "uses" in step:
            given = {name: _fill(str(value), context) for name, value in step.get("with", {}).items()}
            job.used.append({"uses": step["uses"], "with": given})
            return
        assert "${{" not in step["run"], "an input must not become a part of a script"
        assert step["shell"] == "bash"
        files = {name: self.temporary / f"_{name.lower()}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("", encoding="utf-8")
        script = self.temporary / "_script.sh"
        script.write_text(step["run"], encoding="utf-8")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=PATIENCE, check=False,
            env={
                **self.environ, "RUNNER_TEMP": str(self.temporary), "GITHUB_ACTION_PATH": str(self.action),
                "GITHUB_WORKSPACE": str(self.workspace), **{name: str(path) for name, path in files.items()},
                **environ, **{name: _fill(value, context) for name, value in step.get("env", {}).items()},
            },
        )  # fmt: skip
        job.log += done.stdout
        job.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        lines = files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
        outputs = dict(line.split("=", 1) for line in lines)
        context["steps"][step.get("id", step["name"])] = {"outputs": outputs}
        if done.returncode:
            job.status = "failure"


def _fill(text: str, context: Mapping[str, Any]) -> str:
    return _EXPRESSION.sub(lambda found: _look_up(found[1], context), text)


def _look_up(name: str, context: Mapping[str, Any]) -> str:
    value: Any = context
    for part in name.split("."):
        value = value.get(part, {})
    return value if isinstance(value, str) else ""


def _holds(condition: str, context: Mapping[str, Any]) -> bool:
    for clause in condition.split(" && "):
        if clause == "always()":
            continue
        found = _COMPARISON.fullmatch(clause)
        assert found, f"the runner of the tests does not know {clause!r}"
        if (_look_up(found[1], context) == found[3]) is not (found[2] == "=="):
            return False
    return True


@dataclass
class GitHubApi:
    """The comments of pull request 7 of the repository acme/mail, as GitHub's API shows them."""

    url: str
    comments: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    refusal: int = 0
    """The status that answers every request; 0 answers them."""

    def add(self, body: str, author: str = "github-actions[bot]") -> None:
        """Add a comment."""
        self.comments.append({"id": len(self.comments) + 1, "user": {"login": author}, "body": body})

    def answer(self, method: str, target: str, body: str) -> tuple[int, object]:
        """Return status and content of an answer."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if self.refusal:
            return self.refusal, {"message": "Resource not accessible by integration"}
        if path == "/repos/acme/mail/issues/7/comments" and method == "GET":
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return 200, self.comments[(page - 1) * size : page * size]
        if path == "/repos/acme/mail/issues/7/comments" and method == "POST":
            self.add(json.loads(body)["body"])
            return 201, self.comments[-1]
        if found := re.fullmatch(r"/repos/acme/mail/issues/comments/(\d+)", path):
            assert method == "PATCH"
            self.comments[int(found[1]) - 1]["body"] = json.loads(body)["body"]
            return 200, self.comments[int(found[1]) - 1]
        return 404, {}

    def environ(self, folder: Path) -> dict[str, str]:
        """Return the variables of a job that runs for the pull request."""
        event = folder / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 7}}), encoding="utf-8")
        return {"GITHUB_API_URL": self.url, "GITHUB_REPOSITORY": "acme/mail", "GITHUB_EVENT_PATH": str(event)}


@contextmanager
def github_api() -> Iterator[GitHubApi]:
    """Run the API on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            api.tokens.append(self.headers["Authorization"])
            status, content = api.answer(self.command, self.path, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815  names of the base class

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api = GitHubApi(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
