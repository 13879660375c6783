"""Rules about the relay: its port, encryption and location."""

import ipaddress
from collections.abc import Iterator

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import quoted
from ztrust_mail.linting.rule import Problem, RealmView, realm_rule
from ztrust_mail.model.fields import DEFAULT_PORTS, HOST, PORT, SECURITY, Login, Security


@realm_rule("clear-text-login", Severity.WARNING)
def clear_text_login(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the login is sent unencrypted."""
    if realm.security is Security.NONE and realm.login is not Login.NONE:
        message = "the login is sent to the relay in clear: `relay.security` is none"
        yield Problem(message, "use starttls or tls", (SECURITY, HOST))


@realm_rule("no-encryption", Severity.WARNING)
def no_encryption(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if mail without a login is sent unencrypted to another machine."""
    if realm.security is Security.NONE and realm.login is Login.NONE and not is_loopback(realm.host):
        message = "mail is sent to the relay in clear, with the links that reset passwords: `relay.security` is none"
        yield Problem(message, "use starttls or tls; to see what the relay offers: ztrust-mail probe", (SECURITY, HOST))


@realm_rule("port-security", Severity.WARNING)
def port_security(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the port expects another kind of encryption, unless the provider serves the two together."""
    if realm.security is Security.STARTTLS and realm.port == DEFAULT_PORTS[Security.TLS] and not realm.is_served():
        message = "port 465 expects implicit TLS; STARTTLS will hang"
        yield Problem(message, "set `relay.security: tls`, or port 587", (PORT, HOST))
    if realm.security is Security.TLS and realm.port in (25, 587) and not realm.is_served():
        message = f"port {realm.port} expects STARTTLS; implicit TLS uses port 465"
        yield Problem(message, "set `relay.security: starttls`, or port 465", (PORT, HOST))


@realm_rule("port-25", Severity.NOTE)
def port_25(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if an entry chooses port 25 with encryption."""
    if realm.port == 25 and PORT in realm.wanted.origins and realm.security is Security.STARTTLS:
        message = "port 25 is for mail between mail servers; many networks and providers block or throttle it"
        yield Problem(message, "use port 587 if the relay serves it", (PORT, HOST))


@realm_rule("loopback-relay", Severity.NOTE)
def loopback_relay(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the relay is on the identity server's own machine, unless a preset says so."""
    if is_loopback(realm.host) and HOST not in realm.wanted.presets:
        message = f"the relay {quoted(realm.host)} is the identity server's own machine or container"
        yield Problem(message, "right where a relay runs next to the server; else write the relay's name", (HOST,))


def is_loopback(host: str) -> bool:
    """Tell whether a host is the machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    if not host[:1].isdigit() and ":" not in host:
        return False
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
