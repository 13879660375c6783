"""``pull``: live settings as a spec."""

from __future__ import annotations

from typing import Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.options import ConfigOption, ForceOption, OutOption, RealmGlobs, ServerOption
from ztrust_mail.cli.output import Output, exit_with, save_product
from ztrust_mail.reports import text
from ztrust_mail.reports.lines import line
from ztrust_mail.spec.write import to_yaml
from ztrust_mail.text import counted

NAME = "pull"

Factor = Annotated[bool, typer.Option("--factor", help="Lift what all realms share into the defaults.")]


def command(
    server: ServerOption = None,
    realm: RealmGlobs = [],
    factor: Factor = False,
    out: OutOption = None,
    force: ForceOption = False,
    config: ConfigOption = None,
) -> None:
    """Write live settings as a spec that plans to nothing.

    Hidden secrets become variables to be set.
    """
    with Output(NAME) as output:
        with api.connect(server, config_path=config) as connection:
            output.connected(connection)
            pulled = api.pull(connection, realm, factor=factor)
        output.tell(text.findings(pulled.findings))
        save_product(out, to_yaml(pulled.realms, pulled.defaults), force=force)
        output.tell([line(f"Pulled {counted(len(pulled.realms), 'realm')} from {connection.server.url}.")])
        exit_with(pulled.exit_status)
