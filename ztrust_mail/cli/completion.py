"""``completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ztrust_mail.cli.entry import COMPLETION_VARIABLE

NAME = "completion"


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def command(
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Which shell.", show_default=False)],
) -> None:
    """Print the script that makes a shell complete commands.

    For bash: source <(ztrust-mail completion bash)
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # there since 0.1

    script = get_completion_script(prog_name="ztrust-mail", complete_var=COMPLETION_VARIABLE, shell=shell.value)
    typer.echo(script)
