"""``servers``: list the servers in the settings, and check whether they are reachable."""

from __future__ import annotations

from ztrust_mail import api
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.invocation import next_command
from ztrust_mail.reports.report import of_servers
from ztrust_mail.settings.fleet import parse_labels

NAME = "servers"


@parameters.command(NAME)
@parameters.texts(
    "--label", "NAME=VALUE", "Only servers with this label; repeatable.", suggest=completion.server_labels
)
@parameters.flag("--check", help="Also log in to each server.")
@options.shared
def command(label: tuple[str, ...], check: bool, shared: options.SharedFlags) -> None:
    """List the servers in the settings.

    Shows labels, product, URL, account, and the source of each secret, but never the secret. Sends nothing without
    --check. Invalid entries are listed with their problem.
    """
    with shared.output(NAME) as output:
        labels = parse_labels(label)
        if check:
            output.show_activity("Checking servers")
        found = api.servers(labels, check=check, config_path=shared.config)
        is_next = not check and any(one.server for one in found.servers)
        output.finish_report(of_servers(found, next_command(NAME, check=True) if is_next else ""))
