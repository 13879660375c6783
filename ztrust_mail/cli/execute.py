"""What every command that writes does around :func:`ztrust_mail.api.run_plan`: show, ask, report."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, TypeVar

from ztrust_mail import api
from ztrust_mail.api import Dialogue, Execution, PlanVerdict, Session
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.progress import Progress
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise, printable
from ztrust_mail.planning.plan import Plan, all_findings
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.style import Line, line
from ztrust_mail.reports.text.findings import finding_lines
from ztrust_mail.reports.text.plan import danger_lines, heading_lines, plan_lines, result_lines

if TYPE_CHECKING:
    from ztrust_mail.applying.options import ApplyOptions

P = TypeVar("P", bound=Plan)


def require_terminal_or_yes(command: str, *, yes: bool) -> None:
    """Raise :class:`UsageError` where the command would have to ask and cannot."""
    if not yes and not sys.stdin.isatty():
        hint = "review `ztrust-mail plan`" if command.startswith("apply") else "review what it would do on a terminal"
        raise UsageError("stdin is not a terminal, so it cannot ask for confirmation", f"{hint}, then pass --yes")


def confirm(question: str) -> bool:
    """Ask on standard error, so that a redirected result stays whole. Any answer but yes is a no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def show_findings(output: Output, plan: Plan) -> None:
    """Print the server and account of a plan, and its findings."""
    output.print_note(heading_lines(plan))
    output.print_note(finding_lines(all_findings(plan)))


def show_verdict(output: Output, verdict: PlanVerdict) -> None:
    """Print the dangers of a plan, or why it is refused."""
    output.print_note(finding_lines(_refusal(verdict)) if verdict.refusal else danger_lines(verdict.dangers))


def plan_report(command: str, plan: Plan, verdict: PlanVerdict) -> reports.PlanReport:
    """Return a plan and its dangers as a report."""
    return reports.of_plan(command, plan, verdict.exit_status, _refusal(verdict), verdict.dangers)


def _refusal(verdict: PlanVerdict) -> tuple[Finding, ...]:
    e = verdict.refusal
    return (Finding(Severity.ERROR, e.rule or "unsafe", e.message, e.hint),) if e else ()


@dataclass(frozen=True)
class _TerminalDialogue(Dialogue):
    """Shows a plan, asks on the terminal unless the user said ``yes`` beforehand, and starts the progress."""

    output: Output
    progress: Progress
    yes: bool

    def report_settled(self, findings: Sequence[Finding]) -> None:
        self.output.add_findings(findings)

    def show_plan(self, plan: Plan, verdict: PlanVerdict) -> None:
        show_findings(self.output, plan)
        show_verdict(self.output, verdict)

    def confirm(self, plan: Plan, verdict: PlanVerdict) -> bool:
        self.output.print_preview(plan_lines(plan))
        question = f"Write to {pluralise(len(plan.changed), 'realm')} on {printable(plan.url)}?"
        if not self.yes and not confirm(question):
            return False
        self.progress.start(len(plan.changed))
        return True


def execute(
    output: Output, session: Session, make_plan: Callable[[], P], options: ApplyOptions, *, yes: bool
) -> Execution[P]:
    """Make a plan, show it, and apply it when it is safe and the user agrees."""
    require_terminal_or_yes(options.command, yes=yes)
    output.attach(session)
    api.require_support(session, options)
    _interrupt_on_termination()
    with Progress() as progress:
        dialogue = _TerminalDialogue(output, progress, yes)
        return api.run_plan(session, make_plan, replace(options, progress=progress), dialogue)


def finish(
    output: Output,
    command: str,
    done: Execution[P],
    more_lines: Sequence[Line] = (),
    more_findings: Sequence[Finding] = (),
) -> NoReturn:
    """Write the result of an execution and exit with its status; more lines and findings follow what it holds."""
    if done.is_declined:
        output.print_note([line("Declined: nothing was written.")])
        output.finish((), plan_report(command, done.plan, done.verdict))
    if done.result is None:
        report = plan_report(command, done.plan, done.verdict).with_findings(more_findings)
        output.finish([*plan_lines(done.plan), *more_lines], report)
    result = done.result
    shown = set(all_findings(result.plan))
    output.print_note(finding_lines(result.own_findings))
    output.print_note(finding_lines(f for realm in result.realms for f in realm.findings if f not in shown))
    output.finish([*result_lines(result), *more_lines], reports.of_result(result, more_findings))


def _interrupt_on_termination() -> None:
    """Handle SIGTERM (a cancelled job) and SIGHUP (a closed terminal) as Ctrl-C: the writes under way finish.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
