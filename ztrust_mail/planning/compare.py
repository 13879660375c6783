"""Compares a realm's live settings with the desired ones, on canonical values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from functools import lru_cache
from typing import NamedTuple

from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.model import fields
from ztrust_mail.model.fields import FieldMap, FieldValue, Masked, Raw, field_of, is_resolvable, is_within, message_of
from ztrust_mail.model.serialize import display_value
from ztrust_mail.specfile.resolve import Desired


class WriteOutcome(Enum):
    """The outcome of a write without a response, according to a fresh read."""

    ARRIVED = "arrived"
    NOT_ARRIVED = "not arrived"
    CANNOT_TELL = "cannot tell"
    """Only a masked secret was to change, so the realm looks the same before and after."""
    OTHERWISE = "otherwise"
    """The realm has neither the settings from before the write nor the written ones."""


def write_outcome(dialect: Dialect, wanted: Desired, before: Attributes, live: Attributes) -> WriteOutcome:
    """Compare a fresh read with the settings before and after a write. ``before`` may be masked."""
    if not compare(dialect, wanted, live).changes:
        looked_the_same = not compare(dialect, wanted, before).changes
        return WriteOutcome.CANNOT_TELL if looked_the_same else WriteOutcome.ARRIVED
    untouched = dialect.mask_secrets(live) == dialect.mask_secrets(before)
    return WriteOutcome.NOT_ARRIVED if untouched else WriteOutcome.OTHERWISE


class SecretMode(StrEnum):
    """What to do about masked secrets, which cannot be compared."""

    AUTO = "auto"
    """Write a secret along with any other change, and by itself only if it is known to differ."""
    WRITE = "write"
    """Write every secret, regardless of the server's state."""
    KEEP = "keep"
    """Leave the stored secret unchanged, if the server is known to preserve it."""


class SecretState(StrEnum):
    """How the present value of a masked secret compares with the last written one.

    The journal knows what was written, never what the server holds now.
    """

    UNCHANGED = "unchanged"
    """The reference gives the value that was last written."""
    CHANGED = "changed"
    """The reference gives another value, or the outcome of the last write is unknown."""
    UNKNOWN = "unknown"
    """No write is recorded, the reference cannot be resolved, or the login changed on the server since."""


class Action(StrEnum):
    """The kind of a change to a field."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


ChangeData = Mapping[str, JsonLike]
"""A change as plain data: field, attributes, before, after, action."""

NO_STATES: Mapping[str, SecretState] = {}


@dataclass(frozen=True)
class Change:
    """One field that differs: its value on the server now, and the value it will have.

    ``before`` and ``after`` are None if the field is not set. ``attributes`` are the server's own
    names, ``label`` is the field's name in the server's console.
    """

    field: str
    attributes: tuple[str, ...]
    before: FieldValue | None
    after: FieldValue | None
    action: Action
    label: str = ""

    def as_dict(self) -> ChangeData:
        """Return the change as reports and saved plans show it, secrets masked."""
        return {
            "field": self.field,
            "attributes": list(self.attributes),
            "before": None if self.before is None else display_value(self.before),
            "after": None if self.after is None else display_value(self.after),
            "action": self.action.value,
        }


@dataclass(frozen=True)
class Difference:
    """The result of comparing one realm.

    ``masked_fields`` are secrets that the server masks and that therefore cannot be compared. ``unmanaged`` are live
    attributes that the spec does not manage; a write preserves them.
    """

    changes: tuple[Change, ...] = ()
    masked_fields: tuple[str, ...] = ()
    unmanaged: tuple[str, ...] = ()


def compare(
    dialect: Dialect,
    wanted: Desired,
    live: Attributes,
    mode: SecretMode = SecretMode.AUTO,
    secrets: Mapping[str, SecretState] = NO_STATES,
) -> Difference:
    """Return how a realm's live attributes differ from the desired settings.

    ``secrets`` holds the state of masked secrets, as far as the journal knows it.
    """
    if wanted.disabled:
        return Difference(tuple(_removals(dialect, live)))
    now, then = dialect.decode(live), wanted.fields
    owners = {native: dialect.field_of_attribute(native) for native in live}
    unmanaged = tuple(sorted(native for native, name in owners.items() if _is_open(name) and name not in then))
    named = sorted(name for name in then if _is_open(name) and (_is_extra(name) or dialect.supports(name)))
    names = [row.field for row in dialect.rows if not _is_open(row.field)] + named
    changes, masked = [], []
    for name in names:
        before, after = now.get(name), then.get(name)
        if _is_masked(before, after):
            masked.append(name)
            known_to_differ = mode is SecretMode.AUTO and secrets.get(name) is SecretState.CHANGED
            if mode is not SecretMode.WRITE and not known_to_differ:
                continue
        elif _same(dialect.effective_value(name, before), dialect.effective_value(name, after)):
            continue
        changes.append(_change(dialect, name, before, after))
    return Difference(tuple(changes), tuple(masked), unmanaged)


def _is_extra(name: str) -> bool:
    return name.startswith(f"{fields.EXTRA}.")


@lru_cache(maxsize=4096)  # called with the same few fields for every realm
def _is_open(name: str) -> bool:
    """Tell whether a field is managed only if the spec names it; any other field is removed if the spec omits it."""
    return _is_extra(name) or is_within(name, fields.NOTIFY) or message_of(name) is not None


def masked_secrets(dialect: Dialect, wanted: Desired, live: Attributes) -> dict[str, SecretRef]:
    """Return the references of the secrets that the server masks, by field."""
    now = dialect.decode(live)
    return {name: ref for name, ref in secret_fields(wanted.fields).items() if _is_masked(now.get(name), ref)}


def _is_masked(before: FieldValue | None, after: FieldValue | None) -> bool:
    """Tell whether the server masks a secret for which the spec has a reference."""
    return isinstance(before, Masked) and is_resolvable(after)


def _same(before: FieldValue | None, after: FieldValue | None) -> bool:
    return type(before) is type(after) and before == after


def _change(dialect: Dialect, name: str, before: FieldValue | None, after: FieldValue | None) -> Change:
    after = dialect.effective_value(name, after)
    action = Action.ADD if before is None else Action.REMOVE if after is None else Action.CHANGE
    return Change(name, dialect.attributes_of(name), before, after, action, dialect.label(name))


def _removals(dialect: Dialect, live: Attributes) -> Iterator[Change]:
    """Yield the removal of every attribute, also of those that decode to no field, such as an empty text."""
    shown = dialect.decode(live)
    by_field: dict[str, list[str]] = {}
    for native in live:
        by_field.setdefault(dialect.field_of_attribute(native), []).append(native)
    order = {row.field: n for n, row in enumerate(dialect.rows)}
    for name in sorted(by_field, key=lambda n: (order.get(n, len(order)), n)):
        before = shown.get(name, "")
        yield Change(name, tuple(by_field[name]), before, None, Action.REMOVE, dialect.label(name))


def secret_fields(settings: FieldMap) -> dict[str, SecretRef]:
    """Return the references that have to be resolved for a write, by field."""
    return {name: value for name, value in settings.items() if field_of(name).secret and is_resolvable(value)}


class Credential(NamedTuple):
    """A realm's credential: the relay's host in lower case, the user name, and the references of its secrets."""

    host: str
    user: str
    references: tuple[SecretRef, ...]

    @property
    def login(self) -> tuple[str, str]:
        """The host and the user name."""
        return self.host, self.user


def credential_of(settings: FieldMap) -> Credential:
    """Return the credential of a realm, with empty texts for missing settings."""
    host, user = str(settings.get(fields.HOST, "")).casefold(), str(settings.get(fields.USERNAME, ""))
    return Credential(host, user, tuple(secret_fields(settings).values()))


def fit_to_product(gateway: Gateway, wanted: Desired) -> tuple[Desired, tuple[Finding, ...]]:
    """Return the desired settings without the fields that the product cannot store, and the findings about them.

    With an error among the findings, nothing may be written: a mandatory field is missing, or the product would read
    a value as another one. ``Raw`` values, which only a revert brings in, are passed through unchecked.
    """
    if wanted.disabled:
        return wanted, tuple(_locate(wanted, finding) for finding in _clear_errors(gateway))
    dialect = gateway.dialect
    if not dialect.constraints and dialect.accepts_all(wanted.fields):  # saves much of a plan's time
        return wanted, ()
    odd = {name: value for name, value in wanted.fields.items() if isinstance(value, Raw)}
    said = {name: value for name, value in wanted.fields.items() if name not in odd}
    lacking = (_escalate(gateway, finding) for finding in dialect.unsupported_findings(said))
    found = tuple(_locate(wanted, finding) for finding in (*dialect.problems(wanted.fields), *lacking))
    return replace(wanted, fields={**dialect.storable(said), **odd}), found


def _clear_errors(gateway: Gateway) -> Iterator[Finding]:
    if not gateway.capabilities.clear:
        message = f"{gateway.title} cannot remove e-mail settings"
        hint = "write other settings, or switch e-mail off in its console"
        yield Finding(Severity.ERROR, "cannot-clear", message, hint)


def _escalate(gateway: Gateway, finding: Finding) -> Finding:
    """Return a finding about a supported field as an error: without the value, the field would be cleared."""
    if finding.field is None or not gateway.dialect.supports(finding.field):
        return finding
    hint = "set a value that it can store, or leave this realm out"
    return replace(finding, severity=Severity.ERROR, hint=hint)


def _locate(wanted: Desired, finding: Finding) -> Finding:
    location = wanted.origins.get(finding.field or "") or wanted.entry.location
    return replace(finding, realm=wanted.realm, location=location)
