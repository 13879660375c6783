"""Reads written realms back, and settles writes that got no response."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ztrust_mail.applying.outcome import RealmOutcome
from ztrust_mail.applying.writer import keep_stored_port_and_security
from ztrust_mail.core.errors import RealmError, ServerError, ServerUnreachable
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, Outgoing
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.journal.records import NOT_KEPT, Step
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.planning.compare import SecretMode, WriteOutcome, compare, secret_fields, write_outcome
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.specfile.resolve import Desired

NOT_KNOWN = "not-known"
"""The rule of a finding about a write whose outcome is unknown."""


def read_back(attempts: Mapping[str, RealmOutcome], gateway: Gateway, mode: SecretMode) -> dict[str, RealmOutcome]:
    """Read the written realms again, and return the outcome of each write."""
    to_read = {name: attempt for name, attempt in attempts.items() if attempt.step.in_doubt}
    if not to_read:
        return dict(attempts)
    if not gateway.capabilities.read:
        return {name: _trust_answer(attempt, gateway.dialect) for name, attempt in attempts.items()}
    names = {n: gateway.dialect.template_names(attempt.plan.wanted.fields) for n, attempt in to_read.items()}
    try:
        found = read_with_templates(gateway, to_read, names).realms
    except ServerError as e:
        return not_read_back(attempts, e.message)
    return {**attempts, **{n: _resolve_attempt(attempt, found[n], gateway, mode) for n, attempt in to_read.items()}}


def _trust_answer(attempt: RealmOutcome, dialect: Dialect) -> RealmOutcome:
    """Return the outcome by the response alone: an accepted write counts as stored, one without response as unknown."""
    if attempt.step is Step.WRITING:
        message = "unknown outcome: the server gave no answer, and it shows no settings"
        hint = "apply again; writing the same settings twice does no harm"
        return attempt.fail(RealmError(message, hint, NOT_KNOWN), Step.WRITING)
    if attempt.step is not Step.WRITTEN:
        return attempt
    assert attempt.live is not None  # a changed realm was read
    stored = replace(attempt.live, attributes=_sent_attributes(dialect, attempt.plan.wanted))
    return replace(attempt, step=Step.ACCEPTED, live=stored)


def _sent_attributes(dialect: Dialect, wanted: Desired) -> Attributes:
    """Return the attributes that were sent, secrets masked."""
    masks = dict.fromkeys(secret_fields(wanted.fields).values(), Secret(dialect.mask))
    sent = dialect.encode(wanted.fields, masks)
    return {name: dialect.mask if isinstance(text, Secret) else text for name, text in sent.items()}


def not_read_back(attempts: Mapping[str, RealmOutcome], why: str) -> dict[str, RealmOutcome]:
    """Return the outcomes of writes that could not be read back: none of them counts as done."""
    written = [name for name, attempt in attempts.items() if attempt.step is Step.WRITTEN]
    message = f"{pluralise(len(written), 'realm')} written, not read back: {why}"
    hint = "when the server can be reached, run: ztrust-mail apply SPEC... --resume"
    lost = ServerUnreachable(message, hint, "not-read-back")
    return {**attempts, **{name: attempts[name].fail(lost, Step.WRITTEN) for name in written}}


def _resolve_attempt(
    attempt: RealmOutcome, live: LiveRealm | RealmError, gateway: Gateway, mode: SecretMode
) -> RealmOutcome:
    """Return the outcome of one write by a fresh read; if that shows nothing, the outcome remains unknown."""
    if isinstance(live, RealmError):
        return attempt.fail(live, attempt.step)
    if attempt.step is Step.WRITTEN:
        return _verify(attempt, live, gateway, mode)
    match write_outcome(gateway.dialect, attempt.plan.wanted, attempt.plan.attributes, live.attributes):
        case WriteOutcome.ARRIVED:
            message = "the server gave no answer, but it stores the new settings"
            note = Finding(Severity.NOTE, "arrived", message, realm=attempt.realm)
            others = tuple(f for f in attempt.findings if f.severity is not Severity.ERROR)
            return _verify(replace(attempt, status=Status.APPLIED, findings=(*others, note)), live, gateway, mode)
        case WriteOutcome.CANNOT_TELL:
            message = "unknown outcome: the server hides the secret, so it does not show whether it was stored"
            hint = "run: ztrust-mail apply SPEC... --resume"
            return attempt.fail(RealmError(message, hint, NOT_KNOWN), attempt.step)
        case _:
            step = Step.SKIPPED if attempt.status is Status.SKIPPED else Step.FAILED
            return replace(attempt, step=step, live=live)


def _verify(written: RealmOutcome, live: LiveRealm, gateway: Gateway, mode: SecretMode) -> RealmOutcome:
    """Return a written realm as failed if the server did not store what was written."""
    planned, written = written.plan, replace(written, live=live)
    lost = [n for n in planned.difference.unmanaged if live.attributes.get(n) != planned.attributes[n]]
    different = [change.field for change in compare(gateway.dialect, planned.wanted, live.attributes).changes] + lost
    if not different:
        notes = _normalised_note(planned, live.attributes, gateway, mode)
        return written.move_to(Status.APPLIED, Step.VERIFIED, *notes)
    names = ", ".join(quoted(name) for name in different)
    hint = "to see what is stored, run: ztrust-mail plan SPEC..."
    return written.fail(RealmError(f"{NOT_KEPT} {names} as written", hint, "not-kept"))


def _normalised_note(realm: RealmPlan, stored: Attributes, gateway: Gateway, mode: SecretMode) -> Sequence[Finding]:
    """Return a note on attributes that the server dropped because they equal its defaults."""
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
