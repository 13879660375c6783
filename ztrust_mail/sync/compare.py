"""What differs between a realm's live and desired settings, on canonical values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from ztrust_mail.dialects.base import Attributes, Dialect
from ztrust_mail.sensitive import SecretKind, SecretRef
from ztrust_mail.spec.digest import Json
from ztrust_mail.spec.fields import EXTRA, NOTIFY, FieldMap, FieldValue, Masked, field_of, message_of
from ztrust_mail.spec.model import is_within
from ztrust_mail.spec.resolve import Desired
from ztrust_mail.spec.words import in_words


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


Told = Mapping[str, Json]
"""A change as its reader sees it: field, attributes, before, after, action."""


def told(change: Change) -> Told:
    """Return a change in words, as reports and saved plans hold it."""
    return {
        "field": change.field,
        "attributes": list(change.attributes),
        "before": None if change.before is None else in_words(change.before),
        "after": None if change.after is None else in_words(change.after),
        "action": change.action.value,
    }


@dataclass(frozen=True)
class Difference:
    """All that a comparison of one realm tells.

    ``incomparable`` are secret fields that the server hides; ``kept`` are live attributes that the spec
    does not manage.
    """

    changes: tuple[Change, ...] = ()
    incomparable: tuple[str, ...] = ()
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
    owners = {native: dialect.field_at(native) for native in live}
    kept = tuple(sorted(native for native, name in owners.items() if _is_open(name) and name not in then))
    named = sorted(name for name in then if _is_open(name) and (_is_extra(name) or dialect.has_place(name)))
    names = [row.field for row in dialect.rows if not _is_open(row.field)] + named
    changes, incomparable = [], []
    for name in names:
        before, after = now.get(name), then.get(name)
        if _hidden(before, after):
            incomparable.append(name)
            known_to_differ = mode is SecretMode.AUTO and secrets.get(name) is SecretState.CHANGED
            if mode is not SecretMode.WRITE and not known_to_differ:
                continue
        elif _same(dialect.meaning(name, before), dialect.meaning(name, after)):
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
    after = dialect.meaning(name, after)
    action = Action.ADD if before is None else Action.REMOVE if after is None else Action.CHANGE
    return Change(name, dialect.natives_of(name), before, after, action, dialect.label(name))


def _emptied(dialect: Dialect, live: Attributes) -> Iterator[Change]:
    """Yield the removal of every attribute, those the server takes for nothing included."""
    shown = dialect.decode(live)
    by_field: dict[str, list[str]] = {}
    for native in live:
        by_field.setdefault(dialect.field_at(native), []).append(native)
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
