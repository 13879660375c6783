"""Converts attributes in files to fields and back, and warns of the doubtful ones and of everything that is lost.

An absent attribute may mean one value to one product and another to the next: such values are written out.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ztrust_mail.convert.foreign_placeholders import UNKNOWN, has_placeholder, parse_placeholder
from ztrust_mail.convert.format import CANNOT_HOLD, UNNAMED
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding, Location, Severity, error, note, warning
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import closest_word, did_you_mean, quoted
from ztrust_mail.dialects.dialect import Dialect, fixed_attributes, labels_of
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.model.fields import (
    ABSENT,
    LOGIN,
    PASSWORD,
    SECURITY,
    TEMPLATES,
    USERNAME,
    FieldMap,
    FieldValue,
    Login,
    Masked,
    Raw,
    Security,
    field_of,
    is_within,
)
from ztrust_mail.model.values import may_hold_login
from ztrust_mail.specfile.export import login_of, unused_login_fields
from ztrust_mail.specfile.readers.document import Document, Pointer, SourceFloat, SourceInt

Locate = Callable[[str], Location]

_MASK = re.compile(r"\*{3,}")
_SECRETIVE = re.compile(r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|api.?key)(?!\.)", re.IGNORECASE)
_VAULTED = "$ANSIBLE_VAULT;"
_FILL_IN = "put the value into the variable that the result names"


@dataclass
class AttributeReader:
    """Reads one realm's attributes of a product, and adds warnings to ``findings``.

    ``locate`` returns the place of an attribute. ``left_out`` are attributes without a usable value; ``elsewhere`` are
    references for secrets that the file does not contain.
    """

    realm: str
    locate: Locate
    findings: list[Finding] = field(default_factory=list)
    dialect: Dialect = KEYCLOAK
    left_out: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, SecretRef] = field(default_factory=dict)

    def read(self, given: Mapping[str, JsonValue]) -> FieldMap | None:
        """Return the fields, None if there are attributes and none of them is usable.

        If one attribute of a field is left out, the whole field is: one of two switches alone has another meaning.
        """
        texts = {name: text for name, value in given.items() if (text := self._text(name, value)) not in (None, "")}
        references = {n: self._reference(n, t) for n, t in texts.items() if self._is_secret(n)} | self.elsewhere
        texts |= dict.fromkeys(self.elsewhere, "?")
        self.left_out |= {n: t for n, t in texts.items() if n not in references and not self._usable(n, t)}
        usable = {native: text for native, text in texts.items() if native not in self.left_out}
        known = {native: text for native, text in self.left_out.items() if native in self.dialect.attribute_names}
        attributes = self._one_switch({**known, **usable})  # whether there is a login depends on what is left out, too
        fields = self._without_left_out(self.dialect.decode(attributes))
        for native, reference in references.items():
            name = self.dialect.attribute_names[native]
            if isinstance(fields.get(name), Masked):
                fields[name] = reference
        self._check(fields)
        return fields if fields or not any(value not in ("", None) for value in given.values()) else None

    def warn(self, rule: str, message: str, hint: str, native: str) -> None:
        """Add a warning about an attribute."""
        name = self.dialect.attribute_names.get(native, native)
        self.findings.append(warning(rule, message, hint, realm=self.realm, field=name, location=self.locate(native)))

    def leave_out(self, message: str, hint: str, native: str) -> None:
        """Leave out an attribute whose value is known only to another tool, and warn of it."""
        self.left_out[native] = "?"
        self.warn("placeholder", message, f"left out; {hint}", native)

    def _without_left_out(self, fields: FieldMap) -> dict[str, FieldValue]:
        """Return the fields without those that an attribute left out would decide."""
        out = self.left_out.keys()
        lost = {row.field for row in self.dialect.rows if out & {*row.natives}}
        lost |= {row.field for row in self.dialect.rows if out & {*row.reads} and row.field != LOGIN}
        if LOGIN in lost:
            return {name: value for name, value in fields.items() if not is_within(name, LOGIN)}
        return {name: value for name, value in fields.items() if name not in lost}

    def _text(self, name: str, value: JsonValue) -> str | None:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, SourceInt | SourceFloat):
            return value.text
        if isinstance(value, int | float | str):
            return str(value)
        if value is not None:
            self.left_out[name] = "?"
            self.warn(
                "bad-value", f"{quoted(name)} is not text", "left out; write text, a number or true or false", name
            )
        return None

    def _is_secret(self, native: str) -> bool:
        return field_of(self.dialect.attribute_names.get(native, "")).secret

    def _reference(self, native: str, text: str) -> SecretRef:
        """Return a reference for a secret, and warn if the file contains the secret itself."""
        if _MASK.fullmatch(text.strip()):
            self.warn("masked-secret", f"{quoted(native)} is a mask, not a value", _FILL_IN, native)
        elif text == UNKNOWN:
            self.warn("placeholder", f"{quoted(native)} is known only after Terraform's apply", _FILL_IN, native)
        elif text.startswith(_VAULTED):
            self.warn("encrypted-secret", f"{quoted(native)} is encrypted by Ansible Vault", _FILL_IN, native)
        elif found := parse_placeholder(text):
            if found.has_default:
                hint = "left out; change the password at the relay if the file was ever shared"
                self.warn("plain-secret", f"the placeholder in {quoted(native)} has a default in clear", hint, native)
            if found.name or found.path:
                kind = SecretKind.ENV if found.name else SecretKind.FILE
                return SecretRef(kind, (found.name or found.path,))
            self.warn("placeholder", f"the placeholder in {quoted(native)} names no variable", _FILL_IN, native)
        elif self.dialect.is_secret(native, text):
            hint = f"{_FILL_IN}, and change the password at the relay if the file was ever shared"
            self.warn("plain-secret", f"{quoted(native)} is written in clear; it is not converted", hint, native)
        return UNNAMED

    def _may_be_secret(self, native: str) -> bool:
        """Tell whether an unknown attribute has a name like a secret, or like one of the product's with a typo."""
        return bool(_SECRETIVE.search(native)) or self._is_secret(closest_word(native, self.dialect.attribute_names))

    def _usable(self, native: str, text: str) -> bool:
        """Tell whether an attribute is converted, and warn of anything suspicious about it."""
        if _MASK.fullmatch(text.strip()):
            self.warn("masked-value", f"{quoted(native)} is a mask, not a value", "left out; write the value", native)
            return False
        known = self.dialect.attribute_names
        if may_hold_login(field_of(known.get(native, native)).kind, text):
            message = f"{quoted(native)} may contain a password; it is neither shown nor converted"
            hint = "left out; write it without the login, and change the password if the file was ever shared"
            self.warn("plain-secret", message, hint, native)
            return False
        is_secretive = native not in known and self._may_be_secret(native)
        if has_placeholder(text) and not is_secretive and (native in known or self.dialect.extras):
            message = f"{quoted(native)} holds a placeholder of another tool: {quoted(text)}"
            if text == UNKNOWN:
                message = f"{quoted(native)} is known only after Terraform's apply"
            self.warn("placeholder", message, "left out; write the value", native)
            return False
        if native in known:
            return True
        if is_secretive:
            message = f"{quoted(native)} looks like a secret, and {self.dialect.title} does not use it"
            hint = did_you_mean(native, known)
            self.warn("plain-secret", message, "left out" + (f"; {hint}" if hint else ""), native)
            return False
        hint = did_you_mean(native, known)
        if hint or not self.dialect.extras:
            hint = hint if self.dialect.extras else f"left out; {hint}" if hint else "left out"
            self.warn("unknown-attribute", f"{self.dialect.title} does not use {quoted(native)}", hint, native)
        return self.dialect.extras

    def _one_switch(self, attributes: dict[str, str]) -> dict[str, str]:
        switches = self.dialect.attributes_of(SECURITY)
        if len(switches) > 1 and all(attributes.get(native) == "true" for native in switches):
            starttls, ssl = switches
            message = f"`{ssl}` and `{starttls}` are both on; implicit TLS is assumed"
            self.warn("both-switches", message, "switch one of them off", starttls)
            return {**attributes, starttls: "false"}
        return attributes

    def _check(self, fields: Mapping[str, FieldValue]) -> None:
        for name, value in fields.items():
            if isinstance(value, Raw):
                shown = "the value given" if field_of(name).secret else quoted(value)
                self.warn("bad-value", f"{shown} is not a valid value of `{name}`", "correct it", self._native(name))
        is_complete = not any(is_within(self.dialect.field_of_attribute(n), LOGIN) for n in self.left_out)
        if login_of(fields) is not Login.NONE and USERNAME not in fields and is_complete:
            self.warn("no-username", "the login is on and has no user name", "add the user name", self._native(LOGIN))
        if login_of(fields) is Login.NONE and PASSWORD in unused_login_fields(fields):
            self.warn(
                "login-off", "a password is given and the login is off", "switch the login on", self._native(LOGIN)
            )

    def _native(self, name: str) -> str:
        return self.dialect.attributes_of(name)[0]


def read_map(document: Document, at: Pointer, realm: str, findings: list[Finding]) -> FieldMap | None:
    """Return the settings at a place in a document, None if nothing is usable."""
    value = document.value
    for part in at:
        assert isinstance(value, dict | list)
        value = value[part]  # type: ignore[index]
    if isinstance(value, list) and len(value) == 1:  # as Crossplane writes it
        value, at = value[0], (*at, 0)
    if not isinstance(value, dict):
        message = "the e-mail settings are not a mapping"
        findings.append(error("not-a-map", message, "write them as key and value", document.locate(at), realm))
        return None
    reader = AttributeReader(realm, lambda native: document.locate_key((*at, native)))
    fields = reader.read(value)
    findings.extend(reader.findings)
    return fields


def encode_attributes(fields: FieldMap, dialect: Dialect = KEYCLOAK) -> dict[str, str]:
    """Return the attributes of one realm, with ``${NAME}`` for each secret."""
    references = [value for value in fields.values() if isinstance(value, SecretRef)]
    texts = {ref: Secret(f"${{{ref.argument[0]}}}") for ref in references if ref.kind is SecretKind.ENV}
    written = dialect.encode(fields, texts)
    return {name: text.reveal() if isinstance(text, Secret) else text for name, text in written.items()}


def attributes_of(dialect: Dialect, realm: str, fields: FieldMap) -> tuple[Attributes | None, list[Finding]]:
    """Return a realm's attributes in the order of the product's table, None if they cannot express the fields.

    Secrets must be variables or in Keycloak's vault. The findings are about settings that the product cannot hold,
    would refuse, or advises against. A kind of encryption that the product lacks is replaced by the one it has, which
    is safer than none.
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
    """Return warnings about settings that the product would refuse or advises against; they are converted anyway."""
    severity = {Severity.ERROR: Severity.WARNING}
    found = dialect.problems(fields)
    return [replace(f, severity=severity.get(f.severity, f.severity), realm=realm) for f in found]


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
