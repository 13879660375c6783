"""Converts e-mail settings between specs and the files of other tools."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ztrust_mail.convert.ansible import Ansible
from ztrust_mail.convert.format import Format, ReadResult, UnnamedRealm, WriteResult, drop_reported
from ztrust_mail.convert.kubernetes import Kubernetes
from ztrust_mail.convert.product import Product, Style, style_of
from ztrust_mail.convert.realm_export import KeycloakConfigCli, RealmExport
from ztrust_mail.convert.sheets.sheet import Source
from ztrust_mail.convert.spec import INCOMPLETE, SpecFormat, gaps_of
from ztrust_mail.convert.terraform import Terraform
from ztrust_mail.core.errors import ExitStatus, SpecError, UsageError
from ztrust_mail.core.findings import FileFindings, Finding, Severity, error, warning
from ztrust_mail.core.text import did_you_mean, first_and_more, is_selected, pluralise, quoted
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.model.fields import FieldMap

_PRODUCTS = map(Product, DIALECTS.values())

_TOOLS = (RealmExport(), KeycloakConfigCli(), Terraform(), Ansible(), Kubernetes())

FORMATS: Mapping[str, Format] = {f.name: f for f in (SpecFormat(), *_PRODUCTS, *_TOOLS)}
"""The formats in the order in which help and messages list them."""

__all__ = [
    "FORMATS",
    "Destination",
    "Format",
    "ReadResult",
    "SpecFormat",
    "Style",
    "WriteResult",
    "check_pair",
    "format_named",
    "style_of",
    "write_settings",
]


@dataclass(frozen=True)
class Destination:
    """The written file's name in messages, and the time that a sheet shows."""

    name: str = "FILE"
    written_at: datetime | None = None


def format_named(name: str) -> Format:
    """Return a format by its name; raises :class:`UsageError`."""
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS) or f"formats: {', '.join(FORMATS)}"
        raise UsageError(f"unknown format {quoted(name)}", hint)
    return FORMATS[name]


def check_pair(source: Format, target: Format, style: Style | None) -> None:
    """Raise :class:`UsageError` if both formats are the same or the target has no styles.

    ``style`` says how a product's settings are written; with a style, source and target may be the same product.
    """
    if style and not isinstance(target, Product):
        raise UsageError(f"the format {quoted(target.name)} has no styles", "leave out --as")
    if source is target and not style:
        raise UsageError(f"--from and --to are both {quoted(source.name)}", "give two different formats")


def write_settings(
    extract: ReadResult,
    target: Format,
    path: str,
    style: Style | None = None,
    globs: Sequence[str] = (),
    destination: Destination | None = None,
) -> WriteResult:
    """Return the settings read from ``path`` in another format, with the findings on both.

    A part of the files that cannot be read is left out: an error says which, and the status is PARTIAL. The status
    DIFFERS says that the text must be completed before it can be used. ``globs`` limit the result to the realms they
    match.

    Raises :class:`SpecError` with every finding if nothing can be read, and :class:`UsageError` if no realm is chosen
    or the files hold no e-mail settings.
    """
    destination = destination or Destination()
    found = [f for f in extract.findings if f.realm is None or is_selected(f.realm, globs)]
    commented = extract.unnamed if isinstance(target, SpecFormat) and not globs else ()
    found += [_unnamed_realm(one, warning if commented else error) for one in extract.unnamed if not globs]
    errors = [f for f in found if f.severity is Severity.ERROR]
    sound = _sound_realms(extract, target, found)
    if errors and not commented and not any(is_selected(realm, globs) for realm in sound):
        raise SpecError(_limit(found))
    if not sound and not commented:
        raise _nothing_found(path, extract)
    realms = _select_realms(sound, globs) if sound else sound
    origin = Source(path, extract.digests, extract.servers, destination.written_at, tuple(_limit(found)))
    if isinstance(target, SpecFormat):
        written = target.write_all(realms, commented, found, destination.name)
    else:
        written = target.write(realms, style, origin) if isinstance(target, Product) else target.write(realms)
    new = drop_reported((f for f in written.findings if f.rule != INCOMPLETE), found)
    last = [f for f in written.findings if f.rule == INCOMPLETE] + [_not_converted(len(errors))] * bool(errors)
    status = ExitStatus.worst([written.status, ExitStatus.PARTIAL if errors else ExitStatus.OK])
    return WriteResult(written.text, (*_limit(found), *_limit(new), *last), status)


def _sound_realms(extract: ReadResult, target: Format, found: Sequence[Finding]) -> dict[str, FieldMap]:
    """Return the realms without an error. A spec also gets those of which every value must be completed."""
    wrong = {f.realm for f in found if f.severity is Severity.ERROR}  # ambiguous: two definitions
    sound = {realm: fields for realm, fields in extract.realms.items() if realm not in wrong}
    if isinstance(target, SpecFormat):
        known = {*extract.realms, *wrong, *(one.stand_in for one in extract.unnamed)}
        sound |= {realm: {} for realm in gaps_of(found, sound) if realm not in known}
    return sound


def _unnamed_realm(realm: UnnamedRealm, judge: Callable[..., Finding]) -> Finding:
    message = f"the realm's name is a placeholder of another tool: {quoted(realm.name)}"
    in_comment, left_out = "write the name into the spec, where its entry is a comment", "left out; write the name"
    hint = in_comment if judge is warning else left_out
    return judge("placeholder", message, hint, realm.location, realm.stand_in)


def _not_converted(count: int) -> Finding:
    message = f"a part of the files was not converted: {pluralise(count, 'error')}, as listed above"
    return error("partly-converted", message, "correct the files, then convert again")


def _nothing_found(path: str, extract: ReadResult) -> UsageError:
    reasons = list(dict.fromkeys(finding.message for finding in extract.findings))
    message = f"no e-mail settings of a realm found in {quoted(path)}"
    message += f": {first_and_more(reasons, 3, '; ')}" if reasons else ""
    return UsageError(message, "check --from and the path")


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
