"""``completion``: print the completion script of a shell."""

from ztrust_mail.cli import parameters
from ztrust_mail.cli.completion import Shell
from ztrust_mail.cli.output import Output, write_output

NAME = "completion"


@parameters.command(NAME)
@parameters.argument("shell", "bash|zsh|fish", "Which shell.", type=parameters.OneOf(Shell))
def command(shell: Shell) -> None:
    """Print the completion script of a shell.

    It completes files, and names of servers, realms, formats and rules. Add the line of your shell to its start-up
    file and open a new shell.

    \b
    bash, in ~/.bashrc (bash 4.4 or newer):
      source <(ztrust-mail completion bash)
    zsh, in ~/.zshrc, after compinit:
      source <(ztrust-mail completion zsh)
    fish, in ~/.config/fish/config.fish:
      ztrust-mail completion fish | source
    """  # noqa: D301  # click needs the character
    with Output(NAME):
        write_output(None, shell.script, force=False)
