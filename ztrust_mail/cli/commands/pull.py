"""``pull``: export live settings as a spec."""

import re
from pathlib import Path

from ztrust_mail import api
from ztrust_mail.api.pull_spec import Pulled
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.output import Output, exit_with, write_output
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import pluralise, quoted, shell_word
from ztrust_mail.reports.report import of_findings
from ztrust_mail.reports.style import line
from ztrust_mail.specfile.export import to_yaml

NAME = "pull"


@parameters.command(NAME)
@options.selecting
@options.realm
@parameters.flag("--factor", help="Move the values that all realms share into the defaults.")
@options.out
@options.force
@options.config
def command(
    servers: options.ServerFlags,
    realm: tuple[str, ...],
    factor: bool,
    out: Path | None,
    force: bool,
    config: str | None,
) -> None:
    """Export live settings as a spec.

    The plan of the exported spec is empty. Masked secrets become environment variables that you have to set. With
    several servers, each gets its own file in the folder named by --out.
    """

    def pull(output: Output, server: str | None) -> None:
        path = _file_of(out, server) if output.is_one_of_several else out
        with api.connect(server, config_path=config) as session:
            output.attach(session)
            pulled = api.pull(session, realm, factor=factor)
        guard = session.server.name if output.is_one_of_several else ""
        content = to_yaml(pulled.realms, pulled.defaults, server=guard)
        if output.is_one_of_several:
            write_output(path, content, force=force, settings=config)
            done = line(f"{_describe(pulled)} from {session.server.url} into {path}.")
            output.finish([done], of_findings(NAME, pulled.exit_status, pulled.findings))
        output.print_findings(pulled.findings)
        write_output(path, content, force=force, settings=config)
        output.print_note([line(f"{_describe(pulled)} from {session.server.url}.")])
        exit_with(pulled.exit_status)

    with Output(NAME) as output:
        if servers.are_several:
            _check_folder(out)
        servers.run(output, config, pull)


def _describe(pulled: Pulled) -> str:
    return f"Pulled {pluralise(len(pulled.realms), 'realm')}"


def _check_folder(out: Path | None) -> None:
    """Raise :class:`UsageError` before any work is done if several servers could not have a file each."""
    if out is None:
        raise UsageError("the specs of several servers need a folder", "name it: --out FOLDER")
    if not out.is_dir():
        raise UsageError(f"{quoted(out)} is not a folder", f"make it: mkdir {shell_word(str(out))}")


def _file_of(folder: Path | None, server: str | None) -> Path:
    """Return the file of a server. Raises :class:`UsageError` if its name is not one for a file."""
    if folder is None or not server or not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", server):
        hint = "pull it alone, with --server and --out FILE"
        raise UsageError(f"no file can be named after the server {quoted(server or '')}", hint)
    return folder / f"{server}.yaml"
