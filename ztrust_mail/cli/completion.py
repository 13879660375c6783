"""``completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

NAME = "completion"


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def command(shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)]) -> None:
    """Print a shell's completion script: source <(ztrust-mail completion bash)."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # there since 0.1

    variable = "_ZTRUST_MAIL_COMPLETE"
    typer.echo(get_completion_script(prog_name="ztrust-mail", complete_var=variable, shell=shell.value))
