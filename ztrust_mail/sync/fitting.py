"""What a product makes of a realm's settings: those that it holds, and what it refuses or has no place for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ztrust_mail.findings import Finding, Severity
from ztrust_mail.gateways.base import Gateway
from ztrust_mail.spec.fields import Raw
from ztrust_mail.spec.resolve import Desired


def fitted(gateway: Gateway, wanted: Desired) -> tuple[Desired, tuple[Finding, ...]]:
    """Return what is wanted of a realm without what the product has no place for, and all there is to say of it.

    An error among it means that nothing may be written: a mandatory field is missing, or the product would take a
    value for another one. Odd text that only a server can have said, and that a revert brings back, is left as it is.
    """
    if wanted.disabled:
        return wanted, tuple(_at(wanted, finding) for finding in _cannot_be_cleared(gateway))
    dialect = gateway.dialect
    if not dialect.constraints and dialect.holds_whatever(wanted.fields):  # a good part of a plan's time, for nothing
        return wanted, ()
    odd = {name: value for name, value in wanted.fields.items() if isinstance(value, Raw)}
    said = {name: value for name, value in wanted.fields.items() if name not in odd}
    lacking = (_weighed(gateway, finding) for finding in dialect.lacks(said))
    found = tuple(_at(wanted, finding) for finding in (*dialect.problems(wanted.fields), *lacking))
    return replace(wanted, fields={**dialect.held(said), **odd}), found


def _cannot_be_cleared(gateway: Gateway) -> Iterator[Finding]:
    if not gateway.capabilities.clear:
        message = f"{gateway.title} has no way to be left without e-mail settings"
        yield Finding(Severity.ERROR, "cannot-clear", message, "write other settings, or switch it off in its console")


def _weighed(gateway: Gateway, finding: Finding) -> Finding:
    """Return a value that would be taken for another one as an error: leaving it out would write just that."""
    if finding.field is None or not gateway.dialect.has_place(finding.field):
        return finding
    return replace(finding, severity=Severity.ERROR, hint="say something that it holds, or leave this realm out")


def _at(wanted: Desired, finding: Finding) -> Finding:
    location = wanted.origins.get(finding.field or "") or wanted.entry.location
    return replace(finding, realm=wanted.realm, location=location)
