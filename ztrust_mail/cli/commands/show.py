"""``show``: print a saved plan."""

from dataclasses import replace

from ztrust_mail import api
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.invocation import next_command
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.reports.report import OutputFormat, of_saved_plan

NAME = "show"


@parameters.command(NAME)
@parameters.argument("file", "FILE", "A plan saved with --out.", type=parameters.INPUT)
@options.result_format
@options.report
def command(file: str, format: OutputFormat, report: tuple[str, ...]) -> None:
    """Print a saved plan as it was made; offline.

    The plan is not compared with the server. `apply --plan FILE` does that before it writes.
    """
    with Output(NAME, format, report, ProtectedFiles(plan=file)) as output:
        shown = of_saved_plan(api.load_plan(file))
        next_step = next_command("apply", plan=file) if shown.plan.changed else ""
        output.finish_report(replace(shown, next_step=next_step))
