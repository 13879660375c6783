"""``history``: what runs did, from the journal."""

from __future__ import annotations

from collections.abc import Sequence

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.options import Format
from ztrust_mail.cli.output import Output
from ztrust_mail.reports import history, text

NAME = "history"
LARGEST_RUN = 2**31 - 1  # what any database takes for a number


@options.command(NAME)
@options.number_argument("run", "[RUN]", LARGEST_RUN, "The number of a run to be shown whole.")
@options.server
@options.realm
@options.number("--limit", "N", 20, 1, 10_000, "List so many runs.")
@options.result_format
@options.report
@options.config
def command(
    run: int | None,
    server: str | None,
    realm: Sequence[str],
    limit: int,
    format: Format,
    report: Sequence[str],
    config: str | None,
) -> None:
    """List the runs on a server, or tell what one did to each realm.

    Asks the journal only: nothing is sent.
    """
    with Output(NAME, format, report) as output:
        with api.connect(server, config_path=config) as connection:
            output.connected(connection)
            output.tell(text.findings(connection.absent_journal()))
            found = api.history(connection, run, realms=realm, limit=limit)
        url = connection.gateway.url
        lines = history.listed(found, url) if run is None else history.told(found[0])
        output.finish(lines, history.report(found, url))
