"""``revert``: plan the way back to the state before a run, ask, write, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.commands.history import LARGEST_RUN
from ztrust_mail.cli.execute import Orders, carry_out
from ztrust_mail.cli.options import OutputFormat, Writing
from ztrust_mail.cli.output import Output, ProtectedFiles
from ztrust_mail.core.times import to_minute
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import Plan
from ztrust_mail.reports.style import line

NAME = "revert"


@options.command(NAME)
@options.number_argument("run", "[RUN]", LARGEST_RUN, "The number of the run; without it, the newest that wrote.")
@options.server
@options.realm
@options.secrets
@options.writing()
@options.result_format
@options.report
@options.config
def command(
    run: int | None,
    server: str | None,
    realm: Sequence[str],
    secrets: SecretMode,
    writing: Writing,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Bring realms back to how they were before a run.

    A realm that has changed since the run is left alone, unless run and realm are both named.
    """
    with Output(NAME, format, report, ProtectedFiles(settings=config)) as output:
        orders = Orders.of(NAME, writing)
        with api.connect(server, config_path=config) as connection:
            chosen = api.run_to_revert(connection, run, realms=realm)
            orders = replace(orders, command=f"{NAME} {chosen.number}")

            def make() -> Plan:
                when = to_minute(chosen.started)
                output.tell([line(f"Back to before run {chosen.number}: {chosen.command}, {when}, by {chosen.who}")])
                insist = run is not None
                return api.revert_plan(chosen, connection, realms=realm, secrets=secrets, insist=insist)

            carry_out(output, connection, make, orders)
