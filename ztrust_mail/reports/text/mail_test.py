"""The results of test mails as lines of text, with a diagnosis of each relay where a test fails or proves little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ztrust_mail.core.text import pluralise
from ztrust_mail.diagnose.mail_test import MailTestStatus
from ztrust_mail.diagnose.verdict import DOWNGRADE, LAX_CHECK, NO_LOGIN_OFFERED, Diagnosis
from ztrust_mail.probing.outcome import ProbeStatus, Stage
from ztrust_mail.reports.grouping import Statement, group_realms, name_realms
from ztrust_mail.reports.report import MailTestReport
from ztrust_mail.reports.style import HANG, Line, Span, line
from ztrust_mail.reports.text.lines import SEVERITY_STYLES, finding_lines, server_lines

MOST_CAUSES = 4
"""How many possible causes are shown without ``--details``."""

_WIDTH = len("from here")
_SENT = {
    DOWNGRADE: "SENT, BUT IN CLEAR",
    NO_LOGIN_OFFERED: "sent without login",
    LAX_CHECK: "sent, certificate not checked",
}


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


def diagnosis_lines(one: Diagnosis, *, details: bool = False) -> Iterator[Line]:
    """Yield the block of a diagnosis: a heading, then a line for each part."""
    verdict = one.verdict
    state = Span(status_of(one), SEVERITY_STYLES[verdict.severity])
    yield line(Span(str(one.relay), "bold"), f": {name_realms(one.realms)}  ", state)
    yield _part("server", server_side(one))
    yield _part("from here", probe_side(one))
    said = " ".join(part for part in (verdict.cause, verdict.explanation) if part)
    yield _part("verdict", said, Span(f" [{verdict.rule}]", "dim"))
    causes = verdict.possible_causes
    for place, cause in enumerate(causes if details else causes[:MOST_CAUSES], 1):
        yield line(" " * (_WIDTH + 4), Span("", HANG), f"{place}. {'likely: ' if cause.is_likely else ''}{cause.text}")
        if cause.is_likely or details:
            yield line(" " * (_WIDTH + 7), Span("", HANG), Span(cause.check, "dim"))
    if not details and len(causes) > MOST_CAUSES:
        yield line(" " * (_WIDTH + 4), Span(f"and {len(causes) - MOST_CAUSES} more: --details", "dim"))
    yield _part("next", verdict.next_step)


def _part(name: str, text: str, *more: Span) -> Line:
    return line(f"  {name:<{_WIDTH}}  ", Span("", HANG), text, *more)


def status_of(one: Diagnosis) -> str:
    """Return the state of the relay's realms in words for a heading."""
    return _SENT.get(one.verdict.rule, "sent") if one.answer.is_sent else "FAILED"


def server_side(one: Diagnosis) -> str:
    """Return the server's response, and how long it took."""
    said = "sent the mail" if one.answer.is_sent else one.answer.message.removeprefix("the test mail failed; ")
    return f"{said}, after {one.answer.seconds:.1f} s"


def probe_side(one: Diagnosis) -> str:
    """Return the probe's result in one line: the stages that passed, then the one that failed."""
    found = one.probe
    passed = [stage for stage in found.stages if stage.status in (ProbeStatus.OK, ProbeStatus.WARNING)]
    shown = ", ".join(stage.stage.label for stage in passed if stage.stage is not Stage.QUIT)
    warned = "".join(f"; {stage.detail}" for stage in passed if stage.status is ProbeStatus.WARNING)
    if failed := found.failure:
        before = f"{shown} ok{warned}; " if shown else ""
        return f"{before}{failed.stage.label} failed: {failed.detail}"
    login = found.stage(Stage.LOGIN)
    is_untested = login is not None and login.status is ProbeStatus.NOT_TESTED and not one.answer.is_sent
    return f"{shown} ok{warned}{f'; {login.detail}' if login and is_untested else ''}"
