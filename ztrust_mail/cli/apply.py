"""``apply``: show the plan, ask, write, read back."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

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
from ztrust_mail.errors import UsageError
from ztrust_mail.reports import json, text
from ztrust_mail.reports.lines import line
from ztrust_mail.sync.compare import SecretMode
from ztrust_mail.sync.plan import Plan, all_findings
from ztrust_mail.text import counted, printable

NAME = "apply"

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def command(
    specs: Specs,
    server: ServerOption = None,
    realm: RealmGlobs = [],
    yes: Yes = False,
    secrets: SecretsOption = SecretMode.AUTO,
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """Show the plan, ask, write, and read back what was written."""
    with Output(NAME, format, report) as output:
        if not yes and not sys.stdin.isatty():
            raise UsageError("there is no terminal to ask on", "look at plan, then add --yes")
        spec = api.load_spec(specs)
        with api.connect(server, spec=spec, config_path=config) as connection:
            output.connected(connection)
            made = api.plan(spec, connection, realms=realm, secrets=secrets)
            output.tell(text.heading(made))
            output.tell(text.findings(all_findings(made)))
            if not made.changed:
                output.finish(text.plan(made), json.of_plan(NAME, made, made.realms, made.exit_status))
            output.show(text.plan(made))
            if not yes and not _agreed(made):
                output.tell([line("Declined: nothing was written.")])
                output.finish((), json.of_plan(NAME, made, made.realms, made.exit_status))
            done = api.apply(made, connection)
        told = set(all_findings(made))
        output.tell(text.findings(f for r in done.realms for f in r.findings if f not in told))
        output.finish(text.result(done), json.of_plan(NAME, made, done.realms, done.exit_status))


def _agreed(made: Plan) -> bool:
    """Ask on standard error, so that a redirected result stays whole; anything but yes is a no."""
    question = f"Write to {counted(len(made.changed), 'realm')} on {printable(made.url)}? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
