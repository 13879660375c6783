"""How a command's help shows its arguments: as the person types them, beside the options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack

import click


class Settings(TypedDict, total=False):
    """What else may be said of an argument, in click's words."""

    nargs: int
    required: bool
    type: click.Choice[str] | click.IntRange
    default: str


class Argument(click.Argument):
    """An argument that the help explains, and shows by its metavar alone, such as ``SPEC...``."""

    def __init__(self, names: Sequence[str], *, metavar: str, help: str, **settings: Unpack[Settings]) -> None:
        super().__init__(names, metavar=metavar, **settings)
        self.shown = metavar
        self.explained = help

    def make_metavar(self, ctx: click.Context) -> str:
        """Return how a person writes the argument."""
        return self.shown


class Command(click.Command):
    """A command whose arguments stand in the help as they are typed, such as ``SPEC...``."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what follows the command's name in the usage line."""
        return ["[OPTIONS]", *(argument.shown for argument in self._arguments())]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, then the options."""
        if rows := [(argument.shown, argument.explained) for argument in self._arguments()]:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)

    def _arguments(self) -> list[Argument]:
        return [parameter for parameter in self.params if isinstance(parameter, Argument)]
