"""The commands, in the order in which a person meets them."""

from __future__ import annotations

from typing import Annotated

import typer

from ztrust_mail._version import __version__
from ztrust_mail.cli import (
    apply,
    completion,
    convert,
    demo,
    doctor,
    drift,
    explain,
    history,
    init,
    plan,
    pull,
    revert,
    rotate,
    sandbox,
    schema,
    test,
    validate,
)
from ztrust_mail.cli.help import Command

app = typer.Typer(
    name="ztrust-mail",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ztrust-mail {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """E-mail settings of identity servers as code.

    Exit status: 0 in sync or done, 1 differs or declined or a test failed, 2 usage or invalid spec,
    3 server unreachable or refuses us, 4 some realms failed, 5 refused as unsafe, 70 a bug of ours, 130 interrupted.
    """


for module in (
    *(validate, explain, plan, apply, history, revert, rotate, drift, test, pull, convert),
    *(init, doctor, schema, completion, sandbox, demo),
):
    app.command(name=module.NAME, cls=Command)(module.command)
