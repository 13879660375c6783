"""``doctor``: what works between us and the server, and what to do about each no."""

from __future__ import annotations

from collections.abc import Sequence

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output, ProtectedFiles
from ztrust_mail.diagnose.doctor import setup_commands as kcadm_lines
from ztrust_mail.reports.report import of_commands, of_examination

NAME = "doctor"


@options.command(NAME)
@options.server
@options.realm
@options.flag("--setup-commands", help="Print the kcadm lines for a service account with the least rights.")
@options.result_format
@options.report
@options.config
def command(
    server: str | None,
    realm: Sequence[str],
    setup_commands: bool,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Tell what works between us and the server.

    Whether it can be reached, who we are there, and which realms we may read and write. Whether a realm may
    be written is asked by a test mail without a sender, which the server refuses.
    """
    from ztrust_mail.gateways.capabilities import Operation, require

    with (
        Output(NAME, format, report, ProtectedFiles(settings=config)) as output,
        api.connect(server, config_path=config) as connection,
    ):
        output.connected(connection)
        if setup_commands:
            require(connection.gateway, Operation.SET_UP)
            commands = kcadm_lines(connection.server, realm or ["REALM"])
            output.finish_report(of_commands(NAME, commands))
        output.finish_report(of_examination(api.doctor(connection, realm)))
