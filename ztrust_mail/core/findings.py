"""One type for every error, warning and note, whichever check finds it and whichever format reports it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import StrEnum

MAX_PROBLEMS = 1_000
"""How many findings of one file are reported."""


class Severity(StrEnum):
    """How much a finding matters. Errors change the exit status; a critical finding needs immediate attention."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file: the path as the user gave it, line and column from 1.

    Both are 0 for a spec given as a dict, which has no lines: ``key`` says where in it, ``realms.acme.sender``.
    """

    path: str
    line: int = 0
    column: int = 0
    key: str = ""

    def __str__(self) -> str:
        if self.line:
            return f"{self.path}:{self.line}:{self.column}"
        return f"{self.path}: {self.key}" if self.key else self.path


@dataclass(frozen=True)
class Excerpt:
    """The source line of a finding, which holds no secret: the text before the place, at it, and after it."""

    before: str
    marked: str
    after: str


@dataclass(frozen=True)
class Finding:
    """An error, a warning or a note, at a place in a file, on a realm and one of its fields, or both.

    ``rule`` is an id of :mod:`ztrust_mail.core.rules`, such as ``unknown-key``; ``message`` says what is wrong,
    ``hint`` what to do next. ``excerpt`` is shown only on a terminal.
    """

    severity: Severity
    rule: str
    message: str
    hint: str = ""
    location: Location | None = None
    realm: str | None = None
    field: str | None = None
    excerpt: Excerpt | None = dataclass_field(default=None, compare=False, repr=False)


def error(
    rule: str, message: str, hint: str = "", location: Location | None = None, realm: str = "", field: str = ""
) -> Finding:
    """Return an error at a place in a file, on a realm and one of its fields, or both."""
    return Finding(Severity.ERROR, rule, message, hint, location, realm or None, field or None)


def warning(
    rule: str, message: str, hint: str = "", location: Location | None = None, realm: str = "", field: str = ""
) -> Finding:
    """Return a warning, with a place as :func:`error` has it."""
    return Finding(Severity.WARNING, rule, message, hint, location, realm or None, field or None)


def note(
    rule: str, message: str, hint: str = "", location: Location | None = None, realm: str = "", field: str = ""
) -> Finding:
    """Return a note, with a place as :func:`error` has it."""
    return Finding(Severity.NOTE, rule, message, hint, location, realm or None, field or None)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Tell whether any of the findings is an error."""
    return any(f.severity is Severity.ERROR for f in findings)


class FileFindings:
    """Collects findings without duplicates, and of each file at most one error and one other more than are reported.

    So no file takes memory without bound, :meth:`in_order` knows whether there are more, and no number of warnings
    hides an error.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[dict[Finding, None], dict[Finding, None]]] = {}

    def add(self, finding: Finding) -> bool:
        """Add a finding, and tell whether there was room for it."""
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
        """Yield the findings in the order in which they were added."""
        for errors, others in self._kept.values():
            yield from errors
            yield from others

    def in_order(self) -> list[Finding]:
        """Return the findings by file and place; of a file with too many, errors first and the limit last."""
        result: list[Finding] = []
        for path, (errors, others) in sorted(self._kept.items(), key=lambda item: item[0]):
            found = [*errors, *others]
            shown = sorted(found[:MAX_PROBLEMS], key=lambda finding: finding.location or Location(""))
            result += shown if len(found) <= MAX_PROBLEMS else [*shown, _more(path, errors)]
        return result


def _more(path: str, errors: Iterable[Finding]) -> Finding:
    severity = Severity.ERROR if len(list(errors)) > MAX_PROBLEMS else Severity.WARNING
    message = f"there are more than {MAX_PROBLEMS:,} findings; the rest is not shown"
    hint = "fix these first, or work on fewer realms at a time"
    return Finding(severity, "too-many-findings", message, hint, Location(path) if path else None)
