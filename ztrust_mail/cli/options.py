"""The arguments and options that several commands share, and how any of them is declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TypedDict, Unpack

import click

from ztrust_mail.core.files import STDIN
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.reports.format import OutputFormat as OutputFormat


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


Function = Callable[..., None]
Declaration = Callable[[Function], Function]
"""What declares an argument or option of the command function below it."""


@dataclass(frozen=True)
class Writing:
    """How the plan of a writing command is to be carried out, as a person typed it."""

    yes: bool
    allow: tuple[str, ...]
    canary: str
    wave: int
    stop_after: int
    wait: str


class OneOf(click.Choice[str]):
    """One of the words of an enumeration; gives its member."""

    def __init__(self, kind: type[StrEnum]) -> None:
        self._kind = kind
        super().__init__([member.value for member in kind])

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        """Return the member that a word names; click says what is wrong with any other word."""
        return self._kind(super().convert(str(value), param, ctx))


def command(name: str) -> Callable[[Function], Command]:
    """Make a command of a function; its docstring is the help."""
    return click.command(name, cls=Command)


def argument(name: str, metavar: str, help: str, **settings: Unpack[Settings]) -> Declaration:
    """Declare an argument."""
    return click.argument(name, metavar=metavar, help=help, cls=Argument, **settings)


def flag(*names: str, help: str) -> Declaration:
    """Declare an option that is there or not."""
    return click.option(*names, is_flag=True, help=help)


def choice(name: str, default: StrEnum, help: str) -> Declaration:
    """Declare an option that takes one of the words of an enumeration."""
    return click.option(name, type=OneOf(type(default)), default=default.value, show_default=True, help=help)


def text(*names: str, metavar: str, help: str) -> Declaration:
    """Declare an option that takes a text; without it there is none."""
    return click.option(*names, metavar=metavar, help=help)


def texts(name: str, metavar: str, help: str, default: tuple[str, ...] = ()) -> Declaration:
    """Declare an option that may be given again."""
    return click.option(name, metavar=metavar, multiple=True, default=default, show_default=bool(default), help=help)


def number(name: str, metavar: str, default: int, least: int, most: int | None, help: str) -> Declaration:
    """Declare an option that takes a whole number."""
    kind = click.IntRange(least, most)
    return click.option(name, metavar=metavar, type=kind, default=default, show_default=True, help=help)


def file(name: str, help: str, *, beside: bool = False) -> Declaration:
    """Declare an option that takes the path of a file to be written.

    ``-`` is standard output, as without the option; it is refused where the file is made ``beside`` a result that
    standard output has already.
    """

    def given(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
        if path != Path(STDIN):
            return path
        if beside:
            raise click.BadParameter("standard output has the result already; name a file", context, option)
        return None

    return click.option(name, metavar="FILE", type=click.Path(path_type=Path), callback=given, help=help)


def specs(*, required: bool = True) -> Declaration:
    """Declare the spec files."""
    metavar = "SPEC..." if required else "[SPEC...]"
    return argument("specs", metavar, "Spec files or folders; - is standard input.", nargs=-1, required=required)


def number_argument(name: str, metavar: str, most: int, help: str) -> Declaration:
    """Declare an argument that is a whole number from 1 on and may be left out."""
    return argument(name, metavar, help, type=click.IntRange(1, most), required=False)


server = text("--server", metavar="NAME|URL", help="A server of the settings file, or its URL.")
realm = texts("--realm", "GLOB", "Only realms that match; may be given again.")
config = text("--config", metavar="FILE", help="The settings file.")
result_format = choice("--format", OutputFormat.TEXT, "How the result is written.")
report = texts("--report", "FORMAT=FILE", f"Write a report too: {' or '.join(OutputFormat)}.")
out = file("--out", "Write the spec to a file; - is standard output.")
yes = flag("--yes", "-y", help="Do not ask.")
force = flag("--force", help="Overwrite the file named by --out.")
secrets = choice(
    "--secrets",
    SecretMode.AUTO,
    "auto: send a secret with whatever else is written; write: send all; keep: keep the stored ones.",
)
no_secrets = flag("--no-secrets", help="Resolve no reference; hidden secrets then cannot be judged.")
allow = texts(
    "--allow",
    "REASON[,REASON...]",
    "Dangers that are meant: mass-change, needed-mail, weaker-security, lost-secret, or all.",
)


def writing(*, canary: str = "") -> Declaration:
    """Declare how a plan is carried out; the function is given a ``writing`` of type :class:`Writing`."""
    first = "Write these realms first, and go on when the server's test of them passes"
    options = (
        yes,
        allow,
        click.option(
            "--canary", metavar="N|GLOB", default=canary, show_default=bool(canary),
            help=f"{first}; 0 for none." if canary else f"{first}.",
        ),
        number("--wave", "SIZE", 0, 0, None, "Write so many realms at a time; 0 writes all."),
        number("--stop-after", "K", 0, 0, None, "Stop after so many failed realms; 0 goes on."),
        click.option("--wait", metavar="TIME", default="", help="Wait for another run on this server, such as 10m."),
    )  # fmt: skip

    def declare(function: Function) -> Function:
        @wraps(function)
        def call(
            *,
            yes: bool,
            allow: tuple[str, ...],
            canary: str,
            wave: int,
            stop_after: int,
            wait: str,
            **given: object,
        ) -> None:
            function(**given, writing=Writing(yes, allow, canary, wave, stop_after, wait))

        return declared(*options)(call)

    return declare


def declared(*declarations: Declaration) -> Declaration:
    """Return several declarations as one, in the order in which the help shows them."""

    def declare(function: Function) -> Function:
        for one in reversed(declarations):
            function = one(function)
        return function

    return declare
