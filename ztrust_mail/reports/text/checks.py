"""The doctor's checks and the results of test mails, as lines of text."""

from collections import Counter
from collections.abc import Iterator, Mapping

from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.diagnose.doctor import MAX_EXAMPLES, DoctorReport
from ztrust_mail.diagnose.mail_test import MailTestStatus
from ztrust_mail.diagnose.verdict import DOWNGRADE
from ztrust_mail.reports.grouping import Statement, group_realms, name_realms
from ztrust_mail.reports.report import MailTestReport
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.reports.text.diagnosis import diagnosis_lines
from ztrust_mail.reports.text.findings import finding_lines
from ztrust_mail.reports.text.lines import server_lines


def mail_test_body(report: MailTestReport, *, details: bool = False) -> Iterator[Line]:
    """Yield the server, the result of each test mail, equal ones of several realms once, and the diagnoses."""
    run = report.run
    yield from server_lines(report.title or run.url, run.account)
    styles = {MailTestStatus.SENT.value: "green", MailTestStatus.SKIPPED.value: "yellow"}
    diagnosed = {realm for one in run.diagnoses for realm in one.realms}
    others = [one for one in run.outcomes if one.realm not in diagnosed]
    said = [(one.realm, one.status.value, [Statement("", "", (one.proof,))]) for one in others]
    for block in group_realms(said, details=details):
        proof = block.statements[0].texts[0] or block.head
        yield line(Span(name_realms(block.realms), "bold"), "  ", Span(proof, styles.get(block.head, "bold red")))
    for place, one in enumerate(run.diagnoses):
        yield from [line()] if place or others else []
        yield from diagnosis_lines(one, details=details)
    found = [*report.findings, *(one for outcome in others for one in outcome.findings)]
    lines = list(finding_lines(found, fold=not details))
    yield from [line(), *lines] if lines else []
    yield from [line()] if lines or run.diagnoses else []


def mail_test_verdict(report: MailTestReport) -> Iterator[Line]:
    """Yield the numbers, and the address that the mails went to."""
    run = report.run
    numbers = Counter(outcome.status for outcome in run.outcomes)
    if in_clear := sum(len(one.realms) for one in run.diagnoses if one.verdict.rule == DOWNGRADE):
        verb = "was" if in_clear == 1 else "were"
        yield line(Span(f"CRITICAL: {pluralise(in_clear, 'mail')} {verb} sent in clear text.", "bold red"))
    if len(run.outcomes) > 1:
        parts = [f"{numbers[status]:,} {status.value}" for status in MailTestStatus if numbers[status]]
        yield line(Span(f"Tested {pluralise(len(run.outcomes), 'realm')}: ", "bold"), f"{', '.join(parts)}.")
    if sent := numbers[MailTestStatus.SENT]:
        address = run.account.email or "an address this account may not see"
        yield line(f"The {'mail' if sent == 1 else 'mails'} went to {address}, the account {run.account.phrase}.")


def check_lines(found: DoctorReport, *, capabilities: bool = False) -> Iterator[Line]:
    """Yield each check with its answer and, unless that is a yes, what to do; with ``capabilities`` their table, too.

    Realms with the same problem are one group with some examples. A no of the first check has no table after it.
    """
    marks = {True: Span("yes", "green"), False: Span("no", "bold red"), None: Span("?", "yellow")}
    yield line(found.url)
    for check in found.checks:
        mark = marks[check.answer]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{check.question:<22}  {check.detail}")
        for group in check.groups[:MAX_EXAMPLES]:
            examples = first_and_more([quoted(realm) for realm in group.realms], MAX_EXAMPLES)
            yield line(f"      not in {examples}: {group.message}")
            yield line(Span(f"        {group.hint}", "dim"))
        if (more := len(check.groups) - MAX_EXAMPLES) > 0:
            yield line(f"      and {pluralise(more, 'other problem')}: ztrust-mail doctor --format json")
        if check.hint and check.answer is not True:
            yield line(Span(f"        {check.hint}", "dim"))
    if capabilities and found.checks[0].answer is not False:
        yield from _capability_lines(found, marks)


def check_verdict(found: DoctorReport) -> Iterator[Line]:
    """Yield how many checks failed; nothing after a no of the first check, which says it all."""
    if found.checks[0].answer is False:
        return
    numbers = Counter(check.answer for check in found.checks)
    verdict = f"{pluralise(numbers[False], 'check')} failed" if numbers[False] else "No problem found"
    unknown = f"; {pluralise(numbers[None], 'check')} could not be made" if numbers[None] else ""
    yield line(Span(f"{verdict}{unknown}.", "bold"))


def _capability_lines(found: DoctorReport, marks: Mapping[bool | None, Span]) -> Iterator[Line]:
    yield line(f"What {found.title} can do:")
    width = max(len(ability.operation) for ability in found.abilities)
    for ability in found.abilities:
        mark = marks[ability.is_supported]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{ability.operation:<{width}}  {ability.remark}")
