"""The kinds of arguments and options that commands declare, and how the help shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from ztrust_mail.cli import completion
from ztrust_mail.cli.invocation import DISPLAY
from ztrust_mail.core.files import STDIN
from ztrust_mail.reports.style import ColorMode

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ArgumentSettings(TypedDict, total=False):
    """Further keyword arguments of ``click.Argument``."""

    nargs: int
    required: bool
    type: click.Choice[str] | click.IntRange | click.Path
    default: str
    shell_complete: completion.Callback
    callback: Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[str, ...]]


class Argument(click.Argument):
    """An argument with a help text, shown by its metavar alone, such as ``SPEC...``."""

    def __init__(self, names: Sequence[str], *, metavar: str, help: str, **settings: Unpack[ArgumentSettings]) -> None:
        super().__init__(names, metavar=metavar, **settings)
        self.shown = metavar
        self.explained = help

    def make_metavar(self, ctx: click.Context) -> str:
        """Return the metavar."""
        return self.shown


class OneOf(click.Choice[str]):
    """A choice of the values of an enumeration, or of those ``among`` them; returns its member."""

    def __init__(self, kind: type[StrEnum], among: Sequence[StrEnum] = ()) -> None:
        self._kind = kind
        super().__init__([member.value for member in among or kind])

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        """Return the member of a value; click reports any other value."""
        return self._kind(super().convert(str(value), param, ctx))


class DisplayOption(click.Option):
    """An option of how output is to look. It is the same for all commands, and may also come before the command."""

    def __init__(self, *names: str, help: str, type: OneOf | None = None) -> None:
        is_flag = type is None
        super().__init__(names, help=help, type=type, is_flag=is_flag, expose_value=False, callback=self._remember)

    def _remember(self, context: click.Context, _: click.Parameter, value: object) -> None:
        if value:
            context.meta.setdefault(DISPLAY, {})[self.name] = value


def display_options() -> list[click.Parameter]:
    """Return the options of how output is to look."""
    return [
        DisplayOption("--details", help="Show every realm by itself, also where realms have the same changes."),
        DisplayOption("--quiet", "-q", help="Print only errors and what the result comes to."),
        DisplayOption("--verbose", "-v", help="Also print requests and retries to standard error."),
        DisplayOption("--no-pager", help="Do not show long output in a pager."),
        DisplayOption("--color", type=OneOf(ColorMode), help="When to colour [default: auto, on a terminal]."),
    ]


class Command(click.Command):
    """A command whose help explains its arguments, and lists the display options last."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what follows the command's name in the usage line."""
        return ["[OPTIONS]", *(argument.shown for argument in self._arguments())]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, then the options."""
        if rows := [(argument.shown, argument.explained) for argument in self._arguments()]:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]  # click 8.5 adds arguments
        display = [one for one in options if isinstance(one, DisplayOption)]
        for title, shown in (("Options", [one for one in options if one not in display]), ("Output", display)):
            if records := [row for one in shown if (row := one.get_help_record(ctx))]:
                with formatter.section(title):
                    formatter.write_dl(records)

    def _arguments(self) -> list[Argument]:
        return [parameter for parameter in self.params if isinstance(parameter, Argument)]


LARGEST = 2**31 - 1
"""The largest integer of every database."""

INPUT = click.Path(readable=False, allow_dash=True)
"""A path to read. Whether it is readable is checked on reading, which reports the reason."""

Function = Callable[..., None]
Declaration = Callable[[Function], Function]
"""A decorator that declares an argument or option of a command function."""


def command(name: str) -> Callable[[Function], Command]:
    """Return a decorator that makes a command of a function; its docstring is the help."""
    return click.command(name, cls=Command, params=display_options())


def argument(name: str, metavar: str, help: str, **settings: Unpack[ArgumentSettings]) -> Declaration:
    """Declare an argument."""
    return click.argument(name, metavar=metavar, help=help, cls=Argument, **settings)


def flag(*names: str, help: str) -> Declaration:
    """Declare a switch."""
    return click.option(*names, is_flag=True, help=help)


def choice(name: str, default: StrEnum, help: str, among: Sequence[StrEnum] = ()) -> Declaration:
    """Declare an option that takes one of the values of an enumeration, or of those ``among`` them."""
    return click.option(name, type=OneOf(type(default), among), default=default.value, show_default=True, help=help)


def text(*names: str, metavar: str, help: str, suggest: completion.Callback | None = None) -> Declaration:
    """Declare an option that takes a text; None without it."""
    return click.option(*names, metavar=metavar, help=help, shell_complete=suggest)


def texts(
    name: str, metavar: str, help: str, default: tuple[str, ...] = (), suggest: completion.Callback | None = None
) -> Declaration:
    """Declare an option that may be repeated."""
    return click.option(
        name, metavar=metavar, multiple=True, default=default, show_default=bool(default), help=help,
        shell_complete=suggest,
    )  # fmt: skip


def number(name: str, metavar: str, default: int, least: int, most: int | None, help: str) -> Declaration:
    """Declare an option that takes a whole number."""
    kind = click.IntRange(least, most)
    return click.option(name, metavar=metavar, type=kind, default=default, show_default=True, help=help)


def file(name: str, help: str, *, with_result: bool = False) -> Declaration:
    """Declare an option that takes the path of a file to be written.

    ``-`` is standard output, as without the option. It is refused for a file that is written in addition to a result
    on standard output, ``with_result``.
    """

    def parse_path(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
        if path != Path(STDIN):
            return path
        if with_result:
            raise click.BadParameter("the result already goes to standard output; name a file", context, option)
        return None

    return click.option(name, metavar="FILE", type=click.Path(path_type=Path), callback=parse_path, help=help)


def input_file(
    name: str, metavar: str, help: str, *, multiple: bool = False, suggest: completion.Callback | None = None
) -> Declaration:
    """Declare an option that takes the path of a file or folder to be read, or several when it is repeated."""
    return click.option(name, metavar=metavar, type=INPUT, multiple=multiple, help=help, shell_complete=suggest)


def gather(
    name: str, kind: type[DataclassInstance], options: Sequence[Declaration] = (), **renamed: str
) -> Declaration:
    """Return a decorator that declares options, and passes their values on as one object.

    The object gets each value of the same name, also of what is declared elsewhere; ``renamed`` are fields of another
    name than their option.
    """

    def declare(function: Function) -> Function:
        @wraps(function)
        def call(**given: object) -> None:
            names = {row.name: renamed.get(row.name, row.name) for row in fields(kind)}
            flags = {field: given.pop(option) for field, option in names.items() if option in given}
            function(**given, **{name: kind(**flags)})  # click has checked them

        declared: Function = call
        for one in reversed(options):
            declared = one(declared)
        return declared

    return declare


def number_argument(name: str, metavar: str, help: str, *, required: bool = False) -> Declaration:
    """Declare an argument that is a whole number from 1 on."""
    return argument(name, metavar, help, type=click.IntRange(1, LARGEST), required=required)
