"""TLS with a relay: the handshake, what the certificate says, and which of its checks fail.

A handshake that fails is made once more without verification, to say why.
"""

from __future__ import annotations

import ipaddress
import shlex
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import pluralise, printable, quoted
from ztrust_mail.model.fields import Security
from ztrust_mail.probing.outcome import CertificateFacts, RelayProblem, StageFailed, TlsFacts
from ztrust_mail.probing.relay import Relay

if TYPE_CHECKING:
    from cryptography import x509

    from ztrust_mail.probing.connection import Connector
    from ztrust_mail.probing.line import SmtpLine

WARN_DAYS = 14
"""A certificate that expires within so many days is a warning."""

_MAX_CHAIN, _MAX_NAMES, _MAX_TEXT = 8, 50, 200
_DER = 2  # ssl has no public name for it before 3.13

EXPIRED, NOT_YET_VALID = "relay-certificate-expired", "relay-certificate-not-yet-valid"
WRONG_NAME, SELF_SIGNED = "relay-certificate-name", "relay-certificate-self-signed"
UNKNOWN_ISSUER, UNTRUSTED = "relay-certificate-issuer", "relay-certificate-untrusted"
EXPIRES = "relay-certificate-expires"

_RULES = {
    9: NOT_YET_VALID,
    10: EXPIRED,
    18: SELF_SIGNED,
    19: UNKNOWN_ISSUER,
    20: UNKNOWN_ISSUER,
    21: UNKNOWN_ISSUER,
    62: WRONG_NAME,
    64: WRONG_NAME,
}
"""The rules by OpenSSL's verification codes (X509_V_ERR_…)."""

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
_OLD_TLS = ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")
"""OpenSSL's names of errors: what came is no TLS; the other side speaks too old a version only."""

_READY = 220

_BROKEN = (OSError, smtplib.SMTPException, ValueError)
"""Exceptions of the second handshake, after which it yields no reason."""


class Handshake:
    """Encrypts the line to a relay. ``connector`` and ``new_line`` make the connections for a second look."""

    def __init__(
        self, relay: Relay, ca_bundle: str, connector: Connector, new_line: Callable[[socket.socket], SmtpLine]
    ) -> None:
        self._relay, self._ca_bundle = relay, ca_bundle
        self._connector, self._new_line = connector, new_line
        self._starttls = relay.security is Security.STARTTLS

    def secure(self, line: SmtpLine) -> tuple[TlsFacts | None, RelayProblem | None]:
        """Encrypt a line; return the facts and a problem, where there are any. Raises OSError if the line breaks."""
        host = self._relay.host
        try:
            facts = describe(line.secure(verifying_context(self._ca_bundle), host))
        except ssl.SSLCertVerificationError as e:
            return self._refused_certificate(e.verify_code)
        except ssl.SSLError as e:
            if line.is_late:
                raise TimeoutError from None
            error = e
        else:
            return facts, expiry_problem(facts, host)
        if error.reason in _NO_TLS and not self._starttls and (greeting := self._plain_greeting()):
            message = f"the port speaks plain SMTP before TLS: it greets with {greeting}"
            return None, RelayProblem("relay-speaks-plain", message, "set relay.security: starttls for this port")
        return self._explain_failure(error)

    def _refused_certificate(self, code: int) -> tuple[TlsFacts | None, RelayProblem]:
        facts = self._look_again() or TlsFacts("", "", ())
        facts = replace(facts, problems=tuple(failed_checks(code, facts.chain, self._relay.host)))
        problem = certificate_problem(facts, self._relay.host, self._relay.address, starttls=self._starttls)
        return facts, problem

    def _explain_failure(self, error: ssl.SSLError) -> tuple[TlsFacts | None, RelayProblem]:
        if error.reason in _OLD_TLS:
            facts = self._look_again()
            version = f": it speaks {facts.version}" if facts else ""
            message = f"the relay offers no TLS version from 1.2 on{version}"
            return facts, RelayProblem("relay-tls-version", message, "update the relay: servers refuse older versions")
        if error.reason in _NO_TLS:
            hint = "check host and port: another service, or a proxy, may answer there"
            return None, RelayProblem("relay-tls", "the relay answers the TLS handshake with something else", hint)
        reason = f" ({error.reason.lower().replace('_', ' ')})" if error.reason else ""
        message = f"the TLS handshake failed{reason}"
        return None, RelayProblem("relay-tls", message, "see the relay's log for the handshake's error")

    def _look_again(self) -> TlsFacts | None:
        """Return the facts of a line without verification, over which nothing is sent."""
        try:
            line = self._new_line(self._connector.again())
            if self._starttls:
                line.getreply()
                line.ehlo()
                if line.docmd("STARTTLS")[0] != _READY:
                    return None
            facts = describe(line.secure(lenient_context(), self._relay.host))
            line.close()
        except _BROKEN:
            return None
        return facts

    def _plain_greeting(self) -> str:
        try:
            line = self._new_line(self._connector.again())
            reply = line.reply_of(*line.getreply())
            line.close()
        except _BROKEN:
            return ""
        return str(reply)

    def refuse_tls_port(self, patience: float) -> None:
        """Raise :class:`StageFailed` if the port of a silent relay makes a TLS handshake within these seconds."""
        try:
            line = self._new_line(self._connector.again())
            version = line.secure(lenient_context(), self._relay.host, patience).version()
            line.close()
        except _BROKEN:
            return
        message = f"the port expects TLS from the first byte ({version}), so it sends no banner"
        raise StageFailed(RelayProblem("relay-speaks-tls", message, "set relay.security: tls for this port"))


def verifying_context(ca_bundle: str = "") -> ssl.SSLContext:
    """Return a context that verifies the certificate and its name, as Java does, and takes TLS from 1.2 on."""
    return ssl.create_default_context(cafile=ca_bundle or None)


def lenient_context() -> ssl.SSLContext:
    """Return a context that verifies nothing and takes every version, to see what there is. No login goes over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def describe(connection: ssl.SSLSocket) -> TlsFacts:
    """Return the facts of an encrypted line."""
    cipher = connection.cipher()
    now = datetime.now(UTC)
    chain = [facts for der in _chain_of(connection)[:_MAX_CHAIN] if (facts := _certificate(der, now))]
    return TlsFacts(connection.version() or "", cipher[0] if cipher else "", tuple(chain))


def _chain_of(connection: ssl.SSLSocket) -> Sequence[bytes]:
    """Return the chain that the relay sent, at least its own certificate."""
    public = getattr(connection, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    inner = getattr(getattr(connection, "_sslobj", None), "get_unverified_chain", None)  # until Python 3.13
    if inner is not None:
        return [bytes(one.public_bytes(_DER)) for one in inner() or ()]
    own = connection.getpeercert(binary_form=True)
    return [own] if own else []


def _certificate(der: bytes, now: datetime) -> CertificateFacts | None:
    from cryptography import x509

    try:
        found = x509.load_der_x509_certificate(der)
        starts, ends = found.not_valid_before_utc, found.not_valid_after_utc
        return CertificateFacts(
            _show(found.subject), _show(found.issuer), _names_of(found), starts, ends, (ends - now).days
        )
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None  # OpenSSL reads what this library does not


def _show(name: x509.Name) -> str:
    return printable(name.rfc4514_string())[:_MAX_TEXT]


def _names_of(found: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [*extension.get_values_for_type(x509.DNSName)]
    names += [str(one) for one in extension.get_values_for_type(x509.IPAddress)]
    return tuple(printable(name)[:_MAX_TEXT] for name in names[:_MAX_NAMES])


def failed_checks(code: int, chain: Sequence[CertificateFacts], host: str) -> list[str]:
    """Return the rules of all checks that a certificate fails; OpenSSL's code alone names only the first."""
    found = [_RULES.get(code, UNTRUSTED)]
    if chain:
        own, now = chain[0], datetime.now(UTC)
        found += [EXPIRED] if any(one.not_after < now for one in chain) else []
        found += [NOT_YET_VALID] if any(one.not_before > now for one in chain) else []
        found += [] if any(is_for(name, host) for name in own.names) else [WRONG_NAME]
    return list(dict.fromkeys(found))


def is_for(name: str, host: str) -> bool:
    """Tell whether a name of a certificate is the host's, with ``*`` as its whole first label."""
    name, host = name.lower().rstrip("."), host.lower().rstrip(".")
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(host)
    except ValueError:
        pass
    if not host.isascii():
        host = host.encode("idna", "replace").decode("ascii", "replace") if len(host) < 64 else host
    return name == host or (name.startswith("*.") and name[2:] == host.partition(".")[2])


_AUTHORITY = "add the authority to the server's truststore, and pass it here as --ca-bundle FILE"
_HINTS: Mapping[str, str] = {
    EXPIRED: "renew the certificate on {host}",
    NOT_YET_VALID: "check the clocks of this machine and of {host}",
    WRONG_NAME: "get a certificate for this name",
    SELF_SIGNED: "put the certificate into the server's truststore, and pass it here as --ca-bundle FILE",
    UNKNOWN_ISSUER: f"{_AUTHORITY}; a missing intermediate certificate has to be added on the relay",
    UNTRUSTED: "get a certificate that passes all checks",
}
"""What to do about each failed check."""


def certificate_problem(facts: TlsFacts, host: str, address: str, *, starttls: bool) -> RelayProblem:
    """Return the problem with a certificate that was refused: all failed checks, and what to do about the first."""
    own = facts.chain[0] if facts.chain else None
    said = " and ".join(_sentence(one, facts.chain, host) for one in facts.problems)
    what = f" ({own.subject or 'no subject'}, issued by {own.issuer or 'nobody'})" if own else ""
    option = " -starttls smtp" if starttls else ""
    show = f"openssl s_client -connect {shlex.quote(address)}{option} -showcerts </dev/null"
    rule = facts.rule
    hint = _name_hint(own) if rule == WRONG_NAME else _HINTS[rule].format(host=host)
    hint = f"{hint}; see the certificate by: {show}"
    return RelayProblem(facts.rule, f"the server's certificate is refused: {said}{what}", hint)


def _name_hint(own: CertificateFacts | None) -> str:
    usable = [name for name in own.names if not name.startswith("*.")] if own else []
    either = f"set relay.host to {quoted(usable[0])} if that is your relay, or " if usable else ""
    return f"{either}get a certificate for this name"


def _sentence(check: str, chain: Sequence[CertificateFacts], host: str) -> str:
    own = chain[0] if chain else None
    if check == EXPIRED and own:
        days = min(one.days_left for one in chain)
        whose = "it" if own.days_left == days else "a certificate of its chain"
        return f"{whose} expired {pluralise(-days - 1, 'day')} ago" if days < -1 else f"{whose} expired today"
    if check == WRONG_NAME and own:
        names = ", ".join(map(quoted, own.names[:3])) or "no name at all"
        more = f" and {len(own.names) - 3:,} more" if len(own.names) > 3 else ""
        return f"it is for {names}{more}, not for {quoted(host)}"
    return {
        EXPIRED: "it has expired",
        NOT_YET_VALID: "it is not yet valid",
        WRONG_NAME: f"it is not for {quoted(host)}",
        SELF_SIGNED: "it is self-signed",
        UNKNOWN_ISSUER: "this machine does not know its issuer, or an intermediate certificate is missing",
    }.get(check, "it is not trusted")


def expiry_problem(facts: TlsFacts, host: str) -> RelayProblem | None:
    """Return a warning if a certificate of the chain expires soon."""
    days = min((one.days_left for one in facts.chain), default=WARN_DAYS + 1)
    if days > WARN_DAYS:
        return None
    whose = "the certificate" if facts.chain[0].days_left == days else "a certificate of the chain"
    hint = f"renew it on {host} before mail stops"
    return RelayProblem(EXPIRES, f"{whose} expires in {pluralise(days, 'day')}", hint, Severity.WARNING)


def summary_of(facts: TlsFacts) -> str:
    """Return version, cipher and certificate in one line."""
    own = facts.chain[0] if facts.chain else None
    left = f", certificate {own.subject} by {own.issuer}, {pluralise(own.days_left, 'day')} left" if own else ""
    return f"{facts.version}, {facts.cipher}{left}"
