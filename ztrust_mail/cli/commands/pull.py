"""``pull``: export live settings as a spec."""

from collections.abc import Sequence
from pathlib import Path

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.output import Output, exit_with, write_output
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports.style import line
from ztrust_mail.specfile.export import to_yaml

NAME = "pull"


@options.command(NAME)
@options.server
@options.realm
@options.flag("--factor", help="Move the values that all realms share into the defaults.")
@options.out
@options.force
@options.config
def command(
    server: str | None, realm: Sequence[str], factor: bool, out: Path | None, force: bool, config: str | None
) -> None:
    """Export live settings as a spec.

    A plan of the spec has no changes. Masked secrets become environment variables to be set.
    """
    with Output(NAME) as output:
        with api.connect(server, config_path=config) as session:
            output.attach(session)
            pulled = api.pull(session, realm, factor=factor)
        output.print_findings(pulled.findings)
        write_output(out, to_yaml(pulled.realms, pulled.defaults), force=force, settings=config)
        output.print_note([line(f"Pulled {pluralise(len(pulled.realms), 'realm')} from {session.server.url}.")])
        exit_with(pulled.exit_status)
