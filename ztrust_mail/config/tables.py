"""The form of a settings table: which keys it knows and what they hold, told with the place of what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ztrust_mail.errors import ConfigError
from ztrust_mail.sensitive import Secret
from ztrust_mail.text import did_you_mean, quoted

Table = Mapping[str, object]
Keys = Mapping[str, type]
"""The keys a table knows, each with the type of its value; a ``list`` holds texts."""

_WORDS = {str: "text", Secret: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


def check_keys(path: Path, prefix: str, table: Table, known: Keys, *, empty_items: bool = False) -> None:
    """Raise :class:`ConfigError` for a key that is not known, and for a value of another type or without content.

    ``prefix`` stands before the keys in messages, as in ``servers.main.``; ``empty_items`` permits ``[""]``.
    """
    for key, value in table.items():
        name = quoted(prefix + key)
        if key not in known:
            hint = did_you_mean(key, known) or f"known here: {', '.join(known)}"
            raise ConfigError(f"{path}: unknown key {name}", hint)
        if type(value) is not known[key]:
            raise ConfigError(f"{path}: {name} must be {_WORDS[known[key]]}", "see the README")
        if isinstance(value, list) and not all(isinstance(item, str) and (item or empty_items) for item in value):
            raise ConfigError(f"{path}: {name} must be a list of texts", 'write ["one", "another"]')
        if value in ("", Secret("")):
            raise ConfigError(f"{path}: {name} is empty", "give it a value, or leave it out")


def seal(table: object, known: Keys) -> None:
    """Make a table's passwords secrets, which no message, repr or traceback shows. What is no table stays as it is.

    Text of an unknown key may be a password under a misspelt name.
    """
    if not isinstance(table, dict):
        return
    for key in table:
        if known.get(key, Secret) is Secret and isinstance(table[key], str):
            table[key] = Secret(table[key])
