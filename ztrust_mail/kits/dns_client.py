"""Look-ups of DNS records, each with a deadline, by the resolver that the caller chooses."""

import ipaddress
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import UsageError, install_hint
from ztrust_mail.core.text import quoted
from ztrust_mail.kits.result import CheckFact, not_tested
from ztrust_mail.probing.outcome import RelayProblem

if TYPE_CHECKING:
    from dns.nameserver import Nameserver

QUERY_SECONDS, LOOKUP_SECONDS = 2.0, 4.0
"""How long one query, and one look-up with its repetitions, may take."""

MAX_FAILURES = 6
"""After so many look-ups in a row without an answer no more are made."""

DNS_FAILED = "dns-failed"
_DNS_PORT = 53


class DnsFailed(Exception):
    """A look-up gave neither records nor their absence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_resolver(text: str) -> tuple[str, int] | None:
    """Return address and port of ``192.0.2.53``, ``192.0.2.53:5353`` or ``[::1]:53``, None for an empty text.

    Raises :class:`UsageError` for anything else.
    """
    if not text:
        return None
    host, colon, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_port = not colon or (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65_535)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        is_port = False
    if not is_port:
        raise UsageError(f"--resolver {quoted(text)} is no address of a name server", "write it as 192.0.2.53:53")
    return host, int(port) if colon else _DNS_PORT


class DnsClient:
    """Looks up records, each within ``seconds``.

    Raises :class:`UsageError` if a package or the system's name servers are missing.
    """

    def __init__(self, server: tuple[str, int] | None, seconds: float = LOOKUP_SECONDS) -> None:
        try:
            import checkdmarc.utils
            import dns.resolver
            from dns.nameserver import Do53Nameserver
        except ImportError:
            message = "checking senders needs an extra that is not installed"
            raise UsageError(message, install_hint("dns")) from None
        checkdmarc.utils.DNS_CACHE.clear()  # it belongs to the process, and does not know which resolver answered
        try:
            self.resolver: dns.resolver.Resolver = dns.resolver.Resolver(configure=server is None)
        except dns.resolver.NoResolverConfiguration:
            message = "this machine names no name servers"
            raise UsageError(message, "give one as --resolver HOST:PORT") from None
        self.nameservers: list[Nameserver] | None = None  # for the look-ups to which checkdmarc passes no resolver
        if server:
            self.nameservers = [Do53Nameserver(*server)]
            self.resolver.nameservers = [server[0]]
            self.resolver.port = server[1]
        self.seconds = min(seconds, LOOKUP_SECONDS)
        self.resolver.timeout, self.resolver.lifetime = min(seconds, QUERY_SECONDS), self.seconds
        self._failures, self._lock = 0, threading.Lock()

    def look_up(self, name: str, kind: str) -> list[str] | None:
        """Return the records of a name in their text form; None if there is no such name. Raises :class:`DnsFailed`.

        A TXT record is returned as its text.
        """
        import dns.exception
        import dns.resolver

        if self._failures >= MAX_FAILURES:
            raise DnsFailed("the name server does not answer")
        try:
            answer = self.resolver.resolve(f"{name.rstrip('.')}.", kind)
        except dns.resolver.NXDOMAIN:
            return self._count(None)
        except dns.resolver.NoAnswer:
            return self._count([])
        except (dns.resolver.LifetimeTimeout, OSError):
            with self._lock:
                self._failures += 1
            raise DnsFailed("the name server does not answer") from None
        except dns.resolver.NoNameservers:
            raise DnsFailed("the name server failed (SERVFAIL or refused)") from None
        except (dns.exception.DNSException, UnicodeError, ValueError):
            raise DnsFailed("the name cannot be looked up") from None
        if kind == "TXT":
            return self._count([b"".join(row.strings).decode("utf-8", "replace") for row in answer])
        return self._count([row.to_text() for row in answer])

    def _count(self, records: list[str] | None) -> list[str] | None:
        with self._lock:
            self._failures = 0
        return records

    def addresses(self, host: str) -> Sequence[str]:
        """Return the addresses of a host; itself if it is one. Raises :class:`DnsFailed`."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            return [*(self.look_up(host, "A") or ()), *(self.look_up(host, "AAAA") or ())]


def not_answered(name: str, reason: str, verb: str = "is") -> CheckFact:
    """Return the fact that something is not tested, since DNS gave no answer."""
    problem = RelayProblem(DNS_FAILED, f"{name} {verb} not tested: {reason}", "try again, or give --resolver")
    return not_tested(name, reason, problem)


def domain_of(address: str) -> str:
    """Return the domain of an address in lower case, empty for one without."""
    return address.rpartition("@")[2].lower().rstrip(".") if "@" in address else ""
