"""What a product demands of its settings beyond each field's own value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ztrust_mail.findings import Finding, Severity
from ztrust_mail.spec.fields import SECURITY, FieldMap, Security

Judge = Callable[[FieldMap], Iterator[tuple[Severity, str, str, str]]]
"""Yields severity, field, message and hint of everything wrong with a realm's settings."""


@dataclass(frozen=True)
class Constraint:
    """One demand. ``rule`` is the id of its findings."""

    rule: str
    judge: Judge

    def check(self, fields: FieldMap) -> Iterator[Finding]:
        """Yield what the settings of a realm break."""
        for severity, name, message, hint in self.judge(fields):
            yield Finding(severity, self.rule, message, hint, field=name)


def no_clear_text(label: str, choose: str) -> Constraint:
    """Return the demand that the connection be encrypted; ``label`` and ``choose`` are the page's own words."""

    def judge(fields: FieldMap) -> Iterator[tuple[Severity, str, str, str]]:
        if fields.get(SECURITY) is Security.NONE:
            message = f"mail and password go to the relay in clear: `{label}` is off"
            yield Severity.WARNING, SECURITY, message, f"choose {choose}: set `{SECURITY}` to tls or starttls"

    return Constraint("not-encrypted", judge)
