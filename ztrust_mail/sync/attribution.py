"""Who moved: a realm's live settings against what is wanted and what was last applied, on canonical values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ztrust_mail.dialects.base import Attributes, Dialect
from ztrust_mail.sensitive import SecretKind, SecretRef
from ztrust_mail.spec.fields import ABSENT, HOST, LOGIN, PORT, SECURITY, TEMPLATES, FieldMap, FieldValue, Masked
from ztrust_mail.spec.model import is_within
from ztrust_mail.sync import beside
from ztrust_mail.sync.compare import Change
from ztrust_mail.sync.journal.records import Remembered
from ztrust_mail.sync.plan import RealmPlan

FROM = "sender.address"


class Cause(StrEnum):
    """Why the server differs from the spec."""

    PENDING = "pending"
    """The spec moved on: the server holds what was last applied."""
    OUT_OF_BAND = "out_of_band"
    """Somebody changed the server."""
    BOTH = "both"
    """Somebody changed the server, and the spec moved on too."""
    NOT_KEPT = "not_kept"
    """This tool wrote what the spec says, and the server holds what it made of that."""
    UNATTRIBUTED = "unattributed"
    """The journal holds nothing that tells."""

    def __str__(self) -> str:
        return self.value.replace("_", " ")

    @property
    def by_others(self) -> bool:
        """Whether somebody else changed the server."""
        return self in (Cause.OUT_OF_BAND, Cause.BOTH)


def is_critical(field: str) -> bool:
    """Tell whether a change of a field is how credentials are stolen or mail is forged."""
    return field in (HOST, PORT, SECURITY, LOGIN, FROM) or field.startswith(f"{LOGIN}.")


def same(one: FieldValue | None, other: FieldValue | None) -> bool:
    """Tell whether two values are equal as far as the server lets us see: hidden secrets all look the same."""
    return (_is_hidden(one) and _is_hidden(other)) or (type(one) is type(other) and one == other)


def _is_hidden(value: FieldValue | None) -> bool:
    stored = isinstance(value, SecretRef) and value.kind is not SecretKind.KEYCLOAK_VAULT
    return isinstance(value, Masked) or stored


Meaning = Callable[[str, FieldValue | None], FieldValue | None]


@dataclass(frozen=True)
class Past:
    """What the journal tells of one realm: the fields last applied, and those of a later write in doubt.

    ``before`` are the fields that stood there before the write in doubt. ``meant`` are those of a later write that the
    server did not keep, ``made`` what it made of them. ``meaning`` says what a field's value, or its absence, is taken
    for. ``templates`` are the fields beside the e-mail settings that were written or seen then.
    """

    meaning: Meaning
    applied: FieldMap | None = None
    doubtful: FieldMap | None = None
    before: FieldMap | None = None
    meant: FieldMap | None = None
    made: FieldMap | None = None
    templates: frozenset[str] = frozenset()

    @classmethod
    def of(cls, dialect: Dialect, realm: RealmPlan, known: Remembered) -> Past:
        """Return what is known of a realm, in the terms in which its changes are told."""
        exact = realm.wanted.disabled
        last, doubt = known.last, known.doubt
        applied = doubtful = before = None
        if last:
            applied = (last.intent or {}) if last.after is None else _fields(dialect, last.after, exact=exact)
        if doubt:
            doubtful, before = doubt.intent or {}, _fields(dialect, doubt.before, exact=exact)
        meant = made = None
        if (unkept := known.unkept) and unkept.after is not None:
            meant, made = unkept.intent or {}, _fields(dialect, unkept.after, exact=exact)
        about = {name for write in (last, doubt, unkept) if write for name in beside.names_of(dialect, write)}
        templates = frozenset(map(dialect.field_at, about))
        return cls(_exactly if exact else dialect.meaning, applied, doubtful, before, meant, made, templates)

    def cause(self, change: Change) -> Cause:
        """Return why the server differs in one field.

        What a write in doubt meant to write is ours, and so is what the server made of a write. Where nothing was ever
        seen applied, the state before a write in doubt is nobody's doing either.
        """
        if is_within(change.field, TEMPLATES) and change.field not in self.templates:
            return Cause.UNATTRIBUTED
        live, wanted = self._value(change, change.before), self._value(change, change.after)
        if self.made is not None and same(live, self._value(change, self.made.get(change.field))):
            meant = self._value(change, (self.meant or {}).get(change.field))
            return Cause.NOT_KEPT if same(wanted, meant) else Cause.PENDING
        ours = [self._value(change, f.get(change.field)) for f in (self.applied, self.doubtful) if f is not None]
        if not ours:
            return Cause.UNATTRIBUTED
        if any(same(live, value) for value in ours):
            return Cause.PENDING
        if self.applied is None:
            untouched = self.before is not None and same(live, self._value(change, self.before.get(change.field)))
            return Cause.PENDING if untouched else Cause.UNATTRIBUTED
        return Cause.OUT_OF_BAND if any(same(wanted, value) for value in ours) else Cause.BOTH

    def last_applied(self, change: Change) -> FieldValue | None:
        """Return what was last seen applied to a field."""
        return self._value(change, (self.applied or {}).get(change.field))

    def is_live(self, change: Change, fields: FieldMap) -> bool:
        """Tell whether the live value of a field is the one in these fields."""
        return same(self._value(change, change.before), self._value(change, fields.get(change.field)))

    def _value(self, change: Change, value: FieldValue | None) -> FieldValue | None:
        return self.meaning(change.field, value)


def _exactly(field: str, value: FieldValue | None) -> FieldValue | None:
    """Return the value as it is: a realm without e-mail has no attribute at all, not even one that means nothing."""
    return None if value is ABSENT else value


def _fields(dialect: Dialect, attributes: Attributes, *, exact: bool) -> Mapping[str, FieldValue]:
    fields = dialect.decode(attributes)
    if not exact:
        return fields
    return {dialect.field_at(native): "" for native in attributes} | dict(fields)
