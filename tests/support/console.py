"""Console blocks of a page, run on a sandbox: what a page shows is what a reader sees."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ztrust_mail
from ztrust_mail.sandbox import Sandbox, SandboxOptions

SHOWN_URL, SHOWN_PORT = "http://127.0.0.1:8080", "39397"
"""The sandbox's URL and its relay's port, as pages show them."""

ELISION = "…"
"""A line that stands for any lines."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_REALMS = re.compile(r"\A<!-- console: realms ([^>]+) -->")
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d(\s+)\d\d:\d\d(?: to (?:\d{4}-\d\d-\d\d )?\d\d:\d\d)?"), r"2026-11-28\g<1>22:46"),
    (re.compile(r", \S+ on \S+$", re.MULTILINE), ", root on vm"),
    (re.compile(r"  admin, \S+$", re.MULTILINE), "  admin, root"),
)


@dataclass(frozen=True)
class Step:
    """A command line of a page and the output shown below it."""

    command: str
    output: str


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    return [found[2] for found in _BLOCK.finditer(text) if found[1] == language]


def steps(block: str) -> Iterator[Step]:
    """Yield the commands of a console block."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield Step(command, output)


def has_runnable_blocks(text: str) -> bool:
    """Tell whether a page's first line says which realms its sandbox needs."""
    return _REALMS.match(text) is not None


def run_page(text: str, folder: Path) -> Iterator[tuple[Step, str]]:
    """Run a page's commands in order, in one folder and on one sandbox. Yield each with its real output.

    A block of YAML or HCL whose first line is a comment with a file's name is written to that file.
    """
    realms = _REALMS.match(text)
    assert realms, "the first line must be: <!-- console: realms NAME… -->"
    with Sandbox(SandboxOptions(realms=tuple(realms[1].split()))) as sandbox:
        port = str(sandbox.mail.port)
        for block in (*blocks(text, "yaml"), *blocks(text, "hcl")):
            if name := re.match(r"# (\w+\.(?:yaml|tf))\n", block):
                (folder / name[1]).write_text(block.replace(SHOWN_PORT, port), encoding="utf-8")
        for step, real in run_steps(text, folder, sandbox_environ(folder, sandbox.url)):
            yield step, real.replace(sandbox.url, SHOWN_URL).replace(port, SHOWN_PORT)


def run_steps(text: str, folder: Path, environ: dict[str, str]) -> Iterator[tuple[Step, str]]:
    """Run the commands of a page's console blocks in order, in one folder. Yield each with its real output."""
    for block in blocks(text, "console"):
        for step in steps(block):
            if export := re.fullmatch(r"export (\w+)=(\S+)", step.command):
                environ[export[1]] = export[2]
                continue
            done = subprocess.run(
                ["bash", "-c", step.command], cwd=folder, env=environ, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
            )  # fmt: skip
            yield step, done.stdout


def matches(shown: str, real: str) -> bool:
    """Tell whether a page shows a command's real output, dates, names of machines and left-out lines aside."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == ELISION else re.escape(line) + r"\n" for line in steady(shown).splitlines()
    )
    return re.fullmatch(pattern, steady(real)) is not None


def steady(text: str) -> str:
    for varying, constant in _VARYING:
        text = varying.sub(constant, text)
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


def sandbox_environ(folder: Path, url: str) -> dict[str, str]:
    """Return the variables of a reader who pasted the lines that the sandbox printed."""
    path = os.pathsep.join([str(_install_command(folder / ".bin")), os.environ["PATH"]])
    state = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "CONFIG")}
    login = {"ZTRUST_MAIL_URL": url, "ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": "admin"}
    return {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **state, **login}


def _install_command(folder: Path) -> Path:
    """Write a ``ztrust-mail`` that runs the package under test, whatever is installed, and return its folder."""
    folder.mkdir()
    package = shlex.quote(str(Path(ztrust_mail.__file__).parents[1]))
    command = folder / "ztrust-mail"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={package} exec {shlex.quote(sys.executable)} -m ztrust_mail "$@"\n')
    command.chmod(0o755)
    return folder
