"""``convert``: settings from the files of one tool as those of another."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from ztrust_mail import api
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.output import Output, check_output_file, write_output
from ztrust_mail.cli.protected_files import check_not_input
from ztrust_mail.convert import (
    FORMATS,
    Destination,
    Format,
    ReadResult,
    SpecFormat,
    Style,
    check_pair,
    format_named,
    style_of,
    write_settings,
)
from ztrust_mail.convert.product import Product
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.files import STDIN
from ztrust_mail.core.text import shell_word
from ztrust_mail.reports.report import OutputFormat, of_conversion

NAME = "convert"


@parameters.command(NAME)
@parameters.argument("path", "FILE", "A file or a folder; - is standard input.", type=parameters.INPUT)
@click.option(
    "--from",
    "source",
    metavar="FORMAT",
    required=True,
    help=f"What the file is: {', '.join(FORMATS)}.",
    shell_complete=completion.conversions,
)
@click.option(
    "--to",
    "target",
    metavar="FORMAT",
    required=True,
    help="What to make of it.",
    shell_complete=completion.conversions,
)
@options.realm
@click.option(
    "--as",
    "style",
    type=parameters.OneOf(Style),
    help="Form of a product's settings; by default the name of --out decides.",
)
@options.variables
@options.server
@parameters.file("--out", "Write the result to a file; - is standard output.")
@options.force
@options.page_format
@options.config
def command(
    path: str,
    source: str,
    target: str,
    realm: Sequence[str],
    style: Style | None,
    var: Sequence[str],
    server: str | None,
    out: Path | None,
    force: bool,
    format: OutputFormat,
    config: str | None,
) -> None:
    """Convert settings from one tool to another.

    Works offline. Secrets become references, and settings that the target cannot hold are reported. A product that has
    only a form gets a sheet for manual entry. Exits with 1 if the written spec must be completed, and with 4 if part of
    the files cannot be read; the last line says how to continue. --server and --var resolve a spec for a server in the
    settings; that server is not contacted.
    """
    with Output(NAME, format) as output:
        reader, writer = format_named(source), format_named(target)
        check_pair(reader, writer, style)
        for read in filter(None, (path, config)):
            check_not_input(out, read)
        check_output_file(out, force=force)
        if style is None and out is not None and isinstance(writer, Product):
            style = style_of(out.suffix)
        named = shell_word(str(out)) if out is not None and str(out) != STDIN else "FILE"
        extract = _read(reader, path, var, server, config)
        written = write_settings(extract, writer, path, style, realm, Destination(named, datetime.now(UTC)))
        in_report = output.is_document and out is None
        output.print_findings(written.findings, fold=True)
        if not in_report:
            write_output(out, written.text, force=force, settings=config)
        output.finish((), of_conversion(written.status, written.findings, written.text if in_report else None))


def _read(reader: Format, path: str, var: Sequence[str], server: str | None, config: str | None) -> ReadResult:
    """Return the settings in a file or folder; those of a spec as a server has it, if one is named."""
    if isinstance(reader, SpecFormat):
        spec = options.SpecFlags((path,), var).load(config)
        return reader.read_spec(spec if server is None else api.fit_spec(spec, server, config_path=config))
    if var or server is not None:
        hint = "leave them out: files of other tools are the same for every server"
        raise UsageError("--var and --server are for a spec as input", hint)
    return reader.read(path)
