"""The result of a check: facts about each subject, such as a relay or a domain, and the realms they affect."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ztrust_mail.core.errors import ExitStatus, MailTestFailed, ZtrustMailError
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.results import ResultMethods, flatten, summarise
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, RelayProblem
from ztrust_mail.probing.run import ProbedStatus


@dataclass(frozen=True)
class CheckFact:
    """A fact about a subject. ``detail`` is the observation, without the subject's name.

    ``problem`` is what is wrong, for ``realms``, or for all realms of the subject if there are none. If a fact is not
    tested and its problem is an error, it could not be determined. ``field`` is the field of a spec with the cause.
    """

    name: str
    status: ProbeStatus
    detail: str
    problem: RelayProblem | None = None
    field: str = ""
    realms: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """The id of the rule that names the problem, empty without one."""
        return self.problem.rule if self.problem else ""

    @property
    def is_unknown(self) -> bool:
        """Whether it could not be determined."""
        grave = self.problem is not None and self.problem.is_failure
        return self.status is ProbeStatus.NOT_TESTED and grave

    def concerns(self, realm: str) -> bool:
        """Tell whether the fact concerns a realm of the subject."""
        return not self.realms or realm in self.realms


def fact_of(name: str, problem: RelayProblem, detail: str = "", field: str = "") -> CheckFact:
    """Return the fact that something is wrong."""
    status = ProbeStatus.FAILED if problem.is_failure else ProbeStatus.WARNING
    return CheckFact(name, status, detail or problem.message, problem, field)


def ok(name: str, detail: str) -> CheckFact:
    """Return the fact that something is as it should be."""
    return CheckFact(name, ProbeStatus.OK, detail)


def not_tested(name: str, detail: str, problem: RelayProblem | None = None) -> CheckFact:
    """Return the fact that something is not known; an error as ``problem`` says that it should be."""
    return CheckFact(name, ProbeStatus.NOT_TESTED, detail, problem)


def status_of(facts: Sequence[CheckFact]) -> ProbeStatus:
    """Return the worst status; ``not-tested`` if nothing is wrong but something could not be determined."""
    worst = ProbeStatus.worst(one.status for one in facts)
    return ProbeStatus.NOT_TESTED if worst is ProbeStatus.OK and any(one.is_unknown for one in facts) else worst


@dataclass(frozen=True)
class CheckedSubject:
    """A subject that was probed once, with the realms that use it."""

    name: str
    realms: tuple[str, ...]
    facts: tuple[CheckFact, ...]

    @property
    def status(self) -> ProbeStatus:
        """The worst status of all facts."""
        return status_of(self.facts)


@dataclass(frozen=True)
class CheckedRealm:
    """One realm. ``subject`` is the name of what it uses, empty if the check does not concern it (``skipped``)."""

    realm: str
    status: ProbedStatus
    subject: str = ""
    findings: tuple[Finding, ...] = ()
    exit_status: ExitStatus = ExitStatus.OK


@dataclass(frozen=True, repr=False)
class CheckRun(ResultMethods):
    """One check of all realms. ``kit`` is its name, ``url`` the server's, empty without one.

    ``relays`` are the probes that were made. ``closing`` has sentences about the result; ``next_step`` is a command,
    empty if there is none.
    """

    kit: str
    url: str
    subjects: tuple[CheckedSubject, ...]
    realms: tuple[CheckedRealm, ...]
    relays: tuple[RelayOutcome, ...] = ()
    closing: tuple[str, ...] = ()
    next_step: str = ""

    failure: ClassVar[type[ZtrustMailError]] = MailTestFailed

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all realms."""
        return flatten((), (one.findings for one in self.realms))

    @property
    def summary(self) -> str:
        """The check, and how many realms are in which state."""
        return f"{self.kit}: {summarise(self.url or 'spec', Counter(one.status.value for one in self.realms))}"

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of the command."""
        return ExitStatus.worst(one.exit_status for one in self.realms)

    @property
    def affected(self) -> tuple[str, ...]:
        """The realms for which something is wrong that is no mere warning."""
        return tuple(one.realm for one in self.realms if one.exit_status is ExitStatus.DIFFERS)


def exit_status_of(facts: Sequence[CheckFact]) -> ExitStatus:
    """Return DIFFERS if something is wrong, PARTIAL if something could not be determined."""
    if any(one.status is ProbeStatus.FAILED for one in facts):
        return ExitStatus.DIFFERS
    return ExitStatus.PARTIAL if any(one.is_unknown for one in facts) else ExitStatus.OK
