"""Secrets that the server hides: what the journal tells of them, and what would be lost by writing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ztrust_mail.core.errors import SecretError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.journal.records import _NOTHING_KNOWN, JournalState, LastKnown, Write
from ztrust_mail.model.fields import HOST, LOGIN, TOKEN_CLIENT_ID, TOKEN_URL, USERNAME, Masked
from ztrust_mail.planning.compare import SecretMode, SecretState, compare, hidden_secrets, secret_fields
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.specfile.resolve import Desired

WHERE = (HOST, LOGIN, USERNAME, TOKEN_URL, TOKEN_CLIENT_ID)
"""Where and as whom a realm logs in: while these stay, its secret most likely does, and goes nowhere new."""

Values = Mapping[SecretRef, Secret | SecretError]


def judge_secrets(
    planned: Sequence[RealmPlan], dialect: Dialect, mode: SecretMode, memory: JournalState, secrets: SecretStore | None
) -> list[RealmPlan]:
    """Return the realms with the state of each hidden secret, and to be written where one is known to differ.

    Only references that the policy permits are resolved, each once, and only where their value says something:
    where the journal knows a fingerprint, or the realm is to be written.
    """
    values = secrets.get(ref for realm in planned for ref in _telling(realm, dialect, memory)) if secrets else {}
    _take_fingerprints(planned, dialect, memory, values)
    return [_looked_at(realm, dialect, mode, memory, values) for realm in planned]


def _take_fingerprints(planned: Sequence[RealmPlan], dialect: Dialect, memory: JournalState, values: Values) -> None:
    """Have the fingerprints taken that will be compared: each takes its time, and several processors may help."""
    compared = {ref for realm in planned if _is_readable(realm) for ref in _known(realm, dialect, memory)}
    found = [value for ref in compared if isinstance(value := values.get(ref), Secret)]
    if len(found) > 1:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(memory.fingerprint, found))


def _is_readable(realm: RealmPlan) -> bool:
    return realm.live is not None and realm.status in (Status.CHANGED, Status.IN_SYNC)


def _telling(realm: RealmPlan, dialect: Dialect, memory: JournalState) -> Sequence[SecretRef]:
    """Return the references whose values are needed to judge a realm."""
    if not _is_readable(realm) or realm.forbidden:
        return ()
    if realm.changes:
        return tuple(secret_fields(realm.wanted.fields).values())
    return _known(realm, dialect, memory)


def _known(realm: RealmPlan, dialect: Dialect, memory: JournalState) -> tuple[SecretRef, ...]:
    """Return the references of hidden secrets that the journal wrote before."""
    known = _known_fingerprints(memory.of(realm.realm))
    return tuple(ref for name, ref in _hidden(realm, dialect).items() if name in known) if known else ()


def _hidden(realm: RealmPlan, dialect: Dialect) -> dict[str, SecretRef]:
    return hidden_secrets(dialect, realm.wanted, realm.live.attributes) if realm.live else {}


def _known_fingerprints(known: LastKnown) -> Mapping[str, str]:
    return known.last.fingerprints if known.last else {}


def _looked_at(realm: RealmPlan, dialect: Dialect, mode: SecretMode, memory: JournalState, values: Values) -> RealmPlan:
    if not _is_readable(realm) or realm.live is None:
        return realm
    known = memory.of(realm.realm)
    moved = changed_login_fields(dialect, known.last, realm.live.attributes)
    rewritten = memory.rewritten.get(realm.realm, ())
    states = {
        name: SecretState.CHANGED if name in rewritten else _state(name, values.get(ref), known, memory.fingerprint)
        for name, ref in _hidden(realm, dialect).items()
    }
    doubtful = [name for name, state in states.items() if moved and state is SecretState.UNCHANGED]
    states |= dict.fromkeys(doubtful, SecretState.UNKNOWN)
    if SecretState.CHANGED in states.values():
        difference = compare(dialect, realm.wanted, realm.live.attributes, mode, states)
        realm = replace(realm, difference=difference, status=Status.CHANGED if difference.changes else realm.status)
    unresolved = {
        name: value
        for name, ref in secret_fields(realm.wanted.fields).items()
        if isinstance(value := values.get(ref), SecretError)
    }
    losses = _losses(realm, dialect, mode, _NOTHING_KNOWN if moved else known, states)
    told = [_not_to_be_had(realm.wanted, name, e) for name, e in unresolved.items()]
    findings = (*realm.findings, *told, *(_in_doubt(realm.realm, name, moved) for name in doubtful))
    return replace(realm, secrets=states, unresolved=unresolved, losses=losses, findings=findings)


def _not_to_be_had(wanted: Desired, name: str, e: SecretError) -> Finding:
    message = f"`{name}` can neither be compared nor written: {e.message}"
    place = wanted.origins.get(name)
    return Finding(Severity.WARNING, e.rule, message, e.hint, place, wanted.realm, name)


def changed_login_fields(dialect: Dialect, last: Write | None, live: Attributes) -> tuple[str, ...]:
    """Return by which fields a realm logs in elsewhere, or as somebody else, than the last write left it.

    Whoever changed these most likely gave it a secret that goes with them.
    """
    if last is None or last.after is None or last.after == dialect.mask_secrets(live):
        return ()
    then, now = dialect.decode(last.after), dialect.decode(live)
    return tuple(n for n in WHERE if dialect.effective_value(n, then.get(n)) != dialect.effective_value(n, now.get(n)))


def _in_doubt(realm: str, name: str, moved: Sequence[str]) -> Finding:
    since = f"{' and '.join(quoted(one) for one in moved)} changed on the server since"
    message = f"`{name}` may be another than the one last written: {since}"
    return Finding(Severity.NOTE, "secret-in-doubt", message, "what is stored cannot be seen", realm=realm, field=name)


def _state(
    name: str, value: Secret | SecretError | None, known: LastKnown, fingerprint: Callable[[Secret], str]
) -> SecretState:
    if known.doubt and name in known.doubt.fingerprints:
        return SecretState.CHANGED  # perhaps it is there: writing it once more does no harm
    last = _known_fingerprints(known).get(name)
    if last is None or not isinstance(value, Secret):
        return SecretState.UNKNOWN
    return SecretState.UNCHANGED if fingerprint(value) == last else SecretState.CHANGED


def _losses(
    realm: RealmPlan, dialect: Dialect, mode: SecretMode, known: LastKnown, states: Mapping[str, SecretState]
) -> dict[str, str]:
    """Return the hidden secrets that a write takes away, with the reference they last came from, if it is known."""
    if not realm.changes or realm.live is None:
        return {}
    intent = known.last.intent if known.last and known.last.intent else {}
    changed = {change.field for change in realm.changes}
    lost = {}
    for name, value in dialect.decode(realm.live.attributes).items():
        replaced = name in states and states[name] is not SecretState.UNCHANGED and mode is not SecretMode.KEEP
        if isinstance(value, Masked) and (replaced or (name in changed and name not in states)):
            source = intent.get(name) if name in _known_fingerprints(known) else None
            lost[name] = str(source) if isinstance(source, SecretRef) else ""
    return lost
