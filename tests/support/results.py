"""What plans, results and other outcomes of many realms say, in short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ztrust_mail.applying.outcome import RealmOutcome, Result
from ztrust_mail.convert.format import ReadResult, WriteResult
from ztrust_mail.core.findings import Finding
from ztrust_mail.diagnose.mail_test import MailTestOutcome, MailTestRun, MailTestStatus
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.reports.report import Report
from ztrust_mail.reports.style import plain
from ztrust_mail.reports.text import TextFormat

Outcome = Plan | Result | MailTestRun


def parts_of(outcome: Outcome) -> Sequence[RealmPlan | RealmOutcome | MailTestOutcome]:
    """Return what became of each realm."""
    return outcome.outcomes if isinstance(outcome, MailTestRun) else outcome.realms


def statuses(outcome: Outcome) -> dict[str, Status | MailTestStatus]:
    """Return the status of each realm."""
    return {part.realm: part.status for part in parts_of(outcome)}


def findings_in(outcome: Outcome | ReadResult | WriteResult) -> Iterator[Finding]:
    """Yield the findings of the whole, then those of each realm."""
    own = getattr(outcome, "own_findings", None)
    yield from () if isinstance(outcome, MailTestRun) else getattr(outcome, "findings", ()) if own is None else own
    if not isinstance(outcome, ReadResult | WriteResult):
        for part in parts_of(outcome):
            yield from part.findings


def rules(outcome: Outcome | ReadResult | WriteResult) -> list[str]:
    """Return the rule of each finding."""
    return [finding.rule for finding in findings_in(outcome)]


def left_out(found: ReadResult) -> set[str]:
    """Return the fields that a conversion says it leaves out; an attribute may be an extra one."""
    rules = ("plain-secret", "masked-value", "placeholder")
    names = {finding.field for finding in found.findings if finding.field and finding.rule in rules}
    return names | {f"extra.{name}" for name in names}


def messages(outcome: Outcome) -> str:
    """Return message, hint and rule of each finding, on a line of its own."""
    return "\n".join(f"{found.message}; {found.hint} [{found.rule}]" for found in findings_in(outcome))


def text_lines(report: Report, width: int = 0, *, details: bool = False) -> list[str]:
    """Return the lines of a report as text: the body, then the verdict."""
    body, verdict = TextFormat(details=details).render(report)
    return plain([*body, *verdict], width).splitlines()
