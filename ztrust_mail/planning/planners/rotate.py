"""Plans a rotation: writes the present values of secret references to the realms that use them.

A realm that does not have the value yet is written as a whole, like any write: what else differs from the spec is
written too, and the plan shows it. A realm that already has the value is not written, even if something else differs.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from ztrust_mail.core.errors import Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import did_you_mean, first_and_more, glob_matches, matches_any, quoted
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import JournalState
from ztrust_mail.model.fields import HOST, USERNAME, field_of
from ztrust_mail.planning.compare import SecretMode, SecretState, credential_of, secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.planners.from_spec import PlanningContext, plan_selection, select_realms
from ztrust_mail.planning.safety import Reason, dangers, notices
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, merge

_EXAMPLES = 5
"""How many references or errors a message names."""


@dataclass(frozen=True)
class RelayLogin:
    """Selects the realms that log in to a relay according to the spec, as any user or as a certain one."""

    host: str
    user: str = ""

    def __str__(self) -> str:
        who = f" as {quoted(self.user)}" if self.user else ""
        return f"at {quoted(self.host)}{who}"

    def is_used_by(self, wanted: Desired) -> bool:
        """Tell whether a realm logs in to this relay."""
        login = credential_of(wanted.fields)
        return login.host == self.host.casefold() and bool(login.user) and self.user in ("", login.user)

    def may_be_used_by(self, texts: Mapping[str, str]) -> bool:
        """Tell whether settings with these texts may log in to this relay: they do, or have a placeholder."""
        host, user = texts.get(HOST, ""), texts.get(USERNAME, "")
        is_here = host.casefold() == self.host.casefold() or "{" in host
        return is_here and bool(user) and (self.user in ("", user) or "{" in user)

    def has(self, ref: SecretRef) -> bool:
        """Tell whether a reference of such a realm is rotated: all are."""
        return True


@dataclass(frozen=True)
class References:
    """Selects the realms that use references: their texts as plans show them, or globs over these."""

    patterns: tuple[str, ...]

    def is_used_by(self, wanted: Desired) -> bool:
        """Tell whether a realm uses one of the references."""
        return any(self.has(ref) for ref in secret_fields(wanted.fields).values())

    def may_be_used_by(self, texts: Mapping[str, str]) -> bool:
        """Tell whether settings with these texts may use one: they do, or their reference has a placeholder."""
        written = [text for name, text in texts.items() if field_of(name).secret]
        return any("{" in text or matches_any(text, self.patterns) for text in written)

    def has(self, ref: SecretRef) -> bool:
        """Tell whether this is one of the references."""
        return matches_any(str(ref), self.patterns)


@dataclass(frozen=True, kw_only=True, repr=False)
class Rotation(Plan):
    """The plan of a rotation. It holds only realms that use ``references``, or may use one.

    ``old`` has the fingerprints of the values before, each with its reference, as far as the journal knows them.
    """

    references: tuple[SecretRef, ...]
    old: Mapping[str, SecretRef] = field(default_factory=dict)


def plan_rotation(
    spec: Spec,
    gateway: Gateway,
    means: PlanningContext,
    references: str | Iterable[str] | RelayLogin,
    *,
    realms: Sequence[str] = (),
) -> Rotation:
    """Plan to write the present values of references to each realm that, by the journal, does not have them.

    ``references`` are written as plans show them, with placeholders filled in, or are globs over these; or they are
    those of all realms that log in at a relay. ``realms`` are globs. Raises :class:`UsageError` if no realm uses one of
    the references, if several read like one, or if one has no value.
    """
    scope = check_references(references)
    selection = select_realms(spec, gateway, realms)
    if isinstance(scope, References):
        _check_used(scope, selection.wanted)
    else:
        _check_login(scope, selection.wanted)
    chosen = [one for one in selection.wanted if scope.is_used_by(one) or _may_use(spec, one, scope)]
    wanted = [one for one in chosen if secret_fields(one.fields) or one.findings]
    refs = (ref for one in wanted for ref in secret_fields(one.fields).values())
    used = dict.fromkeys(ref for ref in refs if scope.has(ref))
    context = replace(means, mode=SecretMode.WRITE, moves=False)
    whole = plan_selection(replace(selection, wanted=tuple(wanted)), gateway, context)
    made = replace(whole, realms=tuple(_only_secret_change(realm, used) for realm in whole.realms))
    _check_values(made)
    in_vault = [_vault_note(one.realm) for one in chosen if one not in wanted]
    findings = (*made.own_findings, *in_vault, *(notices(made) if means.moves else ()))  # of what is left of the plan
    made = replace(made, own_findings=findings, command="rotate")
    parts = {one.name: getattr(made, one.name) for one in fields(made)}
    rotation = Rotation(**parts, references=tuple(used))
    return replace(rotation, old=_old_values(rotation, means))


def check_references(references: str | Iterable[str] | RelayLogin) -> References | RelayLogin:
    """Return the selection of realms for a rotation.

    Raises :class:`UsageError` without a reference, and for one into the server's vault, whose value this tool does not
    write.
    """
    if isinstance(references, RelayLogin):
        return references
    patterns = (references,) if isinstance(references, str) else tuple(dict.fromkeys(references))
    if not patterns:
        raise UsageError("no reference to rotate was given", "name it as plans show it, such as env:SMTP_PASSWORD")
    for pattern in patterns:
        if pattern.startswith(f"{SecretKind.KEYCLOAK_VAULT}:"):
            message = f"cannot rotate {quoted(pattern)}: its value is in the server's vault, realms hold only its key"
            raise UsageError(message, "change the value in the vault; the realms need no write")
    return References(patterns)


def _check_used(scope: References, wanted: Sequence[Desired]) -> None:
    """Raise :class:`UsageError` for a pattern that matches no realm's reference, or is ambiguous."""
    by_ref: dict[SecretRef, list[str]] = {}
    for one in wanted:
        for ref in secret_fields(one.fields).values():
            by_ref.setdefault(ref, []).append(one.realm)
    known = sorted({str(ref) for ref in by_ref})
    for pattern in scope.patterns:
        alike = [realms for ref, realms in by_ref.items() if str(ref) == pattern]
        if len(alike) > 1:
            names = "; ".join(map(first_and_more, alike))
            message = f"{quoted(pattern)} is ambiguous: {len(alike)} different references read like this"
            raise UsageError(message, f"rotate them one by one, with --realm: {names}")
        if not any(glob_matches(pattern, text) for text in known):
            hint = "" if set(pattern) & set("*?") else did_you_mean(pattern, known)
            hint = hint or f"references in use: {first_and_more(known, _EXAMPLES)}"
            raise UsageError(f"no selected realm uses {quoted(pattern)}", hint)


def _check_login(scope: RelayLogin, wanted: Sequence[Desired]) -> None:
    """Raise :class:`UsageError` if no realm logs in to the relay with a secret whose value can be written."""
    here = [one for one in wanted if scope.is_used_by(one)]
    if not here:
        logins = [login for one in wanted if (login := credential_of(one.fields).login)[1]]
        users = {user for host, user in logins if host == scope.host.casefold()}
        hint = did_you_mean(scope.user, users) if users else did_you_mean(scope.host, {host for host, _ in logins})
        known = dict.fromkeys(f"{host} as {user}" for host, user in logins)
        hint = hint or f"logins in use: {first_and_more([*known], _EXAMPLES)}"
        raise UsageError(f"no selected realm logs in {scope}", hint)
    if not any(secret_fields(one.fields) for one in here):
        message = f"cannot rotate the secrets of the realms that log in {scope}: they are in the server's vault"
        raise UsageError(message, "change the values in the vault; the realms need no write")


def _may_use(spec: Spec, wanted: Desired, scope: References | RelayLogin) -> bool:
    """Tell whether a realm with invalid settings may belong to the rotation."""
    if wanted.fields or not wanted.findings:
        return False
    settings = merge(spec.defaults.settings, wanted.entry.settings)
    return scope.may_be_used_by({name: str(setting.value) for name, setting in settings.items()})


def _vault_note(realm: str) -> Finding:
    message = "logs in there with a secret in the server's vault, which is not part of this rotation"
    return Finding(Severity.NOTE, "in-vault", message, "change its value in the vault", realm=realm)


def _check_values(made: Plan) -> None:
    """Raise :class:`UsageError` if references cannot be resolved: a rotation of the others would be a half one."""
    errors = {realm.wanted.fields[name]: e for realm in made.realms for name, e in realm.unresolved.items()}
    if errors:
        first = next(iter(errors.values()))
        many = f" for {len(errors):,} references" if len(errors) > 1 else ""
        more = f"; {len(errors) - _EXAMPLES:,} more" if len(errors) > _EXAMPLES else ""
        message = "; ".join([e.message for e in errors.values()][:_EXAMPLES])
        raise UsageError(f"there is no value to write{many}: {message}{more}", first.hint, first.rule)


def _only_secret_change(realm: RealmPlan, references: Collection[SecretRef]) -> RealmPlan:
    """Return a realm that already has the value as in sync; report what else differs instead of writing it."""
    names = {name for name, ref in secret_fields(realm.wanted.fields).items() if ref in references}
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


def _old_values(rotation: Rotation, means: PlanningContext) -> dict[str, SecretRef]:
    """Return the fingerprint of each reference's old value: the most frequent last written one among the realms."""
    memory, references = means.memory(), frozenset(rotation.references)
    before: dict[SecretRef, Counter[str]] = {}
    for realm in rotation.changed:
        known = memory.of(realm.realm).last
        for ref in secret_fields(realm.wanted.fields).values():
            if known and ref in references:
                before.setdefault(ref, Counter()).update(known.fingerprints.values())
    present = {*present_fingerprints(rotation, memory, means.secrets).values()} if before else set()
    old: dict[str, SecretRef] = {}
    for ref, counts in before.items():
        for fingerprint, _ in [one for one in counts.most_common() if one[0] not in present][:1]:
            old.setdefault(fingerprint, ref)
    return old


def present_fingerprints(rotation: Rotation, memory: JournalState, secrets: SecretStore | None) -> dict[SecretRef, str]:
    """Return the fingerprint of each reference's current value, as far as it is resolved.

    It is resolved only if the policy permits it for a realm; the policy is checked only for realms that were compared.
    """
    compared = [one for one in rotation.realms if one.status in (Status.CHANGED, Status.IN_SYNC) and not one.forbidden]
    refs = {ref for one in compared for ref in secret_fields(one.wanted.fields).values()}
    found = secrets.get(ref for ref in rotation.references if ref in refs) if secrets else {}
    values = {ref: value for ref, value in found.items() if isinstance(value, Secret)}
    return dict(zip(values, memory.fingerprints([*values.values()]), strict=True))


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
