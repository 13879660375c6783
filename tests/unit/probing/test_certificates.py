"""Encryption: which check of a certificate fails, what the chain is, and ports that expect the other way."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from support.relays import Talk, answering, converse
from support.smtp import PASSWORD, USER, Relays

from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing import tls
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, Stage
from ztrust_mail.probing.relay import Relay

STARTTLS = b"250-odd\r\n250 STARTTLS\r\n"
Issue = Callable[..., ssl.SSLContext]


@pytest.fixture
def issue(authority: trustme.CA) -> Issue:
    """Return a server's context with a certificate of the test's authority, or of another."""

    def make(*names: str, days: int = 90, begins: int = -1, by: trustme.CA | None = None) -> ssl.SSLContext:
        now = datetime.now(UTC)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = (by or authority).issue_cert(
            *(names or ("localhost", "127.0.0.1")),
            not_before=now + timedelta(days=begins),
            not_after=now + timedelta(days=days, hours=1),
        )
        issued.configure_cert(context)
        return context

    return make


def secured(context: ssl.SSLContext, *, implicit: bool = False):
    """Return a script of a relay with STARTTLS, or with TLS from the first byte."""

    def play(talk: Talk) -> None:
        if not implicit:
            talk.say(b"220 hi\r\n")
            while (line := talk.hear()) != b"STARTTLS":
                talk.say(STARTTLS if line.upper().startswith(b"EHLO") else b"221 bye\r\n")
            talk.say(b"220 go\r\n")
        talk.secure(context)
        if implicit:
            talk.say(b"220 hi\r\n")
        converse(talk, {})

    return play


def problems(outcome: RelayOutcome) -> tuple[str, ...]:
    assert outcome.failure is not None, outcome
    assert outcome.failure.rule == outcome.tls.problems[0]
    return outcome.tls.problems


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_a_good_certificate_is_verified_and_described(odd_relays, look, issue, ca_file: Path, security) -> None:
    relay = odd_relays(secured(issue(), implicit=security is Security.TLS))
    outcome = look(relay.settings(security, host="localhost"), ca_bundle=str(ca_file))
    assert outcome.status is ProbeStatus.OK, outcome
    assert (outcome.tls.version, outcome.tls.problems) == ("TLSv1.3", ())
    assert outcome.tls.chain[0].names == ("localhost", "127.0.0.1")
    assert outcome.tls.chain[0].days_left == 90
    assert outcome.stages[-1].encrypted


def test_the_client_verifies_by_default(odd_relays, look, issue) -> None:
    outcome = look(odd_relays(secured(issue())).settings(Security.STARTTLS, host="localhost"))
    assert problems(outcome) == ("relay-certificate-issuer",)


def test_an_expired_certificate_is_said_to_be_with_its_days(odd_relays, look, issue, ca_file) -> None:
    relay = odd_relays(secured(issue(days=-3, begins=-30)))
    outcome = look(relay.settings(Security.STARTTLS, host="localhost"), ca_bundle=str(ca_file))
    assert problems(outcome) == ("relay-certificate-expired",)
    assert "expired 2 days ago" in outcome.failure.detail
    assert relay.connections == 2


def test_all_failed_checks_are_named(odd_relays, look, issue, ca_file) -> None:
    relay = odd_relays(secured(issue("relay.invalid", days=-3, begins=-30)))
    outcome = look(relay.settings(Security.STARTTLS, host="localhost"), ca_bundle=str(ca_file))
    assert set(problems(outcome)) == {"relay-certificate-name", "relay-certificate-expired"}
    assert "`relay.invalid`" in outcome.failure.detail


def test_a_name_of_a_certificate_is_no_order_to_connect_there(odd_relays, look, issue, ca_file) -> None:
    relay = odd_relays(secured(issue("attacker.example")))
    outcome = look(relay.settings(Security.STARTTLS, host="localhost"), ca_bundle=str(ca_file))
    assert problems(outcome) == ("relay-certificate-name",)
    assert "set relay.host to `attacker.example` if that is your relay, or" in outcome.failure.finding.hint


def test_a_certificate_of_the_future_is_not_yet_valid(odd_relays, look, issue, ca_file) -> None:
    relay = odd_relays(secured(issue(begins=2)))
    outcome = look(relay.settings(Security.STARTTLS, host="localhost"), ca_bundle=str(ca_file))
    assert problems(outcome) == ("relay-certificate-not-yet-valid",)


def test_a_certificate_of_another_authority_has_an_unknown_issuer(odd_relays, look, issue, ca_file) -> None:
    relay = odd_relays(secured(issue(by=trustme.CA()), implicit=True))
    outcome = look(relay.settings(Security.TLS, host="localhost"), ca_bundle=str(ca_file))
    assert problems(outcome) == ("relay-certificate-issuer",)
    assert outcome.failure.stage is Stage.TLS


def test_a_self_signed_certificate_is_named_so_and_trusted_as_a_bundle(odd_relays, look, tmp_path: Path) -> None:
    context, bundle = self_signed(tmp_path)
    relay = odd_relays(secured(context)).settings(Security.STARTTLS, host="localhost")
    assert problems(look(relay)) == ("relay-certificate-self-signed",)
    assert look(relay, ca_bundle=str(bundle)).status is ProbeStatus.OK


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context with a certificate that vouches for itself, and the certificate's file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=90))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate, private = folder / "own.pem", folder / "own.key"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate


def test_a_certificate_that_expires_soon_is_a_warning_that_stops_nothing(odd_relays, look, issue, ca_file) -> None:
    relay = odd_relays(secured(issue(days=5)))
    outcome = look(relay.settings(Security.STARTTLS, host="localhost"), ca_bundle=str(ca_file))
    stage = outcome.stage(Stage.STARTTLS)
    assert (stage.status, stage.rule) == (ProbeStatus.WARNING, "relay-certificate-expires")
    assert "expires in 5 days" in stage.detail
    assert outcome.stage(Stage.SENDER).status is ProbeStatus.OK
    assert outcome.status is ProbeStatus.WARNING


def test_no_login_goes_over_a_line_that_is_not_verified(odd_relays, look, issue) -> None:
    heard: list[bytes] = []

    def play(talk: Talk) -> None:
        talk.secure(issue(by=trustme.CA()))
        talk.say(b"220 hi\r\n")
        heard.append(talk.hear())

    relay = odd_relays(play).settings(Security.TLS, host="localhost", login=Login.BASIC, username="u")
    outcome = look(relay, secret="zQ7kanari", allow_clear_login=True)
    assert outcome.failure.stage is Stage.TLS
    assert heard == []


def test_old_tls_versions_are_said_to_be_the_reason(odd_relays, look, issue, ca_file) -> None:
    context = issue()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    relay = odd_relays(secured(context))
    outcome = look(relay.settings(Security.STARTTLS, host="localhost"), ca_bundle=str(ca_file))
    assert (outcome.failure.stage, outcome.failure.rule) == (Stage.STARTTLS, "relay-tls-version")
    assert outcome.tls.version == "TLSv1.1"


def test_a_port_for_starttls_is_recognised_when_tls_is_set(odd_relays, look) -> None:
    relay = odd_relays(answering(banner=b"220 submission ESMTP\r\n"))
    outcome = look(relay.settings(Security.TLS))
    assert (outcome.failure.stage, outcome.failure.rule) == (Stage.TLS, "relay-speaks-plain")
    assert "220 submission ESMTP" in outcome.failure.detail


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.NONE])
def test_a_port_for_tls_is_recognised_when_it_is_silent(odd_relays, look, issue, security) -> None:
    relay = odd_relays(secured(issue(), implicit=True))
    outcome = look(relay.settings(security), patience=0.1)
    assert (outcome.failure.stage, outcome.failure.rule) == (Stage.BANNER, "relay-speaks-tls")


def test_another_service_than_tls_is_not_taken_for_a_relay(odd_relays, look) -> None:
    outcome = look(odd_relays(lambda talk: talk.say(b"SSH-2.0-x\r\n" * 9)).settings(Security.TLS))
    assert outcome.failure.stage is Stage.TLS
    assert outcome.failure.rule in ("relay-tls", "relay-closed")


def test_the_relays_of_the_sandbox_take_a_login_over_tls(relays: Relays, look, ca_file: Path) -> None:
    for sink, security in ((relays.starttls(login=True), Security.STARTTLS), (relays.tls(login=True), Security.TLS)):
        relay = Relay("localhost", sink.port, security, Login.BASIC, USER)
        outcome = look(relay, secret=PASSWORD, ca_bundle=str(ca_file), to="b@acme.example", send=True)
        assert outcome.status is ProbeStatus.OK, outcome
        (mail,) = sink.wait_for(1)
        assert (mail.message_id, mail.tls, mail.login) == (outcome.message_id, True, USER)


@pytest.mark.parametrize(
    ("name", "host", "fits"),
    [
        ("smtp.example.com", "SMTP.example.com.", True),
        ("*.example.com", "smtp.example.com", True),
        ("*.example.com", "a.smtp.example.com", False),
        ("*.example.com", "example.com", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_names_of_certificates_fit_hosts_as_in_browsers(name: str, host: str, fits: bool) -> None:
    assert tls.is_for(name, host) is fits
