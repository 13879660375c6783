"""Reads back what was written, and settles what is in doubt: a write whose answer never came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ztrust_mail.applying.writer import Attempt, failed, keep_stored_port_and_security
from ztrust_mail.core.errors import RealmError, ServerError, ServerUnreachable
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, Outgoing
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.journal.records import NOT_KEPT
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.planning.compare import SecretMode, WriteOutcome, compare, secret_fields, write_outcome
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.specfile.resolve import Desired

NOT_KNOWN = "not-known"
"""The rule of a finding that says that a write may or may not have arrived."""


@dataclass(frozen=True)
class Readback:
    """The outcome of one wave after the look at the server. ``unsettled`` are realms still in doubt.

    ``seen`` is False where the server shows nothing, so that its answers to the writes are all there is.
    """

    realms: Mapping[str, RealmPlan]
    unsettled: frozenset[str] = frozenset()
    interrupted: bool = False
    seen: bool = True


def read_back(attempts: Mapping[str, Attempt], gateway: Gateway, mode: SecretMode) -> Readback:
    """Return the realms with what the server made of each write, from one more reading."""
    done = {name: attempt.realm for name, attempt in attempts.items()}
    looked_for = [n for n, a in attempts.items() if a.in_doubt or a.realm.status is Status.APPLIED]
    if not looked_for:
        return Readback(done)
    if not gateway.capabilities.read:
        return _as_answered(attempts, gateway.dialect)
    try:
        names = {name: gateway.dialect.template_names(attempts[name].realm.wanted.fields) for name in looked_for}
        reading = read_with_templates(gateway, looked_for, names)
    except ServerError as e:
        return Readback(not_read_back(attempts, e.message), frozenset(looked_for))
    except KeyboardInterrupt:
        return Readback(not_read_back(attempts), frozenset(looked_for), interrupted=True)
    unsettled = set()
    for name in looked_for:
        done[name], settled = _settled(attempts[name], reading.realms[name], gateway, mode)
        if not settled:
            unsettled.add(name)
    return Readback(done, frozenset(unsettled))


def _as_answered(attempts: Mapping[str, Attempt], dialect: Dialect) -> Readback:
    """Take the server at its word: what it said was done holds what was sent, and what it did not answer is open."""
    realms, doubtful = {}, set()
    for name, attempt in attempts.items():
        realms[name] = attempt.realm
        if attempt.in_doubt:
            hint = "apply again: it writes the whole once more, which does no harm"
            realms[name] = failed(attempt.realm, RealmError("nothing shows whether it arrived", hint, NOT_KNOWN))
            doubtful.add(name)
        elif attempt.realm.status is Status.APPLIED:
            assert attempt.realm.live is not None  # a changed realm was read
            held = replace(attempt.realm.live, attributes=_as_sent(dialect, attempt.realm.wanted))
            realms[name] = replace(attempt.realm, live=held)
    return Readback(realms, frozenset(doubtful), seen=False)


def _as_sent(dialect: Dialect, wanted: Desired) -> Attributes:
    masks = dict.fromkeys(secret_fields(wanted.fields).values(), Secret(dialect.mask))
    sent = dialect.encode(wanted.fields, masks)
    return {name: dialect.mask if isinstance(text, Secret) else text for name, text in sent.items()}


def not_read_back(attempts: Mapping[str, Attempt], why: str = "interrupted") -> dict[str, RealmPlan]:
    """Return the realms of writes that nobody could look at: none of them counts as done."""
    written = [name for name, attempt in attempts.items() if attempt.realm.status is Status.APPLIED]
    message = f"{pluralise(len(written), 'realm')} written, not read back: {why}"
    lost = ServerUnreachable(message, "run apply --resume when the server is there", "not-read-back")
    return {name: failed(a.realm, lost) if name in written else a.realm for name, a in attempts.items()}


def _settled(
    attempt: Attempt, live: LiveRealm | RealmError, gateway: Gateway, mode: SecretMode
) -> tuple[RealmPlan, bool]:
    """Return the realm as the look at the server leaves it, and whether its fate is known."""
    realm = attempt.realm
    if isinstance(live, RealmError):
        return failed(realm, live), False
    if not attempt.in_doubt:
        return _checked(realm, live, gateway, mode), True
    assert realm.live is not None  # a changed realm was read
    match write_outcome(gateway.dialect, realm.wanted, realm.live.attributes, live.attributes):
        case WriteOutcome.ARRIVED:
            note = Finding(Severity.NOTE, "arrived", "no answer came, but the server holds it", realm=realm.realm)
            told = tuple(f for f in realm.findings if f.severity is not Severity.ERROR)
            return _checked(replace(realm, status=Status.APPLIED, findings=(*told, note)), live, gateway, mode), True
        case WriteOutcome.CANNOT_TELL:
            doubt = RealmError("it is not known whether the secret arrived", "run apply --resume", NOT_KNOWN)
            return failed(realm, doubt), False
        case _:
            return replace(realm, live=live), True


def _checked(realm: RealmPlan, live: LiveRealm, gateway: Gateway, mode: SecretMode) -> RealmPlan:
    assert realm.live is not None  # a changed realm was read
    lost = [n for n in realm.difference.unmanaged if live.attributes.get(n) != realm.live.attributes[n]]
    different = [change.field for change in compare(gateway.dialect, realm.wanted, live.attributes).changes] + lost
    if not different:
        notes = _stored_otherwise(realm, live.attributes, gateway, mode)
        return replace(realm, live=live, findings=(*realm.findings, *notes))
    names = ", ".join(quoted(name) for name in different)
    refused = RealmError(f"{NOT_KEPT} {names} as written", "run plan to see what it holds", "not-kept")
    return replace(failed(realm, refused), live=live)


def _stored_otherwise(realm: RealmPlan, stored: Attributes, gateway: Gateway, mode: SecretMode) -> Sequence[Finding]:
    """Tell which attributes the server left out of what was written, meaning the same to it."""
    sent: Outgoing = gateway.dialect.encode(_without_secrets(realm.wanted.fields), {})
    if mode is SecretMode.KEEP:
        sent = keep_stored_port_and_security(gateway.dialect, realm, sent)
    if not (dropped := sorted({n for n, v in sent.items() if v} - stored.keys())):
        return ()
    message = f"the server left out {', '.join(quoted(name) for name in dropped)}, which means the same to it"
    return (Finding(Severity.NOTE, "normalised", message, realm=realm.realm),)


def _without_secrets(fields: FieldMap) -> FieldMap:
    secret = secret_fields(fields)
    return {name: value for name, value in fields.items() if name not in secret}
