"""How a command's help shows its arguments: as the person types them, without Python's types."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import typer
from typer.core import TyperCommand


class Formatter(Protocol):
    """What typer lays help out with."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """Begin a section."""

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write names with their descriptions beside them."""


class Command(TyperCommand):
    """A command whose arguments stand in the help by their metavar alone, such as ``SPEC...``."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return what follows the command's name in the usage line."""
        return ["[OPTIONS]", *(str(a.metavar) for a in self.params if a.param_type_name == "argument")]

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        """Write the arguments, then the options."""
        arguments, options = [], []
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                arguments.append((str(parameter.metavar), str(getattr(parameter, "help", ""))))
            elif record := parameter.get_help_record(ctx):
                options.append(record)
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
