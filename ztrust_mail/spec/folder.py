"""Which files a folder of specs is read for."""

from __future__ import annotations

import os

SUFFIXES = (".yaml", ".yml", ".json", ".toml")


def files_in(folder: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the spec files in a folder and all below it, sorted, and the paths that are refused, with the rule.

    Names that start with a dot are passed over.
    """
    root = os.path.realpath(folder)
    waiting, visited, files = [folder], set(), []
    refused: list[tuple[str, str]] = []
    while waiting:
        path = waiting.pop()
        real, named = os.path.realpath(path), path.lower().endswith(SUFFIXES)
        is_folder = os.path.isdir(real)
        if (is_folder or named) and os.path.commonpath([root, real]) != root:
            refused.append((path, "link-outside"))
        elif is_folder and named:
            refused.append((path, "not-a-file"))
        elif is_folder and real not in visited:
            visited.add(real)  # links may lead round in a circle
            try:
                names = sorted((name for name in os.listdir(path) if not name.startswith(".")), reverse=True)
            except OSError:
                refused.append((path, "cannot-read"))
                continue
            waiting.extend(os.path.join(path, name) for name in names)
        elif named:
            files.append(path)
    return files, refused


def is_spec_in(path: str | os.PathLike[str], folder: str) -> bool:
    """Tell whether a file at a path is, or would be, among those that a folder is read for."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if not os.path.isdir(folder) or os.path.commonpath([root, real]) != root:
        return False
    names = os.path.relpath(real, root).split(os.sep)
    return real.lower().endswith(SUFFIXES) and not any(name.startswith(".") for name in names)
