"""Builds the Containerfile and runs its containers, in a mount namespace instead of a container engine.

The base image is this machine's /usr and Python. Containers run as another user: that needs root, or subordinate ids.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from dockerfile_parse import DockerfileParser
from support.distributions import ROOT
from support.kit import bare_environ

PATIENCE = 300
_PYTHON = Path(os.path.realpath(sys.executable))
_SHARED = dict.fromkeys(("/usr", "/dev", "/proc", str(_PYTHON.parents[1])))
_COPIED = ("ca-certificates", "group", "hosts", "nsswitch.conf", "passwd", "pip.conf", "resolv.conf", "ssl")
_NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"])]
_ENTER = """
root=$1 mounts=$2 writable=$3
shift 3
mount --bind "$root" "$root"
while IFS='|' read -r source target mode; do
    mount --rbind "$source" "$root$target"
    if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root$target"; fi
done <<<"$mounts"
if [ "$writable" = no ]; then mount -o remount,bind,ro "$root"; fi
exec setpriv --no-new-privs chroot "$@"
"""


@dataclass(frozen=True)
class Mount:
    """A folder of this machine at a path of a container."""

    source: Path
    target: str
    read_only: bool = True

    def __str__(self) -> str:
        return f"{self.source}|{self.target}|{'ro' if self.read_only else 'rw'}"


@dataclass
class Image:
    """A root file system, and what the instructions say of its containers."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    said: dict[str, str] = field(default_factory=dict)
    """The last value of each instruction."""

    def run(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str] = {},
        mounts: Sequence[Mount] = (),
        user: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run a container with a read-only root file system."""
        command = [*json.loads(self.said["ENTRYPOINT"]), *(arguments or json.loads(self.said["CMD"]))]
        return self.start(command, environ, mounts, user or self.user)

    def start(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] = {},
        mounts: Sequence[Mount] = (),
        user: str = "0:0",
        writable: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the root file system."""
        return subprocess.run(
            self._command(command, environ, mounts, user, writable=writable),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip

    def launch(
        self, arguments: Sequence[str], environ: Mapping[str, str], mounts: Sequence[Mount], user: str, log: Path
    ) -> subprocess.Popen[bytes]:
        """Begin a container with a read-only root file system, whose output goes to a file; the caller ends it."""
        command = [*json.loads(self.said["ENTRYPOINT"]), *arguments]
        with log.open("ab") as output:
            return subprocess.Popen(
                self._command(command, environ, mounts, user, writable=False),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def _command(
        self, command: Sequence[str], environ: Mapping[str, str], mounts: Sequence[Mount], user: str, *, writable: bool
    ) -> list[str]:
        """Return the command that runs another one on the root file system, in the same process."""
        all_mounts = [*(Mount(Path(path), path, path != "/dev") for path in _SHARED), *mounts]
        for mount in all_mounts:
            (self.root / mount.target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        variables = [f"{name}={value}" for name, value in {**self.environ, **environ}.items()]
        inside = [f"--userspec={user}", "--groups=", str(self.root), "/usr/bin/env", "-i", "-C", self.folder]
        return [
            *_NAMESPACE, "bash", "-euc", _ENTER, "enter", str(self.root), "\n".join(map(str, all_mounts)),
            "yes" if writable else "no", *inside, *variables, *command,
        ]  # fmt: skip


def build(folder: Path) -> Image:
    """Carry out the instructions of the Containerfile. Return the image of its last stage."""
    stages: dict[str, Image] = {}
    image = None
    with (ROOT / "Containerfile").open("rb+") as file:
        instructions = DockerfileParser(fileobj=file).structure
    for line in instructions:
        name, value = line["instruction"], line["value"]
        if name == "FROM":
            image = _base(folder / str(len(stages)))
            stages[value.partition(" AS ")[2]] = image
        elif name != "COMMENT":
            assert image is not None
            _carry_out(name, value, image, stages)
            image.said[name] = value
    assert image is not None
    return image


def _base(root: Path) -> Image:
    """Return an image with nothing but this machine's programs and Python."""
    for name in ("etc", "tmp", "var/lib", "run", "opt", "python"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(os.readlink(Path("/", name)))
    for name in _COPIED:
        if (path := Path("/etc", name)).is_dir():
            shutil.copytree(path, root / "etc" / name, symlinks=True, ignore=shutil.ignore_patterns("private"))
        elif path.exists():
            shutil.copy(path, root / "etc")
    python = root / "python" / "python"
    python.write_text(f'#!/bin/sh\nexec {_PYTHON} "$@"\n')
    python.chmod(0o755)
    return Image(root, {"PATH": "/python:/usr/local/bin:/usr/bin:/bin"})


def _carry_out(name: str, value: str, image: Image, stages: Mapping[str, Image]) -> None:
    if name == "RUN":
        own = ("PATH", "HOME", "PIP_CONSTRAINT")  # the image has no constraints.txt at the path of the tests
        needed = {key: found for key, found in bare_environ(Path("/tmp")).items() if key not in own}
        done = image.start(["/bin/sh", "-c", value], needed, writable=True)
        assert done.returncode == 0, done.stdout
    elif name == "COPY":
        _copy(value, image, stages)
    elif name == "ENV":
        for word in shlex.split(value):
            key, _, text = word.partition("=")
            image.environ[key] = text.replace("$PATH", image.environ["PATH"])
    elif name == "WORKDIR":
        image.folder = value
        (image.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif name == "USER":
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", value), "a numeric user, who is not root"
        image.user = value
    else:
        assert name in ("LABEL", "VOLUME", "ENTRYPOINT", "CMD"), f"the tests' builder does not know {name}"


def _copy(value: str, image: Image, stages: Mapping[str, Image]) -> None:
    if found := re.fullmatch(r"--from=(\w+) (\S+) (\S+)", value):
        shutil.copytree(stages[found[1]].root / found[2].lstrip("/"), image.root / found[3].lstrip("/"), symlinks=True)
        return
    assert value == ". ."
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in patterns
    for name in [pattern[1:] for pattern in patterns if pattern.startswith("!")]:
        target = image.root / image.folder.lstrip("/") / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, symlinks=True, ignore=lambda _, names: [
                inner for inner in names if any(fnmatch(inner, p.removeprefix("**/")) for p in patterns if "**" in p)
            ])  # fmt: skip
        else:
            shutil.copy(ROOT / name, target)
