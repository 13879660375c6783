"""``servers``: the servers of the settings, and whether they can be reached."""

from __future__ import annotations

from collections.abc import Sequence

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
def command(label: Sequence[str], check: bool, shared: options.SharedFlags) -> None:
    """List the servers of the settings.

    Shows labels, product, URL, account, and where each secret comes from, never the secret. Sends nothing
    without --check. A broken entry is listed with its problem.
    """
    with shared.output(NAME) as output:
        labels = parse_labels(label)
        if check:
            output.show_activity("Checking servers")
        found = api.servers(labels, check=check, config_path=shared.config)
        is_next = not check and any(one.server for one in found.servers)
        output.finish_report(of_servers(found, next_command(NAME, check=True) if is_next else ""))
