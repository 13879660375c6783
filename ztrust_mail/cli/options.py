"""Declares the arguments and options of the commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click
from click.core import ParameterSource

from ztrust_mail.cli import completion
from ztrust_mail.cli.invocation import DISPLAY
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.files import STDIN
from ztrust_mail.core.secret import has_kind
from ztrust_mail.core.text import quoted, shell_word
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.reports.report import PAGE_FORMATS, OutputFormat
from ztrust_mail.reports.style import ColorMode

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ztrust_mail.cli.output import Output
    from ztrust_mail.specfile.entries import Spec


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
        display = [one for one in self.get_params(ctx) if isinstance(one, DisplayOption)]
        for title, several in (("Options", [*self.get_params(ctx)]), ("Output", display)):
            shown = [one for one in several if (one in display) == (title == "Output")]
            if records := [row for one in shown if (row := one.get_help_record(ctx))]:
                with formatter.section(title):
                    formatter.write_dl(records)

    def _arguments(self) -> list[Argument]:
        return [parameter for parameter in self.params if isinstance(parameter, Argument)]


INPUT = click.Path(readable=False, allow_dash=True)
"""A path to read. Whether it can be read is found out where it is read, which names the reason."""

Function = Callable[..., None]
Declaration = Callable[[Function], Function]
"""A decorator that declares an argument or option of a command function."""


@dataclass(frozen=True)
class SpecFlags:
    """The spec files that a person named, and the values of ``--var``."""

    specs: Sequence[str]
    var: Sequence[str]

    def load(self, config: str | None) -> Spec:
        """Return the spec, with the settings of ``--config``. Raises as :func:`ztrust_mail.load_spec` does."""
        from ztrust_mail import api

        return api.load_spec(self.specs, variables=self.variables, config_path=config)

    def load_if_any(self, config: str | None) -> Spec | None:
        """Return the spec, None where no file is named."""
        if self.specs:
            return self.load(config)
        if self.var:
            raise UsageError("--var needs a spec", "name the spec too, or leave --var out")
        return None

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables. Raises :class:`UsageError`."""
        found: dict[str, str] = {}
        for one in self.var:
            name, equals, value = one.partition("=")
            if not equals:
                hint = "write --var NAME=VALUE, such as --var domain=example.com"
                raise UsageError(f"--var {quoted(one)} has no `=`", hint)
            if found.setdefault(name, value) != value:
                raise UsageError(f"--var {quoted(name)} was given twice, with different texts", "keep one of them")
        return found


@dataclass(frozen=True)
class SharedFlags:
    """What most commands have: the format of the result, the report files, and the settings file."""

    format: OutputFormat
    report: tuple[str, ...]
    config: str | None

    def output(
        self, command: str, specs: Sequence[str] = (), *, plan: str | None = None, out: Path | None = None
    ) -> Output:
        """Return the output of a command, which replaces none of the files that are named here."""
        from ztrust_mail.cli.output import Output
        from ztrust_mail.cli.protected_files import ProtectedFiles  # the help of all commands needs neither

        return Output(command, self.format, self.report, ProtectedFiles(specs, plan, out, self.config))


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


def gather(name: str, kind: type[DataclassInstance], options: Sequence[Declaration], **renamed: str) -> Declaration:
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


def specs(*, required: bool = True) -> Declaration:
    """Declare the spec files."""
    metavar, meaning = "SPEC..." if required else "[SPEC...]", "Spec files or folders; - is standard input."
    return argument(
        "specs", metavar, meaning, nargs=-1, required=required, type=INPUT, shell_complete=completion.spec_files
    )


def references_and_specs(function: Function) -> Function:
    """Declare secret references and spec files in one list; the function gets it as ``words``, and its ``specs``."""

    def find_specs(context: click.Context, _: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
        context.params["specs"] = tuple(word for word in words or () if not has_kind(word))
        context.set_parameter_source("specs", ParameterSource.COMMANDLINE)  # for commands to run next
        return words

    metavar = "[REFERENCE...] SPEC..."
    meaning = "Secrets to write, as plans name them: env:SMTP_PASSWORD, or globs: 'env:SMTP_*'. Then spec files."
    declared = argument(
        "words", metavar, meaning, nargs=-1, required=True, type=INPUT, shell_complete=completion.spec_files,
        callback=find_specs,
    )  # fmt: skip
    return declared(function)


def number_argument(name: str, metavar: str, most: int, help: str, *, required: bool = False) -> Declaration:
    """Declare an argument that is a whole number from 1 on."""
    return argument(name, metavar, help, type=click.IntRange(1, most), required=required)


def numbers_argument(name: str, metavar: str, most: int, help: str) -> Declaration:
    """Declare an argument that takes any number of whole numbers from 1 on."""
    return argument(name, metavar, help, type=click.IntRange(1, most), nargs=-1, required=False)


def _only_one(context: click.Context, _: click.Parameter, servers: tuple[str, ...]) -> str | None:
    """Return the server that was given; click reports several."""
    if len(servers) > 1:
        message = (
            f"--server was given {len(servers)} times ({', '.join(servers)}), but `{context.info_name}` works on one."
        )
        two = " ".join(f"--server {shell_word(one)}" for one in servers[:2])
        hint = f"Run it once for each, or see what differs: ztrust-mail compare {two}"
        raise click.UsageError(f"{message} {hint}", context)
    return servers[0] if servers else None


def _servers(help: str, callback: Callable[..., object] | None = None) -> Declaration:
    return click.option(
        "--server", metavar="NAME|URL", multiple=True, help=help, shell_complete=completion.server_names,
        callback=callback,
    )  # fmt: skip


server = _servers("A server of the settings file, or its URL.", _only_one)
servers = _servers("A server of the settings file, or its URL; give two.")
variables = texts("--var", "NAME=VALUE", "The text of a placeholder in the spec; repeatable.")
spec_variables = gather("files", SpecFlags, (variables,))
"""Declare the variables of the spec; the function gets a ``files`` of type :class:`SpecFlags`."""
spec_option_variables = gather("files", SpecFlags, (variables,), specs="spec")
"""The same, for a command that has its spec in ``--spec``."""
realms = argument(
    "realms", "[REALM...]", "Realms or globs [default: all].", nargs=-1, shell_complete=completion.realm_names
)
realm = texts("--realm", "GLOB", "Only realms that match; repeatable.", suggest=completion.realm_names)
config = input_file("--config", "FILE", "The settings file.")
result_format = choice("--format", OutputFormat.TEXT, "Format of the result.")
page_format = choice("--format", OutputFormat.TEXT, "Format of the result.", PAGE_FORMATS)
"""For a command whose result is a text or a table: the formats that hold findings alone have no place for it."""
report = texts(
    "--report",
    "FORMAT=FILE",
    f"Also write a report file; repeatable. Formats: {', '.join(OutputFormat)}.",
    suggest=completion.report_targets,
)
shared = gather("shared", SharedFlags, (result_format, report, config))
"""Declare the options that most commands have; the function gets a ``shared`` of type :class:`SharedFlags`."""
out = file("--out", "Write the spec to a file; - is standard output.")
yes = flag("--yes", "-y", help="Do not ask for confirmation.")
force = flag("--force", help="Overwrite the file named by --out.")
secrets = choice(
    "--secrets",
    SecretMode.AUTO,
    "auto: send the secret of each realm that is written; write: send all secrets; keep: keep the stored ones.",
)
no_secrets = flag("--no-secrets", help="Resolve no secret reference; masked secrets then cannot be compared.")
allow = texts(
    "--allow",
    "REASON[,REASON...]",
    "Confirm these dangers: mass-change, needed-mail, weaker-security, lost-secret, window, or all.",
    suggest=completion.reasons,
)
