"""``validate``: what can be said of a spec without a server."""

from __future__ import annotations

from collections.abc import Sequence

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.options import Format
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.report_files import Own
from ztrust_mail.errors import ExitStatus
from ztrust_mail.findings import has_errors
from ztrust_mail.reports import json, text
from ztrust_mail.reports.lines import Line, line
from ztrust_mail.spec.model import Spec
from ztrust_mail.text import counted

NAME = "validate"


@options.command(NAME)
@options.specs()
@options.result_format
@options.report
def command(specs: Sequence[str], format: Format, report: Sequence[str]) -> None:
    """Check spec files offline.

    Form, inheritance, addresses and doubtful settings; all problems of all files are told at once.
    """
    with Output(NAME, format, report, Own(specs)) as output:
        spec, findings = api.validate(specs)
        status = ExitStatus.USAGE if has_errors(findings) else ExitStatus.OK
        said = list(text.findings(findings))
        if status is ExitStatus.OK:
            said.append(_fine(spec))
        output.finish(said, json.of_findings(NAME, status, findings))


def _fine(spec: Spec) -> Line:
    globs = len(spec.globs)
    exact = len(spec.entries) - globs
    files = counted(len(spec.paths), "file")
    return line(f"Valid: {counted(exact, 'realm')} and {counted(globs, 'glob')} in {files}.")
