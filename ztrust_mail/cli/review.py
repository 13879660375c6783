"""What all commands that may write show before they do: the plan, and what is dangerous about it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ztrust_mail import api
from ztrust_mail.cli.output import Output
from ztrust_mail.errors import ExitStatus, Unsafe, UsageError
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.reports import dangers, json, text
from ztrust_mail.sync.plan import Plan, all_findings
from ztrust_mail.text import counted, printable


def must_be_answerable(command: str, *, yes: bool) -> None:
    """Raise :class:`UsageError` where nobody can be asked and nobody said yes."""
    if not yes and not sys.stdin.isatty():
        look = "look at plan" if command.startswith("apply") else "look at what it would do, on a terminal"
        raise UsageError("there is no terminal to ask on", f"{look}, then add --yes")


def show(output: Output, made: Plan) -> None:
    """Tell what stands around a plan: server, account, findings."""
    output.tell(text.heading(made))
    output.tell(text.findings(all_findings(made)))


@dataclass(frozen=True)
class Judgement:
    """What a plan means: its exit status, and why an apply is ``refused``, if it is."""

    plan: Plan
    status: ExitStatus
    refused: tuple[Finding, ...] = ()

    def report(self, command: str) -> json.Report:
        """Return the plan and its dangers as a report."""
        report = json.of_plan(command, self.plan, self.plan.realms, self.status, self.refused)
        return replace(report, more={**report.more, "dangers": dangers.data(api.dangers(self.plan))})


def judged(output: Output, made: Plan, allow: Sequence[str]) -> Judgement:
    """Tell what is dangerous about a plan, and whether an apply would refuse it."""
    try:
        api.refuse(made, allow)
    except Unsafe as e:
        found = Finding(Severity.ERROR, e.rule or "unsafe", e.message, e.hint)
        output.tell(text.findings([found]))
        return Judgement(made, ExitStatus.worst([ExitStatus.UNSAFE, made.exit_status]), (found,))
    output.tell(dangers.lines(api.dangers(made)))
    return Judgement(made, made.exit_status)


def agreed(made: Plan) -> bool:
    """Ask on standard error, so that a redirected result stays whole; anything but yes is a no."""
    question = f"Write to {counted(len(made.changed), 'realm')} on {printable(made.url)}? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
