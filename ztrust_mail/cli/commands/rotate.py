"""``rotate``: write a secret's present value to every realm that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.execute import Ending, Orders, carry_out
from ztrust_mail.cli.options import OutputFormat, Writing
from ztrust_mail.cli.output import Output, ProtectedFiles
from ztrust_mail.planning.plan import Plan
from ztrust_mail.planning.safety import Reason

if TYPE_CHECKING:
    from ztrust_mail.planning.planners.rotate import Rotation

NAME = "rotate"


@options.command(NAME)
@options.argument("reference", "REFERENCE", "As plans show it: env:SMTP_PASSWORD.")
@options.specs()
@options.server
@options.realm
@options.writing(canary="1")
@options.result_format
@options.report
@options.config
def command(
    reference: str,
    specs: Sequence[str],
    server: str | None,
    realm: Sequence[str],
    writing: Writing,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Write a secret's new value wherever it is used.

    One realm goes first and is tested by the server. In the end it says where the old value may still stand.
    """
    from ztrust_mail.planning.planners.rotate import check_reference
    from ztrust_mail.reports.text.apply import leftover_lines

    with Output(NAME, format, report, ProtectedFiles(specs, settings=config)) as output:
        check_reference(reference)
        first = "" if writing.canary == "0" else writing.canary
        orders = Orders.of(NAME, replace(writing, canary=first, allow=(*writing.allow, Reason.MASS_CHANGE)))
        spec = api.load_spec(specs)
        with api.connect(server, spec=spec, config_path=config) as connection:
            made: list[Rotation] = []

            def make() -> Plan:
                made.append(api.rotate_plan(spec, connection, reference, realms=realm, allow=writing.allow))
                return made[0].plan

            def ending() -> Ending:
                found = api.leftovers(made[0], connection)
                return Ending(list(leftover_lines(found, made[0].reference)), found)

            carry_out(output, connection, make, orders, spec=spec, ending=ending)
