"""``plan``: what an apply would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ztrust_mail import api
from ztrust_mail.cli.options import (
    AllowOption,
    ConfigOption,
    ForceOption,
    Format,
    FormatOption,
    NoSecretsOption,
    RealmGlobs,
    ReportOption,
    SecretsOption,
    ServerOption,
    Specs,
)
from ztrust_mail.cli.output import Output, check_product, save_product
from ztrust_mail.cli.review import judged, show
from ztrust_mail.reports import text
from ztrust_mail.reports.lines import line
from ztrust_mail.sync.compare import SecretMode
from ztrust_mail.sync.saved import digest_of
from ztrust_mail.text import quoted

NAME = "plan"

PlanOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Save the plan, for apply --plan.", show_default=False),
]


def command(
    specs: Specs,
    server: ServerOption = None,
    realm: RealmGlobs = [],
    secrets: SecretsOption = SecretMode.AUTO,
    no_secrets: NoSecretsOption = False,
    allow: AllowOption = [],
    out: PlanOption = None,
    force: ForceOption = False,
    format: FormatOption = Format.TEXT,
    report: ReportOption = [],
    config: ConfigOption = None,
) -> None:
    """Show what apply would change; writes nothing to the server."""
    with Output(NAME, format, report) as output:
        check_product(out, force=force)
        spec = api.load_spec(specs)
        with api.connect(server, spec=spec, config_path=config) as connection:
            output.connected(connection)
            made = api.plan(spec, connection, realms=realm, secrets=secrets, resolve=not no_secrets)
            saved = api.save_plan(made, spec, connection) if out else None
        show(output, made)
        if out and saved:
            save_product(out, saved, force=force)
            output.tell([line(f"Saved to {quoted(out)}; its digest is {digest_of(saved)}")])
        output.finish(text.plan(made), judged(output, made, allow).report(NAME))
