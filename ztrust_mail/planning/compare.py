"""What differs between a realm's live and desired settings, on canonical values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from functools import lru_cache

from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.model.fields import EXTRA, NOTIFY, FieldMap, FieldValue, Masked, Raw, field_of, is_within, message_of
from ztrust_mail.model.serialize import display_value
from ztrust_mail.specfile.resolve import Desired


class WriteOutcome(Enum):
    """What a look at the server tells of a write whose answer never came."""

    ARRIVED = "arrived"
    NOT_ARRIVED = "not arrived"
    CANNOT_TELL = "cannot tell"
    """Only a hidden secret was to change, so both look the same, whatever else somebody changed since."""
    OTHERWISE = "otherwise"
    """The server holds neither what stood there before nor what was written."""


def write_outcome(dialect: Dialect, wanted: Desired, before: Attributes, live: Attributes) -> WriteOutcome:
    """Tell whether a write arrived; ``before`` may be masked."""
    if not compare(dialect, wanted, live).changes:
        looked_the_same = not compare(dialect, wanted, before).changes
        return WriteOutcome.CANNOT_TELL if looked_the_same else WriteOutcome.ARRIVED
    untouched = dialect.mask_secrets(live) == dialect.mask_secrets(before)
    return WriteOutcome.NOT_ARRIVED if untouched else WriteOutcome.OTHERWISE


class SecretMode(StrEnum):
    """What to do about secrets that cannot be compared."""

    AUTO = "auto"
    """Leave a realm alone when nothing else differs; write the secret with whatever else is written."""
    WRITE = "write"
    """Write every secret, whatever the server holds."""
    KEEP = "keep"
    """Keep the stored secret, where the server can be relied on to do so."""


class SecretState(StrEnum):
    """What the journal tells of a secret that the server hides. It never tells what the server holds."""

    UNCHANGED = "unchanged"
    """The same value as was last written."""
    CHANGED = "changed"
    """Another value than was last written, or the write of it was cut off."""
    UNKNOWN = "unknown"
    """The journal never wrote it, its value cannot be had here, or the login was changed on the server since."""


class Action(StrEnum):
    """What a change does to a field."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


NOTHING_KNOWN: Mapping[str, SecretState] = {}


@dataclass(frozen=True)
class Change:
    """One field that differs: what the server has now and what it will have.

    ``before`` and ``after`` are None where the field is not set. ``attributes`` are the server's own
    names, ``label`` is what its console calls the field.
    """

    field: str
    attributes: tuple[str, ...]
    before: FieldValue | None
    after: FieldValue | None
    action: Action
    label: str = ""


Told = Mapping[str, JsonLike]
"""A change as its reader sees it: field, attributes, before, after, action."""


def told(change: Change) -> Told:
    """Return a change in words, as reports and saved plans hold it."""
    return {
        "field": change.field,
        "attributes": list(change.attributes),
        "before": None if change.before is None else display_value(change.before),
        "after": None if change.after is None else display_value(change.after),
        "action": change.action.value,
    }


@dataclass(frozen=True)
class Difference:
    """All that a comparison of one realm tells.

    ``incomparable`` are secret fields that the server hides; ``kept`` are live attributes that the spec
    does not manage.
    """

    changes: tuple[Change, ...] = ()
    masked_fields: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def compare(
    dialect: Dialect,
    wanted: Desired,
    live: Attributes,
    mode: SecretMode = SecretMode.AUTO,
    secrets: Mapping[str, SecretState] = NOTHING_KNOWN,
) -> Difference:
    """Return how a realm's live attributes differ from what is wanted of it.

    ``secrets`` says of hidden ones whether they are known to differ from what was last written.
    """
    if wanted.disabled:
        return Difference(tuple(_emptied(dialect, live)))
    now, then = dialect.decode(live), wanted.fields
    owners = {native: dialect.field_of_attribute(native) for native in live}
    kept = tuple(sorted(native for native, name in owners.items() if _is_open(name) and name not in then))
    named = sorted(name for name in then if _is_open(name) and (_is_extra(name) or dialect.supports(name)))
    names = [row.field for row in dialect.rows if not _is_open(row.field)] + named
    changes, incomparable = [], []
    for name in names:
        before, after = now.get(name), then.get(name)
        if _hidden(before, after):
            incomparable.append(name)
            known_to_differ = mode is SecretMode.AUTO and secrets.get(name) is SecretState.CHANGED
            if mode is not SecretMode.WRITE and not known_to_differ:
                continue
        elif _same(dialect.effective_value(name, before), dialect.effective_value(name, after)):
            continue
        changes.append(_change(dialect, name, before, after))
    return Difference(tuple(changes), tuple(incomparable), kept)


def _is_extra(name: str) -> bool:
    return name.startswith(f"{EXTRA}.")


@lru_cache(maxsize=4096)  # asked of the same few fields for every realm
def _is_open(name: str) -> bool:
    """Whether a field is managed only where a spec names it, be there a row for it or not."""
    return _is_extra(name) or is_within(name, NOTIFY) or message_of(name) is not None


def hidden_secrets(dialect: Dialect, wanted: Desired, live: Attributes) -> dict[str, SecretRef]:
    """Return the fields whose secret the server hides and the spec names by a reference."""
    now = dialect.decode(live)
    return {name: ref for name, ref in secret_fields(wanted.fields).items() if _hidden(now.get(name), ref)}


def _hidden(before: FieldValue | None, after: FieldValue | None) -> bool:
    """Whether the server hides a secret that the spec names by a reference."""
    stored = isinstance(after, SecretRef) and after.kind is SecretKind.KEYCLOAK_VAULT
    return isinstance(before, Masked) and isinstance(after, SecretRef) and not stored


def _same(before: FieldValue | None, after: FieldValue | None) -> bool:
    return type(before) is type(after) and before == after


def _change(dialect: Dialect, name: str, before: FieldValue | None, after: FieldValue | None) -> Change:
    after = dialect.effective_value(name, after)
    action = Action.ADD if before is None else Action.REMOVE if after is None else Action.CHANGE
    return Change(name, dialect.attributes_of(name), before, after, action, dialect.label(name))


def _emptied(dialect: Dialect, live: Attributes) -> Iterator[Change]:
    """Yield the removal of every attribute, those the server takes for nothing included."""
    shown = dialect.decode(live)
    by_field: dict[str, list[str]] = {}
    for native in live:
        by_field.setdefault(dialect.field_of_attribute(native), []).append(native)
    order = {row.field: n for n, row in enumerate(dialect.rows)}
    for name in sorted(by_field, key=lambda n: (order.get(n, len(order)), n)):
        before = shown.get(name, "")
        yield Change(name, tuple(by_field[name]), before, None, Action.REMOVE, dialect.label(name))


def secret_fields(fields: FieldMap) -> dict[str, SecretRef]:
    """Return the fields whose secret has to be sent with every write."""
    return {
        name: value
        for name, value in fields.items()
        if field_of(name).secret and isinstance(value, SecretRef) and value.kind is not SecretKind.KEYCLOAK_VAULT
    }


def fit_to_product(gateway: Gateway, wanted: Desired) -> tuple[Desired, tuple[Finding, ...]]:
    """Return what is wanted of a realm without what the product has no place for, and all there is to say of it.

    An error among it means that nothing may be written: a mandatory field is missing, or the product would take a
    value for another one. Odd text that only a server can have said, and that a revert brings back, is left as it is.
    """
    if wanted.disabled:
        return wanted, tuple(_at(wanted, finding) for finding in _cannot_be_cleared(gateway))
    dialect = gateway.dialect
    if not dialect.constraints and dialect.accepts_all(wanted.fields):  # a good part of a plan's time, for nothing
        return wanted, ()
    odd = {name: value for name, value in wanted.fields.items() if isinstance(value, Raw)}
    said = {name: value for name, value in wanted.fields.items() if name not in odd}
    lacking = (_weighed(gateway, finding) for finding in dialect.unsupported_findings(said))
    found = tuple(_at(wanted, finding) for finding in (*dialect.problems(wanted.fields), *lacking))
    return replace(wanted, fields={**dialect.storable(said), **odd}), found


def _cannot_be_cleared(gateway: Gateway) -> Iterator[Finding]:
    if not gateway.capabilities.clear:
        message = f"{gateway.title} has no way to be left without e-mail settings"
        yield Finding(Severity.ERROR, "cannot-clear", message, "write other settings, or switch it off in its console")


def _weighed(gateway: Gateway, finding: Finding) -> Finding:
    """Return a value that would be taken for another one as an error: leaving it out would write just that."""
    if finding.field is None or not gateway.dialect.supports(finding.field):
        return finding
    return replace(finding, severity=Severity.ERROR, hint="say something that it holds, or leave this realm out")


def _at(wanted: Desired, finding: Finding) -> Finding:
    location = wanted.origins.get(finding.field or "") or wanted.entry.location
    return replace(finding, realm=wanted.realm, location=location)
