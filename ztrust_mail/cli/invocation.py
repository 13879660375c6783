"""The invocation: how to display output, and next commands with the user's own arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import click
from click.core import ParameterSource

from ztrust_mail.core.files import STDIN
from ztrust_mail.core.text import shell_word
from ztrust_mail.reports.style import ColorMode

DISPLAY = "ztrust_mail.display"
"""The key of the display options among what click's contexts share."""

SUGGESTED_CANARY = "2"
"""How many realms the suggested command writes and tests first."""

_NOT_REPEATED = {"format", "report", "out", "force", "yes", "dry_run"}
"""Options that a next step leaves out: they name files that exist by then, skip the question, or write nothing."""

_PLACEHOLDER = re.compile(r"\bztrust-mail (apply|plan|drift) SPEC\.\.\.( --resume)?")
_OF_REALM = re.compile(r"""\bztrust-mail (test|probe) (?!REALM\b|SPEC\b|--)((?:'[^']*'|"[^"]*"|[^\s;,'"()])+)""")
"""A test or probe of one realm, as verdicts have it."""


@dataclass(frozen=True)
class Display:
    """How output is to look, by the options before or after the command."""

    color: ColorMode = ColorMode.AUTO
    no_pager: bool = False
    quiet: bool = False
    verbose: bool = False
    details: bool = False


def current_display() -> Display:
    """Return the display options of the command that runs."""
    context = click.get_current_context(silent=True)
    return Display(**context.meta.get(DISPLAY, {})) if context else Display()


def next_command(name: str, **changes: object) -> str:
    """Return a command line with the arguments of the running command, as far as the named command accepts them.

    ``changes`` replaces values; None drops one. Empty if no command is running.
    """
    context = click.get_current_context(silent=True)
    group = context.find_root().command if context else None
    command = group.get_command(context, name) if context and isinstance(group, click.Group) else None
    if context is None or command is None:
        return ""
    typed = {
        name: value
        for name, value in context.params.items()
        if name not in _NOT_REPEATED and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    given = {**typed, **changes}
    arguments, options = list[str](), list[str]()
    for parameter in command.params:
        words = options if isinstance(parameter, click.Option) else arguments
        words += _words(parameter, given.get(parameter.name or ""))
    if any(word.startswith("-") and word != STDIN for word in arguments):  # else it would be read as an option
        arguments, options = [], [*options, "--", *arguments]
    return " ".join(["ztrust-mail", name, *map(shell_word, [*arguments, *options])])


def _of_realm(match: re.Match[str]) -> str:
    return next_command(match[1], realms=shlex.split(match[2])[:1])


def _words(parameter: click.Parameter, value: object) -> Iterator[str]:
    """Yield the words of a command line that give a parameter this value."""
    values = value if isinstance(value, tuple | list) else [value]
    for one in values:
        if one is None or one is False:
            continue
        if isinstance(parameter, click.Option):
            yield max(parameter.opts, key=len)
        if one is not True:
            yield str(one)


def fill_in_arguments(text: str, resume: str = "") -> str:
    """Return a text with ``SPEC...`` in commands replaced by the user's arguments.

    ``resume`` is the command that continues a run. After a command without a spec, ``pull`` shows the stored settings.
    A test or a probe of one realm gets the spec and the server of the running command.
    """
    if "ztrust-mail test " in text or "ztrust-mail probe " in text:
        text = _OF_REALM.sub(lambda match: _of_realm(match) or match[0], text)
    context = click.get_current_context(silent=True) if "SPEC..." in text else None
    if not context:
        return text
    has_specs = bool(context.params.get("specs"))

    def fill_in(match: re.Match[str]) -> str:
        if match[2] and resume:
            return resume
        if has_specs:
            return next_command(match[1]) + (match[2] or "")
        shows_stored = match[1] == "plan" and not text.startswith(" --", match.end())
        return next_command("pull") if shows_stored else match[0]

    return _PLACEHOLDER.sub(fill_in, text)
