"""Values in words: how a field's value stands in any report."""

from __future__ import annotations

from ztrust_mail.sensitive import SecretRef
from ztrust_mail.spec.fields import ABSENT, FieldValue, Masked

NOT_SET = "(not set)"
_SHOWN = 255


def in_words(value: FieldValue | None) -> str:
    """Return a value for people; a secret is named by where it comes from, never shown."""
    if value is None or value is ABSENT or value == "":
        return NOT_SET
    if isinstance(value, SecretRef):
        return f"(secret from {value})"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "(secret, hidden)" if isinstance(value, Masked) else str(value)


def in_short(value: FieldValue | None) -> str:
    """Return a value for people, of a long text only its beginning."""
    words = in_words(value)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}… ({len(words):,} characters)"
