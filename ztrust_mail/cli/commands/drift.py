"""``drift``: check whether the server still matches the spec."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from ztrust_mail import api
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.commands.lint import choosing
from ztrust_mail.cli.invocation import next_command
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.workers import submit
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.drift_detection.drift import FailOn
from ztrust_mail.linting.selection import LintOptions
from ztrust_mail.reports.report import of_drift
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.load import SpecFiles

NAME = "drift"


class Uncovered(StrEnum):
    """How realms without an entry count for the exit status."""

    NOTE = "note"
    FAIL = "fail"


@parameters.command(NAME)
@options.specs()
@options.spec_variables
@options.selecting
@options.realm
@parameters.choice("--uncovered", Uncovered.NOTE, "note: list realms without an entry; fail: also exit with 1.")
@parameters.choice("--fail-on", FailOn.ANY, "any: exit with 1 for any drift; critical: only for critical drift.")
@choosing
@submit.detaching
@options.shared
def command(
    files: options.SpecFlags,
    servers: options.ServerFlags,
    realm: Sequence[str],
    uncovered: Uncovered,
    fail_on: FailOn,
    rules: LintOptions,
    detach: bool,
    shared: options.SharedFlags,
) -> None:
    """Check whether the server still matches the spec.

    Needs no secrets and writes nothing. The journal and the server's admin events show who probably changed it.
    """
    from ztrust_mail.gateways.capabilities import Operation, require

    with shared.output(NAME, files.specs) as output:
        if submit.is_for_workers(shared.config, detach=detach):
            loaded = submit.load_for_workers(files, shared.config)
            submission = _submission(files, loaded, realm, rules, fail_on, uncovered)
            submit.submit_on_servers(output, servers, shared.config, replace(submission, detach=detach))
        spec = files.load(shared.config)

        def check(output: Output, server: str | None) -> None:
            with api.connect(server, spec=spec, config_path=shared.config) as session:
                output.attach(session)
                if uncovered is Uncovered.FAIL:
                    require(session.gateway, Operation.UNCOVERED)
                found = api.drift(spec, session, realms=realm, lint=rules).failing_on(fail_on)
            strict = [ExitStatus.DIFFERS] if found.plan.uncovered and uncovered is Uncovered.FAIL else []
            result = of_drift(found, ExitStatus.worst([found.exit_status, *strict]))
            step = next_command("apply") if found.plan.changed else ""
            output.finish_report(replace(result, next_step=step, uncovered_fails=bool(strict)))

        servers.run(output, shared.config, check)


def _submission(
    files: options.SpecFlags,
    loaded: tuple[Spec, SpecFiles],
    realms: Sequence[str],
    rules: LintOptions,
    fail_on: FailOn,
    uncovered: Uncovered,
) -> submit.Submission:
    """Return the submission; ``loaded`` has the spec and the data of its files."""
    from ztrust_mail.fleet import CheckDrift

    spec, data = loaded
    work = CheckDrift(data, realms, files.variables, rules.select, rules.ignore, fail_on.value, uncovered.value)
    return submit.Submission(work, spec.servers)
