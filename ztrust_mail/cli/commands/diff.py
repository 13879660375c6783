"""``diff``: compare what two runs left."""

from ztrust_mail import api
from ztrust_mail.cli import options, parameters
from ztrust_mail.reports.report import of_run_diff

NAME = "diff"


@parameters.command(NAME)
@parameters.number_argument("first", "RUN", "The run to compare with.", required=True)
@parameters.number_argument("second", "RUN", "The run to compare.", required=True)
@options.server
@options.realm
@options.shared
def command(
    first: int,
    second: int,
    server: str | None,
    realm: tuple[str, ...],
    shared: options.SharedFlags,
) -> None:
    """Compare the settings that two runs left.

    Reads the journal only; sends nothing to the server. Secrets are compared by their fingerprints. Exit status 1 if
    anything differs.
    """
    with shared.output(NAME) as output:
        with api.connect(server, config_path=shared.config) as session:
            output.attach(session)
            found = api.diff(session, first, second, realms=realm)
        output.finish_report(of_run_diff(found))
