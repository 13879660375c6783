"""What a dialect is: a table of rows, and encoding and decoding made from that one table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ztrust_mail.dialects.codecs import Codec
from ztrust_mail.sensitive import Secret, SecretKind, SecretRef
from ztrust_mail.spec.fields import ABSENT, EXTRA, FieldMap, FieldValue, extra_field, field_of

Attributes = Mapping[str, str]
"""A server's own map of e-mail attributes, as read: secrets are masked there."""

Outgoing = Mapping[str, str | Secret]
"""A server's own map of e-mail attributes, to be written: secrets are real there."""

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """Return ``(26, 7, 4)`` for ``26.7.4`` or ``26.7.4.redhat-1``; empty where there is no number."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", text.partition("-")[0])[:3])


@dataclass(frozen=True)
class Row:
    """One field in one product.

    ``absent`` is what the server takes when the attribute is not there. ``since`` lists the first
    version of every release line that has the attribute, oldest first; the last holds for all newer
    lines. ``label`` is what the product's own console calls it.
    """

    field: str
    natives: tuple[str, ...]
    codec: Codec
    absent: FieldValue | None = None
    since: tuple[Version, ...] = ()
    label: str = ""

    def known_to(self, version: Version) -> bool:
        """Tell whether a server of this version has the attribute; an unknown version has it."""
        if not self.since or not version or version >= self.since[-1]:
            return True
        return any(line[:2] == version[:2] and version >= line for line in self.since)


@dataclass(frozen=True)
class Dialect:
    """A product's table. ``mask`` is what its server shows in place of a secret."""

    name: str
    title: str
    rows: tuple[Row, ...]
    mask: str

    def child(self, name: str, title: str, labels: Mapping[str, str]) -> Dialect:
        """Return the same table under another name, with the labels of another console."""
        rows = tuple(replace(row, label=labels.get(row.field, row.label)) for row in self.rows)
        return replace(self, name=name, title=title, rows=rows)

    @cached_property
    def native_names(self) -> Mapping[str, str]:
        """Every attribute the table knows, with the field it belongs to."""
        return {native: row.field for row in self.rows for native in row.natives}

    @cached_property
    def _by_field(self) -> Mapping[str, Row]:
        return {row.field: row for row in self.rows}

    def natives_of(self, name: str) -> tuple[str, ...]:
        """Return the attributes that hold a field; an extra attribute holds itself."""
        row = self._by_field.get(name)
        return row.natives if row else (name.removeprefix(f"{EXTRA}."),)

    def label(self, name: str) -> str:
        """Return what the product's console calls a field, or nothing."""
        row = self._by_field.get(name)
        return row.label if row else ""

    def meaning(self, name: str, value: FieldValue | None) -> FieldValue | None:
        """Return the value, or what its absence means to the server."""
        if value is ABSENT:
            return None
        row = self._by_field.get(name)
        return row.absent if row and value is None else value

    @cached_property
    def _secret_natives(self) -> frozenset[str]:
        return frozenset(native for row in self.rows if field_of(row.field).secret for native in row.natives)

    def masked(self, attributes: Attributes) -> Attributes:
        """Return live attributes with the mask in place of every secret; a vault's reference is none.

        Servers older than 26.2 show a token's client secret in clear.
        """
        return {
            name: self.mask if name in self._secret_natives and text and not _is_reference(text) else text
            for name, text in attributes.items()
        }

    def decode(self, attributes: Attributes) -> FieldMap:
        """Return the fields a server's attributes hold; never fails, whatever stands there.

        An empty text is no attribute. Attributes the table does not know become ``extra.NAME``.
        """
        given = {native: text for native, text in attributes.items() if text != ""}
        fields: dict[str, FieldValue] = {}
        for row in self.rows:
            texts = tuple(given.get(native) for native in row.natives)
            if any(text is not None for text in texts):
                value = row.codec.decode(texts)
                if value is not None:
                    fields[row.field] = value
        known = self.native_names
        return fields | {extra_field(n): text for n, text in given.items() if n not in known}

    def encode(self, fields: FieldMap, secrets: Mapping[SecretRef, Secret]) -> dict[str, str | Secret]:
        """Return the attributes that hold the fields. ``secrets`` holds each reference's resolved value.

        Raises ``KeyError`` for a reference that ``secrets`` lacks: nothing is written without it.
        """
        attributes: dict[str, str | Secret] = {}
        for name, value in fields.items():
            row = self._by_field.get(name)
            if value is ABSENT:
                continue
            if isinstance(value, SecretRef) and value.kind is not SecretKind.KEYCLOAK_VAULT:
                attributes[self.natives_of(name)[0]] = secrets[value]
            elif row is None:
                attributes[self.natives_of(name)[0]] = str(value)
            else:
                texts = zip(row.natives, row.codec.encode(value), strict=True)
                attributes.update({native: text for native, text in texts if text is not None})
        return attributes

    def too_new(self, fields: Iterable[str], version: Version) -> list[Row]:
        """Return the rows among the fields that a server of this version does not have yet."""
        rows = (self._by_field[name] for name in fields if name in self._by_field)
        return [row for row in rows if not row.known_to(version)]


def _is_reference(text: str) -> bool:
    return text.startswith("${vault.") and text.endswith("}")
