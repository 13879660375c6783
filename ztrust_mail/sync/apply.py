"""Applies a plan: secrets first, then realm by realm the newest look, the write, and the reading back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from ztrust_mail.dialects.base import Attributes, Dialect, Outgoing
from ztrust_mail.errors import ExitStatus, RealmError, SecretError, ServerError, ServerUnreachable
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.gateways.base import Gateway, LiveRealm
from ztrust_mail.secrets.base import Reach
from ztrust_mail.secrets.resolution import resolve_all
from ztrust_mail.sensitive import Secret, SecretRef
from ztrust_mail.spec.fields import HOST, LOGIN, PORT, SECURITY, TOKEN, USERNAME, FieldMap
from ztrust_mail.sync.compare import SecretMode, compare, secret_fields
from ztrust_mail.sync.newest import Newest
from ztrust_mail.sync.plan import Plan, RealmPlan, Status, finding_of
from ztrust_mail.text import counted, quoted

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
    newest = Newest(gateway, todo)
    worker = _Worker(gateway, newest, plan.secrets, secrets, _too_new(plan, gateway), progress, stop)
    done = _in_parallel(worker, todo, gateway.connections, stop)
    verified = _verified(done, gateway, plan.secrets, stop)
    realms = tuple(verified.get(realm.realm, realm) for realm in plan.realms)
    return Result(plan, realms, interrupted=stop.is_set())


def _in_parallel(
    worker: _Worker, todo: Sequence[RealmPlan], connections: int, stop: threading.Event
) -> dict[str, RealmPlan]:
    waiting, done = deque(todo), dict[str, RealmPlan]()

    def work() -> None:
        while True:
            try:
                planned = waiting.popleft()
            except IndexError:  # none is left
                return
            done[planned.realm] = worker.write(planned)

    jobs: list[Future[None]] = []
    with ThreadPoolExecutor(connections) as pool:
        while True:
            try:
                while len(jobs) < connections:
                    jobs.append(pool.submit(work))
                for job in jobs:
                    job.result()
                return done
            except KeyboardInterrupt:
                stop.set()  # the writes under way finish, the others see it and are skipped


def _too_new(plan: Plan, gateway: Gateway) -> dict[str, tuple[Finding, ...]]:
    """Return a warning for each field that this server's version does not know yet."""
    fields = {r.realm: [c.field for c in r.changes if c.field in r.wanted.fields] for r in plan.changed}
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
    newest: Newest
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
        except (RealmError, ServerError) as e:
            done = _failed(planned, e)
        done = replace(done, findings=(*done.findings, *self.warnings.get(planned.realm, ())))
        if self.progress:
            self.progress(done)
        return done

    def _write(self, planned: RealmPlan) -> None:
        assert planned.live is not None  # a changed realm was read
        newest = self.newest.take(planned.realm)
        if newest.attributes != planned.live.attributes:
            hint = "look at a new plan, then apply it"
            raise RealmError("somebody changed the settings after the plan was made", hint, "changed-meanwhile")
        if planned.wanted.disabled:
            self.gateway.write(planned.realm, {})
            return
        fields = planned.wanted.fields
        dialect = self.gateway.dialect
        if self.mode is SecretMode.KEEP:
            outgoing = _as_stored(dialect, planned, dialect.encode(fields, _masks(dialect, planned)))
        else:
            outgoing = dialect.encode(fields, self._values(fields))
        kept = {name: newest.attributes[name] for name in planned.difference.kept}
        self.gateway.write(planned.realm, {**kept, **outgoing})

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


def _masks(dialect: Dialect, planned: RealmPlan) -> dict[SecretRef, Secret]:
    """Return the mask for each secret; raises :class:`RealmError` where it might not mean "keep"."""
    assert planned.live is not None  # a changed realm was read
    refs = secret_fields(planned.wanted.fields)
    if not refs:
        return {}
    moved = [c.field for c in planned.changes if c.field in _BOUND or c.field.startswith(f"{TOKEN}.")]
    shown = {name: planned.live.attributes.get(dialect.natives_of(name)[0]) for name in refs}
    if moved or any(text != dialect.mask for text in shown.values()):
        why = "none is stored" if None in shown.values() else "the server does not hide it"
        why = f"{', '.join(quoted(name) for name in moved)} would change" if moved else why
        message = f"the stored secret cannot be kept: {why}"
        raise RealmError(message, "leave out --secrets keep, so that the secret itself is sent", "cannot-keep")
    return dict.fromkeys(refs.values(), Secret(dialect.mask))


def _as_stored(dialect: Dialect, planned: RealmPlan, outgoing: Outgoing) -> dict[str, str | Secret]:
    """Return the attributes with port and security as the server has them, where they stay.

    26.8 compares texts: a port sent where none was stored would clear the secret, though both mean 25.
    """
    assert planned.live is not None  # a changed realm was read
    live, changed = planned.live.attributes, {change.field for change in planned.changes}
    same = {n for name in (PORT, SECURITY) if name not in changed for n in dialect.natives_of(name)}
    return {n: v for n, v in outgoing.items() if n not in same} | {n: live[n] for n in same if n in live}


def _verified(
    done: Mapping[str, RealmPlan], gateway: Gateway, mode: SecretMode, stop: threading.Event
) -> dict[str, RealmPlan]:
    """Return the realms with what the server made of each write, from one more reading."""
    written = [name for name, realm in done.items() if realm.status is Status.APPLIED]
    if not written:
        return dict(done)
    try:
        reading = gateway.read(written, everything=False)
    except (ServerError, KeyboardInterrupt) as e:
        why = e.message if isinstance(e, ServerError) else "interrupted"
        if isinstance(e, KeyboardInterrupt):
            stop.set()
        message = f"{counted(len(written), 'realm')} written, not read back: {why}"
        lost = ServerUnreachable(message, "run plan to see what the server holds", "not-read-back")
        return {n: _failed(r, lost) if n in written else r for n, r in done.items()}
    return {n: _read_back(r, reading.realms[n], gateway, mode) if n in written else r for n, r in done.items()}


def _read_back(realm: RealmPlan, live: LiveRealm | RealmError, gateway: Gateway, mode: SecretMode) -> RealmPlan:
    if isinstance(live, RealmError):
        return _failed(realm, live)
    assert realm.live is not None  # a changed realm was read
    lost = [n for n in realm.difference.kept if live.attributes.get(n) != realm.live.attributes[n]]
    different = [change.field for change in compare(gateway.dialect, realm.wanted, live.attributes).changes] + lost
    if not different:
        notes = _stored_otherwise(realm, live.attributes, gateway, mode)
        return replace(realm, live=live, findings=(*realm.findings, *notes))
    names = ", ".join(quoted(name) for name in different)
    refused = RealmError(f"the server did not keep {names} as written", "run plan to see what it holds", "not-kept")
    return replace(_failed(realm, refused), live=live)


def _stored_otherwise(realm: RealmPlan, stored: Attributes, gateway: Gateway, mode: SecretMode) -> Sequence[Finding]:
    """Tell which attributes the server left out of what was written, meaning the same to it."""
    sent: Outgoing = gateway.dialect.encode(_without_secrets(realm.wanted.fields), {})
    if mode is SecretMode.KEEP:
        sent = _as_stored(gateway.dialect, realm, sent)
    if not (dropped := sorted({n for n, v in sent.items() if v} - stored.keys())):
        return ()
    message = f"the server left out {', '.join(quoted(name) for name in dropped)}, which means the same to it"
    return (Finding(Severity.NOTE, "normalised", message, realm=realm.realm),)


def _without_secrets(fields: FieldMap) -> FieldMap:
    secret = secret_fields(fields)
    return {name: value for name, value in fields.items() if name not in secret}


def _failed(realm: RealmPlan, e: RealmError | ServerError) -> RealmPlan:
    return replace(realm, status=Status.FAILED, findings=(*realm.findings, finding_of(e, realm.realm)))
