"""The check ``sender``: whether DNS lets the relay send for the From address. What only others know is not tested."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.kits.dmarc import DmarcFacts, judge_alignment, judge_dmarc, look_up_dmarc
from ztrust_mail.kits.dns_client import DNS_FAILED, LOOKUP_SECONDS, DnsClient, DnsFailed, domain_of, not_answered
from ztrust_mail.kits.kit import Candidate, CheckContext, Kit
from ztrust_mail.kits.result import CheckedSubject, CheckFact, CheckRun, fact_of, not_tested, ok
from ztrust_mail.kits.spf import SpfFacts, judge_relay, judge_spf, look_up_spf
from ztrust_mail.model.fields import ENVELOPE_FROM, HOST, REPLY_TO_ADDRESS, SENDER_ADDRESS, text_of
from ztrust_mail.probing.outcome import RelayProblem
from ztrust_mail.providers.presets import look_up, provider_of

MAX_AT_ONCE = 8
"""How many domains are looked up at the same time."""

Name = TypeVar("Name")
Found = TypeVar("Found")


@dataclass(frozen=True)
class SenderUse:
    """The domains of a realm's addresses, in lower case, and its relay. ``reply`` is empty without a reply address."""

    sender: str
    envelope: str
    reply: str
    host: str

    def __str__(self) -> str:
        others = f" (envelope sender {self.envelope})" if self.envelope != self.sender else ""
        return f"{self.sender}{others} via {self.host}"


@dataclass(frozen=True)
class SenderFacts:
    """What DNS says about a use."""

    spf: SpfFacts
    dmarc: DmarcFacts
    relay: CheckFact
    alignment: CheckFact
    replies: CheckFact | None
    bounces: CheckFact


class SenderKit(Kit[SenderUse, SenderFacts]):
    """Looks up SPF, DMARC and MX, each domain once.

    ``server`` is the resolver to ask, the system's if None; ``seconds`` is the time limit of a lookup.
    """

    name = "sender"

    def __init__(self, server: tuple[str, int] | None = None, seconds: float = LOOKUP_SECONDS) -> None:
        self._client = DnsClient(server, seconds)

    def select(self, candidate: Candidate) -> SenderUse | Finding | None:
        """Return the domains of a realm that sends."""
        if isinstance(candidate.wanted, Finding):
            return candidate.wanted
        fields = candidate.fields or {}
        sender, host = domain_of(text_of(fields, SENDER_ADDRESS)), text_of(fields, HOST).lower().rstrip(".")
        if not sender or not host:
            return None
        envelope = domain_of(text_of(fields, ENVELOPE_FROM)) or sender
        return SenderUse(sender, envelope, domain_of(text_of(fields, REPLY_TO_ADDRESS)), host)

    def probe(
        self, uses: Mapping[SenderUse, Sequence[Candidate]], context: CheckContext
    ) -> Mapping[SenderUse, SenderFacts]:
        """Look up the records of each domain once, several domains at a time."""
        with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
            try:
                return self._look_up(pool, uses, context)
            except BaseException:  # an interruption does not wait for lookups that have not started
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _look_up(
        self, pool: ThreadPoolExecutor, uses: Mapping[SenderUse, Sequence[Candidate]], context: CheckContext
    ) -> dict[SenderUse, SenderFacts]:
        client = self._client
        spf = _each(pool, [one.envelope for one in uses], lambda name: look_up_spf(client, name))
        dmarc = _each(pool, [one.sender for one in uses], lambda name: look_up_dmarc(client, name))
        hosts = _each(pool, [one.host for one in uses], lambda name: _addresses(client, name))
        mail = _each(pool, [d for one in uses for d in (one.envelope, one.reply) if d], lambda d: _accepts(client, d))
        pairs = [(one.sender, one.envelope) for one in uses]
        alike = _each(pool, pairs, lambda two: judge_alignment(client, dmarc[two[0]], *two))
        seen = {}
        for one, users in uses.items():
            include = _include_of(one.host)
            seen[one] = SenderFacts(
                spf[one.envelope],
                dmarc[one.sender],
                judge_relay(spf[one.envelope], include, one.host, hosts[one.host]),
                alike[one.sender, one.envelope],
                judge_mail("replies", mail[one.reply], REPLY_TO_ADDRESS) if one.reply else None,
                judge_mail("bounces", mail[one.envelope], ENVELOPE_FROM),
            )
            context.done(len(users))
        return seen

    def judge(self, subject: SenderUse, seen: SenderFacts, users: Sequence[Candidate]) -> CheckedSubject:
        """Return whether the relay may send for the From address according to DNS, as facts."""
        facts = [judge_spf(seen.spf), seen.relay, judge_dmarc(seen.dmarc), seen.alignment]
        facts += [seen.replies] if seen.replies else []
        facts += [seen.bounces, not_tested("DKIM", "only the relay knows the selector")]
        return CheckedSubject(str(subject), tuple(one.realm for one in users), tuple(facts))

    def close(self, run: CheckRun) -> tuple[tuple[str, ...], str]:
        """Return what proves more than DNS."""
        said = "DNS shows what receivers look up. DKIM, and the address that the relay sends from, show in a mail:"
        return (f"{said} send one, and read its Authentication-Results header.",), ""


def _each(pool: ThreadPoolExecutor, names: Sequence[Name], work: Callable[[Name], Found]) -> dict[Name, Found]:
    """Return the result of the work for each distinct name."""
    distinct = list(dict.fromkeys(names))
    return dict(zip(distinct, pool.map(work, distinct), strict=True))


def _addresses(client: DnsClient, host: str) -> tuple[str, ...]:
    try:
        return tuple(client.addresses(host))
    except DnsFailed:
        return ()


def _include_of(host: str) -> str:
    """Return the domain that the provider of a relay asks senders to include, empty if that is not known."""
    provider = provider_of(host)
    return look_up(provider).spf if provider else ""


def _accepts(client: DnsClient, domain: str) -> str | RelayProblem:
    """Return how a domain receives mail, or the problem that it does not; a DNS failure is a note."""
    try:
        records = client.look_up(domain, "MX")
        if records is None:
            return RelayProblem("mail-domain", "does not exist")
        hosts = [host for one in records if (host := one.split()[-1].rstrip("."))]
        if hosts:
            return pluralise(len(hosts), "mail exchanger")
        if records:
            return RelayProblem("mail-domain", "says that it receives no mail (null MX)")
        if client.addresses(domain):
            return "its own address, without MX"
    except DnsFailed as e:
        return RelayProblem(DNS_FAILED, e.reason, severity=Severity.NOTE)
    return RelayProblem("mail-domain", "has neither an MX record nor an address")


def judge_mail(name: str, found: str | RelayProblem, field: str) -> CheckFact:
    """Return whether replies or bounces arrive, as facts."""
    if isinstance(found, str):
        return ok(name, found)
    if found.rule == DNS_FAILED:
        return not_answered(name, found.message, "are")
    severity = Severity.ERROR if field == REPLY_TO_ADDRESS else Severity.WARNING
    hint = f"set {field} to an address that receives mail"
    return fact_of(
        name, RelayProblem("mail-domain", f"the domain of {name} {found.message}", hint, severity), field=field
    )
