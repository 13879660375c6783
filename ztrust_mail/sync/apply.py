"""Applies a plan: secrets first, then realm by realm the newest look, the write, and the reading back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ztrust_mail.dialects.base import Attributes
from ztrust_mail.errors import ExitStatus, RealmError, SecretError, ServerError, ServerUnreachable
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.gateways.base import Gateway, LiveRealm
from ztrust_mail.secrets.base import Reach
from ztrust_mail.secrets.resolution import resolve_all
from ztrust_mail.sensitive import Secret, SecretRef
from ztrust_mail.spec.fields import HOST, LOGIN, PORT, SECURITY, TOKEN, USERNAME, FieldMap
from ztrust_mail.sync.compare import SecretMode, compare, secret_fields
from ztrust_mail.sync.plan import Plan, RealmPlan, Status, finding_of
from ztrust_mail.text import counted, quoted

FRESH_SECONDS = 5.0
"""A realm read longer ago than this is read anew before it is written."""

Secrets = Mapping[SecretRef, Secret | SecretError]
Progress = Callable[[RealmPlan], None]


@dataclass(frozen=True)
class Result:
    """What an apply did. ``realms`` are in the spec's order, with APPLIED, FAILED, SKIPPED or as planned."""

    plan: Plan
    realms: tuple[RealmPlan, ...]
    interrupted: bool = False

    @property
    def exit_status(self) -> ExitStatus:
        """What this result means for the command."""
        own = [ExitStatus.INTERRUPTED] if self.interrupted else []
        return ExitStatus.worst([*own, replace(self.plan, realms=self.realms).exit_status])


def apply_plan(
    plan: Plan,
    gateway: Gateway,
    reach: Reach,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Result:
    """Write what the plan says, and read back what the server made of it.

    Secrets are resolved before the first write; a realm whose secret cannot be had fails alone, as does
    one whose settings are no longer what the plan saw. ``cancel`` lets the writes under way finish.
    ``progress`` is called, from any thread, when a realm is written or has failed.
    """
    stop = cancel or threading.Event()
    todo = plan.changed
    secrets: Secrets = {}
    if plan.secrets is not SecretMode.KEEP:
        secrets = resolve_all((ref for r in todo for ref in secret_fields(r.wanted.fields).values()), reach)
    worker = _Worker(gateway, plan.secrets, secrets, _too_new(plan, gateway), progress, stop)
    done = _in_parallel(worker, todo, gateway.connections, stop)
    verified = _verified(done, gateway)
    realms = tuple(verified.get(realm.realm, realm) for realm in plan.realms)
    return Result(plan, realms, interrupted=stop.is_set())


def _in_parallel(
    worker: _Worker, todo: Sequence[RealmPlan], connections: int, stop: threading.Event
) -> dict[str, RealmPlan]:
    with ThreadPoolExecutor(connections) as pool:
        futures = {realm.realm: pool.submit(worker.write, realm) for realm in todo}
        while True:
            try:
                return {name: future.result() for name, future in futures.items()}
            except KeyboardInterrupt:
                stop.set()  # the writes under way finish, the others see it and are skipped


def _too_new(plan: Plan, gateway: Gateway) -> dict[str, tuple[Finding, ...]]:
    """Return a warning for each field that this server's version does not know yet."""
    fields = {realm.realm: [c.field for c in realm.changes if c.after is not None] for realm in plan.changed}
    recent = any(gateway.dialect.too_new(names, (0,)) for names in fields.values())
    version = gateway.version() if recent else ()
    found: dict[str, tuple[Finding, ...]] = {}
    for realm, names in fields.items() if version else ():
        found[realm] = tuple(
            Finding(
                Severity.WARNING,
                "too-new",
                f"`{row.field}` has no effect: this server is {'.'.join(map(str, version))}",
                f"it needs {' or '.join('.'.join(map(str, v)) for v in row.since)}; it is stored all the same",
                realm=realm,
                field=row.field,
            )
            for row in gateway.dialect.too_new(names, version)
        )
    return found


@dataclass(frozen=True)
class _Worker:
    gateway: Gateway
    mode: SecretMode
    secrets: Secrets
    warnings: Mapping[str, tuple[Finding, ...]]
    progress: Progress | None
    stop: threading.Event

    def write(self, planned: RealmPlan) -> RealmPlan:
        """Write one realm and return it as APPLIED, FAILED or SKIPPED. Nothing is raised for one realm."""
        if self.stop.is_set():
            return replace(planned, status=Status.SKIPPED)
        try:
            self._write(planned)
            done = replace(planned, status=Status.APPLIED)
        except (RealmError, ServerUnreachable) as e:
            done = _failed(planned, e)
        done = replace(done, findings=(*done.findings, *self.warnings.get(planned.realm, ())))
        if self.progress:
            self.progress(done)
        return done

    def _write(self, planned: RealmPlan) -> None:
        assert planned.live is not None  # a changed realm was read
        newest = planned.live
        if time.monotonic() - newest.read_at > FRESH_SECONDS:
            newest = self.gateway.read_one(planned.realm)
            if newest.attributes != planned.live.attributes:
                hint = "look at a new plan, then apply it"
                raise RealmError("somebody changed the settings after the plan was made", hint, "changed-meanwhile")
        if planned.wanted.disabled:
            self.gateway.write(planned.realm, {})
            return
        fields = planned.wanted.fields
        encode = self.gateway.dialect.encode
        if self.mode is SecretMode.KEEP:
            outgoing = encode(fields, _masks(self.gateway.dialect.mask, planned))
        else:
            outgoing = encode(fields, self._values(fields))
        kept = {name: newest.attributes[name] for name in planned.difference.kept}
        self.gateway.write(planned.realm, kept | outgoing)

    def _values(self, fields: FieldMap) -> dict[SecretRef, Secret]:
        values = {}
        for name, ref in secret_fields(fields).items():
            value = self.secrets[ref]
            if isinstance(value, SecretError):
                raise SecretError(f"`{name}`: {value.message}", value.hint, value.rule)
            values[ref] = value
        return values


_BOUND = ("sender.address", HOST, PORT, SECURITY, LOGIN, USERNAME)
"""While these stay, a mask sent back means "keep the stored secret"; 26.8 clears the secret otherwise."""


def _masks(mask: str, planned: RealmPlan) -> dict[SecretRef, Secret]:
    """Return the mask for each secret; raises :class:`RealmError` where it might not mean "keep"."""
    refs = secret_fields(planned.wanted.fields)
    if not refs:
        return {}
    moved = [c.field for c in planned.changes if c.field in _BOUND or c.field.startswith(f"{TOKEN}.")]
    stored = set(planned.difference.incomparable)
    if moved or not refs.keys() <= stored:
        why = f"{', '.join(quoted(name) for name in moved)} would change" if moved else "none is stored"
        message = f"the stored secret cannot be kept: {why}"
        raise RealmError(message, "leave out --secrets keep, so that the secret itself is sent", "cannot-keep")
    return dict.fromkeys(refs.values(), Secret(mask))


def _verified(done: Mapping[str, RealmPlan], gateway: Gateway) -> dict[str, RealmPlan]:
    """Return the realms with what the server made of each write, from one more reading."""
    written = [name for name, realm in done.items() if realm.status is Status.APPLIED]
    if not written:
        return dict(done)
    try:
        reading = gateway.read(written, everything=False)
    except ServerError as e:
        message = f"{counted(len(written), 'realm')} written, not read back: {e.message}"
        lost = ServerUnreachable(message, "run plan to see what the server holds", "not-read-back")
        return {n: _failed(r, lost) if n in written else r for n, r in done.items()}
    return {n: _read_back(r, reading.realms[n], gateway) if n in written else r for n, r in done.items()}


def _read_back(realm: RealmPlan, live: LiveRealm | RealmError, gateway: Gateway) -> RealmPlan:
    if isinstance(live, RealmError):
        return _failed(realm, live)
    left = compare(gateway.dialect, realm.wanted, live.attributes)
    notes = tuple(_stored_otherwise(realm, live.attributes, gateway))
    if not left.changes:
        return replace(realm, live=live, findings=(*realm.findings, *notes))
    names = ", ".join(quoted(change.field) for change in left.changes)
    refused = RealmError(f"the server did not keep {names} as written", "run plan to see what it holds", "not-kept")
    return replace(_failed(realm, refused), live=live)


def _stored_otherwise(realm: RealmPlan, stored: Attributes, gateway: Gateway) -> Sequence[Finding]:
    """Tell which attributes the server left out of what was written, meaning the same to it."""
    written = {n for n, v in gateway.dialect.encode(_without_secrets(realm.wanted.fields), {}).items() if v}
    if not (dropped := sorted(written - stored.keys())):
        return ()
    message = f"the server left out {', '.join(quoted(name) for name in dropped)}, which means the same to it"
    return (Finding(Severity.NOTE, "normalised", message, realm=realm.realm),)


def _without_secrets(fields: FieldMap) -> FieldMap:
    secret = secret_fields(fields)
    return {name: value for name, value in fields.items() if name not in secret}


def _failed(realm: RealmPlan, e: RealmError | ServerUnreachable) -> RealmPlan:
    return replace(realm, status=Status.FAILED, findings=(*realm.findings, finding_of(e, realm.realm)))
