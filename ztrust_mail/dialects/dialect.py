"""The class of dialects: a table of rows, and encoding and decoding by that table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.codecs import Codec, FixedValue
from ztrust_mail.dialects.row import Attributes, Constraint, Row, Version, as_attribute, as_native, is_template
from ztrust_mail.model.fields import (
    ABSENT,
    EXTRA,
    LOGIN,
    TEMPLATES,
    FieldMap,
    FieldValue,
    Login,
    Masked,
    Raw,
    extra_field,
    field_of,
    is_resolvable,
    is_within,
    message_field,
    message_of,
)
from ztrust_mail.model.serialize import display_value

CANNOT_HOLD = "cannot-hold"
_PLACEHOLDER = SecretRef(SecretKind.ENV, ("",))


class BodyFormat(StrEnum):
    """The form of a product's settings: an object of attributes, a list of keys and values, or a form to fill in."""

    MAP = "map"
    PAIRS = "pairs"
    FORM = "form"


@dataclass(frozen=True)
class Dialect:
    """A product's table. The rows have the order of the product's own page.

    ``mask`` is what the server shows instead of a secret. ``extras`` tells whether the product keeps attributes that
    the table does not know. ``constraints`` are the rules that concern more than one field, ``advice`` are the
    recommendations of the product's own documentation. ``page`` is the menu path of its settings page.
    ``disabled_attributes`` are the attributes of a realm without e-mail, None if the product cannot express that.
    ``text_prefix`` is the prefix of the names of localised texts, see :func:`is_template`; empty if there are none.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    mask: str
    extras: bool = True
    constraints: tuple[Constraint, ...] = ()
    advice: tuple[str, ...] = ()
    body_format: BodyFormat = BodyFormat.MAP
    page: str = ""
    disabled_attributes: Attributes | None = field(default=None, hash=False)
    text_prefix: str = ""

    def child(self, name: str, title: str, labels: Mapping[str, str]) -> Dialect:
        """Return the same table under another name, with the labels of another console, in their order."""

        def relabel(row: Row) -> Row:
            shown = tuple(native for native in labels if native in row.natives)
            return replace(row, label=", ".join(labels[native] for native in shown), shown=shown)

        return replace(self, name=name, title=title, rows=tuple(relabel(row) for row in self.rows))

    @cached_property
    def without_page_only(self) -> Dialect:
        """The table without the fields that only the product's page can set."""
        rows = tuple(row for row in self.rows if not row.on_page_only)
        return self if rows == self.rows else replace(self, rows=rows)

    @cached_property
    def attribute_names(self) -> Mapping[str, str]:
        """All attributes of the table, with the field of each."""
        return {native: row.field for row in self.rows for native in row.natives}

    @cached_property
    def _by_field(self) -> Mapping[str, Row]:
        return {row.field: row for row in self.rows}

    def row(self, name: str) -> Row | None:
        """Return the row of a field."""
        return self._by_field.get(name)

    def attributes_of(self, name: str) -> tuple[str, ...]:
        """Return the attributes that hold a field, or that it is derived from."""
        if row := self._by_field.get(name):
            return row.natives or row.reads
        if self.text_prefix and (message := message_of(name)):
            return (f"{self.text_prefix}{'/'.join(message)}",)
        attribute = name.removeprefix(f"{EXTRA}.")
        return (attribute if attribute == name else as_native(attribute),)

    def field_of_attribute(self, native: str) -> str:
        """Return the field of an attribute; the inverse of :meth:`attributes_of`."""
        if known := self.attribute_names.get(native):
            return known
        locale, found, key = native.removeprefix(self.text_prefix).partition("/")
        if self.text_prefix and native.startswith(self.text_prefix) and found:
            return message_field(locale, key)
        return extra_field(native if is_template(native) else as_attribute(native))

    def label(self, name: str) -> str:
        """Return the label of a field in the product's console; empty without one."""
        row = self._by_field.get(name)
        return row.label if row else ""

    def effective_value(self, name: str, value: FieldValue | None) -> FieldValue | None:
        """Return the value, or the one that the server uses if the field is absent."""
        if value is ABSENT:
            return None
        row = self._by_field.get(name)
        if row is None or value is not None:
            return value
        return row.default if row.absent is None else row.absent

    @cached_property
    def _secret_codecs(self) -> Mapping[str, Codec]:
        return {native: row.codec for row in self.rows if field_of(row.field).secret for native in row.natives}

    def mask_secrets(self, attributes: Attributes) -> Attributes:
        """Return live attributes with every secret masked. A reference to a vault is not a secret.

        Servers older than 26.2 show a token's client secret unmasked.
        """
        return {name: self.mask if text and self.is_secret(name, text) else text for name, text in attributes.items()}

    def is_secret(self, native: str, text: str) -> bool:
        """Return whether an attribute's text is a secret, and not only a reference to one."""
        codec = self._secret_codecs.get(native)
        return codec is not None and isinstance(codec.decode((text,)), Masked)

    def decode(self, attributes: Attributes) -> FieldMap:
        """Return the fields that a server's attributes hold. Never fails, whatever the attributes contain.

        An empty text counts as absent. Attributes that the table does not know become ``extra.NAME``.
        """
        given = {native: text for native, text in attributes.items() if text != ""}
        fields: dict[str, FieldValue] = {}
        for row in self.rows:
            texts = tuple(given.get(native) for native in (*row.natives, *row.reads))
            if any(text is not None for text in texts):
                value = row.codec.decode(texts)
                if value is not None:
                    fields[row.field] = value
        known = self.attribute_names
        return fields | {self.field_of_attribute(n): text for n, text in given.items() if n not in known}

    def encode(self, fields: FieldMap, secrets: Mapping[SecretRef, Secret]) -> dict[str, str | Secret]:
        """Return the attributes that hold the fields. ``secrets`` has the resolved value of each reference.

        Fields that the product does not support are left out: see :meth:`unsupported_findings`.
        Raises ``KeyError`` for a reference without a resolved value: nothing is written without it.
        """
        attributes: dict[str, str | Secret] = {}
        for name, value in fields.items():
            row = self._by_field.get(name)
            if value is ABSENT or not self.supports(name):
                continue
            if is_resolvable(value):
                attributes[self.attributes_of(name)[0]] = secrets[value]
            elif row is None:
                attributes[self.attributes_of(name)[0]] = str(value)
            else:
                texts = zip(row.natives, row.codec.encode(value), strict=True)
                attributes.update({native: text for native, text in texts if text is not None})
        return attributes

    def unsupported_since(self, fields: Iterable[str], version: Version) -> list[Row]:
        """Return the rows of those fields that a server of this version does not support yet."""
        rows = (self._by_field[name] for name in fields if name in self._by_field)
        return [row for row in rows if not row.known_to(version)]

    def accepts_all(self, names: Iterable[str]) -> bool:
        """Return whether these fields are supported regardless of their values."""
        return self.extras and all(map(self.supports, names))

    def supports(self, name: str) -> bool:
        """Return whether the product has the field at all; it may still not support each value."""
        if name in self._by_field:
            return True
        if message_of(name):
            return bool(self.text_prefix)
        native = name.removeprefix(f"{EXTRA}.")
        return self.extras and native != name and native not in self.attribute_names

    def template_names(self, fields: Iterable[str]) -> frozenset[str]:
        """Return the names of the templates that these fields set."""
        within = [name for name in fields if name.startswith(f"{TEMPLATES}.")]
        return frozenset(native for name in within for native in self.attributes_of(name) if is_template(native))

    def storable(self, fields: FieldMap) -> FieldMap:
        """Return the fields that are the same after encoding and decoding.

        A masked secret counts as the same. If the kind of login is not storable, no part of the login is.
        """
        candidates = {n: v for n, v in fields.items() if not isinstance(v, Raw) and self._is_encodable(n, v)}
        while True:
            back = self._round_trip(candidates)
            same = {name: value for name, value in candidates.items() if self._round_trips(name, value, back)}
            if LOGIN in fields and LOGIN not in same:
                same = {name: value for name, value in same.items() if not is_within(name, LOGIN)}
            if len(same) == len(candidates):
                return same
            candidates = same  # a field may be derived from one that was just left out

    def unsupported_findings(self, fields: FieldMap) -> tuple[Finding, ...]:
        """Return a warning for every field that the product does not support, in the order of the fields."""
        storable = self.storable(fields)
        lost = {name: value for name, value in fields.items() if name not in storable}
        back = self._round_trip(
            {n: v for n, v in fields.items() if not isinstance(v, Raw) and self._is_encodable(n, v)}
        )
        return tuple(self._unsupported_finding(name, value, back.get(name)) for name, value in lost.items())

    def problems(self, fields: FieldMap) -> tuple[Finding, ...]:
        """Return settings that the product would refuse or advises against; none for a realm without e-mail."""
        missing = (
            self._missing_finding(row)
            for row in self.rows
            if row.mandatory and row.default is None and fields.get(row.field, ABSENT) is ABSENT
        )
        broken = (finding for constraint in self.constraints for finding in constraint.check(fields))
        return (*missing, *broken) if fields else ()

    def _is_encodable(self, name: str, value: FieldValue) -> bool:
        row = self._by_field.get(name)
        return row.codec.can_encode(value) if row else self.supports(name) or _is_noop(value)

    def _round_trip(self, fields: FieldMap) -> FieldMap:
        referenced = {n: _PLACEHOLDER if isinstance(v, Masked) else v for n, v in fields.items()}
        secrets = {value: Secret(self.mask) for value in referenced.values() if isinstance(value, SecretRef)}
        written = self.encode(referenced, secrets)
        return self.decode({n: self.mask if isinstance(text, Secret) else text for n, text in written.items()})

    def _round_trips(self, name: str, value: FieldValue, back: FieldMap) -> bool:
        if value is ABSENT or (_is_noop(value) and name not in self._by_field):
            return True
        found = self.effective_value(name, back.get(name))
        if is_resolvable(value):
            value = Masked()
        return type(found) is type(value) and found == value

    def _unsupported_finding(self, name: str, value: FieldValue, back: FieldValue | None) -> Finding:
        if not self.supports(name):
            message = f"{self.title} does not support {quoted(name)}"
        elif field_of(name).secret:
            message = f"{self.title} does not support this kind of secret as {quoted(name)}"
        elif back == value:
            message = f"{self.title} does not support this kind of login, and so not {quoted(name)}"
        elif type(back) is type(value):
            message = f"{self.title} would read {quoted(name)} as {_display(back)}, not as {_display(value)}"
        else:
            message = f"{self.title} cannot store {_display(value)} as {quoted(name)}"
        return Finding(Severity.WARNING, CANNOT_HOLD, message, "left out; set it by other means", field=name)

    def _missing_finding(self, row: Row) -> Finding:
        called = f" (labelled {quoted(row.label)})" if row.label else ""
        message = f"{self.title} requires `{row.field}`{called}"
        return Finding(Severity.ERROR, "missing-field", message, f"set `{row.field}`", field=row.field)


def _is_noop(value: FieldValue) -> bool:
    """Return whether a product without the field behaves as the value says."""
    return value is ABSENT or value is False or value is Login.NONE


def _display(value: FieldValue | None) -> str:
    return quoted("nothing" if value is None else display_value(value))


def labels_of(dialect: Dialect) -> Mapping[str, str]:
    """Return the label of every attribute, or its name without one, in the order of the product's page."""
    return {native: label for row in dialect.rows for native, label in _labels(row)}


def fixed_attributes(dialect: Dialect) -> Mapping[str, str]:
    """Return the attributes that every spec implies, with their texts."""
    return {row.natives[0]: row.codec.text for row in dialect.rows if isinstance(row.codec, FixedValue)}


def _labels(row: Row) -> list[tuple[str, str]]:
    shown = row.shown or row.natives
    words = row.label.split(", ") if len(row.natives) > 1 else [row.label]
    labels = dict(zip(shown, words, strict=False))
    return [(native, labels.get(native) or native) for native in dict.fromkeys((*shown, *row.natives))]
