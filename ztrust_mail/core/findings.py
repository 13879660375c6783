"""One type for every problem and notice, whatever finds it and however it is reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_PROBLEMS = 1_000
"""How many findings of one file are reported."""


class Severity(StrEnum):
    """How much a finding matters. Errors change the exit status; a critical finding needs a person at once."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file: the path as the user gave it, line and column from 1.

    Both are 0 for a spec given as a dict, which has no lines.
    """

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


@dataclass(frozen=True)
class Finding:
    """A problem or a notice.

    ``rule`` is an id of :mod:`ztrust_mail.core.rules`, such as ``unknown-key``. ``message`` says what happened,
    ``hint`` what to do next. A finding belongs to a place in a file, to a realm and field, or to both.
    """

    severity: Severity
    rule: str
    message: str
    hint: str = ""
    location: Location | None = None
    realm: str | None = None
    field: str | None = None


def error(rule: str, message: str, hint: str = "", location: Location | None = None) -> Finding:
    """Return an error at a place in a file."""
    return Finding(Severity.ERROR, rule, message, hint, location)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Tell whether any of the findings is an error."""
    return any(f.severity is Severity.ERROR for f in findings)


class FileFindings:
    """Collects distinct findings of files, in bounded memory.

    Of each file it keeps one error and one other finding more than are reported. So :meth:`in_order` knows whether
    there are more, and no number of warnings hides an error.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[dict[Finding, None], dict[Finding, None]]] = {}

    def add(self, finding: Finding) -> bool:
        """Add a finding; return whether there was room for it."""
        path = finding.location.path if finding.location else ""
        kept = self._kept.setdefault(path, ({}, {}))[finding.severity is not Severity.ERROR]
        if finding not in kept and len(kept) > MAX_PROBLEMS:
            return False
        kept[finding] = None
        return True

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add the findings that there is room for."""
        for finding in findings:
            self.add(finding)

    def __iter__(self) -> Iterator[Finding]:
        """Yield all findings in the order in which they were added."""
        for errors, others in self._kept.values():
            yield from errors
            yield from others

    def in_order(self) -> list[Finding]:
        """Return the findings by file and place. For a file with too many, errors come first and a last one says so."""
        result: list[Finding] = []
        for path, (errors, others) in sorted(self._kept.items(), key=lambda item: item[0]):
            found = [*errors, *others]
            shown = sorted(found[:MAX_PROBLEMS], key=lambda finding: finding.location or Location(""))
            result += shown if len(found) <= MAX_PROBLEMS else [*shown, _more(path, errors)]
        return result


def _more(path: str, errors: Iterable[Finding]) -> Finding:
    severity = Severity.ERROR if len(list(errors)) > MAX_PROBLEMS else Severity.WARNING
    message = f"more than {MAX_PROBLEMS:,} findings; the others are not shown"
    hint = "fix these first, or work on fewer realms at a time"
    return Finding(severity, "too-many-findings", message, hint, Location(path) if path else None)
