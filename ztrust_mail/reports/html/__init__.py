"""Reports as one HTML page: self-contained, readable without scripts, and without any requests.

Needs Jinja2, the extra ``html``. The template, its style and its script are in ``data/``.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import UsageError, install_hint
from ztrust_mail.reports.html.page import make_page
from ztrust_mail.reports.overview import OverviewFormat
from ztrust_mail.reports.overview.rows import Overview
from ztrust_mail.reports.style import disarm_document, escape_in_markup

if TYPE_CHECKING:
    from jinja2 import Template

BEGINNING = "<!doctype html>\n<!-- ztrust-mail report -->\n"
"""The first bytes of a report, which permit a later report to overwrite it."""


class HtmlFormat(OverviewFormat):
    """A page with the verdict, the realms with filters, and the findings. ``clock`` returns when it was made."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock

    def check_installed(self) -> None:
        """Raise :class:`UsageError` without Jinja2."""
        try:
            import jinja2  # noqa: F401
        except ImportError:
            raise UsageError("Jinja2, which makes reports in HTML, is not installed", install_hint("html")) from None

    def write(self, shown: Overview) -> str:
        """Return an overview as a page. Its policy permits the page's own style and script, by their hashes."""
        self.check_installed()
        template = _load_template()
        style, script = _read("report.css"), _read("report.js")
        policy = (
            f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
            "base-uri 'none'; form-action 'none'"
        )
        made = self._clock()
        body = template.render(
            page=make_page(shown), version=__version__, made=made, style=style, script=script, policy=policy
        )
        return disarm_document(f"{BEGINNING}{body}\n", escape_in_markup)

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file begins like an HTML report."""
        return beginning.startswith(BEGINNING.encode())


FORMAT = HtmlFormat()


@cache
def _load_template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read("report.html.j2"))


def _read(name: str) -> str:
    return (resources.files("ztrust_mail") / "data" / name).read_text("utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
