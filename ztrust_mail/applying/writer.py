"""Writes one realm as planned, after a last look, and says whether the request may have arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ztrust_mail.applying.freshness import FRESH_SECONDS, FreshReads
from ztrust_mail.core.errors import (
    CIRCUIT_OPEN,
    NOT_THE_API,
    TOO_BUSY,
    RealmError,
    SecretError,
    ServerError,
    WriteDeadlineExceeded,
)
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Outgoing, is_template
from ztrust_mail.gateways.gateway import Gateway, LiveRealm
from ztrust_mail.journal.records import LOCK_LOST
from ztrust_mail.model.fields import HOST, LOGIN, PORT, SECURITY, SENDER_ADDRESS, TOKEN, USERNAME, FieldMap
from ztrust_mail.planning.compare import SecretMode, secret_fields
from ztrust_mail.planning.plan import RealmPlan, Status, finding_of
from ztrust_mail.secrets.store import ResolvedSecrets

MOST_LOOKS = 10
"""A write is given up after so many looks at its realm, each of which a busy server let grow old."""

_NOT_SENT = (CIRCUIT_OPEN, LOCK_LOST)


@dataclass(frozen=True)
class Attempt:
    """What became of a write. ``in_doubt`` where no answer came: the server may or may not have done it."""

    realm: RealmPlan
    in_doubt: bool = False


@dataclass(frozen=True)
class Writer:
    """Writes realms, from any number of threads. ``warnings`` are added to each realm's outcome.

    No write begins once ``lock_lost`` is set: another run may be writing to the server.
    """

    gateway: Gateway
    newest: FreshReads
    mode: SecretMode
    values: ResolvedSecrets
    warnings: Mapping[str, tuple[Finding, ...]]
    lock_lost: threading.Event = field(default_factory=threading.Event)

    def write(self, planned: RealmPlan) -> Attempt:
        """Write one realm and return it as APPLIED, FAILED or SKIPPED. Nothing is raised for one realm.

        A write that a busy server holds back until its realm was looked at too long ago follows on a new look.
        """
        held_back = WriteDeadlineExceeded("")
        for looks in range(MOST_LOOKS):
            try:
                live = self.newest.again(planned.realm) if looks else self.newest.take(planned.realm)
                outgoing = self._outgoing(planned, live)
                self._require_lock()
            except (RealmError, ServerError) as e:
                return Attempt(self._ended(planned, e), in_doubt=looks > 0)  # it may have been sent before
            try:
                self.gateway.write(planned.realm, outgoing, before=_grows_old(live))
            except WriteDeadlineExceeded as e:
                held_back = e
            except (RealmError, ServerError) as e:
                return Attempt(self._ended(planned, e), in_doubt=_may_have_arrived(e))
            else:
                return self._beside(planned)
        return Attempt(self._ended(planned, held_back), in_doubt=True)

    def _beside(self, planned: RealmPlan) -> Attempt:
        """Write what stands beside the settings, which are written."""
        try:
            if texts := _texts(planned):
                self.gateway.write_templates(planned.realm, texts)
        except (RealmError, ServerError) as e:  # perhaps some of the texts are written
            return Attempt(self._told(failed(planned, e)), in_doubt=True)
        return Attempt(self._told(replace(planned, status=Status.APPLIED)))

    def _ended(self, planned: RealmPlan, e: RealmError | ServerError) -> RealmPlan:
        done = failed(planned, e)
        return self._told(replace(done, status=Status.SKIPPED) if e.rule in _NOT_SENT else done)

    def _require_lock(self) -> None:
        if self.lock_lost.is_set():
            raise RealmError("this run lost its lock on the server before the write", "look at plan", LOCK_LOST)

    def _told(self, done: RealmPlan) -> RealmPlan:
        return replace(done, findings=(*done.findings, *self.warnings.get(done.realm, ())))

    def _outgoing(self, planned: RealmPlan, newest: LiveRealm) -> Outgoing:
        assert planned.live is not None  # a changed realm was read
        if newest.attributes != planned.live.attributes:
            hint = "look at a new plan, then apply it"
            raise RealmError("somebody changed the settings after the plan was made", hint, "changed-meanwhile")
        if planned.wanted.disabled:
            return {}
        fields = planned.wanted.fields
        dialect = self.gateway.dialect
        if self.mode is SecretMode.KEEP:
            outgoing = keep_stored_port_and_security(dialect, planned, dialect.encode(fields, _masks(dialect, planned)))
        else:
            outgoing = dialect.encode(fields, self._resolved(fields))
        kept = {name: newest.attributes[name] for name in planned.difference.unmanaged}
        return {**kept, **outgoing}

    def _resolved(self, fields: FieldMap) -> dict[SecretRef, Secret]:
        values = {}
        for name, ref in secret_fields(fields).items():
            value = self.values[ref]
            if isinstance(value, SecretError):
                raise SecretError(f"`{name}`: {value.message}", value.hint, value.rule)
            values[ref] = value
        return values


def _grows_old(live: LiveRealm) -> float:
    """Return the monotonic time after which a realm is to be looked at anew.

    A look that took longer than it is good for counts from now: the next one would be no newer.
    """
    now = time.monotonic()
    then = live.read_at + FRESH_SECONDS
    return then if then > now else now + FRESH_SECONDS


def _texts(planned: RealmPlan) -> dict[str, str | None]:
    """Return what changes beside the e-mail settings, None for what goes."""
    changes = {
        native: change.after for change in planned.changes for native in change.attributes if is_template(native)
    }
    return {native: None if text is None else str(text) for native, text in changes.items()}


def _may_have_arrived(e: RealmError | ServerError) -> bool:
    """Tell whether a failed write may have been done: the identity server itself did not answer it."""
    return e.rule in (NOT_THE_API, TOO_BUSY) or (isinstance(e, ServerError) and e.rule != CIRCUIT_OPEN)


_BOUND = (SENDER_ADDRESS, HOST, PORT, SECURITY, LOGIN, USERNAME)
"""While these stay, a mask sent back means "keep the stored secret"; 26.8 clears the secret otherwise."""


def _masks(dialect: Dialect, planned: RealmPlan) -> dict[SecretRef, Secret]:
    """Return the mask for each secret; raises :class:`RealmError` where it might not mean "keep"."""
    assert planned.live is not None  # a changed realm was read
    refs = secret_fields(planned.wanted.fields)
    if not refs:
        return {}
    moved = [c.field for c in planned.changes if c.field in _BOUND or c.field.startswith(f"{TOKEN}.")]
    shown = {name: planned.live.attributes.get(dialect.attributes_of(name)[0]) for name in refs}
    if moved or any(text != dialect.mask for text in shown.values()):
        why = "none is stored" if None in shown.values() else "the server does not hide it"
        why = f"{', '.join(quoted(name) for name in moved)} would change" if moved else why
        message = f"the stored secret cannot be kept: {why}"
        raise RealmError(message, "leave out --secrets keep, so that the secret itself is sent", "cannot-keep")
    return dict.fromkeys(refs.values(), Secret(dialect.mask))


def keep_stored_port_and_security(dialect: Dialect, planned: RealmPlan, outgoing: Outgoing) -> dict[str, str | Secret]:
    """Return the attributes with port and security as the server has them, where they stay.

    26.8 compares texts: a port sent where none was stored would clear the secret, though both mean 25.
    """
    assert planned.live is not None  # a changed realm was read
    live, changed = planned.live.attributes, {change.field for change in planned.changes}
    same = {n for name in (PORT, SECURITY) if name not in changed for n in dialect.attributes_of(name)}
    return {n: v for n, v in outgoing.items() if n not in same} | {n: live[n] for n in same if n in live}


def failed(realm: RealmPlan, e: RealmError | ServerError) -> RealmPlan:
    """Return the realm as FAILED, with the reason among its findings."""
    return replace(realm, status=Status.FAILED, findings=(*realm.findings, finding_of(e, realm.realm)))
