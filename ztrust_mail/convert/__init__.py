"""Moves settings between a spec and the files that other tools keep them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ztrust_mail.convert.ansible import Ansible
from ztrust_mail.convert.format import Format, ReadResult, WriteResult
from ztrust_mail.convert.product import Product
from ztrust_mail.convert.realm_export import RealmExport
from ztrust_mail.convert.sheet import Style, style_of
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
"""The formats in the order people read them."""

__all__ = ["FORMATS", "Format", "ReadResult", "Style", "WriteResult", "convert", "format_named", "style_of"]


def format_named(name: str) -> Format:
    """Return a format by its name; raises :class:`UsageError`."""
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS) or f"known are {', '.join(FORMATS)}"
        raise UsageError(f"there is no format {quoted(name)}", hint)
    return FORMATS[name]


def convert(
    source: Format, target: Format, path: str, style: Style | None = None, globs: Sequence[str] = ()
) -> WriteResult:
    """Return the settings in a file or folder in another format, and all that is worth telling of both.

    An error among the findings, the last, says that the text must be completed before it can be used.

    ``style`` says how a product's settings are written; a sheet may be made of that same product's settings.
    ``globs`` limit it to the realms they match.

    Raises :class:`SpecError` with every finding where anything cannot be read: half of the settings are none;
    and :class:`UsageError` where both formats are the same, the target has no styles, no realm is chosen, or nothing
    there says anything of e-mail.
    """
    if style and not isinstance(target, Product):
        raise UsageError(f"{quoted(target.name)} is written in one way only", "leave out --as")
    if source is target and not style:
        raise UsageError(f"both sides are {quoted(source.name)}", "give two different formats")
    extract = source.read(path)
    found = tuple(f for f in extract.findings if f.realm is None or is_selected(f.realm, globs))
    if has_errors(found):
        raise SpecError(_bounded(found))
    if not extract.realms:
        reasons = "; ".join(finding.message for finding in extract.findings[:3])
        message = f"nothing in {quoted(path)} says anything of a realm's e-mail"
        raise UsageError(f"{message}: {reasons}" if reasons else message, "check --from and the path")
    realms = _chosen(extract.realms, globs)
    written = target.write(realms, style) if isinstance(target, Product) else target.write(realms)
    told = {(f.rule, f.realm, f.field) for f in found if f.field}
    new = [f for f in written.findings if (f.rule, f.realm, f.field) not in told]
    return WriteResult(written.text, (*_bounded(found), *_bounded(new), *target.check(written.text)))


def _bounded(findings: Iterable[Finding]) -> list[Finding]:
    bounded = FileFindings()
    bounded.extend(findings)
    return bounded.in_order()


def _chosen(realms: Mapping[str, FieldMap], globs: Sequence[str]) -> Mapping[str, FieldMap]:
    chosen = {realm: fields for realm, fields in realms.items() if is_selected(realm, globs)}
    if not chosen:
        wanted = " or ".join(quoted(glob) for glob in globs)
        hint = did_you_mean(globs[0], realms) or f"there is {first_and_more(list(map(quoted, realms)), 5)}"
        raise UsageError(f"no realm matches {wanted}", hint)
    return chosen
