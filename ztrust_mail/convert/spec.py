"""The spec as a format."""

from __future__ import annotations

from collections.abc import Mapping

from ztrust_mail.convert.format import CANNOT_HOLD, Format, ReadResult, WriteResult, named_secrets, warning
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more, quoted
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model.fields import ABSENT, FieldMap, Raw, field_of
from ztrust_mail.specfile import load
from ztrust_mail.specfile.export import (
    Leaves,
    is_valid_entry_name,
    missing_fields,
    to_entry,
    to_yaml,
    unrepresentable,
    unused_login_fields,
)
from ztrust_mail.specfile.resolve import desired

INCOMPLETE = "incomplete-spec"
_SHOWN = 3  # problems of an incomplete spec
_BY_HAND = "left out: write it by hand"


class SpecFormat(Format):
    """A ztrust-mail spec, resolved: each realm with all it inherits."""

    name = "spec"
    title = "a spec"

    def read(self, path: str) -> ReadResult:
        """Return what the spec wants of each realm it names; a glob names none offline."""
        spec = load.load(path, KEYCLOAK.attribute_names)
        findings = list(spec.warnings)
        realms: dict[str, FieldMap] = {}
        for entry in spec.entries:
            if entry.is_glob:
                message = f"which realms {quoted(entry.name)} matches is known only to the server"
                hint = "left out: write entries for the realms it means"
                findings.append(warning("glob", message, hint, at=entry.location))
                continue
            wanted = desired(spec, entry, entry.name)
            findings.extend(wanted.findings)
            realms[entry.name] = wanted.fields
        return ReadResult(realms, tuple(findings))

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return a YAML spec with an entry for each realm."""
        entries: dict[str, Leaves | None] = {}
        findings: list[Finding] = []
        for realm, fields in named_secrets(realms).items():
            if not is_valid_entry_name(realm):
                message = f"the realm's name {quoted(realm)} cannot stand in a spec"
                findings.append(warning(CANNOT_HOLD, message, "left out: write the realm's real name", realm))
                continue
            entries[realm] = _leaves(realm, dict(fields), findings) if fields else None
        return WriteResult(to_yaml(entries, {}, because="the value is not taken along"), tuple(findings))

    def check(self, text: str) -> list[Finding]:
        """Return an error where ``validate`` refuses the spec."""
        problems = [f for f in load.validate_text(text, KEYCLOAK.attribute_names) if f.severity is Severity.ERROR]
        if not problems:
            return []
        lines = [f"line {f.location.line}: {f.message}" if f.location else f.message for f in problems]
        message = f"the spec is incomplete: {first_and_more(lines, _SHOWN, '; ')}"
        return [Finding(Severity.ERROR, INCOMPLETE, message, "complete it, then check it: ztrust-mail validate FILE")]


def _leaves(realm: str, fields: FieldMap, findings: list[Finding]) -> Leaves:
    fields = {name: value for name, value in fields.items() if value is not ABSENT}
    left_out = unrepresentable(fields)
    for name in left_out:
        value = fields.pop(name)
        hidden = field_of(name).secret and isinstance(value, Raw)
        message = f"{quoted(name)} is {'text' if hidden else quoted(value)} that a spec cannot say"
        findings.append(warning(CANNOT_HOLD, message, _BY_HAND, realm, name))
    for name in unused_login_fields(fields):
        del fields[name]
        message = f"`{name}` is given and not used: what it belongs to is not there"
        findings.append(warning(CANNOT_HOLD, message, "left out: add what it belongs to, if it is meant", realm, name))
    for name in missing_fields(fields):
        message = f"there is no `{name}`, which an entry needs"
        findings.append(warning("missing-field", message, "add it: the spec is not valid before", realm, name))
    return to_entry(fields, left_out)
