"""Relays with STARTTLS whose dialogue after the handshake is a test's own."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

import pytest
import trustme
from support.relays import OddRelays, ScriptedRelay, Talk

Encrypted = Callable[..., ScriptedRelay]


@pytest.fixture
def encrypted_relay(odd_relays: OddRelays, authority: trustme.CA) -> Encrypted:
    """Start a relay with STARTTLS and XOAUTH2 that answers by a command's first word, or first two words."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    def start(replies: Mapping[str, bytes] | None = None, *, certificate: ssl.SSLContext = context) -> ScriptedRelay:
        known = {"EHLO": b"250-x\r\n250 AUTH XOAUTH2 LOGIN\r\n", "QUIT": b"221 bye\r\n", **(replies or {})}

        def play(talk: Talk) -> None:
            talk.say(b"220 hi\r\n")
            talk.hear()
            talk.say(b"250-x\r\n250 STARTTLS\r\n")
            talk.hear()
            talk.say(b"220 go\r\n")
            talk.secure(certificate)
            while True:
                words = talk.hear().decode("latin-1").upper().split() or [""]
                both = " ".join(words[:2])
                talk.say(known.get(both, known.get(words[0], b"250 OK\r\n")))
                if words[0] == "QUIT":
                    return

        return odd_relays(play)

    return start
