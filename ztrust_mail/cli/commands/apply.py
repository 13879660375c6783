"""``apply``: show the plan, ask, write, and read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ztrust_mail import api
from ztrust_mail.api.session import Session
from ztrust_mail.applying.resume import UnfinishedRun
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.execute import WriteFlags, execute, finish, require_terminal_or_yes, writing
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.workers import submit
from ztrust_mail.core.errors import ExitStatus, Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.journal.records import OF_SAVED_PLAN, Outcome
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import Plan
from ztrust_mail.planning.saved.write import ROTATE
from ztrust_mail.reports.report import of_findings
from ztrust_mail.reports.style import line
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.applying.options import ApplyOptions
    from ztrust_mail.planning.saved.write import SavedPlan

NAME = "apply"

_NOT_CARRIED = {
    "--resume": "requests always resume by themselves",
    "--wait": "requests always wait for other runs",
}
"""The options that requests do not support, and why."""


@dataclass(frozen=True)
class ApplyFlags:
    """The options of one call. ``plan`` is a saved plan, instead of spec files."""

    files: options.SpecFlags
    plan: str | None
    expect_digest: str | None
    resume: bool
    servers: options.ServerFlags
    realm: tuple[str, ...]
    secrets: SecretMode
    writing: WriteFlags
    detach: bool
    shared: options.SharedFlags

    def check(self) -> None:
        """Raise :class:`UsageError` if options conflict."""
        if self.plan is not None:
            if self.files.specs or self.realm or self.files.var or self.secrets is not SecretMode.AUTO:
                hint = "leave out SPEC, --realm, --var and --secrets, or save a new plan with them"
                raise UsageError("--plan cannot be combined with SPEC, --realm, --var or --secrets", hint)
            self.servers.require_one("--plan", "a saved plan is for the server it was made on")
            return
        if self.expect_digest is not None:
            raise UsageError("--expect-digest needs a saved plan", "add --plan FILE")
        if not self.files.specs:
            hint = "pass SPEC files, also with --resume, or a saved plan with --plan FILE"
            raise UsageError("no spec and no saved plan given", hint)
        if self.resume and self.realm:
            hint = "leave out one of the two; --resume continues with all realms that the last run left"
            raise UsageError("--resume cannot be combined with --realm", hint)


@parameters.command(NAME)
@options.specs(required=False)
@parameters.input_file("--plan", "FILE", "Apply a saved plan.")
@parameters.text("--expect-digest", metavar="DIGEST", help="Refuse a saved plan with another digest.")
@parameters.flag("--resume", help="Write only the realms that the last run left.")
@options.spec_variables
@options.selecting
@options.order
@options.realm
@options.secrets
@writing()
@submit.detaching
@options.shared
@parameters.gather("flags", ApplyFlags)
def command(flags: ApplyFlags) -> None:
    """Show the plan, ask, write, and read back.

    Asks for confirmation on a terminal unless --yes is given. With --detach, a worker makes the plan and writes.
    """
    servers, config, yes = flags.servers, flags.shared.config, flags.writing.yes
    with flags.shared.output(NAME, flags.files.specs, plan=flags.plan) as output:
        apply_options, stages = flags.writing.apply_options(NAME), servers.parse_order()
        flags.check()
        if submit.is_for_workers(config, detach=flags.detach):
            given = {"--resume": flags.resume, "--wait": flags.writing.wait}
            submit.refuse_options(given, _NOT_CARRIED, detach=flags.detach)
            submission = _submission_of_spec(flags) if flags.plan is None else _submission_of_plan(flags, flags.plan)
            submit.confirm_or_end(output, yes=yes, detach=flags.detach)
            submit.submit_on_servers(output, servers, config, replace(submission, detach=flags.detach, order=stages))
        if flags.plan is not None:
            _apply_saved(output, flags, api.load_plan(flags.plan, flags.expect_digest), apply_options)
        if servers.are_several:
            require_terminal_or_yes(NAME, yes=yes)
        work = partial(_apply_spec, flags, flags.files.load(config), apply_options)
        servers.run(output, config, work, yes=yes, order=stages)


def _apply_saved(output: Output, flags: ApplyFlags, saved: SavedPlan, apply_options: ApplyOptions) -> NoReturn:
    waves = replace(apply_options.waves, per_credential=saved.command == ROTATE)
    apply_options = replace(apply_options, waves=waves, command=saved.applying, plan_digest=saved.digest)
    with api.connect(flags.servers.only, plan=saved, config_path=flags.shared.config) as session:
        make_plan = partial(_plan_of_saved, output, session, saved, resume=flags.resume)
        done = execute(output, session, make_plan, apply_options, yes=flags.writing.yes)
    finish(output, apply_options, done)


def _apply_spec(
    flags: ApplyFlags, spec: Spec, apply_options: ApplyOptions, output: Output, server: str | None
) -> NoReturn:
    with api.connect(server, spec=spec, config_path=flags.shared.config) as session:
        fitted = api.fit_spec(spec, session)
        apply_options = replace(apply_options, spec_digest=api.spec_digest(fitted))
        if flags.resume:
            make_plan = partial(_plan_of_rest, output, session, fitted, flags.secrets)
        else:
            make_plan = partial(_plan_of_spec, output, session, fitted, flags.realm, flags.secrets)
        done = execute(output, session, make_plan, apply_options, yes=flags.writing.yes)
    finish(output, apply_options, done)


def _submission_of_plan(flags: ApplyFlags, plan: str) -> submit.Submission:
    """Return the submission of a saved plan. Raises like :func:`ztrust_mail.load_plan`."""
    from ztrust_mail.fleet import ApplySavedPlan

    saved, writing = api.load_plan(plan, flags.expect_digest), flags.writing
    waves = replace(writing.apply_options(NAME).waves, per_credential=saved.command == ROTATE)
    return submit.Submission(
        ApplySavedPlan(submit.read_plan(saved), writing.allow, waves), plan=saved, message=writing.message
    )


def _submission_of_spec(flags: ApplyFlags) -> submit.Submission:
    """Return the submission of a spec. Raises like :func:`ztrust_mail.load_spec`."""
    from ztrust_mail.fleet import ApplySpec

    (spec, data), writing = submit.load_for_workers(flags.files, flags.shared.config), flags.writing
    waves = writing.apply_options(NAME).waves
    work = ApplySpec(data, flags.realm, flags.files.variables, writing.allow, waves, flags.secrets.value)
    return submit.Submission(work, spec.servers, message=writing.message)


def _plan_of_spec(output: Output, session: Session, spec: Spec, realms: tuple[str, ...], secrets: SecretMode) -> Plan:
    """Return the plan of a spec, and report realms that the last run left."""
    if left := api.find_unfinished(session):
        output.add_findings([_unfinished_note(left)])
    return api.plan(spec, session, realms=realms, secrets=secrets)


def _plan_of_rest(output: Output, session: Session, spec: Spec, secrets: SecretMode) -> Plan:
    """Return the plan of a spec for the realms that the last run left."""
    left = api.find_unfinished(session)
    if left is None:
        _finish_if_all_arrived(output, session)
        if output.is_one_of_several:
            output.finish(
                [line("Nothing to resume: the last run left no realm.")], of_findings(NAME, ExitStatus.OK, ())
            )
    return api.plan(spec, session, left=_resumable(left, spec), secrets=secrets)


def _plan_of_saved(output: Output, session: Session, saved: SavedPlan, *, resume: bool) -> Plan:
    """Return the saved plan, or the part of it that the last run left."""
    left = api.find_unfinished(session)
    if not resume:
        return _plan_whole(saved, session, left)
    if left is None:
        _finish_if_all_arrived(output, session, saved.digest)
        raise _nothing_to_resume()
    return api.plan_saved(saved, session, left=left)


def _plan_whole(saved: SavedPlan, session: Session, left: UnfinishedRun | None) -> Plan:
    """Return the whole saved plan. If part of it has been written, the error says how to resume."""
    from ztrust_mail.planning.saved.checks import STALE  # most runs have no saved plan

    try:
        return api.plan_saved(saved, session)
    except Unsafe as e:
        if left and left.run.plan_digest == saved.digest and e.rule == STALE:
            hint = f"run {left.run.number} wrote part of this plan: add --resume to write the rest, or {e.hint}"
            raise Unsafe(e.message, hint, e.rule, e.findings) from None
        raise


def _finish_if_all_arrived(output: Output, session: Session, plan_digest: str = "") -> None:
    """End the command with success if settling showed that all writes of the last run succeeded."""
    last = api.history(session, limit=1)
    same = bool(last) and plan_digest in ("", last[0].run.plan_digest)
    if same and last[0].run.outcome is Outcome.RESUMED:
        done = line(f"Nothing is left of run {last[0].run.number}: all its writes succeeded.")
        output.finish([done], of_findings(NAME, ExitStatus.OK, ()))


def _resumable(left: UnfinishedRun | None, spec: Spec) -> UnfinishedRun:
    """Return the unfinished run. Raises if there is none, or if this command cannot resume it."""
    if left is None:
        raise _nothing_to_resume()
    if left.run.command.startswith("revert "):
        raise UsageError(f"run {left.run.number} was a revert", f"continue with: ztrust-mail {left.run.command}")
    if left.run.command.startswith(OF_SAVED_PLAN):
        hint = f"continue with: ztrust-mail {OF_SAVED_PLAN} FILE --resume"
        raise UsageError(f"run {left.run.number} applied a saved plan", hint)
    if left.run.command == "rotate":
        hint = "rotate again to write the remaining realms, after a canary"
        raise UsageError(f"run {left.run.number} was a rotation", hint)
    if left.run.spec_digest and left.run.spec_digest != api.spec_digest(spec):
        message = f"the spec changed since run {left.run.number}"
        hint = "review `ztrust-mail plan`, then apply without --resume"
        raise Unsafe(message, hint, "spec-moved")
    return left


def _unfinished_note(left: UnfinishedRun) -> Finding:
    message = f"run {left.run.number} left {pluralise(len(left.realms), 'realm')}"
    return Finding(Severity.NOTE, "unfinished", message, "see `ztrust-mail history`; apply --resume writes only these")


def _nothing_to_resume() -> UsageError:
    return UsageError("nothing to resume: the last run left no realm", "apply without --resume")
