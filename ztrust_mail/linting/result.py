"""The result of lint: findings, and the number of those left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.results import ResultMethods
from ztrust_mail.core.text import pluralise
from ztrust_mail.linting.baseline import KnownFinding, can_be_known
from ztrust_mail.specfile.entries import Spec

_RANK = list(Severity)


@dataclass(frozen=True, repr=False)
class LintResult(ResultMethods):
    """The findings on the valid part of a spec and, with a server, on its realms there.

    ``ignored`` counts the findings that comments in the spec ignore, ``known`` those in the baseline. ``rows`` is the
    baseline that knows all findings of now. ``is_valid`` tells that the spec has no errors, ``unread`` that realms on
    the server could not be read. ``fail_on`` is the lowest severity that counts for the exit status.
    """

    spec: Spec
    findings: tuple[Finding, ...]
    url: str = ""
    ignored: int = 0
    known: int = 0
    rows: tuple[KnownFinding, ...] = ()
    is_valid: bool = True
    unread: bool = False
    fail_on: Severity = Severity.WARNING

    def accepted_as_baseline(self) -> LintResult:
        """Return the result after its findings became the baseline: only what no baseline can hold is left."""
        left = tuple(one for one in self.findings if not can_be_known(one))
        return replace(self, findings=left, known=self.known + len(self.findings) - len(left))

    @property
    def exit_status(self) -> ExitStatus:
        """2 for an invalid spec, 4 for unreadable realms, 1 for findings from ``fail_on`` on, else 0."""
        worst = _RANK.index(self.fail_on)
        found = [ExitStatus.DIFFERS] if any(_RANK.index(one.severity) <= worst for one in self.findings) else []
        unread = [ExitStatus.PARTIAL] if self.unread else []
        invalid = [ExitStatus.USAGE] if not self.is_valid else []
        return ExitStatus.worst([*invalid, *unread, *found])

    @property
    def scope(self) -> str:
        """How many realms and globs the valid part of the spec has entries for, and in how many files."""
        spec = self.spec
        names = {entry.name: entry for entry in (spec.entries if spec.target else spec.written) if entry.name}
        globs = sum(entry.is_glob for entry in names.values())
        exact, files = pluralise(len(names) - globs, "realm"), pluralise(len(spec.paths), "file")
        return f"{exact} and {pluralise(globs, 'glob')} in {files}"

    @property
    def summary(self) -> str:
        """How many findings there are of each severity."""
        counts = Counter(one.severity for one in self.findings)
        return ", ".join(pluralise(counts[one], str(one)) for one in Severity if counts[one]) or "no findings"
