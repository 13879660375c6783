"""The SPF record of a domain: whether it is valid, and which relays it lists."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import quoted
from ztrust_mail.kits.dns_client import DnsClient, DnsFailed, not_answered
from ztrust_mail.kits.result import CheckFact, fact_of, not_tested, ok
from ztrust_mail.model.fields import SENDER_ADDRESS
from ztrust_mail.probing.outcome import RelayProblem

if TYPE_CHECKING:
    from checkdmarc.spf import ParsedSPFRecord, SPFError

MAX_LOOKUPS = 10
"""How many DNS look-ups a receiver makes for one record (RFC 7208, 4.6.4)."""

_SHOW = "see the record by: dig +short TXT DOMAIN"


@dataclass(frozen=True)
class SpfFacts:
    """An SPF record. ``failure`` is the reason why DNS did not return it, ``problem`` what is wrong with it.

    ``includes`` are the domains that it includes or redirects to, at any depth; ``hosts`` and ``networks`` are those
    of its ``a``, ``ip4`` and ``ip6`` terms. ``default`` is the result for all others, such as ``softfail``.
    """

    failure: str = ""
    problem: RelayProblem | None = None
    includes: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    networks: tuple[str, ...] = ()
    lookups: int = 0
    default: str = "neutral"

    @property
    def is_usable(self) -> bool:
        """Whether receivers can evaluate the record."""
        return not self.failure and self.problem is None

    def lists(self, host: str, addresses: Iterable[str]) -> bool:
        """Tell whether the record lists a host by its name or one of its addresses."""
        if host.lower().rstrip(".") in self.hosts:
            return True
        networks = [found for one in self.networks if (found := _network(one))]
        return any(ipaddress.ip_address(one) in network for one in addresses for network in networks)


def look_up_spf(client: DnsClient, domain: str) -> SpfFacts:
    """Return the SPF record of a domain with all its includes."""
    from checkdmarc import spf

    try:
        texts = client.look_up(domain, "TXT")
    except DnsFailed as e:
        return SpfFacts(failure=e.reason)
    how = {"resolver": client.resolver, "nameservers": client.nameservers, "timeout": client.seconds}
    try:
        record = spf.query_spf_record(domain, **how)["record"]
        found = spf.parse_spf_record(record, domain, **how)
    except spf.SPFError as e:
        reason = _dns_reason(e)
        return SpfFacts(failure=reason) if reason else SpfFacts(problem=_problem_of(e, texts or ()))
    except Exception:  # unexpected by the library, such as a loop of aliases
        return SpfFacts(failure="the record cannot be evaluated")
    terms = list(_terms(found["parsed"]))
    return SpfFacts(
        includes=frozenset(value for kind, value in terms if kind in ("include", "redirect")),
        hosts=frozenset(value for kind, value in terms if kind == "a"),
        networks=tuple(value for kind, value in terms if kind in ("ip4", "ip6")),
        lookups=found["dns_lookups"],
        default=found["parsed"]["all"],
    )


def _terms(parsed: ParsedSPFRecord | None) -> Iterator[tuple[str, str]]:
    """Yield kind and value of all terms that let a relay send, those of included records too."""
    if parsed is None:
        return
    for one in cast("list[Mapping[str, object]]", parsed["mechanisms"]):
        if one["action"] != "pass":  # such as -ip4, which says that this relay may not
            continue
        yield str(one["mechanism"]), str(one["value"]).lower().rstrip(".")
        yield from _terms(cast("ParsedSPFRecord | None", one.get("parsed")))
    if redirect := parsed["redirect"]:
        yield "redirect", redirect["domain"].lower().rstrip(".")
        yield from _terms(redirect["parsed"])


def _dns_reason(e: SPFError) -> str:
    """Return why DNS failed, empty if the record itself is wrong; the library hides the cause of an include."""
    import dns.exception
    import dns.resolver

    step: BaseException | None = e
    while step is not None:
        cause = getattr(step, "error", None)
        if isinstance(cause, dns.exception.DNSException | OSError):
            is_absent = isinstance(cause, dns.resolver.NXDOMAIN | dns.resolver.NoAnswer)
            return "" if is_absent else "a name server failed, or did not answer"
        step = step.__cause__
    return ""


def _problem_of(e: SPFError, texts: Iterable[str]) -> RelayProblem:
    from checkdmarc import spf

    if isinstance(e, spf.MultipleSPFRTXTRecords):
        return _broken(
            "the envelope sender's domain has several SPF records, which receivers treat as an error",
            "join them to one record",
        )
    if isinstance(e, spf.SPFTooManyDNSLookups):
        hint = "remove includes that are no longer needed, or send from a subdomain with a record of its own"
        return _broken(
            f"the SPF record needs more than {MAX_LOOKUPS} DNS look-ups, which receivers treat as an error", hint
        )
    if isinstance(e, spf.SPFTooManyVoidDNSLookups):
        return _broken(
            "more than 2 look-ups of the SPF record find nothing, which receivers treat as an error",
            "remove the terms whose names are gone",
        )
    if isinstance(e, spf.SPFIncludeLoop | spf.SPFRedirectLoop):
        return _broken("the SPF record includes itself", "remove the circle")
    if isinstance(e, spf.SPFRecordNotFound) and e.__cause__ is not None:
        return _broken("the SPF record includes a domain that has none", "remove the include, or correct its name")
    if isinstance(e, spf.SPFRecordNotFound):
        return _missing(texts)
    return _broken("the SPF record has a syntax error", _SHOW)


def _missing(texts: Iterable[str]) -> RelayProblem:
    if any(one != one.lstrip() and one.lstrip().lower().startswith("v=spf1") for one in texts):
        return _broken(
            "the SPF record begins with a blank, so receivers do not find it", "remove the blank before v=spf1"
        )
    hint = "publish a TXT record such as: v=spf1 include:RELAY ~all"
    return RelayProblem("spf-missing", "the envelope sender's domain has no SPF record", hint, Severity.WARNING)


def _broken(what: str, hint: str) -> RelayProblem:
    return RelayProblem("spf-broken", what, hint)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def judge_spf(found: SpfFacts) -> CheckFact:
    """Say whether receivers can evaluate a record."""
    if found.failure:
        return not_answered("SPF", found.failure)
    if found.problem:
        return fact_of("SPF", found.problem, field=SENDER_ADDRESS)
    if found.default == "pass":
        message = "the SPF record ends in +all, which lets everybody send for the domain"
        problem = RelayProblem("spf-open", message, "end it in ~all or -all", Severity.WARNING)
        return fact_of("SPF", problem, field=SENDER_ADDRESS)
    return ok("SPF", f"{found.lookups} of {MAX_LOOKUPS} look-ups, others {found.default}")


def judge_relay(found: SpfFacts, include: str, host: str, addresses: Iterable[str]) -> CheckFact:
    """Say whether a record lists the relay: ``include`` is what its provider asks for, empty if that is not known."""
    name = "relay in SPF"
    if not found.is_usable:
        return not_tested(name, "there is no usable SPF record")
    if include and include in found.includes:
        return ok(name, f"includes {quoted(include)}")
    if found.lists(host, addresses):
        return ok(name, "lists the relay's name or address")
    if not include:
        return not_tested(name, "the address from which the relay sends is not visible here")
    message = f"the SPF record does not include {quoted(include)}, which the relay's provider asks for"
    hint = f"add include:{include} to it, unless the provider uses an envelope sender of its own"
    return fact_of(name, RelayProblem("spf-relay", message, hint, Severity.WARNING), field=SENDER_ADDRESS)
