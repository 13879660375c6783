"""``lint``: find questionable settings, and fail for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ztrust_mail import api, settings
from ztrust_mail.api import linting
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.output import Output, write_output
from ztrust_mail.cli.protected_files import FileKind
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.linting.baseline import render_baseline
from ztrust_mail.linting.selection import LintOptions
from ztrust_mail.reports import text
from ztrust_mail.reports.report import of_lint
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.code_frame import spec_finding_lines

if TYPE_CHECKING:
    from ztrust_mail.linting.result import LintResult

NAME = "lint"


@dataclass(frozen=True)
class BaselineFlags:
    """The baseline file, and whether to write it."""

    baseline: Path | None
    write_baseline: bool

    def check(self, output: Output) -> None:
        """Raise :class:`UsageError`, before any work is done, if the baseline could not be written."""
        if not self.write_baseline:
            return
        if self.baseline is None:
            raise UsageError("--write-baseline needs a file", "name it: --baseline lint-baseline.json")
        if why := output.own.why_not_write(self.baseline, FileKind.BASELINE):
            raise UsageError(f"cannot write the baseline {quoted(self.baseline)}: {why}", "name another file")
        if not self.baseline.absolute().parent.is_dir():
            hint = "name a file in an existing folder"
            raise UsageError(f"cannot write {quoted(self.baseline)}: its folder does not exist", hint)

    def call(
        self, rules: LintOptions, found: settings.LintSettings, fail_on: Severity = Severity.WARNING
    ) -> linting.LintCall:
        """Return how to lint."""
        return linting.LintCall(rules, found, self.baseline, self.write_baseline, fail_on)

    def finish(self, result: LintResult) -> tuple[LintResult, str]:
        """Write the baseline if requested, and return the result and a sentence about what was written."""
        if not self.write_baseline or not self.baseline or not result.is_valid:
            return result, ""
        write_output(self.baseline, render_baseline(result.rows), force=True)
        return result.accepted_as_baseline(), f"Wrote {pluralise(len(result.rows), 'finding')} to {self.baseline}."


_RULES, _IDS = "RULE[,RULE...]", completion.rule_ids
choosing = parameters.gather(
    "rules",
    LintOptions,
    (
        parameters.texts("--select", _RULES, "Only these lint rules or groups, default or all.", suggest=_IDS),
        parameters.texts("--ignore", _RULES, "Without these lint rules or groups.", suggest=_IDS),
    ),
)  # fmt: skip
"""Declare which lint rules count; the function gets ``rules`` of type :class:`LintOptions`."""

baselining = parameters.gather(
    "known",
    BaselineFlags,
    (
        parameters.file("--baseline", "Count the findings in this file, and show only new ones.", with_result=True),
        parameters.flag("--write-baseline", help="Write all findings of now to the file of --baseline."),
    ),
)
"""Declare the baseline; the function gets a ``known`` of type :class:`BaselineFlags`."""


@parameters.command(NAME)
@options.specs()
@options.spec_variables
@options.server
@options.realm
@choosing
@baselining
@parameters.choice(
    "--fail-on",
    Severity.WARNING,
    "Exit with 1 for findings of this severity or a worse one.",
    (Severity.NOTE, Severity.WARNING, Severity.ERROR),
)
@options.shared
def command(
    files: options.SpecFlags,
    server: str | None,
    realm: tuple[str, ...],
    rules: LintOptions,
    known: BaselineFlags,
    fail_on: Severity,
    shared: options.SharedFlags,
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


def describe_hidden(result: LintResult) -> Iterator[str]:
    """Yield a sentence on the findings that are not shown."""
    hidden = ((result.known, "in the baseline"), (result.ignored, "ignored by comments"))
    parts = [f"{pluralise(count, 'finding')} {why}" for count, why in hidden if count]
    if parts:
        yield f"Not shown: {', '.join(parts)}."
