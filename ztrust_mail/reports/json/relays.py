"""What probes and checks found, and what follows from it for a test, as data for the JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ztrust_mail.core.text import to_iso

if TYPE_CHECKING:
    from ztrust_mail.core.data import JsonLike
    from ztrust_mail.diagnose.verdict import Diagnosis
    from ztrust_mail.kits.result import CheckedSubject, CheckFact
    from ztrust_mail.probing.outcome import RelayOutcome, Reply, StageOutcome, TlsFacts, TokenFacts

    Data = Mapping[str, JsonLike]


def relay_data(found: RelayOutcome) -> Data:
    """Return all data about a relay."""
    relay = found.relay
    return {
        "relay": str(relay),
        "host": relay.host,
        "port": relay.port,
        "security": relay.security.value,
        "login": relay.login.value,
        "username": relay.username,
        "secret": str(relay.secret) if relay.secret else None,
        "status": found.status.value,
        "seconds": round(found.seconds, 3),
        "realms": list(found.realms),
        "addresses": [
            {"address": one.address, "status": one.status.value, "detail": one.detail, "seconds": round(one.seconds, 3)}
            for one in found.addresses
        ],
        "stages": [_stage(one) for one in found.stages],
        "features": list(found.features),
        "tls": _tls(found.tls) if found.tls else None,
        "token": _token(found.token) if found.token else None,
        "senders": [
            {"address": one.address, "status": one.status.value, "reply": _reply(one.reply)} for one in found.senders
        ],
        "message_id": found.message_id or None,
        "transcript": [{"mark": one.mark.strip(), "text": one.text} for one in found.transcript],
    }


def subject_data(subject: CheckedSubject) -> Data:
    """Return all facts of a subject."""
    return {
        "subject": subject.name,
        "status": subject.status.value,
        "realms": list(subject.realms),
        "facts": [_fact(one) for one in subject.facts],
    }


def diagnosis_data(one: Diagnosis) -> Data:
    """Return both sides of a test, and the verdict."""
    verdict = one.verdict
    return {
        "relay": str(one.relay),
        "realms": list(one.realms),
        "server": {
            "sent": one.answer.is_sent,
            "message": one.answer.message,
            "seconds": round(one.answer.seconds, 3),
        },
        "probe": relay_data(one.probe),
        "rule": verdict.rule,
        "severity": verdict.severity.value,
        "cause": verdict.cause,
        "explanation": verdict.explanation,
        "hint": verdict.next_step,
        "possible_causes": [
            {"id": cause.id, "text": cause.text, "hint": cause.check, "likely": cause.is_likely}
            for cause in verdict.possible_causes
        ],
    }


def _fact(fact: CheckFact) -> Data:
    return {
        "fact": fact.name,
        "status": fact.status.value,
        "detail": fact.detail,
        "rule": fact.rule,
        "hint": fact.problem.hint if fact.problem else "",
        "realms": list(fact.realms),
    }


def _stage(one: StageOutcome) -> Data:
    return {
        "stage": one.stage.value,
        "status": one.status.value,
        "detail": one.detail,
        "seconds": round(one.seconds, 3),
        "reply": _reply(one.reply),
        "encrypted": one.encrypted,
        "rule": one.rule,
        "hint": one.finding.hint if one.finding else "",
    }


def _reply(reply: Reply | None) -> Data | None:
    return {"code": reply.code, "enhanced": reply.enhanced or None, "text": reply.text} if reply else None


def _tls(facts: TlsFacts) -> Data:
    return {
        "version": facts.version,
        "cipher": facts.cipher,
        "problems": list(facts.problems),
        "chain": [
            {
                "subject": one.subject,
                "issuer": one.issuer,
                "names": list(one.names),
                "not_before": to_iso(one.not_before),
                "not_after": to_iso(one.not_after),
                "days_left": one.days_left,
            }
            for one in facts.chain
        ],
    }


def _token(facts: TokenFacts) -> Data:
    return {
        "audience": list(facts.audience),
        "roles": list(facts.roles),
        "scopes": list(facts.scopes),
        "expires": to_iso(facts.expires) if facts.expires else None,
    }
