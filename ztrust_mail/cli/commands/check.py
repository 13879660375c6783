"""``check``: which realms a switch affects, before it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from ztrust_mail import api
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.commands.probe import ca_bundle, connect_if_chosen, deadline, parse_deadline
from ztrust_mail.cli.invocation import next_command
from ztrust_mail.reports.report import of_check

if TYPE_CHECKING:
    from ztrust_mail.api import CheckOptions

NAME = "check"


@dataclass(frozen=True)
class CheckFlags:
    """The options as typed by the user; missing options are None or empty."""

    deadline: str
    ehlo_name: str | None
    ca_bundle: str | None
    resolver: str | None
    hosts: Sequence[str]

    def check_options(self) -> CheckOptions:
        """Return how to check. Raises :class:`UsageError`."""
        from ztrust_mail.probing.options import ProbeOptions

        seconds = parse_deadline(self.deadline)
        probe = ProbeOptions(deadline=seconds, ehlo_name=self.ehlo_name or "", ca_bundle=self.ca_bundle or "")
        return api.CheckOptions(probe, self.resolver or "", tuple(self.hosts))


_checking = parameters.gather(
    "checking",
    CheckFlags,
    (
        deadline,
        parameters.text("--ehlo-name", metavar="NAME", help="Greet relays with this name."),
        ca_bundle,
        parameters.text("--resolver", metavar="IP:PORT", help="For sender: the name server to ask."),
        click.option(
            "--host", "hosts", metavar="GLOB", multiple=True, help="For m365-oauth: also a host of Microsoft 365."
        ),
    ),
)


@parameters.command(NAME)
@options.realms
@click.option("--for", "kit", type=click.Choice(api.KITS), required=True, help="The switch to check for.")
@parameters.input_file("--spec", "SPEC", "Check the realms of a spec.", multiple=True, suggest=completion.spec_files)
@_checking
@options.spec_option_variables
@options.server
@options.shared
def command(
    realms: Sequence[str],
    kit: str,
    checking: CheckFlags,
    files: options.SpecFlags,
    server: str | None,
    shared: options.SharedFlags,
) -> None:
    """Check before a switch which realms it affects.

    starttls: which realms lose mail when StartTLS becomes mandatory. m365-oauth: whether the token logins of a spec
    work with Microsoft 365, and which realms still use a password. sender: whether SPF, DMARC and MX let the relay send
    for the From addresses. Each relay, login and domain is checked once. Writes nothing and sends no mail.
    """
    with shared.output(NAME, files.specs) as output:
        how = checking.check_options()
        loaded = files.load_if_any(shared.config)
        session = connect_if_chosen(server, loaded, shared.config)
        if session is None:
            output.show_activity("Checking the spec")
            run = api.check(
                kit, None, realms, spec=loaded, options=how, config_path=shared.config, progress=output.count_realms
            )
        else:
            with session:
                output.attach(session, "Checking")
                run = api.check(kit, session, realms, spec=loaded, options=how, progress=output.count_realms)
        step = next_command("plan", specs=files.specs) if run.next_step and files.specs else run.next_step
        output.finish_report(replace(of_check(run), next_step=step))
