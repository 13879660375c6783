"""``history``: what runs did, from the journal."""

from __future__ import annotations

from typing import Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.options import ConfigOption, Format, FormatOption, RealmGlobs, ReportOption, ServerOption
from ztrust_mail.cli.output import Output
from ztrust_mail.reports import history

NAME = "history"
LARGEST_RUN = 2**31 - 1  # what any database takes for a number

RunArgument = Annotated[
    int | None,
    typer.Argument(
        metavar="[RUN]", min=1, max=LARGEST_RUN, help="The number of a run to be shown whole.", show_default=False
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="List so many runs.")]


def command(
    run: RunArgument = None,
    server: ServerOption = None,
    realm: RealmGlobs = [],
    limit: LimitOption = 20,
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """List the runs on a server, or tell what one did to each realm.

    Asks the journal only: nothing is sent.
    """
    with Output(NAME, format, report) as output:
        with api.connect(server, config_path=config) as connection:
            output.connected(connection)
            found = api.history(connection, run, realms=realm, limit=limit)
        url = connection.gateway.url
        lines = history.listed(found, url) if run is None else history.told(found[0])
        output.finish(lines, history.report(found, url))
