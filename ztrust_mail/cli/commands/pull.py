"""``pull``: live settings as a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.output import Output, exit_with, save_product
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.findings import finding_lines
from ztrust_mail.specfile.export import to_yaml

NAME = "pull"


@options.command(NAME)
@options.server
@options.realm
@options.flag("--factor", help="Lift what all realms share into the defaults.")
@options.out
@options.force
@options.config
def command(
    server: str | None, realm: Sequence[str], factor: bool, out: Path | None, force: bool, config: str | None
) -> None:
    """Write live settings as a spec that plans to nothing.

    Hidden secrets become variables to be set.
    """
    with Output(NAME) as output:
        with api.connect(server, config_path=config) as connection:
            output.connected(connection)
            pulled = api.pull(connection, realm, factor=factor)
        output.tell(finding_lines(pulled.findings))
        save_product(out, to_yaml(pulled.realms, pulled.defaults), force=force, settings=config)
        output.tell([line(f"Pulled {pluralise(len(pulled.realms), 'realm')} from {connection.server.url}.")])
        exit_with(pulled.exit_status)
