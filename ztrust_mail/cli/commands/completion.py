"""``completion``: print the completion script of a shell."""

from __future__ import annotations

from enum import StrEnum

import click

from ztrust_mail.cli import options
from ztrust_mail.cli.main import COMPLETION_VARIABLE
from ztrust_mail.cli.output import Output, write_output

NAME = "completion"


class Shell(StrEnum):
    """The supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@options.command(NAME)
@options.argument("shell", "bash|zsh|fish", "Which shell.", type=options.OneOf(Shell))
@click.pass_context
def command(context: click.Context, shell: Shell) -> None:
    """Print the completion script of a shell.

    For bash: source <(ztrust-mail completion bash)
    """
    from click.shell_completion import get_completion_class

    with Output(NAME):
        root, kind = context.find_root(), get_completion_class(shell.value)
        assert kind is not None  # click knows each of our shells
        write_output(None, kind(root.command, {}, str(root.info_name), COMPLETION_VARIABLE).source(), force=False)
