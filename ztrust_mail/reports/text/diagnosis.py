"""A diagnosis as lines of text: what the server said, what the probe saw, the verdict, and the next step."""

from __future__ import annotations

from collections.abc import Iterator

from ztrust_mail.core.findings import Severity
from ztrust_mail.diagnose.possible_causes import PossibleCause
from ztrust_mail.diagnose.verdict import DOWNGRADE, LAX_CHECK, NO_LOGIN_OFFERED, Diagnosis
from ztrust_mail.probing.outcome import ProbeStatus, Stage
from ztrust_mail.reports.grouping import name_realms
from ztrust_mail.reports.style import HANG, Line, Span, line

MOST_CAUSES = 4
"""How many possible causes are shown without ``--details``."""

_WIDTH = len("from here")
_STYLES = {Severity.CRITICAL: "bold red", Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_SENT = {
    DOWNGRADE: "SENT, BUT IN CLEAR",
    NO_LOGIN_OFFERED: "sent without login",
    LAX_CHECK: "sent, certificate not checked",
}


def diagnosis_lines(one: Diagnosis, *, details: bool = False) -> Iterator[Line]:
    """Yield the block of a diagnosis: a heading, then a line for each part."""
    verdict = one.verdict
    yield line(
        Span(str(one.relay), "bold"), f": {name_realms(one.realms)}  ", Span(status_of(one), _STYLES[verdict.severity])
    )
    yield _part("server", server_side(one))
    yield _part("from here", probe_side(one))
    said = " ".join(part for part in (verdict.cause, verdict.explanation) if part)
    yield _part("verdict", said, Span(f" [{verdict.rule}]", "dim"))
    causes = verdict.possible_causes
    for place, cause in enumerate(causes if details else causes[:MOST_CAUSES], 1):
        yield line(" " * (_WIDTH + 4), Span("", HANG), f"{place}. {cause_text(cause)}")
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
    """Return what the server said, and how long it took."""
    said = "sent the mail" if one.answer.is_sent else one.answer.message.removeprefix("the test mail failed; ")
    return f"{said}, after {one.answer.seconds:.1f} s"


def probe_side(one: Diagnosis) -> str:
    """Return what the probe saw, in one line: the stages that passed, then the one that failed."""
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


def cause_text(cause: PossibleCause) -> str:
    """Return a possible cause as a sentence."""
    return f"{'likely: ' if cause.is_likely else ''}{cause.text}"
