"""``schema``: the JSON Schemas, for editors and other tools."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ztrust_mail.spec.schema import schema_text

NAME = "schema"


class Which(StrEnum):
    """The schemas there are."""

    SPEC = "spec"
    SETTINGS = "settings"
    REPORT = "report"
    PLAN = "plan"


def command(
    which: Annotated[
        Which, typer.Argument(metavar="[spec|settings|report|plan]", help="Which schema; that of specs without.")
    ] = Which.SPEC,
) -> None:
    """Print the JSON Schema of specs, settings, reports or plans."""
    typer.echo(schema_text(which.value), nl=False)
