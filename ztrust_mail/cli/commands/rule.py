"""``rule``: explain the id of a finding."""

from __future__ import annotations

from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.output import Output
from ztrust_mail.core.rules import find_rule, registry
from ztrust_mail.reports.report import OutputFormat, of_rules

NAME = "rule"


@parameters.command(NAME)
@parameters.argument(
    "id",
    "[ID]",
    "The id in brackets after a finding; without one, all are listed.",
    required=False,
    shell_complete=completion.rule_ids,
)
@options.page_format
def command(id: str | None, format: OutputFormat) -> None:
    """Explain a rule: what a finding means and what to do.

    Works offline.
    """
    with Output(NAME, format) as output:
        found = [find_rule(id)] if id else list(registry().values())
        output.finish_report(of_rules(found, whole=bool(id)))
