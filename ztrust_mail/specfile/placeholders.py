"""Puts a realm's name and the spec's variables into text: ``no-reply@{realm.slug}.example.com``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.model.values import BadValue

BAD_PLACEHOLDER = "bad-placeholder"

_LISTED = 30  # variables named in a hint
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class BadPlaceholder(BadValue):
    """Text whose braces are wrong, whatever the realm is called."""

    rule = BAD_PLACEHOLDER


def slug(realm: str) -> str:
    """Return the realm's name in lower case with every run of other characters as one ``-``."""
    return re.sub(r"[^a-z0-9]+", "-", realm.lower()).strip("-")


def builtin(realm: str) -> dict[str, str]:
    """Return the placeholders every realm has."""
    return {"realm": realm, "realm.slug": slug(realm)}


def expand(template: str, values: Mapping[str, str], fit: Callable[[str], str] = str, *, secret: bool = False) -> str:
    """Return the template with ``{name}`` replaced, ``{{`` and ``}}`` as plain braces.

    ``fit`` shapes each inserted value for its place. Raises :class:`BadPlaceholder` for an unknown
    placeholder and for a lone brace, :class:`BadValue` for one that stands for nothing. ``secret`` keeps
    the template's text out of what is raised.
    """

    def put(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            if len(found[0]) == 1:
                raise BadPlaceholder(f"has a lone {quoted(found[0])}", "write {{ or }} for a brace")
            return found[0][0]
        if name not in values:
            known = list(islice(values, _LISTED))
            hint = did_you_mean(name, known) or f"known are: {', '.join(known)}; write {{{{ for a brace"
            shown = "an unknown placeholder" if secret else f"the unknown placeholder {quoted('{' + name + '}')}"
            raise BadPlaceholder(f"has {shown}", hint)
        if not values[name]:
            raise _stands_for_nothing(name, values)
        return fit(values[name])

    return _PART.sub(put, template)


def _stands_for_nothing(name: str, values: Mapping[str, str]) -> BadValue:
    """Return what to say of an empty placeholder; a realm whose name leaves it empty is named."""
    whose, hint = "here", "give the variable a text, or leave it out"
    if name == "realm.slug":
        whose, hint = f"for the realm {quoted(values['realm'], 300)}", "give its own entry a value without it"
    return BadValue(f"uses {quoted('{' + name + '}')}, which is empty {whose}", hint)


def names_in(template: str) -> Iterator[str]:
    """Yield the placeholders a template uses."""
    return (found[1] for found in _PART.finditer(template) if found[1] is not None)


def escape(text: str) -> str:
    """Return text that :func:`expand` gives back as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def as_env_name(value: str) -> str:
    """Shape a value for a variable's name: upper case, everything else ``_``."""
    return re.sub(r"[^A-Z0-9]", "_", value.upper())


def as_path_segment(value: str) -> str:
    """Return a value that stays within one segment of a path; raises :class:`BadValue` otherwise."""
    if value in (".", "..") or "/" in value or "\\" in value or "\0" in value:
        raise BadValue(f"puts {quoted(value)} into a path, which would lead elsewhere", "use {realm.slug}")
    return value
