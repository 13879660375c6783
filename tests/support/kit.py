"""The kit for CI on a machine that has nothing but Python: an empty home, and the built wheel to install."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.distributions import FOR_PIP, ROOT, Distributions
from support.github_action import Runner

SHADOWS = ("json.py", "pip.py", "sitecustomize.py", "venv.py")
"""Modules that the authors of a checkout may put there to have them run, with the secrets of a job."""


def bare_environ(home: Path) -> dict[str, str]:
    """Return the environment of a fresh machine whose first Python is the one of the tests, outside of any venv."""
    python = Path(os.path.realpath(sys.executable)).parent
    passed = {name: value for name, value in os.environ.items() if name.upper().startswith(FOR_PIP)}
    return {"PATH": f"{python}:/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", **passed}


@pytest.fixture(scope="session")
def wheel(distributions: Distributions) -> Path:
    """The built wheel."""
    return distributions.wheel


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Runner]:
    """Return a function that gives a workspace to a machine, which installs the wheel once for all tests."""
    folder = tmp_path_factory.mktemp("machine")
    action = folder / "somebody's action"
    action.mkdir()
    shutil.copy(ROOT / "action.yml", action)
    shutil.copytree(ROOT / "ci", action / "ci")
    home, temporary = folder / "home", folder / "temporary"
    home.mkdir()
    temporary.mkdir()
    environ = {**bare_environ(home), "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}

    def with_workspace(workspace: Path) -> Runner:
        return Runner(action, workspace, temporary, environ)

    return with_workspace
