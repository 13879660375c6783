"""Searches, after a rotation, for realms that may still use an old value of one of its references."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ztrust_mail.core.errors import JournalError, RealmMissing, ServerError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, Reading
from ztrust_mail.journal.records import JournalState, LastKnown
from ztrust_mail.model.fields import FieldMap, masked_fields
from ztrust_mail.planning.compare import credential_of, secret_fields
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.planning.planners.rotate import Rotation, present_fingerprints
from ztrust_mail.secrets.store import SecretStore

NOT_ROTATED = "not-rotated"
"""The rule for a realm of the rotation to which, by the journal, the new value was not written."""

OLD_SECRET = "old-secret"
"""The rule for a realm outside the rotation that was last written with an old value."""

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
    """Return a warning for each realm that may still use an old value.

    ``recall`` reads the journal after the rotation. All realms that the account can see are read again. An error of
    the server or the journal becomes a warning, so that it does not hide the result of the rotation.
    """
    try:
        memory = recall()
        present = present_fingerprints(rotation, memory, secrets)
        search = _OldSecretSearch(rotation, memory, present, gateway.dialect)
        reading = gateway.read([*search.suspects], everything=True)
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
    """Searches the journal and the server. ``present`` has the fingerprint of each reference's present value."""

    rotation: Rotation
    memory: JournalState
    present: Mapping[SecretRef, str]
    dialect: Dialect

    @cached_property
    def references(self) -> frozenset[SecretRef]:
        """The references of the rotation."""
        return frozenset(self.rotation.references)

    def not_rotated(self) -> Iterator[Finding]:
        """Yield a warning for each realm of the rotation to which the present value was not written."""
        for realm in self.rotation.realms:
            refs = self._find_references(realm)
            if realm.status is not Status.MISSING and not self._has_present(realm, refs):
                known = [*refs.values()] or self.rotation.references
                message = f"{quoted(known[0])} was not written to this realm"
                if len(known) > 1:
                    message = "none of the new secrets was written to this realm"
                hint = "fix the cause and rotate again: that writes the remaining realms"
                yield Finding(Severity.WARNING, NOT_ROTATED, message, hint, realm=realm.realm)

    def _find_references(self, realm: RealmPlan) -> dict[str, SecretRef]:
        """Return the references of the rotation that a realm uses; none if its settings are invalid."""
        return {name: ref for name, ref in secret_fields(realm.wanted.fields).items() if ref in self.references}

    def _has_present(self, realm: RealmPlan, refs: Mapping[str, SecretRef]) -> bool:
        known = self.memory.of(realm.realm)
        written = _fingerprints(known)
        has_all = all(ref in self.present and written.get(name) == self.present[ref] for name, ref in refs.items())
        return bool(refs) and has_all and not known.doubt

    @cached_property
    def suspects(self) -> dict[str, SecretRef]:
        """The realms outside the rotation that were last written with an old value, with its reference."""
        ours = {realm.realm for realm in self.rotation.realms}
        found = {name: self._find_old(known) for name, known in self.memory.realms.items() if name not in ours}
        return {name: ref for name, ref in found.items() if ref}

    def _find_old(self, known: LastKnown) -> SecretRef | None:
        """Return the reference whose old value the last write, finished or of unknown outcome, sent.

        Any value from one of the references other than the current one counts as old too.
        """
        for write in (known.last, known.doubt):
            for name, fingerprint in write.fingerprints.items() if write else ():
                ref = (write.intent or {}).get(name) if write else None
                if isinstance(ref, SecretRef) and ref in self.references and fingerprint != self.present.get(ref):
                    return ref
                if fingerprint in self.rotation.old:
                    return self.rotation.old[fingerprint]
        return None

    def still_old(self, reading: Reading) -> Iterator[Finding]:
        """Yield a warning for each suspect, except those that are known to have no secret now."""
        for name, ref in self.suspects.items():
            live = reading.realms.get(name)
            has_none = isinstance(live, RealmMissing) or (isinstance(live, LiveRealm) and not self._find_masked(live))
            if not has_none:
                message = f"last written with the old value of {quoted(ref)}, and not rotated"
                hint = "rotate with a spec that covers it, and without a --realm that leaves it out"
                yield Finding(Severity.WARNING, OLD_SECRET, message, hint, realm=name)

    def unknown_secrets(self, reading: Reading) -> Iterator[Finding]:
        """Yield a warning for each other realm that uses the rotated login with a secret unknown to the journal."""
        known = {realm.realm for realm in self.rotation.realms} | self.suspects.keys()
        logins = {credential_of(one.wanted.fields).login for one in self.rotation.realms if one.wanted.fields}
        for name, live in sorted(reading.realms.items()):
            if name in known or not isinstance(live, LiveRealm):
                continue
            login = credential_of(self._decode(live)).login
            if login in logins and not self._find_masked(live) <= _fingerprints(self.memory.of(name)).keys():
                message = f"uses the same login, {quoted(login[1])} at {login[0]}, with a secret unknown to the journal"
                yield Finding(Severity.WARNING, UNKNOWN_SECRET, message, "check whether it is the old one", realm=name)

    def _decode(self, live: LiveRealm) -> FieldMap:
        return self.dialect.decode(live.attributes)

    def _find_masked(self, live: LiveRealm) -> set[str]:
        return set(masked_fields(self._decode(live)))


def _fingerprints(known: LastKnown) -> dict[str, str]:
    return dict(known.last.fingerprints) if known.last else {}
