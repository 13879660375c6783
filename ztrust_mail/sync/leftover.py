"""Where the value that a rotation replaces may still stand: what the journal tells, never what the server hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ztrust_mail.dialects.base import Dialect
from ztrust_mail.errors import JournalError, RealmMissing, ServerError
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.gateways.base import Gateway, LiveRealm, Reading
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.spec.fields import HOST, USERNAME, FieldMap, Masked
from ztrust_mail.sync.hidden import Memory
from ztrust_mail.sync.journal.records import Remembered
from ztrust_mail.sync.plan import RealmPlan, Status
from ztrust_mail.sync.rotate import Rotation, fingerprint_of
from ztrust_mail.text import quoted

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


def leftovers(
    rotation: Rotation, gateway: Gateway, recall: Callable[[], Memory], secrets: SecretStore
) -> tuple[Finding, ...]:
    """Return where the old value may still stand, by what ``recall`` brings out of the journal after the rotation.

    All realms that the account sees are looked at once more. Nothing is raised where that cannot be done, or where
    the journal cannot be read: the rotation's own result matters more.
    """
    try:
        memory = recall()
        present = fingerprint_of(rotation.reference, rotation.plan, memory, secrets)
        search = _Search(rotation, memory, present, gateway.dialect)
        reading = gateway.read(search.suspects(), everything=True)
    except (ServerError, JournalError) as e:
        return (Finding(Severity.WARNING, NOT_LOOKED, f"where the old value is cannot be told: {e.message}", e.hint),)
    found = (*search.unwritten(), *search.elsewhere(reading), *search.unknown(reading))
    if reading.complete:
        return found
    return (*found, _NO_LIST if gateway.capabilities.list_realms else replace(_NO_LIST, hint="look at each by name"))


@dataclass(frozen=True)
class _Search:
    """The rotation with the journal's memory and the fingerprint of the reference's present value."""

    rotation: Rotation
    memory: Memory
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

    def _had_old(self, known: Remembered) -> bool:
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


def _fingerprints(known: Remembered) -> dict[str, str]:
    return dict(known.last.fingerprints) if known.last else {}


def _login(fields: FieldMap) -> tuple[str, str]:
    """Return the relay's host, whose case means nothing, and the user name."""
    return str(fields.get(HOST, "")).casefold(), str(fields.get(USERNAME, ""))
