"""What the doctor saw and what became of test mails, as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ztrust_mail.diagnose.doctor import Examination
from ztrust_mail.diagnose.server_test import TestRun, TestStatus
from ztrust_mail.reports.lines import Line, Span, line
from ztrust_mail.text import counted


def tests(run: TestRun) -> Iterator[Line]:
    """What became of each test mail, and whose address it went to."""
    styles = {TestStatus.SENT: "green", TestStatus.SKIPPED: "yellow"}
    for outcome in run.outcomes:
        said = Span(outcome.proof or outcome.status.value, styles.get(outcome.status, "bold red"))
        yield line(Span(outcome.realm, "bold"), "  ", said)
    numbers = Counter(outcome.status for outcome in run.outcomes)
    if len(run.outcomes) > 1:
        parts = [f"{numbers[status]:,} {status.value}" for status in TestStatus if numbers[status]]
        yield line(Span("Tested: ", "bold"), f"{counted(len(run.outcomes), 'realm')}: {', '.join(parts)}.")
    if sent := numbers[TestStatus.SENT]:
        address = run.account.email or "an address this account may not see"
        yield line(f"The {'mail' if sent == 1 else 'mails'} went to {address}, the account {run.account.described}.")


def examination(found: Examination) -> Iterator[Line]:
    """What the doctor saw, and what to do about each no."""
    marks = {True: Span("yes", "green"), False: Span("no", "bold red"), None: Span("?", "yellow")}
    yield line(found.url)
    for check in found.checks:
        mark = marks[check.answer]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{check.question:<22}  {check.detail}")
        if check.hint and check.answer is not True:
            yield line(Span(f"{'':30}{check.hint}", "dim"))
    yield line(f"What {found.title} can do:")
    width = max(len(ability.verb) for ability in found.abilities)
    for ability in found.abilities:
        mark = marks[ability.able]
        yield line("  ", mark, " " * (4 - len(mark.text)), f"{ability.verb:<{width}}  {ability.remark}")
