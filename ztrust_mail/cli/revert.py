"""``revert``: plan the way back to the state before a run, ask, write, read back."""

from __future__ import annotations

from typing import Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.carry_out import Orders, carry_out
from ztrust_mail.cli.history import LARGEST_RUN
from ztrust_mail.cli.options import (
    AllowOption,
    CanaryOption,
    ConfigOption,
    Format,
    FormatOption,
    RealmGlobs,
    ReportOption,
    SecretsOption,
    ServerOption,
    StopAfterOption,
    WaitOption,
    WaveOption,
    Yes,
)
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.review import must_be_answerable
from ztrust_mail.reports.lines import line
from ztrust_mail.sync.compare import SecretMode
from ztrust_mail.sync.plan import Plan

NAME = "revert"

RunArgument = Annotated[
    int | None,
    typer.Argument(
        metavar="[RUN]",
        min=1,
        max=LARGEST_RUN,
        help="The number of the run; without it, the newest that wrote.",
        show_default=False,
    ),
]


def command(
    run: RunArgument = None,
    server: ServerOption = None,
    realm: RealmGlobs = [],
    yes: Yes = False,
    secrets: SecretsOption = SecretMode.AUTO,
    allow: AllowOption = [],
    canary: CanaryOption = "",
    wave: WaveOption = 0,
    stop_after: StopAfterOption = 0,
    wait: WaitOption = "",
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """Bring realms back to how they were before a run.

    A realm that has changed since the run is left alone, unless run and realm are both named.
    """
    with Output(NAME, format, report) as output:
        must_be_answerable(yes)
        with api.connect(server, config_path=config) as connection:
            chosen = api.run_to_revert(connection, run, realms=realm)
            name = f"{NAME} {chosen.number}"
            orders = Orders.of(name, yes=yes, allow=allow, canary=canary, wave=wave, stop_after=stop_after, wait=wait)

            def make() -> Plan:
                when = f"{chosen.started:%Y-%m-%d %H:%M} UTC"
                output.tell([line(f"Back to before run {chosen.number}: {chosen.command}, {when}, by {chosen.who}")])
                insist = run is not None
                return api.revert_plan(chosen, connection, realms=realm, secrets=secrets, insist=insist)

            carry_out(output, connection, make, orders)
