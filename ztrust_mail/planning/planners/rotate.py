"""Rotation: finds the realms that use one secret reference and plans to write its present value to just these.

A realm that still needs the value is written as a whole, as every write is: what else differs there goes along, and
the plan shows it. A realm that has the value already is left alone, whatever else differs there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ztrust_mail.core.errors import JournalError, RealmMissing, ServerError, Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, Reading
from ztrust_mail.journal.records import JournalState, LastKnown
from ztrust_mail.model.fields import HOST, USERNAME, FieldMap, Masked
from ztrust_mail.planning.compare import SecretMode, SecretState, secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.planners.from_spec import Aim, PlanningContext, make_plan
from ztrust_mail.planning.safety import Reason, dangers
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, merge


@dataclass(frozen=True)
class Rotation:
    """What a rotation would do. ``plan`` holds only realms that use the reference, or may.

    ``old`` is the fingerprint of the value that most of them had before, empty where the journal does not know it.
    """

    reference: SecretRef
    plan: Plan
    old: str = ""


def plan_rotation(
    spec: Spec, gateway: Gateway, means: PlanningContext, reference: str, *, realms: Sequence[str] = ()
) -> Rotation:
    """Plan to write a reference's present value wherever the journal does not say that it is there.

    ``reference`` reads as plans show it, placeholders filled in; ``realms`` are globs. Raises :class:`UsageError`
    where no realm uses the reference, where it is not one single reference, or where its value cannot be had.
    """
    check_reference(reference)
    found: list[SecretRef] = []

    def choose(wanted: Sequence[Desired]) -> Sequence[Desired]:
        found.append(_only_one(wanted, reference))
        return [one for one in wanted if _uses(one, reference) or _may_use(spec, one, reference)]

    aim = Aim(choose, lambda realm: _trimmed(realm, reference))
    made = make_plan(spec, gateway, replace(means, mode=SecretMode.WRITE), realms=realms, aim=aim)
    for realm in made.realms:
        for e in realm.unresolved.values():
            raise UsageError(f"there is no value to write: {e.message}", e.hint, e.rule)
    return Rotation(found[0], made, _old(made, found[0], means))


def check_reference(reference: str) -> None:
    """Raise :class:`UsageError` for a reference whose value is not ours to write."""
    if reference.startswith(f"{SecretKind.KEYCLOAK_VAULT}:"):
        message = f"the value of {quoted(reference)} lives on the server: the realms hold only its name"
        raise UsageError(message, "change it in the server's vault; nothing needs to be written to the realms")


def _only_one(wanted: Sequence[Desired], reference: str) -> SecretRef:
    """Return the one reference that reads so. Raises :class:`UsageError` for none, and for several."""
    by_ref: dict[SecretRef, list[str]] = {}
    for one in wanted:
        for ref in secret_fields(one.fields).values():
            by_ref.setdefault(ref, []).append(one.realm)
    fitting = [ref for ref in by_ref if str(ref) == reference]
    if not fitting:
        known = sorted({str(ref) for ref in by_ref})
        hint = did_you_mean(reference, known) or f"these are used: {', '.join(known) or 'none'}"
        raise UsageError(f"none of these realms uses {quoted(reference)}", hint)
    if len(fitting) > 1:
        names = "; ".join(", ".join(by_ref[ref]) for ref in fitting)
        message = f"{quoted(reference)} stands for {len(fitting)} different references"
        raise UsageError(message, f"rotate them one by one, with --realm: {names}")
    return fitting[0]


def _uses(wanted: Desired, reference: str) -> bool:
    return any(str(ref) == reference for ref in secret_fields(wanted.fields).values())


def _may_use(spec: Spec, wanted: Desired, reference: str) -> bool:
    """Tell of a realm whose settings are wrong, so that they cannot be told, whether it may use a reference."""
    if wanted.fields or not wanted.findings:
        return False
    settings = merge(spec.defaults.settings, wanted.entry.settings).values()
    written = [str(setting.value) for setting in settings if isinstance(setting.value, SecretRef)]
    return any(text == reference or "{" in text for text in written)


def _trimmed(realm: RealmPlan, reference: str) -> RealmPlan:
    """Return the realm as in sync where the value is there already; what else differs is told, not written."""
    names = {name for name, ref in secret_fields(realm.wanted.fields).items() if str(ref) == reference}
    there = all(realm.secrets.get(name) is SecretState.UNCHANGED for name in names)
    if realm.status is not Status.CHANGED or not there:
        return realm
    others = ", ".join(quoted(change.field) for change in realm.changes if change.field not in names)
    message = f"not as the spec says, though it has the secret: {others}"
    note = Finding(Severity.NOTE, "differs-otherwise", message, "apply writes it", realm=realm.realm)
    return replace(
        realm,
        status=Status.IN_SYNC,
        difference=replace(realm.difference, changes=()),
        findings=(*realm.findings, *((note,) if others else ())),
        losses={},
    )


def _old(made: Plan, reference: SecretRef, means: PlanningContext) -> str:
    """Return the fingerprint that most realms to be written were last written with."""
    memory = means.memory()
    before: Counter[str] = Counter()
    for realm in made.changed:
        known = memory.of(realm.realm).last
        before.update(known.fingerprints.values() if known else ())
    del before[fingerprint_of(reference, made, memory, means.secrets)]
    return before.most_common(1)[0][0] if before else ""


def fingerprint_of(reference: SecretRef, plan: Plan, memory: JournalState, secrets: SecretStore | None) -> str:
    """Return the fingerprint of a reference's present value; empty where it has none here, or none that we may have.

    The policy has judged the reference only where some realm of the plan got as far as being compared.
    """
    compared = (realm for realm in plan.realms if realm.status in (Status.CHANGED, Status.IN_SYNC))
    if not secrets or all(realm.forbidden for realm in compared):
        return ""
    value = secrets.get([reference])[reference]
    return memory.fingerprint(value) if isinstance(value, Secret) else ""


def refuse_mass_change(rotation: Rotation, allowed: frozenset[Reason]) -> None:
    """Raise :class:`Unsafe` where what goes along with the secret is a mass change by itself.

    The rewrite of the secret never counts: who names the reference means all realms that use it.
    """
    mixed = (replace(realm, status=_status_beside(realm)) for realm in rotation.plan.realms)
    for danger in dangers(replace(rotation.plan, realms=tuple(mixed))):
        if danger.reason is Reason.MASS_CHANGE and danger.reason not in allowed:
            hint = "look at plan, and apply that first; if it is meant to go along: --allow mass-change"
            raise Unsafe(f"beside the secret it {danger} [{danger.reason}]", hint, "unsafe")


def _status_beside(realm: RealmPlan) -> Status:
    """Return where a realm stands but for its secret."""
    alone = all(change.field in realm.difference.masked_fields for change in realm.changes)
    return Status.IN_SYNC if realm.status is Status.CHANGED and alone else realm.status


NOT_ROTATED = "not-rotated"
"""The rule for a realm of the rotation that the journal does not have with the new value."""

OLD_SECRET = "old-secret"
"""The rule for a realm beside the rotation that was last written with the old value."""

UNKNOWN_SECRET = "unknown-secret"
"""The rule for a realm beside the rotation with the same login and a secret that the journal never wrote."""

NOT_LOOKED = "not-looked"
"""The rule for what could not be looked at."""

_NO_LIST = Finding(
    Severity.WARNING,
    NOT_LOOKED,
    "the server gives no list of its realms: others with the old value may be missing here",
    "give the account the role view-realm in its realms",
)


def find_old_secret_uses(
    rotation: Rotation, gateway: Gateway, recall: Callable[[], JournalState], secrets: SecretStore
) -> tuple[Finding, ...]:
    """Return where the old value may still stand, by what ``recall`` brings out of the journal after the rotation.

    All realms that the account sees are looked at once more. Nothing is raised where that cannot be done, or where
    the journal cannot be read: the rotation's own result matters more.
    """
    try:
        memory = recall()
        present = fingerprint_of(rotation.reference, rotation.plan, memory, secrets)
        search = _OldSecretSearch(rotation, memory, present, gateway.dialect)
        reading = gateway.read(search.suspects(), everything=True)
    except (ServerError, JournalError) as e:
        return (Finding(Severity.WARNING, NOT_LOOKED, f"where the old value is cannot be told: {e.message}", e.hint),)
    found = (*search.unwritten(), *search.elsewhere(reading), *search.unknown(reading))
    if reading.complete:
        return found
    return (*found, _NO_LIST if gateway.capabilities.list_realms else replace(_NO_LIST, hint="look at each by name"))


@dataclass(frozen=True)
class _OldSecretSearch:
    """The rotation with the journal's memory and the fingerprint of the reference's present value."""

    rotation: Rotation
    memory: JournalState
    present: str
    dialect: Dialect

    def unwritten(self) -> Iterator[Finding]:
        """Yield the realms of the rotation that the journal does not have with the present value."""
        for realm in self.rotation.plan.realms:
            if realm.status is not Status.MISSING and not self._has_present(realm):
                message = f"{quoted(self.rotation.reference)} was not written here"
                hint = "mend the cause and rotate again: it writes what is left"
                yield Finding(Severity.WARNING, NOT_ROTATED, message, hint, realm=realm.realm)

    def _has_present(self, realm: RealmPlan) -> bool:
        known = self.memory.of(realm.realm)
        return self.present in _fingerprints(known).values() and not known.doubt

    def suspects(self) -> tuple[str, ...]:
        """Return the realms beside the rotation that the journal has with the old value."""
        ours = {realm.realm for realm in self.rotation.plan.realms}
        return tuple(name for name, known in self.memory.realms.items() if name not in ours and self._had_old(known))

    def _had_old(self, known: LastKnown) -> bool:
        """Whether the last write was of the old value, or of another than the present one by the same reference."""
        writes = [write for write in (known.last, known.doubt) if write]
        return any(
            fingerprint == self.rotation.old
            or ((write.intent or {}).get(name) == self.rotation.reference and fingerprint != self.present)
            for write in writes
            for name, fingerprint in write.fingerprints.items()
        )

    def elsewhere(self, reading: Reading) -> Iterator[Finding]:
        """Yield the suspects that still have a secret, as far as can be seen."""
        for name in self.suspects():
            live = reading.realms.get(name)
            gone = isinstance(live, RealmMissing) or (isinstance(live, LiveRealm) and not self._hidden(live))
            if not gone:
                message = f"last written with the old value of {quoted(self.rotation.reference)}, and not rotated here"
                hint = "rotate with a spec that covers it, and without a --realm that leaves it out"
                yield Finding(Severity.WARNING, OLD_SECRET, message, hint, realm=name)

    def unknown(self, reading: Reading) -> Iterator[Finding]:
        """Yield the other realms that log in as ours do, with a secret of which the journal knows nothing."""
        beside = {realm.realm for realm in self.rotation.plan.realms} | set(self.suspects())
        logins = {_login(realm.wanted.fields) for realm in self.rotation.plan.realms if realm.wanted.fields}
        for name, live in sorted(reading.realms.items()):
            if name in beside or not isinstance(live, LiveRealm):
                continue
            login = _login(self._decoded(live))
            if login in logins and not self._hidden(live) <= _fingerprints(self.memory.of(name)).keys():
                message = f"logs in at {login[0]} as {quoted(login[1])} too, with a secret that the journal never wrote"
                yield Finding(Severity.WARNING, UNKNOWN_SECRET, message, "see whether it is the old one", realm=name)

    def _decoded(self, live: LiveRealm) -> FieldMap:
        return self.dialect.decode(live.attributes)

    def _hidden(self, live: LiveRealm) -> set[str]:
        return {name for name, value in self._decoded(live).items() if isinstance(value, Masked)}


def _fingerprints(known: LastKnown) -> dict[str, str]:
    return dict(known.last.fingerprints) if known.last else {}


def _login(fields: FieldMap) -> tuple[str, str]:
    """Return the relay's host, whose case means nothing, and the user name."""
    return str(fields.get(HOST, "")).casefold(), str(fields.get(USERNAME, ""))
