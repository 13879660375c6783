"""Converts fields to a product's attributes and back, and reports everything that is lost.

An absent attribute may mean one value to one product and another to the next: such values are written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ztrust_mail.convert.format import CANNOT_HOLD
from ztrust_mail.core.findings import Finding, Severity, note, warning
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect, fixed_attributes, labels_of
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.model.fields import ABSENT, PORT, SECURITY, TEMPLATES, FieldMap, FieldValue, Raw, Security, is_within


def encode_attributes(fields: FieldMap, dialect: Dialect = KEYCLOAK) -> dict[str, str]:
    """Return the attributes of one realm, with ``${NAME}`` for each secret."""
    references = [value for value in fields.values() if isinstance(value, SecretRef)]
    texts = {ref: Secret(f"${{{ref.argument[0]}}}") for ref in references if ref.kind is SecretKind.ENV}
    written = dialect.encode(fields, texts)
    return {name: text.reveal() if isinstance(text, Secret) else text for name, text in written.items()}


def attributes_of(dialect: Dialect, realm: str, fields: FieldMap) -> tuple[Attributes | None, list[Finding]]:
    """Return a realm's attributes in the order of the product's table, None if they cannot express the fields.

    Secrets must be variables or in Keycloak's vault. The findings are what the product cannot hold, what it would
    refuse, and what it advises against. A kind of encryption that the product lacks is replaced by the one it has,
    which is safer than none.
    """
    if not fields:
        if dialect.disabled_attributes is not None:
            return dialect.disabled_attributes, []
        message = f"{dialect.title} cannot say that a realm has no e-mail"
        return None, [warning(CANNOT_HOLD, message, "left out; switch e-mail off there by hand", realm=realm)]
    templates = {name: value for name, value in fields.items() if is_within(name, TEMPLATES) and value is not ABSENT}
    fields = {name: value for name, value in fields.items() if name not in templates}
    meant = {**fields, **_implied_values(KEYCLOAK, fields, dialect)}
    odd = {name: value for name, value in meant.items() if isinstance(value, Raw) and can_hold(dialect, name, value)}
    sound = {name: value for name, value in meant.items() if name not in odd}
    kept = {**dialect.storable(sound), **odd}
    found = [replace(finding, realm=realm) for finding in dialect.unsupported_findings(sound)]
    security = sound.get(SECURITY)
    if SECURITY not in kept and security in (Security.TLS, Security.STARTTLS) and dialect.row(SECURITY):
        kept[SECURITY] = security
        hint = "written as encrypted; change the port or the kind of encryption"
        found = [replace(finding, hint=hint) if finding.field == SECURITY else finding for finding in found]
    found.extend(problems(dialect, realm, kept))
    for name in templates:
        message = f"{dialect.title} does not hold {quoted(name)} in its e-mail settings"
        found.append(warning(CANNOT_HOLD, message, "left out; set it by other means", realm=realm, field=name))
    for name in (n for n, value in fields.items() if value is ABSENT and (dialect.extras or dialect.row(n))):
        message = f"{dialect.title} cannot say that {quoted(name)} is absent"
        found.append(note(CANNOT_HOLD, message, "left out, which means the same", realm=realm))
    written = {**fixed_attributes(dialect), **encode_attributes(kept, dialect)}
    order = dict.fromkeys((*labels_of(dialect), *written))
    return {native: written[native] for native in order if native in written}, found


def add_implied_fields(dialect: Dialect, fields: FieldMap) -> FieldMap:
    """Return a realm's fields with the defaults of the product that differ from Keycloak's.

    SSL, as some forms call it, becomes implicit TLS, so that the result stays encrypted.
    """
    if not fields:
        return fields
    security = fields.get(SECURITY)
    old_name = isinstance(security, Raw) and security.text.casefold() == "ssl"
    return {**fields, **_implied_values(dialect, fields, KEYCLOAK), **({SECURITY: Security.TLS} if old_name else {})}


def problems(dialect: Dialect, realm: str, fields: FieldMap) -> list[Finding]:
    """Return warnings on what the product would refuse or advises against; the settings are converted all the same."""
    severity = {Severity.ERROR: Severity.WARNING}
    found = dialect.problems(fields)
    return [replace(f, severity=severity.get(f.severity, f.severity), realm=realm) for f in found]


def unknown_port(dialect: Dialect, realm: str, fields: FieldMap) -> list[Finding]:
    """Return a warning if there is no port and the product's default is unknown."""
    if not fields or PORT in fields or dialect.effective_value(PORT, None) is not None:
        return []
    message = f"there is no port, and the default of {dialect.title} is unknown; 25 is assumed"
    return [warning("missing-field", message, "write the port", realm=realm, field=PORT)]


def can_hold(dialect: Dialect, name: str, value: Raw) -> bool:
    """Tell whether a product can hold a text that is not a valid value of the field."""
    row = dialect.row(name)
    return (
        row is not None
        and row.codec.can_encode(value)
        and dialect.decode(encode_attributes({name: value}, dialect)) == {name: value}
    )


def _implied_values(source: Dialect, fields: FieldMap, target: Dialect) -> Mapping[str, FieldValue]:
    """Return the values that an absent field means to one product and not to the other."""
    meanings = {row.field: source.effective_value(row.field, None) for row in (*source.rows, *target.rows)}
    return {
        name: meaning
        for name, meaning in meanings.items()
        if meaning is not None and fields.get(name, ABSENT) is ABSENT and target.effective_value(name, None) != meaning
    }
