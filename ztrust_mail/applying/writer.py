"""Writes a realm as planned after a fresh read, and reports whether the outcome is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ztrust_mail.applying.outcome import RealmOutcome
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
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.journal.records import LOCK_LOST, Step
from ztrust_mail.model.fields import HOST, LOGIN, PORT, SECURITY, SENDER_ADDRESS, TOKEN, USERNAME, FieldMap
from ztrust_mail.planning.compare import SecretMode, secret_fields
from ztrust_mail.planning.plan import RealmPlan, Status, finding_of
from ztrust_mail.secrets.store import ResolvedSecrets

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal

FRESH_SECONDS = 5.0
"""A realm that was read longer ago than this is read again before it is written."""

LONG_SECONDS = 1.0
"""A list that takes longer than this is not used to read stale realms again: too few of them would be written before
they are stale once more."""


class FreshReads:
    """Returns settings of realms that were read at most five seconds ago. Threads may share it.

    A stale realm is read again by the thread that writes it, right before its write. If one list is known to be quick
    and to cost less than single reads of all remaining realms, one list serves them all, unless templates are read too,
    which take separate requests. For a server that shows no settings, the read of the plan is used.
    """

    def __init__(self, gateway: Gateway, planned: Sequence[RealmPlan]) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self._seen: dict[str, LiveRealm | RealmError | None] = {realm.realm: realm.live for realm in planned}
        self._names = {realm.realm: gateway.dialect.template_names(realm.wanted.fields) for realm in planned}
        self._has_templates = any(self._names.values())

    def get(self, realm: str) -> LiveRealm:
        """Return one realm's settings, once per realm. Raises :class:`RealmError` if they cannot be read."""
        with self._lock:
            if self._is_stale(self._seen[realm]) and self._is_list_cheaper():
                reading = self._read([*self._seen])
                self._seen = {name: reading[name] for name in self._seen}
            live = self._seen.pop(realm)
        return self.refresh(realm) if live is None or self._is_stale(live) else _require(live)

    def _is_stale(self, live: LiveRealm | RealmError | None) -> bool:
        """Return whether a realm has to be read again; not so the error of one that a list did not have."""
        if isinstance(live, RealmError) or not self._gateway.capabilities.read:
            return False
        return live is None or time.monotonic() - live.read_at > FRESH_SECONDS

    def _is_list_cheaper(self) -> bool:
        return not self._has_templates and self._gateway.prefers_list(len(self._seen), within=LONG_SECONDS)

    def refresh(self, realm: str) -> LiveRealm:
        """Read again a single realm that :meth:`get` has returned before. Raises like :meth:`get`."""
        return _require(self._read([realm])[realm])

    def _read(self, realms: Sequence[str]) -> Mapping[str, LiveRealm | RealmError]:
        return read_with_templates(self._gateway, realms, self._names).realms


def _require(live: LiveRealm | RealmError) -> LiveRealm:
    if isinstance(live, RealmError):
        raise live
    return live


MAX_REREADS = 10
"""A write fails after this many reads of its realm, each stale by the time a busy server let the write start."""

_NOT_SENT = (CIRCUIT_OPEN, LOCK_LOST)


@dataclass(frozen=True)
class Writer:
    """Writes realms. Threads may share it. ``warnings`` are added to the outcome of each realm.

    No write starts once ``lock_lost`` is set, or the lease in ``journal`` may have expired: another run may be writing
    to the server.
    """

    gateway: Gateway
    mode: SecretMode
    values: ResolvedSecrets
    warnings: Mapping[str, tuple[Finding, ...]]
    lock_lost: threading.Event = field(default_factory=threading.Event)
    journal: Journal | None = None

    def write(self, planned: RealmPlan, fresh_reads: FreshReads) -> RealmOutcome:
        """Write one realm and return it as APPLIED, FAILED or SKIPPED. Raises nothing for a single realm.

        Its step is WRITING if there was no response: the server may or may not have stored it.
        When a busy server delays the write until the read of its realm is stale, the realm is read again first.
        """
        too_late = WriteDeadlineExceeded("")
        for reads in range(MAX_REREADS):
            try:
                live = fresh_reads.refresh(planned.realm) if reads else fresh_reads.get(planned.realm)
                deadline = _refresh_deadline(live)  # before the lock is checked: this process may be paused afterwards
                outgoing = self._build_request(planned, live)
                self._require_lock()
            except (RealmError, ServerError) as e:
                return self._failed_or_skipped(planned, e, is_unknown=reads > 0)  # it may have been sent before
            try:
                self.gateway.write(planned.realm, outgoing, before=deadline)
            except WriteDeadlineExceeded as e:
                too_late = e
            except (RealmError, ServerError) as e:
                return self._failed_or_skipped(planned, e, is_unknown=_may_have_arrived(e))
            else:
                return self._write_templates(planned)
        return self._failed_or_skipped(planned, too_late, is_unknown=True)

    def _write_templates(self, planned: RealmPlan) -> RealmOutcome:
        """Write the templates of a realm after its settings."""
        try:
            if texts := _changed_templates(planned):
                self.gateway.write_templates(planned.realm, texts)
        except (RealmError, ServerError) as e:  # some of the texts may be written
            return self._end(planned, Status.FAILED, Step.WRITING, finding_of(e, planned.realm))
        return self._end(planned, Status.APPLIED, Step.WRITTEN)

    def _failed_or_skipped(self, planned: RealmPlan, e: RealmError | ServerError, *, is_unknown: bool) -> RealmOutcome:
        status, step = (Status.SKIPPED, Step.SKIPPED) if e.rule in _NOT_SENT else (Status.FAILED, Step.FAILED)
        return self._end(planned, status, Step.WRITING if is_unknown else step, finding_of(e, planned.realm))

    def _require_lock(self) -> None:
        if self.lock_lost.is_set() or not (self.journal is None or self.journal.has_lease(self.gateway.url)):
            hint = "see the other run with: ztrust-mail history"
            raise RealmError("this run lost its lock on the server before the write", hint, LOCK_LOST)

    def _end(self, planned: RealmPlan, status: Status, step: Step, *findings: Finding) -> RealmOutcome:
        return RealmOutcome.of(planned).move_to(status, step, *findings, *self.warnings.get(planned.realm, ()))

    def _build_request(self, planned: RealmPlan, newest: LiveRealm) -> Outgoing:
        if newest.attributes != planned.attributes:
            hint = "run `ztrust-mail plan` again, then apply"
            raise RealmError("stale plan: the settings changed after the plan was made", hint, "changed-meanwhile")
        if planned.wanted.disabled:
            return {}
        fields = planned.wanted.fields
        dialect = self.gateway.dialect
        if self.mode is SecretMode.KEEP:
            outgoing = keep_stored_port_and_security(dialect, planned, dialect.encode(fields, _masks(dialect, planned)))
        else:
            outgoing = dialect.encode(fields, self._resolve_secrets(fields))
        unmanaged = {name: newest.attributes[name] for name in planned.difference.unmanaged}
        return {**unmanaged, **outgoing}

    def _resolve_secrets(self, fields: FieldMap) -> dict[SecretRef, Secret]:
        values = {}
        for name, ref in secret_fields(fields).items():
            value = self.values[ref]
            if isinstance(value, SecretError):
                raise SecretError(f"`{name}`: {value.message}", value.hint, value.rule)
            values[ref] = value
        return values


def _refresh_deadline(live: LiveRealm) -> float:
    """Return the monotonic time after which a realm must be read again.

    If the read itself took longer than that, the time counts from now: another read would be no fresher.
    """
    now = time.monotonic()
    then = live.read_at + FRESH_SECONDS
    return then if then > now else now + FRESH_SECONDS


def _changed_templates(planned: RealmPlan) -> dict[str, str | None]:
    """Return the theme and the texts that change, None for those to be removed."""
    changes = {
        native: change.after for change in planned.changes for native in change.attributes if is_template(native)
    }
    return {native: None if text is None else str(text) for native, text in changes.items()}


def _may_have_arrived(e: RealmError | ServerError) -> bool:
    """Return whether a failed write may have been done: the identity server itself did not answer."""
    return e.rule in (NOT_THE_API, TOO_BUSY) or (isinstance(e, ServerError) and e.rule != CIRCUIT_OPEN)


_LOGIN_IDENTITY_FIELDS = (SENDER_ADDRESS, HOST, PORT, SECURITY, LOGIN, USERNAME)
"""While these stay the same, sending the mask back preserves the stored secret; otherwise Keycloak 26.8 clears it."""


def _masks(dialect: Dialect, planned: RealmPlan) -> dict[SecretRef, Secret]:
    """Return the mask for each secret; raises :class:`RealmError` where it might not mean "keep"."""
    refs = secret_fields(planned.wanted.fields)
    if not refs:
        return {}
    moved = [c.field for c in planned.changes if c.field in _LOGIN_IDENTITY_FIELDS or c.field.startswith(f"{TOKEN}.")]
    shown = {name: planned.attributes.get(dialect.attributes_of(name)[0]) for name in refs}
    if moved or any(text != dialect.mask for text in shown.values()):
        why = "none is stored" if None in shown.values() else "the server does not hide it"
        why = f"{', '.join(quoted(name) for name in moved)} would change" if moved else why
        message = f"the stored secret cannot be kept: {why}"
        raise RealmError(message, "leave out --secrets keep, so that the secret itself is sent", "cannot-keep")
    return dict.fromkeys(refs.values(), Secret(dialect.mask))


def keep_stored_port_and_security(dialect: Dialect, planned: RealmPlan, outgoing: Outgoing) -> dict[str, str | Secret]:
    """Return the attributes with port and security exactly as stored if they do not change.

    Keycloak 26.8 compares texts: sending port 25 when none is stored clears the secret, though both mean the same.
    """
    live, changed = planned.attributes, {change.field for change in planned.changes}
    same = {n for name in (PORT, SECURITY) if name not in changed for n in dialect.attributes_of(name)}
    return {n: v for n, v in outgoing.items() if n not in same} | {n: live[n] for n in same if n in live}
