"""Moves settings between a spec and the files that other tools keep them in."""

from __future__ import annotations

from ztrust_mail.convert.base import Extract, Format, Written
from ztrust_mail.convert.registry import FORMATS
from ztrust_mail.errors import SpecError, UsageError
from ztrust_mail.findings import has_errors
from ztrust_mail.text import did_you_mean, quoted

__all__ = ["FORMATS", "Extract", "Format", "Written", "convert", "format_named"]


def format_named(name: str) -> Format:
    """Return a format by its name; raises :class:`UsageError`."""
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS) or f"known are {', '.join(FORMATS)}"
        raise UsageError(f"there is no format {quoted(name)}", hint)
    return FORMATS[name]


def convert(source: Format, target: Format, path: str) -> Written:
    """Return the settings in a file or folder in another format, and all that is worth telling of both.

    Raises :class:`SpecError` with every finding where anything cannot be read: half of the settings are none;
    and :class:`UsageError` where both formats are the same, or nothing there says anything of e-mail.
    """
    if source is target:
        raise UsageError(f"both sides are {quoted(source.name)}", "give two different formats")
    extract = source.read(path)
    if has_errors(extract.findings):
        raise SpecError(extract.findings)
    if not extract.realms:
        reasons = "; ".join(finding.message for finding in extract.findings[:3])
        message = f"nothing in {quoted(path)} says anything of a realm's e-mail"
        raise UsageError(f"{message}: {reasons}" if reasons else message, "check --from and the path")
    written = target.write(extract.realms)
    return Written(written.text, (*extract.findings, *written.findings))
