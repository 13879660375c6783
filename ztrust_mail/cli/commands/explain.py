"""``explain``: show the settings of a realm, with the file and line of each value."""

import os
from collections.abc import Sequence
from dataclasses import replace

from ztrust_mail import api
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.output import Output
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.files import SUFFIXES
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.linting.rules.spec import not_inherited, note_not_inherited
from ztrust_mail.model.fields import EXTRA, FIELDS, LOGIN, MESSAGES, PRESET, is_within
from ztrust_mail.reports.report import OutputFormat, of_explained

NAME = "explain"


@parameters.command(NAME)
@parameters.argument(
    "words",
    "SPEC... REALM [FIELD]",
    "Spec files or folders, a realm, and optionally a field.",
    nargs=-1,
    required=True,
    shell_complete=completion.explain_words,
)
@options.variables
@options.server
@options.page_format
@options.config
def command(
    words: Sequence[str], var: Sequence[str], server: str | None, format: OutputFormat, config: str | None
) -> None:
    """Show a realm's settings and where each value is defined.

    Works offline; --server names the server in the settings whose variables and overlays apply.
    FIELD is a field or a group of fields, such as relay.port or sender.
    """
    with Output(NAME, format) as output:
        specs, realm, field = _split(words)
        spec = options.SpecFlags(specs, var).load(config)
        if server is not None:
            spec = api.fit_spec(spec, server, config_path=config)
        wanted = api.explain(spec, realm)
        if field:
            shown = wanted.presets if field == PRESET else [name for name in wanted.fields if is_within(name, field)]
            wanted = replace(wanted, fields={name: wanted.fields[name] for name in shown})
        status = ExitStatus.PARTIAL if wanted.findings else ExitStatus.OK
        output.add_findings(note_not_inherited(spec, [wanted.entry]))
        output.finish_report(of_explained(wanted, status, not_inherited(spec, wanted.entry)))


def _split(words: Sequence[str]) -> tuple[Sequence[str], str, str]:
    """Return specs, realm and field. The last word is a field if it names one and the word before is not a spec."""
    if len(words) < 2:
        raise UsageError("a spec and a realm are required", "run: ztrust-mail explain SPEC... REALM [FIELD]")
    *specs, last = words
    if len(specs) == 1 or _is_spec_file(specs[-1]):
        return specs, last, ""
    if _is_field(last):
        return specs[:-1], specs[-1], last
    if not os.path.exists(specs[-1]):
        hint = did_you_mean(last, _GROUPS) or f"fields: {', '.join(FIELDS)}"
        raise UsageError(f"unknown field {quoted(last)} of {quoted(specs[-1])}", hint)
    return specs, last, ""


_GROUPS = {EXTRA: None, LOGIN: None, MESSAGES: None, PRESET: None} | {
    row.name.rsplit(".", n)[0]: None for row in FIELDS.values() for n in range(row.name.count(".") + 1)
}
"""Every field and every group of fields."""


def _is_field(word: str) -> bool:
    return word in _GROUPS or word.startswith((f"{EXTRA}.", f"{MESSAGES}."))


def _is_spec_file(word: str) -> bool:
    return word == "-" or (word.endswith(SUFFIXES) and os.path.isfile(word))
