"""The ways a relay can misbehave on request, and the certificates of relays that use TLS."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    import trustme


class RelayFault(StrEnum):
    """A failure of a real relay; each makes the server's test mail fail."""

    CLOSED = "closed"
    AUTH = "auth"
    EXPIRED = "expired"
    WRONG_NAME = "wrong-name"
    NO_STARTTLS = "no-starttls"
    SLOW = "slow"
    REFUSE_SENDER = "refuse-sender"


SLOW_ANSWER = 30.0  # seconds; Keycloak waits 10
MEANINGS = {
    RelayFault.CLOSED: "nothing listens on the relay's port",
    RelayFault.AUTH: "every login is refused (535)",
    RelayFault.EXPIRED: "the relay's certificate has expired",
    RelayFault.WRONG_NAME: "the relay's certificate is for another host name",
    RelayFault.NO_STARTTLS: "STARTTLS is required (530), but not offered",
    RelayFault.SLOW: f"the relay answers after {SLOW_ANSWER:.0f} s; Keycloak gives up after 10 s",
    RelayFault.REFUSE_SENDER: "every envelope sender is refused (550)",
}
CERTIFICATE_FAULTS = frozenset({RelayFault.EXPIRED, RelayFault.WRONG_NAME})
_CONTRADICTIONS = tuple(
    (fault, other)
    for fault, others in (
        (RelayFault.CLOSED, [other for other in RelayFault if other is not RelayFault.CLOSED]),
        (RelayFault.NO_STARTTLS, sorted(CERTIFICATE_FAULTS)),
    )
    for other in others
)


def find_contradiction(faults: Collection[str]) -> tuple[RelayFault, RelayFault] | None:
    """Return two faults that exclude each other, or None."""
    return next((pair for pair in _CONTRADICTIONS if set(pair) <= set(faults)), None)


def make_tls_context(authority_file: Path, faults: Collection[RelayFault] = ()) -> ssl.SSLContext:
    """Return a TLS context for a relay on loopback, and write the certificate of its new authority to a PEM file."""
    import trustme  # most sandboxes need no certificate

    authority = trustme.CA()
    authority.cert_pem.write_to_path(authority_file)
    return issue_tls_context(authority, faults)


def issue_tls_context(authority: trustme.CA, faults: Collection[RelayFault] = ()) -> ssl.SSLContext:
    """Return a TLS context for a relay on loopback, with a certificate from the authority."""
    import ssl

    names = ["relay.invalid"] if RelayFault.WRONG_NAME in faults else ["127.0.0.1", "localhost"]
    ends = datetime(2001, 1, 1, tzinfo=UTC) if RelayFault.EXPIRED in faults else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_after=ends).configure_cert(context)
    return context
