"""The placeholders that tools put into files: ``${X}``, ``$(env:X)``, ``[[env:X]]``, ``{{ X }}`` and their like."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,199})"
_DEFAULT = r"(?::[-=?]?(?P<default>[^{}()\[\]]*))?"
_ENV = r"(?:env[:.]|var\.)?"
_LOOKUP = r"lookup\(\s*['\"](?:ansible\.builtin\.)?env['\"]\s*,\s*['\"]%s['\"]\s*\)"
# Only spellings in brackets: a password may well begin with a dollar sign.
_SPELLINGS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\$\{{{_ENV}{_NAME}{_DEFAULT}\}}",
        rf"\$\({_ENV}{_NAME}{_DEFAULT}\)",
        rf"\[\[\s*{_ENV}{_NAME}\s*\]\]",
        rf"\{{\{{\s*{_ENV}{_NAME}\s*\}}\}}",
        rf"\{{\{{\s*{_LOOKUP % _NAME}\s*\}}\}}",
        rf"\{{\{{\s*(?:getenv|env)\s+\"{_NAME}\"\s*\}}\}}",
        rf"#\{{{_NAME}\}}#?",
        rf"<<\s*{_NAME}\s*>>",
        rf"%%{_NAME}%%",
    )
)
_ANY = re.compile(
    r"\$\{(?!vault\.)[^{}]+\}|\$\([^()]+\)|\[\[[^\[\]]+\]\]|\{\{[^{}]+\}\}|\{%[^{}]+%\}|#\{[^{}]+\}|<<[^<>]+>>|%%\w+%%"
)


@dataclass(frozen=True)
class Marker:
    """A placeholder that is a whole value: its variable, empty where it names none, and whether it has a default."""

    name: str
    has_default: bool = False


def marker(text: str) -> Marker | None:
    """Return the placeholder that a text is, or None for other text."""
    for spelling in _SPELLINGS:
        if found := spelling.fullmatch(text.strip()):
            return Marker(found["name"], bool(found.groupdict().get("default")))
    return Marker("") if _ANY.fullmatch(text.strip()) else None


def has_marker(text: str) -> bool:
    """Tell whether a placeholder stands anywhere in a text; a vault's reference is none."""
    return _ANY.search(text) is not None
