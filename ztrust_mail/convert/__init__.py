"""Moves settings between a spec and the files that other tools keep them in."""

from __future__ import annotations

from ztrust_mail.convert.base import Extract, Format, Written
from ztrust_mail.convert.product import Product
from ztrust_mail.convert.registry import FORMATS
from ztrust_mail.convert.sheet import Style, style_of
from ztrust_mail.errors import SpecError, UsageError
from ztrust_mail.findings import has_errors
from ztrust_mail.text import did_you_mean, quoted

__all__ = ["FORMATS", "Extract", "Format", "Style", "Written", "convert", "format_named", "style_of"]


def format_named(name: str) -> Format:
    """Return a format by its name; raises :class:`UsageError`."""
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS) or f"known are {', '.join(FORMATS)}"
        raise UsageError(f"there is no format {quoted(name)}", hint)
    return FORMATS[name]


def convert(source: Format, target: Format, path: str, style: Style | None = None) -> Written:
    """Return the settings in a file or folder in another format, and all that is worth telling of both.

    ``style`` says how a product's settings are written; a sheet may be made of that same product's settings.

    Raises :class:`SpecError` with every finding where anything cannot be read: half of the settings are none;
    and :class:`UsageError` where both formats are the same, the target has no styles, or nothing there says anything
    of e-mail.
    """
    if style and not isinstance(target, Product):
        raise UsageError(f"{quoted(target.name)} is written in one way only", "leave out --as")
    if source is target and not style:
        raise UsageError(f"both sides are {quoted(source.name)}", "give two different formats")
    extract = source.read(path)
    if has_errors(extract.findings):
        raise SpecError(extract.findings)
    if not extract.realms:
        reasons = "; ".join(finding.message for finding in extract.findings[:3])
        message = f"nothing in {quoted(path)} says anything of a realm's e-mail"
        raise UsageError(f"{message}: {reasons}" if reasons else message, "check --from and the path")
    written = target.write(extract.realms, style) if isinstance(target, Product) else target.write(extract.realms)
    told = {(f.rule, f.realm, f.field) for f in extract.findings if f.field}
    return Written(
        written.text, (*extract.findings, *(f for f in written.findings if (f.rule, f.realm, f.field) not in told))
    )
