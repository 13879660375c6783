"""``revert``: restore the state before a run."""

from collections.abc import Sequence
from dataclasses import replace

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.commands.history import LARGEST_RUN
from ztrust_mail.cli.execute import execute, finish
from ztrust_mail.cli.options import OutputFormat, WriteFlags
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.core.text import to_minute
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import Plan
from ztrust_mail.reports.style import line

NAME = "revert"


@options.command(NAME)
@options.number_argument("run", "[RUN]", LARGEST_RUN, "The run to revert [default: the newest that wrote].")
@options.server
@options.realm
@options.secrets
@options.writing()
@options.result_format
@options.report
@options.config
def command(
    run: int | None,
    server: str | None,
    realm: Sequence[str],
    secrets: SecretMode,
    writing: WriteFlags,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Restore the settings of realms from before a run.

    A realm that changed since the run is skipped, unless both the run and the realm are named.
    """
    with Output(NAME, format, report, ProtectedFiles(settings=config)) as output:
        apply_options = writing.apply_options(NAME)
        with api.connect(server, config_path=config) as session:
            chosen = api.run_to_revert(session, run, realms=realm)
            apply_options = replace(apply_options, command=f"{NAME} {chosen.number}")

            def make_plan() -> Plan:
                when = to_minute(chosen.started)
                output.print_note(
                    [line(f"Back to before run {chosen.number}: {chosen.command}, {when}, by {chosen.who}")]
                )
                insist = run is not None
                return api.revert_plan(chosen, session, realms=realm, secrets=secrets, insist=insist)

            done = execute(output, session, make_plan, apply_options, yes=writing.yes)
        finish(output, apply_options, done)
