"""Relays of every kind for tests, with a certificate from the test's own authority."""

from __future__ import annotations

from contextlib import ExitStack

import trustme

from ztrust_mail.sandbox.relay.faults import CERTIFICATE_FAULTS, RelayFault, issue_tls_context
from ztrust_mail.sandbox.relay.sink import Encryption, MailSink

USER, PASSWORD = "relay-user", "relay-Passw0rd"


class Relays:
    """Starts relays on demand and stops them all when left."""

    def __init__(self, authority: trustme.CA) -> None:
        self._authority = authority
        self._context = issue_tls_context(authority)
        self._stack = ExitStack()

    def __enter__(self) -> Relays:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def plain(self) -> MailSink:
        """Return a relay without TLS that takes any login and needs none."""
        return self._started(MailSink())

    def starttls(self, *, login: bool = False) -> MailSink:
        """Return a relay that offers STARTTLS; with ``login`` it wants USER and PASSWORD."""
        return self._started(self._secure(Encryption.STARTTLS, login))

    def tls(self, *, login: bool = False) -> MailSink:
        """Return a relay that speaks TLS from the first byte; with ``login`` it wants USER and PASSWORD."""
        return self._started(self._secure(Encryption.TLS, login))

    def with_login(self) -> MailSink:
        """Return a relay without TLS that wants USER and PASSWORD."""
        return self._started(MailSink(credentials=(USER, PASSWORD)))

    def refusing_login(self) -> MailSink:
        """Return a relay that turns every login down."""
        return self._started(MailSink(faults=[RelayFault.AUTH]))

    def failing(self, *faults: RelayFault) -> MailSink:
        """Return a relay that wants USER and PASSWORD, and offers STARTTLS where the faults allow that."""
        if RelayFault.NO_STARTTLS in faults:
            return self._started(MailSink(credentials=(USER, PASSWORD), faults=faults))
        context = issue_tls_context(self._authority, faults) if CERTIFICATE_FAULTS & {*faults} else self._context
        sink = MailSink(
            encryption=Encryption.STARTTLS, tls_context=context, credentials=(USER, PASSWORD), faults=faults
        )
        return self._started(sink)

    def without_login(self) -> MailSink:
        """Return a relay that does not offer to log in."""
        return self._started(MailSink(offer_login=False))

    def _secure(self, encryption: Encryption, login: bool) -> MailSink:
        credentials = (USER, PASSWORD) if login else None
        return MailSink(encryption=encryption, tls_context=self._context, credentials=credentials)

    def _started(self, sink: MailSink) -> MailSink:
        return self._stack.enter_context(sink)


def attributes(relay: MailSink, **more: object) -> dict[str, object]:
    """Return Keycloak's settings for sending through the relay, with ``more`` added."""
    # By name, because a relay's certificate is not accepted for an address by Keycloak 16.
    return {"host": "localhost", "port": str(relay.port), "from": "no-reply@acme.example", **more}


def login_attributes(relay: MailSink, password: str = PASSWORD, **more: object) -> dict[str, object]:
    """Return the same with a login."""
    return attributes(relay, auth="true", authType="basic", user=USER, password=password, **more)
