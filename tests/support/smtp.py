"""Relays of every kind for tests, with a certificate from the test's own authority."""

from __future__ import annotations

import ssl
from contextlib import ExitStack

import trustme

from ztrust_mail.sandbox.relay.faults import RelayFault
from ztrust_mail.sandbox.relay.sink import Encryption, MailSink

USER, PASSWORD = "relay-user", "relay-Passw0rd"


class Relays:
    """Starts relays on demand and stops them all when left."""

    def __init__(self, authority: trustme.CA) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._context)
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
