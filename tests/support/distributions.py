"""The sdist and the wheel, built from a copy of the checkout, and environments with nothing but the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cli import PATIENCE, Ran

ROOT = Path(__file__).parents[2]
DATED = "1700000000"
"""The time of all files in a wheel, so that two builds of the same files are the same wheel."""
LEFT_OUT = (".git", ".tox", ".venv", "venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
INSTALL_PATIENCE = 600.0
FOR_PIP = ("PIP_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""How the names of variables begin that say how this machine reaches its package index."""


@dataclass(frozen=True)
class Distributions:
    """What is published: the sdist, and the wheel that was built from the sdist."""

    sdist: Path
    wheel: Path

    def unpack(self, folder: Path) -> Path:
        """Unpack the sdist and return its folder."""
        run_tool([sys.executable, "-m", "tarfile", "-e", str(self.sdist), str(folder)])
        (unpacked,) = folder.iterdir()
        return unpacked


def build(source: Path, folder: Path) -> Distributions:
    """Build the sdist from a folder, and the wheel from the sdist."""
    command = [sys.executable, "-m", "build", "--quiet", "--outdir", str(folder), str(source)]
    run_tool(command, environ={**os.environ, "SOURCE_DATE_EPOCH": DATED})
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(sdist, wheel)


def run_tool(command: Sequence[str], *, environ: Mapping[str, str] | None = None) -> str:
    """Run a tool that must succeed, and return what it wrote."""
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=INSTALL_PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def setup_cfg() -> ConfigParser:
    """Return setup.cfg as it is written."""
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def data_files() -> set[Path]:
    """Return the data files of the checkout that setup.cfg puts into the package."""
    patterns = setup_cfg()["options.package_data"]["ztrust_mail"].replace(",", " ").split()
    return {file for pattern in patterns for file in (ROOT / "ztrust_mail").glob(pattern)}


def package_files() -> dict[str, bytes]:
    """Return the code and the listed data files of the checkout, by their path in the package."""
    package = ROOT / "ztrust_mail"
    return {file.relative_to(package).as_posix(): file.read_bytes() for file in {*package.rglob("*.py"), *data_files()}}


def user_extras() -> dict[str, list[str]]:
    """Return the extras for users, each with its requirements."""
    extras = setup_cfg()["options.extras_require"]
    return {name: extras[name].split() for name in extras if name not in ("test", "dev")}


@dataclass(frozen=True)
class BareEnvironment:
    """An environment with the wheel alone, and a home that does not exist."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """The variables of a person who has just logged in, with this environment on the path."""
        path = os.pathsep.join([str(self.folder / "venv" / "bin"), os.defpath])
        return {"PATH": path, "HOME": str(self.folder / "no-home"), "LANG": "C.UTF-8", "COLUMNS": "1000"}

    def run(self, *command: str, cwd: Path, **variables: str) -> Ran:
        """Run a command of this environment in a folder."""
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**self.variables, **variables},
            executable=self.folder / "venv" / "bin" / command[0],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def pip(self, *arguments: str, constrained: bool = True) -> str:
        """Run pip, as this machine configures it, and return what it wrote.

        Unless ``constrained``, it may install other versions than those of constraints.txt.
        """
        configured = {name: value for name, value in os.environ.items() if name.upper().startswith(FOR_PIP)}
        if not constrained:
            configured.pop("PIP_CONSTRAINT", None)
        configured["HOME"] = str(Path.home())
        command = [str(self.folder / "venv" / "bin" / "python"), "-m", "pip", *arguments]
        return run_tool(command, environ={**self.variables, **configured})


def make_environment(folder: Path, requirement: str, *, constrained: bool = True) -> BareEnvironment:
    """Make an environment and install one requirement; ``constrained`` is that of :meth:`BareEnvironment.pip`."""
    run_tool([sys.executable, "-m", "venv", str(folder / "venv")])
    environment = BareEnvironment(folder)
    environment.pip("install", "--quiet", requirement, constrained=constrained)
    return environment


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The distributions of this checkout.

    They are built from a copy, since setuptools works in the source folder, where old builds may lie and others build.
    """
    folder = tmp_path_factory.mktemp("distributions")
    copy = shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return build(copy, folder / "dist")


@pytest.fixture(scope="session")
def without_extras(tmp_path_factory: pytest.TempPathFactory, distributions: Distributions) -> BareEnvironment:
    """An environment with the wheel and none of its extras."""
    return make_environment(tmp_path_factory.mktemp("without-extras"), str(distributions.wheel))
