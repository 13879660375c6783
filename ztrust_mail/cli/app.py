"""The group of all commands. Each command is imported when it is used."""

import importlib

import click

from ztrust_mail._version import __version__
from ztrust_mail.cli.parameters import display_options
from ztrust_mail.core.rules import COMMANDS
from ztrust_mail.core.text import did_you_mean, quoted


class Commands(click.Group):
    """Imports commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _ABOUT:
            return _ABOUT[cmd_name]
        command = importlib.import_module(f"ztrust_mail.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command named by the first argument. Fails for an unknown command, and suggests a similar name."""
        if not args[0].startswith("-") and args[0] not in COMMANDS:
            hint = did_you_mean(args[0], COMMANDS) or f"see {ctx.command_path} --help"
            ctx.fail(f"unknown command {quoted(args[0])}; {hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, params=display_options(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def app() -> None:
    """E-mail settings of identity servers as code.

    The documentation: ztrust-mail docs.

    Exit status: 0 in sync or done, 1 differs or declined or a test failed, 2 usage or invalid spec,
    3 server unreachable or refuses the account, 4 some realms failed, 5 refused as unsafe, 70 internal error,
    130 interrupted.
    """


def _suggest_commands(_context: click.Context, _: click.Parameter, word: str) -> list[str]:
    return [name for name in COMMANDS if name.startswith(word)]


@click.command("help")
@click.argument("command", metavar="[COMMAND]", required=False, shell_complete=_suggest_commands)
@click.pass_context
def _help(context: click.Context, command: str | None) -> None:
    """Show the help of a command, or this list."""
    root = context.find_root()
    if command is None:
        click.echo(root.get_help())
        return
    _, found, _ = app.resolve_command(root, [command])
    assert found is not None  # an unknown name has ended the program
    click.echo(found.get_help(click.Context(found, root, command)))


@click.command("version")
def _version() -> None:
    """Print the version."""
    click.echo(f"ztrust-mail {__version__}")


_ABOUT = {"help": _help, "version": _version}
