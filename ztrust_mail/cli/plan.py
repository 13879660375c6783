"""``plan``: what an apply would do."""

from __future__ import annotations

from ztrust_mail import api
from ztrust_mail.cli.options import (
    ConfigOption,
    Format,
    FormatOption,
    RealmGlobs,
    ReportOption,
    SecretsOption,
    ServerOption,
    Specs,
)
from ztrust_mail.cli.output import Output
from ztrust_mail.reports import json, text
from ztrust_mail.sync.compare import SecretMode
from ztrust_mail.sync.plan import all_findings

NAME = "plan"


def command(
    specs: Specs,
    server: ServerOption = None,
    realm: RealmGlobs = [],
    secrets: SecretsOption = SecretMode.AUTO,
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """Show what apply would change; writes nothing."""
    with Output(NAME, format, report) as output:
        spec = api.load_spec(specs)
        with api.connect(server, spec=spec, config_path=config) as connection:
            output.connected(connection)
            made = api.plan(spec, connection, realms=realm, secrets=secrets)
        output.tell(text.heading(made))
        output.tell(text.findings(all_findings(made)))
        output.finish(text.plan(made), json.of_plan(NAME, made, made.realms, made.exit_status))
