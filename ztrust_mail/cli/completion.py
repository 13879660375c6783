"""``completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

from enum import StrEnum

import click

from ztrust_mail.cli import options
from ztrust_mail.cli.entry import COMPLETION_VARIABLE

NAME = "completion"


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@options.command(NAME)
@options.argument("shell", "bash|zsh|fish", "Which shell.", type=options.OneOf(Shell))
@click.pass_context
def command(context: click.Context, shell: Shell) -> None:
    """Print the script that makes a shell complete commands.

    For bash: source <(ztrust-mail completion bash)
    """
    from click.shell_completion import shell_complete

    root = context.find_root()
    context.exit(shell_complete(root.command, {}, str(root.info_name), COMPLETION_VARIABLE, f"{shell.value}_source"))
