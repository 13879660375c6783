"""The settings in a product's file, however it lists them: by its own names, by labels, or as keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ztrust_mail.dialects.base import Dialect
from ztrust_mail.dialects.page import Shape, labels_of
from ztrust_mail.spec.source import JsonValue, Pointer

SETTINGS: Final = "settings"


@dataclass(frozen=True)
class Entry:
    """One setting in a file, by the product's own name for it, and where it stands."""

    native: str
    value: JsonValue
    at: Pointer

    @property
    def says(self) -> bool:
        """Whether there is a value."""
        return self.value not in (None, "")


def entries_of(dialect: Dialect, value: JsonValue, at: Pointer) -> list[Entry] | None:
    """Return the settings of one realm, which stand at a place in a document; None where they are no settings."""
    if isinstance(value, dict) and (key := _settings_key(value)):
        value, at = value[key], (*at, key)
    if isinstance(value, dict):
        by_label = {label: native for native, label in labels_of(dialect).items()}
        return [Entry(by_label.get(name, name), inner, (*at, name)) for name, inner in value.items()]
    return _pairs(value, at) if isinstance(value, list) and dialect.shape is Shape.PAIRS else None


def is_body(value: Mapping[str, JsonValue]) -> bool:
    """Tell whether an object is one realm's settings, and not several realms by name."""
    return bool(_settings_key(value)) or not all(isinstance(inner, dict | list) for inner in value.values())


def is_off(dialect: Dialect, given: Mapping[str, Entry]) -> bool:
    """Tell whether the product's own switch says that the realm has no e-mail, whatever else is there."""
    off = dialect.off or {}
    return bool(off) and off == {name: str(given[name].value).casefold() for name in off if name in given}


def _settings_key(value: Mapping[str, JsonValue]) -> str:
    return next((key for key in value if key.casefold() == SETTINGS and isinstance(value[key], list)), "")


def _pairs(pairs: list[JsonValue], at: Pointer) -> list[Entry] | None:
    entries = []
    for n, pair in enumerate(pairs):
        keys = {key.casefold(): key for key in pair} if isinstance(pair, dict) else {}
        if not isinstance(pair, dict) or not isinstance(name := pair.get(keys.get("key", "")), str):
            return None
        entries.append(Entry(name, pair.get(keys.get("value", "")), (*at, n)))
    return entries
