"""The spec as a format."""

from collections.abc import Mapping

from ztrust_mail.convert.format import CANNOT_HOLD, Format, ReadResult, WriteResult, name_secrets
from ztrust_mail.core.findings import Finding, Severity, warning
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
from ztrust_mail.specfile.resolve import resolve_entry

INCOMPLETE = "incomplete-spec"
_SHOWN = 3  # problems of an incomplete spec
_BY_HAND = "left out; write it by hand"


class SpecFormat(Format):
    """A ztrust-mail spec, resolved: each realm with all it inherits."""

    name = "spec"
    title = "a spec"

    def read(self, path: str) -> ReadResult:
        """Return the settings of each realm that the spec names; globs cannot be expanded offline."""
        spec = load.load(path, KEYCLOAK.attribute_names)
        findings = list(spec.warnings)
        realms: dict[str, FieldMap] = {}
        for entry in spec.entries:
            if entry.is_glob:
                message = f"skipped the glob {quoted(entry.name)}: it cannot be expanded offline"
                hint = "give each realm an entry of its own"
                findings.append(warning("glob", message, hint, location=entry.location))
                continue
            wanted = resolve_entry(spec, entry, entry.name)
            findings.extend(wanted.findings)
            realms[entry.name] = wanted.fields
        return ReadResult(realms, tuple(findings), spec.digests, spec.servers)

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return a YAML spec with an entry for each realm."""
        entries: dict[str, Leaves | None] = {}
        findings: list[Finding] = []
        for realm, fields in name_secrets(realms).items():
            if not is_valid_entry_name(realm):
                message = f"a spec cannot have an entry named {quoted(realm)}"
                findings.append(warning(CANNOT_HOLD, message, "left out; write the realm's real name", realm=realm))
                continue
            entries[realm] = _leaves(realm, dict(fields), findings) if fields else None
        return WriteResult(to_yaml(entries, {}, because="the value is not converted"), tuple(findings))

    def check(self, text: str) -> list[Finding]:
        """Return an error if ``validate`` would refuse the spec."""
        problems = [f for f in load.validate_text(text, KEYCLOAK.attribute_names) if f.severity is Severity.ERROR]
        if not problems:
            return []
        lines = [f"line {f.location.line}: {f.message}" if f.location else f.message for f in problems]
        message = f"the spec is incomplete: {first_and_more(lines, _SHOWN, '; ')}"
        return [Finding(Severity.ERROR, INCOMPLETE, message, "complete it, then run: ztrust-mail validate FILE")]


def _leaves(realm: str, fields: FieldMap, findings: list[Finding]) -> Leaves:
    fields = {name: value for name, value in fields.items() if value is not ABSENT}
    left_out = unrepresentable(fields)
    for name in left_out:
        value = fields.pop(name)
        is_secret = field_of(name).secret and isinstance(value, Raw)
        message = f"{quoted(name)} is {'a value' if is_secret else quoted(value)}, which a spec cannot hold"
        findings.append(warning(CANNOT_HOLD, message, _BY_HAND, realm=realm, field=name))
    for name in unused_login_fields(fields):
        del fields[name]
        message = f"`{name}` has no effect: the setting it belongs to is missing"
        hint = "left out; if it is wanted, add it together with the missing setting"
        findings.append(warning(CANNOT_HOLD, message, hint, realm=realm, field=name))
    for name in missing_fields(fields):
        message = f"`{name}` is missing, and an entry needs it"
        hint = "add it: the spec is invalid without it"
        findings.append(warning("missing-field", message, hint, realm=realm, field=name))
    return to_entry(fields, left_out)
