"""``test``: the server's own test-connection call."""

from __future__ import annotations

from typing import Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.options import ConfigOption, Format, FormatOption, ReportOption, ServerOption
from ztrust_mail.cli.output import Output
from ztrust_mail.reports import json, text

NAME = "test"

Realms = Annotated[
    list[str] | None,
    typer.Argument(metavar="[REALM...]", help="Realms or globs; without any, all.", show_default=False),
]
SpecOption = Annotated[
    list[str],
    typer.Option("--spec", metavar="SPEC", help="Test what a spec says, without storing it.", show_default=False),
]


def command(
    realms: Realms = None,
    spec: SpecOption = [],
    server: ServerOption = None,
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """Have the server send a test mail per realm.

    It goes to the address of the account used.
    """
    with Output(NAME, format, report) as output:
        loaded = api.load_spec(spec) if spec else None
        with api.connect(server, spec=loaded, config_path=config) as connection:
            output.connected(connection)
            run = api.test(connection, realms or (), spec=loaded)
        output.tell(text.findings(f for outcome in run.outcomes for f in outcome.findings))
        output.finish(text.tests(run), json.of_tests(run))
