"""Reads back what was written, and finds out what became of writes that got no answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ztrust_mail.applying.writer import Attempt, keep_stored_port_and_security, mark_failed
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
"""The rule of a finding about a write whose outcome is unknown."""


@dataclass(frozen=True)
class Readback:
    """The outcome of one wave after it was read back. ``unknown`` are the realms whose outcome is still unknown.

    ``is_read`` is False where the server shows no settings: then its answers to the writes are all there is.
    """

    realms: Mapping[str, RealmPlan]
    unknown: frozenset[str] = frozenset()
    interrupted: bool = False
    is_read: bool = True


def read_back(attempts: Mapping[str, Attempt], gateway: Gateway, mode: SecretMode) -> Readback:
    """Read the written realms once more, and return what the server made of each write."""
    done = {name: attempt.realm for name, attempt in attempts.items()}
    to_read = [n for n, a in attempts.items() if a.is_unknown or a.realm.status is Status.APPLIED]
    if not to_read:
        return Readback(done)
    if not gateway.capabilities.read:
        return _trust_answers(attempts, gateway.dialect)
    try:
        names = {name: gateway.dialect.template_names(attempts[name].realm.wanted.fields) for name in to_read}
        reading = read_with_templates(gateway, to_read, names)
    except ServerError as e:
        return Readback(not_read_back(attempts, e.message), frozenset(to_read))
    except KeyboardInterrupt:
        return Readback(not_read_back(attempts), frozenset(to_read), interrupted=True)
    unknown = set()
    for name in to_read:
        done[name], is_known = _resolve_attempt(attempts[name], reading.realms[name], gateway, mode)
        if not is_known:
            unknown.add(name)
    return Readback(done, frozenset(unknown))


def _trust_answers(attempts: Mapping[str, Attempt], dialect: Dialect) -> Readback:
    """Return the outcome by the answers alone: an accepted write counts as stored, one without answer is unknown."""
    realms, unknown = {}, set()
    for name, attempt in attempts.items():
        realms[name] = attempt.realm
        if attempt.is_unknown:
            message = "unknown outcome: the server gave no answer, and it shows no settings"
            hint = "apply again; writing the same settings twice does no harm"
            realms[name] = mark_failed(attempt.realm, RealmError(message, hint, NOT_KNOWN))
            unknown.add(name)
        elif attempt.realm.status is Status.APPLIED:
            assert attempt.realm.live is not None  # a changed realm was read
            stored = replace(attempt.realm.live, attributes=_sent_attributes(dialect, attempt.realm.wanted))
            realms[name] = replace(attempt.realm, live=stored)
    return Readback(realms, frozenset(unknown), is_read=False)


def _sent_attributes(dialect: Dialect, wanted: Desired) -> Attributes:
    """Return the attributes that were sent, secrets masked."""
    masks = dict.fromkeys(secret_fields(wanted.fields).values(), Secret(dialect.mask))
    sent = dialect.encode(wanted.fields, masks)
    return {name: dialect.mask if isinstance(text, Secret) else text for name, text in sent.items()}


def not_read_back(attempts: Mapping[str, Attempt], why: str = "interrupted") -> dict[str, RealmPlan]:
    """Return the realms of writes that could not be read back: none of them counts as done."""
    written = [name for name, attempt in attempts.items() if attempt.realm.status is Status.APPLIED]
    message = f"{pluralise(len(written), 'realm')} written, not read back: {why}"
    hint = "when the server can be reached, run: ztrust-mail apply SPEC... --resume"
    lost = ServerUnreachable(message, hint, "not-read-back")
    return {name: mark_failed(a.realm, lost) if name in written else a.realm for name, a in attempts.items()}


def _resolve_attempt(
    attempt: Attempt, live: LiveRealm | RealmError, gateway: Gateway, mode: SecretMode
) -> tuple[RealmPlan, bool]:
    """Return the outcome of one write by a fresh read, and whether it is known."""
    realm = attempt.realm
    if isinstance(live, RealmError):
        return mark_failed(realm, live), False
    if not attempt.is_unknown:
        return _verify(realm, live, gateway, mode), True
    assert realm.live is not None  # a changed realm was read
    match write_outcome(gateway.dialect, realm.wanted, realm.live.attributes, live.attributes):
        case WriteOutcome.ARRIVED:
            note = Finding(
                Severity.NOTE, "arrived", "the server gave no answer, but it stores the new settings", realm=realm.realm
            )
            others = tuple(f for f in realm.findings if f.severity is not Severity.ERROR)
            arrived = replace(realm, status=Status.APPLIED, findings=(*others, note))
            return _verify(arrived, live, gateway, mode), True
        case WriteOutcome.CANNOT_TELL:
            message = "unknown outcome: the server hides the secret, so it does not show whether it was stored"
            hint = "run: ztrust-mail apply SPEC... --resume"
            return mark_failed(realm, RealmError(message, hint, NOT_KNOWN)), False
        case _:
            return replace(realm, live=live), True


def _verify(realm: RealmPlan, live: LiveRealm, gateway: Gateway, mode: SecretMode) -> RealmPlan:
    """Return a written realm as failed where the server stores something else than was written."""
    assert realm.live is not None  # a changed realm was read
    lost = [n for n in realm.difference.unmanaged if live.attributes.get(n) != realm.live.attributes[n]]
    different = [change.field for change in compare(gateway.dialect, realm.wanted, live.attributes).changes] + lost
    if not different:
        notes = _normalised_note(realm, live.attributes, gateway, mode)
        return replace(realm, live=live, findings=(*realm.findings, *notes))
    names = ", ".join(quoted(name) for name in different)
    different_now = RealmError(
        f"{NOT_KEPT} {names} as written", "to see what is stored, run: ztrust-mail plan SPEC...", "not-kept"
    )
    return replace(mark_failed(realm, different_now), live=live)


def _normalised_note(realm: RealmPlan, stored: Attributes, gateway: Gateway, mode: SecretMode) -> Sequence[Finding]:
    """Return a note on attributes that the server dropped because they say what is its default."""
    sent: Outgoing = gateway.dialect.encode(_without_secrets(realm.wanted.fields), {})
    if mode is SecretMode.KEEP:
        sent = keep_stored_port_and_security(gateway.dialect, realm, sent)
    if not (dropped := sorted({n for n, v in sent.items() if v} - stored.keys())):
        return ()
    message = f"the server dropped {', '.join(quoted(name) for name in dropped)}, which means the same there"
    return (Finding(Severity.NOTE, "normalised", message, realm=realm.realm),)


def _without_secrets(fields: FieldMap) -> FieldMap:
    secret = secret_fields(fields)
    return {name: value for name, value in fields.items() if name not in secret}
