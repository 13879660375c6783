"""``validate``: check spec files offline."""

import sys
from collections.abc import Sequence

from ztrust_mail import settings
from ztrust_mail.api import linting
from ztrust_mail.cli import options
from ztrust_mail.cli.lint_options import BaselineFlags, LintFlags, baselining, choosing, describe_hidden
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.cli.spec_options import parse_variables
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports import text
from ztrust_mail.reports.report import of_lint
from ztrust_mail.reports.style import Line, line
from ztrust_mail.reports.text.code_frame import spec_finding_lines
from ztrust_mail.specfile.entries import Spec

NAME = "validate"


@options.command(NAME)
@options.specs()
@choosing
@baselining
@options.variables
@options.server
@options.result_format
@options.report
@options.config
def command(
    specs: Sequence[str],
    rules: LintFlags,
    known: BaselineFlags,
    var: Sequence[str],
    server: str | None,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Check spec files offline.

    Checks structure, inheritance, addresses and questionable settings, and reports all problems of all files at once.
    Warnings do not change the exit status; ztrust-mail lint fails for them. With --server, checks the spec as that
    server of the settings has it; sends nothing to it.
    """
    with Output(NAME, format, report, ProtectedFiles(specs, settings=config)) as output:
        known.check(output)
        found = settings.load(config)
        checked = linting.check_spec(specs, server=server, variables=parse_variables(var), config_path=config)
        result, written = known.finish(linting.lint_spec(checked, known.call(rules, found.lint)))
        status = ExitStatus.OK if result.is_valid else ExitStatus.USAGE
        verdict = [_success_line(result.spec)] if status is ExitStatus.OK else []
        verdict = [*map(line, filter(None, [written, *describe_hidden(result)])), *verdict]
        lines = spec_finding_lines(result.findings, sys.stdout, fold=not output.display.details)
        output.finish_report(of_lint(NAME, result, status), text.TextReport(lines, verdict))


def _success_line(spec: Spec) -> Line:
    names = {entry.name: entry for entry in (spec.entries if spec.target else spec.written) if entry.name}
    globs = sum(entry.is_glob for entry in names.values())
    exact = len(names) - globs
    files = pluralise(len(spec.paths), "file")
    return line(f"Valid: {pluralise(exact, 'realm')} and {pluralise(globs, 'glob')} in {files}.")
