"""What a check before a switch found as data for the JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztrust_mail.core.data import JsonLike
    from ztrust_mail.kits.result import CheckedRealm, CheckedSubject, CheckFact

    Data = Mapping[str, JsonLike]


def realm_data(realm: CheckedRealm) -> Data:
    """Return a realm with the subject that it uses, without its findings."""
    return {"realm": realm.realm, "status": realm.status.value, "changes": [], "subject": realm.subject}


def subject_data(subject: CheckedSubject) -> Data:
    """Return all facts of a subject."""
    return {
        "subject": subject.name,
        "status": subject.status.value,
        "realms": list(subject.realms),
        "facts": [_fact(one) for one in subject.facts],
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
