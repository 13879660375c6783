"""Compares what two runs left, from the journal alone, and what two servers hold, realm by realm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ztrust_mail.core.errors import ExitStatus, RealmError, RealmMissing, UsageError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.core.results import ResultMethods, flatten, summarise
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import is_selected, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, is_template
from ztrust_mail.gateways.gateway import Gateway, LiveRealm
from ztrust_mail.journal.journal import Journal, find_run
from ztrust_mail.journal.records import JournalState, Run, Write
from ztrust_mail.model.fields import ABSENT, Masked, masked_fields
from ztrust_mail.planning.compare import Change, SecretState, compare, secret_fields
from ztrust_mail.planning.past_runs import MANY_RUNS
from ztrust_mail.planning.plan import Status, finding_of
from ztrust_mail.planning.planners.from_spec import find_unmatched
from ztrust_mail.planning.planners.secret_recovery import may_have_written
from ztrust_mail.planning.secret_state import changed_login_fields
from ztrust_mail.specfile.resolve import desired_from_journal


@dataclass(frozen=True)
class RealmDiff:
    """How one realm differs. ``secrets`` says by field whether a masked secret is the same, by its fingerprint.

    ``only`` names the one server that has the realm, where two servers are compared.
    """

    realm: str
    changes: tuple[Change, ...] = ()
    secrets: Mapping[str, SecretState] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    only: str = ""

    @property
    def is_different(self) -> bool:
        """Whether anything differs, as far as the journal knows."""
        return bool(self.changes or self.only) or SecretState.CHANGED in self.secrets.values()

    @property
    def status(self) -> Status:
        """The status in reports: unreadable if there is an error among the findings."""
        if has_errors(self.findings):
            return Status.UNREADABLE
        return Status.CHANGED if self.is_different else Status.IN_SYNC


@dataclass(frozen=True, repr=False)
class RunDiff(ResultMethods):
    """What two runs left: the realms that either of them, or a run between them, was to write."""

    url: str
    first: Run
    second: Run
    realms: tuple[RealmDiff, ...]

    accepted: ClassVar[frozenset[ExitStatus]] = frozenset({ExitStatus.OK, ExitStatus.DIFFERS})

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings of the realms."""
        return flatten((), (realm.findings for realm in self.realms))

    @property
    def summary(self) -> str:
        """The server, and how many realms differ."""
        return summarise(self.url, Counter("different" if realm.is_different else "same" for realm in self.realms))

    @property
    def exit_status(self) -> ExitStatus:
        """DIFFERS if a realm differs."""
        return ExitStatus.DIFFERS if any(realm.is_different for realm in self.realms) else ExitStatus.OK


@dataclass(frozen=True)
class RealmState:
    """A realm's masked attributes, and the known fingerprints of its secrets by field."""

    attributes: Attributes
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def compare_runs(
    journal: Journal | None, dialect: Dialect, server: str, numbers: tuple[int, int], realms: Sequence[str] = ()
) -> RunDiff:
    """Compare the state that realms had after the first run with that after the second; ``realms`` are globs.

    If a run did not write a realm, the state is that which an earlier run left, else that which the next one found.
    Raises :class:`UsageError` for a number without a run, and for runs on different servers.
    """
    _check_servers(journal, numbers)
    journal, first = find_run(journal, server, numbers[0])
    _, second = find_run(journal, server, numbers[1])
    names = [name for name in _names_between(journal, first, second) if is_selected(name, realms)]
    found = []
    for name in names:
        history = [write for write in journal.history_of(server, name) if not write.is_unplanned]
        if history:
            before, after = (_state_after(dialect, history, run.number) for run in (first, second))
            found.append(compare_states(dialect, name, before, after))
    return RunDiff(server, first, second, tuple(found))


def _check_servers(journal: Journal | None, numbers: tuple[int, int]) -> None:
    runs = [run for number in numbers if journal and (run := journal.run(number))]
    if len({run.server for run in runs}) > 1:
        message = " and ".join(f"run {run.number} wrote to {quoted(run.server)}" for run in runs)
        raise UsageError(f"{message}: runs on different servers cannot be compared", "name two runs on one server")


def _names_between(journal: Journal, first: Run, second: Run) -> Sequence[str]:
    """Return the realms of the two runs and of those between them, oldest first."""
    oldest, newest = sorted((first.number, second.number))
    numbers = [run.number for run in journal.runs(first.server, MANY_RUNS) if oldest < run.number < newest]
    return list(dict.fromkeys(name for n in (oldest, *sorted(numbers), newest) for name in journal.steps_by_realm(n)))


def _state_after(dialect: Dialect, history: Sequence[Write], number: int) -> RealmState:
    """Return the state of a realm after a run; ``history`` has all its writes, newest first."""
    left = next((write for write in history if write.run <= number and may_have_written(write)), None)
    if left is None:
        later = [write for write in history if write.run > number] or history
        return RealmState(later[-1].before)
    if left.step.is_done:
        return RealmState(left.after or _predict_attributes(dialect, left), left.fingerprints)
    if left.after is not None:
        return RealmState(left.after)
    message = f"the outcome of the write of run {left.run} is unknown; it is compared as if it had succeeded"
    note = Finding(Severity.NOTE, "in-doubt", message, "the next apply finds out", realm=left.realm)
    return RealmState(_predict_attributes(dialect, left), findings=(note,))


def _predict_attributes(dialect: Dialect, write: Write) -> Attributes:
    """Return the attributes that a write was to leave, with masks in place of secrets."""
    if write.intent is None:
        return {}
    masks = {ref: Secret(dialect.mask) for ref in secret_fields(write.intent).values()}
    written = {
        name: dialect.mask if isinstance(text, Secret) else text
        for name, text in dialect.encode(write.intent, masks).items()
    }
    others = {name: text for name, text in write.before.items() if _is_unmanaged(dialect, name)}
    kept = {name: text for name, text in others.items() if dialect.field_of_attribute(name) not in write.intent}
    return {**kept, **written}


def compare_states(
    dialect: Dialect, realm: str, first: RealmState, second: RealmState, second_dialect: Dialect | None = None
) -> RealmDiff:
    """Compare two states of a realm, the second of which may be in another product's attributes."""
    before, after = dialect.decode(first.attributes), (second_dialect or dialect).decode(second.attributes)
    gone = [name for name in first.attributes if name not in second.attributes and _is_unmanaged(dialect, name)]
    removed = {dialect.field_of_attribute(name): ABSENT for name in gone}
    wanted = {**after, **removed} if second.attributes else None
    changes = compare(dialect, desired_from_journal(realm, wanted), first.attributes).changes
    masked = [name for name in masked_fields(before) if isinstance(after.get(name), Masked)]
    secrets = {name: _compare_secret(first.fingerprints.get(name), second.fingerprints.get(name)) for name in masked}
    return RealmDiff(realm, changes, secrets, tuple(dict.fromkeys((*first.findings, *second.findings))))


def _compare_secret(before: str | None, after: str | None) -> SecretState:
    if not before or not after:
        return SecretState.UNKNOWN
    return SecretState.UNCHANGED if before == after else SecretState.CHANGED


def _is_unmanaged(dialect: Dialect, native: str) -> bool:
    """Tell whether a comparison removes an attribute only if its field is named."""
    return is_template(native) or native not in dialect.attribute_names


@dataclass(frozen=True)
class Side:
    """One of the two servers: its name or URL, and its live realms or why they are unreadable.

    ``is_whole`` means that these are all realms that the account sees. ``memory`` is the journal's record of them.
    """

    name: str
    url: str
    dialect: Dialect
    realms: Mapping[str, LiveRealm | RealmError]
    is_whole: bool
    memory: JournalState

    def state_of(self, realm: str) -> RealmState:
        """Return a realm's masked attributes, and the fingerprints of its secrets unless its login changed since."""
        live, last = self.realms[realm], self.memory.of(realm).last
        assert isinstance(live, LiveRealm)
        known = last.fingerprints if last and not changed_login_fields(self.dialect, last, live.attributes) else {}
        return RealmState(self.dialect.mask_secrets(live.attributes), known)


@dataclass(frozen=True, repr=False)
class ServerDiff(ResultMethods):
    """How two servers differ: ``first`` and ``second`` are their names, else their URLs.

    ``own_findings`` are those of no single realm. A realm that only one of them has is different.
    """

    first: str
    second: str
    urls: tuple[str, str]
    realms: tuple[RealmDiff, ...]
    own_findings: tuple[Finding, ...] = ()

    accepted: ClassVar[frozenset[ExitStatus]] = frozenset({ExitStatus.OK, ExitStatus.DIFFERS})

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, with those of the realms."""
        return flatten(self.own_findings, (realm.findings for realm in self.realms))

    @property
    def summary(self) -> str:
        """The servers, and how many realms differ."""
        counts = Counter("different" if realm.is_different else "same" for realm in self.realms)
        return summarise(f"{self.first} and {self.second}", counts)

    @property
    def exit_status(self) -> ExitStatus:
        """PARTIAL if a realm could not be read, or else DIFFERS if one differs."""
        unread = [ExitStatus.PARTIAL] if has_errors(self.findings) else []
        differs = [ExitStatus.DIFFERS] if any(realm.is_different for realm in self.realms) else []
        return ExitStatus.worst([ExitStatus.OK, *differs, *unread])


def read_side(gateway: Gateway, name: str, memory: JournalState, names: Collection[str] | None) -> Side:
    """Read the named realms of a server, or all listed ones. Raises :class:`ServerError`."""
    reading = gateway.read([*(names or ())], everything=names is None)
    whole = names is None and reading.complete
    return Side(name or gateway.url, gateway.url, gateway.dialect, reading.realms, whole, memory)


def compare_sides(
    first: Side, second: Side, *, globs: Sequence[str] = (), same_journal: bool, found: Sequence[Finding] = ()
) -> ServerDiff:
    """Compare the realms that the globs select. Fingerprints say something only where both are of the same journal."""
    there = [side.realms.keys() - _missing(side) for side in (first, second)]
    names = [name for name in sorted(first.realms.keys() | second.realms.keys()) if is_selected(name, globs)]
    realms = []
    for name in names:
        errors = tuple(_unread(side, name) for side in (first, second) if _is_unread(side, name))
        if errors:
            realms.append(RealmDiff(name, findings=errors))
        elif name in there[0] and name in there[1]:
            states = (first.state_of(name), second.state_of(name))
            if not same_journal:
                states = (replace(states[0], fingerprints={}), replace(states[1], fingerprints={}))
            realms.append(compare_states(first.dialect, name, *states, second_dialect=second.dialect))
        elif name in there[0] or name in there[1]:
            realms.append(RealmDiff(name, only=first.name if name in there[0] else second.name))
    unmatched = find_unmatched(globs, {realm.realm for realm in realms}, of="")
    return ServerDiff(first.name, second.name, (first.url, second.url), tuple(realms), (*found, *unmatched))


def _missing(side: Side) -> set[str]:
    return {name for name, live in side.realms.items() if isinstance(live, RealmMissing)}


def _is_unread(side: Side, name: str) -> bool:
    live = side.realms.get(name)
    return isinstance(live, RealmError) and not isinstance(live, RealmMissing)


def _unread(side: Side, name: str) -> Finding:
    live = side.realms[name]
    assert isinstance(live, RealmError)
    found = finding_of(live, name)
    return replace(found, message=f"on {side.name}: {found.message}")
