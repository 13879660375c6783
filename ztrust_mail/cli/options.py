"""The arguments and options that several commands have, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ztrust_mail.cli import completion, parameters
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.secret import has_kind
from ztrust_mail.core.text import quoted, shell_word
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.reports.report import PAGE_FORMATS, OutputFormat
from ztrust_mail.settings.fleet import ServerSelection

if TYPE_CHECKING:
    from ztrust_mail.cli.many_servers.run import Work
    from ztrust_mail.cli.many_servers.turns import Stage
    from ztrust_mail.cli.output import Output
    from ztrust_mail.specfile.entries import Spec

MOST_PARALLEL = 64


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
        """Return the spec, None if no file is named."""
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


@dataclass(frozen=True)
class ServerFlags:
    """The servers as typed by the user, how many to process at once, and the order of the stages to write."""

    server: tuple[str, ...]
    label: tuple[str, ...]
    all_servers: bool
    parallel: int
    order: str | None = None

    @property
    def selection(self) -> ServerSelection:
        """The servers that were asked for."""
        return ServerSelection(self.server, self.label, self.all_servers)

    @property
    def are_several(self) -> bool:
        """Whether there may be several, even if the selection happens to match only one."""
        return self.selection.is_several

    @property
    def only(self) -> str | None:
        """The server of a run on one, None if the settings choose it."""
        return self.server[0] if self.server else None

    def run(
        self, output: Output, config: str | None, work: Work, *, yes: bool = True, order: Sequence[Stage] = ()
    ) -> None:
        """Do the work of a command on each server that was asked for, and exit.

        A server's failure ends no other. If the work asks whether to write, one question is asked for all servers,
        unless the user said ``yes`` beforehand; then they are written stage by stage as ``order`` says, if it is given.
        Raises :class:`UsageError` if the servers cannot be selected.
        """
        if not self.are_several:
            work(output, self.only)
            return
        from ztrust_mail.cli.many_servers.run import ManyServersRun, select_servers

        selected = select_servers(output, self.selection, config)
        ManyServersRun(output, selected, self.parallel, order).run(work, yes=yes)

    def require_one(self, option: object, why: str) -> None:
        """Raise :class:`UsageError` if an option that supports only one server was given with several."""
        if option and self.are_several:
            hint = "run the command once per server, with --server NAME"
            raise UsageError(f"{option} cannot be combined with several servers: {why}", hint)

    def parse_order(self) -> tuple[Stage, ...]:
        """Return the stages of ``--order``.

        Raises :class:`UsageError` for a malformed value, a stage named twice, and a run on one server.
        """
        if self.order is not None and not self.are_several:
            raise UsageError("--order needs several servers", "add --all-servers, or --server for each server")
        stages: list[Stage] = []
        for one in self.order.split(",") if self.order is not None else ():
            name, equals, value = one.partition("=")
            if not (name and equals and value):
                hint = "write labels with their values, in order: --order stage=dev,stage=prod"
                raise UsageError(f"--order contains {quoted(one)}, which is not NAME=VALUE", hint)
            if (name, value) in stages:
                raise UsageError(f"--order names {quoted(one)} twice", "name each stage once")
            stages.append((name, value))
        return tuple(stages)


def specs(*, required: bool = True) -> parameters.Declaration:
    """Declare the spec files."""
    metavar, meaning = "SPEC..." if required else "[SPEC...]", "Spec files or folders; - is standard input."
    return parameters.argument(
        "specs",
        metavar,
        meaning,
        nargs=-1,
        required=required,
        type=parameters.INPUT,
        shell_complete=completion.spec_files,
    )


def references_and_specs(function: parameters.Function) -> parameters.Function:
    """Declare secret references and spec files in one list; the function gets it as ``words``, and its ``specs``."""

    def find_specs(context: click.Context, _: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
        context.params["specs"] = tuple(word for word in words or () if not has_kind(word))
        context.set_parameter_source("specs", ParameterSource.COMMANDLINE)  # for commands to run next
        return words

    metavar = "[REFERENCE...] SPEC..."
    meaning = "Secrets to write, as plans name them: env:SMTP_PASSWORD, or globs: 'env:SMTP_*'. Then spec files."
    declared = parameters.argument(
        "words", metavar, meaning, nargs=-1, required=True, type=parameters.INPUT, shell_complete=completion.spec_files,
        callback=find_specs,
    )  # fmt: skip
    return declared(function)


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


def _servers(help: str, callback: Callable[..., object] | None = None) -> parameters.Declaration:
    return click.option(
        "--server", metavar="NAME|URL", multiple=True, help=help, shell_complete=completion.server_names,
        callback=callback,
    )  # fmt: skip


server = _servers("A server of the settings file, or its URL.", _only_one)
servers = _servers("A server of the settings file, or its URL; give two.")
variables = parameters.texts("--var", "NAME=VALUE", "The text of a placeholder in the spec; repeatable.")
spec_variables = parameters.gather("files", SpecFlags, (variables,))
"""Declare the variables of the spec; the function gets a ``files`` of type :class:`SpecFlags`."""
spec_option_variables = parameters.gather("files", SpecFlags, (variables,), specs="spec")
"""The same, for a command that has its spec in ``--spec``."""
realms = parameters.argument(
    "realms", "[REALM...]", "Realms or globs [default: all].", nargs=-1, shell_complete=completion.realm_names
)
realm = parameters.texts("--realm", "GLOB", "Only realms that match; repeatable.", suggest=completion.realm_names)
config = parameters.input_file("--config", "FILE", "The settings file.")
result_format = parameters.choice("--format", OutputFormat.TEXT, "Format of the result.")
page_format = parameters.choice("--format", OutputFormat.TEXT, "Format of the result.", PAGE_FORMATS)
"""For a command whose result is a text or a table: formats for findings alone cannot hold it."""
report = parameters.texts(
    "--report",
    "FORMAT=FILE",
    f"Also write a report file; repeatable. Formats: {', '.join(OutputFormat)}.",
    suggest=completion.report_targets,
)
shared = parameters.gather("shared", SharedFlags, (result_format, report, config))
"""Declare the options that most commands have; the function gets a ``shared`` of type :class:`SharedFlags`."""
out = parameters.file("--out", "Write the spec to a file; - is standard output.")
yes = parameters.flag("--yes", "-y", help="Do not ask for confirmation.")
force = parameters.flag("--force", help="Overwrite the file named by --out.")
secrets = parameters.choice(
    "--secrets",
    SecretMode.AUTO,
    "auto: send the secret of each realm that is written; write: send all secrets; keep: keep the stored ones.",
)
no_secrets = parameters.flag(
    "--no-secrets", help="Resolve no secret reference; masked secrets then cannot be compared."
)
allow = parameters.texts(
    "--allow",
    "REASON[,REASON...]",
    "Confirm these dangers: mass-change, needed-mail, weaker-security, lost-secret, window, or all.",
    suggest=completion.reasons,
)
selecting = parameters.gather(
    "servers",
    ServerFlags,
    (
        click.option(
            "--server", metavar="NAME|GLOB|URL", multiple=True,
            help="Servers of the settings file, or a URL; repeatable.", shell_complete=completion.server_names,
        ),
        parameters.texts(
            "--label", "NAME=VALUE", "Only servers with this label; repeatable, all must match.",
            suggest=completion.server_labels,
        ),
        parameters.flag("--all-servers", help="All servers of the settings file."),
        parameters.number("--parallel", "N", 4, 1, MOST_PARALLEL, "How many servers to process at once."),
    ),
)  # fmt: skip
"""Declare the server options; the function gets ``servers``, a :class:`ServerFlags`."""
order = parameters.text(
    "--order",
    metavar="STAGE,STAGE...",
    help="Write stage by stage, such as stage=dev,stage=prod; stop after a failure.",
)
