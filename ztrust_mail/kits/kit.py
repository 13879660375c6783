"""The form of every check: select realms, probe each distinct subject once, judge it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Generic, TypeVar

from ztrust_mail.core.errors import RealmError
from ztrust_mail.core.findings import Finding, Location
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.kits.result import CheckedRealm, CheckedSubject, CheckFact, CheckRun, exit_status_of, status_of
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.probing.options import ProbeOptions
from ztrust_mail.probing.outcome import RelayOutcome, RelayProblem, Stage
from ztrust_mail.probing.relay import Relay, sender_of
from ztrust_mail.probing.run import Job, ProbedStatus, probe_relays, realm_without_relay
from ztrust_mail.secrets.store import SecretStore

Subject = TypeVar("Subject")
"""A subject: what a kit probes once for all realms that use it."""

Seen = TypeVar("Seen")
"""The observation of a kit about a subject."""


@dataclass(frozen=True)
class Candidate:
    """A realm that a check may concern.

    ``wanted`` are the settings to check, or why there are none; without ``is_in_spec`` they are those of the server.
    ``live`` are the server's, if a kit compares a spec with them. ``places`` has the place of each field in the spec,
    ``place`` that of the realm's entry.
    """

    realm: str
    wanted: Job
    live: Job = None
    places: Mapping[str, Location] = field(default_factory=dict)
    place: Location | None = None
    is_in_spec: bool = True

    @property
    def fields(self) -> FieldMap | None:
        """The settings to check, None if there are none."""
        return self.wanted if isinstance(self.wanted, Mapping) else None

    @property
    def live_fields(self) -> FieldMap | None:
        """The settings on the server, None if there are none or they are not known."""
        return self.live if isinstance(self.live, Mapping) else None


@dataclass(frozen=True, repr=False)
class CheckContext:
    """What kits work with. ``done`` is called from any thread with a number of realms that are done."""

    probe: ProbeOptions
    store: SecretStore
    redactor: Redactor
    done: Callable[[int], None] = lambda realms: None


class Kit(ABC, Generic[Subject, Seen]):
    """A check. A new one is a module with a subclass, and a row of ``api/probing.py``.

    ``needs_live`` says that it compares a spec with the settings on the server.
    """

    name: ClassVar[str]
    needs_live: ClassVar[bool] = False

    @abstractmethod
    def select(self, candidate: Candidate) -> Subject | CheckFact | Finding | None:
        """Return a realm's subject to probe, a fact or finding if none is needed, or None if not concerned."""

    @abstractmethod
    def probe(self, uses: Mapping[Subject, Sequence[Candidate]], context: CheckContext) -> Mapping[Subject, Seen]:
        """Probe each subject once."""

    @abstractmethod
    def judge(self, subject: Subject, seen: Seen, users: Sequence[Candidate]) -> CheckedSubject:
        """Return the facts about a subject."""

    def relays(self, seen: Sequence[Seen]) -> tuple[RelayOutcome, ...]:
        """Return the probes that were made."""
        return ()

    def close(self, run: CheckRun) -> tuple[tuple[str, ...], str]:
        """Return closing sentences about the result, and the next command."""
        return (), ""

    def run(self, url: str, candidates: Sequence[Candidate], context: CheckContext) -> CheckRun:
        """Check realms, each distinct subject once. ``url`` is the server's, empty without one."""
        uses: dict[Subject, list[Candidate]] = {}
        found: dict[str, CheckedRealm] = {}
        loose: dict[CheckFact, list[Candidate]] = {}
        for one in candidates:
            selected = one.wanted if isinstance(one.wanted, RealmError) else self.select(one)
            if selected is None or isinstance(selected, RealmError | Finding):
                found[one.realm] = _without_subject(one.realm, selected)
            elif isinstance(selected, CheckFact):
                loose.setdefault(selected, []).append(one)
            else:
                uses.setdefault(selected, []).append(one)
        seen = self.probe(uses, context)
        subjects = [CheckedSubject("", tuple(one.realm for one in users), (fact,)) for fact, users in loose.items()]
        judged = [(self.judge(subject, seen[subject], users), users) for subject, users in uses.items()]
        for subject, users in [*zip(subjects, loose.values(), strict=True), *judged]:
            found |= {user.realm: _judge_realm(user, subject) for user in users}
        run = CheckRun(
            self.name,
            url,
            (*subjects, *(subject for subject, _ in judged)),
            tuple(found[one.realm] for one in candidates),
            self.relays([seen[subject] for subject in uses]),
        )
        closing, next_step = self.close(run)
        return replace(run, closing=closing, next_step=next_step)


class RelayKit(Kit[Relay, RelayOutcome]):
    """Probes each relay once, with the envelope senders of its realms. ``until`` is the last stage."""

    until: ClassVar[Stage]

    def probe(self, uses: Mapping[Relay, Sequence[Candidate]], context: CheckContext) -> Mapping[Relay, RelayOutcome]:
        """Probe each relay until the check's last stage."""
        senders = {
            relay: list(dict.fromkeys(filter(None, (sender_of(one.fields or {}) for one in users))))
            for relay, users in uses.items()
        }
        options = replace(context.probe, until=self.until)
        found = probe_relays(
            senders, options, context.store, context.redactor, lambda relay: context.done(len(uses[relay]))
        )
        return {one.relay: replace(one, realms=tuple(user.realm for user in uses[one.relay])) for one in found}

    def relays(self, seen: Sequence[RelayOutcome]) -> tuple[RelayOutcome, ...]:
        """Return the probes."""
        return tuple(seen)


def _without_subject(realm: str, reason: RealmError | Finding | None) -> CheckedRealm:
    found = realm_without_relay(realm, reason)
    return CheckedRealm(realm, found.status, "", found.findings, found.exit_status)


def _judge_realm(user: Candidate, subject: CheckedSubject) -> CheckedRealm:
    """Return a realm with the findings of the facts that are about it."""
    own = [one for one in subject.facts if one.concerns(user.realm)]
    findings = tuple(_finding(one.problem, one.field, user, subject.name) for one in own if one.problem)
    status = ProbedStatus(status_of(own).value)
    return CheckedRealm(user.realm, status, subject.name, findings, exit_status_of(own))


def _finding(problem: RelayProblem, name: str, user: Candidate, subject: str) -> Finding:
    message = f"{subject}: {problem.message}" if subject else problem.message
    place = user.places.get(name) or user.place
    return Finding(problem.severity, problem.rule, message, problem.hint, place, user.realm, name or None)
