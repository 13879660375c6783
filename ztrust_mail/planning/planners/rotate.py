"""Plans a rotation: writes the present value of one secret reference to the realms that use it.

A realm that does not have the value yet is written as a whole, like any write: what else differs from the spec is
written too, and the plan shows it. A realm that already has the value is not written, even if something else differs.

After the rotation, :func:`find_old_secret_uses` reports realms that may still use the old value.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from ztrust_mail.core.errors import JournalError, RealmMissing, ServerError, Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, Reading
from ztrust_mail.journal.records import JournalState, LastKnown
from ztrust_mail.model.fields import HOST, USERNAME, FieldMap, masked_fields
from ztrust_mail.planning.compare import SecretMode, SecretState, secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.planners.from_spec import PlanningContext, plan_selection, select_realms
from ztrust_mail.planning.safety import Reason, dangers, notices
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, merge


@dataclass(frozen=True, kw_only=True, repr=False)
class Rotation(Plan):
    """The plan of a rotation. It holds only realms that use ``reference``, or may use it.

    ``old`` is the fingerprint of the value that most of them had before, empty if the journal does not know it.
    """

    reference: SecretRef
    old: str = ""


def plan_rotation(
    spec: Spec, gateway: Gateway, means: PlanningContext, reference: str, *, realms: Sequence[str] = ()
) -> Rotation:
    """Plan to write a reference's present value to each realm that, by the journal, does not have it.

    ``reference`` is written as plans show it, with placeholders filled in; ``realms`` are globs. Raises
    :class:`UsageError` if no realm uses the reference, if several references read alike, or if it has no value.
    """
    check_reference(reference)
    selection = select_realms(spec, gateway, realms)
    ref = _only_one(selection.wanted, reference)
    wanted = [one for one in selection.wanted if _uses(one, reference) or _may_use(spec, one, reference)]
    context = replace(means, mode=SecretMode.WRITE, moves=False)
    whole = plan_selection(replace(selection, wanted=tuple(wanted)), gateway, context)
    made = replace(whole, realms=tuple(_only_secret_change(realm, reference) for realm in whole.realms))
    for realm in made.realms:
        for e in realm.unresolved.values():
            raise UsageError(f"there is no value to write: {e.message}", e.hint, e.rule)
    findings = (*made.own_findings, *(notices(made) if means.moves else ()))  # of what is left of the plan only
    parts = {field.name: getattr(made, field.name) for field in fields(made)}
    changed = {"own_findings": findings, "command": "rotate"}
    return Rotation(**{**parts, **changed}, reference=ref, old=_old(made, ref, means))


def check_reference(reference: str) -> None:
    """Raise :class:`UsageError` for a reference into the server's vault, whose value this tool does not write."""
    if reference.startswith(f"{SecretKind.KEYCLOAK_VAULT}:"):
        message = f"cannot rotate {quoted(reference)}: its value is in the server's vault, realms hold only its key"
        raise UsageError(message, "change the value in the vault; the realms need no write")


def _only_one(wanted: Sequence[Desired], reference: str) -> SecretRef:
    """Return the reference with this text. Raises :class:`UsageError` if none or several of the realms' have it."""
    by_ref: dict[SecretRef, list[str]] = {}
    for one in wanted:
        for ref in secret_fields(one.fields).values():
            by_ref.setdefault(ref, []).append(one.realm)
    fitting = [ref for ref in by_ref if str(ref) == reference]
    if not fitting:
        known = sorted({str(ref) for ref in by_ref})
        hint = did_you_mean(reference, known) or f"references in use: {', '.join(known) or 'none'}"
        raise UsageError(f"no selected realm uses {quoted(reference)}", hint)
    if len(fitting) > 1:
        names = "; ".join(", ".join(by_ref[ref]) for ref in fitting)
        message = f"{quoted(reference)} is ambiguous: {len(fitting)} different references read like this"
        raise UsageError(message, f"rotate them one by one, with --realm: {names}")
    return fitting[0]


def _uses(wanted: Desired, reference: str) -> bool:
    return any(str(ref) == reference for ref in secret_fields(wanted.fields).values())


def _may_use(spec: Spec, wanted: Desired, reference: str) -> bool:
    """Tell whether a realm with invalid settings may use a reference: its entry names it, or has a placeholder."""
    if wanted.fields or not wanted.findings:
        return False
    settings = merge(spec.defaults.settings, wanted.entry.settings).values()
    written = [str(setting.value) for setting in settings if isinstance(setting.value, SecretRef)]
    return any(text == reference or "{" in text for text in written)


def _only_secret_change(realm: RealmPlan, reference: str) -> RealmPlan:
    """Return a realm that already has the value as in sync; report what else differs instead of writing it."""
    names = {name for name, ref in secret_fields(realm.wanted.fields).items() if str(ref) == reference}
    has_value = all(realm.secrets.get(name) is SecretState.UNCHANGED for name in names)
    if realm.status is not Status.CHANGED or not has_value:
        return realm
    others = ", ".join(quoted(change.field) for change in realm.changes if change.field not in names)
    message = f"not written, since it has the secret already; these fields differ from the spec: {others}"
    hint = "to write them: ztrust-mail apply SPEC..."
    note = Finding(Severity.NOTE, "differs-otherwise", message, hint, realm=realm.realm)
    return replace(
        realm,
        status=Status.IN_SYNC,
        difference=replace(realm.difference, changes=()),
        findings=(*realm.findings, *((note,) if others else ())),
        losses={},
    )


def _old(made: Plan, reference: SecretRef, means: PlanningContext) -> str:
    """Return the fingerprint of the old value: the most frequent last written one among the realms to be written."""
    memory = means.memory()
    before: Counter[str] = Counter()
    for realm in made.changed:
        known = memory.of(realm.realm).last
        before.update(known.fingerprints.values() if known else ())
    del before[fingerprint_of(reference, made, memory, means.secrets)]
    return before.most_common(1)[0][0] if before else ""


def fingerprint_of(reference: SecretRef, plan: Plan, memory: JournalState, secrets: SecretStore | None) -> str:
    """Return the fingerprint of a reference's present value, empty if it is not resolved.

    It is resolved only if the policy permits it for a realm; the policy is checked only for realms that were compared.
    """
    compared = (realm for realm in plan.realms if realm.status in (Status.CHANGED, Status.IN_SYNC))
    if not secrets or all(realm.forbidden for realm in compared):
        return ""
    value = secrets.get([reference])[reference]
    return memory.fingerprint(value) if isinstance(value, Secret) else ""


def refuse_mass_change(rotation: Rotation, allowed: frozenset[Reason]) -> None:
    """Raise :class:`Unsafe` if the changes besides the secret are a mass change.

    The secret itself does not count: whoever names a reference means all realms that use it.
    """
    others = (replace(realm, status=_status_without_secret(realm)) for realm in rotation.realms)
    for danger in dangers(replace(rotation, realms=tuple(others))):
        if danger.reason is Reason.MASS_CHANGE and danger.reason not in allowed:
            hint = "review `ztrust-mail plan` and apply that first; if intended along with the secret:"
            hint += " --allow mass-change"
            raise Unsafe(f"Refused: besides the secret, {danger} [{danger.reason}]", hint, "unsafe")


def _status_without_secret(realm: RealmPlan) -> Status:
    """Return the status that a realm would have if its secret did not differ."""
    only_secrets = all(change.field in realm.difference.masked_fields for change in realm.changes)
    return Status.IN_SYNC if realm.status is Status.CHANGED and only_secrets else realm.status


NOT_ROTATED = "not-rotated"
"""The rule for a realm of the rotation to which, by the journal, the new value was not written."""

OLD_SECRET = "old-secret"
"""The rule for a realm outside the rotation that was last written with the old value."""

UNKNOWN_SECRET = "unknown-secret"
"""The rule for a realm outside the rotation with the same login and a secret that the journal never wrote."""

NOT_LOOKED = "not-looked"
"""The rule for realms that could not be read or listed."""

_NO_LIST = Finding(
    Severity.WARNING,
    NOT_LOOKED,
    "the server lists no realms to this account; other realms may still use the old value",
    "give the account the role view-realm in its realms",
)


def find_old_secret_uses(
    rotation: Rotation, gateway: Gateway, recall: Callable[[], JournalState], secrets: SecretStore
) -> tuple[Finding, ...]:
    """Return a warning for each realm that may still use the old value.

    ``recall`` reads the journal after the rotation. All realms that the account can see are read again. An error of
    the server or the journal becomes a warning, so that it does not hide the result of the rotation.
    """
    try:
        memory = recall()
        present = fingerprint_of(rotation.reference, rotation, memory, secrets)
        search = _OldSecretSearch(rotation, memory, present, gateway.dialect)
        reading = gateway.read(search.suspects(), everything=True)
    except (ServerError, JournalError) as e:
        return (
            Finding(Severity.WARNING, NOT_LOOKED, f"cannot search for realms with the old value: {e.message}", e.hint),
        )
    found = (*search.not_rotated(), *search.still_old(reading), *search.unknown_secrets(reading))
    if reading.complete:
        return found
    return (
        *found,
        _NO_LIST if gateway.capabilities.list_realms else replace(_NO_LIST, hint="check each realm by its name"),
    )


@dataclass(frozen=True)
class _OldSecretSearch:
    """Searches the journal and the server. ``present`` is the fingerprint of the reference's present value."""

    rotation: Rotation
    memory: JournalState
    present: str
    dialect: Dialect

    def not_rotated(self) -> Iterator[Finding]:
        """Yield a warning for each realm of the rotation to which the present value was not written."""
        for realm in self.rotation.realms:
            if realm.status is not Status.MISSING and not self._has_present(realm):
                message = f"{quoted(self.rotation.reference)} was not written to this realm"
                hint = "fix the cause and rotate again: that writes the remaining realms"
                yield Finding(Severity.WARNING, NOT_ROTATED, message, hint, realm=realm.realm)

    def _has_present(self, realm: RealmPlan) -> bool:
        known = self.memory.of(realm.realm)
        return self.present in _fingerprints(known).values() and not known.doubt

    def suspects(self) -> tuple[str, ...]:
        """Return the realms outside the rotation that were last written with the old value."""
        ours = {realm.realm for realm in self.rotation.realms}
        return tuple(name for name, known in self.memory.realms.items() if name not in ours and self._had_old(known))

    def _had_old(self, known: LastKnown) -> bool:
        """Tell whether the last write, finished or of unknown outcome, sent the old value.

        Any other value from the same reference than the present one counts as old too.
        """
        writes = [write for write in (known.last, known.doubt) if write]
        return any(
            fingerprint == self.rotation.old
            or ((write.intent or {}).get(name) == self.rotation.reference and fingerprint != self.present)
            for write in writes
            for name, fingerprint in write.fingerprints.items()
        )

    def still_old(self, reading: Reading) -> Iterator[Finding]:
        """Yield a warning for each suspect, except those that are known to have no secret any more."""
        for name in self.suspects():
            live = reading.realms.get(name)
            has_none = isinstance(live, RealmMissing) or (isinstance(live, LiveRealm) and not self._find_masked(live))
            if not has_none:
                message = f"last written with the old value of {quoted(self.rotation.reference)}, and not rotated"
                hint = "rotate with a spec that covers it, and without a --realm that leaves it out"
                yield Finding(Severity.WARNING, OLD_SECRET, message, hint, realm=name)

    def unknown_secrets(self, reading: Reading) -> Iterator[Finding]:
        """Yield a warning for each other realm that uses the rotated login with a secret unknown to the journal."""
        known = {realm.realm for realm in self.rotation.realms} | set(self.suspects())
        logins = {_login(realm.wanted.fields) for realm in self.rotation.realms if realm.wanted.fields}
        for name, live in sorted(reading.realms.items()):
            if name in known or not isinstance(live, LiveRealm):
                continue
            login = _login(self._decode(live))
            if login in logins and not self._find_masked(live) <= _fingerprints(self.memory.of(name)).keys():
                message = f"uses the same login, {quoted(login[1])} at {login[0]}, with a secret unknown to the journal"
                yield Finding(Severity.WARNING, UNKNOWN_SECRET, message, "check whether it is the old one", realm=name)

    def _decode(self, live: LiveRealm) -> FieldMap:
        return self.dialect.decode(live.attributes)

    def _find_masked(self, live: LiveRealm) -> set[str]:
        return set(masked_fields(self._decode(live)))


def _fingerprints(known: LastKnown) -> dict[str, str]:
    return dict(known.last.fingerprints) if known.last else {}


def _login(fields: FieldMap) -> tuple[str, str]:
    """Return the relay's host in lower case, and the user name."""
    return str(fields.get(HOST, "")).casefold(), str(fields.get(USERNAME, ""))
