"""``validate``: check spec files offline."""

import sys

from ztrust_mail import settings
from ztrust_mail.api import linting
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.commands.lint import BaselineFlags, baselining, choosing, describe_hidden
from ztrust_mail.cli.output import Output
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.linting.selection import LintOptions
from ztrust_mail.reports import text
from ztrust_mail.reports.report import of_lint
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.code_frame import spec_finding_lines

NAME = "validate"


@parameters.command(NAME)
@options.specs()
@choosing
@baselining
@options.spec_variables
@options.selecting
@options.shared
def command(
    rules: LintOptions,
    known: BaselineFlags,
    files: options.SpecFlags,
    servers: options.ServerFlags,
    shared: options.SharedFlags,
) -> None:
    """Check spec files offline.

    Checks structure, inheritance, addresses and questionable settings, and reports all problems of all files at once.
    Warnings do not change the exit status; ztrust-mail lint fails on them. With --server, --label or --all-servers,
    checks the spec as resolved for each of these servers; sends nothing to them.
    """
    with shared.output(NAME, files.specs) as output:
        known.check(output)
        servers.require_one(known.write_baseline and "--write-baseline", "each server would write the same file")
        call = known.call(rules, settings.load(shared.config).lint)
        read = linting.read_spec(files.specs, variables=files.variables, config_path=shared.config)

        def check(output: Output, server: str | None) -> None:
            checked = linting.check_for_server(read, server, config_path=shared.config)
            result, written = known.finish(linting.lint_spec(checked, call))
            status = ExitStatus.OK if result.is_valid else ExitStatus.USAGE
            verdict = f"Valid: {result.scope}." if result.is_valid else ""
            said = filter(None, [written, *describe_hidden(result), verdict])
            lines = spec_finding_lines(result.findings, sys.stdout, fold=not output.display.details)
            output.finish_report(of_lint(NAME, result, status), text.TextReport(lines, list(map(line, said))))

        servers.run(output, shared.config, check)
