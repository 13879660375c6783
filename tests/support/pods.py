"""Runs a container of a Kubernetes manifest, with the variables, files and user that its pod gives to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.image import Image, Mount


@dataclass(frozen=True)
class Cluster:
    """What a pod finds: the files of config maps and secrets by name, and one folder for each volume claim."""

    folder: Path
    config_maps: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]

    def run(self, image: Image, pod: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run the only container of a pod."""
        return image.run(*self._inputs(pod))

    def launch(self, image: Image, pod: Mapping[str, Any], log: Path) -> subprocess.Popen[bytes]:
        """Begin the only container of a pod, whose output goes to a file; the caller ends it."""
        return image.launch(*self._inputs(pod), log)

    def _inputs(self, pod: Mapping[str, Any]) -> tuple[list[str], dict[str, str], list[Mount], str]:
        """Return arguments, variables, mounts and user of the only container of a pod."""
        (container,) = pod["containers"]
        security = pod["securityContext"]
        volumes = {volume["name"]: self._volume(volume, security["fsGroup"]) for volume in pod["volumes"]}
        mounts = [
            Mount(volumes[mount["name"]], mount["mountPath"], mount.get("readOnly", False))
            for mount in container["volumeMounts"]
        ]
        assert "command" not in container, "the image's entry point runs the arguments"
        environ = {variable["name"]: self._value(variable) for variable in container["env"]}
        return container["args"], environ, mounts, f"{security['runAsUser']}:{security['runAsGroup']}"

    def _value(self, variable: Mapping[str, Any]) -> str:
        if "value" in variable:
            return str(variable["value"])
        reference = variable["valueFrom"]["secretKeyRef"]
        return self.secrets[reference["name"]][reference["key"]]

    def _volume(self, volume: Mapping[str, Any], group: int) -> Path:
        """Return the volume's folder, made as a kubelet makes it."""
        path = self.folder / str(volume["name"])
        if claim := volume.get("persistentVolumeClaim"):
            path = self.folder / str(claim["claimName"])
            path.mkdir(exist_ok=True)
            os.chown(path, -1, group)
            path.chmod(0o2775)
            return path
        if secret := volume.get("secret"):
            return _projected(path, self.secrets[secret["secretName"]], group, secret["defaultMode"])
        return _projected(path, self.config_maps[volume["configMap"]["name"]], group, 0o644)


def _projected(folder: Path, files: Mapping[str, str], group: int, mode: int) -> Path:
    """Write files as a kubelet does: each is a link to one in a hidden folder, which a link replaces at once."""
    if not folder.exists():
        version = folder / "..2026_11_29_10_00_00.1"
        version.mkdir(parents=True)
        (folder / "..data").symlink_to(version.name)
        for name, text in files.items():
            (version / name).write_text(text, encoding="utf-8")
            (version / name).chmod(mode)
            os.chown(version / name, -1, group)
            (folder / name).symlink_to(f"..data/{name}")
    return folder
