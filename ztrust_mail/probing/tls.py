"""TLS with a relay: contexts, what a certificate says, and which of its checks fail."""

from __future__ import annotations

import ipaddress
import shlex
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import pluralise, printable, quoted
from ztrust_mail.probing.outcome import CertificateFacts, RelayProblem, TlsFacts

if TYPE_CHECKING:
    from cryptography import x509

WARN_DAYS = 14
"""A certificate that expires within so many days is a warning."""

_MAX_CHAIN, _MAX_NAMES, _MAX_TEXT = 8, 50, 200
_DER = 2  # ssl has no public name for it before 3.13

EXPIRED, NOT_YET_VALID = "relay-certificate-expired", "relay-certificate-not-yet-valid"
WRONG_NAME, SELF_SIGNED, UNKNOWN_ISSUER = (
    "relay-certificate-name",
    "relay-certificate-self-signed",
    "relay-certificate-issuer",
)
UNTRUSTED, EXPIRES = "relay-certificate-untrusted", "relay-certificate-expires"

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


def is_plain_text(error: ssl.SSLError) -> bool:
    """Tell whether a handshake failed because the other side does not speak TLS."""
    return error.reason in _NO_TLS


def is_old_version(error: ssl.SSLError) -> bool:
    """Tell whether a handshake failed because the other side speaks no version from 1.2 on."""
    return error.reason in _OLD_TLS


def describe(connection: ssl.SSLSocket, problems: Iterable[str] = ()) -> TlsFacts:
    """Return the facts of an encrypted line."""
    cipher = connection.cipher()
    now = datetime.now(UTC)
    chain = [facts for der in _chain_of(connection)[:_MAX_CHAIN] if (facts := _certificate(der, now))]
    return TlsFacts(connection.version() or "", cipher[0] if cipher else "", tuple(chain), tuple(problems))


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
    hint = _name_hint(own) if facts.rule == WRONG_NAME else _hint_for(facts.rule).format(host=host)
    hint = f"{hint}; see the certificate by: {show}"
    return RelayProblem(facts.rule, f"the server's certificate is refused: {said}{what}", hint)


def _hint_for(rule: str) -> str:
    return _HINTS[rule]


def _name_hint(own: CertificateFacts | None) -> str:
    usable = [name for name in own.names if not name.startswith("*.")] if own else []
    return (
        f"set relay.host to {quoted(usable[0])} if that is your relay, or get a certificate for this name"
        if usable
        else ("get a certificate for this name")
    )


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
