"""Fields as a product's own attributes, and back: what absence means travels along, and nothing falls away untold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ztrust_mail.convert.format import CANNOT_HOLD, note, warning
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect, fixed_attributes, labels_of
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.model.fields import ABSENT, PORT, SECURITY, TEMPLATES, FieldMap, FieldValue, Raw, Security, is_within


def encoded(fields: FieldMap, dialect: Dialect = KEYCLOAK) -> dict[str, str]:
    """Return the attributes of one realm with ``${NAME}`` for a secret."""
    references = [value for value in fields.values() if isinstance(value, SecretRef)]
    texts = {ref: Secret(f"${{{ref.argument[0]}}}") for ref in references if ref.kind is SecretKind.ENV}
    written = dialect.encode(fields, texts)
    return {name: text.reveal() if isinstance(text, Secret) else text for name, text in written.items()}


def attributes_of(dialect: Dialect, realm: str, fields: FieldMap) -> tuple[Attributes | None, list[Finding]]:
    """Return a realm's attributes, in the order of the table, or None where none can say what is meant.

    Secrets are variables by now, or in Keycloak's vault. Further returns what the product cannot hold, what it would
    refuse, and what it advises against. Encryption of another kind than was meant is better than none.
    """
    if not fields:
        if dialect.disabled_attributes is not None:
            return dialect.disabled_attributes, []
        message = f"{dialect.title} has no way to say that a realm has no e-mail"
        return None, [warning(CANNOT_HOLD, message, "left out: switch e-mail off there by hand", realm)]
    beside = {name: value for name, value in fields.items() if is_within(name, TEMPLATES) and value is not ABSENT}
    fields = {name: value for name, value in fields.items() if name not in beside}
    meant = {**fields, **_left_to(KEYCLOAK, fields, dialect)}
    odd = {name: value for name, value in meant.items() if isinstance(value, Raw) and holds(dialect, name, value)}
    sound = {name: value for name, value in meant.items() if name not in odd}
    kept = {**dialect.storable(sound), **odd}
    found = [replace(finding, realm=realm) for finding in dialect.unsupported_findings(sound)]
    security = sound.get(SECURITY)
    if SECURITY not in kept and security in (Security.TLS, Security.STARTTLS) and dialect.row(SECURITY):
        kept[SECURITY] = security
        hint = "written as encrypted all the same: change the port, or the kind of encryption"
        found = [replace(finding, hint=hint) if finding.field == SECURITY else finding for finding in found]
    found.extend(problems(dialect, realm, kept))
    for name in beside:
        message = f"{dialect.title} keeps {quoted(name)} beside its e-mail settings, or nowhere"
        found.append(warning(CANNOT_HOLD, message, "left out: set it by other means", realm, name))
    for name in (n for n, value in fields.items() if value is ABSENT and (dialect.extras or dialect.row(n))):
        message = f"{dialect.title} has no word for {quoted(name)} not being there"
        found.append(note(CANNOT_HOLD, message, "left out: what is not given is not there", realm))
    written = {**fixed_attributes(dialect), **encoded(kept, dialect)}
    order = dict.fromkeys((*labels_of(dialect), *written))
    return {native: written[native] for native in order if native in written}, found


def completed(dialect: Dialect, fields: FieldMap) -> FieldMap:
    """Return a realm's fields with those that the product fills in by itself, where Keycloak takes something else.

    What a form calls SSL, and has been warned of, is TLS from the first byte: whatever it is moved to stays encrypted.
    """
    if not fields:
        return fields
    security = fields.get(SECURITY)
    old_name = isinstance(security, Raw) and security.text.casefold() == "ssl"
    return {**fields, **_left_to(dialect, fields, KEYCLOAK), **({SECURITY: Security.TLS} if old_name else {})}


def problems(dialect: Dialect, realm: str, fields: FieldMap) -> list[Finding]:
    """Return what the product would refuse or advises against: warnings, since settings are moved as they are."""
    severity = {Severity.ERROR: Severity.WARNING}
    found = dialect.problems(fields)
    return [replace(f, severity=severity.get(f.severity, f.severity), realm=realm) for f in found]


def unknown_port(dialect: Dialect, realm: str, fields: FieldMap) -> list[Finding]:
    """Return a warning where the port is left to the product and nobody knows what it then takes."""
    if not fields or PORT in fields or dialect.effective_value(PORT, None) is not None:
        return []
    message = f"there is no port, and which one {dialect.title} takes then is not known; taken to be 25"
    return [warning("missing-field", message, "write the port", realm, PORT)]


def holds(dialect: Dialect, name: str, value: Raw) -> bool:
    """Tell whether a product can hold this text in the field's place; what is odd to one may be nothing to another."""
    row = dialect.row(name)
    return (
        row is not None
        and row.codec.can_encode(value)
        and dialect.decode(encoded({name: value}, dialect)) == {name: value}
    )


def _left_to(source: Dialect, fields: FieldMap, target: Dialect) -> Mapping[str, FieldValue]:
    """Return what absence means to one product, for the fields that another takes for something else."""
    meanings = {row.field: source.effective_value(row.field, None) for row in (*source.rows, *target.rows)}
    return {
        name: meaning
        for name, meaning in meanings.items()
        if meaning is not None and fields.get(name, ABSENT) is ABSENT and target.effective_value(name, None) != meaning
    }
