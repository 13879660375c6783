"""Finds the cause of a difference: compares live, wanted and last applied values of a realm, in canonical form."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain

from ztrust_mail.core.errors import RealmError, ServerError
from ztrust_mail.core.text import first_and_more, quoted, to_minute, to_period
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.gateways.gateway import Edit, Gateway
from ztrust_mail.journal import records
from ztrust_mail.journal.records import LastKnown, Write
from ztrust_mail.model.fields import ABSENT, TEMPLATES, FieldMap, FieldValue, Masked, is_resolvable, is_within
from ztrust_mail.planning.compare import Change
from ztrust_mail.planning.plan import RealmPlan


class Cause(StrEnum):
    """Why the server differs from the spec."""

    PENDING = "pending"
    """The spec changed; the server has the settings that were last applied."""
    OUT_OF_BAND = "out_of_band"
    """The server was changed outside ztrust-mail."""
    BOTH = "both"
    """The server was changed outside ztrust-mail, and the spec changed as well."""
    NOT_KEPT = "not_kept"
    """ztrust-mail wrote the spec's value, and the server stored another one."""
    UNATTRIBUTED = "unattributed"
    """The journal has no entry from which the cause follows."""

    def __str__(self) -> str:
        return self.value.replace("_", " ")

    @property
    def by_others(self) -> bool:
        """Whether the server was changed outside ztrust-mail."""
        return self in (Cause.OUT_OF_BAND, Cause.BOTH)


def is_same_value(one: FieldValue | None, other: FieldValue | None) -> bool:
    """Tell whether two values are equal as shown by the server, where all masked secrets look the same."""
    return (_is_masked(one) and _is_masked(other)) or (type(one) is type(other) and one == other)


def _is_masked(value: FieldValue | None) -> bool:
    return isinstance(value, Masked) or is_resolvable(value)


Meaning = Callable[[str, FieldValue | None], FieldValue | None]


@dataclass(frozen=True)
class KnownState:
    """A realm's fields at one moment, as the journal knows them.

    ``templates`` are the template fields that the journal knows of this moment. A write that concerned no templates
    left them unread, so of all others it knows neither value nor absence.
    """

    fields: FieldMap
    templates: frozenset[str]

    def covers(self, field: str) -> bool:
        """Return whether this state says anything about a field, its absence included."""
        return field in self.templates or not is_within(field, TEMPLATES)


@dataclass(frozen=True)
class AppliedState:
    """The journal's record of one realm: the state last applied, and that of a later write of unknown outcome.

    ``before`` is the state before the write of unknown outcome. ``meant`` is the intent of a later write that the
    server did not keep, ``made`` what the server stored instead. ``meaning`` returns the effective value of a field,
    also of one that is absent.
    """

    meaning: Meaning
    applied: KnownState | None = None
    doubtful: KnownState | None = None
    before: KnownState | None = None
    meant: KnownState | None = None
    made: KnownState | None = None

    @classmethod
    def of(cls, dialect: Dialect, realm: RealmPlan, known: LastKnown) -> AppliedState:
        """Return the journal's record of a realm, for the fields that changed."""
        exact = realm.wanted.disabled
        last, doubt, unkept = known.last, known.doubt, known.unkept
        applied = doubtful = before = meant = made = None
        if last:
            applied = _intent(dialect, last) if last.after is None else _state(dialect, last, last.after, exact=exact)
        if doubt:
            doubtful, before = _intent(dialect, doubt), _state(dialect, doubt, doubt.before, exact=exact)
        if unkept and unkept.after is not None:
            meant, made = _intent(dialect, unkept), _state(dialect, unkept, unkept.after, exact=exact)
        return cls(_exact_value if exact else dialect.effective_value, applied, doubtful, before, meant, made)

    def cause(self, change: Change) -> Cause:
        """Return why the server differs in one field.

        Both the intent of a write of unknown outcome and what the server made of a write count as ours. The state
        before a write of unknown outcome counts as unchanged if no finished write concerned the field.
        """
        live, wanted = self._value(change, change.before), self._value(change, change.after)
        if self._covers(self.made, change) and is_same_value(live, self._in(self.made, change)):
            return Cause.NOT_KEPT if is_same_value(wanted, self._in(self.meant, change)) else Cause.PENDING
        ours = [self._in(state, change) for state in (self.applied, self.doubtful) if self._covers(state, change)]
        if not ours:
            return Cause.UNATTRIBUTED
        if any(is_same_value(live, value) for value in ours):
            return Cause.PENDING
        if not self._covers(self.applied, change):
            untouched = self._covers(self.before, change) and is_same_value(live, self._in(self.before, change))
            return Cause.PENDING if untouched else Cause.UNATTRIBUTED
        return Cause.OUT_OF_BAND if any(is_same_value(wanted, value) for value in ours) else Cause.BOTH

    def last_applied(self, change: Change) -> FieldValue | None:
        """Return the value of a field that was last seen applied."""
        return self._in(self.applied, change)

    def is_live(self, change: Change, fields: FieldMap) -> bool:
        """Tell whether the live value of a field is the one in these fields."""
        return is_same_value(self._value(change, change.before), self._value(change, fields.get(change.field)))

    @staticmethod
    def _covers(state: KnownState | None, change: Change) -> bool:
        return state is not None and state.covers(change.field)

    def _in(self, state: KnownState | None, change: Change) -> FieldValue | None:
        return self._value(change, state.fields.get(change.field) if state else None)

    def _value(self, change: Change, value: FieldValue | None) -> FieldValue | None:
        return self.meaning(change.field, value)


def _exact_value(field: str, value: FieldValue | None) -> FieldValue | None:
    """Return the value itself, for realms that are to have no attribute at all, not even one equal to its default."""
    return None if value is ABSENT else value


def _intent(dialect: Dialect, write: Write) -> KnownState:
    return KnownState(write.intent or {}, _templates(dialect, write))


def _state(dialect: Dialect, write: Write, attributes: Attributes, *, exact: bool) -> KnownState:
    fields: FieldMap = dialect.decode(attributes)
    if exact:
        fields = {dialect.field_of_attribute(native): "" for native in attributes} | dict(fields)
    return KnownState(fields, _templates(dialect, write))


def _templates(dialect: Dialect, write: Write) -> frozenset[str]:
    return frozenset(map(dialect.field_of_attribute, records.names_of(dialect, write)))


MOST_REALMS = 50
"""How many realms' edits are read, so that a changed fleet does not flood its server with requests."""

_SHOWN = 3


def edits_since(gateway: Gateway, moments: Mapping[str, datetime | None]) -> dict[str, Sequence[Edit]]:
    """Return the edits of each realm since its moment, newest first; of the first 50 realms at most.

    Realms whose edits cannot be read are left out: drift is reported without them.
    """
    lost = threading.Event()

    def ask(realm: str) -> Sequence[Edit]:
        try:
            return () if lost.is_set() else gateway.edits(realm, moments[realm]) or ()
        except ServerError:
            lost.set()
        except RealmError:
            pass
        return ()

    realms = list(moments)[:MOST_REALMS]
    if not realms:
        return {}
    with ThreadPoolExecutor(gateway.connections) as pool:
        found = dict(zip(realms, pool.map(ask, realms), strict=True))
    return {realm: edits for realm, edits in found.items() if edits}


def find_author(past: AppliedState, change: Change, edits: Sequence[Edit]) -> Edit | None:
    """Return the edit that gave a field its live value: the oldest one after which the value never changed.

    Admin events do not show changes of templates.
    """
    if is_within(change.field, TEMPLATES):
        return None
    found = None
    for edit in edits:
        if edit.fields is None or not past.is_live(change, edit.fields):
            break
        found = edit
    return found


def describe_editors(edits: Sequence[Edit]) -> str:
    """Return who made the newest edits and when, as text."""
    return first_and_more([_describe_editor(edit) for edit in edits], _SHOWN, "; ")


def describe_editors_by_realm(edits: Mapping[str, Sequence[Edit]]) -> dict[str, str]:
    """Return by realm who edited it and when. Who edited several has the time of all those edits in each."""
    times: dict[str, list[datetime]] = {}
    for edit in chain.from_iterable(edits.values()):
        times.setdefault(_name_editor(edit), []).append(edit.at)
    shown = {who: f"{who} on {to_period(min(several), max(several))}" for who, several in times.items()}
    return {
        realm: first_and_more(list(dict.fromkeys(shown[_name_editor(edit)] for edit in several)), _SHOWN, "; ")
        for realm, several in edits.items()
        if several
    }


def _describe_editor(edit: Edit) -> str:
    return f"{_name_editor(edit)} on {to_minute(edit.at)}"


def _name_editor(edit: Edit) -> str:
    client = f" with client {quoted(edit.client)}" if edit.client else ""
    address = f" from {quoted(edit.address)}" if edit.address else ""
    return f"{quoted(edit.user) if edit.user else 'somebody'}{client}{address}"
