"""Where reports and saved plans go, and what they may replace: nothing but earlier ones."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from ztrust_mail import config
from ztrust_mail.cli.options import Format
from ztrust_mail.errors import ConfigError, JournalError, UsageError
from ztrust_mail.files import content_of
from ztrust_mail.reports import json
from ztrust_mail.spec.folder import is_spec_in
from ztrust_mail.spec.source import STDIN
from ztrust_mail.text import did_you_mean, quoted

ReportFile = tuple[Format, Path]

TEXT_HEADING = "ztrust-mail report: "
"""How the first line of a text report begins, by which a later one is permitted to replace it."""

_SCHEMA = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"schema"\s*:\s*"([^"]*)"')
_BEGINNING = 512
_STREAMS = {1: "standard output", 2: "standard error"}


class FileKind(Enum):
    """What is at a path, by its content."""

    NEW = "nothing, or an empty file"
    REPORT = "a report"
    PLAN = "a saved plan"
    DEVICE = "a device or pipe"
    OTHER = "something else"


def kind_at(path: Path) -> FileKind:
    """Return what is at a path. What cannot be examined counts as new: writing it then reports why it fails."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return FileKind.NEW
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return FileKind.DEVICE
    try:
        return _kind_of(content_of(os.path.realpath(path), _BEGINNING)) if stat.S_ISREG(mode) else FileKind.OTHER
    except OSError:  # it cannot be read
        return FileKind.OTHER


def _kind_of(beginning: bytes) -> FileKind:
    from ztrust_mail.sync.saved.records import SCHEMAS  # most commands know no saved plan

    found = _SCHEMA.match(beginning)
    schema = found[1].decode(errors="replace") if found else ""
    if not beginning:
        return FileKind.NEW
    if schema.startswith(SCHEMAS):
        return FileKind.PLAN
    if schema.startswith(json.SCHEMAS) or beginning.startswith(TEXT_HEADING.encode()):
        return FileKind.REPORT
    return FileKind.OTHER


def reason_to_spare(path: Path, replaceable: FileKind = FileKind.REPORT) -> str:
    """Return why what is at a path may not be replaced by something of that kind, empty where it may."""
    if (kind := kind_at(path)) in (FileKind.NEW, FileKind.DEVICE, replaceable):
        return ""
    return f"it holds something other than {replaceable.value}" if kind is FileKind.OTHER else f"it is {kind.value}"


@dataclass(frozen=True)
class Own:
    """The files that a command reads or makes, as they were given; ``settings`` is None where nobody named any."""

    specs: Sequence[str] = ()
    plan: str | None = None
    out: Path | None = None
    settings: str | None = None

    def reason_against(self, path: Path, replaceable: FileKind = FileKind.REPORT) -> str:
        """Return why no report, or no other file of that kind, may be written to a path, empty where it may."""
        return next(self._reasons(path), "") or reason_to_spare(path, replaceable)

    def _reasons(self, path: Path) -> Iterator[str]:
        yield from (why for other, why in self._each() if _is_same(path, other))
        yield from (f"it would be one of the specs in {quoted(one)}" for one in self.specs if is_spec_in(path, one))
        yield from (f"{name} goes there" for handle, name in _STREAMS.items() if _is_file_of(path, handle))
        yield from ("it is the journal" for other in _journal_files(self.settings) if _is_same(path, other))

    def _each(self) -> Iterator[tuple[str | Path | None, str]]:
        yield from ((spec, "it is a spec") for spec in self.specs if spec != STDIN)
        yield self.plan, "it is the saved plan"
        yield self.out, "it is what --out names"
        yield from ((place, "it is a settings file") for place in config.places(self.settings))


def check_plan_file(path: Path, own: Own) -> None:
    """Raise :class:`UsageError` where saving a plan would replace anything but a saved plan."""
    if why := replace(own, out=None).reason_against(path, FileKind.PLAN):
        raise UsageError(f"cannot write the plan {quoted(path)}: {why}", "name a file elsewhere")


def check_not_journal(path: Path, settings: str | None) -> None:
    """Raise :class:`UsageError` where a command's product would replace the journal in force."""
    if any(_is_same(path, other) for other in _journal_files(settings)):
        raise UsageError(f"cannot write {quoted(path)}: it is the journal", "name another file")


def check_outside(path: Path, exports: str) -> None:
    """Raise :class:`UsageError` where a report or plan would be one of the realm exports in a file or folder."""
    real, root = os.path.realpath(path), os.path.realpath(exports)
    if real == root or (real.endswith(".json") and os.path.commonpath([real, root]) == root):
        message = f"cannot write {quoted(path)}: it would be one of the realm exports in {quoted(exports, 255)}"
        raise UsageError(message, "name a file in another folder")


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


def _journal_files(settings: str | None) -> Sequence[Path]:
    """Return the journal's file and those that SQLite keeps with it; none where a database server has it."""
    from ztrust_mail.sync.journal.place import place_of  # most commands write no report

    url = None
    with suppress(ConfigError):  # reported by whatever needs the settings
        url = config.journal_url(config.load(settings))
    try:
        file = place_of(url).file
    except JournalError:  # likewise
        return ()
    return [file.with_name(file.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")] if file else ()


def _is_file_of(path: Path, handle: int) -> bool:
    """Tell whether a path leads to the regular file that a standard stream is redirected to."""
    with suppress(OSError):  # the path or the stream is not there
        status = os.fstat(handle)
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.stat(path))
    return False


def _is_same(path: Path, other: str | Path | None) -> bool:
    """Tell whether two paths lead to one file, be it by links or yet to be made."""
    if other is None:
        return False
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them is not there
        return os.path.realpath(path) == os.path.realpath(other)
