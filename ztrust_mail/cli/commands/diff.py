"""``diff``: compare what two runs left."""

from collections.abc import Sequence

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.commands.history import LARGEST_RUN
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.reports.report import of_run_diff

NAME = "diff"


@options.command(NAME)
@options.number_argument("first", "RUN", LARGEST_RUN, "The run to compare with.", required=True)
@options.number_argument("second", "RUN", LARGEST_RUN, "The run to compare.", required=True)
@options.server
@options.realm
@options.result_format
@options.report
@options.config
def command(
    first: int,
    second: int,
    server: str | None,
    realm: Sequence[str],
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Compare the settings that two runs left.

    Reads the journal only; sends nothing to the server. Secrets are compared by their fingerprints. Exit status 1 if
    anything differs.
    """
    with Output(NAME, format, report, ProtectedFiles(settings=config)) as output:
        with api.connect(server, config_path=config) as session:
            output.attach(session)
            found = api.diff(session, first, second, realms=realm)
        output.finish_report(of_run_diff(found))
