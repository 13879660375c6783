"""``presets``: the mail providers that a spec can name."""

from __future__ import annotations

from ztrust_mail import api
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.output import Output
from ztrust_mail.reports.report import OutputFormat, of_presets

NAME = "presets"


@parameters.command(NAME)
@parameters.argument(
    "name",
    "[NAME]",
    "A preset, such as gmail or ses-eu-west-1; without one, all are listed.",
    required=False,
    shell_complete=completion.preset_names,
)
@options.page_format
def command(name: str | None, format: OutputFormat) -> None:
    """List mail providers, or the facts of one.

    Works offline. A spec names a preset as relay.preset, and gets its host, port and security.
    """
    with Output(NAME, format) as output:
        output.finish_report(of_presets(api.presets(name or None), whole=bool(name)))
