"""``apply``: show the plan, ask, write, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ztrust_mail import api
from ztrust_mail.api.session import Session
from ztrust_mail.applying.resume import UnfinishedRun
from ztrust_mail.cli import options
from ztrust_mail.cli.execute import Orders, carry_out
from ztrust_mail.cli.options import OutputFormat, Writing
from ztrust_mail.cli.output import Output, ProtectedFiles
from ztrust_mail.core.errors import ExitStatus, Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.journal.records import OF_SAVED_PLAN, Outcome
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import Plan
from ztrust_mail.reports.report import of_findings
from ztrust_mail.reports.style import line
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.planning.saved import SavedPlan

NAME = "apply"


@options.command(NAME)
@options.specs(required=False)
@options.text("--plan", metavar="FILE", help="Apply a saved plan, and nothing else.")
@options.text("--expect-digest", metavar="DIGEST", help="Only the saved plan with this digest.")
@options.flag("--resume", help="Only what the last run left.")
@options.server
@options.realm
@options.secrets
@options.writing()
@options.result_format
@options.report
@options.config
def command(
    specs: Sequence[str],
    plan: str | None,
    expect_digest: str | None,
    resume: bool,
    server: str | None,
    realm: Sequence[str],
    secrets: SecretMode,
    writing: Writing,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Show the plan, ask, write, and read back what was written."""
    with Output(NAME, format, report, ProtectedFiles(specs, plan, settings=config)) as output:
        orders = Orders.of(NAME, writing)
        if plan is None and expect_digest is not None:
            raise UsageError("--expect-digest is about a saved plan", "add --plan FILE")
        if plan is not None:
            if specs or realm or secrets is not SecretMode.AUTO:
                hint = "leave out SPEC, --realm and --secrets, or make a new plan with them"
                raise UsageError("a saved plan is applied as it is", hint)
            saved = api.load_plan(plan, expect_digest)
            orders = replace(orders, command=OF_SAVED_PLAN, plan_digest=saved.digest)
            with api.connect(server, plan=saved, config_path=config) as connection:
                carry_out(output, connection, lambda: _saved(saved, output, connection, resume=resume), orders)
        if not specs:
            hint = "name SPEC files, also beside --resume, or a saved plan with --plan FILE"
            raise UsageError("nothing to apply is given", hint)
        if resume and realm:
            hint = "leave out one of the two"
            raise UsageError("--resume takes up all that the last run left, --realm or not", hint)
        spec = api.load_spec(specs)

        def make(connection: Session) -> Plan:
            left = api.unfinished(connection)
            if resume:
                if left is None:
                    _leave_it(output, connection)
                return api.plan(spec, connection, left=_resumable(left, spec), secrets=secrets)
            if left:
                output.note([_left(left)])
            return api.plan(spec, connection, realms=realm, secrets=secrets)

        with api.connect(server, spec=spec, config_path=config) as connection:
            carry_out(output, connection, lambda: make(connection), orders, spec=spec)


def _saved(saved: SavedPlan, output: Output, connection: Session, *, resume: bool) -> Plan:
    """Return the saved plan, or what the last run left of it."""
    left = api.unfinished(connection)
    if not resume:
        return _from_the_start(saved, connection, left)
    if left is None:
        _leave_it(output, connection, saved.digest)
        raise _nothing_left()
    return api.plan_saved(saved, connection, left=left)


def _from_the_start(saved: SavedPlan, connection: Session, left: UnfinishedRun | None) -> Plan:
    from ztrust_mail.planning.saved import STALE  # most runs have no saved plan

    try:
        return api.plan_saved(saved, connection)
    except Unsafe as e:
        if left and left.run.plan_digest == saved.digest and e.rule == STALE:
            hint = f"run {left.run.number} wrote a part of this plan: add --resume for what it left, or {e.hint}"
            raise Unsafe(e.message, hint, e.rule, e.findings) from None
        raise


def _leave_it(output: Output, connection: Session, plan_digest: str = "") -> None:
    """End well where all that the last run wrote, of that saved plan, turned out to have arrived: nothing is left."""
    last = api.history(connection, limit=1)
    same = bool(last) and plan_digest in ("", last[0].run.plan_digest)
    if same and last[0].run.outcome is Outcome.RESUMED:
        done = line(f"Nothing is left of run {last[0].run.number}: all that it wrote has arrived.")
        output.finish([done], of_findings(NAME, ExitStatus.OK, ()))


def _resumable(left: UnfinishedRun | None, spec: Spec) -> UnfinishedRun:
    """Return what the last run left. Raises where that is nothing, or where the spec is another one."""
    if left is None:
        raise _nothing_left()
    if left.run.command.startswith("revert "):
        raise UsageError(f"run {left.run.number} was a revert", f"take it up with: ztrust-mail {left.run.command}")
    if left.run.command == OF_SAVED_PLAN:
        hint = f"take it up with: ztrust-mail {OF_SAVED_PLAN} FILE --resume"
        raise UsageError(f"run {left.run.number} was of a saved plan", hint)
    if left.run.command == "rotate":
        hint = "rotate again: it takes up what is left, a tested realm first"
        raise UsageError(f"run {left.run.number} was a rotation", hint)
    if left.run.spec_digest and left.run.spec_digest != api.spec_digest(spec):
        message = f"the spec is no longer the one that run {left.run.number} applied"
        raise Unsafe(message, "look at plan, then apply without --resume", "spec-moved")
    return left


def _left(left: UnfinishedRun) -> Finding:
    message = f"run {left.run.number} left {pluralise(len(left.realms), 'realm')}"
    return Finding(Severity.NOTE, "unfinished", message, "see history; apply --resume does just what is left")


def _nothing_left() -> UsageError:
    return UsageError("there is nothing to resume: the last run left no realm", "apply without --resume")
