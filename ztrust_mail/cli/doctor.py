"""``doctor``: what works between us and the server, and what to do about each no."""

from __future__ import annotations

from typing import Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.options import ConfigOption, Format, FormatOption, RealmGlobs, ReportOption, ServerOption
from ztrust_mail.cli.output import Output
from ztrust_mail.diagnose.doctor import setup_commands
from ztrust_mail.reports import json, text
from ztrust_mail.reports.lines import line

NAME = "doctor"

Setup = Annotated[
    bool, typer.Option("--setup-commands", help="Print the kcadm lines for a service account with the least rights.")
]


def command(
    server: ServerOption = None,
    realm: RealmGlobs = [],
    setup: Setup = False,
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """Tell what works between us and the server.

    Whether it can be reached, who we are there, and which realms we may read and write. Whether a realm may
    be written is asked by a test mail without a sender, which the server refuses.
    """
    with Output(NAME, format, report) as output, api.connect(server, config_path=config) as connection:
        output.connected(connection)
        if setup:
            commands = setup_commands(connection.server, realm or ["REALM"])
            output.finish(map(line, commands), json.of_commands(NAME, commands))
        found = api.doctor(connection, realm)
        output.finish(text.examination(found), json.of_examination(found))
