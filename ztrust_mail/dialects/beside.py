"""Names for what a realm holds beside its e-mail attributes, such that both fit into one map of names and texts.

Such a name is a path in the realm's part of the admin API: ``/emailTheme``, ``/localization/en/emailTestSubject``.
An attribute that really begins with a slash is named with two.
"""

from __future__ import annotations

BESIDE = "/"


def is_beside(native: str) -> bool:
    """Tell whether a name stands for something beside the e-mail attributes."""
    return native.startswith(BESIDE) and not native.startswith(BESIDE * 2)


def as_native(attribute: str) -> str:
    """Return the name of an attribute, which nobody takes for something beside the attributes."""
    return BESIDE + attribute if attribute.startswith(BESIDE) else attribute


def as_attribute(native: str) -> str:
    """Return what the server calls an attribute: the inverse of :func:`as_native`."""
    return native.removeprefix(BESIDE)
