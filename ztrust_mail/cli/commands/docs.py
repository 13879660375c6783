"""``docs``: the pages of the documentation."""

import sys

from ztrust_mail.cli import completion, parameters
from ztrust_mail.cli.invocation import current_display
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.pages import find_page, index_lines, page_lines
from ztrust_mail.cli.streams import is_too_long, page
from ztrust_mail.reports import style

NAME = "docs"


@parameters.command(NAME)
@parameters.argument(
    "name",
    "[PAGE]",
    "A page, such as spec; without one, all are listed.",
    required=False,
    shell_complete=completion.pages,
)
def command(name: str | None) -> None:
    """Read a page of the documentation.

    Works offline: the pages are a part of the package.
    """
    with Output(NAME):
        lines = page_lines(find_page(name), style.width_of(sys.stdout)) if name else index_lines()
        display = current_display()
        text = style.render(lines, sys.stdout, display.color)
        if display.no_pager or not is_too_long(text, sys.stdout) or not page(text):
            style.write_text(text, sys.stdout)
