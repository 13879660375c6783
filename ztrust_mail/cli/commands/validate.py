"""``validate``: check spec files offline."""

import sys
from collections.abc import Sequence

from ztrust_mail import settings
from ztrust_mail.api import linting
from ztrust_mail.cli import options
from ztrust_mail.cli.lint_options import BaselineFlags, LintFlags, baselining, choosing, describe_hidden
from ztrust_mail.cli.many_servers.options import ServerFlags, refuse_several, selecting
from ztrust_mail.cli.many_servers.run import run_on_servers
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.cli.spec_options import parse_variables
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.reports import text
from ztrust_mail.reports.report import of_lint
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.code_frame import spec_finding_lines

NAME = "validate"


@options.command(NAME)
@options.specs()
@choosing
@baselining
@options.variables
@selecting
@options.result_format
@options.report
@options.config
def command(
    specs: Sequence[str],
    rules: LintFlags,
    known: BaselineFlags,
    var: Sequence[str],
    servers: ServerFlags,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Check spec files offline.

    Checks structure, inheritance, addresses and questionable settings, and reports all problems of all files at once.
    Warnings do not change the exit status; ztrust-mail lint fails for them. With --server, --label or --all-servers,
    checks the spec as each of these servers of the settings has it; sends nothing to them.
    """
    with Output(NAME, format, report, ProtectedFiles(specs, settings=config)) as output:
        known.check(output)
        refuse_several(servers, known.write_baseline and "--write-baseline", "each server would write the same file")
        call = known.call(rules, settings.load(config).lint)
        read = linting.read_spec(specs, variables=parse_variables(var), config_path=config)

        def check(output: Output, server: str | None) -> None:
            checked = linting.check_for_server(read, server, config_path=config)
            result, written = known.finish(linting.lint_spec(checked, call))
            status = ExitStatus.OK if result.is_valid else ExitStatus.USAGE
            verdict = f"Valid: {result.scope}." if result.is_valid else ""
            said = filter(None, [written, *describe_hidden(result), verdict])
            lines = spec_finding_lines(result.findings, sys.stdout, fold=not output.display.details)
            output.finish_report(of_lint(NAME, result, status), text.TextReport(lines, list(map(line, said))))

        run_on_servers(output, servers, config, check)
