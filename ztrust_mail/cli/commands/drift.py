"""``drift``: whether the server still is what the spec says."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output, ProtectedFiles
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.reports.report import of_drift
from ztrust_mail.reports.text.findings import finding_lines
from ztrust_mail.reports.text.plan import heading_lines

NAME = "drift"


class Uncovered(StrEnum):
    """What realms without an entry mean for the exit status."""

    NOTE = "note"
    FAIL = "fail"


@options.command(NAME)
@options.specs()
@options.server
@options.realm
@options.choice("--uncovered", Uncovered.NOTE, "note: name realms without an entry; fail: exit 1 for them.")
@options.result_format
@options.report
@options.config
def command(
    specs: Sequence[str],
    server: str | None,
    realm: Sequence[str],
    uncovered: Uncovered,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Tell whether the server still is what the spec says.

    Needs no secret and writes nothing. The journal tells who seems to have changed it.
    """
    from ztrust_mail.gateways.capabilities import Operation, require

    with Output(NAME, format, report, ProtectedFiles(specs, settings=config)) as output:
        spec = api.load_spec(specs)
        with api.connect(server, spec=spec, config_path=config) as connection:
            output.connected(connection)
            if uncovered is Uncovered.FAIL:
                require(connection.gateway, Operation.UNCOVERED)
            found = api.drift(spec, connection, realms=realm)
        output.tell(heading_lines(found.plan))
        output.tell(finding_lines(found.all_findings))
        strict = [ExitStatus.DIFFERS] if found.plan.uncovered and uncovered is Uncovered.FAIL else []
        output.finish_report(of_drift(found, ExitStatus.worst([found.exit_status, *strict])))
