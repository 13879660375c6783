"""Reads what realms hold beside their e-mail settings, where somebody asks for it; else not one more request goes out.

What is asked for stands among the attributes from then on, so that it is compared, digested and kept in the journal
as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from ztrust_mail.dialects.base import Dialect
from ztrust_mail.dialects.beside import is_beside
from ztrust_mail.gateways.base import Gateway, LiveRealm, Reading
from ztrust_mail.sync.journal.records import Write

Names = Mapping[str, Collection[str]]
"""By realm the names of what is asked for; a realm left out asks for nothing."""


def read(gateway: Gateway, realms: Collection[str], names: Names) -> Reading:
    """Read realms with what is asked for."""
    return completed(gateway, gateway.read(realms, everything=False), names)


def completed(gateway: Gateway, reading: Reading, names: Names) -> Reading:
    """Return a reading with what is asked for."""
    found = {realm: live for realm, live in reading.realms.items() if names.get(realm) and isinstance(live, LiveRealm)}
    if not found:
        return reading
    return replace(reading, realms={**reading.realms, **gateway.read_beside(found, names)})


def names_of(dialect: Dialect, write: Write) -> frozenset[str]:
    """Return the names of what a write was about."""
    seen = {native for native in (*write.before, *(write.after or {})) if is_beside(native)}
    return dialect.beside(write.intent or {}) | seen
