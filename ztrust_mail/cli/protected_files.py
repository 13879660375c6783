"""Guards the files that a command reads or makes: no report may be written over one of them."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from ztrust_mail import settings as config
from ztrust_mail.core.errors import ConfigError, JournalError, UsageError
from ztrust_mail.core.files import STDIN, is_inside, is_spec_in, read_regular_file
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.reports.json import schema_at
from ztrust_mail.reports.report import OutputFormat, load_format

_USAGE = f"write FORMAT=FILE with one of the formats {', '.join(OutputFormat)}"
ReportFile = tuple[OutputFormat, Path]

_BEGINNING = 512
_STREAMS = {1: "standard output", 2: "standard error"}


class FileKind(Enum):
    """The kind of a file, by its content."""

    NEW = "nothing, or an empty file"
    REPORT = "a report"
    PLAN = "a saved plan"
    BASELINE = "a baseline of lint"
    DEVICE = "a device or pipe"
    DANGLING_LINK = "a link to a file that does not exist"  # the author of a checkout chose where that would be created
    OTHER = "something else"


def kind_at(path: Path) -> FileKind:
    """Return the kind of the file at a path. An unreadable path counts as new: writing to it reports the reason."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return FileKind.DANGLING_LINK if os.path.islink(path) else FileKind.NEW
    except OSError:
        return FileKind.NEW
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return FileKind.DEVICE
    try:
        return _kind_of(read_regular_file(os.path.realpath(path), _BEGINNING, follow_links=False))
    except OSError:  # it cannot be read, or is not a regular file
        return FileKind.OTHER


def _kind_of(beginning: bytes) -> FileKind:
    from ztrust_mail.linting.baseline import SCHEMAS as BASELINES
    from ztrust_mail.planning.saved.write import SCHEMAS  # most commands do without saved plans

    if not beginning:
        return FileKind.NEW
    if schema_at(beginning).startswith(SCHEMAS):
        return FileKind.PLAN
    if schema_at(beginning).startswith(BASELINES):
        return FileKind.BASELINE
    is_report = any(load_format(name).recognises(beginning) for name in OutputFormat)
    return FileKind.REPORT if is_report else FileKind.OTHER


def why_not_replace(path: Path, replaceable: FileKind = FileKind.REPORT) -> str:
    """Return why a file may not be replaced by one of that kind, empty if it may."""
    if (kind := kind_at(path)) in (FileKind.NEW, FileKind.DEVICE, replaceable):
        return ""
    return f"it holds something other than {replaceable.value}" if kind is FileKind.OTHER else f"it is {kind.value}"


@dataclass(frozen=True)
class ProtectedFiles:
    """The files that a command reads or writes, as the user named them; ``settings`` is None without --config."""

    specs: Sequence[str] = ()
    plan: str | None = None
    out: Path | None = None
    settings: str | None = None

    def why_not_write(self, path: Path, replaceable: FileKind = FileKind.REPORT) -> str:
        """Return why a report, or another kind of file, may not be written to a path, empty if it may."""
        return next(self._reasons(path), "") or why_not_replace(path, replaceable)

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


def check_plan_file(path: Path, own: ProtectedFiles) -> None:
    """Raise :class:`UsageError` if saving a plan would replace anything but a saved plan."""
    if why := replace(own, out=None).why_not_write(path, FileKind.PLAN):
        raise UsageError(f"cannot write the plan {quoted(path)}: {why}", "name a file elsewhere")


def check_not_journal(path: Path, settings: str | None) -> None:
    """Raise :class:`UsageError` if a command's output would replace the journal in force."""
    if any(_is_same(path, other) for other in _journal_files(settings)):
        raise UsageError(f"cannot write {quoted(path)}: it is the journal", "name another file")


def check_not_input(path: Path | None, read: str) -> None:
    """Raise :class:`UsageError` if a command's output would replace the file that the command reads."""
    if path is not None and read != STDIN and _is_same(path, read):
        raise UsageError(f"cannot write {quoted(path)}: the command reads this file", "name another file")


def check_outside(path: Path, exports: str) -> None:
    """Raise :class:`UsageError` if a report or plan would overwrite or join the realm exports."""
    real, root = os.path.realpath(path), os.path.realpath(exports)
    if real == root or (real.endswith(".json") and is_inside(real, root)):
        message = f"cannot write {quoted(path)}: it would be one of the realm exports in {quoted(exports, 255)}"
        raise UsageError(message, "name a file in another folder")


def parse_report_files(texts: Sequence[str], own: ProtectedFiles) -> list[ReportFile]:
    """Parse each ``FORMAT=FILE``.

    Raises :class:`UsageError`, before any work is done, if one is malformed, cannot be written, or would overwrite
    a file of the command or another report.
    """
    found: list[ReportFile] = []
    for one in texts:
        kind, path = _parse_report_file(one)
        another = any(_is_same(path, other) for _, other in found)
        if why := "another report goes there" if another else own.why_not_write(path):
            raise UsageError(f"cannot write the report {quoted(path)}: {why}", "name another file")
        found.append((kind, path))
    return found


def _parse_report_file(text: str) -> ReportFile:
    kind, separator, file = text.partition("=")
    if not separator or not file:
        raise UsageError(f"--report {quoted(text)} is not FORMAT=FILE", _USAGE)
    if kind not in list(OutputFormat):
        hint = did_you_mean(kind, list(OutputFormat)) or _USAGE
        raise UsageError(f"--report {quoted(text)}: unknown report format {quoted(kind)}", hint)
    if file == STDIN:
        hint = f"to have it there use --format {kind}, or name a file"
        raise UsageError(f"--report {quoted(text)}: the result already goes to standard output", hint)
    path = Path(file)
    if os.path.isdir(path) or not os.path.isdir(path.parent):
        problem = "it is a folder" if os.path.isdir(path) else "its folder does not exist"
        raise UsageError(f"cannot write the report {quoted(path)}: {problem}", "name a file in an existing folder")
    load_format(OutputFormat(kind)).check_installed()
    return OutputFormat(kind), path


def _journal_files(settings: str | None) -> Sequence[Path]:
    """Return the journal's file and those that SQLite creates next to it; none for a journal on a database server."""
    from ztrust_mail.journal.database import location_of  # most commands write no report

    url = None
    with suppress(ConfigError):  # reported when the settings are needed
        url = config.journal_url(config.load(settings))
    try:
        file = location_of(url).file
    except JournalError:  # reported likewise
        return ()
    return [file.with_name(file.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")] if file else ()


def _is_file_of(path: Path, handle: int) -> bool:
    """Return whether a path is the regular file that a standard stream is redirected to."""
    with suppress(OSError):  # the path or the stream does not exist
        status = os.fstat(handle)
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.stat(path))
    return False


def _is_same(path: Path, other: str | Path | None) -> bool:
    """Return whether two paths lead to the same file, resolving links, even if it does not exist yet."""
    if other is None:
        return False
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them does not exist
        return os.path.realpath(path) == os.path.realpath(other)
