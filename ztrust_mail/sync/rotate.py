"""Rotation: finds the realms that use one secret reference and plans to write its present value to just these.

A realm that still needs the value is written as a whole, as every write is: what else differs there goes along, and
the plan shows it. A realm that has the value already is left alone, whatever else differs there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ztrust_mail.errors import Unsafe, UsageError
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.gateways.base import Gateway
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.sensitive import Secret, SecretKind, SecretRef
from ztrust_mail.spec.model import Spec
from ztrust_mail.spec.resolve import Desired, merge
from ztrust_mail.sync.compare import SecretMode, SecretState, secret_fields
from ztrust_mail.sync.hidden import Memory
from ztrust_mail.sync.plan import Plan, RealmPlan, Status
from ztrust_mail.sync.planning import Aim, Means, make_plan
from ztrust_mail.sync.safety import Reason, dangers
from ztrust_mail.text import did_you_mean, quoted


@dataclass(frozen=True)
class Rotation:
    """What a rotation would do. ``plan`` holds only realms that use the reference, or may.

    ``old`` is the fingerprint of the value that most of them had before, empty where the journal does not know it.
    """

    reference: SecretRef
    plan: Plan
    old: str = ""


def plan_rotation(
    spec: Spec, gateway: Gateway, means: Means, reference: str, *, realms: Sequence[str] = ()
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


def _old(made: Plan, reference: SecretRef, means: Means) -> str:
    """Return the fingerprint that most realms to be written were last written with."""
    memory = means.memory()
    before: Counter[str] = Counter()
    for realm in made.changed:
        known = memory.of(realm.realm).last
        before.update(known.fingerprints.values() if known else ())
    del before[fingerprint_of(reference, made, memory, means.secrets)]
    return before.most_common(1)[0][0] if before else ""


def fingerprint_of(reference: SecretRef, plan: Plan, memory: Memory, secrets: SecretStore | None) -> str:
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
    alone = all(change.field in realm.difference.incomparable for change in realm.changes)
    return Status.IN_SYNC if realm.status is Status.CHANGED and alone else realm.status
