"""``schema``: the JSON Schemas, for editors and other tools."""

from enum import StrEnum

from ztrust_mail.cli import parameters
from ztrust_mail.cli.output import Output, write_output
from ztrust_mail.core.data import schema_text

NAME = "schema"


class SchemaName(StrEnum):
    """The schemas there are."""

    SPEC = "spec"
    SETTINGS = "settings"
    REPORT = "report"
    PLAN = "plan"
    BASELINE = "baseline"


@parameters.command(NAME)
@parameters.argument(
    "which",
    "[spec|settings|report|plan|baseline]",
    "Which schema; that of specs without.",
    type=parameters.OneOf(SchemaName),
    default=SchemaName.SPEC.value,
)
def command(which: SchemaName) -> None:
    """Print the JSON Schema of a kind of file."""
    with Output(NAME):
        write_output(None, schema_text(which.value), force=False)
