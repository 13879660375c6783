"""The doctor's checks and the results of test mails, as lines of text."""

from collections import Counter
from collections.abc import Iterator

from ztrust_mail.core.text import pluralise
from ztrust_mail.diagnose.doctor import DoctorReport
from ztrust_mail.diagnose.mail_test import MailTestRun, MailTestStatus
from ztrust_mail.reports.style import Line, Span, line


def mail_test_lines(run: MailTestRun) -> Iterator[Line]:
    """Yield the result of each test mail, then the address that the mails went to."""
    styles = {MailTestStatus.SENT: "green", MailTestStatus.SKIPPED: "yellow"}
    for outcome in run.outcomes:
        said = Span(outcome.proof or outcome.status.value, styles.get(outcome.status, "bold red"))
        yield line(Span(outcome.realm, "bold"), "  ", said)
    numbers = Counter(outcome.status for outcome in run.outcomes)
    if len(run.outcomes) > 1:
        parts = [f"{numbers[status]:,} {status.value}" for status in MailTestStatus if numbers[status]]
        yield line(Span("Tested: ", "bold"), f"{pluralise(len(run.outcomes), 'realm')}: {', '.join(parts)}.")
    if sent := numbers[MailTestStatus.SENT]:
        address = run.account.email or "an address this account may not see"
        yield line(f"The {'mail' if sent == 1 else 'mails'} went to {address}, the account {run.account.phrase}.")


def check_lines(found: DoctorReport) -> Iterator[Line]:
    """Yield each check with its answer and, unless that is a yes, its hint; then what the product can do."""
    marks = {True: Span("yes", "green"), False: Span("no", "bold red"), None: Span("?", "yellow")}
    yield line(found.url)
    for check in found.checks:
        mark = marks[check.answer]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{check.question:<22}  {check.detail}")
        if check.hint and check.answer is not True:
            yield line(Span(f"{'':30}{check.hint}", "dim"))
    yield line(f"What {found.title} can do:")
    width = max(len(ability.operation) for ability in found.abilities)
    for ability in found.abilities:
        mark = marks[ability.is_supported]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{ability.operation:<{width}}  {ability.remark}")
