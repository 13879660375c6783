"""``drift``: whether the server still is what the spec says."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.options import ConfigOption, Format, FormatOption, RealmGlobs, ReportOption, ServerOption, Specs
from ztrust_mail.cli.output import Output
from ztrust_mail.errors import ExitStatus
from ztrust_mail.reports import drift as told
from ztrust_mail.reports import text

NAME = "drift"


class Uncovered(StrEnum):
    """What realms without an entry mean for the exit status."""

    NOTE = "note"
    FAIL = "fail"


UncoveredOption = Annotated[
    Uncovered, typer.Option("--uncovered", help="note: name realms without an entry; fail: exit 1 for them.")
]


def command(
    specs: Specs,
    server: ServerOption = None,
    realm: RealmGlobs = [],
    uncovered: UncoveredOption = Uncovered.NOTE,
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """Tell whether the server still is what the spec says.

    Needs no secret and writes nothing. The journal tells who seems to have changed it.
    """
    with Output(NAME, format, report) as output:
        spec = api.load_spec(specs)
        with api.connect(server, spec=spec, config_path=config) as connection:
            output.connected(connection)
            found = api.drift(spec, connection, realms=realm)
        output.tell(text.heading(found.plan))
        output.tell(text.findings(found.all_findings))
        strict = [ExitStatus.DIFFERS] if found.plan.uncovered and uncovered is Uncovered.FAIL else []
        output.finish(told.text(found), told.report(found, ExitStatus.worst([found.exit_status, *strict])))
