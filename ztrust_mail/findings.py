"""One type for everything worth telling, whatever found it and however it is reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters. Errors change the exit status; a critical one asks for a person at once."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file: the path as the user gave it, line and column counted from 1.

    A spec given as a dict has no lines: both are 0.
    """

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


@dataclass(frozen=True)
class Finding:
    """Something worth telling.

    ``rule`` is a stable id such as ``unknown-key``; ``message`` says what, ``hint`` what to do next;
    it stands at a place in a file, at a realm and field, or both.
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
