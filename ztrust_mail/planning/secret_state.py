"""Decides whether masked secrets are unchanged, which stored ones a write would lose, and which changes need them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ztrust_mail.core.errors import RealmError, SecretError, ServerError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, Version
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import NOTHING_KNOWN, JournalState, LastKnown, Write
from ztrust_mail.model.fields import (
    HOST,
    LOGIN,
    PORT,
    SECURITY,
    SENDER_ADDRESS,
    TOKEN_CLIENT_ID,
    TOKEN_URL,
    USERNAME,
    Masked,
)
from ztrust_mail.planning.compare import SecretMode, SecretState, compare, masked_secrets, secret_fields
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.secrets.store import ResolvedSecrets, SecretStore
from ztrust_mail.specfile.resolve import Desired

LOGIN_IDENTITY_FIELDS = (HOST, LOGIN, USERNAME, TOKEN_URL, TOKEN_CLIENT_ID)
"""Where a realm logs in, and as whom. As long as these fields are unchanged, the stored secret most likely is too, and
sending it discloses it to no new host."""


def judge_secrets(
    planned: Sequence[RealmPlan], dialect: Dialect, mode: SecretMode, journal: JournalState, secrets: SecretStore | None
) -> list[RealmPlan]:
    """Return the realms with the state of each masked secret.

    A realm whose secret is known to differ becomes a changed realm. A reference is resolved only if the policy permits
    it and its value is needed: because the journal has a fingerprint to compare with, or because the realm is to be
    written. Each reference is resolved once.
    """
    judge = _SecretJudge(dialect, mode, journal)
    if secrets:
        judge = replace(judge, values=secrets.get(ref for realm in planned for ref in judge.refs_to_resolve(realm)))
        judge.compute_fingerprints(planned)
    return [judge.judge_realm(realm) for realm in planned]


@dataclass(frozen=True)
class _SecretJudge:
    """Judges the secrets of one realm after the other. ``values`` are the references that were resolved."""

    dialect: Dialect
    mode: SecretMode
    journal: JournalState
    values: ResolvedSecrets = field(default_factory=dict, repr=False)

    def refs_to_resolve(self, realm: RealmPlan) -> Sequence[SecretRef]:
        """Return the references whose values are needed to judge a realm."""
        if not _is_compared(realm) or realm.forbidden:
            return ()
        if realm.changes:
            return tuple(secret_fields(realm.wanted.fields).values())
        return self._refs_with_fingerprint(realm)

    def compute_fingerprints(self, planned: Sequence[RealmPlan]) -> None:
        """Compute all fingerprints that will be compared, in parallel; the journal remembers them."""
        refs = {ref for realm in planned if _is_compared(realm) for ref in self._refs_with_fingerprint(realm)}
        found = [value for ref in refs if isinstance(value := self.values.get(ref), Secret)]
        if len(found) > 1:
            self.journal.fingerprints(found)

    def judge_realm(self, realm: RealmPlan) -> RealmPlan:
        """Return a realm with the states of its secrets, the secrets it would lose, and what to report of them."""
        if not _is_compared(realm):
            return realm
        known = self.journal.of(realm.realm)
        moved = changed_login_fields(self.dialect, known.last, realm.attributes)
        states = {name: self._secret_state(realm.realm, name, ref) for name, ref in self._find_masked(realm).items()}
        doubtful = [name for name, state in states.items() if moved and state is SecretState.UNCHANGED]
        states |= dict.fromkeys(doubtful, SecretState.UNKNOWN)
        if SecretState.CHANGED in states.values():
            difference = compare(self.dialect, realm.wanted, realm.attributes, self.mode, states)
            realm = replace(realm, difference=difference, status=Status.CHANGED if difference.changes else realm.status)
        unresolved = {
            name: value
            for name, ref in secret_fields(realm.wanted.fields).items()
            if isinstance(value := self.values.get(ref), SecretError)
        }
        losses = self._lost_secrets(realm, NOTHING_KNOWN if moved else known, states)
        errors = [_unresolvable(realm.wanted, name, e) for name, e in unresolved.items()]
        doubts = [_login_changed(realm.realm, name, moved) for name in doubtful]
        findings = (*realm.findings, *errors, *doubts)
        return replace(realm, secrets=states, unresolved=unresolved, losses=losses, findings=findings)

    def _refs_with_fingerprint(self, realm: RealmPlan) -> tuple[SecretRef, ...]:
        """Return the references of masked secrets whose last written value has a fingerprint in the journal."""
        known = _known_fingerprints(self.journal.of(realm.realm))
        return tuple(ref for name, ref in self._find_masked(realm).items() if name in known) if known else ()

    def _find_masked(self, realm: RealmPlan) -> dict[str, SecretRef]:
        return masked_secrets(self.dialect, realm.wanted, realm.attributes)

    def _secret_state(self, realm: str, name: str, ref: SecretRef) -> SecretState:
        """Compare a secret's present value with the fingerprint of the one last written."""
        known, value = self.journal.of(realm), self.values.get(ref)
        if name in self.journal.rewritten.get(realm, ()):
            return SecretState.CHANGED
        if known.doubt and name in known.doubt.fingerprints:
            return SecretState.CHANGED  # the write may have arrived; repeating it does no harm
        last = _known_fingerprints(known).get(name)
        if last is None or not isinstance(value, Secret):
            return SecretState.UNKNOWN
        return SecretState.UNCHANGED if self.journal.fingerprint(value) == last else SecretState.CHANGED

    def _lost_secrets(self, realm: RealmPlan, known: LastKnown, states: Mapping[str, SecretState]) -> dict[str, str]:
        """Return the masked secrets that a write would overwrite or remove.

        Each comes with the reference that it was last written from, empty if the journal does not know one.
        """
        if not realm.changes:
            return {}
        intent = known.last.intent if known.last and known.last.intent else {}
        changed = {change.field for change in realm.changes}
        lost = {}
        for name, value in self.dialect.decode(realm.attributes).items():
            replaced = name in states and states[name] is not SecretState.UNCHANGED and self.mode is not SecretMode.KEEP
            if isinstance(value, Masked) and (replaced or (name in changed and name not in states)):
                source = intent.get(name) if name in _known_fingerprints(known) else None
                lost[name] = str(source) if isinstance(source, SecretRef) else ""
        return lost


def changed_login_fields(dialect: Dialect, last: Write | None, live: Attributes) -> tuple[str, ...]:
    """Return the login identity fields that changed on the server since the last write.

    Whoever changed one of them most likely stored another secret along with it.
    """
    if last is None or last.after is None or last.after == dialect.mask_secrets(live):
        return ()
    then, now = dialect.decode(last.after), dialect.decode(live)
    changed = (
        n
        for n in LOGIN_IDENTITY_FIELDS
        if dialect.effective_value(n, then.get(n)) != dialect.effective_value(n, now.get(n))
    )
    return tuple(changed)


CONNECTION_FIELDS = (SENDER_ADDRESS, HOST, PORT, SECURITY, USERNAME)
"""The fields whose change makes the server drop a masked secret, unless the secret itself comes with it."""

DROPS_SINCE: Version = (26, 8)
"""The version of Keycloak that does so."""


def note_needed_secrets(planned: Sequence[RealmPlan], gateway: Gateway, mode: SecretMode) -> list[RealmPlan]:
    """Return the realms with a note at those that need a secret which cannot be written.

    The server's version is asked for only if there is such a realm; an unknown one counts as new.
    """
    can = gateway.capabilities
    needs = {realm.realm: found for realm in planned if (found := _find_needed(realm, gateway, mode))}
    if not needs or not (can.keep_secrets and can.test) or _is_older(gateway):
        return list(planned)
    return [
        replace(realm, findings=(*realm.findings, *(_note(realm, name) for name in needs.get(realm.realm, ()))))
        for realm in planned
    ]


def _find_needed(realm: RealmPlan, gateway: Gateway, mode: SecretMode) -> tuple[str, ...]:
    """Return the fields of masked secrets that a change of a realm drops and that cannot be written with it."""
    if realm.live is None or not _changes(realm):
        return ()
    masked = masked_secrets(gateway.dialect, realm.wanted, realm.attributes)
    return tuple(name for name in masked if mode is SecretMode.KEEP or name in realm.unresolved)


def _changes(realm: RealmPlan) -> list[str]:
    return [change.field for change in realm.changes if change.field in CONNECTION_FIELDS]


def _is_older(gateway: Gateway) -> bool:
    try:
        version = gateway.version()
    except (RealmError, ServerError):
        return False
    return bool(version) and version < DROPS_SINCE


def _note(realm: RealmPlan, name: str) -> Finding:
    fields = " and ".join(map(quoted, _changes(realm)))
    message = f"the change of {fields} needs the value of {quoted(name)}: Keycloak drops the stored one from 26.8 on"
    hint = "set what its reference names, and leave out --secrets keep"
    return Finding(Severity.NOTE, "secret-needed", message, hint, realm.wanted.origins.get(name), realm.realm, name)


def _is_compared(realm: RealmPlan) -> bool:
    """Tell whether a realm was read and compared with its desired settings."""
    return realm.live is not None and realm.status in (Status.CHANGED, Status.IN_SYNC)


def _known_fingerprints(known: LastKnown) -> Mapping[str, str]:
    return known.last.fingerprints if known.last else {}


def _unresolvable(wanted: Desired, name: str, e: SecretError) -> Finding:
    message = f"cannot resolve `{name}`: {e.message}"
    return Finding(Severity.WARNING, e.rule, message, e.hint, wanted.origins.get(name), wanted.realm, name)


def _login_changed(realm: str, name: str, moved: Sequence[str]) -> Finding:
    fields = " and ".join(quoted(one) for one in moved)
    message = f"`{name}` may no longer be the one last applied: {fields} changed on the server since"
    hint = "the server masks the stored value; to write it again: ztrust-mail apply SPEC... --secrets write"
    return Finding(Severity.NOTE, "secret-in-doubt", message, hint, realm=realm, field=name)
