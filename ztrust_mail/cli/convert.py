"""``convert``: settings from the files of one tool as those of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ztrust_mail.cli.options import ForceOption, Format, FormatOption
from ztrust_mail.cli.output import Output, check_product, save_product
from ztrust_mail.convert import FORMATS, convert, format_named
from ztrust_mail.errors import ExitStatus
from ztrust_mail.reports import json, text

NAME = "convert"

_NAMES = ", ".join(FORMATS)
Source = Annotated[
    str, typer.Option("--from", metavar="FORMAT", help=f"What the file is: {_NAMES}.", show_default=False)
]
Target = Annotated[str, typer.Option("--to", metavar="FORMAT", help="What to make of it.", show_default=False)]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="A file or a folder; - is standard input.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the result to a file.", show_default=False)
]


def command(
    file: File, source: Source, target: Target, out: Out = None, force: ForceOption = False,
    format: FormatOption = Format.TEXT,
) -> None:  # fmt: skip
    """Turn settings kept for one tool into those of another.

    Works offline. Secrets become references; what the target cannot hold is told.
    """
    with Output(NAME, format) as output:
        reader, writer = format_named(source), format_named(target)
        check_product(out, force=force)
        written = convert(reader, writer, file)
        in_report = format is Format.JSON and out is None
        output.tell(text.findings(written.findings))
        if not in_report:
            save_product(out, written.text, force=force)
        report = json.of_findings(NAME, ExitStatus.OK, written.findings)
        output.finish((), json.with_converted(report, written.text) if in_report else report)
