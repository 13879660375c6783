"""``lint``: find questionable settings, and fail for them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ztrust_mail import api, settings
from ztrust_mail.api import linting
from ztrust_mail.cli import options
from ztrust_mail.cli.lint_options import BaselineFlags, LintFlags, baselining, choosing, describe_hidden
from ztrust_mail.cli.options import SharedFlags, SpecFlags
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Severity
from ztrust_mail.reports import text
from ztrust_mail.reports.report import of_lint
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.code_frame import spec_finding_lines

if TYPE_CHECKING:
    from ztrust_mail.linting.result import LintResult

NAME = "lint"


@options.command(NAME)
@options.specs()
@options.spec_variables
@options.server
@options.realm
@choosing
@baselining
@options.choice(
    "--fail-on",
    Severity.WARNING,
    "Exit with 1 for findings of this severity or a worse one.",
    (Severity.NOTE, Severity.WARNING, Severity.ERROR),
)
@options.shared
def command(
    files: SpecFlags,
    server: str | None,
    realm: Sequence[str],
    rules: LintFlags,
    known: BaselineFlags,
    fail_on: Severity,
    shared: SharedFlags,
) -> None:
    """Find questionable settings, and fail for them.

    Works offline. With --server, the rules about the server and its realms are run, too; that writes nothing and needs
    no secret.
    """
    with shared.output(NAME, files.specs) as output, ExitStack() as stack:
        known.check(output)
        if realm and not server:
            raise UsageError("--realm limits what is asked of a server", "name the server: --server NAME")
        found, session = settings.load(shared.config), None
        checked = linting.check_spec(files.specs, variables=files.variables, config_path=shared.config)
        if server:
            session = stack.enter_context(api.connect(server, spec=checked.spec, config_path=shared.config))
            output.attach(session)
        result = linting.lint_spec(checked, known.call(rules, found.lint, fail_on), session, realm)
        result, written = known.finish(result)
        verdict = [*filter(None, [written, *describe_hidden(result)]), _verdict(result)]
        lines = spec_finding_lines(result.findings, sys.stdout, fold=not output.display.details, count=False)
        done = of_lint(NAME, result, result.exit_status)
        output.finish_report(done, text.TextReport(lines, list(map(line, verdict))))


def _verdict(result: LintResult) -> str:
    where = f" and on {result.url}" if result.url else ""
    return f"Found {result.summary} in the spec{where}."
