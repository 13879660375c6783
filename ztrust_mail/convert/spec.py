"""The spec as a format."""

from __future__ import annotations

from collections.abc import Mapping

from ztrust_mail.convert.base import CANNOT_HOLD, Extract, Format, Written, named_secrets, warning
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.spec import load
from ztrust_mail.spec.fields import ABSENT, FieldMap, Raw, field_of
from ztrust_mail.spec.resolve import desired
from ztrust_mail.spec.sayable import can_be_named, dormant, leaves_of, missing, unsayable
from ztrust_mail.spec.write import Leaves, to_yaml
from ztrust_mail.text import quoted

INCOMPLETE = "incomplete-spec"
_SHOWN = 3  # problems of an incomplete spec
_BY_HAND = "left out: write it by hand"


class Spec(Format):
    """A ztrust-mail spec, resolved: each realm with all it inherits."""

    name = "spec"
    title = "a spec"

    def read(self, path: str) -> Extract:
        """Return what the spec wants of each realm it names; a glob names none offline."""
        spec = load.load(path, KEYCLOAK.native_names)
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
        return Extract(realms, tuple(findings))

    def write(self, realms: Mapping[str, FieldMap]) -> Written:
        """Return a YAML spec with an entry for each realm."""
        entries: dict[str, Leaves | None] = {}
        findings: list[Finding] = []
        for realm, fields in named_secrets(realms).items():
            if not can_be_named(realm):
                message = f"the realm's name {quoted(realm)} cannot stand in a spec"
                findings.append(warning(CANNOT_HOLD, message, "left out: write the realm's real name", realm))
                continue
            entries[realm] = _leaves(realm, dict(fields), findings) if fields else None
        return Written(to_yaml(entries, {}, because="the value is not taken along"), tuple(findings))

    def check(self, text: str) -> list[Finding]:
        """Return an error where ``validate`` refuses the spec."""
        problems = [f for f in load.validate_text(text, KEYCLOAK.native_names) if f.severity is Severity.ERROR]
        if not problems:
            return []
        lines = [f"line {f.location.line}: {f.message}" for f in problems if f.location][:_SHOWN]
        more = [f"{len(problems) - len(lines):,} more"] if len(problems) > len(lines) else []
        message = f"the spec is incomplete: {'; '.join([*lines, *more])}"
        return [Finding(Severity.ERROR, INCOMPLETE, message, "complete it, then check it: ztrust-mail validate FILE")]


def _leaves(realm: str, fields: FieldMap, findings: list[Finding]) -> Leaves:
    fields = {name: value for name, value in fields.items() if value is not ABSENT}
    left_out = unsayable(fields)
    for name in left_out:
        value = fields.pop(name)
        hidden = field_of(name).secret and isinstance(value, Raw)
        message = f"{quoted(name)} is {'text' if hidden else quoted(value)} that a spec cannot say"
        findings.append(warning(CANNOT_HOLD, message, _BY_HAND, realm, name))
    for name in dormant(fields):
        del fields[name]
        message = f"`{name}` is given and not used: what it belongs to is not there"
        findings.append(warning(CANNOT_HOLD, message, "left out: add what it belongs to, if it is meant", realm, name))
    for name in missing(fields):
        message = f"there is no `{name}`, which an entry needs"
        findings.append(warning("missing-field", message, "add it: the spec is not valid before", realm, name))
    return leaves_of(fields, left_out)
