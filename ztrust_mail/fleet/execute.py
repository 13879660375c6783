"""Executes the work of a request on a server, like the command of the same name."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from ztrust_mail import api
from ztrust_mail.api import report_of
from ztrust_mail.api.run import P, require_open_window
from ztrust_mail.api.session import Session
from ztrust_mail.core.errors import (
    CIRCUIT_OPEN,
    TOO_BUSY,
    ExitStatus,
    JournalError,
    ServerError,
    ServerRefused,
    Unsafe,
    ZtrustMailError,
)
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.fleet.work import (
    KINDS,
    ApplySavedPlan,
    ApplySpec,
    CheckDrift,
    RotateSecrets,
    TestSpec,
    TestStored,
    Work,
    fit_to,
    probe_options_of,
)
from ztrust_mail.gateways.capabilities import Operation, require
from ztrust_mail.journal.errors import RULE as JOURNAL
from ztrust_mail.journal.lease import LOCKED
from ztrust_mail.journal.records import LOCK_LOST, Outcome
from ztrust_mail.journal.requests import Postponed, RequestEnd, RequestState, StoredRequest
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.safety import Reason, parse_allow

if TYPE_CHECKING:
    from ztrust_mail.api import Ensured, Execution
    from ztrust_mail.applying.options import ApplyOptions, Waves
    from ztrust_mail.applying.outcome import Result
    from ztrust_mail.diagnose.mail_test import MailTestRun
    from ztrust_mail.drift_detection.drift import Drift
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.planning.saved.write import SavedPlan
    from ztrust_mail.reports.report import Report

    WorkResult = Result | Drift | MailTestRun | Ensured

MAX_REPORT: Final = 1_000_000
"""The maximum length of a report stored in the journal, in characters."""

_OUTAGES: Final = frozenset((CIRCUIT_OPEN, TOO_BUSY, "not-read-back", "proxy", "reset", "slow", "unreachable"))
"""The rules of errors caused by a server that goes down during a run."""

LONGEST_WAIT: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class WorkCall:
    """A request in progress. Setting ``cancel`` ends it after the writes in progress.

    ``wait`` is how many seconds to wait for another run on the server. ``is_cancelled`` tells by number whether one of
    several requests in progress is cancelled.
    """

    request: StoredRequest
    session: Session
    cancel: threading.Event
    wait: float
    is_cancelled: Callable[[int], bool]

    def options(self, allow: frozenset[Reason], waves: Waves | None = None) -> ApplyOptions:
        """Return the options for applying a plan for this request."""
        from ztrust_mail.applying.options import ApplyOptions, Waves

        return ApplyOptions(
            allow,
            waves or Waves(),
            self.wait,
            cancel=self.cancel,
            message=self.request.message,
            request=self.request.number,
        )


def execute(call: WorkCall, work: Work) -> WorkResult:
    """Do the work of a request and return its result. Raises :class:`ZtrustMailError` if nothing was done."""
    match work:
        case ApplySpec():
            return _apply(call, work)
        case ApplySavedPlan():
            return _apply_saved(call, work)
        case RotateSecrets():
            return _rotate(call, work)
        case CheckDrift():
            return _check_drift(call, work)
        case TestSpec():
            spec, probe = fit_to(work.load(), call.session.server), probe_options_of(work)
            return api.test(call.session, work.realms, spec=spec, probe=probe, cancel=call.cancel)
        case TestStored():
            return api.test(call.session, work.realms, probe=probe_options_of(work), cancel=call.cancel)
    raise TypeError(f"no worker does {type(work).__name__}")


def _check_drift(call: WorkCall, work: CheckDrift) -> Drift:
    from ztrust_mail.drift_detection.drift import FailOn

    if work.uncovered == "fail":
        require(call.session.gateway, Operation.UNCOVERED)
    spec = fit_to(work.load(), call.session.server)
    found = api.drift(spec, call.session, realms=work.realms, lint=work.lint_options)
    return found.failing_on(FailOn(work.fail_on))


def _apply(call: WorkCall, work: ApplySpec) -> Result:
    spec = fit_to(work.load(), call.session.server)
    options = replace(call.options(parse_allow(work.allow), work.waves), spec_digest=api.spec_digest(spec))
    make_plan = partial(api.plan, spec, call.session, realms=work.realms, secrets=SecretMode(work.secrets))
    return _run(call.session, make_plan, options)


def _apply_saved(call: WorkCall, work: ApplySavedPlan) -> Result:
    from ztrust_mail.planning.saved.checks import move
    from ztrust_mail.planning.saved.read import from_text

    saved = move(from_text(work.plan))
    options = call.options(parse_allow(work.allow), work.waves)
    options = replace(options, command=saved.applying, plan_digest=saved.digest)
    return _run(call.session, partial(_plan_left, call, saved), options)


def _plan_left(call: WorkCall, saved: SavedPlan) -> Plan:
    """Return the saved plan, or the rest of it if a worker was killed while applying it."""
    run = call.session.journal.run_of_request(call.request.number)
    if run is None:
        return api.plan_saved(saved, call.session)
    left = api.find_unfinished(call.session)
    if left and left.run.number == run.number:
        return api.plan_saved(saved, call.session, left=left)
    if run.outcome in (Outcome.DONE, Outcome.RESUMED):
        return replace(saved.as_plan, realms=())
    hint = f"see: ztrust-mail history {run.number}"
    raise Unsafe(f"run {run.number} applied part of this plan, and another run followed", hint, "plan-stale")


def _rotate(call: WorkCall, work: RotateSecrets) -> Result:
    from ztrust_mail.applying.options import Waves

    spec, allow = fit_to(work.load(), call.session.server), parse_allow(work.allow) | {Reason.MASS_CHANGE}
    waves = replace(work.waves or Waves("1"), per_credential=True)
    options = replace(call.options(allow, waves), command="rotate", spec_digest=api.spec_digest(spec))
    make_plan = partial(api.rotate_plan, spec, call.session, work.scope, realms=work.realms, allow=work.allow)
    with call.session.lock(wait=options.wait, cancel=call.cancel):  # until the search for old values has ended
        settled = tuple(one.finding for one in api.settle(call.session))
        done = api.run_plan(call.session, make_plan, options)
        if done.verdict.refusal:
            raise with_reasons(done.verdict.refusal, done.plan)
        found = api.leftovers(done.plan, call.session)
    result = result_of(done, "rotate")
    return replace(result, own_findings=(*settled, *result.own_findings, *found))


def _run(session: Session, make_plan: Callable[[], Plan], options: ApplyOptions) -> Result:
    done = api.run_plan(session, make_plan, options)
    if done.verdict.refusal:
        raise with_reasons(done.verdict.refusal, done.plan)
    result = result_of(done, options.command)
    return replace(result, own_findings=(*done.settled, *result.own_findings))


def result_of(done: Execution[P], command: str) -> Result:
    """Return the result of a plan that was applied, or that had nothing to change."""
    from ztrust_mail.applying.outcome import Result

    return done.result or Result.of_unchanged(done.plan, command)


def with_reasons(refusal: Unsafe, plan: Plan) -> Unsafe:
    """Return a refusal with the errors in its plan, such as policy violations, which are shown nowhere else."""
    errors = (one for realm in plan.realms for one in realm.findings if one.severity is Severity.ERROR)
    return Unsafe(refusal.message, refusal.hint, refusal.rule, (*refusal.findings, *errors))


def end_of(result: WorkResult, work: Work | None = None) -> RequestEnd:
    """Return the end of a request from its result. Finding drift is not a failure."""
    from ztrust_mail.drift_detection.drift import Drift

    is_strict = isinstance(work, CheckDrift) and work.uncovered == "fail"
    report = _report_drift(result, is_strict=is_strict) if isinstance(result, Drift) else report_of(result)
    is_answer = isinstance(result, Drift) and report.exit_status is ExitStatus.DIFFERS
    is_done = is_answer or report.exit_status is ExitStatus.OK
    return _end(RequestState.DONE if is_done else RequestState.FAILED, report, str(result))


def _report_drift(found: Drift, *, is_strict: bool) -> Report:
    """Report drift; where that is strict, a realm without an entry counts as drift."""
    from ztrust_mail.reports.report import of_drift

    fails = is_strict and bool(found.plan.uncovered)
    status = ExitStatus.worst([found.exit_status, *([ExitStatus.DIFFERS] if fails else [])])
    return replace(of_drift(found, status), uncovered_fails=fails)


def end_of_error(kind: str, e: ZtrustMailError) -> RequestEnd:
    """Return the end of a request that raised an error."""
    from ztrust_mail.reports.report import of_findings

    command = KINDS[kind].command if kind in KINDS else "apply"
    own = Finding(Severity.ERROR, e.rule or command, e.message, e.hint)
    findings = e.findings if e.findings and not isinstance(e, Unsafe) else (own, *e.findings)
    return _end(RequestState.FAILED, of_findings(command, e.exit_status, findings), e.message)


def _end(state: RequestState, report: Report, summary: str) -> RequestEnd:
    from ztrust_mail.reports.json import FORMAT

    data, text = json.dumps(FORMAT.render(report)), _text_of(report)
    if len(data) > MAX_REPORT:
        data = ""
    if len(text) > MAX_REPORT:
        text = f"{text[:MAX_REPORT]}\n… (the rest is not stored)\n"
    return RequestEnd(state, int(report.exit_status), summary, data, text)


def _text_of(report: Report) -> str:
    """Return a report as text. For an apply, start with the plan, which a local command would have shown before."""
    from ztrust_mail.reports.report import ApplyReport, of_plan
    from ztrust_mail.reports.text import TextFormat, file_content

    body, verdict = TextFormat().render(report)
    plan = report.result.plan if isinstance(report, ApplyReport) else None
    shown = TextFormat().render(of_plan(report.command, plan, report.exit_status)).body if plan else ()
    return file_content(report.command, [*shown, *body, *verdict])


def is_transient(e: ZtrustMailError) -> bool:
    """Tell whether an error may be temporary: the server is down, or another run has the lock on it."""
    is_down = isinstance(e, ServerError) and not isinstance(e, ServerRefused)
    return is_down or (isinstance(e, Unsafe) and e.rule == LOCKED)


def has_lost_server(result: WorkResult) -> bool:
    """Tell whether a result is incomplete because the server went down or stopped responding."""
    is_lost = any(one.rule in _OUTAGES and one.severity is Severity.ERROR for one in result.findings)
    return is_lost or result.exit_status is ExitStatus.UNREACHABLE


def require_journal(result: WorkResult) -> None:
    """Raise :class:`JournalError` if a journal failure or a lost lock stopped the run.

    The request is then left as if its worker had been killed: the next drain resumes it.
    """
    for one in result.findings:
        if one.rule in (JOURNAL, LOCK_LOST) and one.severity is Severity.ERROR:
            raise JournalError(one.message, one.hint, one.rule)


def until_window(session: Session, allow: Iterable[str] = ()) -> Postponed | None:
    """Return how long to wait for the next window, None if the server may be written now or ``allow`` permits it.

    Raises :class:`Unsafe` if no window ever opens.
    """
    limits, now, allowed = session.server.limits, session.clock(), parse_allow(allow)
    if limits.is_open(now) or Reason.WINDOW in allowed:
        return None
    opening = limits.next_opening(now)
    if opening is None:
        require_open_window(session, allowed)
        return None
    return Postponed(limits.describe_closing(now), min(opening - now, LONGEST_WAIT))
