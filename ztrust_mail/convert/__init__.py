"""Converts e-mail settings between specs and the files of other tools."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from ztrust_mail.convert.ansible import Ansible
from ztrust_mail.convert.format import Format, ReadResult, WriteResult, drop_reported
from ztrust_mail.convert.product import Product, Style, style_of
from ztrust_mail.convert.realm_export import RealmExport
from ztrust_mail.convert.sheets.sheet import Source
from ztrust_mail.convert.spec import SpecFormat
from ztrust_mail.convert.terraform import Terraform
from ztrust_mail.core.errors import SpecError, UsageError
from ztrust_mail.core.findings import FileFindings, Finding, has_errors
from ztrust_mail.core.globs import is_selected
from ztrust_mail.core.text import did_you_mean, first_and_more, quoted
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.model.fields import FieldMap

_PRODUCTS = map(Product, DIALECTS.values())

FORMATS: Mapping[str, Format] = {f.name: f for f in (SpecFormat(), *_PRODUCTS, RealmExport(), Terraform(), Ansible())}
"""The formats in the order in which help and messages list them."""

__all__ = ["FORMATS", "Format", "ReadResult", "Style", "WriteResult", "convert", "format_named", "style_of"]


def format_named(name: str) -> Format:
    """Return a format by its name; raises :class:`UsageError`."""
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS) or f"formats: {', '.join(FORMATS)}"
        raise UsageError(f"unknown format {quoted(name)}", hint)
    return FORMATS[name]


def convert(
    source: Format,
    target: Format,
    path: str,
    style: Style | None = None,
    globs: Sequence[str] = (),
    written_at: datetime | None = None,
) -> WriteResult:
    """Return the settings in a file or folder in another format, with the findings on both.

    A last finding that is an error says that the text must be completed before it can be used.

    ``style`` says how a product's settings are written; with a style, source and target may be the same product.
    ``globs`` limit the result to the realms they match. ``written_at`` is the time that a sheet shows.

    Raises :class:`SpecError` with every finding if any part cannot be read, and :class:`UsageError` if both formats
    are the same, the target has no styles, no realm is chosen, or the files hold no e-mail settings.
    """
    if style and not isinstance(target, Product):
        raise UsageError(f"the format {quoted(target.name)} has no styles", "leave out --as")
    if source is target and not style:
        raise UsageError(f"--from and --to are both {quoted(source.name)}", "give two different formats")
    extract = source.read(path)
    found = tuple(f for f in extract.findings if f.realm is None or is_selected(f.realm, globs))
    if has_errors(found):
        raise SpecError(_limit(found))
    if not extract.realms:
        reasons = "; ".join(finding.message for finding in extract.findings[:3])
        message = f"no e-mail settings of a realm found in {quoted(path)}"
        raise UsageError(f"{message}: {reasons}" if reasons else message, "check --from and the path")
    realms = _select_realms(extract.realms, globs)
    if isinstance(target, Product):
        origin = Source(path, extract.digests, extract.servers, written_at, tuple(_limit(found)))
        written = target.write(realms, style, origin)
    else:
        written = target.write(realms)
    new = drop_reported(written.findings, found)
    return WriteResult(written.text, (*_limit(found), *_limit(new), *target.check(written.text)))


def _limit(findings: Iterable[Finding]) -> list[Finding]:
    bounded = FileFindings()
    bounded.extend(findings)
    return bounded.in_order()


def _select_realms(realms: Mapping[str, FieldMap], globs: Sequence[str]) -> Mapping[str, FieldMap]:
    chosen = {realm: fields for realm, fields in realms.items() if is_selected(realm, globs)}
    if not chosen:
        wanted = " or ".join(quoted(glob) for glob in globs)
        hint = did_you_mean(globs[0], realms) or f"realms found: {first_and_more(list(map(quoted, realms)), 5)}"
        raise UsageError(f"no realm matches {wanted}", hint)
    return chosen
