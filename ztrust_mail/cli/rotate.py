"""``rotate``: write a secret's present value to every realm that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.carry_out import Ending, Orders, carry_out
from ztrust_mail.cli.options import (
    AllowOption,
    ConfigOption,
    Format,
    FormatOption,
    RealmGlobs,
    ReportOption,
    ServerOption,
    Specs,
    StopAfterOption,
    WaitOption,
    WaveOption,
    Yes,
)
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.review import must_be_answerable
from ztrust_mail.sync.plan import Plan
from ztrust_mail.sync.safety import Reason

if TYPE_CHECKING:
    from ztrust_mail.sync.rotate import Rotation

NAME = "rotate"

Reference = Annotated[
    str, typer.Argument(metavar="REFERENCE", help="As plans show it: env:SMTP_PASSWORD.", show_default=False)
]
CanaryOption = Annotated[
    str,
    typer.Option(
        "--canary",
        metavar="N|GLOB",
        help="Write these realms first, and go on when the server's test of them passes; 0 for none.",
    ),
]


def command(
    reference: Reference,
    specs: Specs,
    server: ServerOption = None,
    realm: RealmGlobs = [],
    yes: Yes = False,
    allow: AllowOption = [],
    canary: CanaryOption = "1",
    wave: WaveOption = 0,
    stop_after: StopAfterOption = 0,
    wait: WaitOption = "",
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """Write a secret's new value wherever it is used.

    One realm goes first and is tested by the server. In the end it says where the old value may still stand.
    """
    from ztrust_mail.reports.rotate import leftovers
    from ztrust_mail.sync.rotate import check_reference

    with Output(NAME, format, report) as output:
        must_be_answerable(yes)
        check_reference(reference)
        first, meant = "" if canary == "0" else canary, [*allow, Reason.MASS_CHANGE]
        orders = Orders.of(NAME, yes=yes, allow=meant, canary=first, wave=wave, stop_after=stop_after, wait=wait)
        spec = api.load_spec(specs)
        with api.connect(server, spec=spec, config_path=config) as connection:
            made: list[Rotation] = []

            def make() -> Plan:
                made.append(api.rotate_plan(spec, connection, reference, realms=realm, allow=allow))
                return made[0].plan

            def ending() -> Ending:
                found = api.leftovers(made[0], connection)
                return Ending(list(leftovers(found, made[0].reference)), found)

            carry_out(output, connection, make, orders, spec=spec, ending=ending)
