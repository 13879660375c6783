"""The rows of a product's table, its constraints, and the names in a map of attributes."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.codecs import Codec
from ztrust_mail.model.fields import SECURITY, FieldMap, FieldValue, Security

Attributes = Mapping[str, str]
"""A server's map of e-mail attributes as read: secrets are masked."""

Outgoing = Mapping[str, str | Secret]
"""A server's map of e-mail attributes to be written: secrets are real."""

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """Return ``(26, 7, 4)`` for ``26.7.4`` or ``26.7.4.redhat-1``; empty without a number."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", text.partition("-")[0])[:3])


@dataclass(frozen=True)
class Row:
    """One field in one product.

    ``absent`` is the value that the server uses without the attribute. ``since`` lists the first version of every
    release line that has the attribute, oldest first; the last applies to all newer lines. ``label`` is the label in
    the product's console; for several attributes it has their labels, separated by commas, in the order of ``shown``
    if the page has another order.

    ``reads`` are attributes of other rows that the codec reads after its own and never writes: a row without attributes
    of its own is derived from them. The product rejects settings without a ``mandatory`` field; ``default`` is the
    value that it fills in. ``on_page_only`` fields cannot be set by any known API of the product.
    """

    field: str
    natives: tuple[str, ...]
    codec: Codec
    absent: FieldValue | None = None
    since: tuple[Version, ...] = ()
    label: str = ""
    reads: tuple[str, ...] = ()
    mandatory: bool = False
    default: FieldValue | None = None
    shown: tuple[str, ...] = ()
    on_page_only: bool = False

    def known_to(self, version: Version) -> bool:
        """Return whether a server of this version has the attribute; an unknown version has it."""
        if not self.since or not version or version >= self.since[-1]:
            return True
        return any(line[:2] == version[:2] and version >= line for line in self.since)


ConstraintCheck = Callable[[FieldMap], Iterator[tuple[Severity, str, str, str]]]
"""Yields severity, field, message and hint of everything wrong with a realm's settings."""


@dataclass(frozen=True)
class Constraint:
    """A rule for a realm's settings. ``rule`` is the id of its findings."""

    rule: str
    judge: ConstraintCheck

    def check(self, fields: FieldMap) -> Iterator[Finding]:
        """Yield a finding for each violation in the settings of a realm."""
        for severity, name, message, hint in self.judge(fields):
            yield Finding(severity, self.rule, message, hint, field=name)


def no_clear_text(label: str, choose: str) -> Constraint:
    """Return the constraint that the connection is encrypted; ``label`` and ``choose`` are texts of the page."""

    def judge(fields: FieldMap) -> Iterator[tuple[Severity, str, str, str]]:
        if fields.get(SECURITY) is Security.NONE:
            message = f"mail and password are sent to the relay unencrypted: `{label}` is off"
            yield Severity.WARNING, SECURITY, message, f"choose {choose}: set `{SECURITY}` to tls or starttls"

    return Constraint("not-encrypted", judge)


TEMPLATE_PREFIX = "/"
"""The prefix of a template's name in a map of attributes: the e-mail theme or a localised text, not an attribute."""


def is_template(native: str) -> bool:
    """Return whether a name in a map of attributes is that of a template."""
    return native.startswith(TEMPLATE_PREFIX) and not native.startswith(TEMPLATE_PREFIX * 2)


def as_native(attribute: str) -> str:
    """Return the name of a server's attribute in a map of attributes; it is never that of a template."""
    return TEMPLATE_PREFIX + attribute if attribute.startswith(TEMPLATE_PREFIX) else attribute


def as_attribute(native: str) -> str:
    """Return the server's name of an attribute: the inverse of :func:`as_native`."""
    return native.removeprefix(TEMPLATE_PREFIX)
