"""``validate``: check spec files offline."""

import sys
from collections.abc import Sequence

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import has_errors
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports import text
from ztrust_mail.reports.report import of_findings
from ztrust_mail.reports.style import Line, line
from ztrust_mail.reports.text.code_frame import spec_finding_lines
from ztrust_mail.specfile.entries import Spec

NAME = "validate"


@options.command(NAME)
@options.specs()
@options.result_format
@options.report
def command(specs: Sequence[str], format: OutputFormat, report: Sequence[str]) -> None:
    """Check spec files offline.

    Checks structure, inheritance, addresses and questionable settings, and reports all problems of all files at once.
    """
    with Output(NAME, format, report, ProtectedFiles(specs)) as output:
        spec, findings = api.validate(specs)
        status = ExitStatus.USAGE if has_errors(findings) else ExitStatus.OK
        verdict = [_success_line(spec)] if status is ExitStatus.OK else []
        lines = spec_finding_lines(findings, sys.stdout)
        output.finish_report(of_findings(NAME, status, findings), text.TextReport(lines, verdict))


def _success_line(spec: Spec) -> Line:
    globs = len(spec.globs)
    exact = len(spec.entries) - globs
    files = pluralise(len(spec.paths), "file")
    return line(f"Valid: {pluralise(exact, 'realm')} and {pluralise(globs, 'glob')} in {files}.")
