"""What all commands that may write show before they do: the plan, and what is dangerous about it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Self

from ztrust_mail import api
from ztrust_mail.api.session import Session
from ztrust_mail.applying.waves import Waves
from ztrust_mail.cli.options import Writing
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.progress import Progress
from ztrust_mail.core.errors import ExitStatus, Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise, printable
from ztrust_mail.model.fields import Duration, Kind
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.planning.plan import Plan, all_findings
from ztrust_mail.planning.safety import parse_allow
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.style import Line, line
from ztrust_mail.reports.text.apply import result_lines
from ztrust_mail.reports.text.findings import finding_lines
from ztrust_mail.reports.text.plan import danger_lines, heading_lines, plan_lines
from ztrust_mail.specfile.entries import Spec


def must_be_answerable(command: str, *, yes: bool) -> None:
    """Raise :class:`UsageError` where nobody can be asked and nobody said yes."""
    if not yes and not sys.stdin.isatty():
        look = "look at plan" if command.startswith("apply") else "look at what it would do, on a terminal"
        raise UsageError("there is no terminal to ask on", f"{look}, then add --yes")


def show(output: Output, made: Plan) -> None:
    """Tell what stands around a plan: server, account, findings."""
    output.tell(heading_lines(made))
    output.tell(finding_lines(all_findings(made)))


@dataclass(frozen=True)
class PlanVerdict:
    """What a plan means: its exit status, and why an apply is ``refused``, if it is."""

    plan: Plan
    status: ExitStatus
    refused: tuple[Finding, ...] = ()

    def report(self, command: str) -> reports.PlanReport:
        """Return the plan and its dangers as a report."""
        return reports.of_plan(command, self.plan, self.status, self.refused, api.dangers(self.plan))


def judged(output: Output, made: Plan, allow: Sequence[str]) -> PlanVerdict:
    """Tell what is dangerous about a plan, and whether an apply would refuse it."""
    try:
        api.refuse(made, allow)
    except Unsafe as e:
        found = Finding(Severity.ERROR, e.rule or "unsafe", e.message, e.hint)
        output.tell(finding_lines([found]))
        return PlanVerdict(made, ExitStatus.worst([ExitStatus.UNSAFE, made.exit_status]), (found,))
    output.tell(danger_lines(api.dangers(made)))
    return PlanVerdict(made, made.exit_status)


def agreed(made: Plan) -> bool:
    """Ask on standard error, so that a redirected result stays whole; anything but yes is a no."""
    question = f"Write to {pluralise(len(made.changed), 'realm')} on {printable(made.url)}? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@dataclass(frozen=True)
class Orders:
    """How a plan is to be carried out, as the options said. ``wait`` is in seconds.

    ``plan_digest`` is that of a saved plan, for the journal.
    """

    command: str
    yes: bool = False
    allow: Sequence[str] = ()
    waves: Waves = field(default_factory=Waves)
    wait: float = 0.0
    plan_digest: str = ""

    @classmethod
    def of(cls, command: str, writing: Writing) -> Self:
        """Return the orders that options give. Raises :class:`UsageError`."""
        parse_allow(writing.allow)
        waves = Waves(writing.canary, writing.wave, writing.stop_after)
        return cls(command, writing.yes, writing.allow, waves, _seconds(writing.wait) if writing.wait else 0.0)


def _seconds(text: str) -> float:
    try:
        time = parse(Kind.DURATION, text)
    except BadValue as bad:
        raise UsageError(f"--wait {bad.problem}", bad.hint) from None
    assert isinstance(time, Duration)  # what a duration is parsed to
    return time.milliseconds / 1000


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


@dataclass(frozen=True)
class Ending:
    """What a command adds to its result."""

    lines: Sequence[Line] = ()
    findings: Sequence[Finding] = ()


def carry_out(
    output: Output,
    connection: Session,
    make: Callable[[], Plan],
    orders: Orders,
    *,
    spec: Spec | None = None,
    ending: Callable[[], Ending] = Ending,
) -> NoReturn:
    """Make the plan while no other run may touch the server, show it, and apply it when it is safe and agreed to.

    ``ending`` is asked after the writes, or where there is nothing to write.
    """
    from ztrust_mail.gateways.capabilities import Operation, require

    must_be_answerable(orders.command, yes=orders.yes)
    output.connected(connection)
    require(connection.gateway, Operation.APPLY)
    if orders.waves.canary:
        require(connection.gateway, Operation.CANARY)
    _interrupt_on_termination()
    with connection.lock(wait=orders.wait):
        output.note([one.finding for one in api.settle(connection)])
        made = make()
        show(output, made)
        judgement = judged(output, made, orders.allow)
        if judgement.refused:
            output.finish(plan_lines(made), judgement.report(orders.command))
        if not made.changed:
            end = ending()
            output.finish([*plan_lines(made), *end.lines], judgement.report(orders.command).with_findings(end.findings))
        orders.waves.check(made.changed)
        output.show(plan_lines(made))
        if not orders.yes and not agreed(made):
            output.tell([line("Declined: nothing was written.")])
            output.finish((), judgement.report(orders.command))
        with Progress(len(made.changed)) as progress:
            done = api.apply(
                made,
                connection,
                spec=spec,
                allow=orders.allow,
                waves=orders.waves,
                progress=progress,
                command=orders.command,
                plan_digest=orders.plan_digest,
            )
        end = ending()
    told = set(all_findings(done.plan))
    output.tell(finding_lines(done.findings))
    output.tell(finding_lines(f for r in done.realms for f in r.findings if f not in told))
    output.finish([*result_lines(done), *end.lines], reports.of_result(done, end.findings))
