"""Where reports go, and the files that none of them may be written over."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ztrust_mail import config
from ztrust_mail.cli.options import Format
from ztrust_mail.errors import UsageError
from ztrust_mail.spec.folder import is_spec_in
from ztrust_mail.spec.source import STDIN
from ztrust_mail.text import did_you_mean, quoted

ReportFile = tuple[Format, Path]


@dataclass(frozen=True)
class Own:
    """The files that a command reads or makes, as they were given; ``settings`` is None where nobody named any."""

    specs: Sequence[str] = ()
    plan: str | None = None
    out: Path | None = None
    settings: str | None = None

    def reason_against(self, path: Path) -> str:
        """Return why nothing else may be written to a path, empty where it may."""
        return next((why for other, why in self._each() if _is_same(path, other)), "") or next(
            (f"it would be one of the specs in {quoted(folder)}" for folder in self.specs if is_spec_in(path, folder)),
            "",
        )

    def _each(self) -> Iterator[tuple[str | Path | None, str]]:
        yield from ((spec, "it is a spec") for spec in self.specs if spec != STDIN)
        yield self.plan, "it is the saved plan"
        yield self.out, "it is what --out names"
        yield from ((place, "it is a settings file") for place in config.places(self.settings))


def report_files(given: Sequence[str], own: Own) -> list[ReportFile]:
    """Return what each ``FORMAT=FILE`` names.

    Raises :class:`UsageError`, before any work is done, where one is none, cannot be written, or would be written over
    a file of the command's own or another report.
    """
    found: list[ReportFile] = []
    for one in given:
        kind, path = _report_file(one)
        another = any(_is_same(path, other) for _, other in found)
        if why := "another report goes there" if another else own.reason_against(path):
            raise UsageError(f"cannot write the report {quoted(path)}: {why}", "name another file")
        found.append((kind, path))
    return found


def _report_file(given: str) -> ReportFile:
    kind, separator, file = given.partition("=")
    if not separator or not file or kind not in list(Format):
        hint = "" if kind in list(Format) else did_you_mean(kind, list(Format))
        raise UsageError(f"--report {quoted(given)} is no FORMAT=FILE", hint or "write json=FILE or text=FILE")
    if file == STDIN:
        hint = "write it there as JSON with --format json, or name a file"
        raise UsageError(f"--report {quoted(given)}: standard output has the result already", hint)
    path = Path(file)
    if os.path.isdir(path) or not os.path.isdir(path.parent):
        problem = "it is a folder" if os.path.isdir(path) else "its folder does not exist"
        raise UsageError(f"cannot write the report {quoted(path)}: {problem}", "name a file in an existing folder")
    return Format(kind), path


def _is_same(path: Path, other: str | Path | None) -> bool:
    """Tell whether two paths lead to one file, be it by links or yet to be made."""
    if other is None:
        return False
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them is not there
        return os.path.realpath(path) == os.path.realpath(other)
