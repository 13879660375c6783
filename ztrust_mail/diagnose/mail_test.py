"""Has the server send test mails, and interprets its responses."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, ClassVar, Protocol

from ztrust_mail.core.errors import (
    NOT_THE_API,
    ExitStatus,
    MailTestFailed,
    RealmError,
    SecretError,
    ServerError,
    ServerUnreachable,
    ZtrustMailError,
)
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.results import ResultMethods, flatten, summarise
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.dialects.row import Outgoing
from ztrust_mail.gateways.gateway import TEST_UNKNOWN, Account, Gateway, LiveRealm, RealmCounter
from ztrust_mail.model.fields import SECURITY, FieldMap, Security
from ztrust_mail.planning.compare import secret_fields
from ztrust_mail.planning.plan import finding_of
from ztrust_mail.planning.planners.from_spec import suggest_names
from ztrust_mail.probing.relay import settings_of
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.specfile.resolve import Desired

if TYPE_CHECKING:
    from ztrust_mail.diagnose.verdict import Diagnosis

Clock = Callable[[], float]
"""Returns the time in seconds, from any start."""


class MailTestStatus(StrEnum):
    """How the test of one realm ended."""

    SENT = "sent"
    FAILED = "failed"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class MailTestOutcome:
    """The test of one realm. ``proof`` says what the sent mail proves.

    ``exit_status`` is DIFFERS if the test failed, and PARTIAL if it could not be run. ``seconds`` is how long the
    server took to respond. ``settings`` are those that it tested, None if they are unknown.
    """

    realm: str
    status: MailTestStatus
    proof: str = ""
    findings: tuple[Finding, ...] = ()
    exit_status: ExitStatus = ExitStatus.OK
    seconds: float = 0.0
    settings: FieldMap | None = field(default=None, repr=False, compare=False)


class MailRecord(Protocol):
    """Records test mails as they are sent. Its methods are called from any thread, and may raise."""

    def begin(self, realm: str) -> bool:
        """Record that a mail is about to be sent; return False where it must not be."""
        ...

    def end(self, outcome: MailTestOutcome) -> None:
        """Record the outcome of a test, also of one for which no mail was begun."""
        ...


@dataclass(frozen=True, repr=False)
class MailTestRun(ResultMethods):
    """The tests of several realms, and the account whose address the mails went to.

    ``diagnoses`` are about relays whose tests failed or prove less than they seem to.
    """

    url: str
    account: Account
    outcomes: tuple[MailTestOutcome, ...]
    diagnoses: tuple[Diagnosis, ...] = ()

    failure: ClassVar[type[ZtrustMailError]] = MailTestFailed

    @property
    def realms(self) -> tuple[MailTestOutcome, ...]:
        """The outcome of each realm, under the name that all results have."""
        return self.outcomes

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all realms."""
        return flatten((), (outcome.findings for outcome in self.outcomes))

    @property
    def summary(self) -> str:
        """The server and how many realms are in which state."""
        return summarise(self.url, Counter(outcome.status.value for outcome in self.outcomes))

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of the command."""
        return ExitStatus.worst(outcome.exit_status for outcome in self.outcomes)


_PROOF = {
    Security.STARTTLS: "sent; encryption not verified: the server sends in clear text to a relay without STARTTLS",
    Security.TLS: "sent over TLS",
    Security.NONE: "sent in clear text",
}


@dataclass(frozen=True, repr=False)
class _Job:
    """The settings to test, as the server's attributes and as fields."""

    attributes: Outgoing
    settings: FieldMap | None = None


def send_stored(
    gateway: Gateway,
    realms: Iterable[str],
    progress: RealmCounter | None = None,
    clock: Clock = time.monotonic,
    cancel: threading.Event | None = None,
    record: MailRecord | None = None,
) -> MailTestRun:
    """Test the stored settings of each realm; the server takes a masked secret for the stored one.

    A server that shows no settings gets only the name of the realm. Setting ``cancel`` skips tests not yet started.
    ``record`` is called before each mail and after each test.
    """
    names = list(dict.fromkeys(realms))
    if not gateway.capabilities.read:
        return _run(gateway, {name: _Job({}) for name in names}, progress, clock, cancel, record)
    reading = suggest_names(gateway, gateway.read(names, everything=False), names)
    jobs: dict[str, _Job | RealmError] = {}
    for name in names:
        live = reading.realms[name]
        if isinstance(live, LiveRealm):
            jobs[name] = _Job(live.attributes, settings_of(gateway.dialect, live.attributes))
        else:
            jobs[name] = live
    return _run(gateway, jobs, progress, clock, cancel, record)


def send_wanted(
    gateway: Gateway,
    wanted: Iterable[Desired],
    store: SecretStore,
    progress: RealmCounter | None = None,
    clock: Clock = time.monotonic,
    cancel: threading.Event | None = None,
) -> MailTestRun:
    """Test the settings that a spec wants for each realm, with resolved secrets, without storing them.

    Setting ``cancel`` skips tests that have not started.
    """
    todo = list(wanted)
    secrets = store.get(ref for one in todo for ref in secret_fields(one.fields).values())
    jobs: dict[str, _Job | RealmError] = {}
    findings = {}
    for one in todo:
        if one.findings:
            findings[one.realm] = one.findings
        jobs[one.realm] = _Job({}) if one.disabled or one.findings else _job(gateway, one, secrets)
    left = {realm: job for realm, job in jobs.items() if realm not in findings}
    run = _run(gateway, left, progress, clock, cancel)
    outcomes = {outcome.realm: outcome for outcome in run.outcomes}
    for realm, found in findings.items():
        outcomes[realm] = MailTestOutcome(realm, MailTestStatus.FAILED, findings=found, exit_status=ExitStatus.PARTIAL)
    return MailTestRun(run.url, run.account, tuple(outcomes[one.realm] for one in todo))


def _job(gateway: Gateway, wanted: Desired, secrets: Mapping[SecretRef, Secret | SecretError]) -> _Job | RealmError:
    values: dict[SecretRef, Secret] = {}
    for ref in secret_fields(wanted.fields).values():
        value = secrets[ref]
        if isinstance(value, SecretError):
            return value
        values[ref] = value
    return _Job(gateway.dialect.encode(wanted.fields, values), wanted.fields)


def _run(
    gateway: Gateway,
    jobs: Mapping[str, _Job | RealmError],
    progress: RealmCounter | None,
    clock: Clock,
    cancel: threading.Event | None,
    record: MailRecord | None = None,
) -> MailTestRun:
    account, numbers = gateway.account(), count(1)

    def test(realm: str) -> MailTestOutcome:
        if cancel is not None and cancel.is_set():
            return _skip_cancelled(realm)
        began, job = clock(), jobs[realm]
        outcome = replace(one(realm), settings=job.settings if isinstance(job, _Job) else None)
        outcome = replace(outcome, seconds=clock() - began)
        if record:
            record.end(outcome)
        if progress:
            progress(next(numbers), len(jobs))
        return outcome

    def one(realm: str) -> MailTestOutcome:
        try:
            return _test(gateway, account, realm, jobs[realm], record)
        except (RealmError, ServerError) as e:
            status = MailTestStatus(e.state) if isinstance(e, RealmError) else MailTestStatus.FAILED
            ended = ExitStatus.DIFFERS if isinstance(e, MailTestFailed) else ExitStatus.PARTIAL
            return MailTestOutcome(realm, status, "", (finding_of(e, realm),), ended)

    with ThreadPoolExecutor(gateway.connections) as pool:
        return MailTestRun(gateway.url, account, tuple(pool.map(test, jobs)))


def _skip_cancelled(realm: str) -> MailTestOutcome:
    why = "not tested: cancelled before its turn"
    return MailTestOutcome(realm, MailTestStatus.SKIPPED, why, exit_status=ExitStatus.INTERRUPTED)


_UNANSWERED = ("reset", "slow", "too-large", NOT_THE_API)
"""The rules of errors after which a test mail may have been sent, since the answer to the request did not arrive."""


def _unknown_outcome(e: RealmError | ServerUnreachable, account: Account) -> MailTestFailed:
    mailbox = f"the mailbox of {account.email}" if account.email else f"the mailbox of the account {account.name}"
    hint = f"check {mailbox} and the server's log before you test again"
    return MailTestFailed(f"{e.message}: the test mail may have been sent", hint, TEST_UNKNOWN)


def _test(
    gateway: Gateway, account: Account, realm: str, job: _Job | RealmError, record: MailRecord | None
) -> MailTestOutcome:
    if isinstance(job, RealmError):
        raise job
    if not job.attributes and gateway.capabilities.read:
        return MailTestOutcome(realm, MailTestStatus.SKIPPED, "has no e-mail settings to test")
    if account.email == "":
        hint = f"give the account {account.name} in realm {account.realm} an e-mail address"
        raise MailTestFailed("cannot send a test mail: the account used has no e-mail address", hint, "no-address")
    if record and not record.begin(realm):
        return _skip_cancelled(realm)
    try:
        gateway.test(realm, job.attributes)
    except (RealmError, ServerUnreachable) as e:
        if e.rule not in _UNANSWERED:
            raise
        raise _unknown_outcome(e, account) from None
    if not gateway.capabilities.read:
        return MailTestOutcome(
            realm, MailTestStatus.SENT, "sent with the stored settings, which the server does not show"
        )
    security = (job.settings or {}).get(SECURITY)
    proof = (
        _PROOF[security]
        if isinstance(security, Security)
        else "sent; unusual combination of ssl and starttls, so encryption is unknown"
    )
    return MailTestOutcome(realm, MailTestStatus.SENT, proof)
