"""The options of commands that write, and what each does around :func:`ztrust_mail.api.run_plan`: show, ask, report.

Also shows a plan without applying it, and saves it: ``plan``, and what writes with ``--dry-run`` or ``--out``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

from ztrust_mail import api
from ztrust_mail.api import Dialogue, Execution, PlanVerdict, Session
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.invocation import SUGGESTED_CANARY, next_command
from ztrust_mail.cli.output import Output, check_output_file, write_output
from ztrust_mail.cli.progress import Progress
from ztrust_mail.cli.protected_files import check_plan_file
from ztrust_mail.cli.streams import interrupt_on_termination
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise, printable, quoted
from ztrust_mail.model.fields import Duration, Kind
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.planning.plan import Plan, Status
from ztrust_mail.planning.safety import POLICY, Reason, parse_allow
from ztrust_mail.planning.saved.write import APPLY, digest_of
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.style import Line, line
from ztrust_mail.reports.text import NOTHING, TextReport
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.applying.options import ApplyOptions
    from ztrust_mail.applying.outcome import Result

P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class WriteFlags:
    """The options of a command that writes, as typed by the user."""

    yes: bool
    allow: tuple[str, ...]
    canary: str
    wave: int
    stop_after: int
    wait: str
    message: str

    def apply_options(self, command: str) -> ApplyOptions:
        """Return how to apply the plan of a command. Raises :class:`UsageError`."""
        from ztrust_mail.applying.options import ApplyOptions, Waves  # most commands write nothing

        waves, wait = Waves(self.canary, self.wave, self.stop_after), _seconds(self.wait) if self.wait else 0.0
        return ApplyOptions(parse_allow(self.allow), waves, wait, command=command, message=self.message)


@dataclass(frozen=True)
class Preview:
    """Whether a plan is only shown, and the file in which it is saved; ``force`` replaces a plan there."""

    dry_run: bool = False
    out: Path | None = None
    force: bool = False

    @property
    def is_wanted(self) -> bool:
        """Whether nothing is to be written to the server."""
        return self.dry_run or self.out is not None


def _seconds(text: str) -> float:
    try:
        time = parse(Kind.DURATION, text)
    except BadValue as bad:
        raise UsageError(f"--wait {bad.problem}", bad.hint) from None
    assert isinstance(time, Duration)  # what a duration is parsed to
    return time.milliseconds / 1000


def writing(*, canary: str = "") -> parameters.Declaration:
    """Declare how a plan is applied; the function gets a ``writing`` of type :class:`WriteFlags`."""
    first = "Write these realms first, and continue when the server's test mail for them succeeds"
    declared = (
        options.yes,
        options.allow,
        click.option(
            "--canary", metavar="N|GLOB", default=canary, show_default=bool(canary),
            help=f"{first}; 0 for none." if canary else f"{first}.", shell_complete=completion.realm_names,
        ),
        parameters.number("--wave", "SIZE", 0, 0, None, "Realms per batch; 0 = no batches."),
        parameters.number("--stop-after", "K", 0, 0, None, "Stop after this number of failed realms; 0 = never."),
        click.option("--wait", metavar="TIME", default="", help="Wait for another run on this server, such as 10m."),
        click.option("--message", metavar="TEXT", default="", help="Why, in one line; history shows it."),
    )  # fmt: skip
    return parameters.gather("writing", WriteFlags, declared)


previewing = parameters.gather(
    "preview",
    Preview,
    (
        parameters.flag("--dry-run", help="Show the plan and write nothing to the server."),
        parameters.file("--out", "Save the plan for apply --plan, and write nothing to the server.", with_result=True),
        options.force,
    ),
)
"""Declare the options for showing a plan instead of applying it; the function gets a ``preview``."""


def require_terminal_or_yes(command: str, *, yes: bool) -> None:
    """Raise :class:`UsageError` if the command would have to ask and cannot."""
    if not yes and not sys.stdin.isatty():
        name = command.split()[0]
        hint = "review what it would do on a terminal"
        if name in ("apply", "revert", "rotate"):
            hint = f"review `{'ztrust-mail plan' if name == 'apply' else next_command(name, dry_run=True)}`"
        raise UsageError("stdin is not a terminal, so it cannot ask for confirmation", f"{hint}, then pass --yes")


def plan_report(
    output: Output, command: str, plan: Plan, verdict: PlanVerdict, allow: frozenset[Reason], out: Path | None = None
) -> reports.PlanReport:
    """Return a plan and its dangers as a report, with the next command; ``out`` is the path of the saved plan."""
    report = reports.of_plan(command, plan, verdict.exit_status, verdict.dangers)
    name = command.split()[0].replace("plan", "apply")
    if e := verdict.refusal:
        refusal = Finding(Severity.ERROR, e.rule or "unsafe", e.message, e.hint)
        refused = () if e.rule == POLICY else tuple(one for one in verdict.dangers if one.reason not in allow)
        report = replace(report.with_findings([refusal]), refusal=refusal, refused=refused)
        return replace(report, next_step=_plan_command(output, name, plan, verdict, out) if refused else "")
    if not plan.changed:
        return report
    step = _plan_command(output, name, plan, verdict, out) if out else next_command(name)
    return replace(report, next_step=step)


def _plan_command(output: Output, name: str, plan: Plan, verdict: PlanVerdict, out: Path | None) -> str:
    """Return the command that allows all dangers; with ``out`` it applies the plan saved there.

    A mass change and a saved rotation get a canary if the server can test one of their realms.
    """
    changes: dict[str, object] = (
        {"plan": out, "specs": None, "var": None, "realm": None, "secrets": None} if out else {}
    )
    if reasons := list(dict.fromkeys(danger.reason for danger in verdict.dangers)):
        changes["allow"] = ",".join(reasons)
    needs_canary = Reason.MASS_CHANGE in reasons or (out and name == "rotate")
    if needs_canary and output.can_test and "--canary" not in sys.argv and _fits_canary(plan):
        changes["canary"] = SUGGESTED_CANARY
    return next_command("apply" if out else name, **changes)


def _fits_canary(plan: Plan) -> bool:
    """Tell whether the suggested canary finds a realm to test: it does not if all realms lose their e-mail settings."""
    from ztrust_mail.applying.options import Waves

    try:
        Waves(SUGGESTED_CANARY).check(plan.changed)
    except UsageError:
        return False
    return True


@dataclass(frozen=True)
class _TerminalDialogue(Dialogue):
    """Shows a plan, asks on the terminal unless the user said ``yes`` beforehand, and starts the progress."""

    output: Output
    apply_options: ApplyOptions
    progress: Progress
    yes: bool

    def report_settled(self, findings: Sequence[Finding]) -> None:
        self.output.add_findings(findings)

    def confirm(self, plan: Plan, verdict: PlanVerdict) -> bool:
        report = plan_report(self.output, self.apply_options.command, plan, verdict, self.apply_options.allow)
        question = f"Write to {pluralise(len(plan.changed), 'realm')} on {printable(self.output.title)}?"
        if not self.output.ask(replace(report, next_step=""), question, yes=self.yes):
            return False
        self.progress.start(len(plan.changed))
        return True


def prepare(output: Output, session: Session, apply_options: ApplyOptions, *, yes: bool) -> None:
    """Refuse what can be refused without a request, and handle signals from now on. A second call changes nothing."""
    if not output.is_attached:
        require_terminal_or_yes(apply_options.command, yes=yes)
        output.attach(session)
        api.require_support(session, apply_options)
        interrupt_on_termination()


def execute(
    output: Output, session: Session, make_plan: Callable[[], P], apply_options: ApplyOptions, *, yes: bool
) -> Execution[P]:
    """Make a plan, show it, and apply it when it is safe and the user agrees."""
    prepare(output, session, apply_options, yes=yes)
    with output.make_progress() as progress:
        dialogue = _TerminalDialogue(output, apply_options, progress, yes)
        how = replace(apply_options, progress=progress, cancel=output.cancel)
        return api.run_plan(session, make_plan, how, dialogue)


def finish(
    output: Output,
    apply_options: ApplyOptions,
    done: Execution[P],
    more_lines: Sequence[Line] = (),
    more_findings: Sequence[Finding] = (),
) -> NoReturn:
    """Write the result of an execution, followed by more lines and findings, and exit with its status."""
    if done.result is None:
        report = plan_report(output, apply_options.command, done.plan, done.verdict, apply_options.allow)
        if done.is_declined:
            output.finish([line(output.declined)], report)
        output.finish_report(report.with_findings(more_findings), more=TextReport(verdict=more_lines))
    result = reports.of_result(done.result, more_findings)
    output.finish_report(replace(result, next_step=_continue_command(done.result)), more=TextReport(verdict=more_lines))


def _continue_command(done: Result) -> str:
    """Return the command that writes the realms that an apply left, empty if it left none."""
    planned = {realm.realm for realm in done.plan.changed}
    is_done = all(realm.status is Status.APPLIED for realm in done.realms if realm.realm in planned)
    name, _, run = done.command.partition(" ")
    if name == "rotate":
        return "" if is_done and not done.stopped else next_command(name)
    if is_done:
        return ""
    if name == "revert":
        return next_command(name, run=run)
    canary = {"canary": "1"} if "canary" in done.stopped else {}
    return next_command(name, resume=True, realm=None, **canary)


def check_preview(output: Output, preview: Preview) -> None:
    """Raise :class:`UsageError` before any work is done if the plan could not be saved."""
    if preview.out:
        check_plan_file(preview.out, output.own)
        check_output_file(preview.out, force=preview.force)


def finish_with_plan(
    output: Output, session: Session, made: Plan, preview: Preview, allow: frozenset[Reason], spec: Spec | None = None
) -> NoReturn:
    """Show a plan, save it if a file is named, and exit. ``spec`` is the plan's spec, None for a revert."""
    more = NOTHING
    if preview.out:
        made = api.fit_to_file(made, session)
        text = api.save_plan(made, spec, session)
        write_output(preview.out, text, force=preview.force)
        more = TextReport([line(f"Saved to {quoted(preview.out)}; its digest is {digest_of(text)}")])
    if made.changed and Reason.WINDOW not in allow:
        output.add_findings(api.closed_window_note(session))
    command = "plan" if made.command == APPLY else made.command
    report = plan_report(output, command, made, api.judge(made, allow), allow, preview.out)
    output.finish_report(report, more=more)
