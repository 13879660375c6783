"""Probes of a real relay: Debian's Postfix with logins by Dovecot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.postfix import PASSWORD, REFUSED, SENDER, USER, Postfix

import ztrust_mail
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, Stage

RECIPIENT = "somebody@example.org"
Look = Callable[..., RelayOutcome]


@pytest.fixture(name="look")
def look_fixture(postfix: Postfix, ca_file: Path) -> Look:
    """Return the outcome of a probe of one service of Postfix."""

    def run(service: str, security: Security, password: str = "", **options: object) -> RelayOutcome:
        relay = ztrust_mail.Relay("localhost", postfix.ports[service], security)
        if password:
            reference = SecretRef(SecretKind.ENV, ("PW",))
            relay = ztrust_mail.Relay("localhost", relay.port, security, Login.BASIC, USER, reference)
        given = {"sender": SENDER, "to": RECIPIENT, "ca_bundle": str(ca_file), **options}
        how = ztrust_mail.ProbeOptions(**given)  # type: ignore[arg-type]  # the tests' own values
        found = ztrust_mail.probe(relay=relay, options=how, environ={"PW": password})
        assert password not in repr(found.relays) or not password
        return found.relays[0]

    return run


@pytest.mark.parametrize(("service", "security"), [("starttls", Security.STARTTLS), ("tls", Security.TLS)])
def test_a_login_over_tls_delivers_a_message(look: Look, postfix: Postfix, service: str, security: Security) -> None:
    outcome = look(service, security, PASSWORD, send=True)
    assert outcome.status is ProbeStatus.OK, outcome
    assert outcome.tls is not None
    assert outcome.tls.version == "TLSv1.3"
    assert outcome.message_id
    assert f"message-id={outcome.message_id}" in postfix.log


def test_a_plain_relay_is_reached_and_says_what_it_offers(look: Look) -> None:
    outcome = look("plain", Security.NONE)
    assert outcome.status is ProbeStatus.OK, outcome
    assert "8BITMIME" in outcome.features


CASES = [
    ("starttls", Security.STARTTLS, "wrong", {}, Stage.LOGIN, "relay-login-refused"),
    ("starttls", Security.STARTTLS, "", {}, Stage.RECIPIENT, "relay-needs-login"),
    ("starttls", Security.STARTTLS, PASSWORD, {"sender": "other@acme.example"}, Stage.RECIPIENT, "relay-sender"),
    ("starttls", Security.TLS, "", {}, Stage.TLS, "relay-speaks-plain"),
    ("tls", Security.STARTTLS, "", {"patience": 0.5}, Stage.BANNER, "relay-speaks-tls"),
    ("plain", Security.STARTTLS, "", {}, Stage.STARTTLS, "relay-no-starttls"),
    ("plain", Security.NONE, "", {"to": REFUSED}, Stage.RECIPIENT, "relay-recipient"),
    ("plain", Security.NONE, PASSWORD, {"allow_clear_login": True}, Stage.LOGIN, "relay-no-login"),
    ("starttls", Security.NONE, PASSWORD, {"allow_clear_login": True}, Stage.LOGIN, "relay-no-login"),
    ("starttls", Security.NONE, "", {}, Stage.SENDER, "relay-needs-starttls"),
    ("expired", Security.STARTTLS, "", {}, Stage.STARTTLS, "relay-certificate-expired"),
    ("wrong-name", Security.STARTTLS, "", {}, Stage.STARTTLS, "relay-certificate-name"),
    ("unknown-issuer", Security.STARTTLS, "", {}, Stage.STARTTLS, "relay-certificate-issuer"),
    ("helo", Security.NONE, "", {"ehlo_name": "pod"}, Stage.RECIPIENT, "relay-ehlo"),
    ("greylisting", Security.NONE, "", {}, Stage.RECIPIENT, "relay-defers"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "security", "password", "options", "stage", "rule"), CASES)
def test_what_is_wrong_has_its_stage_and_rule(look: Look, service, security, password, options, stage, rule) -> None:
    failed = look(service, security, password, **options).failure
    assert failed is not None
    assert (failed.stage, failed.rule) == (stage, rule), failed.detail
    assert failed.finding is not None
    assert failed.finding.hint


def test_a_certificate_that_expires_soon_is_a_warning(look: Look) -> None:
    outcome = look("expires-soon", Security.STARTTLS)
    stage = outcome.stage(Stage.STARTTLS)
    assert stage is not None
    assert (outcome.status, stage.rule) == (ProbeStatus.WARNING, "relay-certificate-expires")


def test_a_relay_that_offers_starttls_to_settings_without_it_is_a_warning(look: Look) -> None:
    outcome = look("opportunistic", Security.NONE)
    assert outcome.status is ProbeStatus.WARNING
    assert [one.rule for one in outcome.findings] == ["relay-offers-starttls"]
