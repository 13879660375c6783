"""Keeps what is reported of a file in proportion, whatever the file holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ztrust_mail.findings import Finding, Location, Severity
from ztrust_mail.spec.source import MAX_PROBLEMS


class FileFindings:
    """Findings, each once. Of each file it keeps one error and one other finding more than are reported.

    So no file costs memory without bound, :meth:`in_order` knows whether there are more, and no number of warnings
    hides an error.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[dict[Finding, None], dict[Finding, None]]] = {}

    def add(self, finding: Finding) -> bool:
        """Keep a finding and return whether there was room for it."""
        path = finding.location.path if finding.location else ""
        kept = self._kept.setdefault(path, ({}, {}))[finding.severity is not Severity.ERROR]
        if finding not in kept and len(kept) > MAX_PROBLEMS:
            return False
        kept[finding] = None
        return True

    def extend(self, findings: Iterable[Finding]) -> None:
        """Keep the findings that there is room for."""
        for finding in findings:
            self.add(finding)

    def __iter__(self) -> Iterator[Finding]:
        """Yield all findings that are kept, as they came."""
        for errors, others in self._kept.values():
            yield from errors
            yield from others

    def in_order(self) -> list[Finding]:
        """Return the findings by file and place, errors first where a file has too many, and then one that says so."""
        result: list[Finding] = []
        for path, (errors, others) in sorted(self._kept.items(), key=lambda item: item[0]):
            found = [*errors, *others]
            shown = sorted(found[:MAX_PROBLEMS], key=lambda finding: finding.location or Location(""))
            result += shown if len(found) <= MAX_PROBLEMS else [*shown, _more(path, errors)]
        return result


def _more(path: str, errors: Iterable[Finding]) -> Finding:
    severity = Severity.ERROR if len(list(errors)) > MAX_PROBLEMS else Severity.WARNING
    message = f"there are more than {MAX_PROBLEMS:,} findings; the others are left out"
    hint = "fix these first, or work on fewer realms at a time"
    return Finding(severity, "too-many-findings", message, hint, Location(path) if path else None)
