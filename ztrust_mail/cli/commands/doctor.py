"""``doctor``: check connection, login and permissions."""

from __future__ import annotations

from ztrust_mail import api
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.output import Output
from ztrust_mail.diagnose.doctor import setup_commands as kcadm_lines
from ztrust_mail.reports.report import of_commands, of_examination

NAME = "doctor"


@parameters.command(NAME)
@options.selecting
@options.realm
@parameters.flag(
    "--setup-commands", help="Print the kcadm commands that create a service account with the least rights."
)
@parameters.flag("--capabilities", help="Also list what can be done with the product.")
@options.shared
def command(
    servers: options.ServerFlags,
    realm: tuple[str, ...],
    setup_commands: bool,
    capabilities: bool,
    shared: options.SharedFlags,
) -> None:
    """Check connection, login and permissions.

    Shows the account and the realms that it may read and write. Write permission is checked with a test
    mail without a sender, which the server refuses to send.
    """
    from ztrust_mail.gateways.capabilities import Operation, require

    def check(output: Output, server: str | None) -> None:
        with api.connect(server, config_path=shared.config) as session:
            output.attach(session, "Checking")
            if setup_commands:
                require(session.gateway, Operation.SET_UP)
                commands = kcadm_lines(session.server, realm or ["REALM"])
                output.finish_report(of_commands(NAME, commands))
            found = api.doctor(session, realm, output.count_realms)
            output.finish_report(of_examination(found, capabilities=capabilities))

    with shared.output(NAME) as output:
        servers.run(output, shared.config, check)
