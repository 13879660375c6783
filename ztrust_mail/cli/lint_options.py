"""The options that choose lint rules and the baseline, and the end of the commands that have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ztrust_mail.api.linting import LintCall
from ztrust_mail.cli import completion, options
from ztrust_mail.cli.output import Output, write_output
from ztrust_mail.cli.protected_files import FileKind
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.linting.baseline import render_baseline
from ztrust_mail.linting.result import LintResult
from ztrust_mail.linting.selection import LintOptions
from ztrust_mail.settings import LintSettings


@dataclass(frozen=True)
class LintFlags:
    """The rules that a person selects and ignores."""

    select: tuple[str, ...]
    ignore: tuple[str, ...]

    @property
    def lint_options(self) -> LintOptions:
        """The options for the library."""
        return LintOptions(self.select, self.ignore)


@dataclass(frozen=True)
class BaselineFlags:
    """The baseline that a person names, and whether it is to be written."""

    baseline: Path | None
    write_baseline: bool

    def check(self, output: Output) -> None:
        """Raise :class:`UsageError`, before any work is done, where the baseline could not be written."""
        if not self.write_baseline:
            return
        if self.baseline is None:
            raise UsageError("--write-baseline needs a file", "name it: --baseline lint-baseline.json")
        if why := output.own.why_not_write(self.baseline, FileKind.BASELINE):
            raise UsageError(f"cannot write the baseline {quoted(self.baseline)}: {why}", "name another file")
        if not self.baseline.absolute().parent.is_dir():
            hint = "name a file in an existing folder"
            raise UsageError(f"cannot write {quoted(self.baseline)}: its folder does not exist", hint)

    def call(self, rules: LintFlags, settings: LintSettings, fail_on: Severity = Severity.WARNING) -> LintCall:
        """Return how to lint."""
        return LintCall(rules.lint_options, settings, self.baseline, self.write_baseline, fail_on)

    def finish(self, result: LintResult) -> tuple[LintResult, str]:
        """Write the baseline, if asked to, and return the result and a sentence on what was written."""
        if not self.write_baseline or not self.baseline or not result.is_valid:
            return result, ""
        write_output(self.baseline, render_baseline(result.rows), force=True)
        return result.accepted_as_baseline(), f"Wrote {pluralise(len(result.rows), 'finding')} to {self.baseline}."


_RULES, _IDS = "RULE[,RULE...]", completion.rule_ids

choosing = options.gather(
    "rules",
    LintFlags,
    (
        options.texts("--select", _RULES, "Only these lint rules or groups, default or all.", suggest=_IDS),
        options.texts("--ignore", _RULES, "Without these lint rules or groups.", suggest=_IDS),
    ),
)  # fmt: skip
"""Declare which lint rules count; the function gets ``rules`` of type :class:`LintFlags`."""

baselining = options.gather(
    "known",
    BaselineFlags,
    (
        options.file("--baseline", "Count the findings in this file, and show only new ones.", with_result=True),
        options.flag("--write-baseline", help="Write all findings of now to the file of --baseline."),
    ),
)
"""Declare the baseline; the function gets a ``known`` of type :class:`BaselineFlags`."""


def describe_hidden(result: LintResult) -> Iterator[str]:
    """Yield a sentence on the findings that are not shown."""
    hidden = ((result.known, "in the baseline"), (result.ignored, "ignored by comments"))
    parts = [f"{pluralise(count, 'finding')} {why}" for count, why in hidden if count]
    if parts:
        yield f"Not shown: {', '.join(parts)}."
