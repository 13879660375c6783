"""The outcomes of a probe: of each stage, of each relay, and of the realms that use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.probing.relay import Relay


class Stage(StrEnum):
    """The stages of a dialogue. A relay has either ``starttls`` and ``ehlo-tls``, or ``tls`` before its banner."""

    NAME = "name"
    CONNECT = "connect"
    TLS = "tls"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    EHLO_TLS = "ehlo-tls"
    TOKEN = "token"
    LOGIN = "login"
    SENDER = "mail-from"
    RECIPIENT = "rcpt-to"
    MESSAGE = "data"
    QUIT = "quit"

    @property
    def label(self) -> str:
        """The usual name of the stage."""
        return _LABELS.get(self, self.value)


_LABELS = {
    Stage.TLS: "TLS",
    Stage.EHLO: "EHLO",
    Stage.STARTTLS: "STARTTLS",
    Stage.EHLO_TLS: "EHLO (TLS)",
    Stage.SENDER: "MAIL FROM",
    Stage.RECIPIENT: "RCPT TO",
    Stage.MESSAGE: "DATA",
    Stage.QUIT: "QUIT",
}


class ProbeStatus(StrEnum):
    """How a stage, a relay or a realm came out; the worst comes first.

    ``not-tested`` means that nothing is known: an earlier stage failed, or the caller did not ask for the stage. A
    relay is as bad as its worst stage; of those that were not tested, only a login counts.
    """

    FAILED = "failed"
    WARNING = "warning"
    OK = "ok"
    NOT_TESTED = "not-tested"

    @classmethod
    def worst(cls, statuses: Iterable[ProbeStatus]) -> ProbeStatus:
        """Return the worst of some statuses, ``not-tested`` if there is none."""
        seen = set(statuses)
        return next((status for status in cls if status in seen), cls.NOT_TESTED)


@dataclass(frozen=True)
class Reply:
    """A reply of the relay: printable, without secrets, and cut to one line of moderate length.

    ``enhanced`` is the enhanced status code, such as ``5.7.8``, empty without one.
    """

    code: int
    text: str
    enhanced: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()


@dataclass(frozen=True)
class RelayProblem:
    """A problem at a stage. A warning or a note does not fail the stage."""

    rule: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    @property
    def is_failure(self) -> bool:
        """Whether the stage fails with it."""
        return self.severity in (Severity.ERROR, Severity.CRITICAL)

    def finding_at(self, relay: str) -> Finding:
        """Return the finding about a relay."""
        return Finding(self.severity, self.rule, f"{relay}: {self.message}", self.hint)


class StageFailed(Exception):
    """A stage failed, with the relay's reply if there is one."""

    def __init__(self, problem: RelayProblem, reply: Reply | None = None) -> None:
        super().__init__(problem.rule)
        self.problem, self.reply = problem, reply


class NotTested(Exception):
    """A stage was left out for a reason that is no failure."""

    def __init__(self, reason: str, problem: RelayProblem | None = None) -> None:
        super().__init__(reason)
        self.reason, self.problem = reason, problem


@dataclass(frozen=True)
class StageOutcome:
    """One stage. ``detail`` is the observation, or why the stage failed or was not tested.

    ``reply`` is the relay's last one in this stage. ``encrypted`` tells whether the connection used TLS at the end of
    the stage. ``finding`` is the problem to report, with its rule.
    """

    stage: Stage
    status: ProbeStatus
    detail: str = ""
    seconds: float = 0.0
    reply: Reply | None = None
    encrypted: bool = False
    finding: Finding | None = None

    @property
    def rule(self) -> str:
        """The id of the rule that names the problem, empty without one."""
        return self.finding.rule if self.finding else ""


@dataclass(frozen=True)
class AddressOutcome:
    """One address of the relay's name: connected, failed, or not tried because an earlier one connected."""

    address: str
    status: ProbeStatus
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class CertificateFacts:
    """A certificate of the relay's chain. ``days_left`` is negative for one that has expired."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    days_left: int


@dataclass(frozen=True)
class TlsFacts:
    """The encrypted line: ``chain`` as the relay sent it, its own certificate first.

    ``problems`` are the rules of all checks that the certificate fails. Empty means that it was verified.
    """

    version: str
    cipher: str
    chain: tuple[CertificateFacts, ...]
    problems: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """The rule of the first check that the certificate fails, empty if it was verified."""
        return self.problems[0] if self.problems else ""


@dataclass(frozen=True)
class TokenFacts:
    """The unverified claims of an access token. ``roles`` belong to an application, ``scopes`` to a user."""

    audience: tuple[str, ...]
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    expires: datetime | None = None


@dataclass(frozen=True)
class SenderOutcome:
    """The relay's reply to one envelope sender."""

    address: str
    status: ProbeStatus
    reply: Reply | None = None


@dataclass(frozen=True)
class TranscriptLine:
    """A line of the dialogue, without the login. ``expected`` is False for a reply that refuses something."""

    text: str
    sent: bool
    encrypted: bool
    expected: bool = True

    @property
    def mark(self) -> str:
        """The line's mark as swaks has it: ``->`` sent, ``<-`` received, ``~`` with TLS, ``*`` unexpected."""
        if self.sent:
            return " ~>" if self.encrypted else " ->"
        if self.expected:
            return "<~ " if self.encrypted else "<- "
        return "<~*" if self.encrypted else "<**"


@dataclass(frozen=True)
class RelayOutcome:
    """The dialogue with one relay, and the ``realms`` that use it with this login.

    ``stages`` has all stages of the dialogue in order, including those not tested. ``features`` are the keywords of the
    relay's last EHLO reply with their parameters. ``message_id`` is that of a mail that the relay accepted.
    """

    relay: Relay
    stages: tuple[StageOutcome, ...]
    realms: tuple[str, ...] = ()
    addresses: tuple[AddressOutcome, ...] = ()
    features: tuple[str, ...] = ()
    tls: TlsFacts | None = None
    token: TokenFacts | None = None
    senders: tuple[SenderOutcome, ...] = ()
    transcript: tuple[TranscriptLine, ...] = ()
    message_id: str = ""
    seconds: float = 0.0

    @property
    def status(self) -> ProbeStatus:
        """The worst status of all stages; ``not-tested`` if nothing failed and the login could not be tested."""
        worst = ProbeStatus.worst(one.status for one in self.stages)
        return ProbeStatus.NOT_TESTED if worst is ProbeStatus.OK and self._untested else worst

    @property
    def _untested(self) -> list[Finding]:
        return [one.finding for one in self.stages if one.finding and one.status is ProbeStatus.NOT_TESTED]

    @property
    def exit_status(self) -> ExitStatus:
        """DIFFERS if a stage failed, PARTIAL if the login was not tested because its secret cannot be resolved."""
        if self.failure:
            return ExitStatus.DIFFERS
        return ExitStatus.PARTIAL if has_errors(self._untested) else ExitStatus.OK

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all stages."""
        return tuple(one.finding for one in self.stages if one.finding)

    @property
    def failure(self) -> StageOutcome | None:
        """The stage that failed, None if none did."""
        return next((one for one in self.stages if one.status is ProbeStatus.FAILED), None)

    def stage(self, stage: Stage) -> StageOutcome | None:
        """Return the outcome of a stage, None if the dialogue does not have it."""
        return next((one for one in self.stages if one.stage is stage), None)

    @property
    def offers_starttls(self) -> bool | None:
        """Whether the relay offers STARTTLS, None if the dialogue did not get that far or started with TLS."""
        found = self.stage(Stage.STARTTLS)
        if found is None or found.status is ProbeStatus.NOT_TESTED:
            return None
        return found.rule != "relay-no-starttls"
