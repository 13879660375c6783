"""Probes every distinct relay once, several at a time, no matter how many realms share it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

from ztrust_mail.core.errors import ExitStatus, MailTestFailed, RealmError, SecretError, ZtrustMailError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.results import ResultMethods, flatten, summarise
from ztrust_mail.core.secret import Secret, SecretKind
from ztrust_mail.core.text import pluralise
from ztrust_mail.model.fields import FieldMap, Login, Security
from ztrust_mail.probing.connection import Deadline
from ztrust_mail.probing.dialogue import SmtpDialogue
from ztrust_mail.probing.login import CLEAR_LINE, not_tested
from ztrust_mail.probing.options import ProbeOptions, reaches
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, RelayProblem, Stage
from ztrust_mail.probing.relay import Relay, relay_of, sender_of
from ztrust_mail.secrets.store import SecretStore

MAX_AT_ONCE = 8
"""How many relays are probed at the same time."""

Job = FieldMap | RealmError | Finding | None
"""A realm's settings, why they are unknown, their problem, or None for a realm without e-mail."""


class ProbedStatus(StrEnum):
    """The outcome of the probe for one realm; ``not-tested`` also if the probe ended before anything was tested."""

    FAILED = "failed"
    WARNING = "warning"
    OK = "ok"
    NOT_TESTED = "not-tested"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class ProbedRealm:
    """One realm. ``relay`` names the relay that it uses, empty if it has none that can be probed.

    ``findings`` are only about the realm; those about its relay are in the relay's outcome.
    """

    realm: str
    status: ProbedStatus
    relay: str = ""
    findings: tuple[Finding, ...] = ()
    exit_status: ExitStatus = ExitStatus.OK


@dataclass(frozen=True, repr=False)
class ProbeRun(ResultMethods):
    """The probes of all distinct relays and logins, and the realms. ``url`` is the server's, empty without one."""

    url: str
    relays: tuple[RelayOutcome, ...]
    realms: tuple[ProbedRealm, ...] = ()

    failure: ClassVar[type[ZtrustMailError]] = MailTestFailed

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all relays, then those of realms."""
        return flatten((one for relay in self.relays for one in relay.findings), (one.findings for one in self.realms))

    @property
    def summary(self) -> str:
        """How many relays are in which state, and the realms."""
        if self.realms:
            return summarise(self.url or "probe", Counter(one.status.value for one in self.realms))
        states = Counter(one.status.value for one in self.relays)
        counts = ", ".join(f"{number:,} {name}" for name, number in states.items())
        return f"probe: {pluralise(len(self.relays), 'relay')}: {counts}"

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of the command."""
        return ExitStatus.worst([*(one.exit_status for one in self.relays), *(one.exit_status for one in self.realms)])


@dataclass
class _Use:
    """The realms that use one relay, and their envelope senders."""

    realms: list[str] = field(default_factory=list)
    senders: dict[str, None] = field(default_factory=dict)


class ProgressCounter:
    """Counts realms or relays that are done, for any number of threads."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._lock = threading.Lock()

    def add(self, number: int) -> None:
        """Report that so many more are done."""
        with self._lock:
            self._done += number
            if self._progress:
                self._progress(self._done, self._total)


def probe_realms(
    url: str,
    jobs: Mapping[str, Job],
    options: ProbeOptions,
    store: SecretStore,
    redactor: Redactor,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeRun:
    """Probe the relays of realms, each distinct one with its login once."""
    uses: dict[Relay, _Use] = {}
    found: dict[str, ProbedRealm] = {}
    senders: dict[str, tuple[Relay, str]] = {}
    for realm, job in jobs.items():
        relay = job if job is None or isinstance(job, RealmError | Finding) else relay_of(realm, job)
        if isinstance(relay, Relay):
            assert isinstance(job, Mapping)
            use, sender = uses.setdefault(relay, _Use()), sender_of(job)
            use.realms.append(realm)
            use.senders |= {sender: None} if sender else {}
            senders[realm] = relay, sender
        else:
            found[realm] = realm_without_relay(realm, relay)
    counter = ProgressCounter(progress, sum(len(use.realms) for use in uses.values()))
    wanted = {one: [*use.senders] for one, use in uses.items()}
    outcomes = probe_relays(wanted, options, store, redactor, lambda relay: counter.add(len(uses[relay].realms)))
    outcomes = [replace(one, realms=tuple(uses[one.relay].realms)) for one in outcomes]
    by_relay = {one.relay: one for one in outcomes}
    for realm, (relay, sender) in senders.items():
        found[realm] = _with_relay(realm, by_relay[relay], sender)
    return ProbeRun(url, tuple(outcomes), tuple(found[realm] for realm in jobs))


def realm_without_relay(realm: str, job: RealmError | Finding | None) -> ProbedRealm:
    """Return how a realm came out that has no relay to probe, for the reason that is its job."""
    if job is None:
        return ProbedRealm(realm, ProbedStatus.SKIPPED)
    if isinstance(job, Finding):
        return ProbedRealm(realm, ProbedStatus.FAILED, "", (job,), ExitStatus.PARTIAL)
    finding = Finding(Severity.ERROR, job.rule or "realm-failed", job.message, job.hint, realm=realm)
    return ProbedRealm(realm, ProbedStatus(job.state), "", (finding,), ExitStatus.PARTIAL)


def _with_relay(realm: str, outcome: RelayOutcome, sender: str) -> ProbedRealm:
    """Return how a realm came out: as its relay, unless the relay refuses the senders of other realms only."""
    status, own = outcome.status, {one.address: one for one in outcome.senders}.get(sender)
    refused = outcome.failure is not None and outcome.failure.stage is Stage.SENDER
    if refused and own and own.status is not ProbeStatus.FAILED:
        status = own.status
    return ProbedRealm(realm, ProbedStatus(status.value), str(outcome.relay))


def probe_given(relay: Relay, options: ProbeOptions, store: SecretStore, redactor: Redactor) -> ProbeRun:
    """Probe one relay that no realm names."""
    senders = [options.sender] if options.sender else []
    return ProbeRun("", tuple(probe_relays({relay: senders}, options, store, redactor)))


def probe_relays(
    senders: Mapping[Relay, Sequence[str]],
    options: ProbeOptions,
    store: SecretStore,
    redactor: Redactor,
    done: Callable[[Relay], None] | None = None,
) -> list[RelayOutcome]:
    """Return the outcome of each relay, in order. ``done`` is called from any thread after each."""
    secrets = _resolve(senders, options, store)
    deadlines: list[Deadline] = []
    stopped = threading.Event()

    def probe(relay: Relay) -> RelayOutcome:
        deadline = Deadline(options.deadline)
        deadlines.append(deadline)
        if stopped.is_set():
            deadline.expire()
        dialogue = SmtpDialogue(relay, senders[relay], options, redactor, deadline)
        dialogue.secret = secrets[relay]
        outcome = dialogue.run()
        if done:
            done(relay)
        return outcome

    with ThreadPoolExecutor(max(1, min(MAX_AT_ONCE, len(senders)))) as pool:
        try:
            return list(pool.map(probe, senders))
        except BaseException:  # an interruption does not wait for the deadlines
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for deadline in deadlines:
                deadline.expire()
            raise


def _resolve(relays: Iterable[Relay], options: ProbeOptions, store: SecretStore) -> dict[Relay, Secret | RelayProblem]:
    """Return the secret of each login that may be tested, or why it is not tested. Resolves no other reference."""
    found: dict[Relay, Secret | RelayProblem] = {}
    wanted = {}
    for relay in relays:
        if relay.secret is None:
            found[relay] = not_tested(relay.no_secret)
        elif relay.secret.kind is SecretKind.KEYCLOAK_VAULT:
            found[relay] = not_tested("the value of a vault's key stays on the server")
        elif relay.security is Security.NONE and not options.allow_clear_login:
            found[relay] = not_tested(CLEAR_LINE)
        elif not reaches(relay, options, Stage.TOKEN if relay.login is Login.TOKEN else Stage.LOGIN):
            found[relay] = not_tested(f"after --until {options.until.value}")
        else:
            wanted[relay] = relay.secret
    values = store.get(wanted.values())
    for relay, reference in wanted.items():
        value = values[reference]
        if isinstance(value, SecretError):
            reason = f"{value.message}; {value.hint}" if value.hint else value.message
            found[relay] = not_tested(reason, Severity.ERROR)
        else:
            found[relay] = value
    return found
