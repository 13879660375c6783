"""The DMARC record of a domain: its policy, and whether an envelope sender is aligned with From."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ztrust_mail.core.findings import Severity
from ztrust_mail.kits.dns_client import DnsClient, DnsFailed, not_answered
from ztrust_mail.kits.result import CheckFact, fact_of, not_tested, ok
from ztrust_mail.model.fields import ENVELOPE_FROM, SENDER_ADDRESS
from ztrust_mail.probing.outcome import RelayProblem

_MAX_LABELS = 8
_RECORD = re.compile(r"v\s*=\s*DMARC1\s*(;|$)", re.IGNORECASE)
_PSD = re.compile(r";\s*psd\s*=\s*([ynu])\s*(;|$)", re.IGNORECASE)
_STRICT = ("quarantine", "reject")


@dataclass(frozen=True)
class DmarcFacts:
    """A DMARC record. ``failure`` is the reason why DNS did not return it, ``problem`` what is wrong with it.

    ``policy`` is the effective one for the domain, empty without a record. ``is_inherited`` means that the record is a
    parent's. ``is_strict`` means that From and envelope sender must have the same domain.
    """

    failure: str = ""
    problem: RelayProblem | None = None
    policy: str = ""
    is_inherited: bool = False
    is_strict: bool = False


def look_up_dmarc(client: DnsClient, domain: str) -> DmarcFacts:
    """Return what holds for a From domain: its own record, or that of a parent (RFC 9989)."""
    from checkdmarc import dmarc

    try:
        client.look_up(f"_dmarc.{domain}", "TXT")  # the library hides failures of DNS
        if client.look_up(domain, "TXT") is None:
            hint = "correct sender.address, or register the domain"
            return DmarcFacts(problem=RelayProblem("sender-domain", "the From domain does not exist", hint))
    except DnsFailed as e:
        return DmarcFacts(failure=e.reason)
    how = {"resolver": client.resolver, "nameservers": client.nameservers, "timeout": client.seconds}
    try:
        query = dmarc.query_dmarc_record(domain, ignore_unrelated_records=True, **how)
        tags = dmarc.parse_dmarc_record(query["record"], query["location"], ignore_unrelated_records=True, **how)[
            "tags"
        ]
    except dmarc.DMARCRecordNotFound:
        return DmarcFacts()
    except dmarc.DMARCError as e:
        if type(e) is dmarc.DMARCError:  # the library's class for failures of DNS
            return DmarcFacts(failure="a name server failed, or did not answer")
        return DmarcFacts(problem=_broken(e))
    except Exception:  # unexpected by the library
        return DmarcFacts(failure="the record cannot be evaluated")
    is_inherited = query["location"] != domain
    own = tags["p"]["value"] if "p" in tags else "none"
    policy = tags["sp"]["value"] if is_inherited and "sp" in tags else own
    return DmarcFacts("", None, str(policy), is_inherited, str(tags["aspf"]["value"]).lower() == "s")


def _broken(e: Exception) -> RelayProblem:
    from checkdmarc import dmarc

    reasons = {
        dmarc.MultipleDMARCRecords: ("has several DMARC records, so receivers ignore all", "keep one"),
        dmarc.DMARCRecordStartsWithWhitespace: ("has a DMARC record that begins with a blank", "remove the blank"),
        dmarc.DMARCRecordInWrongLocation: ("has its DMARC record at the wrong name", "move it to _dmarc.DOMAIN"),
    }
    what, hint = reasons.get(
        type(e), ("has a DMARC record with a syntax error", "dig +short TXT _dmarc.DOMAIN shows it")
    )
    return RelayProblem("dmarc-broken", f"the From domain {what}", hint)


def find_organisation(client: DnsClient, domain: str) -> str:
    """Return the organisational domain of a domain by the tree walk of RFC 9989. Raises :class:`DnsFailed`."""
    found = domain
    for name in _walk(domain):
        records = [one for one in client.look_up(f"_dmarc.{name}", "TXT") or () if _RECORD.match(one)]
        if len(records) != 1:
            continue
        suffix = _PSD.search(records[0])
        kind = suffix[1].lower() if suffix else "u"
        if kind == "y" and name != domain:
            return domain[: -len(name) - 1].rpartition(".")[2] + f".{name}"
        found = name
        if kind == "n":
            break
    return found


def _walk(domain: str) -> Iterator[str]:
    """Yield a domain and its parents, at most eight names."""
    labels = domain.split(".")
    yield domain
    for start in range(max(1, len(labels) - _MAX_LABELS + 1), len(labels)):
        yield ".".join(labels[start:])


def judge_dmarc(found: DmarcFacts) -> CheckFact:
    """Say which policy holds."""
    if found.failure:
        return not_answered("DMARC", found.failure)
    if found.problem:
        return fact_of("DMARC", found.problem, field=SENDER_ADDRESS)
    if not found.policy:
        message = "the From domain has no DMARC record, which large mailbox providers ask for"
        hint = "publish a TXT record at _dmarc.DOMAIN, at first: v=DMARC1; p=none; rua=mailto:ADDRESS"
        return fact_of("DMARC", RelayProblem("dmarc-missing", message, hint, Severity.WARNING), field=SENDER_ADDRESS)
    whose = ", by a parent domain" if found.is_inherited else ""
    return ok("DMARC", f"policy {found.policy}{whose}")


def judge_alignment(client: DnsClient, found: DmarcFacts, sender: str, envelope: str) -> CheckFact:
    """Return whether SPF of the envelope sender counts for From, as a fact."""
    name = "alignment"
    if sender == envelope:
        return ok(name, "From and envelope sender have the same domain")
    if found.failure or found.problem or not found.policy:
        return not_tested(name, "there is no usable DMARC record")
    try:
        is_aligned = not found.is_strict and find_organisation(client, sender) == find_organisation(client, envelope)
    except DnsFailed as e:
        return not_answered(name, e.reason)
    if is_aligned:
        return ok(name, "From and envelope sender belong to one organisation")
    mode = "strict (aspf=s)" if found.is_strict else "relaxed"
    message = f"the envelope sender's domain is not aligned with From ({mode}), so SPF does not count for DMARC"
    effect = _effect_of(found.policy)
    hint = f"set envelope_from to an address of the From domain; else mails depend on DKIM alone ({effect})"
    return fact_of(name, RelayProblem("dmarc-alignment", message, hint, Severity.WARNING), field=ENVELOPE_FROM)


def _effect_of(policy: str) -> str:
    return f"receivers {policy} the others" if policy in _STRICT else "the policy is none"
